"""The long time lags of the paper that introduced the LSTM: who bridges them, and after how many sequences.

An experiment makes its own data, so there is nothing to prepare and no model to keep: what comes out is `runs.jsonl`
with a line for each finished run, from which the same command goes on; `table.md`, which is written with it; and
`long_time_lag.png`, drawn when all has ended, or was stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

from inference.files import read_text, write_text
from inference.progress import bar
from inference.shell import CommandParser, count
from inference.workers import Failure, Here, Processes
from recipes.long_time_lag.learner import MEMBERS, Outcome, learn
from recipes.long_time_lag.report import draw, summary, table
from recipes.long_time_lag.settings import FILE, ExperimentError, Plan, Run, read_settings, runs_of, shown
from recipes.long_time_lag.tasks import TASKS

PROGRAM = "recipes long_time_lag"
RUNS, TABLE, PLOT = "runs.jsonl", "table.md", "long_time_lag.png"
Line = dict[str, Any]
LINE = {field.name for kind in (Run, Outcome) for field in fields(kind)} | {"seconds"}


def start(arguments: Sequence[str]) -> str:
    """Do what the command line asks for; returns the lines that say the result.

    Raises:
        ExperimentError: an option is out of range, the folder holds runs of other settings, or runs failed.
        inference.workers.WorkerError: no process can begin, or none is left.
        OSError: the folder cannot be written.
        SystemExit: an option is unknown or has no such value, or `--help` was asked for.
    """
    options = _parser().parse_args(list(arguments))
    read = read_settings(Path(options.config))
    whole = Plan(**read["full" if options.full else "default"])
    plan = Plan(
        list(dict.fromkeys(options.tasks or whole.tasks)),
        list(dict.fromkeys(options.cells or whole.cells)),
        sorted({*(options.lags or whole.lags)}),
        whole.seeds if options.seeds is None else options.seeds,
        options.first_seed,
    )
    runs = runs_of(plan, read, budget=options.budget)
    if options.print_config:
        return shown(plan, runs)
    if not runs:
        raise ExperimentError("--seeds is 0: there is nothing to run; give at least 1")
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    lines = finished(out / RUNS, runs)
    try:
        failed = work(runs, lines, out, jobs=options.jobs or os.cpu_count() or 1)
    finally:
        if lines:
            write_text(out / TABLE, table(lines))
            draw(lines, out / PLOT)
    if failed:
        raise ExperimentError(
            f"{len(failed)} of {len(runs)} runs failed, and the same command tries them again: {failed[0]}"
        )
    asked = {run.key for run in runs}
    return summary([line for line in lines if key_of(line) in asked])


def finished(path: Path, runs: Sequence[Run]) -> list[Line]:
    """The lines of the runs that are done already, these and others.

    Raises:
        ExperimentError: a line is damaged, or one that would be counted with these runs is of other settings.
    """
    if not path.exists():
        return []
    wanted = {run.key[:3]: run for run in runs}  # whatever the seed: those of all seeds make one row of the table
    lines = []
    for number, text in enumerate(read_text(path, error=ExperimentError).splitlines(), start=1):
        line = _read_line(text)
        if line is None:
            raise ExperimentError(f"{path}: line {number} is no run; remove it, and the run is done again")
        run = wanted.get(key_of(line)[:3])
        if run is not None and (line["budget"], line["settings"]) != (run.budget, asdict(run.settings)):
            raise ExperimentError(f"{path}: line {number} is of other settings or another budget; take another --out")
        lines.append(line)
    return lines


def _read_line(text: str) -> Line | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    whole = isinstance(line, dict) and {*line} == LINE
    return line if whole and line["task"] in TASKS and line["cell"] in MEMBERS else None


def key_of(line: Line) -> tuple[str, int, str, int]:
    """What the run of a line is known by."""
    return line["task"], line["lag"], line["cell"], line["seed"]


def work(runs: Sequence[Run], lines: list[Line], out: Path, *, jobs: int) -> list[str]:
    """Do the runs of which there is no line yet; as soon as each is done add its line, to the files in `out` too.

    Returns:
        Why runs failed, a line each.
    """
    done = {key_of(line) for line in lines}
    left = [run for run in runs if run.key not in done]
    failed: list[str] = []
    pool = Processes(min(jobs, len(left)), program=PROGRAM) if jobs > 1 and len(left) > 1 else Here()
    shown_bar = RunsBar(left, of=len(runs))
    with shown_bar, closing(pool.run(Worker, left, shown_bar.tell)) as outcomes:
        for run, line in outcomes:
            shown_bar.end(run)
            if isinstance(line, Failure):
                failed.append(line.line)
                continue
            lines.append(line)
            write_text(out / RUNS, "".join(f"{json.dumps(one)}\n" for one in lines))
            write_text(out / TABLE, table(lines))
    return failed


class RunsBar:
    """One bar over all runs: which have ended, and how many sequences of their budgets the others have seen.

    Args:
        left: The runs that are still to do.
        of: How many there are with those that are done.
    """

    def __init__(self, left: Sequence[Run], *, of: int):
        self._processed = dict.fromkeys(left, 0.0)
        self._ended, self._of = of - len(left), of
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f} %"))
        self._progress = bar(*columns, TimeRemainingColumn())
        self._task = self._progress.add_task(self._said(), total=sum(run.budget for run in left))

    def __enter__(self) -> RunsBar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def tell(self, run: Run, sequences: float) -> None:
        """A run has processed so many."""
        self._processed[run] = sequences
        self._progress.update(self._task, completed=sum(self._processed.values()), description=self._said())

    def end(self, run: Run) -> None:
        """A run has ended; what it did not need is no work any more."""
        self._ended += 1
        self.tell(run, run.budget)

    def _said(self) -> str:
        return f"{self._ended} of {self._of} runs"


class Worker:
    """Does runs, in a process of its own or here; one thread each, since what they compute is small."""

    def __init__(self) -> None:
        torch.set_num_threads(1)

    def __call__(self, run: Run, tell: Callable[[float], None]) -> Line:
        begin = time.perf_counter()
        settings, budget = run.settings, run.budget
        outcome = learn(run.task, run.lag, run.cell, run.seed, settings=settings, budget=budget, tell=tell)
        return {**asdict(run), **asdict(outcome), "seconds": round(time.perf_counter() - begin, 1)}


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog=f"python -m {PROGRAM}",
        usage=f"python -m {PROGRAM} --out FOLDER [OPTION ...]",
        description="Learns tasks of Hochreiter and Schmidhuber 1997 whose answers depend on what was many steps "
        "before, and reports which cells solve them, and after how many sequences. Run again, it goes on where "
        "it stopped.",
    )
    parser.add_argument(
        "--out", required=True, metavar="FOLDER", help=f"folder for {TABLE}, {PLOT} and {RUNS}, a line for each run"
    )
    parser.add_argument("--full", action="store_true", help="the whole family on all tasks, which takes days")
    parser.add_argument(
        "--tasks",
        nargs="+",
        choices=TASKS,
        metavar="TASK",
        help=f"tasks: {', '.join(TASKS)} (default: those of config.yaml)",
    )
    parser.add_argument(
        "--cells", nargs="+", choices=MEMBERS, metavar="CELL", help=f"cells: {', '.join(MEMBERS)} (default: lstm rnn)"
    )
    parser.add_argument(
        "--lags",
        nargs="+",
        type=count,
        metavar="STEPS",
        help="least steps between the last element that tells the answer and the answer (default: 10 100 1000)",
    )
    parser.add_argument("--seeds", type=count, metavar="N", help="runs of each kind, with as many seeds (default: 10)")
    parser.add_argument(
        "--first-seed",
        type=count,
        default=0,
        metavar="N",
        help="the first of them (default: 0); settings were chosen on those from 100 on",
    )
    parser.add_argument(
        "--config", default=FILE, metavar="FILE", help="settings in the place of the recipe's own config.yaml"
    )
    parser.add_argument(
        "--budget", type=count, metavar="N", help="sequences of a run at most (default: the task's, see config.yaml)"
    )
    parser.add_argument("--jobs", type=count, default=0, metavar="N", help="runs at once; 0 is one a core (default: 0)")
    parser.add_argument("--print_config", action="store_true", help="print what would be run, as YAML, and stop")
    return parser
