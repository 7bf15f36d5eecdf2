"""Spotting against a second implementation that sees whole arrays, and the rules one by one."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gestures.spotting import Spot, SpotError, SpotRules, SpotState, Spotter, step
from inference.session import Event

LABELS = ("none", "wave", "stop", "go")
QUICK = SpotRules(hold_ms=100, cooldown_ms=300, gap_ms=250)


def run(rules: SpotRules, times_T: np.ndarray, probabilities_TV: np.ndarray) -> list[Spot]:
    """All that fires, with its end; what lasts ends at the last step."""
    state, spots = SpotState(), []
    for time, probabilities_V in zip(times_T.tolist(), probabilities_TV, strict=True):
        state, found = step(rules, state, time, probabilities_V)
        spots += found
    fired, ended = [s for s in spots if s.end is None], [s for s in spots if s.end is not None]
    assert [one._replace(end=None) for one in ended] == fired[: len(ended)], "an end changes nothing but the end"
    assert len(fired) - len(ended) in (0, 1)
    return ended + [one._replace(end=times_T[-1]) for one in fired[len(ended) :]]


def runs(is_T: np.ndarray, joint_T: np.ndarray) -> list[tuple[int, int]]:
    """First and last step of each stretch where it is so; no stretch goes across a step that does not join the last."""
    found: list[tuple[int, int]] = []
    for t in np.flatnonzero(is_T).tolist():
        if found and found[-1][1] == t - 1 and joint_T[t]:
            found[-1] = (found[-1][0], t)
        else:
            found.append((t, t))
    return found


def by_arrays(rules: SpotRules, times_T: np.ndarray, probabilities_TV: np.ndarray) -> list[Spot]:
    """The same by another way: stretches of the whole stream first, then what fires in them, then where it ends."""
    steps, labels = probabilities_TV.shape
    joint_T = np.r_[False, np.diff(times_T) <= rules.gap_ms / 1000 + 1e-9]
    stretch_TV = np.full((steps, labels), -1)
    stretches = []
    for label in range(1, labels):
        for first, last in runs(probabilities_TV[:, label] >= rules.exit, joint_T):
            stretch_TV[first : last + 1, label] = len(stretches)
            stretches.append((first, last))
    ready = []  # (step, label, confidence), wherever a hold is long enough
    for label in range(1, labels):
        others_T = np.delete(probabilities_TV, label, axis=1).max(axis=1)
        before_T = probabilities_TV[:, :label].max(axis=1)
        own_T = probabilities_TV[:, label]
        is_T = (own_T >= rules.enter) & (own_T - others_T >= rules.margin - 1e-9) & (own_T > before_T)
        is_T &= own_T >= others_T
        for first, last in runs(is_T, joint_T):
            for t in range(first, last + 1):
                if times_T[t] - times_T[first] >= rules.hold_ms / 1000 - 1e-9:
                    ready.append((t, label, own_T[first : t + 1].mean()))
    cooldown = rules.cooldown_ms / 1000 - 1e-9
    used: set[int] = set()
    spots: list[Spot] = []
    for t, label, confidence in sorted(ready):
        stretch = stretch_TV[t, label]
        time = times_T[t]
        if stretch in used:
            continue
        start = times_T[stretches[stretch][0]]
        if spots:
            latest = spots[-1]
            last = stretches[stretch_TV[np.searchsorted(times_T, latest.fired), latest.label]][1]
            over = last + 1 < t or (last + 1 == t and not joint_T[t])
            end = times_T[last + 1] if last + 1 < steps and joint_T[last + 1] else times_T[last]
            cool_from = end if over and latest.label == label else latest.fired
            if time - cool_from < cooldown:
                continue
            start = max(start, end if over else latest.fired)
            spots[-1] = latest._replace(end=end if over else start)
        used.add(stretch)
        spots.append(Spot(label, start, time, None, confidence))
    if spots:
        last = stretches[stretch_TV[np.searchsorted(times_T, spots[-1].fired), spots[-1].label]][1]
        joins = last + 1 < steps and joint_T[last + 1]
        spots[-1] = spots[-1]._replace(end=times_T[last + 1] if joins else times_T[last])
    return spots


@st.composite
def rules(draw: st.DrawFn) -> SpotRules:
    exit = draw(st.sampled_from([0.2, 0.4, 0.7]))
    return SpotRules(
        enter=draw(st.sampled_from([value for value in (0.3, 0.4, 0.7, 1.0) if value >= exit])),
        exit=exit,
        hold_ms=draw(st.sampled_from([0, 100, 150, 300])),
        margin=draw(st.sampled_from([0, 0.1, 0.3])),
        cooldown_ms=draw(st.sampled_from([0, 100, 300, 1000])),
        gap_ms=draw(st.sampled_from([50, 100, 250])),
    )


@st.composite
def streams(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Times and probabilities in stretches that dwell, on the thresholds too, with gaps; they need not add up to 1."""
    levels = st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    moments = st.tuples(st.tuples(*len(LABELS) * [levels]), st.integers(1, 6))
    probabilities = [values for values, times in draw(st.lists(moments, min_size=1, max_size=10)) for _ in range(times)]
    waits = st.sampled_from([0.05, 0.05, 0.05, 0.1, 0.25, 0.3])
    times_T = np.cumsum(draw(st.lists(waits, min_size=len(probabilities), max_size=len(probabilities))))
    return times_T, np.array(probabilities)


def confident(label: int, steps: int, probability: float = 0.9) -> np.ndarray:
    """So many steps of one label; the rest of the probability is `none`'s."""
    probabilities_TV = np.zeros((steps, len(LABELS)))
    probabilities_TV[:, 0] = 1 - probability
    probabilities_TV[:, label] = probability
    return probabilities_TV


def told(rules: SpotRules, *parts: np.ndarray, hop: float = 0.05) -> list[Spot]:
    """What fires in steps that come one after the other, every `hop` seconds from 0 on."""
    probabilities_TV = np.concatenate(parts)
    return run(rules, hop * np.arange(len(probabilities_TV)), probabilities_TV)


@given(rules=rules(), stream=streams())
def test_equals_the_other_implementation(rules: SpotRules, stream: tuple[np.ndarray, np.ndarray]) -> None:
    found, expected = run(rules, *stream), by_arrays(rules, *stream)
    assert [one[:4] for one in found] == [one[:4] for one in expected]
    assert [one.confidence for one in found] == pytest.approx([one.confidence for one in expected])


@given(rules=rules(), stream=streams(), cuts=st.lists(st.integers(0, 60), max_size=8))
def test_events_do_not_depend_on_the_grouping(
    rules: SpotRules, stream: tuple[np.ndarray, np.ndarray], cuts: list[int]
) -> None:
    times_T, probabilities_TV = stream
    whole, pieces = Spotter(rules, LABELS), Spotter(rules, LABELS)
    expected = [whole.push(times_T, probabilities_TV), whole.flush()]
    borders = [0, *sorted(min(cut, len(times_T)) for cut in cuts), len(times_T)]
    events = [event for a, b in pairwise(borders) for event in pieces.push(times_T[a:b], probabilities_TV[a:b])]
    assert [events, pieces.flush()] == expected


@given(rules=rules(), stream=streams())
def test_what_always_holds(rules: SpotRules, stream: tuple[np.ndarray, np.ndarray]) -> None:
    times_T, probabilities_TV = stream
    spots = run(rules, *stream)
    for spot in spots:
        assert spot.label != 0
        assert spot.start <= spot.fired <= spot.end
        assert spot.fired - spot.start >= rules.hold_ms / 1000 - 1e-6 or any(spot.start == one.end for one in spots)
        assert rules.enter - 1e-9 <= spot.confidence <= 1
        inside_T = (times_T >= spot.start) & (times_T < spot.end)
        assert (probabilities_TV[inside_T, spot.label] >= rules.exit).all()
    for before, after in pairwise(spots):
        assert before.end <= after.start
        assert after.fired - before.fired >= rules.cooldown_ms / 1000 - 1e-6
    for label in range(1, len(LABELS)):
        for before, after in pairwise(spot for spot in spots if spot.label == label):
            between_T = (times_T > before.fired) & (times_T <= after.fired)
            gap = np.diff(times_T[(times_T >= before.fired) & (times_T <= after.fired)]).max()
            fell = (probabilities_TV[between_T, label] < rules.exit).any()
            assert fell or gap > rules.gap_ms / 1000


@given(rules=rules(), stream=streams())
def test_none_never_fires_and_holds_the_others_back(rules: SpotRules, stream: tuple[np.ndarray, np.ndarray]) -> None:
    times_T, probabilities_TV = stream
    probabilities_TV[:, 0] = 1.0
    assert run(rules, times_T, probabilities_TV) == []


def test_a_gesture_fires_once_and_then_has_its_end() -> None:
    spotter = Spotter(QUICK, LABELS)
    probabilities_TV = np.concatenate([confident(1, 1, 0.5), confident(1, 5), confident(0, 2)])
    events = spotter.push(0.05 * np.arange(8), probabilities_TV)
    begun = Event(0.0, pytest.approx(0.15), "wave", pytest.approx(0.9), final=False, stable="wave")
    over = Event(0.0, pytest.approx(0.3), "wave", pytest.approx(0.9), final=True, stable="wave")
    assert events == [begun, over]
    assert spotter.flush() == []


def test_what_lasts_at_the_end_ends_there_and_a_new_stream_begins() -> None:
    spotter = Spotter(QUICK, LABELS)
    first = [*spotter.push(0.05 * np.arange(5), confident(2, 5)), *spotter.flush()]
    assert [(event.final, event.end) for event in first] == [(False, 0.1), (True, 0.2)]
    # Times from 0 again, and no cool-down from before.
    assert [*spotter.push(0.05 * np.arange(5), confident(2, 5)), *spotter.flush()] == first
    spotter.push(0.05 * np.arange(5), confident(2, 5))
    spotter.reset()
    assert spotter.flush() == []
    assert [*spotter.push(0.05 * np.arange(5), confident(2, 5)), *spotter.flush()] == first


@pytest.mark.parametrize(
    ("probability", "steps", "fires"),
    [(0.7, 3, True), (0.6999, 9, False), (0.9, 3, True), (0.9, 2, False), (1.0, 3, True)],
)
def test_enter_and_hold_are_reached_by_equality(probability: float, steps: int, fires: bool) -> None:
    rules = SpotRules(hold_ms=100)
    assert bool(told(rules, confident(1, steps, probability), confident(0, 3))) == fires


def test_holds_of_whole_steps_are_not_lost_to_rounding() -> None:
    for hop in (1 / 30, 1 / 25, 0.1, 1 / 15):
        for steps in range(1, 12):
            rules = SpotRules(hold_ms=1000 * hop * steps, gap_ms=1000)
            start = 7.3
            times_T = start + np.cumsum(np.full(20, hop))
            assert run(rules, times_T, confident(1, 20))[0].fired == times_T[steps]


def test_a_margin_reached_by_equality_is_enough() -> None:
    near = np.tile([0.0, 0.8, 0.7, 0.0], (5, 1))
    nearer = np.tile([0.0, 0.8, 0.71, 0.0], (5, 1))
    assert [spot.label for spot in told(QUICK, near)] == [1]
    assert told(QUICK, nearer) == []
    none = np.tile([0.75, 0.8, 0.0, 0.0], (5, 1))
    assert told(QUICK, none) == []


def test_below_enter_the_hold_begins_anew_and_the_start_stays() -> None:
    (spot,) = told(QUICK, confident(1, 2), confident(1, 1, 0.5), confident(1, 3), confident(0, 1))
    assert (spot.start, spot.fired) == (0.0, pytest.approx(0.25))
    assert spot.confidence == pytest.approx(0.9), "the mean is over the hold alone"


def test_at_exit_it_lasts_and_below_it_ends() -> None:
    (spot,) = told(QUICK, confident(1, 3), confident(1, 3, 0.4), confident(1, 5), confident(1, 1, 0.39))
    assert spot.end == pytest.approx(0.55)


def test_the_same_gesture_again_needs_its_fall_and_its_cool_down() -> None:
    quiet = SpotRules(hold_ms=0, cooldown_ms=0)
    dip = [confident(1, 3), confident(1, 1, 0.3), confident(1, 3)]
    assert len(told(quiet, *dip)) == 2
    assert len(told(quiet, confident(1, 3), confident(1, 1, 0.4), confident(1, 3))) == 1
    cooled = SpotRules(hold_ms=0, cooldown_ms=200)
    assert len(told(cooled, *dip)) == 1
    # From its end, not from when it fired; what it is held in the meantime counts.
    again = told(cooled, confident(1, 10), confident(0, 1), confident(1, 10))
    assert [spot.fired for spot in again] == pytest.approx([0.0, 0.7])
    assert again[1].start == pytest.approx(0.55)


def test_another_gesture_takes_over_after_the_cool_down() -> None:
    # Independent probabilities: the first goes on above exit.
    both = np.tile([0.0, 0.45, 0.9, 0.0], (8, 1))
    first, second = told(QUICK, confident(1, 5), both, confident(0, 1))
    assert (first.label, first.fired, first.end) == (1, pytest.approx(0.1), pytest.approx(0.25))
    assert (second.label, second.start, second.fired) == (2, pytest.approx(0.25), pytest.approx(0.4))
    # ... and does not fire again, as it has not fallen.
    back = np.tile([0.0, 0.9, 0.1, 0.0], (20, 1))
    assert [spot.label for spot in told(QUICK, confident(1, 5), both, back)] == [1, 2]


def test_one_that_takes_over_does_not_begin_before_the_other_has_fired() -> None:
    rising = np.tile([0.0, 0.9, 0.5, 0.0], (3, 1))
    over = np.tile([0.0, 0.45, 0.9, 0.0], (8, 1))
    first, second = told(QUICK, rising, over)
    assert first.end == second.start == first.fired == pytest.approx(0.1)


def test_a_gap_breaks_the_hold_and_ends_the_gesture() -> None:
    rules = SpotRules(hold_ms=100, gap_ms=250)
    times_T = np.array([0.0, 0.05, 3.0, 3.05])
    assert run(rules, times_T, confident(1, 4)) == [], "two glimpses are no hold of three seconds"
    times_T = np.array([0.0, 0.05, 0.1, 0.35, 0.601, 0.65])
    (spot,) = run(rules, times_T, confident(1, 6))
    assert (spot.start, spot.end) == (0.0, 0.35)
    times_T = np.array([0.0, 0.05, 0.1, 3.0, 3.05, 3.1])
    assert [(one.start, one.fired, one.end) for one in run(rules, times_T, confident(1, 6))] == [
        (0.0, 0.1, 0.1),
        (3.0, 3.1, 3.1),
    ]


def test_one_step_can_end_a_gesture_by_a_gap_and_fire_another() -> None:
    rules = SpotRules(hold_ms=0, cooldown_ms=0, gap_ms=100)
    state, spots = step(rules, SpotState(), 0.0, confident(1, 1)[0])
    assert [(one.label, one.end) for one in spots] == [(1, None)]
    before = state
    state, spots = step(rules, state, 1.0, confident(2, 1)[0])
    assert [(one.label, one.start, one.end) for one in spots] == [(1, 0.0, 0.0), (2, 1.0, None)]
    assert step(rules, before, 1.0, confident(2, 1)[0]) == (state, spots), "a state can be used twice"


def test_float32_is_judged_as_it_is() -> None:
    probabilities_TV = confident(1, 4, 0.75).astype(np.float32)
    rules = SpotRules(enter=0.75, hold_ms=100)
    assert told(rules, probabilities_TV) == told(rules, probabilities_TV.astype(np.float64))
    slightly_more = np.float32(1) + np.finfo(np.float32).eps
    (spot,) = told(rules, confident(1, 4) * 0 + np.array([0, slightly_more, 0, 0]))
    assert spot.confidence == 1.0


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -0.1, 1.1])
def test_what_is_no_probability_is_refused_and_leaves_the_spotter_as_it_was(wrong: float) -> None:
    spotter, plain = Spotter(QUICK, LABELS), Spotter(QUICK, LABELS)
    probabilities_TV = confident(1, 5)
    spoilt_TV = confident(2, 5)
    spoilt_TV[3, 3] = wrong
    assert spotter.push([0.0, 0.05], probabilities_TV[:2]) == plain.push([0.0, 0.05], probabilities_TV[:2])
    with pytest.raises(SpotError, match="0 to 1"):
        spotter.push(0.1 + 0.05 * np.arange(5), spoilt_TV)
    with pytest.raises(SpotError, match="0 to 1"):
        step(QUICK, SpotState(), 0.0, spoilt_TV[3])
    rest = 0.1 + 0.05 * np.arange(3)
    assert spotter.push(rest, probabilities_TV[2:]) == plain.push(rest, probabilities_TV[2:]) != []


@pytest.mark.parametrize("times", [[0.2, 0.1], [0.2, 0.2], [0.1, 0.2], [np.nan, 1.0], [0.2, np.inf]])
def test_times_that_do_not_rise_are_refused(times: list[float]) -> None:
    spotter = Spotter(QUICK, LABELS)
    spotter.push([0.1], confident(1, 1))
    with pytest.raises(SpotError, match="rise"):
        spotter.push(times, confident(1, 2))
    assert spotter.push([0.15, 0.2], confident(1, 2)), "and leave the spotter as it was"


def test_shapes_that_do_not_fit_are_refused() -> None:
    spotter = Spotter(QUICK, LABELS)
    with pytest.raises(SpotError, match=r"\(T, 4\)"):
        spotter.push([0.0, 0.1], confident(1, 3))
    with pytest.raises(SpotError, match=r"\(T, 4\)"):
        spotter.push([0.0, 0.1], np.zeros((2, 3)))
    assert spotter.push([], np.zeros((0, 4))) == []


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["wave", "none"], "wave"),
        ([], "missing"),
        (["none"], "others"),
        (["none", "wave", "wave"], "once"),
    ],
)
def test_labels_that_cannot_be_spotted(labels: list[str], message: str) -> None:
    with pytest.raises(SpotError, match=message):
        Spotter(QUICK, labels)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("enter", 0.0),
        ("enter", 1.1),
        ("enter", float("nan")),
        ("exit", 0.0),
        ("exit", 0.71),
        ("hold_ms", -1),
        ("hold_ms", float("inf")),
        ("margin", -0.1),
        ("margin", 1.0),
        ("cooldown_ms", float("nan")),
        ("gap_ms", 0),
    ],
)
def test_rules_out_of_range_are_named(name: str, value: float) -> None:
    with pytest.raises(SpotError, match=f"rule {name} is {value}"):
        SpotRules(**{name: value})


def test_spotting_loads_neither_torch_nor_mediapipe() -> None:
    code = (
        "import sys, gestures.spotting, gestures.formats, training.class_report;"
        "print([n for n in ('torch', 'mediapipe', 'cv2', 'matplotlib', 'jiwer') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_lead_and_trail_set_times_right_but_not_before_the_stream_or_each_other() -> None:
    """Probabilities of the last moments rise late; the medians of that are taken away from all times."""
    times_T = np.arange(40) * 0.1 + 7.0
    probabilities_TV = np.tile([0.9, 0.05, 0.05], (40, 1))
    probabilities_TV[3:12] = [0.05, 0.9, 0.05]
    probabilities_TV[12:20] = [0.05, 0.05, 0.9]
    plain, moved = (
        Spotter(SpotRules(hold_ms=100, cooldown_ms=0, lead_ms=lead, trail_ms=trail), ("none", "a", "b"))
        for lead, trail in ((0, 0), (500, 200))
    )
    before, after = ([*one.push(times_T, probabilities_TV), *one.flush()] for one in (plain, moved))
    assert [(one.text, one.final) for one in before] == [("a", False), ("a", True), ("b", False), ("b", True)]
    assert [(one.text, one.final) for one in after] == [(one.text, one.final) for one in before]
    assert [one.start for one in after] == pytest.approx([7.0, 7.0, 8.0, 8.0])  # 7.3 - 0.5 is before the stream
    assert [one.end for one in after] == pytest.approx([7.4, 8.0, 8.3, 8.8])
    assert [one.end for one in before if not one.final] == [one.end for one in after if not one.final]
