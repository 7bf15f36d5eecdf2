"""The stages that all recipes share: prepare, train, evaluate, report.

A recipe is a folder with `prepare.py` (a function `prepare(data, out, ...)` that writes the manifests `train`, `dev`
and `test` to `out/manifests`; RESULT, the name of its figure or figures; and KIND, if it is `gestures`), `config.yaml`
and `README.md`. There may be several test manifests, `test_` and a name each; all of them are evaluated.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Literal, get_args

import numpy as np

from inference.files import write_text
from inference.model import CARD, Model
from recipes.measured import shown
from training.config import LoopConfig, parse
from training.manifests import ManifestError, read
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
    return run(recipe, name, config, options, command=shell_command(["python", "-m", "recipes", name, *arguments]))


def run(recipe: ModuleType, name: str, config: Settings, options, *, command: str) -> str:
    """Run the stages asked for; returns the line that says the result."""
    kind = kind_of(recipe)
    out, manifests = Path(options.out), Path(options.out) / "manifests"
    if "prepare" in options.stages:
        say(f"prepare: {options.data} -> {manifests}")
        recipe.prepare(Path(options.data), out, **(options.prepare.as_dict() if "prepare" in options else {}))
    seeds = options.seeds or [config.loop.seed]
    folders = {seed: out / f"seed{seed}" if options.seeds else out for seed in seeds}
    if "train" in options.stages:
        start_from = _pretrained(recipe, name, config.loop, out, command=command)
        for seed, folder in folders.items():
            say(f"train: seed {seed} -> {folder / 'model'}")
            kind.train(
                replace(config, loop=replace(config.loop, seed=seed)),
                train=read(manifests / "train.jsonl.gz"),
                dev=read(manifests / "dev.jsonl.gz"),
                out=folder,
                start_from=start_from,
                command=command,
                data_note=getattr(recipe, "DATA_NOTE", ""),
            )
    if "evaluate" not in options.stages:
        return f"{name}: {', '.join(options.stages)} done in {out}"
    tests = sorted(manifests.glob("test*.jsonl.gz"))
    if not tests:
        raise ManifestError(f"{manifests}: no test manifest; run the stage prepare first")
    wanted = [recipe.RESULT] if isinstance(recipe.RESULT, str) else recipe.RESULT
    lines, met = [], set()
    for manifest in tests:
        part = manifest.name.removesuffix(".jsonl.gz").replace("_", " ")
        figures: dict[str, list[float]] = {}
        for folder in folders.values():
            measured = kind.measure(folder / "model", manifest, beam=options.beam)
            write_text(folder / f"{part.replace(' ', '_')}.md", measured.report)
            print(f"{folder / 'model'} on {manifest.name}:\n{measured.summary}")
            note_in_card(folder / "model", part, measured.summary)
            for figure, value in measured.figures.items():
                figures.setdefault(figure, []).append(value)
        lines += [result_line(part, figure, figures[figure]) for figure in wanted if figure in figures]
        met |= figures.keys()
    assert met >= set(wanted), f"RESULT of {name} names what no test set has: {sorted(set(wanted) - met)}"
    return "\n".join(lines)


def _pretrained(recipe: ModuleType, name: str, loop: LoopConfig, out: Path, *, command: str) -> Model | None:
    """The model that the recipe starts from, if it has a `pretrain.yaml`; trained first, on its own manifests.

    Its settings are in that file alone, but for how the work is done, which is as in `loop`. All seeds share it.
    """
    settings = Path(__file__).parent / name / "pretrain.yaml"
    if not settings.exists():
        return None
    say(f"pretrain: {out / 'pretrain' / 'model'}")
    kind = kind_of(recipe)
    config, _ = parse(kind.TrainConfig, arguments=[], default_file=settings, prog=f"python -m recipes {name}")
    machine = {name: getattr(loop, name) for name in ("workers", "cache_mb", "threads", "devices", "strategy")}
    return kind.train(
        replace(config, loop=replace(config.loop, **machine)),
        train=read(out / "manifests" / "pretrain.jsonl.gz"),
        dev=read(out / "manifests" / "pretrain_dev.jsonl.gz"),
        out=out / "pretrain",
        command=command,
        data_note=getattr(recipe, "DATA_NOTE", ""),
    )


def note_in_card(model: Path, part: str, summary: str) -> None:
    """Write what was measured into the model card, in the place of what was measured on the same part before."""
    card = model / CARD
    heading = f"\n## Measured on {part}\n"
    before, _, after = card.read_text(encoding="utf-8").partition(heading)
    _, next_heading, rest = after.partition("\n## ")
    section = "".join(f"\n- {line}" for line in summary.splitlines())
    write_text(card, f"{before}{heading}{section}\n{next_heading}{rest}")


def kind_of(recipe: ModuleType) -> ModuleType:
    """How the recipe is trained and measured: what its KIND names."""
    return importlib.import_module(f"recipes.of_{getattr(recipe, 'KIND', 'speech')}")


def say(line: str) -> None:
    """A line on progress, kept apart from the result on standard output."""
    print(line, file=sys.stderr, flush=True)


def result_line(part: str, figure: str, values: list[float]) -> str:
    """The line that says the result of one test set: its figure, or the mean and spread over seeds.

    The standard deviation is that of a sample (n - 1).
    """

    if len(values) == 1:
        return f"{part} {figure} {shown(figure, values[0])}"
    low, high, deviation = (shown(figure, f) for f in (min(values), max(values), float(np.std(values, ddof=1))))
    spread = f"{low} to {high}, standard deviation {deviation}"
    return f"{part} {figure} {shown(figure, float(np.mean(values)))} (mean of {len(values)} seeds; {spread})"
