"""A picture of each subject: who takes how long in each case, and cost against size in logarithms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import Measurement, Subject

COLUMNS = 2
OURS = "saywave"
SCALES = {"s": (1e3, "ms")}


def draw(subject: Subject, path: Path) -> bool:
    """Write the picture of a subject; False where there is nothing to draw."""
    # It takes a second to load, which whoever reads `--help` need not wait for.
    from matplotlib import pyplot

    cases = list(dict.fromkeys(one.case for one in subject.measurements))
    if not cases:
        return False
    columns = min(COLUMNS, len(cases))
    rows = math.ceil(len(cases) / columns)
    figure, panels = pyplot.subplots(
        rows, columns, figsize=(7.5 * columns, 3.6 * rows), layout="constrained", squeeze=False
    )
    for panel, case in zip(panels.flat, cases, strict=False):
        chosen = [one for one in subject.measurements if one.case == case]
        (_bars if chosen[0].size is None else _lines)(panel, chosen)
        panel.set_title(case, fontsize=10)
    for panel in list(panels.flat)[len(cases) :]:
        panel.set_visible(False)
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
    return True


def _scaled(measurements: Sequence[Measurement]) -> tuple[float, str]:
    unit = measurements[0].unit
    return SCALES.get(unit, (1.0, unit))


def _bars(panel, measurements: Sequence[Measurement]) -> None:
    """Medians, with the least and the most of the rounds; rows of another unit than the first are left to the table."""
    factor, unit = _scaled(measurements)
    chosen = [one for one in measurements if one.unit == measurements[0].unit]
    medians = [factor * one.median for one in chosen]
    spread = [
        [factor * (one.median - min(one.values)) for one in chosen],
        [factor * (max(one.values) - one.median) for one in chosen],
    ]
    colours = ["tab:blue" if one.who.startswith(OURS) else "tab:gray" for one in chosen]
    panel.barh(range(len(chosen)), medians, xerr=spread, color=colours, error_kw={"elinewidth": 1, "capsize": 2})
    panel.set_yticks(range(len(chosen)), [one.who for one in chosen], fontsize=8)
    panel.invert_yaxis()
    panel.set_xlabel(unit)
    if min(medians) > 0 and max(medians) > 20 * min(medians):
        panel.set_xscale("log")
    panel.grid(axis="x", alpha=0.3)


def _lines(panel, measurements: Sequence[Measurement]) -> None:
    """Medians against sizes."""
    factor, unit = _scaled(measurements)
    for who in dict.fromkeys(one.who for one in measurements):
        curve = sorted((one.size, factor * one.median) for one in measurements if one.who == who)
        ours = who.startswith(OURS)
        panel.plot(*zip(*curve, strict=True), marker="o", markersize=3, linewidth=2 if ours else 1, label=who)
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xlabel(measurements[0].axis)
    panel.set_ylabel(unit)
    panel.grid(alpha=0.3, which="both")
    panel.legend(fontsize=8)
