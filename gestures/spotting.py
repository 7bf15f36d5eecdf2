"""From probabilities to events: a gesture that is held long enough fires once.

`step` is a pure function of (time, probabilities, state), so that events do not depend on how a stream is cut into
pushes. Shape letters: T steps, V labels, of which label 0 is `none` and never fires.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from inference.session import Event

NONE = "none"
"""The first label of every model that spots: no gesture, or none that is known."""

# Times are sums of frame lengths, margins are differences: what is meant to be enough may come out a rounding below it.
ROUNDING = 1e-6


class SpotError(ValueError):
    """Rules out of range, or probabilities and times that are none."""


@dataclass(frozen=True)
class SpotRules:
    """When a gesture fires; times in milliseconds.

    Args:
        enter: Probability from which on a gesture can fire.
        exit: Probability below which it has ended. It can fire again only after that.
        hold_ms: How long it must stay at `enter` or above before it fires.
        margin: By how much its probability must exceed those of all other labels, `none` included, in all that time.
        cooldown_ms: How long nothing fires after a gesture has fired; the same gesture neither fires in this time after
            its end. Another one need not wait for that end. What is held in the meantime counts.
        gap_ms: A longer time without probabilities ends a gesture and breaks every hold. A session has none: where a
            camera hangs, it judges frames in which nobody is there.
        lead_ms: How long before its probability rises a gesture begins: probabilities are of the last moments of a
            stream, and rise when most of a gesture has been seen. The report of an evaluation tells the median.
        trail_ms: The same for its end, and the fall.
    """

    enter: float = 0.7
    exit: float = 0.4
    hold_ms: float = 200.0
    margin: float = 0.1
    cooldown_ms: float = 500.0
    gap_ms: float = 500.0
    lead_ms: float = 0.0
    trail_ms: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.enter <= 1:
            raise SpotError(f"the spotting rule enter is {self.enter}; it must be more than 0 and at most 1")
        if not 0 < self.exit <= self.enter:
            raise SpotError(
                f"the spotting rule exit is {self.exit}; it must be more than 0 and at most enter ({self.enter})"
            )
        if not 0 <= self.margin < 1:
            raise SpotError(f"the spotting rule margin is {self.margin}; it must be at least 0 and less than 1")
        for name in ("hold_ms", "cooldown_ms", "lead_ms", "trail_ms"):
            if not 0 <= getattr(self, name) < math.inf:
                raise SpotError(f"the spotting rule {name} is {getattr(self, name)}; it must be 0 milliseconds or more")
        if not self.gap_ms > 0:
            raise SpotError(f"the spotting rule gap_ms is {self.gap_ms}; it must be more than 0 milliseconds")


class Spot(NamedTuple):
    """A gesture that has fired; times in seconds.

    Attributes:
        label: Its number, 1 to V - 1.
        start: When its probability rose to `exit`, from where it has not fallen below; not before the end of the
            gesture that fired before it.
        fired: When it had been held long enough.
        end: When its probability fell below `exit`, or another gesture took over; None while it lasts.
        confidence: Mean of its probability over the hold that made it fire, in [0, 1].
    """

    label: int
    start: float
    fired: float
    end: float | None
    confidence: float


class Excursion(NamedTuple):
    """A label that has been at `exit` or above since `start`, and whether it has fired in that time."""

    label: int
    start: float
    fired: bool


class Hold(NamedTuple):
    """A label that has been at `enter` or above and ahead of all others since `start`; sum and number of its
    probabilities."""

    label: int
    start: float
    total: float
    steps: int


class SpotState(NamedTuple):
    """All that `step` remembers of the steps before; made without arguments, it is the state before the first.

    Attributes:
        time: Of the last step, in seconds.
        excursions: The labels at `exit` or above, in their order.
        hold: What may fire next.
        last: What fired last; its end is None while it lasts.
    """

    time: float | None = None
    excursions: tuple[Excursion, ...] = ()
    hold: Hold | None = None
    last: Spot | None = None


def step(
    rules: SpotRules, state: SpotState, time: float, probabilities_V: npt.NDArray[np.floating]
) -> tuple[SpotState, tuple[Spot, ...]]:
    """Take the probabilities of one moment; the state after it, and what has ended and fired in it.

    A gesture comes twice: when it fires, without an end, and when it has ended, the same but for its end. One step can
    bring both, the end of one gesture first and then another that fires. Of gestures that fire, at most one lasts at
    any moment: one that fires takes over from the one before, and ends it.

    Args:
        rules: When a gesture fires.
        state: What the step before returned.
        time: Seconds, later than at the step before.
        probabilities_V: (V) probabilities from 0 to 1; they need not add up to 1.

    Raises:
        SpotError: the time does not rise, or the probabilities are none.
    """
    # In float32 a threshold such as 0.7 is another number.
    probabilities_V = np.asarray(probabilities_V, dtype=np.float64)
    check(state, np.array([time], dtype=np.float64), probabilities_V[None])
    spots: list[Spot] = []
    if state.time is not None and (time - state.time) * 1000 > rules.gap_ms + ROUNDING:
        state, spots = _ended(state)
    excursions = _excursions(rules, state, time, probabilities_V)
    hold = _hold(rules, state, time, probabilities_V)
    last = state.last
    risen = {excursion.label: excursion for excursion in excursions}
    if hold is not None and not risen[hold.label].fired and _may_fire(rules, hold, last, time):
        start = risen[hold.label].start
        if last is not None:
            start = max(start, last.fired if last.end is None else last.end)
            if last.end is None:
                spots.append(last._replace(end=start))
        last = Spot(hold.label, start, time, None, min(hold.total / hold.steps, 1.0))
        spots.append(last)
        excursions = tuple(one._replace(fired=one.fired or one.label == hold.label) for one in excursions)
    elif last is not None and last.end is None and last.label not in risen:
        last = last._replace(end=time)
        spots.append(last)
    return SpotState(time, excursions, hold, last), tuple(spots)


def check(state: SpotState, times_T: npt.NDArray[np.float64], probabilities_TV: npt.NDArray[np.floating]) -> None:
    """Raise `SpotError` unless these can follow the state: times finite and rising, probabilities from 0 to 1."""
    times = times_T if state.time is None else np.concatenate([[state.time], times_T])
    if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise SpotError("times must be finite and rise from each step to the next")
    # A softmax in float32 may exceed 1 by a rounding.
    if not ((probabilities_TV >= 0) & (probabilities_TV <= 1 + 1e-5)).all():
        raise SpotError("probabilities must be numbers from 0 to 1: are these scores before a softmax?")


def _ended(state: SpotState) -> tuple[SpotState, list[Spot]]:
    """Nothing goes on after the last step: the state without what was going on, and the gesture that this ends."""
    last = state.last
    if last is None or last.end is not None:
        return SpotState(state.time, last=last), []
    last = last._replace(end=state.time)
    return SpotState(state.time, last=last), [last]


def _excursions(
    rules: SpotRules, state: SpotState, time: float, probabilities_V: npt.NDArray[np.floating]
) -> tuple[Excursion, ...]:
    before = {excursion.label: excursion for excursion in state.excursions}
    high = np.flatnonzero(probabilities_V >= rules.exit).tolist()
    return tuple(before.get(label, Excursion(label, time, False)) for label in high if label != 0)


def _hold(rules: SpotRules, state: SpotState, time: float, probabilities_V: npt.NDArray[np.floating]) -> Hold | None:
    best = int(probabilities_V.argmax())  # of equals the first, which `none` is before all others
    probability = float(probabilities_V[best])
    second = float(np.delete(probabilities_V, best).max(initial=0.0))
    if best == 0 or probability < rules.enter or probability - second < rules.margin - ROUNDING:
        return None
    if state.hold is not None and state.hold.label == best:
        return state.hold._replace(total=state.hold.total + probability, steps=state.hold.steps + 1)
    return Hold(best, time, probability, 1)


def _may_fire(rules: SpotRules, hold: Hold, last: Spot | None, time: float) -> bool:
    if (time - hold.start) * 1000 < rules.hold_ms - ROUNDING:
        return False
    if last is None:
        return True
    cool_from = last.end if last.label == hold.label and last.end is not None else last.fired
    return (time - cool_from) * 1000 >= rules.cooldown_ms - ROUNDING


class Spotter:
    """Spots gestures in a stream of probabilities.

    A gesture comes as two events with the same label and start. At once when it fires, one that is not final: its label
    is `stable`, and its end is the moment at which it fired. When the gesture has ended, a final one with its true end.
    Final events follow each other in time and do not overlap.

    Args:
        rules: When a gesture fires.
        labels: Names of the V labels, of which the first is `none`.

    Raises:
        SpotError: the first label is not `none`, there is no other, or two are the same.
    """

    def __init__(self, rules: SpotRules, labels: Sequence[str]):
        self.rules = rules
        self.labels = tuple(labels)
        if self.labels[:1] != (NONE,):
            raise SpotError(f"the first label is {labels[0] if labels else 'missing'}; spotting needs {NONE!r} there")
        if len(self.labels) < 2 or len(set(self.labels)) < len(self.labels):
            raise SpotError(f"the labels are {', '.join(self.labels)}; give {NONE!r} and others, each once")
        self.reset()

    def reset(self) -> None:
        """Forget everything without a word: what is pushed afterwards is a new stream."""
        self._state = SpotState()
        self._begun: float | None = None  # time of the first step
        self._told = -math.inf  # end of the last gesture that has ended

    def push(self, times_T: npt.ArrayLike, probabilities_TV: npt.ArrayLike) -> list[Event]:
        """Take the next steps, any number of them; the events that they lead to.

        Args:
            times_T: (T) seconds, rising.
            probabilities_TV: (T, V) probabilities from 0 to 1.

        Raises:
            SpotError: shapes do not fit, times do not rise, or the probabilities are none. All of these steps are left
                out, and the spotter is as before.
        """
        times_T, probabilities_TV = np.asarray(times_T, dtype=np.float64), np.asarray(probabilities_TV)
        if times_T.ndim != 1 or probabilities_TV.shape != (len(times_T), len(self.labels)):
            raise SpotError(
                f"times {times_T.shape} and probabilities {probabilities_TV.shape} do not fit: (T,) and "
                f"(T, {len(self.labels)}) are needed"
            )
        check(self._state, times_T, probabilities_TV)
        if self._begun is None and len(times_T):
            self._begun = float(times_T[0])
        events = []
        for time, probabilities_V in zip(times_T.tolist(), probabilities_TV, strict=True):
            self._state, spots = step(self.rules, self._state, time, probabilities_V)
            events += [self._event(spot) for spot in spots]
        return events

    def flush(self) -> list[Event]:
        """The stream has ended: a gesture that lasts ends at its last step. What is pushed next is a new stream."""
        _, spots = _ended(self._state)
        events = [self._event(spot) for spot in spots]
        self.reset()
        return events

    def _event(self, spot: Spot) -> Event:
        """The spot with its times set right by the rules, not before the stream or the end of the gesture before."""
        assert self._begun is not None, "a gesture comes after the first step"
        start = max(spot.start - self.rules.lead_ms / 1000, self._begun, self._told)
        label = self.labels[spot.label]
        if spot.end is None:
            return Event(start, spot.fired, label, spot.confidence, final=False, stable=label)
        end = max(start, spot.end - self.rules.trail_ms / 1000)
        self._told = end
        return Event(start, end, label, spot.confidence, final=True, stable=label)
