"""A long recording divided at its pauses, in bounded memory, before each stretch is recognised by itself.

A network that was trained on utterances hears utterances then: its state begins afresh after each pause. The places are
the endpoints of a stream session (`inference.session`), which runs ahead of the recogniser by a few seconds and hears
with little look-ahead. What it recognises is thrown away; the stretches are recognised with full context. They adjoin:
no sample belongs to two of them or to none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter

import numpy as np

from asr.stream import check_streams, label_session
from asr.vad import SileroVad
from inference.endpoint import EndpointRules
from inference.model import Model
from inference.session import LabelSession, Update

JUDGES = ("decoder", "silero")


@dataclass(frozen=True)
class Segments:
    """Where recordings are divided.

    Args:
        by: What tells a pause: `decoder`, that no words are recognised; `silero`, silero-vad's network as well.
        rules: How long pauses are.
    """

    by: str = "decoder"
    rules: EndpointRules = field(default_factory=EndpointRules)

    def __post_init__(self) -> None:
        if self.by not in JUDGES:
            raise ValueError(f"segments by {self.by!r}: choose {' or '.join(JUDGES)}")


def stretches(
    blocks: Iterable[np.ndarray], model: Model, segments: Segments
) -> Iterator[tuple[int, Iterator[np.ndarray]]]:
    """Divide samples (S,) at the model's rate, which come in blocks of any size.

    Yields:
        The sample that a stretch begins with, and its samples in blocks, to be taken before the next stretch is asked
        for. Without samples there are no stretches.

    Raises:
        ModelError: the model normalises by the whole utterance, which is then not known.
        asr.vad.VadError: silero-vad is not installed.
    """
    check_streams(model)  # before silero-vad is asked to hear what the model cannot
    activity = SileroVad(model.extractor.rate) if segments.by == "silero" else None
    finder = label_session(model, rules=segments.rules, activity=activity)
    for first, pieces in groupby(_pieces(blocks, finder), key=itemgetter(0)):
        yield first, (samples_S for _, samples_S in pieces)


def _pieces(blocks: Iterable[np.ndarray], finder: LabelSession) -> Iterator[tuple[int, np.ndarray]]:
    """Samples as soon as no endpoint can come before their end, each with the first sample of its stretch."""
    first, held = 0, _Held()
    for block_S in blocks:
        held.push(block_S)
        origins = [*_origins(finder.push(block_S)), finder.origin]
        for cut in (origin for origin in origins if origin > first):
            yield from held.up_to(cut, first)
            first = cut
        yield from held.up_to(finder.kept_from, first)
    for cut in (origin for origin in _origins(finder.flush()) if origin > first):
        yield from held.up_to(cut, first)
        first = cut
    yield from held.up_to(held.end, first)


def _origins(updates: Iterable[Update]) -> list[int]:
    """Where the segments begin that the updates are of, each once, in order."""
    return list(dict.fromkeys(update.origin for update in updates))


class _Held:
    """Samples that have been heard and not been given out."""

    def __init__(self) -> None:
        self._samples_S = np.zeros(0, np.float32)
        self._begin = 0

    @property
    def end(self) -> int:
        return self._begin + len(self._samples_S)

    def push(self, samples_S: np.ndarray) -> None:
        self._samples_S = np.concatenate([self._samples_S, samples_S])

    def up_to(self, end: int, first: int) -> Iterator[tuple[int, np.ndarray]]:
        """Give out what lies before sample `end`, if there is any, as part of the stretch from `first` on."""
        count = end - self._begin
        if count > 0:
            given_S, self._samples_S = self._samples_S[:count], self._samples_S[count:].copy()
            self._begin = end
            yield first, given_S
