"""How a recipe of speech is trained and measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from asr import evaluate_classes
from asr.classifier import Classifier
from asr.evaluate import evaluate
from asr.recognizer import Recognizer
from asr.report import Report
from asr.train import TrainConfig, train
from inference import model as models
from recipes.measured import Measured
from training.manifests import ManifestError

__all__ = ["TrainConfig", "measure", "train"]


def measure(model: Path, manifest: Path, *, beam: int | None = None) -> Measured:
    """Recognise every item of a manifest with the exported model: its words, or its label if the model gives labels.

    Args:
        model: The model directory.
        manifest: What it is measured on.
        beam: Hypotheses of the beam search for words; greedy if not given.

    Raises:
        ManifestError: a recording cannot be read; a figure over the others would be another figure.
    """
    loaded = models.load(model)
    if loaded.head["kind"] == models.CLASS:
        labels, failed = evaluate_classes.evaluate(Classifier(loaded), manifest)
        _check(manifest, failed)
        return Measured(labels.summary(), labels.to_markdown(), labels.figures())
    recognizer = Recognizer(loaded)
    report, failed = evaluate(recognizer, manifest, search=recognizer.search(beam=beam or 0))
    _check(manifest, failed)
    return Measured(report.summary(), report.to_markdown(), {"WER": report.words.rate, "accuracy": _whole(report)})


def _check(manifest: Path, failed: Sequence[str]) -> None:
    if failed:
        raise ManifestError(f"{manifest}: {len(failed)} recordings cannot be read, the first: {failed[0]}")


def _whole(report: Report) -> float:
    """Share of the items that are right as a whole."""
    return sum(one.word_errors.errors == 0 for one in report.utterances) / len(report.utterances)
