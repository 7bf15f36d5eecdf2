"""Batches: every item once a pass, of like length, the same whatever came before and whoever asks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data import CLASS_RATIO, Buckets, Example, Items, collate, fitting_batch, loader
from training.manifests import Item, ManifestError

DURATIONS = st.lists(st.floats(0.05, 30.0) | st.just(0.0), min_size=1, max_size=80)
SIZES = st.floats(0.1, 60.0)


def intervals(buckets: Buckets, count: int, first: int = 0) -> list[list[tuple[int | None, int]]]:
    """The batches of some intervals one after the other."""
    batches = []
    for number in range(first, first + count):
        buckets.set_epoch(number)
        batches.extend(buckets)
    return batches


def indices(batches: list[list[tuple[int | None, int]]]) -> list[int]:
    return [index for batch in batches for _, index in batch]


@given(DURATIONS, SIZES, st.integers(0, 5), st.integers(0, 9))
def test_every_item_once_a_pass(durations: list[float], size: float, number: int, seed: int) -> None:
    buckets = Buckets(durations, size, seed=seed)
    batches = intervals(buckets, 1, first=number)
    assert len(batches) == len(buckets) == buckets.batches_a_pass
    assert sorted(indices(batches)) == list(range(len(durations)))
    assert {key for batch in batches for key, _ in batch} == {number}


@given(DURATIONS, SIZES, st.booleans(), st.integers(0, 3))
def test_no_batch_is_larger_than_allowed_but_that_of_one_long_item(durations, size, shuffle, number) -> None:
    for batch in intervals(Buckets(durations, size, shuffle=shuffle), 1, first=number):
        assert batch
        longest = max(durations[index] for _, index in batch)
        assert len(batch) == 1 or longest * len(batch) <= size


@given(DURATIONS, SIZES, st.integers(0, 3))
def test_items_of_a_batch_are_of_like_length(durations: list[float], size: float, number: int) -> None:
    """Batches come in the order of length classes: they share at most the class on their border."""

    def length_class(duration: float) -> float:
        return np.ceil(np.log(max(duration, 1e-3)) / np.log(CLASS_RATIO))

    batches = intervals(Buckets(durations, size), 1, first=number)
    spans = [(min(durations[i] for _, i in batch), max(durations[i] for _, i in batch)) for batch in batches]
    spans.sort(key=lambda span: (length_class(span[1]), length_class(span[0])))
    for (_, longest), (shortest, _) in itertools.pairwise(spans):
        assert max(longest, 1e-3) <= max(shortest, 1e-3) * CLASS_RATIO * (1 + 1e-9)


def test_little_of_a_batch_is_padding() -> None:
    durations = np.random.default_rng(0).uniform(0.5, 12.0, 2000)
    batches = intervals(Buckets(durations, 120.0), 1, first=3)
    padded = sum(len(batch) * max(durations[i] for _, i in batch) for batch in batches)
    assert durations.sum() / padded > 0.87
    assert len(batches) < 1.3 * durations.sum() / 120.0


@given(DURATIONS, SIZES, st.integers(1, 30), st.integers(0, 5), st.integers(0, 9))
def test_intervals_cut_one_stream_and_can_be_begun_anywhere(durations, size, interval, begin, seed) -> None:
    """However the stream is cut, and wherever one begins: interval k is a piece of the passes in their order."""
    passes = Buckets(durations, size, seed=seed)
    count = begin + 3
    stream = intervals(passes, count * interval // passes.batches_a_pass + 1)
    buckets = Buckets(durations, size, seed=seed, interval=interval)
    assert len(buckets) == interval
    assert intervals(buckets, 3, first=begin) == stream[begin * interval : count * interval]


@given(DURATIONS, SIZES, st.integers(1, 4), st.integers(1, 3), st.integers(0, 3), st.none() | st.integers(1, 9))
def test_the_pieces_of_all_devices_are_the_batches_of_one(durations, size, ranks, pieces, number, interval) -> None:
    whole = Buckets(durations, size, interval=interval)
    shares = [Buckets(durations, size, rank=k, ranks=ranks, pieces=pieces, interval=interval) for k in range(ranks)]
    divided = [intervals(share, 1, first=number) for share in shares]
    assert {len(share) for share in divided} == {len(shares[0])} == {len(whole) * pieces}
    for step, batch in enumerate(intervals(whole, 1, first=number)):
        parts = [piece for share in divided for piece in share[step * pieces : (step + 1) * pieces]]
        assert sorted(item for part in parts for item in part) == sorted(batch)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


@given(DURATIONS, SIZES, st.integers(1, 3), st.integers(1, 9), st.integers(0, 3), st.data())
def test_an_interval_is_gone_on_with_where_it_was_left(durations, size, pieces, interval, number, data) -> None:
    settings = {"pieces": pieces, "interval": interval, "rank": 1, "ranks": 2}
    stream = intervals(Buckets(durations, size, **settings), 2, first=number)
    done = data.draw(st.integers(0, interval - 1))
    resumed = Buckets(durations, size, **settings)
    resumed.resume(number, done)
    assert intervals(resumed, 2, first=number) == stream[done * pieces :]


def test_the_order_is_drawn_from_the_seed_and_the_pass_alone() -> None:
    durations = np.random.default_rng(0).uniform(1, 10, 200)
    one, same, other = (Buckets(durations, 40.0, seed=seed) for seed in (1, 1, 2))
    np.random.seed(0)
    torch.manual_seed(0)
    assert intervals(one, 4) == intervals(same, 4)
    assert intervals(one, 1, first=2) == intervals(same, 1, first=2)
    assert intervals(one, 1, first=2) != intervals(other, 1, first=2)
    orders = [indices(intervals(one, 1, first=number)) for number in range(3)]
    assert orders[0] != orders[1] != orders[2]


def test_the_first_pass_goes_from_short_to_long_and_the_others_do_not() -> None:
    durations = np.random.default_rng(0).uniform(1, 10, 200)
    longest = [
        [max(durations[i] for _, i in batch) for batch in intervals(Buckets(durations, 40.0), 1, first=number)]
        for number in range(2)
    ]
    assert all(b > a / CLASS_RATIO for a, b in itertools.pairwise(longest[0]))
    assert not all(b > a / CLASS_RATIO for a, b in itertools.pairwise(longest[1]))


@given(DURATIONS, SIZES, st.integers(1, 3))
def test_development_data_come_once_in_one_order_without_a_pass(durations, size, ranks) -> None:
    shares = [Buckets(durations, size, shuffle=False, rank=rank, ranks=ranks) for rank in range(ranks)]
    batches = [intervals(share, 1) for share in shares]
    assert batches == [intervals(share, 1, first=7) for share in shares]
    seen = [item for share in batches for batch in share for item in batch]
    assert sorted(index for _, index in seen) == list(range(len(durations)))
    assert {number for number, _ in seen} == {None}
    for share in batches:
        order = [max(durations[index], 1e-3) for index in indices(share)]
        assert order == sorted(order)


# --- items and batches ------------------------------------------------------------------------------------------------

ITEMS = [Item(f"u{k}", "", 0.0, 0.1 * (k % 5 + 1), " ".join("x" * (k % 3)), "") for k in range(12)]


def load(item: Item, rng: np.random.Generator | None) -> Example:
    frames = np.full((round(item.duration * 100), 2), float(item.id[1:]), np.float32)
    if rng is not None:
        frames += rng.standard_normal(frames.shape).astype(np.float32)
    return Example(frames, np.arange(1, len(item.text.split()) + 1))


def test_draws_come_from_the_seed_the_pass_and_the_item() -> None:
    items = Items(ITEMS, load, seed=3)
    assert len(items) == 12
    drawn = {key: items[key][1].frames_TF for key in [(0, 4), (1, 4), (0, 9), (None, 4)]}
    assert items[0, 4][0] == "u4"
    np.testing.assert_array_equal(items[0, 4][1].frames_TF, drawn[0, 4])
    np.testing.assert_array_equal(Items(ITEMS, load, seed=3)[0, 4][1].frames_TF, drawn[0, 4])
    assert not np.array_equal(drawn[1, 4], drawn[0, 4])
    assert not np.array_equal(drawn[0, 9] - 9, drawn[0, 4] - 4)
    assert not np.array_equal(Items(ITEMS, load, seed=4)[0, 4][1].frames_TF, drawn[0, 4])
    assert (drawn[None, 4] == 4).all()
    later = Items(ITEMS, load, seed=3, clean_passes=1)
    assert (later[0, 4][1].frames_TF == 4).all()
    np.testing.assert_array_equal(later[1, 4][1].frames_TF, drawn[1, 4])


@settings(max_examples=25)
@given(st.lists(st.floats(1, 4), min_size=90, max_size=400))
def test_a_small_corpus_gives_many_batches_and_a_large_one_large_ones(durations: list[float]) -> None:
    size = fitting_batch(durations, 0.01)
    assert 1 <= size <= 12_000
    if size < 12_000:
        assert Buckets(durations, size * 0.01).batches_a_pass >= 20
    assert fitting_batch([10.0] * 4000, 0.01) == 12_000
    assert fitting_batch([0.001], 0.01) == 1


def test_a_batch_is_padded_and_names_its_items() -> None:
    examples = [
        ("a", Example(np.ones((2, 3), np.float32), np.array([5, 6]))),
        ("b", Example(np.ones((4, 3), np.float32)[::-1], np.array([], dtype=np.int64))),
        ("c", Example(np.ones((1, 3), np.float32), np.array([7]))),
    ]
    batch = collate(examples)
    assert batch.ids == ("a", "b", "c")
    assert batch.frames_BTF.shape == (3, 4, 3)
    assert batch.frames_BTF.dtype == torch.float32
    assert batch.frames_BTF.sum((1, 2)).tolist() == [6, 12, 3]
    assert batch.lengths_B.tolist() == [2, 4, 1]
    assert batch.targets_BL.tolist() == [[5, 6], [0, 0], [7, 0]]
    assert batch.target_lengths_B.tolist() == [2, 0, 1]
    assert batch.lengths_B.dtype == batch.targets_BL.dtype == batch.target_lengths_B.dtype == torch.int64


def test_a_batch_of_nothing_but_silence() -> None:
    batch = collate([("a", Example(np.ones((2, 3), np.float32), np.array([], dtype=np.int64)))])
    assert batch.targets_BL.shape == (1, 0)
    assert batch.target_lengths_B.tolist() == [0]


def test_an_error_takes_the_place_of_the_batch() -> None:
    def broken(item: Item, rng: np.random.Generator | None) -> Example:
        if item.id in ("u3", "u5"):
            raise ManifestError(f"{item.id}: is broken")
        return load(item, rng)

    items = Items(ITEMS, broken)
    error = collate([items[0, k] for k in range(6)])
    assert isinstance(error, ManifestError)
    assert str(error) == "u3: is broken"


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_make_the_same_batches(workers: int) -> None:
    batches = []
    for count in (0, workers):
        buckets = Buckets([item.duration for item in ITEMS], 0.8, seed=5, interval=4)
        data = loader(ITEMS, load, buckets, seed=5, workers=count)
        made = []
        for number in (0, 1, 2):
            buckets.set_epoch(number)
            made.extend(data)
        batches.append(made)
    assert len(batches[0]) == len(batches[1]) == 12
    for one, other in zip(*batches, strict=True):
        assert one.ids == other.ids
        assert one.frames_BTF.equal(other.frames_BTF)
        assert one.targets_BL.equal(other.targets_BL)
