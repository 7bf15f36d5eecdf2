"""Scores of events against every way to pair them, against scipy's matching, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from training.metrics import EventCounts, EventScores, MetricsError, TimedEvent, event_scores

TIMES = st.integers(0, 12)


@st.composite
def events(draw: st.DrawFn, *, found: bool, most: int = 6) -> list[TimedEvent]:
    """Events at whole seconds, so that the tolerance is often met by equality."""
    drawn = draw(st.lists(st.tuples(st.sampled_from("ab"), TIMES, TIMES, st.none() | TIMES), max_size=most))
    return [
        TimedEvent(label, float(start), float(start + length), float(start + fired) if found and fired else None)
        for label, start, length, fired in drawn
    ]


def hit_ways(reference: list[TimedEvent], found: list[TimedEvent], tolerance: float) -> tuple[list, list]:
    """For both notions, whether each true event (rows) is hit by each found one (columns)."""

    def fired(event: TimedEvent) -> float:
        return event.start if event.fired is None else event.fired

    onset = [[a.label == b.label and abs(a.start - b.start) <= tolerance for b in found] for a in reference]
    told = [
        [a.label == b.label and a.start - tolerance <= fired(b) <= a.end + tolerance for b in found] for a in reference
    ]
    return onset, told


def most_by_trying(fits: list[list[bool]], used: frozenset[int] = frozenset()) -> int:
    """Most pairs, by trying every choice for the first row and for what is left."""
    if not fits:
        return 0
    choices = [most_by_trying(fits[1:], used)]
    choices += [
        1 + most_by_trying(fits[1:], used | {column})
        for column, fit in enumerate(fits[0])
        if fit and column not in used
    ]
    return max(choices)


@given(reference=events(found=False, most=5), found=events(found=True, most=5), tolerance=st.integers(0, 3))
def test_hits_are_the_most_that_there_can_be(
    reference: list[TimedEvent], found: list[TimedEvent], tolerance: int
) -> None:
    scores = event_scores(reference, found, tolerance=tolerance)
    for counts, fits in zip((scores.onset, scores.fired), hit_ways(reference, found, tolerance), strict=True):
        hits = most_by_trying(fits)
        assert counts == EventCounts(hits, len(reference) - hits, len(found) - hits)


def test_long_streams_equal_scipys_matching() -> None:
    rng = np.random.default_rng(3)
    for _ in range(5):
        starts, lengths = rng.uniform(0, 60, 80), rng.uniform(0, 3, 80)
        reference = [TimedEvent("ab"[k % 2], s, s + n) for k, (s, n) in enumerate(zip(starts, lengths, strict=True))]
        moved = starts + rng.normal(0, 0.4, 80)
        found = [TimedEvent("ab"[rng.integers(2)], s, s + 1, s + rng.uniform(0, 1)) for s in moved]
        scores = event_scores(reference, found, tolerance=0.3)
        for counts, fits in zip((scores.onset, scores.fired), hit_ways(reference, found, 0.3), strict=True):
            rows, columns = linear_sum_assignment(np.array(fits), maximize=True)
            assert counts.hits == np.array(fits)[rows, columns].sum() > 20


@given(reference=events(found=False), found=events(found=True), seed=st.integers(0, 9))
def test_order_does_not_matter(reference: list[TimedEvent], found: list[TimedEvent], seed: int) -> None:
    rng = np.random.default_rng(seed)
    shuffled = [[side[k] for k in rng.permutation(len(side))] for side in (reference, found)]
    assert event_scores(*shuffled, tolerance=1) == event_scores(reference, found, tolerance=1)


def test_by_hand() -> None:
    reference = [TimedEvent("wave", 1.0, 2.0), TimedEvent("wave", 3.0, 4.0), TimedEvent("stop", 6.0, 6.5)]
    found = [
        TimedEvent("wave", 1.3, 2.1, 1.6),  # at the tolerance: a hit either way
        TimedEvent("wave", 1.2, 1.9, 1.7),  # the same once more: false
        TimedEvent("wave", 3.5, 4.0, 3.9),  # too late by its beginning, told in time
        TimedEvent("go", 6.0, 6.5, 6.2),  # of another name
    ]
    scores = event_scores(reference, found, tolerance=0.3)
    assert scores == EventScores(onset=EventCounts(1, 2, 3), fired=EventCounts(2, 1, 2))
    assert (scores.fired.precision, scores.fired.recall) == (0.5, pytest.approx(2 / 3))
    assert scores.fired.f_score == pytest.approx(4 / 7)


def test_a_greedy_choice_would_lose_a_hit() -> None:
    reference = [TimedEvent("a", 0.0, 4.0), TimedEvent("a", 1.0, 2.0)]
    found = [TimedEvent("a", 1.5, 2.0, 1.5), TimedEvent("a", 3.0, 4.0, 3.5)]
    assert event_scores(reference, found, tolerance=0.1).fired.hits == 2


def test_scores_of_streams_add_up() -> None:
    one = event_scores([TimedEvent("a", 0, 1)], [TimedEvent("a", 0, 1)], tolerance=0)
    other = event_scores([TimedEvent("a", 0, 1)], [TimedEvent("b", 0, 1)], tolerance=0)
    assert one + other == EventScores(EventCounts(1, 1, 1), EventCounts(1, 1, 1))
    assert sum([one.onset, other.onset], EventCounts.zero()) == EventCounts(1, 1, 1)


def test_nothing_has_no_share() -> None:
    nothing = event_scores([], [], tolerance=0.3).onset
    assert all(math.isnan(share) for share in (nothing.precision, nothing.recall, nothing.f_score))
    false = event_scores([], [TimedEvent("a", 0, 1)], tolerance=0.3).onset
    assert (false.precision, false.f_score) == (0.0, 0.0)
    assert math.isnan(false.recall)


@pytest.mark.parametrize(
    ("event", "tolerance", "message"),
    [
        (TimedEvent("a", 2.0, 1.0), 0.3, "a from 2.0 to 1.0 s"),
        (TimedEvent("a", math.nan, 1.0), 0.3, "no event"),
        (TimedEvent("a", 0.0, math.inf), 0.3, "no event"),
        (TimedEvent("a", 0.0, 1.0, math.nan), 0.3, "no event"),
        (TimedEvent("a", 0.0, 1.0), -0.1, "tolerance of -0.1"),
        (TimedEvent("a", 0.0, 1.0), math.nan, "tolerance of nan"),
    ],
)
def test_times_that_are_none_are_refused(event: TimedEvent, tolerance: float, message: str) -> None:
    with pytest.raises(MetricsError, match=message):
        event_scores([], [event], tolerance=tolerance)
