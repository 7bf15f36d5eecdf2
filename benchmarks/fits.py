"""How cost grows with size: straight lines through logarithms, cost = factor * size ** exponent.

A fixed cost hides the growth of small sizes, so the exponent of the last decade stands beside that of all sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.measure import Measurement

COSTS = ("s", "MB")


class Fit(NamedTuple):
    """A power law, by least squares in logarithms.

    Attributes:
        exponent: 1 is linear.
        factor: Cost at size 1, by the line.
        last: The exponent over the largest decade of sizes alone.
        decades: How far the sizes reach.
        off: The largest relative distance of a cost from the line.
    """

    exponent: float
    factor: float
    last: float
    decades: float
    off: float


def power_law(sizes: Sequence[float], costs: Sequence[float]) -> Fit:
    """The line through the logarithms of sizes and costs, both above 0; at least two sizes."""
    size_N, cost_N = (np.asarray(values, dtype=np.float64) for values in (sizes, costs))
    assert len(size_N) == len(cost_N) >= 2, "a line goes through two points"
    assert min(size_N.min(), cost_N.min()) > 0, "logarithms are of what is above 0"
    log_size_N, log_cost_N = np.log(size_N), np.log(cost_N)
    exponent, offset = np.polyfit(log_size_N, log_cost_N, 1)
    large_N = size_N >= size_N.max() / 10 * (1 - 1e-9)
    last = np.polyfit(log_size_N[large_N], log_cost_N[large_N], 1)[0] if large_N.sum() > 1 else exponent
    off = np.abs(np.exp(log_cost_N - exponent * log_size_N - offset) - 1).max()
    decades = np.log10(size_N.max() / size_N.min())
    return Fit(float(exponent), float(np.exp(offset)), float(last), float(decades), float(off))


def growth(measurements: Sequence[Measurement]) -> dict[tuple[str, str], Fit]:
    """A fit for each case of time or memory and who was measured in it at two sizes or more."""
    curves: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for one in measurements:
        if one.size is not None and one.unit in COSTS and one.median > 0:
            curves.setdefault((one.case, one.who), []).append((one.size, one.median))
    return {key: power_law(*zip(*points, strict=True)) for key, points in curves.items() if len(points) > 1}
