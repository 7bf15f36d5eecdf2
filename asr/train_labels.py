"""Recordings without transcripts to training data: what a model is sure of in them (pseudo-labels; Lee 2013).

Of what a model hears, the parts that it is sure of are mostly right, and training on them besides transcribed speech
brings a model closer to the voices and rooms of the rest (Kahn et al. 2020, who filter by confidence as well). A part
is a recording, or what lies between two pauses of it. One is kept if it has words, if these can be expected to be
right, and if it is no longer than training wants; each says in the manifest how sure the model was.

What is heard goes into a journal beside the manifest, so that the work of hours may be stopped and goes on.
"""

from __future__ import annotations

import hashlib
import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from lhotse import MonoCut
from lhotse.utils import fastcopy
from rich.console import Console

from asr.journal import FileState, Journal
from asr.progress import AudioProgress
from asr.recognizer import Recognizer
from asr.search import Search, SearchConfig
from asr.shipped import find
from asr.sources import InputError, expand, seconds
from asr.stretches import Segments
from asr.transcript import Transcript, Word, mean_confidence
from inference.model import CARD
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

    def against(self, part: Part) -> str | None:
        """Why a part is left out; none if it is kept."""
        if not part.text:
            return "without words"
        if not self.shortest <= part.end - part.start <= self.longest:
            return f"not of {self.shortest:g} to {self.longest:g} s"
        return "of less confidence" if part.confidence < self.confidence else None


class Part(NamedTuple):
    """What is judged by itself: its start and end in seconds, its words, and their mean confidence; of none it is 0."""

    start: float
    end: float
    text: str
    confidence: float


def parts(transcript: Transcript) -> list[Part]:
    """What lies between the pauses at which a recording was divided, or all of it."""
    borders = [0.0, *(transcript.endpoints or ()), transcript.duration]
    found: list[list[Word]] = [[] for _ in borders[1:]]
    for word in transcript.words:
        found[min(bisect_right(borders, word.start), len(found)) - 1].append(word)
    return [
        Part(start, end, " ".join(word.text for word in words), mean_confidence(words) if words else 0.0)
        for (start, end), words in zip(pairwise(borders), found, strict=True)
    ]


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
        out: The manifest, `.jsonl` or `.jsonl.gz`, whose paths are absolute. Until it is written, what has been heard
            is in `OUT.part`; what that has is not heard again.
        sure: What is kept.
        search: How the words are looked for in the scores; as the model carries or, without one, greedily if not given.
        segments: How recordings are divided; they are not if not given.
        threads: Threads for scoring.

    Returns:
        0 if all recordings could be read, 1 if some could not, 2 if the only one could not.

    Raises:
        InputError: there is nothing to label, no place for the manifest, nothing that is kept, or what was begun is of
            another model, search or division.
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
    asked = len(sources) + len(failed)
    recognizer = Recognizer.open(find(model), threads=threads)
    with Journal(Path(f"{out}.part"), _settings(recognizer, search, segments)) as journal:
        heard = _hear(sources, journal, recognizer, search, segments, failed)
        sound, divided = recognizer.model.extractor.hears, segments is not None
        kept, left_out = _judged(heard, output_names(sources), sure, failed, sound=sound, divided=divided)
        if len(failed) < asked:
            _say(kept, left_out, sum(one.duration for one in heard.values()))
        code = ended("asr", failed, asked=asked)
        if kept:
            manifests.write(out, kept)
            if not failed:  # else the same command hears those alone that could not be read
                journal.remove()
            print(out)
        elif len(failed) < asked:
            raise InputError(
                f"{out}: not written, as nothing is kept; a smaller --min-confidence keeps more, and hears none again"
            )
    return code


class Heard(NamedTuple):
    """A recording: how many seconds it lasts, and its parts."""

    duration: float
    parts: list[Part]


def _hear(
    sources: Sequence[str],
    journal: Journal,
    recognizer: Recognizer,
    search: SearchConfig | None,
    segments: Segments | None,
    failed: list[str],
) -> dict[str, Heard]:
    """What each recording holds, as the journal has it or from now on has it; why others `failed` goes there."""
    recordings = {source: FileState.of(source) for source in sources}
    new = [source for source in sources if journal.get(recordings[source]) is None]
    if len(new) < len(sources):
        print(f"asr: {len(sources) - len(new):,} of {len(sources):,} were heard before", file=sys.stderr)
    looked = None if search is None else Search(recognizer.tokens, search)
    console = Console(stderr=True)
    with AudioProgress({one: seconds(one) if console.is_terminal else 0.0 for one in new}, console) as progress:
        for source in new:
            try:
                hear = progress.hearing(source)
                found = recognizer.transcribe(source, search=looked, segments=segments, progress=hear)
            except (ValueError, OSError) as error:
                failed.append(one_line(error))
                continue
            finally:
                progress.end(source)
            journal.add(recordings[source], [found.duration, parts(found)])
    heard = {source: journal.get(recording) for source, recording in recordings.items()}
    return {
        source: Heard(found[0], [Part(*part) for part in found[1]])
        for source, found in heard.items()
        if found is not None
    }


def _judged(
    heard: Mapping[str, Heard],
    names: Mapping[str, str],
    sure: Sureness,
    failed: list[str],
    *,
    sound: bool,
    divided: bool,
) -> tuple[list[MonoCut], Counter[str]]:
    """The cuts of the parts that are kept, and how many others are left out for which reason."""
    kept: list[MonoCut] = []
    left_out: Counter[str] = Counter()
    for source, (duration, found) in heard.items():
        try:
            whole = _whole(names[source], source, duration, sound=sound)
        except (ValueError, OSError) as error:
            failed.append(one_line(error))
            continue
        for number, part in enumerate(found, start=1):
            if why := sure.against(part):
                left_out[why] += 1
            else:
                kept.append(_cut(whole, f"{whole.id}-{number:04d}" if divided else whole.id, part))
    return kept, left_out


def _settings(recognizer: Recognizer, search: SearchConfig | None, segments: Segments | None) -> dict[str, Any]:
    """What decides on what is heard: the model, the search with the files that it reads, and the pauses."""
    model = sorted(path for path in recognizer.model.directory.iterdir() if path.is_file() and path.name != CARD)
    known = None if search is None else {**asdict(search.absolute()), "files": _digest(search.files())}
    return {"model": _digest(model), "search": known, "segments": None if segments is None else asdict(segments)}


def _digest(paths: Iterable[Path]) -> str:
    sums = []
    for path in paths:
        with open(path, "rb") as file:
            sums.append(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}")
    return hashlib.sha256("\n".join(sums).encode("utf-8", "surrogateescape")).hexdigest()


def _whole(name: str, source: str, duration: float, *, sound: bool) -> MonoCut:
    """The cut of a whole recording, or of a whole file of frames that lasts so many seconds."""
    return manifests.cut(name, source, "") if sound else manifests.frames_cut(name, source, "", duration=duration)


def _cut(whole: MonoCut, name: str, part: Part) -> MonoCut:
    """The cut of one part; the recording may be a little shorter than what was decoded of it."""
    duration = min(part.end, whole.duration) - part.start
    [said] = whole.supervisions
    confidence = {"confidence": round(part.confidence, 4)}
    supervision = fastcopy(said, id=name, duration=duration, text=part.text, custom=confidence)
    return fastcopy(whole, id=name, start=part.start, duration=duration, supervisions=[supervision])


def _say(kept: Sequence[MonoCut], left_out: Counter[str], heard: float) -> None:
    every, hours = len(kept) + left_out.total(), sum(one.duration for one in kept) / 3600
    print(f"asr: kept {len(kept):,} of {every:,}, {hours:.2f} of {heard / 3600:.2f} h", file=sys.stderr)
    for why, count in sorted(left_out.items()):
        print(f"  left out, {why}: {count:,}", file=sys.stderr)
