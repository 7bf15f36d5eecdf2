"""Other texts that an utterance may be: those of the labellings that a beam search has kept."""

from __future__ import annotations

import math
from collections.abc import Sequence

from asr.tokens import Tokens
from asr.transcript import Alternative
from inference.beam import Hypothesis


def alternatives(hypotheses: Sequence[Hypothesis], tokens: Tokens, *, count: int) -> tuple[Alternative, ...]:
    """The texts of labellings, best first, each once: of labellings of one and the same text the best one counts.

    Args:
        hypotheses: Labellings with scores, best first.
        tokens: The labels; texts are compared in their form.
        count: Texts at most.
    """
    best: dict[str, tuple[str, float]] = {}
    for one in hypotheses:
        text = tokens.decode(one.labels)
        best.setdefault(tokens.normalize(text), (text, one.score))
    kept = list(best.values())[:count]
    if not kept:
        return ()
    weights = [math.exp(score - kept[0][1]) for _, score in kept]
    return tuple(
        Alternative(text, score, weight / sum(weights)) for (text, score), weight in zip(kept, weights, strict=True)
    )
