"""Errors of a model of labels on recordings whose labels are known, through the exported graph."""

from __future__ import annotations

import sys
from pathlib import Path

from asr.classifier import Classifier
from inference.progress import with_bar
from inference.shell import listed, one_line
from training.class_report import RECORDINGS, ClassReport, Judged, make_report, write_page


class ClassEvaluationError(ValueError):
    """Nothing can be evaluated; the message says why and what to do."""


def evaluate_data(data: str, classifier: Classifier, *, output: str | None = None) -> int:
    """Evaluate and print a summary; with `output`, write the Markdown report there, and the confusion matrix beside it.

    Returns:
        0 if every recording could be read, 1 if some could not (they are listed and not counted).
    """
    report, failed = evaluate(classifier, data)
    print(report.summary())
    if output is not None:
        print(write_page(Path(output), report, title=classifier.model.name), file=sys.stderr)
    return listed("asr", failed, "recordings could not be read and are not counted")


def evaluate(classifier: Classifier, data: str | Path) -> tuple[ClassReport, list[str]]:
    """Classify every item of a manifest, table, or folder with a subfolder for each label.

    Returns:
        The report, and a line for each recording that could not be read, or is too short to have a label.

    Raises:
        ClassEvaluationError: none could be read.
        training.manifests.ManifestError: the data cannot be used.
    """
    from training.manifests import read

    judged: list[Judged] = []
    failed: list[str] = []
    for item in with_bar(read(data, unreadable=failed, labelled=True), "evaluate"):
        try:
            found = classifier.classify(item.path, start=item.start, duration=item.duration)
        except (ValueError, OSError) as error:
            failed.append(one_line(error))
            continue
        judged.append(Judged(item.id, item.speaker or None, item.text, found.label, found.confidence))
    if not judged:
        raise ClassEvaluationError(f"{data}: no recording could be read; the first: {failed[0]}")
    labels = dict.fromkeys((*classifier.model.labels, *sorted({one.reference for one in judged})))
    return make_report(list(labels), judged, RECORDINGS), failed
