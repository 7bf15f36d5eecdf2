"""How a recipe of gestures is trained and measured."""

from __future__ import annotations

from pathlib import Path

from gestures.evaluate import evaluate
from gestures.recognizer import BEAM, Recognizer
from gestures.train import TrainConfig, train
from recipes.measured import Measured
from training.manifests import read

__all__ = ["TrainConfig", "measure", "train"]


def measure(model: Path, manifest: Path, *, beam: int | None = None) -> Measured:
    """Recognise every item of a manifest with the exported model.

    Args:
        model: The model directory.
        manifest: What it is measured on.
        beam: Hypotheses of the beam search, for sequences with full context; live they are found greedily.
    """
    report = evaluate(Recognizer.open(model), read(manifest), beam=BEAM if beam is None else beam)
    return Measured(report.summary(), report.to_markdown(), report.figures())
