"""What streams want decoded, of one or of many at once.

A stream does not decode its scores itself: it says what it wants decoded, and whoever runs it answers that, alone or
together with what other streams want. Beams of many streams take a fraction of their time when searched together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from inference.beam import BeamDecoder, Found, attempt, peek_together, push_together
from inference.ctc import Emission


class Decoder(Protocol):
    """Scores to emissions, as `inference.ctc.GreedyDecoder` and `inference.beam.BeamDecoder` make them."""

    def push(self, log_probs_TV: np.ndarray, /) -> list[Emission]:
        """Take the next scores; the emissions that they settle."""
        ...

    def flush(self) -> list[Emission]:
        """The emissions that are left; then it is fresh."""
        ...

    def sure(self) -> list[Emission]:
        """Emissions that have not come out yet because their ends are open; their labels will not change."""
        ...

    def peek(self, log_probs_TV: np.ndarray | None = None, /) -> list[Emission]:
        """What would come out yet if the stream ended here, or after these scores."""
        ...


class Decoding(NamedTuple):
    """What a stream wants decoded: that its decoder takes these scores (T,V), or that it only looks ahead at them."""

    decoder: Decoder
    scores_TV: np.ndarray
    peek: bool = False

    def alone(self) -> list[Emission]:
        """The emissions that come out."""
        return self.decoder.peek(self.scores_TV) if self.peek else self.decoder.push(self.scores_TV)


def decode(wanted: Sequence[Decoding]) -> list[Found]:
    """The emissions of each, or the exception that decoding it raised; all are of different streams."""
    found: dict[int, Found] = {}
    for peek, together in ((False, push_together), (True, peek_together)):
        some = [k for k, one in enumerate(wanted) if isinstance(one.decoder, BeamDecoder) and one.peek == peek]
        answers = together([wanted[k].decoder for k in some], [wanted[k].scores_TV for k in some])
        found.update(zip(some, answers, strict=True))
    for k, one in enumerate(wanted):
        if k not in found:
            found[k] = attempt(one.alone)
    return [found[k] for k in range(len(wanted))]
