"""A recording to the scores of a model, in bounded memory, whatever the scores are of.

Samples, frames and scores flow through in blocks: a recording no longer than the chunk of WHOLE is seen with full
context, a longer one in windows of that length with the look-ahead beyond each. The exception is a model that
normalises by the whole utterance: it can only begin when it has heard the end, and holds the recording until then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from features.extractor import FeatureExtractor
from inference.model import Model
from inference.scorer import ScoreStream


class Window(NamedTuple):
    """Chunk and look-ahead in seconds; see `encoders.blstm` for what they are."""

    chunk: float
    lookahead: float


WHOLE = Window(30.0, 3.0)


class Counted:
    """Blocks of samples on their way, and how many samples have passed.

    Args:
        blocks: They, to be read once.
        rate: Samples a second.
        progress: Called with the seconds of each block when the next one is asked for.

    Attributes:
        samples: How many there were so far.
    """

    def __init__(
        self, blocks: Iterable[np.ndarray], *, rate: int, progress: Callable[[float], None] | None = None
    ) -> None:
        self._blocks = blocks
        self._rate = rate
        self._progress = progress
        self.samples = 0

    def __iter__(self) -> Iterator[np.ndarray]:
        for samples_S in self._blocks:
            self.samples += len(samples_S)
            yield samples_S
            if self._progress is not None:
                self._progress(len(samples_S) / self._rate)


def frames(extractor: FeatureExtractor, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Frames (T,F) of blocks of what the extractor takes, in pieces."""
    if not extractor.streams:
        whole = list(blocks)
        if whole:
            yield extractor(np.concatenate(whole))
        return
    stream = extractor.stream()
    for samples_S in blocks:
        yield stream.push(samples_S)
    yield stream.flush()


def scores(model: Model, blocks: Iterable[np.ndarray], window: Window = WHOLE) -> Iterator[np.ndarray]:
    """Scores (T',V) of blocks of samples (S) or given frames, in pieces.

    Raises:
        ValueError: chunk or look-ahead is out of range.
    """
    return scores_of_frames(model, frames(model.extractor, blocks), window)


def scores_of_frames(model: Model, frames: Iterable[np.ndarray], window: Window = WHOLE) -> Iterator[np.ndarray]:
    """As `scores`, of frames (T,F) in pieces."""
    chunk, lookahead = (model.scorer.frames(seconds, model.extractor.shift_seconds) for seconds in window)
    stream = ScoreStream(model.scorer, chunk=chunk, lookahead=lookahead)
    for frames_TF in frames:
        yield from stream.push(frames_TF)
    yield from stream.flush()
