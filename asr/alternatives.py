"""Other texts that an utterance may be: those of the labellings that a beam search has kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from asr.text import normalize
from asr.transcript import Alternative
from inference.beam import Hypothesis


def alternatives(
    hypotheses: Sequence[Hypothesis], decode: Callable[[tuple[int, ...]], str], *, count: int
) -> tuple[Alternative, ...]:
    """The texts of labellings, best first, each once: of labellings of one and the same text the best one counts.

    Args:
        hypotheses: Labellings with scores, best first.
        decode: Text of labels.
        count: Texts at most.
    """
    best: dict[str, tuple[str, float]] = {}
    for one in hypotheses:
        text = decode(one.labels)
        best.setdefault(normalize(text), (text, one.score))
    kept = list(best.values())[:count]
    weights = [math.exp(score - kept[0][1]) for _, score in kept]
    return tuple(
        Alternative(text, score, weight / sum(weights)) for (text, score), weight in zip(kept, weights, strict=True)
    )
