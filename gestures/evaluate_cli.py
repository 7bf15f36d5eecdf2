"""The command `gestures evaluate`: a model and clips whose gestures are known, to figures and a report."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import gestures
from gestures.clips import load
from gestures.recognize import Watching
from inference.installed import TO_EVALUATE, require
from inference.outputs import make_folder
from inference.shell import listed
from training.class_report import write_page


class EvaluationError(ValueError):
    """Nothing can be evaluated; the message says why and what to do."""


def evaluate_data(
    data: str,
    *,
    model: str,
    output: str | None = None,
    threads: int = 1,
    jobs: int | None = None,
    models: str | None = None,
    mirrored: bool = False,
    watching: Watching | None = None,
) -> int:
    """Evaluate and print a summary; with `output`, write the Markdown report and its picture there.

    Args:
        data: Folder of clips or manifest.
        model: Shipped model or model directory.
        output: A file that ends in `.md`, or a folder that gets `report.md`.
        threads: Threads for scoring.
        jobs: Videos whose landmarks are found at the same time.
        models: Folder of the landmarker's models.
        mirrored: Whether videos are mirrored.
        watching: How gestures are looked for in items that are longer than one; none is with full context.

    Returns:
        0 if every clip could be read, 1 if some could not (they are listed and not counted).
    """
    require(TO_EVALUATE, what="evaluating", extra="train")
    page = None if output is None else _page(Path(output))
    recognizer = gestures.load(model, threads=threads)
    with tempfile.TemporaryDirectory(prefix="saywave-") as landmarks:
        clips = load(data, landmarks, jobs=jobs, models=models, mirrored=mirrored)
        if not clips.items:
            raise EvaluationError(f"{data}: no clip could be read; the first: {clips.failed[0]}")
        from gestures.evaluate import evaluate

        report = evaluate(recognizer, clips.items, **({} if watching is None else watching._asdict()))
    print(report.summary())
    if page is not None:
        print(write_page(page, report, title=recognizer.model.name), file=sys.stderr)
    return listed("gestures", clips.failed, "clips could not be read and are not counted")


def _page(output: Path) -> Path:
    """The report's file; its folder is there and can be written."""
    if output.suffix != ".md":
        make_folder(output)
        return output / "report.md"
    if not output.parent.is_dir():
        raise EvaluationError(f"{output.parent}: no such folder; make it, or give another file to --output")
    return output
