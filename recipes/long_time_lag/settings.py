"""What is run: which tasks, members of the family, lags and seeds, and how each learns; read from `config.yaml`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from inference.files import read_text
from recipes.long_time_lag.learner import MEMBERS, Settings
from recipes.long_time_lag.tasks import TASKS

FILE = Path(__file__).with_name("config.yaml")


class ExperimentError(ValueError):
    """The experiment cannot be run as asked, or not in this folder; the message says what to do."""


@dataclass(frozen=True)
class Run:
    """One run to do: what it is known by, and how it learns."""

    task: str
    lag: int
    cell: str
    seed: int
    budget: int
    settings: Settings

    def __str__(self) -> str:
        return f"{self.task}, lag {self.lag}, {self.cell}, seed {self.seed}"

    @property
    def key(self) -> tuple[str, int, str, int]:
        return self.task, self.lag, self.cell, self.seed


@dataclass(frozen=True)
class Plan:
    """Which runs there are: every task at every lag with every cell and so many seeds, from the first on."""

    tasks: Sequence[str]
    cells: Sequence[str]
    lags: Sequence[int]
    seeds: int
    first_seed: int = 0

    def __post_init__(self) -> None:
        if unknown := {*self.tasks} - {*TASKS} | {*self.cells} - {*MEMBERS}:
            raise ValueError(", ".join(sorted(unknown)))


def read_settings(path: Path = FILE) -> dict[str, Any]:
    """What the file of settings says, checked.

    Raises:
        ExperimentError: it says what there is not, or not what there must be.
        OSError: it cannot be read.
    """
    text = read_text(path, error=ExperimentError)
    try:
        read = yaml.safe_load(text)
        for plan in ("default", "full"):
            Plan(**read[plan])
        for task in TASKS:
            int(read["tasks"][task]["budget"])
            for cell in MEMBERS:
                settings_of(read, task, cell)
            if unknown := {*read["tasks"][task]} - {"budget", "all", *MEMBERS}:
                raise ValueError(", ".join(sorted(unknown)))
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise ExperimentError(f"{path}: wrong or missing in these settings: {' '.join(str(error).split())}") from None
    return read


def settings_of(read: dict[str, Any], task: str, cell: str) -> Settings:
    """How a cell learns a task: as all cells do, but for what is said of this one."""
    said = read["tasks"][task]
    return Settings(**{**said["all"], **said.get(cell, {})})


def runs_of(plan: Plan, read: dict[str, Any], *, budget: int | None = None) -> list[Run]:
    """The runs of a plan, those of one seed together: what is there when it is interrupted compares the cells.

    Raises:
        ExperimentError: a lag is too short for its task, or a budget for its criterion or a batch.
    """
    runs = []
    for seed in range(plan.first_seed, plan.first_seed + plan.seeds):
        for lag in plan.lags:
            for task in plan.tasks:
                if lag < TASKS[task].shortest:
                    raise ExperimentError(f"--lags: {task} is not defined for less than {TASKS[task].shortest} steps")
                most = int(read["tasks"][task]["budget"]) if budget is None else budget
                if most < TASKS[task].criterion.window:
                    raise ExperimentError(
                        f"--budget: {task} is solved over {TASKS[task].criterion.window} sequences; give no fewer"
                    )
                for cell in plan.cells:
                    settings = settings_of(read, task, cell)
                    if most < settings.batch:
                        raise ExperimentError(f"{task}: a batch of {settings.batch} is more than its budget of {most}")
                    runs.append(Run(task, lag, cell, seed, most, settings))
    return runs


def shown(plan: Plan, runs: Sequence[Run]) -> str:
    """A plan and how its runs learn, as YAML."""
    learning: dict[str, Any] = {}
    for run in runs:
        learning.setdefault(run.task, {"budget": run.budget})[run.cell] = asdict(run.settings)
    chosen = {field.name: getattr(plan, field.name) for field in fields(plan)}
    return yaml.safe_dump({**chosen, "learning": learning}, sort_keys=False)
