"""Divisions keep people apart where that can be, and every label in both parts; nothing is lost."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.manifests import Item, ManifestError, Segment
from training.splits import split_by_label, split_by_speaker, split_labelled

SPEAKERS = st.lists(st.sampled_from(["", "anna", "bob", "carol", "dan", "eve"]), min_size=2, max_size=60)


def items_of(speakers: list[str]) -> list[Item]:
    # Ids repeat, as they do when corpora are joined.
    return [Item(f"u{k % 7}", f"{k}.wav", 0.0, 1.0, "x", speaker) for k, speaker in enumerate(speakers)]


@given(SPEAKERS, st.floats(0.01, 0.99), st.integers(0, 50))
def test_no_speaker_is_in_both_parts_and_no_item_is_lost(speakers: list[str], share: float, seed: int) -> None:
    items = items_of(speakers)
    first, second = split_by_speaker(items, share, seed=seed)
    assert first
    assert second
    assert sorted(first + second, key=items.index) == items
    known = set(speakers) - {""}
    if len(set(speakers)) > 1:
        assert not {item.speaker for item in first} & {item.speaker for item in second} & known
    assert (first, second) == split_by_speaker(items, share, seed=seed), "the same seed gives the same parts"
    assert first == sorted(first, key=items.index)


@given(st.lists(st.integers(1, 30), min_size=3, max_size=30), st.integers(0, 20))
def test_the_second_part_is_about_the_share_asked_for(sizes: list[int], seed: int) -> None:
    items = items_of([f"speaker {k}" for k, size in enumerate(sizes) for _ in range(size)])
    _, second = split_by_speaker(items, 0.1, seed=seed)
    assert len(second) <= max(0.1 * len(items) + max(sizes) / 2, min(sizes))


def test_one_known_speaker_is_divided_by_items() -> None:
    first, second = split_by_speaker(items_of(["anna"] * 50), 0.1)
    assert (len(first), len(second)) == (45, 5)


def test_unknown_speakers_are_drawn_by_items() -> None:
    first, second = split_by_speaker(items_of([""] * 50), 0.2)
    assert (len(first), len(second)) == (40, 10)
    assert second != split_by_speaker(items_of([""] * 50), 0.2, seed=1)[1]


def test_what_cannot_be_divided() -> None:
    with pytest.raises(ManifestError, match="single utterance"):
        split_by_speaker(items_of(["anna"]), 0.1)
    for share in (0.0, 1.0, -0.1):
        with pytest.raises(ValueError, match="share"):
            split_by_speaker(items_of(["anna", "bob"]), share)


def item(number: int, *labels: str, signer: str = "") -> Item:
    segments = tuple(Segment(float(k), k + 1.0, label) for k, label in enumerate(labels))
    return Item(str(number), "x.pose", 0.0, float(len(labels)), " ".join(labels), signer, segments)


def labels_of(items: list[Item]) -> Counter[str]:
    return Counter(segment.label for one in items for segment in one.segments)


def test_signers_are_kept_apart_where_every_label_can_be_in_both_parts() -> None:
    items = [item(k, label, signer=f"s{k % 5}") for k in range(30) for label in ("a", "b")]
    train, dev, apart = split_labelled(items, 0.2)
    assert apart
    assert not {one.speaker for one in train} & {one.speaker for one in dev}
    assert len(dev) == 12
    assert labels_of(train).keys() == labels_of(dev).keys() == {"a", "b"}
    assert split_labelled(items, 0.2) == (train, dev, True), "drawn from the seed"


def test_where_signers_cannot_be_kept_apart_labels_are_divided() -> None:
    one_each = [item(k, label, signer=label) for label in ("a", "b") for k in range(10)]
    alone = [item(k, label, signer="anna") for label in ("a", "b") for k in range(10)]
    unknown = [item(k, label) for label in ("a", "b") for k in range(10)]
    for items in (one_each, alone, unknown):
        train, dev, apart = split_labelled(items, 0.2)
        assert not apart
        assert labels_of(train) == {"a": 8, "b": 8}
        assert labels_of(dev) == {"a": 2, "b": 2}


@given(
    counts=st.dictionaries(st.sampled_from("abcde"), st.integers(1, 12), min_size=1),
    share=st.floats(0.05, 0.6),
    seed=st.integers(0, 99),
)
def test_both_parts_have_every_label_that_has_two_clips(counts: dict[str, int], share: float, seed: int) -> None:
    items = [item(k, label) for label, count in counts.items() for k in range(count)]
    train, dev = split_by_label(items, share, seed=seed)
    assert Counter(id(one) for one in [*train, *dev]) == Counter(id(one) for one in items)
    for label, count in counts.items():
        here, there = labels_of(train)[label], labels_of(dev)[label]
        assert here >= 1
        assert there >= (count > 1)
        assert there <= max(1, round(share * count))


def test_an_item_of_several_labels_goes_with_the_rarest() -> None:
    items = [item(k, "often") for k in range(20)] + [item(20 + k, "often", "rare") for k in range(4)]
    train, dev = split_by_label(items, 0.25)
    assert labels_of(train)["rare"] == 3
    assert labels_of(dev)["rare"] == 1


def test_the_whole_text_of_a_recording_is_its_label() -> None:
    items = [Item(f"u{k}", "a.wav", 0.0, 1.0, text, f"s{k % 4}") for k in range(16) for text in ("happy", "very sad")]
    train, dev, apart = split_labelled(items, 0.25)
    assert apart
    assert {one.text for one in dev} == {one.text for one in train} == {"happy", "very sad"}


def test_labels_that_are_optional_need_not_be_in_both_parts() -> None:
    items = [item(k, label, signer=f"s{k % 5}") for k in range(30) for label in ("a", "b")]
    items.append(item(99, "none", signer="s0"))
    assert not split_labelled(items, 0.2)[2]
    assert split_labelled(items, 0.2, optional=["none"])[2]
