"""The tasks of `long_time_lag`, each against its definition in the paper."""

from __future__ import annotations

import re

import numpy as np
import pytest

from recipes.long_time_lag.tasks import DISTRACTORS, TASKS, Batch

MANY = 300


def drawn(name: str, lag: int, *, count: int = MANY, seed: int = 0) -> Batch:
    return TASKS[name].draw(np.random.default_rng(seed), count, lag)


def sequences(batch: Batch) -> list[np.ndarray]:
    """Each item without its padding, which must be zeros."""
    found = []
    for inputs_TF, length in zip(batch.inputs_BTF, batch.lengths_B, strict=True):
        assert not inputs_TF[length:].any()
        found.append(inputs_TF[:length])
    return found


def words(batch: Batch, names: str) -> list[str]:
    """Each item as a word whose letters are its symbols."""
    found = []
    for item_TF in sequences(batch):
        assert np.array_equal(item_TF.sum(axis=1), np.ones(len(item_TF))), "one component of each element is 1"
        assert set(np.unique(item_TF)) == {0.0, 1.0}
        found.append("".join(names[k] for k in item_TF.argmax(axis=1)))
    return found


def letters(size: int) -> str:
    return "".join(chr(0x4E00 + k) for k in range(size))


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("more", [0, 7, 60])
def test_batch_is_of_the_sizes_that_its_task_says(name: str, more: int) -> None:
    task = TASKS[name]
    lag = task.shortest + more
    batch = drawn(name, lag, count=20)
    assert batch.inputs_BTF.dtype == np.float32
    assert batch.inputs_BTF.shape == (20, batch.lengths_B.max(), task.inputs(lag))
    assert len(batch.items_N) == len(batch.steps_N) == len(batch.targets_N) == len(batch.answers_N)
    assert (batch.steps_N < batch.lengths_B[batch.items_N]).all()
    assert set(batch.items_N[batch.judged_N]) == set(range(20))
    if task.asks == "classes":
        assert batch.targets_N.min() >= 0
        assert batch.targets_N.max() < task.outputs(lag)


@pytest.mark.parametrize("name", TASKS)
def test_batch_depends_on_its_seed_alone(name: str) -> None:
    one, same, other = (drawn(name, 20, count=8, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(one.inputs_BTF, same.inputs_BTF)
    assert np.array_equal(one.targets_N, same.targets_N)
    assert one.inputs_BTF.shape != other.inputs_BTF.shape or not np.array_equal(one.inputs_BTF, other.inputs_BTF)


def test_noise_free_has_two_sequences_and_asks_for_each_next_element() -> None:
    p, names = 6, "12345xy"
    batch = drawn("noise_free", p)
    found = words(batch, names)
    assert set(found) == {"x12345", "y12345"}
    assert 0.4 < np.mean([word[0] == "x" for word in found]) < 0.6
    assert batch.judged_N.all()
    for item, word in enumerate(found):
        asked = batch.items_N == item
        assert batch.steps_N[asked].tolist() == list(range(p))
        assert "".join(names[k] for k in batch.targets_N[asked]) == word[1:] + word[0]


def test_no_regularities_draws_what_lies_between_and_judges_the_end() -> None:
    p, names = 6, "12345xy"
    batch = drawn("no_regularities", p)
    found = words(batch, names)
    assert all(re.fullmatch("[xy][1-5]{5}", word) for word in found)
    assert {letter for word in found for letter in word} == set(names)
    assert len({word[1:] for word in found}) > MANY / 2
    for item, word in enumerate(found):
        asked = batch.items_N == item
        assert "".join(names[k] for k in batch.targets_N[asked]) == word[1:] + word[0]
        assert batch.judged_N[asked].tolist() == [False] * (p - 1) + [True]


def test_very_long_ends_with_what_stood_second() -> None:
    q, names = 12, letters(DISTRACTORS) + "bexy"
    batch = drawn("very_long", q, count=3000)
    found = words(batch, names)
    assert all(re.fullmatch(rf"b[xy][{names[0]}-{names[DISTRACTORS - 1]}]{{{q},}}e", word) for word in found)
    assert [word[1] for word in found] == ["xy"[k] for k in batch.targets_N]
    more = np.array([len(word) for word in found]) - q - 3
    shares = [np.mean(more == k) for k in range(4)]
    assert shares == pytest.approx([0.1 * 0.9**k for k in range(4)], abs=0.02)
    # With the element to predict that is q + 13 on average, the sum that the paper gives, though it says q + 14 of it.
    assert more.mean() == pytest.approx(9, abs=0.8)


@pytest.mark.parametrize("name", ["two_sequences", "noisy_signal", "noisy_targets"])
def test_noise_follows_the_signal_on_the_same_line(name: str) -> None:
    lag = 40
    batch = drawn(name, lag, count=2000)
    found = [item[:, 0] for item in sequences(batch)]
    assert {len(item) for item in found} == set(range(43, 48))
    rest = np.concatenate([item[3:] for item in found])
    assert rest.mean() == pytest.approx(0, abs=0.01)
    assert rest.var() == pytest.approx(0.2, abs=0.005)
    right = np.round(batch.answers_N).astype(int) if name != "noisy_targets" else (batch.answers_N < 0.5).astype(int)
    noise = np.concatenate([item[:3] - (1 if k else -1) for item, k in zip(found, right, strict=True)])
    assert noise.mean() == pytest.approx(0, abs=0.02)
    assert noise.var() == pytest.approx(0.2 if name == "noisy_signal" else 0, abs=0.01)
    assert right.mean() == pytest.approx(0.5, abs=0.05)


def test_noisy_targets_vary_about_their_answers() -> None:
    batch = drawn("noisy_targets", 5, count=5000)
    assert set(np.unique(batch.answers_N)) == {np.float32(0.2), np.float32(0.8)}
    noise = batch.targets_N - batch.answers_N
    assert noise.mean() == pytest.approx(0, abs=0.02)
    assert noise.var() == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("name", ["adding", "multiplication"])
def test_marked_pairs_make_the_target(name: str) -> None:
    lag = 15
    batch = drawn(name, lag, count=3000)
    firsts, seconds, edges = set(), set(), 0
    for item_T2, target in zip(sequences(batch), batch.targets_N, strict=True):
        values, markers = item_T2.T
        assert 2 * lag <= len(item_T2) <= 2 * lag + 3
        assert markers[0] == markers[-1] == -1
        marked = np.flatnonzero(markers == 1)
        assert set(np.flatnonzero(markers)) == {0, *marked, len(item_T2) - 1}
        assert len(marked) in (1, 2), "both, or one where the first pair was chosen"
        edges += len(marked) == 1
        assert len(item_T2) - 1 - marked.max() >= lag
        if len(marked) == 2:
            firsts.add(min(marked))
            seconds.add(max(marked))
        if name == "adding":
            assert target == pytest.approx(0.5 + values[marked].sum() / 4, abs=1e-6)
            assert values.min() >= -1
        else:
            assert target == pytest.approx(values[marked].prod(), abs=1e-6)
            assert values.min() >= 0
    assert firsts == set(range(1, 10)), "the smaller of two places, one of which is of the first ten"
    assert max(seconds) == lag - 1
    # P(first is the first) + P(second is), 1/10 + 9/10 * 1/(T/2 - 1)
    assert edges / 3000 == pytest.approx(0.1 + 0.9 / (lag - 1), abs=0.03)


@pytest.mark.parametrize(
    ("name", "lag", "shortest", "ranges"),
    [
        ("order_of_two", 40, 100, [(10, 20), (50, 60)]),
        ("order_of_three", 24, 100, [(10, 20), (33, 43), (66, 76)]),
        ("order_of_two", 100, 250, [(25, 50), (125, 150)]),
    ],
)
def test_class_is_the_order(name: str, lag: int, shortest: int, ranges: list[tuple[int, int]]) -> None:
    """At lags of 40 and 24 these are the paper's own lengths and places."""
    batch = drawn(name, lag, count=3000)
    found = words(batch, "abcdXYEB")
    assert {len(word) for word in found} == set(range(shortest, shortest + shortest // 10 + 1))
    assert all(re.fullmatch("E[abcdXY]+B", word) for word in found)
    places = np.array([[k + 1 for k, letter in enumerate(word) if letter in "XY"] for word in found])
    assert [(low, high) for low, high in zip(places.min(0), places.max(0), strict=True)] == ranges
    assert min(len(word) - place[-1] for word, place in zip(found, places, strict=True)) >= lag
    orders = ["".join(letter for letter in word if letter in "XY") for word in found]
    assert [int(order.replace("X", "0").replace("Y", "1"), 2) for order in orders] == batch.targets_N.tolist()
    assert len(set(orders)) == TASKS[name].outputs(lag) == 2 ** len(ranges)
