"""Inputs as they come: the updates never depend on the pushes, nothing is lost at an endpoint, nothing piles up."""

from __future__ import annotations

import runpy
import time
from collections.abc import Sequence
from itertools import pairwise
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.endpoint import NEVER, EndpointRules
from inference.session import CUT_WITHIN, LabelSession, Update

GUESS, INPUT_SECONDS, LABELS, Echo, check_promises, check_segments_stand_alone, run, session = itemgetter(
    "GUESS", "INPUT_SECONDS", "LABELS", "Echo", "check_promises", "check_segments_stand_alone", "run", "session"
)(runpy.run_path(str(Path(__file__).with_name("session_pushes.py"))))

INF = float("inf")
PATIENT = EndpointRules(after_text=0.8, without_text=5, longest=20, short_pause=0.2, patience=5)


def script(*runs: tuple[int, int]) -> np.ndarray:
    """Inputs (S, LABELS) from (label, inputs) one after the other; the labels are not all equally sure."""
    said = np.repeat([label for label, _ in runs], [count for _, count in runs]).astype(int)
    rows = np.full((len(said), LABELS), 0.01, np.float32)
    rows[np.arange(len(said)), said] += 0.4 + 0.3 * np.sin(np.arange(len(said))) ** 2
    rows[:, 0] = 0.3  # less than any label, so that a step with a label in it says the label
    return rows


def finals(updates: Sequence[Update], step: int = 1) -> list[tuple[int, int, int]]:
    """Labels that are final, with their first input and the one after their last, counted over the whole stream."""
    said = [(update.origin, emission) for update in updates if update.final for emission in update.settled]
    return [(one.label, origin + one.start * step, origin + one.end * step) for origin, one in said]


LENGTHS = st.one_of(st.integers(1, 12), st.integers(30, 150))
TIMES = st.sampled_from([0.01, 0.02, 0.05, 0.1, 0.3, 1.0, INF])
WINDOWS = {
    "subsampling": st.sampled_from([1, 3]),
    "steps": st.integers(1, 25),
    "ahead": st.integers(0, 12),
    "shift": st.sampled_from([1, 2]),
    "span": st.sampled_from([2, 5]),
    "quietest": st.sampled_from([lambda inputs: 0, lambda inputs: len(inputs) // 2, lambda inputs: len(inputs) - 1]),
}
SIZES = st.lists(st.integers(0, 90), min_size=1, max_size=6).filter(any)


# --- however it is pushed ---------------------------------------------------------------------------------------------


@given(
    runs=st.lists(st.tuples(st.integers(0, 2), LENGTHS), min_size=1, max_size=10),
    rules=st.builds(EndpointRules, TIMES, TIMES, TIMES, TIMES, TIMES),
    sizes=SIZES,
    **WINDOWS,
)
def test_any_rules_any_windows_any_pushes(runs, rules, sizes, subsampling, steps, ahead, **more) -> None:
    inputs = script(*runs)

    def make() -> LabelSession:
        window = {"chunk": steps * subsampling, "lookahead": ahead * subsampling}
        return session(Echo(subsampling), rules, **window, **more)

    expected = run(make(), inputs)
    assert run(make(), inputs, sizes) == expected
    check_promises(expected)
    check_segments_stand_alone(make, inputs, expected)
    assert not any(emission.label == GUESS for update in expected for emission in update.settled)


def test_what_the_lookahead_says_is_only_tentative() -> None:
    hearing = session(Echo(), NEVER, chunk=10, lookahead=5)
    first, second = hearing.push(script((0, 4), (1, 16), (0, 5)))
    assert [(one.label, one.start, one.end) for one in first.settled] == [(1, 4, 10)]
    assert [(one.label, one.start, one.end) for one in first.tentative] == [(GUESS, 10, 15)]
    assert [(one.label, one.start, one.end) for one in second.settled] == [(1, 4, 20)]
    assert [one.label for one in second.tentative] == [GUESS]


# --- endpoints lose nothing -------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(
    words=st.lists(
        st.tuples(
            st.one_of(st.integers(12, 30), st.integers(60, 220)),
            st.integers(1, 2),
            st.one_of(st.just(1), st.integers(2, 90)),
        ),
        min_size=1,
        max_size=8,
    ),
    rules=st.builds(EndpointRules, st.sampled_from([0.1, 0.4, 0.8]), TIMES, TIMES, TIMES, TIMES),
    sizes=SIZES,
    **WINDOWS,
)
def test_no_word_is_lost_or_doubled(words, rules, sizes, subsampling, steps, ahead, **more) -> None:
    """Spikes of one input and runs that go on and on, between pauses of at least two steps."""
    inputs = script(*(run for gap, label, count in words for run in ((0, gap), (label, count))))
    window = {"chunk": steps * subsampling, "lookahead": ahead * subsampling}
    updates = run(session(Echo(subsampling), rules, **window, **more), inputs, sizes)
    step, position = more["shift"] * subsampling, 0
    found = finals(updates, step)
    assert [label for label, _, _ in found] == [label for _, label, _ in words]
    for (gap, _, count), (_, start, end) in zip(words, found, strict=True):
        position += gap
        assert position - step < start <= position, "to the input, but for the grid of the steps"
        position += count
        assert position <= end < position + step


@pytest.mark.parametrize("where", [0, -1])
def test_an_endpoint_cuts_within_its_silence_and_shortly_before_its_end(where: int) -> None:
    looked: list[np.ndarray] = []

    def quietest(inputs: np.ndarray) -> int:
        looked.append(inputs)
        return range(len(inputs))[where]

    inputs = script((1, 30), (0, 500), (2, 5), (0, 30))
    updates = run(session(Echo(), PATIENT, chunk=20, lookahead=10, quietest=quietest), inputs)
    assert finals(updates) == [(1, 0, 30), (2, 530, 535)]
    end, *_ = cuts = sorted({update.origin for update in updates})[1:]
    assert end == (30 + 10 if where == 0 else 30 + 79), "not at once after what was said, and within the 0.8 s"
    np.testing.assert_array_equal(looked[0], inputs[40:110])
    for origin, later in pairwise(cuts):
        assert later == origin + (400 if where == 0 else 499), "in the last second of 5 s without text"
    assert len(cuts) == len(looked)


def test_after_the_longest_a_short_pause_is_taken_and_before_it_is_not() -> None:
    talk = [(1, 15), (0, 25)] * 60  # 24 s with pauses of 0.25 s
    inputs = script(*talk)
    updates = run(session(Echo(), PATIENT, chunk=20, lookahead=10), inputs)
    origins = sorted({update.origin for update in updates})
    assert len(origins) == 2
    assert 1975 < origins[1] <= 2000
    assert finals(updates) == [(1, 40 * k, 40 * k + 15) for k in range(60)]


@pytest.mark.parametrize("kept", [0, 2])
def test_speech_without_any_pause_becomes_final_and_is_heard_on(kept: int) -> None:
    runs = [(1 + k % 2, 7) for k in range(2000)]  # 140 s without a blank
    hearing = session(Echo(), PATIENT, chunk=20, lookahead=10, complete=lambda settled: max(0, len(settled) - kept))
    updates = []
    for part in np.array_split(script(*runs), 70):
        updates += hearing.push(part)
        assert len(hearing._settled) < 2600 / 7
    updates += hearing.flush()
    assert {update.origin for update in updates} == {0}, "nothing was cut"
    assert finals(updates) == [(1 + k % 2, 7 * k, 7 * k + 7) for k in range(2000)]
    assert [update.final for update in updates].count(True) == 140 // 25 + 1
    check_promises(updates)


def test_rules_of_a_single_step_still_go_forward() -> None:
    rules = EndpointRules(after_text=0.01, without_text=0.01)
    updates = run(session(Echo(), rules, chunk=4, lookahead=2), script((0, 5), (1, 3), (0, 5), (2, 1), (0, 4)))
    assert finals(updates) == [(1, 5, 8), (2, 13, 14)]


# --- a long stream ----------------------------------------------------------------------------------------------------


def test_nothing_piles_up_and_segments_without_text_are_forgotten() -> None:
    hearing = session(Echo(3), PATIENT, chunk=30, lookahead=15, shift=2, span=5)
    piece, held_most = 37, 0
    inputs = script(*[(0, 3000), *[(1, 9), (0, 20)] * 20, (2, 400)] * 12)
    for start in range(0, len(inputs), piece):
        hearing.push(inputs[start : start + piece])
        held_most = max(held_most, sum(map(len, hearing._held)))
        assert len(hearing._settled) < 2500 / 29
    assert held_most <= CUT_WITHIN / INPUT_SECONDS + 2 * (30 + 30 + 15) + 5 + piece
    silence = run(session(Echo(3), PATIENT, chunk=30, lookahead=0), script((0, 30_000)))
    assert not any(update.settled or update.tentative for update in silence)


def test_the_work_of_a_push_depends_on_the_push_alone() -> None:
    """Twenty minutes in one push take four times as long as five, and each frame is scored about once."""
    spent: dict[int, list[float]] = {5: [], 20: []}
    for minutes in (5, 20, 5, 20):
        inputs = script(*[(1, 30), (0, 20), (2, 5), (0, 245), (1, 1), (0, 699)] * (6 * minutes))
        scorer = Echo()
        hearing = session(scorer, PATIENT, chunk=40, lookahead=20)
        began = time.process_time()
        updates = run(hearing, inputs)
        spent[minutes].append(time.process_time() - began)
        assert len(finals(updates)) == 3 * 6 * minutes
        assert scorer.scored < 2.5 * len(inputs)
    assert min(spent[20]) < 9 * min(spent[5]), "quadratic cost would be 16 times"


class Listener:
    """A judge that hears noise wherever it was told of, and minds that it is used as agreed."""

    def __init__(self, noise: range):
        self.noise, self.pushed, self.kept_from, self.streams = noise, 0, 0, []

    def push(self, inputs: np.ndarray, /) -> None:
        self.pushed += len(inputs)

    def silent(self, first: int, count: int, step: int) -> list[bool]:
        assert self.kept_from <= first
        assert first + (count - 1) * step < self.pushed
        return [
            not set(self.noise) & set(range(place, place + step)) for place in range(first, first + count * step, step)
        ]

    def let_go(self, before: int) -> None:
        assert before >= self.kept_from
        self.kept_from = before

    def reset(self) -> None:
        self.streams.append(self.pushed)
        self.pushed = self.kept_from = 0


@pytest.mark.parametrize("size", [1, 33, 5000])
def test_where_a_second_judge_hears_something_is_no_silence(size: int) -> None:
    inputs = script((1, 10), (0, 100), (2, 10), (0, 400), (1, 10), (0, 85))
    for noise, ends in ((range(0), (10, 120)), (range(20, 115), (120,)), (range(20, 420), (420,))):
        listener = Listener(noise)
        hearing = session(Echo(3), PATIENT, chunk=30, lookahead=15, shift=2, span=5, activity=listener)
        for _ in range(2):
            updates = run(hearing, inputs, [size])
            assert [label for label, _, _ in finals(updates)] == [1, 2, 1]
            cuts = sorted({update.origin for update in updates})[1:]
            for cut, end in zip(cuts, (*ends, 530), strict=True):
                assert end < cut <= end + 80 + 6, "the last one is found only at the end of the stream"
        assert listener.streams == [0, len(inputs), len(inputs)], "each input once, and then a new stream"


# --- hardly anything --------------------------------------------------------------------------------------------------


def test_empty_pushes_and_a_buffer_that_is_filled_again() -> None:
    inputs = script(*[(1, 20), (0, 90), (2, 3), (0, 120)] * 4)
    expected = run(session(Echo(), PATIENT, chunk=20, lookahead=10), inputs)
    hearing, buffer, updates = session(Echo(), PATIENT, chunk=20, lookahead=10), np.empty((1, LABELS), np.float32), []
    for row in inputs:
        buffer[:] = row
        updates += hearing.push(buffer)
        buffer[:] = np.nan
        assert hearing.push(buffer[:0]) == []
    assert updates + hearing.flush() == expected


def test_a_stream_that_ends_within_its_first_window() -> None:
    for count in range(20):
        hearing = session(Echo(), EndpointRules(after_text=0.03), chunk=30, lookahead=30)
        assert finals(run(hearing, script((1, 2), (0, count), (2, 1)))) == [(1, 0, 2), (2, 2 + count, 3 + count)]
