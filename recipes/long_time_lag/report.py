"""What the runs together say: a table, a picture, and a line for each task and lag."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inference.files import write_bytes
from inference.markdown import table as markdown
from recipes.long_time_lag.learner import MEMBERS, TEST_SEQUENCES
from recipes.long_time_lag.tasks import TASKS

QUARTILES = (0.25, 0.5, 0.75)
HEADER = ["task", "lag", "cell", "solved", "median sequences", "quartiles", f"wrong of {TEST_SEQUENCES:,}, at most"]
CAPTION = (
    "Lag: least steps between the last element that tells the answer and the answer. Sequences: how many were "
    "processed, each once, until the task's criterion was met by the most recent of them; of all runs, where `> N` are "
    "those that were not solved within their budget of N. Wrong: of further sequences, in the worst of the solved runs."
)
Group = tuple[str, int, str]


def table(lines: Sequence[dict[str, Any]]) -> str:
    """A Markdown table with a row for each task, lag and cell."""
    rows = []
    for (task, lag, cell), runs in grouped(lines).items():
        low, median, high = (_count(value, runs) for value in needed(runs))
        wrong = [run["wrong"] for run in runs if run["solved"]]
        rows.append(
            [
                TASKS[task].title,
                f"{lag:,}",
                cell,
                _share(runs),
                median,
                f"{low} to {high}",
                str(max(wrong, default="-")),
            ]
        )
    return f"# Long time lags\n\n{CAPTION}\n\n{markdown(HEADER, rows)}\n"


def summary(lines: Sequence[dict[str, Any]]) -> str:
    """A line for each task and lag: how many runs of each cell solved it."""
    found: dict[tuple[str, int], list[str]] = {}
    for (task, lag, cell), runs in grouped(lines).items():
        found.setdefault((task, lag), []).append(f"{cell} {_share(runs)}")
    return "\n".join(f"{task}, lag {lag}, solved: {', '.join(shares)}" for (task, lag), shares in found.items())


def draw(lines: Sequence[dict[str, Any]], path: Path) -> None:
    """A picture: share of runs solved, and sequences needed, by lag; a column for each task, a line for each cell."""
    from matplotlib.figure import Figure  # without pyplot, which would look for a window

    groups = grouped(lines)
    tasks = list(dict.fromkeys(task for task, _, _ in groups))
    cells = [cell for cell in MEMBERS if any(cell == one for _, _, one in groups)]
    figure = Figure(figsize=(1 + 3.2 * len(tasks), 6), layout="constrained")
    panels = figure.subplots(2, len(tasks), squeeze=False, sharex="col")
    for column, task in enumerate(tasks):
        above, below = panels[:, column]
        for number, cell in enumerate(cells):
            lags = sorted(lag for one, lag, other in groups if (one, other) == (task, cell))
            runs = [groups[task, lag, cell] for lag in lags]
            # Beside each other, where they would hide each other.
            places = np.array(lags) * 1.06 ** (number - (len(cells) - 1) / 2)
            shares = [100 * float(np.mean([run["solved"] for run in one])) for one in runs]
            above.plot(places, shares, "o-", color=f"C{number % 10}", label=cell)
            _draw_needed(below, places, runs, color=f"C{number % 10}")
        budget = max(run["budget"] for (one, _, _), some in groups.items() if one == task for run in some)
        below.axhline(budget, color="0.6", linestyle=":")
        below.annotate("budget", (1, budget), xycoords=("axes fraction", "data"), ha="right", va="bottom", color="0.4")
        above.set(title=TASKS[task].title, ylim=(-4, 104), xscale="log")
        below.set(xlabel="minimal lag, steps", ylim=(0, 1.1 * budget))
        ticks = sorted({lag for one, lag, _ in groups if one == task})
        below.set_xticks(ticks, [f"{lag:,}" for lag in ticks])
        below.set_xticks([], minor=True)
        below.yaxis.set_major_formatter("{x:,.0f}")
    panels[0, 0].set(ylabel="runs solved, %")
    panels[1, 0].set(ylabel="sequences needed: median, quartiles")
    panels[0, 0].legend()
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=150)
    write_bytes(path, picture.getvalue())


def _draw_needed(axes: Any, places: np.ndarray, runs: Sequence[Sequence[dict[str, Any]]], *, color: str) -> None:
    """Medians with their quartiles, those beyond the budget at the budget; no median where most were not solved."""
    for place, some in zip(places, runs, strict=True):
        low, median, high = needed(some)
        if not np.isfinite(median):
            continue
        high = high if np.isfinite(high) else some[0]["budget"]
        axes.errorbar(place, median, yerr=[[median - low], [high - median]], fmt="o", color=color, capsize=3)
    medians = np.array([needed(some)[1] for some in runs])
    axes.plot(places, np.where(np.isfinite(medians), medians, np.nan), "-", color=color)


def grouped(lines: Sequence[dict[str, Any]]) -> dict[Group, list[dict[str, Any]]]:
    """The runs of each task, lag and cell, in the order in which these are listed, by seed."""
    tasks, cells = list(TASKS), list(MEMBERS)
    order = sorted(lines, key=lambda run: (tasks.index(run["task"]), run["lag"], cells.index(run["cell"]), run["seed"]))
    groups: dict[Group, list[dict[str, Any]]] = {}
    for run in order:
        groups.setdefault((run["task"], run["lag"], run["cell"]), []).append(run)
    return groups


def needed(runs: Sequence[dict[str, Any]]) -> list[float]:
    """Quartiles of the sequences that runs needed; infinite where they reach those that did not solve the task."""
    counts = np.sort([run["sequences"] if run["solved"] else np.inf for run in runs])
    found = []
    for share in QUARTILES:
        place = share * (len(counts) - 1)
        below, above = counts[int(np.floor(place))], counts[int(np.ceil(place))]
        found.append(float(below + (place % 1) * (above - below)) if np.isfinite(above) else float("inf"))
    return found


def _share(runs: Sequence[dict[str, Any]]) -> str:
    return f"{sum(run['solved'] for run in runs)} of {len(runs)}"


def _count(value: float, runs: Sequence[dict[str, Any]]) -> str:
    return f"{value:,.0f}" if np.isfinite(value) else f"> {max(run['budget'] for run in runs):,}"
