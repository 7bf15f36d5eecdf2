"""How far the times of words are from where they are said, before and after calibration, and after many hours.

    python -m benchmarks.word_times MODEL DATA [--hours 10]

DATA is a manifest or folder whose recordings have a ctm or TextGrid with the true times beside them, such as the
strings that recipes/fsdd_connected joins. Words that are recognised rightly are measured; of the others there is no
time. With --hours the recordings are joined over and over to one of that length, and its hours are compared: times that
are counted wrongly drift.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

import asr
from asr.borders import Border, beside
from asr.confidence.calibration import Calibration
from asr.recognizer import Recognizer
from asr.text import normalize
from asr.transcript import Word
from features import audio
from inference.progress import with_bar
from training.manifests import Item, read
from training.metrics import align_tokens

CHUNK, LOOKAHEAD = 0.4, 0.2
HEADER = """\
| words | heard | starts: mean error | median | bias | within 40 ms | ends: mean error | median | bias |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"""


class Lag(NamedTuple):
    """Seconds by which a word's start and end come after the true ones."""

    start: float
    end: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--hours", type=float, default=0.0)
    options = parser.parse_args()
    recognizer = asr.load(options.model)
    items = [item for item in read(options.data) if beside(item.path)]
    if not items:
        raise SystemExit(f"{options.data}: no recording has a ctm or TextGrid beside it")
    raw = Recognizer(replace(recognizer.model, calibration=None))
    print(HEADER)
    for name, one in (("not calibrated", raw), ("calibrated", recognizer)):
        print(row(name, "full context", [lag for item in shown(items) for lag in read_lags(one, item)]))
        lags = [lag for item in shown(items) for lag in streamed_lags(one, item)]
        print(row(name, f"{1000 * CHUNK:.0f} + {1000 * LOOKAHEAD:.0f} ms", lags))
    if Calibration.of(recognizer.model).times is None:
        print("\nthe model has no offsets; `asr calibrate` finds them")
    if options.hours:
        long(recognizer, items, options.hours)


def shown(items: Sequence[Item]) -> Iterable[Item]:
    """The items, with a progress bar beside what is printed."""
    return with_bar(items, "word times")


def row(name: str, heard: str, lags: Sequence[Lag]) -> str:
    """A line of the table, in milliseconds. The bias is the median of signed differences."""
    start_N, end_N = 1000 * np.array(lags).T
    figures = [
        f"{np.abs(start_N).mean():.1f} ms",
        f"{np.median(np.abs(start_N)):.1f} ms",
        f"{np.median(start_N):+.1f} ms",
        f"{100 * (np.abs(start_N) <= 40).mean():.1f} %",
        f"{np.abs(end_N).mean():.1f} ms",
        f"{np.median(np.abs(end_N)):.1f} ms",
        f"{np.median(end_N):+.1f} ms",
    ]
    return f"| {name}, {len(lags)} words | {heard} | {' | '.join(figures)} |"


def read_lags(recognizer: Recognizer, item: Item) -> list[Lag]:
    """Of the words of one recording, seen with full context."""
    return compared(recognizer.transcribe(item.path).words, beside(item.path))


def streamed_lags(recognizer: Recognizer, item: Item) -> list[Lag]:
    """Of the words of one recording, heard as a stream."""
    session = recognizer.stream(chunk=CHUNK, lookahead=LOOKAHEAD)
    events = [event for samples_S in audio.blocks(item.path, rate=session.rate) for event in session.push(samples_S)]
    return compared(
        [word for event in [*events, *session.flush()] if event.final for word in event.words], beside(item.path)
    )


def compared(words: Sequence[Word], borders: Sequence[Border]) -> list[Lag]:
    """The words that are right against the true ones."""
    _, alignment = align_tokens([normalize(one.text) for one in borders], [normalize(one.text) for one in words])
    true, said, lags = iter(borders), iter(words), []
    for edit in alignment:
        border = next(true) if edit.reference is not None else None
        word = next(said) if edit.hypothesis is not None else None
        if edit.op == "=":
            lags.append(Lag(word.start - border.start, word.end - border.end))
    return lags


def long(recognizer: Recognizer, items: Sequence[Item], hours: float) -> None:
    """Join the recordings to one of so many hours, read it at once, and print the errors of its hours."""
    rate = recognizer.model.extractor.rate
    sounds = [audio.read(item.path, rate=rate)[0] for item in items]
    with tempfile.TemporaryDirectory() as folder:
        path, begins, samples = Path(folder) / "long.wav", [], 0
        with soundfile.SoundFile(path, "w", rate, 1, "PCM_16") as file:
            while samples < 3600 * hours * rate:
                file.write(sounds[len(begins) % len(sounds)])
                samples += len(sounds[len(begins) % len(sounds)])
                begins.append(samples)
        begins = [0, *begins]
        words = recognizer.transcribe(path).words
    middles = np.array([(word.start + word.end) / 2 for word in words])
    of_hour: dict[int, list[Lag]] = {}
    for k, first in enumerate(begins[:-1]):
        low, high = np.searchsorted(middles, [first / rate, begins[k + 1] / rate])
        borders = [
            Border(one.text, one.start + first / rate, one.end + first / rate)
            for one in beside(items[k % len(items)].path)
        ]
        of_hour.setdefault(int(first / rate / 3600), []).extend(compared(words[low:high], borders))
    print("\n" + HEADER)
    for hour, lags in of_hour.items():
        print(row(f"hour {hour + 1}", "windows of 30 s", lags))


if __name__ == "__main__":
    main()
