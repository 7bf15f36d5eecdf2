"""Many files to labels: what `asr classify` does, with progress, and without one bad file stopping the rest."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from asr.classifier import Classification, Classifier
from asr.progress import AudioProgress
from asr.shipped import find
from asr.sources import InputError, expand, seconds
from asr.task import as_text
from inference.files import write_text
from inference.shell import ended, one_line

COLUMNS = ("file", "start", "end", "rank", "label", "confidence")


@dataclass(frozen=True)
class Shown:
    """How labels are written.

    Args:
        format: One of `FORMATS`.
        top: Labels of each stretch, the most probable first.
        several: Whether there are several files, so that a line must name its own.
        times: Whether there are several stretches, so that a line must have its times.
    """

    format: str = "txt"
    top: int = 1
    several: bool = False
    times: bool = False


@dataclass(frozen=True)
class Over:
    """Labels over time: how much is judged together, and the time from one judgement to the next, in seconds."""

    window: float
    hop: float | None = None


def classify_files(
    files: Sequence[str],
    *,
    model: str,
    format: str | None = None,
    top: int = 1,
    over: Over | None = None,
    output: str | None = None,
    threads: int = 1,
) -> int:
    """Print the label of each file, or write all of them to one file.

    Args:
        files: Sound files, folders of them, patterns, and `-` for standard input.
        model: Model directory.
        format: One of `FORMATS`; if not given, what `output` ends in, or `txt`.
        top: Labels for each file.
        over: Labels over time instead of one for each file.
        output: File for the labels of all files.
        threads: Threads for scoring.

    Returns:
        0 if all went well, 2 if the only file failed, 1 if some of several did; those are listed on standard error.

    Raises:
        InputError: there is nothing to classify, or no place for the labels, or a recording is in it.
        inference.model.ModelError: no such model, a damaged one, or one that writes words.
    """
    if output is not None and not Path(output).parent.is_dir():
        raise InputError(f"{Path(output).parent}: no such folder; make it, or give another file to --output")
    failed: list[str] = []
    sources = expand(files, failed)
    if not sources:
        raise InputError("; ".join(failed))
    asked = len(sources) + len(failed)
    if output is not None and Path(output).resolve() in {Path(source).resolve() for source in sources}:
        raise InputError(f"{output}: is one of the recordings; give another file to --output")
    shown = Shown(format or _ending(output), top, several=len(sources) > 1, times=over is not None)
    classifier = Classifier.open(find(model), threads=threads)
    write, header = FORMATS[shown.format]
    texts = [header]
    if output is None:
        print(header, end="")
    console = Console(stderr=True)
    lengths = {source: seconds(source) if console.is_terminal else 0.0 for source in sources}
    with AudioProgress(lengths, console) as progress:
        for source in sources:
            try:
                found = _heard(classifier, source, over, progress)
            except (ValueError, OSError) as error:
                failed.append(one_line(error))
                continue
            finally:
                progress.end(source)
            text = write(as_text(source), found, shown)
            if output is None:
                with progress.aside():
                    print(text, end="", flush=True)
            else:
                texts.append(text)
    if output is not None and len(failed) < asked:
        write_text(output, "".join(texts))
    return ended("asr", failed, asked=asked)


def _ending(output: str | None) -> str:
    ending = "" if output is None else Path(output).suffix.removeprefix(".").lower()
    return ending if ending in FORMATS else "txt"


def _heard(classifier: Classifier, source: str, over: Over | None, progress: AudioProgress) -> Sequence[Classification]:
    hear = progress.hearing(source)
    if over is None:
        return [classifier.classify(source, progress=hear)]
    return classifier.over_time(source, window=over.window, hop=over.hop, progress=hear)


def to_txt(source: str, found: Sequence[Classification], shown: Shown) -> str:
    """A line for each stretch: its times in seconds where they are asked for, and labels with their probabilities."""
    lines = []
    for one in found:
        labels = ", ".join(f"{label} {share:.2f}" for label, share in one.ranked(shown.top))
        times = f"{one.start:.2f} {one.end:.2f} " if shown.times else ""
        lines.append(f"{f'{source}: ' if shown.several else ''}{times}{labels}\n")
    return "".join(lines)


def to_json(source: str, found: Sequence[Classification], shown: Shown) -> str:
    """An object for each stretch, on a line of its own."""
    return "".join(
        json.dumps(
            {
                "file": source,
                "start": round(one.start, 3),
                "end": round(one.end, 3),
                "labels": [{"label": label, "confidence": round(share, 4)} for label, share in one.ranked(shown.top)],
            },
            ensure_ascii=False,
            allow_nan=False,
        )
        + "\n"
        for one in found
    )


def _rows(source: str, found: Sequence[Classification], shown: Shown, **dialect: str) -> str:
    """A row of `COLUMNS` for each label of each stretch."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n", **dialect)
    for one in found:
        for rank, (label, share) in enumerate(one.ranked(shown.top), start=1):
            table.writerow([source, f"{one.start:.3f}", f"{one.end:.3f}", rank, label, f"{share:.4f}"])
    return text.getvalue()


def to_csv(source: str, found: Sequence[Classification], shown: Shown) -> str:
    """Rows quoted as RFC 4180 has it."""
    return _rows(source, found, shown)


def to_tsv(source: str, found: Sequence[Classification], shown: Shown) -> str:
    """Rows with tabs between their cells."""
    return _rows(source, found, shown, delimiter="\t")


# What writes the labels of a file, and the line above those of all files.
FORMATS: dict[str, tuple[Callable[[str, Sequence[Classification], Shown], str], str]] = {
    "txt": (to_txt, ""),
    "json": (to_json, ""),
    "csv": (to_csv, ",".join(COLUMNS) + "\n"),
    "tsv": (to_tsv, "\t".join(COLUMNS) + "\n"),
}
