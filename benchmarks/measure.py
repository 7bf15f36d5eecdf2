"""How everything here is measured: in turns, by processor time, into plain records.

Whatever is compared takes its turn in each round, so that a machine that grows slower or faster, or does other work,
treats all alike; ratios are medians over rounds of what ran in the same round. The first round warms up and is not
counted.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.peers import Peers

# Runs something once and says what it cost.
Gauge = Callable[[], float]


@dataclass(frozen=True)
class Setting:
    """What all subjects are told.

    Attributes:
        rounds: Turns of everything.
        quick: Small sizes: whether it runs, not how fast.
        threads: Of everything that is timed.
        peers: Environments of other implementations.
        data: Folder of corpora; none has what ships alone.
    """

    rounds: int
    quick: bool
    threads: int
    peers: Peers
    data: Path | None = None


@dataclass(frozen=True)
class Measurement:
    """What one thing cost in one case, a value for each round.

    Attributes:
        case: What was to be done; what has the same case is compared, with the first that was measured.
        who: What did it.
        unit: `s`, `MB`, or a unit that is shown as it is.
        values: A value a round.
        size: Where cost is measured against a size, that size, in the units that `axis` names.
        axis: Such as `seconds of sound`.
        note: What must be known of it, such as another definition.
    """

    case: str
    who: str
    unit: str
    values: tuple[float, ...]
    size: float | None = None
    axis: str = ""
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)


@dataclass(frozen=True)
class Absent:
    """Somebody who should have been measured, and why not."""

    who: str
    reason: str


@dataclass(frozen=True)
class Aim:
    """A bound that was set, and what was measured."""

    what: str
    value: float
    bound: float
    at_most: bool = True

    @property
    def met(self) -> bool:
        return self.value <= self.bound if self.at_most else self.value >= self.bound


@dataclass
class Subject:
    """All that was found about one subject."""

    name: str
    text: str
    measurements: list[Measurement] = field(default_factory=list)
    absent: list[Absent] = field(default_factory=list)
    aims: list[Aim] = field(default_factory=list)
    failed: str = ""

    def add(
        self,
        case: str,
        values: Mapping[str, Sequence[float]],
        *,
        unit: str = "s",
        size: float | None = None,
        axis: str = "",
        notes: Mapping[str, str] | None = None,
    ) -> None:
        """Note what `take_turns` found."""
        for who, taken in values.items():
            note = (notes or {}).get(who, "")
            self.measurements.append(Measurement(case, who, unit, tuple(map(float, taken)), size, axis, note))

    def leave_out(self, who: str, reason: object) -> None:
        """Note who could not be measured, once."""
        absent = Absent(who, " ".join(str(reason).split()))
        if absent not in self.absent:
            self.absent.append(absent)


def processor_time(call: Callable[[], object]) -> Gauge:
    """A gauge of the seconds that all threads of this process compute, which other work changes little."""

    def gauge() -> float:
        begun = time.process_time()
        call()
        return time.process_time() - begun

    return gauge


def take_turns(gauges: Mapping[str, Gauge], rounds: int, *, at_least: float = 0.0) -> dict[str, list[float]]:
    """What each gauge says in each round, after one that warms up. Every second round goes backwards.

    Args:
        at_least: What is over sooner is run as often as it takes to cost this much, and the mean is noted: the clock of
            processor time is no finer than it is.
    """
    repeats = {}
    for name, gauge in gauges.items():
        gauge()
        once = gauge() if at_least else 0.0
        repeats[name] = max(1, min(1000, round(at_least / max(once, 1e-6)))) if at_least else 1
    values: dict[str, list[float]] = {name: [] for name in gauges}
    for number in range(rounds):
        for name in reversed(gauges) if number % 2 else gauges:
            values[name].append(statistics.fmean(gauges[name]() for _ in range(repeats[name])))
    return values


def ratio(ones: Sequence[float], others: Sequence[float]) -> float:
    """The median ratio of values of the same rounds."""
    return statistics.median(one / other for one, other in zip(ones, others, strict=True))
