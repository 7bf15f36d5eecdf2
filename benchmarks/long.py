"""Hours of sound in one file: memory over time, computing, errors, and whether times drift.

    OMP_NUM_THREADS=1 python -m benchmarks.long FSDD [--hours 10] [--segments decoder] [--part test]

FSDD is the Free Spoken Digit Dataset. Strings of its clips, with pauses of 1 to 4 s between them, are written to a FLAC
file in a temporary folder, and transcribed as `asr transcribe --segments` does. Where each digit begins is known: the
first sample of its clip. Words are compared string by string; starts are those of strings without an error. Linux.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

import asr
from asr.stretches import Segments
from asr.transcript import Word
from training.metrics import ErrorCounts, align_tokens

PAUSE_SECONDS = (1.0, 4.0)


class Spoken(NamedTuple):
    """A string of digits: its words, and where each begins, in seconds of the file."""

    words: list[str]
    starts: list[float]


def main() -> None:
    """Make the sound, transcribe it, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="digits")
    parser.add_argument("--hours", type=float, default=10.0)
    parser.add_argument("--segments", choices=("none", "decoder", "silero"), default="decoder")
    parser.add_argument("--part", choices=("train", "dev", "test"), default="test")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.flac"
        # In a process of its own: what makes the sound must not weigh on the memory of what hears it.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as maker:
            spoken = maker.submit(write, path, options.data, options.part, 3600 * options.hours).result()
        segments = None if options.segments == "none" else Segments(options.segments)
        memory: list[tuple[float, float]] = []
        heard = 0.0

        def progress(seconds: float) -> None:
            nonlocal heard
            heard += seconds
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            memory.append((heard, pages * os.sysconf("SC_PAGE_SIZE") / 1e6))

        recognizer = asr.load(options.model)
        wall, cpu = time.perf_counter(), time.process_time()
        transcript = recognizer.transcribe(path, segments=segments, progress=progress)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(
        f"{transcript.duration / 3600:.2f} h, {len(transcript.words)} words, "
        f"{len(transcript.endpoints or ())} endpoints; real-time factor {wall / transcript.duration:.4f} "
        f"(of one core {cpu / transcript.duration:.4f}); memory {memory[0][1]:.1f} MB at first, "
        f"{max(size for _, size in memory):.1f} MB at most\n"
    )
    report(spoken, transcript.words, memory, parts=10)


def write(path: Path, data: Path, part: str, seconds: float) -> list[Spoken]:
    """Write so many seconds of strings and pauses to a FLAC file, a string at a time."""
    from recipes.fsdd.prepare import WORDS, clips
    from recipes.fsdd_connected.prepare import RATE, pieces, quietest

    found = [clip for clip in clips(data) if clip.part == part]
    spoken: list[Spoken] = []
    written = 0
    with soundfile.SoundFile(path, "w", samplerate=RATE, channels=1, subtype="PCM_16") as file:
        for number, string in enumerate(_endless(found)):
            if written >= seconds * RATE:
                return spoken
            rng = np.random.default_rng([1, number])
            joined = pieces(string, rng=rng)
            begins = written + np.cumsum([0, *map(len, joined)])[1 : 2 * len(string) : 2]
            spoken.append(Spoken([WORDS[clip.digit] for clip in string], (begins / RATE).tolist()))
            level = quietest(joined[0])
            pause = rng.normal(0.0, level, int(rng.uniform(*PAUSE_SECONDS) * RATE)).astype(np.float32)
            samples_S = np.concatenate([*joined, pause])
            file.write(samples_S)
            written += len(samples_S)
    raise AssertionError("strings never end")


def _endless(found: Sequence) -> Iterator[list]:
    """Strings of clips in an order that is drawn again and again."""
    from recipes.fsdd_connected.prepare import draw_strings

    round = 0
    while True:
        rng = np.random.default_rng([0, round])
        strings = draw_strings(found, rounds=1, rng=rng)
        yield from (strings[k] for k in rng.permutation(len(strings)))
        round += 1


def report(spoken: list[Spoken], words: Sequence[Word], memory: list[tuple[float, float]], *, parts: int) -> None:
    """A row for each tenth of the file: memory, errors, and how far word starts lie from the clips' first samples."""
    total = memory[-1][0]
    heard: list[list[Word]] = [[] for _ in spoken]
    # A word belongs to the last string that has begun; its start may lie a little before its clip's.
    begins = [string.starts[0] - PAUSE_SECONDS[0] / 2 for string in spoken]
    for word in words:
        heard[max(0, bisect_right(begins, word.start) - 1)].append(word)
    print("| until, h | memory at most, MB | WER | word starts, error in ms: mean absolute, median (95 %) | words |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    whole = ErrorCounts.zero()
    for part in range(parts):
        low, high = part * total / parts, (part + 1) * total / parts
        counts, errors = ErrorCounts.zero(), []
        for string, found in zip(spoken, heard, strict=True):
            if low <= string.starts[0] < high:
                texts = [word.text for word in found]
                counts += align_tokens(string.words, texts)[0]
                if texts == string.words:
                    errors += [word.start - begin for word, begin in zip(found, string.starts, strict=True)]
        whole += counts
        sizes = [size for at, size in memory if low < at <= high]
        off = 1000 * np.array(errors)
        print(
            f"| {high / 3600:.2f} | {max(sizes):.1f} | {100 * counts.rate:.2f} % | {np.abs(off).mean():.1f}, "
            f"{np.median(off):.1f} ({np.percentile(np.abs(off), 95):.0f}) | {counts.reference} |"
        )
    print(f"\nWER {100 * whole.rate:.2f} % of {whole.reference} words: {whole.substitutions} substituted, "
          f"{whole.deletions} deleted, {whole.insertions} inserted")  # fmt: skip


if __name__ == "__main__":
    main()
