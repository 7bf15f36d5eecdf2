"""Many recordings in one process: short ones are scored as batches, while a thread reads those that come next.

Most of the time of an LSTM on one recording goes into bringing its weights to the processor, once a step; a batch
shares that. It is no larger than what a long recording is scored in, so it needs no more memory either. What is read
ahead of the scores is half a minute at most of each of `2 * AT_ONCE` recordings.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import chain, islice
from typing import Any, NamedTuple, TypeVar

import numpy as np

from asr.scoring import WHOLE, Counted, frames
from features import audio
from inference.model import Model
from inference.workers import Outcome, WorkTogether

A, B = TypeVar("A"), TypeVar("B")

AT_ONCE = 16
"""Recordings of whose short ones batches are made: enough that those of a batch have much the same length."""
BATCH = 8
"""Recordings of a batch: four to eight are fastest, more fall out of the processor's cache."""


class Begun(NamedTuple):
    """A recording whose beginning has been read.

    Attributes:
        heard: Its blocks: all have been read of a short one, and none, as yet, of any other.
        frames_TF: Frames of a short one, which is seen as a whole, T >= 1.
    """

    heard: Counted
    frames_TF: np.ndarray | None = None


def begin(model: Model, source: audio.Source) -> Begun:
    """Read a recording, or the first half minute of a longer one.

    Raises:
        features.audio.AudioError, features.given.FramesError: it cannot be read.
    """
    rate = model.extractor.rate
    heard = Counted(model.extractor.blocks(source), rate=rate)
    blocks, held = iter(heard), []
    for samples_S in blocks:
        held.append(samples_S)
        if heard.samples > WHOLE.chunk * rate:
            return Begun(Counted(chain(held, blocks), rate=rate))
    pieces = list(frames(model.extractor, held))
    if 0 < sum(map(len, pieces)) <= most_frames(model):
        return Begun(heard, np.concatenate(pieces))
    return Begun(Counted(held, rate=rate))


def most_frames(model: Model) -> int:
    """Frames of a recording that is seen as a whole, and of a batch."""
    return model.scorer.frames(WHOLE.chunk, model.extractor.shift_seconds)


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


class InBatches:
    """A pool in this process whose work is given several items at once, while the next ones are begun."""

    def run(
        self, begin: Callable[[], WorkTogether], items: Sequence[Any], tell: Callable[[Any, float], None]
    ) -> Iterator[Outcome]:
        """As `inference.workers.Pool` says; `begin` makes a `WorkTogether`."""
        work = begin()
        with closing(ahead(work.begin, items, count=AT_ONCE)) as begun:
            while some := list(islice(begun, AT_ONCE)):
                yield from work.end(some, tell)


def ahead(function: Callable[[A], B], items: Sequence[A], *, count: int) -> Iterator[tuple[A, B]]:
    """Each item with what a function makes of it in a thread, which is `count` items ahead of those asked for.

    Closed early, it waits for the item that the thread is at.
    """
    if len(items) <= count:  # there is nothing that the thread could do it beside
        yield from ((item, function(item)) for item in items)
        return
    from concurrent.futures import ThreadPoolExecutor

    thread, left = ThreadPoolExecutor(1), iter(items)
    made = deque((item, thread.submit(function, item)) for item in islice(left, count))
    try:
        while made:
            item, result = made.popleft()
            made.extend((other, thread.submit(function, other)) for other in islice(left, 1))
            yield item, result.result()
    finally:
        thread.shutdown(cancel_futures=True)
