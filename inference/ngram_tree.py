"""The n-grams of all orders as one tree in arrays, as a model works with them and a compact file keeps them.

An n-gram is a node, its children are the n-grams with one more word at the end. Node 0 is the empty one; the n-gram at
place g among all, by order, context and last word, is node g + 1. So the children of a node lie side by side, and where
the first one lies says it all.

Shapes: G n-grams of all orders, C contexts: node 0 and the n-grams below the highest order.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from inference.arpa import Level


class Tree(NamedTuple):
    """n-grams with natural logarithms of probabilities and back-off weights.

    `counts` are those of each order, `first_C` (C + 1) the place of the first child of each context, and at the end G.
    """

    counts: tuple[int, ...]
    first_C: np.ndarray
    word_G: np.ndarray
    log_prob_G: np.ndarray
    backoff_C: np.ndarray

    @classmethod
    def of(cls, levels: Sequence[Level]) -> Tree:
        """The tree of levels, as `inference.arpa` reads them."""
        counts = tuple(len(level.word_G) for level in levels)
        children = [
            np.bincount(longer.parent_G, minlength=count) for longer, count in zip(levels[1:], counts[:-1], strict=True)
        ]
        weights = [np.zeros(1, np.float32), *(level.backoff_G for level in levels[:-1])]
        return cls(
            counts,
            np.cumsum(np.concatenate([[0, counts[0]], *children]), dtype=np.int64).astype(np.int32),
            np.concatenate([level.word_G for level in levels]),
            np.concatenate([level.log_prob_G for level in levels]).astype(np.float32),
            np.concatenate(weights).astype(np.float32),
        )

    def levels(self) -> list[Level]:
        """The same as levels."""
        borders = [0, *accumulate(self.counts)]
        levels = []
        for order, (start, end) in enumerate(pairwise(borders)):
            # Contexts of the order below, node 0 for the first; they begin at node borders[order - 1] + 1.
            contexts = slice(borders[order - 1] + 1, start + 2) if order else slice(0, 2)
            length_P = np.diff(self.first_C[contexts])
            parent_G = np.repeat(np.arange(len(length_P), dtype=np.int32), length_P)
            backoff_G = np.zeros(end - start, np.float32)
            if order + 1 < len(self.counts):
                backoff_G = self.backoff_C[start + 1 : end + 1]
            word_G = self.word_G[start:end].astype(np.int32)
            levels.append(Level(parent_G, word_G, self.log_prob_G[start:end], backoff_G))
        return levels
