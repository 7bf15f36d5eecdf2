"""A recording as a row of utterances: what is searched from one pause to the next, each with its best labellings.

Whoever asks for other labellings than the best must say of what. Of an hour of speech all that a beam holds begins
alike; of an utterance there is a choice. Memory is that of one utterance's decoder.

Shapes: T frames, V labels.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from inference.beam import BeamDecoder, Hypothesis
from inference.ctc import Emission


@dataclass(frozen=True, slots=True)
class Utterance:
    """What is said between two pauses: the emissions of the best labelling, and the best labellings, it first."""

    emissions: tuple[Emission, ...]
    hypotheses: tuple[Hypothesis, ...]


def utterances(
    decoder: Callable[[], BeamDecoder], scores: Iterable[np.ndarray], *, silent: Collection[int], pause: int, count: int
) -> Iterator[Utterance]:
    """The utterances of a recording; emissions are in frames of the recording.

    Args:
        decoder: Makes a fresh decoder.
        scores: Log probabilities (T,V) in pieces of any size.
        silent: Labels that are not heard: the blank, and the space between words.
        pause: Frames in which such a label is the likeliest, one after the other, after which an utterance is over.
        count: Labellings of each utterance at most.
    """
    search = _Utterance(decoder(), 0, count)
    frame = quiet = 0
    spoken = False
    for piece_TV in scores:
        first = 0
        for k, label in enumerate(piece_TV.argmax(axis=1).tolist(), start=1):
            quiet = quiet + 1 if label in silent else 0
            spoken = spoken or not quiet
            if spoken and quiet == pause:
                search.push(piece_TV[first:k])
                yield search.ended()
                search, first, spoken = _Utterance(decoder(), frame + k, count), k, False
        search.push(piece_TV[first:])
        frame += len(piece_TV)
    yield search.ended()


class _Utterance:
    def __init__(self, decoder: BeamDecoder, start: int, count: int):
        self._decoder, self._start, self._count = decoder, start, count
        self._settled: list[Emission] = []

    def push(self, scores_TV: np.ndarray) -> None:
        self._settled += self._decoder.push(scores_TV)

    def ended(self) -> Utterance:
        hypotheses = following([one.label for one in self._settled], self._decoder.hypotheses(self._count))
        emissions = self._settled + self._decoder.flush()
        moved = [replace(one, start=one.start + self._start, end=one.end + self._start) for one in emissions]
        return Utterance(tuple(moved), hypotheses)


def following(settled: Iterable[int], hypotheses: Iterable[Hypothesis]) -> tuple[Hypothesis, ...]:
    """Hypotheses of what is open, with the settled labels that all of them have before it."""
    begun = tuple(settled)
    return tuple(replace(one, labels=begun + one.labels) for one in hypotheses)
