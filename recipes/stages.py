"""What recipes do with one network: train it on a corpus that is prepared, and measure it on the parts kept for that.

How many networks there are, and what is said of them together, is for `recipes.run` and `recipes.ablation`.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from inference.files import write_text
from inference.model import CARD, Model
from recipes.measured import Measured
from training.config import LoopConfig, parse
from training.manifests import ManifestError, read
from training.run import HOW, Settings


def kind_of(recipe: ModuleType) -> ModuleType:
    """How the recipe is trained and measured: what its KIND names."""
    return importlib.import_module(f"recipes.of_{getattr(recipe, 'KIND', 'speech')}")


def train(
    recipe: ModuleType, config: Settings, manifests: Path, out: Path, *, start_from: Model | None, command: str
) -> Model:
    """Train on the manifests `train` and `dev`, or go on, and write `out/model`.

    Raises:
        ManifestError: nothing is prepared, or `out` holds a run with other settings.
        training.loop.DivergedError: the loss is no longer a number.
    """
    return kind_of(recipe).train(
        config,
        train=read(manifests / "train.jsonl.gz"),
        dev=read(manifests / "dev.jsonl.gz"),
        out=out,
        start_from=start_from,
        command=command,
        data_note=getattr(recipe, "DATA_NOTE", ""),
    )


def pretrained(
    recipe: ModuleType,
    name: str,
    loop: LoopConfig,
    manifests: Path,
    out: Path,
    *,
    command: str,
    cell: str | None = None,
) -> Model | None:
    """The model that the recipe starts from, if it has a `pretrain.yaml`; trained first, on its own manifests.

    Its settings are in that file alone, but for `cell`, if given, and for how the work is done, which is as in `loop`.
    All seeds share it.
    """
    settings = Path(__file__).parent / name / "pretrain.yaml"
    if not settings.exists():
        return None
    say(f"pretrain: {out / 'pretrain' / 'model'}")
    kind = kind_of(recipe)
    config, _ = parse(kind.TrainConfig, arguments=[], default_file=settings, prog=f"python -m recipes {name}")
    machine = {name: getattr(loop, name) for name in HOW}
    return kind.train(
        replace(
            config,
            encoder=replace(config.encoder, cell=cell or config.encoder.cell),
            loop=replace(config.loop, **machine),
        ),
        train=read(manifests / "pretrain.jsonl.gz"),
        dev=read(manifests / "pretrain_dev.jsonl.gz"),
        out=out / "pretrain",
        command=command,
        data_note=getattr(recipe, "DATA_NOTE", ""),
    )


def parts_to_test(manifests: Path) -> dict[str, Path]:
    """The test manifests by the names of their parts, such as `test` and `test other`.

    Raises:
        ManifestError: there is none.
    """
    found = sorted(manifests.glob("test*.jsonl.gz"))
    if not found:
        raise ManifestError(f"{manifests}: no test manifest; run the stage prepare first")
    return {path.name.removesuffix(".jsonl.gz").replace("_", " "): path for path in found}


def measure(recipe: ModuleType, folder: Path, part: str, manifest: Path, *, beam: int | None) -> Measured:
    """Measure the model of `folder` on one part, and write what comes out into a report there and into its card."""
    measured = kind_of(recipe).measure(folder / "model", manifest, beam=beam)
    write_text(folder / f"{part.replace(' ', '_')}.md", measured.report)
    print(f"{folder / 'model'} on {manifest.name}:\n{measured.summary}")
    note_in_card(folder / "model", part, measured.summary)
    return measured


def results_of(recipe: ModuleType) -> list[str]:
    """The figures that the recipe is about."""
    return [recipe.RESULT] if isinstance(recipe.RESULT, str) else list(recipe.RESULT)


def note_in_card(model: Path, part: str, summary: str) -> None:
    """Write what was measured into the model card, in the place of what was measured on the same part before."""
    card = model / CARD
    heading = f"\n## Measured on {part}\n"
    before, _, after = card.read_text(encoding="utf-8").partition(heading)
    _, next_heading, rest = after.partition("\n## ")
    section = "".join(f"\n- {line}" for line in summary.splitlines())
    write_text(card, f"{before}{heading}{section}\n{next_heading}{rest}")


def say(line: str) -> None:
    """A line on progress, kept apart from the result on standard output."""
    print(line, file=sys.stderr, flush=True)
