"""What cells of the LSTM family do on one test set, compared: a table, a test of significance, and a plot."""

from __future__ import annotations

import io
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from inference.markdown import table
from recipes.measured import shown

# The hub of the family: most other cells differ from it in one thing.
REFERENCE = "lstm"
# What Greff et al. 2017 call these cells: V is their vanilla LSTM, with peepholes and all gates; N... goes without.
GREFF = {
    "peephole": "V",
    "lstm": "NP",
    "cifg_peephole": "CIFG",
    "cifg": "CIFG, NP",
    "lstm_1997": "NFG, NP",
}
NONE = "–"


@dataclass
class Runs:
    """The trainings of one cell.

    Attributes:
        parameters: Numbers that are trained; none if every training diverged.
        seconds: Processor time of each that has a model; none if it is not known.
        diverged: Seeds whose training diverged, and what was said.
    """

    parameters: int | None = None
    seconds: list[float | None] = field(default_factory=list)
    diverged: dict[int, str] = field(default_factory=dict)


@dataclass
class Comparison:
    """One figure on one test set, by cell.

    Attributes:
        part: The test set.
        figure: The figure's name.
        test: Its value for each seed.
        dev: Its value on the development set, where it has one.
    """

    part: str
    figure: str
    test: dict[str, list[float]] = field(default_factory=dict)
    dev: dict[str, list[float]] = field(default_factory=dict)

    def add(self, cell: str, test: float, dev: float | None) -> None:
        """Take in what one network does."""
        self.test.setdefault(cell, []).append(test)
        if dev is not None:
            self.dev.setdefault(cell, []).append(dev)


def reference_of(cells: Sequence[str]) -> str:
    """The cell that others are compared with: `lstm` if it is among them, else the first."""
    return REFERENCE if REFERENCE in cells else cells[0]


def significance(values: Sequence[float], reference: Sequence[float], *, tests: int) -> float | None:
    """How likely means are to differ so much by chance: p of Welch's t-test, two-sided, times the number of tests.

    Welch 1947, with Bonferroni's adjustment, at most 1: as in Greff et al. 2017.

    Returns:
        None where there is no spread to judge by: one value a side, or all alike on both.
    """
    if min(len(values), len(reference)) < 2 or len(set(values)) == len(set(reference)) == 1:
        return None
    from scipy.stats import ttest_ind_from_stats

    # From means and deviations: from the values themselves scipy warns where those of one side are all alike.
    sides = [(statistics.mean(side), statistics.stdev(side), len(side)) for side in (values, reference)]
    return min(1.0, tests * float(ttest_ind_from_stats(*sides[0], *sides[1], equal_var=False).pvalue))


def to_markdown(
    name: str,
    command: str,
    comparisons: Sequence[Comparison],
    runs: Mapping[str, Runs],
    *,
    seeds: Sequence[int],
    reference: str,
) -> str:
    """The report: a table for each figure on each test set, and what was compared how.

    Args:
        name: The recipe.
        command: What makes it again.
        comparisons: What was measured.
        runs: The trainings of each cell, in the order of the rows.
        seeds: What each cell was trained with.
        reference: The cell that the others are compared with.
    """
    blocks = [
        f"# {name}: {len(runs)} cells of the LSTM family, {len(seeds)} seed{'s' * (len(seeds) > 1)} each",
        f"    {command}",
        f"Same settings and budget for every cell, seeds {', '.join(map(str, seeds))}. Figures are means with the "
        f"standard deviation of a sample; p is of Welch's t-test against `{reference}`, times the number of other "
        "cells (Bonferroni). CPU time is the least of a cell's trainings, of all threads and processes "
        "together, and in brackets its ratio to that of the reference. The second column is what Greff et al. 2017 "
        "call the cell: V is their vanilla LSTM, N says what is not there (P peepholes, FG forget gate), CIFG that "
        "input and forget gates are coupled. Besides the cell one thing differs: `rnn`, `lstm`, `lstmp` and "
        "`gru_cudnn` have two biases a gate, as torch has, which add up and so learn twice as fast as the one of the "
        "others.",
    ]
    for comparison in comparisons:
        blocks += [f"## {comparison.part} {comparison.figure}", _table(comparison, runs, reference)]
    blocks += [
        f"`{cell}`, seed {seed}, diverged: {said}" for cell, run in runs.items() for seed, said in run.diverged.items()
    ]
    return "\n\n".join([*blocks, "![Figures of each seed](ablation.png)"]) + "\n"


def _table(comparison: Comparison, runs: Mapping[str, Runs], reference: str) -> str:
    figure, base = comparison.figure, comparison.test.get(reference, [])
    least = _least_seconds(runs[reference])
    rows = []
    for cell, run in runs.items():
        values, seconds = comparison.test.get(cell, []), _least_seconds(run)
        difference = statistics.mean(values) - statistics.mean(base) if values and base and cell != reference else None
        chance = None if difference is None else significance(values, base, tests=len(runs) - 1)
        share = f" ({seconds / least:.2f})" if seconds and least else ""
        rows.append(
            [
                f"`{cell}`",
                GREFF.get(cell, ""),
                NONE if run.parameters is None else f"{run.parameters:,}",
                _spread(figure, comparison.dev.get(cell, [])),
                _spread(figure, values),
                ", ".join(shown(figure, value) for value in values) or "diverged",
                NONE if difference is None else f"{'+' if difference > 0 else ''}{shown(figure, difference)}",
                NONE if chance is None else f"{chance:.3f}" if chance >= 5e-4 else "< 0.001",
                NONE if seconds is None else f"{seconds:.1f} s{share}",
            ]
        )
    header = ["cell", "Greff et al.", "parameters", f"dev {figure}", f"{comparison.part} {figure}", "each seed"]
    return table([*header, f"less `{reference}`", "p", "CPU time"], rows, text_columns=2)


def _spread(figure: str, values: Sequence[float]) -> str:
    if not values:
        return NONE
    mean = shown(figure, statistics.mean(values))
    return f"{mean} ± {shown(figure, statistics.stdev(values))}" if len(values) > 1 else mean


def _least_seconds(run: Runs) -> float | None:
    return min((seconds for seconds in run.seconds if seconds is not None), default=None)


def summary(comparison: Comparison, reference: str) -> str:
    """The result on a line: the lowest and the highest mean, and the reference's."""
    means = {cell: statistics.mean(values) for cell, values in comparison.test.items()}
    ends = [f"lowest {min(means, key=means.get)}", f"highest {max(means, key=means.get)}", reference]
    return f"{comparison.part} {comparison.figure}: " + ", ".join(
        f"{end} {shown(comparison.figure, means[end.split()[-1]])}" for end in ends if end.split()[-1] in means
    )


def plot(comparisons: Sequence[Comparison], cells: Sequence[str], *, reference: str) -> bytes:
    """A picture, PNG: each seed's figure, mean and standard deviation, and a line at the mean of the reference."""
    from matplotlib.figure import Figure  # without pyplot, which would look for a window

    size = (4.5 * len(comparisons) + 1.5, 0.4 * len(cells) + 1.2)
    figure = Figure(figsize=size, layout="constrained")
    for axes, comparison in zip(
        figure.subplots(1, len(comparisons), sharey=True, squeeze=False)[0], comparisons, strict=True
    ):
        for place, cell in enumerate(cells):
            values = comparison.test.get(cell)
            if not values:
                continue
            deviation = statistics.stdev(values) if len(values) > 1 else math.nan
            axes.plot(values, [place] * len(values), "o", color="C0", alpha=0.5)
            axes.errorbar(statistics.mean(values), place, xerr=deviation, fmt="|", color="C1", capsize=3, markersize=12)
        if reference in comparison.test:
            axes.axvline(statistics.mean(comparison.test[reference]), color="0.6", linestyle="--", linewidth=1)
        axes.set(xlabel=f"{comparison.part} {comparison.figure}")
        axes.grid(axis="x", alpha=0.3)
    axes.set_yticks(range(len(cells)), cells)
    axes.set_ylim(len(cells) - 0.5, -0.5)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    return picture.getvalue()
