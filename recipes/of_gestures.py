"""How a recipe of gestures is trained and measured."""

from __future__ import annotations

from pathlib import Path

from gestures.evaluate import evaluate
from gestures.recognizer import Recognizer
from gestures.train import TrainConfig, train
from recipes.measured import Measured
from training.manifests import read

__all__ = ["TrainConfig", "measure", "train"]


def measure(model: Path, manifest: Path, *, beam: int = 0) -> Measured:
    """Recognise every item of a manifest with the exported model. Search has no beam here; `beam` is speech's."""
    report = evaluate(Recognizer.open(model), read(manifest))
    return Measured(report.summary(), report.to_markdown(), report.figures())
