"""The stages that all recipes share: prepare, train, evaluate, report.

A recipe is a folder with `prepare.py` (a function `prepare(data, out, ...)` that writes the manifests `train`, `dev`
and `test` to `out/manifests`; RESULT, the name of its figure or figures; and KIND, `gestures` or `forecasts`, if it is
not of words or labels of sound), `config.yaml` and `README.md`. There may be several test manifests, `test_` and a name
each; all of them are evaluated.
One network is trained, or one for each seed, or (`recipes.ablation`) one for each cell and seed.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Literal, get_args

import numpy as np

from encoders.cells import CELLS
from recipes import ablation, stages
from recipes.measured import shown
from recipes.stages import kind_of, say
from training.config import parse
from training.devices import started_by_torchrun, started_to_join
from training.run import Settings, shell_command

Stage = Literal["prepare", "train", "evaluate"]


def start(name: str, arguments: Sequence[str]) -> str:
    """Read the command line of a recipe and run it; returns the line that says the result.

    Raises:
        ValueError: a setting is out of range, data are missing or damaged, or another run is in the way.
        OSError: a file or folder cannot be read or written.
        SystemExit: an option is unknown or has no such value, or `--help` was asked for.
    """
    recipe = importlib.import_module(f"recipes.{name}.prepare")
    config, options = parse(
        kind_of(recipe).TrainConfig,
        arguments=list(arguments),
        default_file=Path(__file__).parent / name / "config.yaml",
        extras={
            "--data": {
                "type": str,
                "required": True,
                "metavar": "FOLDER",
                "help": "folder of the corpus, as its publisher lays it out",
            },
            "--out": {
                "type": str,
                "required": True,
                "metavar": "FOLDER",
                "help": "folder for manifests, checkpoints, the model and the report",
            },
            "--stages": {
                "type": Stage,
                "nargs": "+",
                "default": list(get_args(Stage)),
                "help": "stages to run",
            },
            "--seeds": {"type": int, "nargs": "+", "help": "train once with each seed and report mean and spread"},
            "--cells": {
                "type": Literal["all", *CELLS],
                "nargs": "+",
                "metavar": "CELL",
                "help": "train once with each cell and seed, whatever encoder.cell says, and compare them in "
                f"FOLDER/ablation.md; all, or some of {', '.join(CELLS)} (seeds: 0 1 2 unless given)",
            },
            "--jobs": {
                "type": int,
                "default": 1,
                "help": "with --cells: so many cells are trained side by side, each with its share of the threads",
            },
            "--beam": {
                "type": int,
                "help": "hypotheses of the beam search when evaluating; 0 is greedy (default: 0, for signs 16)",
            },
        },
        functions={"prepare": (recipe.prepare, {"data", "out"})},
        prog=f"python -m recipes {name}",
        usage=f"python -m recipes {name} --data FOLDER --out FOLDER [SETTING ...]",
        description=recipe.__doc__,
    )
    return run(recipe, name, config, options, arguments)


def run(recipe: ModuleType, name: str, config: Settings, options, arguments: Sequence[str]) -> str:
    """Run the stages that `options` ask for, read from `arguments`; returns the line that says the result."""
    if options.cells:
        plan = ablation.Plan.of(config, options.cells, options.seeds, options.jobs)
    elif options.jobs != 1:
        raise ValueError(f"--jobs is {options.jobs}, but it is for --cells alone; leave it out")
    command = shell_command(["python", "-m", "recipes", name, *arguments])
    out, manifests = Path(options.out), Path(options.out) / "manifests"
    if started_by_torchrun() or config.loop.nodes > 1:
        _refuse_at_once(options)
    joining = started_to_join()
    if "prepare" in options.stages and not joining:
        say(f"prepare: {options.data} -> {manifests}")
        recipe.prepare(Path(options.data), out, **(options.prepare.as_dict() if "prepare" in options else {}))
    if options.cells:
        if "train" in options.stages:
            ablation.train(recipe, name, plan, out, arguments)
        if "evaluate" in options.stages:
            return ablation.evaluate(recipe, name, plan, out, beam=options.beam, command=command)
        return f"{name}: {', '.join(options.stages)} done in {out}"
    seeds = options.seeds or [config.loop.seed]
    folders = {seed: out / f"seed{seed}" if options.seeds else out for seed in seeds}
    if "train" in options.stages:
        start_from = stages.pretrained(recipe, name, config.loop, manifests, out, command=command)
        for seed, folder in folders.items():
            say(f"train: seed {seed} -> {folder / 'model'}")
            seeded = replace(config, loop=replace(config.loop, seed=seed))
            stages.train(recipe, seeded, manifests, folder, start_from=start_from, command=command)
    if "evaluate" not in options.stages or joining:
        return f"{name}: {', '.join(options.stages)} done in {out}"
    wanted = stages.results_of(recipe)
    lines, met = [], set()
    for part, manifest in stages.parts_to_test(manifests).items():
        figures: dict[str, list[float]] = {}
        for folder in folders.values():
            for figure, value in stages.measure(recipe, folder, part, manifest, beam=options.beam).figures.items():
                figures.setdefault(figure, []).append(value)
        lines += [result_line(part, figure, figures[figure]) for figure in wanted if figure in figures]
        met |= figures.keys()
    assert met >= set(wanted), f"RESULT of {name} names what no test set has: {sorted(set(wanted) - met)}"
    return "\n".join(lines)


def _refuse_at_once(options) -> None:
    """Refuse what processes that are started side by side would all do."""
    if "prepare" in options.stages:
        raise ValueError(
            "several processes would prepare the data at once: run --stages prepare first, in one process, and then "
            "these with --stages train evaluate"
        )
    if options.cells:
        raise ValueError("--cells trains each network in a process of its own: leave out torchrun and loop.nodes")


def result_line(part: str, figure: str, values: list[float]) -> str:
    """The line that says the result of one test set: its figure, or the mean and spread over seeds.

    The standard deviation is that of a sample (n - 1).
    """

    if len(values) == 1:
        return f"{part} {figure} {shown(figure, values[0])}"
    low, high, deviation = (shown(figure, f) for f in (min(values), max(values), float(np.std(values, ddof=1))))
    spread = f"{low} to {high}, standard deviation {deviation}"
    return f"{part} {figure} {shown(figure, float(np.mean(values)))} (mean of {len(values)} seeds; {spread})"
