"""Many recordings in one process: short ones are read first and scored as batches, which takes less than one by one.

Most of the time of an LSTM on one recording goes into bringing its weights to the processor, once a step; a batch
shares that. It is no larger than what a long recording is scored in, so it needs no more memory either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple, Protocol

import numpy as np

from asr.recognizer import Recognizer
from asr.scoring import WHOLE, Counted, frames, scores_of_frames
from asr.search import Search
from asr.transcript import Transcript
from features import audio
from inference.workers import Outcome, Work

AT_ONCE = 32
"""Recordings that are read before any of them is scored, so that those of a batch have much the same length."""
BATCH = 8
"""Recordings of a batch: four to eight are fastest, more fall out of the processor's cache."""


class Short(NamedTuple):
    """A recording that has been read: its frames (T,F), T >= 1, and what they were made of."""

    frames_TF: np.ndarray
    heard: Counted


def read(
    recognizer: Recognizer, source: audio.Source, *, search: Search, progress: Callable[[float], None]
) -> Short | Transcript:
    """The frames of a recording that is seen as a whole; of a longer one, or one without frames, its transcript.

    Raises:
        features.audio.AudioError, features.given.FramesError: it cannot be read.
    """
    model = recognizer.model
    heard = Counted(model.extractor.blocks(source), rate=model.extractor.rate, progress=progress)
    pieces, held, count = frames(model.extractor, heard), [], 0
    for frames_TF in pieces:
        held.append(frames_TF)
        count += len(frames_TF)
        if count > most_frames(recognizer):
            break
    if 0 < count <= most_frames(recognizer):
        return Short(np.concatenate(held), heard)
    return recognizer.transcribe_scores(scores_of_frames(model, chain(held, pieces)), heard, search=search)


def most_frames(recognizer: Recognizer) -> int:
    """Frames of a recording that is seen as a whole, and of a batch."""
    return recognizer.model.scorer.frames(WHOLE.chunk, recognizer.model.extractor.shift_seconds)


def by_length(lengths: Sequence[int], *, most: int) -> list[list[int]]:
    """Positions of items in batches of much the same length, each of `most` frames or one item, with its padding."""
    batches: list[list[int]] = []
    for number in sorted(range(len(lengths)), key=lengths.__getitem__):
        # The last one that comes to a batch is its longest.
        full = not batches or len(batches[-1]) == BATCH or (len(batches[-1]) + 1) * lengths[number] > most
        if full:
            batches.append([])
        batches[-1].append(number)
    return batches


class WorkTogether(Protocol):
    """Work that can be done for several items at once."""

    def together(self, items: Sequence[Any], tell: Callable[[Any, float], None]) -> Iterator[Outcome]: ...


class Together:
    """A pool in this process whose work is given several items at once."""

    def run(
        self, begin: Callable[[], Work], items: Sequence[Any], tell: Callable[[Any, float], None]
    ) -> Iterator[Outcome]:
        """As `inference.workers.Pool` says; `begin` makes a `WorkTogether`."""
        work, left = begin(), iter(items)
        while some := list(islice(left, AT_ONCE)):
            yield from work.together(some, tell)
