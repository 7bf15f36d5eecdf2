"""The work of `asr export`: a model that hears, in weights of 8 bits, and what that costs on development data."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from asr import evaluate, evaluate_classes
from asr.classifier import Classifier
from asr.confidence.reliability import Reliability
from asr.recognizer import Recognizer
from asr.shipped import find
from features.extractor import FeatureExtractor
from inference import model as models
from inference.model import Model, ModelError
from inference.progress import with_bar
from inference.shell import listed
from training.int8 import ExportError, check_export, export_int8, spread
from training.manifests import Item, read

# Not fitted anew: these recordings need not have the borders, nor be as many, as those that it was fitted on.
CALIBRATED = (
    "The model of 8 bits has the calibration of the one in float32, with which ECE, the expected calibration error "
    "of confidences, is measured; `asr calibrate` fits it anew."
)


def export_model(name: str, data: str, *, out: str, kind: str) -> int:
    """Write the model directory `out`, print what it loses on the recordings of `data`, and where it is.

    Returns:
        0 if every recording could be read, 1 if some could not (they are listed and not counted).

    Raises:
        ModelError: the model reads no sound, or forecasts it.
        inference.ngram.NgramError: the language model that it carries is damaged.
        training.int8.ExportError: it cannot be exported so, or no recording can be read.
        training.manifests.ManifestError: the data cannot be used.
    """
    model = models.load(find(name))
    if not isinstance(model.extractor, FeatureExtractor):
        raise ModelError(f"{model.directory}: reads landmarks; export it with `gestures export`")
    if model.head["kind"] == models.FORECAST:
        raise ModelError(f"{model.directory}: {models.FORECASTS}")
    check_export(model, Path(out), kind)
    labelled = model.head["kind"] == models.CLASS
    failed: list[str] = []

    def measure(one: Model) -> Mapping[str, float]:
        if labelled:
            report, failed[:] = evaluate_classes.evaluate(Classifier(one), data)
            return report.figures()
        report, failed[:] = evaluate.evaluate(Recognizer(one), data)
        figures = {"WER": report.words.rate, "CER": report.characters.rate}
        return figures | ({"ECE": Reliability(report.judged).ece()} if report.judged else {})

    if not labelled:
        _ = Recognizer(model).own_search  # what is damaged of it is found before the work, and is no recording's fault
    unreadable: list[str] = []
    items = read(data, unreadable=unreadable, labelled=labelled)
    if not items:
        raise ExportError(f"{data}: no recording could be read; the first: {unreadable[0]}")
    known = f"{Path(data).name} ({len(items)} recordings, {sum(item.duration for item in items) / 3600:.2f} h)"
    frames = list(_frames(model, spread(items)))
    remark = CALIBRATED if model.calibration else ""
    written = export_int8(model, Path(out), kind=kind, frames=frames, measure=measure, data=known, remark=remark)
    print(written.report)
    print(f"model: {written.model.directory}", file=sys.stderr)
    return listed("asr", failed, "recordings could not be read and are not counted")


def _frames(model: Model, items: Iterable[Item]) -> Iterator[np.ndarray]:
    """Frames (T,F) of recordings; those that cannot be read are named where errors are counted."""
    for item in with_bar(items, "frames"):
        with suppress(ValueError, OSError):
            yield model.extractor(model.extractor.read(item.path, start=item.start, duration=item.duration))
