"""How a recipe of speech is trained and measured."""

from __future__ import annotations

from pathlib import Path

from asr.evaluate import evaluate
from asr.recognizer import Recognizer
from asr.report import Report
from asr.train import TrainConfig, train
from recipes.measured import Measured
from training.manifests import ManifestError

__all__ = ["TrainConfig", "measure", "train"]


def measure(model: Path, manifest: Path, *, beam: int | None = None) -> Measured:
    """Transcribe every item of a manifest with the exported model and count the errors.

    Raises:
        ManifestError: a recording cannot be read; a figure over the others would be another figure.
    """
    recognizer = Recognizer.open(model)
    report, failed = evaluate(recognizer, manifest, search=recognizer.search(beam=beam or 0))
    if failed:
        raise ManifestError(f"{manifest}: {len(failed)} recordings cannot be read, the first: {failed[0]}")
    return Measured(report.summary(), report.to_markdown(), {"WER": report.words.rate, "accuracy": _whole(report)})


def _whole(report: Report) -> float:
    """Share of the items that are right as a whole."""
    return sum(one.word_errors.errors == 0 for one in report.utterances) / len(report.utterances)
