"""The work of `gestures export`: a model that sees, in weights of 8 bits, and what that costs on development data."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from gestures.clips import load
from gestures.evaluate import evaluate
from gestures.evaluate_cli import EvaluationError
from gestures.reading import ReadClips
from gestures.recognizer import Recognizer
from gestures.shipped import find
from gestures.stream import landmark_extractor
from inference import model as models
from inference.model import Model
from inference.shell import listed
from training.int8 import check_export, export_int8, spread

# Figures that are no shares.
COUNTED = ("false events",)


def export_model(
    name: str, data: str, *, out: str, kind: str, landmarker: str | None = None, mirrored: bool = False
) -> int:
    """Write the model directory `out`, print what it loses on the clips of `data`, and where it is.

    Returns:
        0 if every clip could be read, 1 if some could not (they are listed and not counted).

    Raises:
        ModelError: the model reads sound.
        EvaluationError: no clip can be read.
        training.int8.ExportError: it cannot be exported so.
        ClipError: the data cannot be used.
    """
    model = models.load(find(name))
    extractor = landmark_extractor(model)
    check_export(model, Path(out), kind)
    with tempfile.TemporaryDirectory(prefix="saywave-") as landmarks:
        clips = load(data, landmarks, models=landmarker, mirrored=mirrored)
        if not clips.items:
            raise EvaluationError(f"{data}: no clip could be read; the first: {clips.failed[0]}")

        def measure(one: Model) -> Mapping[str, float]:
            figures = evaluate(Recognizer(one), clips.items).figures()
            return {name: value for name, value in figures.items() if name not in COUNTED}

        reader = ReadClips()
        frames = [extractor(reader(item)) for item in spread(clips.items)]
        known = f"{Path(data).name} ({len(clips.items)} clips or streams)"
        written = export_int8(model, Path(out), kind=kind, frames=frames, measure=measure, data=known)
    print(written.report)
    print(f"model: {written.model.directory}", file=sys.stderr)
    return listed("gestures", clips.failed, "clips could not be read and are not counted")
