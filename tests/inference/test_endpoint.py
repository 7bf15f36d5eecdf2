"""An endpoint comes at the step at which a rule is met, and however the steps are cut it is the same one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.endpoint import NEVER, Endpointer, EndpointRules, Pause

FIELDS = [field.name for field in fields(EndpointRules)]
# Times between two steps: of speech at several subsamplings, of video, of shifts that no decimal holds.
STEPS = (0.01, 0.03, 0.04, 0.06, 1 / 30, 256 / 11025, 1.0)
INF = math.inf


def ending(silent: Sequence[bool], rules: EndpointRules, *, step: float = 1.0, final_at: int = 0) -> Pause | None:
    """The definition: of every beginning of the segment, whether it ends with an endpoint."""
    for steps in range(1, len(silent) + 1):
        heard = silent[:steps]
        pause = next((k for k, quiet in enumerate(reversed(heard)) if not quiet), steps)
        spoken = pause < steps
        needed = rules.after_text if spoken else rules.without_text
        if spoken and at_least(steps - final_at, rules.longest, step):
            needed = min(needed, rules.short_pause)
        if pause and at_least(pause, needed, step):
            return Pause(steps - pause, steps)
    return None


def at_least(steps: int, seconds: float, step: float) -> bool:
    return steps * step >= seconds or math.isclose(steps * step, seconds)


def watch(silent: Sequence[bool], rules: EndpointRules, *, step: float = 1.0) -> tuple[Pause | None, Endpointer]:
    endpointer = Endpointer(rules, step_seconds=step)
    return endpointer.observe(silent), endpointer


@pytest.mark.parametrize("step", STEPS)
def test_a_silence_is_long_enough_at_exactly_the_time_of_its_rule(step: float) -> None:
    for count in range(1, 300):
        time = count * step
        assert watch([True] * (count + 5), replace(NEVER, without_text=time), step=step)[0] == Pause(0, count)
        spoken = [True, True, False] + [True] * (count + 5)
        assert watch(spoken, replace(NEVER, after_text=time), step=step)[0] == Pause(3, count + 3)


@pytest.mark.parametrize("step", STEPS)
def test_a_silence_between_two_steps_waits_for_the_later_one(step: float) -> None:
    for count in range(1, 60):
        for share in (0.01, 0.5, 0.99):
            rules = replace(NEVER, without_text=(count + share) * step)
            assert watch([True] * count, rules, step=step)[0] is None
            assert watch([True] * (count + 1), rules, step=step)[0] == Pause(0, count + 1)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("pause", [1, 3])
def test_from_exactly_the_longest_on_a_short_pause_is_enough(step: float, pause: int) -> None:
    for count in range(pause + 2, 200):
        rules = replace(NEVER, longest=count * step, short_pause=pause * step)
        # Just long enough with the last step of the pause, ...
        segment = [False] * (count - pause) + [True] * (pause + 2)
        assert watch(segment, rules, step=step)[0] == Pause(count - pause, count)
        # ... and one step before it is not: this pause has to wait for one step more.
        segment = [False] * (count - pause - 1) + [True] * (pause + 2)
        assert watch(segment, rules, step=step)[0] == Pause(count - pause - 1, count)


@pytest.mark.parametrize("step", STEPS)
def test_overdue_from_exactly_the_longest_and_the_patience_on(step: float) -> None:
    for longest in range(1, 100, 7):
        for patience in range(1, 100, 9):
            rules = replace(NEVER, longest=longest * step, patience=patience * step, short_pause=2 * step)
            found, endpointer = watch([False] * (longest + patience - 1), rules, step=step)
            assert found is None
            assert not endpointer.overdue
            assert endpointer.observe([False]) is None
            assert endpointer.overdue
            endpointer.made_final()
            assert not endpointer.overdue
            assert endpointer.observe([False] * (longest + patience - 1)) is None
            assert not endpointer.overdue
            endpointer.observe([False])
            assert endpointer.overdue


def test_after_what_was_said_became_final_the_length_counts_anew() -> None:
    rules = EndpointRules(after_text=6, without_text=50, longest=10, short_pause=2, patience=5)
    _, endpointer = watch([False] * 15, rules)
    assert endpointer.overdue
    endpointer.made_final()
    assert endpointer.observe([True] * 5 + [False] * 4) is None, "no short pause is enough yet, and no long one came"
    assert endpointer.observe([True] * 2) == Pause(24, 26)
    # It was spoken in this segment all the same: no waiting as for one without text.
    _, endpointer = watch([False] * 15, rules)
    endpointer.made_final()
    assert endpointer.observe([True] * 20) == Pause(15, 21)


def test_a_segment_without_text_is_never_overdue_and_knows_no_short_pause() -> None:
    rules = EndpointRules(after_text=3, without_text=1000, longest=5, short_pause=1, patience=1)
    found, endpointer = watch([True] * 999, rules)
    assert found is None
    assert not endpointer.overdue
    assert endpointer.observe([True]) == Pause(0, 1000)


def test_a_short_pause_that_is_longer_than_the_other_delays_nothing() -> None:
    rules = replace(NEVER, after_text=3, longest=5, short_pause=8)
    assert watch([False] * 10 + [True] * 20, rules)[0] == Pause(10, 13)


def test_rules_that_are_infinite_never_fire() -> None:
    for silent in ([True] * 100_000, [False] * 100_000, [False, True, True, True] * 25_000):
        found, endpointer = watch(silent, NEVER, step=0.03)
        assert found is None
        assert not endpointer.overdue
    talk = [False] * 50 + [True] * 1000
    assert watch(talk, replace(NEVER, without_text=1))[0] is None
    assert watch(talk, replace(NEVER, longest=1))[0] is None
    assert watch(talk, replace(NEVER, short_pause=1, patience=1))[0] is None
    assert not watch(talk, replace(NEVER, longest=1))[1].overdue
    assert watch([True] * 1000, replace(NEVER, after_text=1, longest=1, short_pause=1, patience=1))[0] is None


RULES = st.builds(
    EndpointRules,
    **{
        name: st.one_of(st.integers(1, 8), st.integers(1, 64).map(lambda eighths: eighths / 8), st.just(INF))
        for name in FIELDS
        if name != "longest"
    },
    longest=st.one_of(st.integers(1, 20), st.just(INF)),
)


@given(rules=RULES, silent=st.lists(st.booleans(), max_size=60), cuts=st.lists(st.integers(0, 60), max_size=8))
def test_any_cutting_gives_the_endpoint_of_the_definition(rules, silent, cuts) -> None:
    expected = ending(silent, rules)
    borders = [0, *sorted(min(cut, len(silent)) for cut in cuts), len(silent)]
    endpointer = Endpointer(rules, step_seconds=1.0)
    found = None
    for begin, end in pairwise(borders):
        found = endpointer.observe(silent[begin:end])
        if found is not None:
            break
        assert endpointer.steps == end
        assert endpointer.overdue == (not all(silent[:end]) and end >= rules.longest + rules.patience)
    assert found == expected
    endpointer.reset()
    assert endpointer.steps == 0
    assert not endpointer.overdue
    assert endpointer.observe(silent) == expected, "a new segment knows nothing of the one before"


@given(rules=RULES, before=st.integers(1, 30), silent=st.lists(st.booleans(), max_size=50))
def test_any_cutting_after_what_was_said_became_final(rules, before, silent) -> None:
    whole = [False] * before + silent
    expected = ending(whole, rules, final_at=before)
    endpointer = Endpointer(rules, step_seconds=1.0)
    assert endpointer.observe(whole[:before]) is None
    endpointer.made_final()
    found = next((pause for quiet in silent if (pause := endpointer.observe([quiet]))), None)
    assert found == expected


def test_no_steps_say_nothing() -> None:
    endpointer = Endpointer(EndpointRules(), step_seconds=0.03)
    assert endpointer.observe([]) is None
    assert endpointer.steps == 0


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", [0, 0.0, -0.5, -INF, math.nan])
def test_times_that_are_none_are_refused_by_their_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"rule {name} is {value}.*more than 0 seconds"):
        EndpointRules(**{name: value})
