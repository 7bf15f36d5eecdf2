"""Recordings without transcripts to training data: what a model is sure of in them (pseudo-labels; Lee 2013).

Of what a model hears, the parts that it is sure of are mostly right, and training on them besides transcribed speech
brings a model closer to the voices and rooms of the rest (Kahn et al. 2020, who filter by confidence as well). A part
is a recording, or what lies between two pauses of it. One is kept if it has words, if these can be expected to be
right, and if it is no longer than training wants; each says in the manifest how sure the model was.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from lhotse import MonoCut
from lhotse.utils import fastcopy
from rich.console import Console

from asr.progress import AudioProgress
from asr.recognizer import Recognizer
from asr.search import Search, SearchConfig
from asr.shipped import find
from asr.sources import InputError, expand, seconds
from asr.stretches import Segments
from asr.transcript import Transcript, Word, mean_confidence
from inference.outputs import output_names
from inference.shell import ended, one_line
from training import manifests

MANIFESTS = (".jsonl", ".jsonl.gz")


@dataclass(frozen=True)
class Sureness:
    """What is kept.

    Args:
        confidence: Mean confidence of its words, at least; the share of them that can be expected to be right.
        shortest: Least length in seconds.
        longest: Most.
    """

    confidence: float = 0.9
    shortest: float = 0.5
    longest: float = 30.0

    def __post_init__(self) -> None:
        if not 0 <= self.confidence <= 1:
            raise InputError(f"--min-confidence is {self.confidence:g}; give a number from 0 to 1")
        if not 0 <= self.shortest < self.longest:
            raise InputError(
                f"lengths from {self.shortest:g} to {self.longest:g} s: give --longest more than --shortest"
            )

    def against(self, words: Sequence[Word], length: float) -> str | None:
        """Why a part of these words and this length is left out; none if it is kept."""
        if not words:
            return "without words"
        if not self.shortest <= length <= self.longest:
            return f"not of {self.shortest:g} to {self.longest:g} s"
        return "of less confidence" if mean_confidence(words) < self.confidence else None


def parts(transcript: Transcript) -> Iterator[tuple[float, float, tuple[Word, ...]]]:
    """Start, end and words of what lies between the pauses at which a recording was divided, or of all of it."""
    borders = [0.0, *(transcript.endpoints or ()), transcript.duration]
    found: list[list[Word]] = [[] for _ in borders[1:]]
    for word in transcript.words:
        found[min(bisect_right(borders, word.start), len(found)) - 1].append(word)
    for (start, end), words in zip(pairwise(borders), found, strict=True):
        yield start, end, tuple(words)


def label_files(
    files: Sequence[str],
    *,
    model: str,
    out: str,
    sure: Sureness,
    search: SearchConfig | None = None,
    segments: Segments | None = None,
    threads: int = 1,
) -> int:
    """Write a manifest of what a model is sure of in recordings, and say how much was left out and why.

    Args:
        files: Sound files, folders of them, and patterns; files of frames for a model that is given these.
        model: Shipped model or model directory.
        out: The manifest, `.jsonl` or `.jsonl.gz`, whose paths are absolute.
        sure: What is kept.
        search: How the words are looked for in the scores; as the model carries or, without one, greedily if not given.
        segments: How recordings are divided; they are not if not given.
        threads: Threads for scoring.

    Returns:
        0 if all recordings could be read, 1 if some could not, 2 if the only one could not.

    Raises:
        InputError: there is nothing to label, no place for the manifest, or nothing that is kept.
        inference.model.ModelError: no such model, or a damaged one.
    """
    if not out.endswith(MANIFESTS) or not Path(out).parent.is_dir():
        raise InputError(f"{out}: give a manifest that ends in {' or '.join(MANIFESTS)}, in a folder that is there")
    failed: list[str] = []
    sources = expand(files, failed)
    if not sources:
        raise InputError("; ".join(failed))
    if "-" in sources:
        raise InputError("standard input cannot be read again in training; give files")
    asked, names = len(sources) + len(failed), output_names(sources)
    recognizer = Recognizer.open(find(model), threads=threads)
    looked = None if search is None else Search(recognizer.tokens, search)
    kept: list[MonoCut] = []
    left_out: Counter[str] = Counter()
    heard = 0.0
    console = Console(stderr=True)
    lengths = {source: seconds(source) if console.is_terminal else 0.0 for source in sources}
    with AudioProgress(lengths, console) as progress:
        for source in sources:
            try:
                hear = progress.hearing(source)
                transcript = recognizer.transcribe(source, search=looked, segments=segments, progress=hear)
                whole = _whole(names[source], source, transcript, sound=recognizer.model.extractor.hears)
            except (ValueError, OSError) as error:
                failed.append(one_line(error))
                continue
            finally:
                progress.end(source)
            heard += transcript.duration
            for number, (start, end, words) in enumerate(parts(transcript), start=1):
                if why := sure.against(words, end - start):
                    left_out[why] += 1
                    continue
                name = whole.id if segments is None else f"{whole.id}-{number:04d}"
                kept.append(_part(whole, name, start, end, words))
    if len(failed) < asked:
        _say(kept, left_out, heard)
    code = ended("asr", failed, asked=asked)
    if kept:
        manifests.write(out, kept)
        print(out)
    elif len(failed) < asked:
        raise InputError(f"{out}: not written, as nothing is kept; a smaller --min-confidence keeps more")
    return code


def _whole(name: str, source: str, heard: Transcript, *, sound: bool) -> MonoCut:
    """The cut of a whole recording, or of a whole file of frames."""
    return manifests.cut(name, source, "") if sound else manifests.frames_cut(name, source, "", duration=heard.duration)


def _part(whole: MonoCut, name: str, start: float, end: float, words: Sequence[Word]) -> MonoCut:
    """The cut of one part; the recording may be a little shorter than what was decoded of it."""
    duration = min(end, whole.duration) - start
    [said] = whole.supervisions
    supervision = fastcopy(
        said,
        id=name,
        duration=duration,
        text=" ".join(word.text for word in words),
        custom={"confidence": round(mean_confidence(words), 4)},
    )
    return fastcopy(whole, id=name, start=start, duration=duration, supervisions=[supervision])


def _say(kept: Sequence[MonoCut], left_out: Counter[str], heard: float) -> None:
    every, hours = len(kept) + left_out.total(), sum(one.duration for one in kept) / 3600
    print(f"asr: kept {len(kept):,} of {every:,}, {hours:.2f} of {heard / 3600:.2f} h", file=sys.stderr)
    for why, count in sorted(left_out.items()):
        print(f"  left out, {why}: {count:,}", file=sys.stderr)
