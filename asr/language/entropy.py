"""Which n-grams a model can do without: pruning by relative entropy (Stolcke 1998).

An n-gram that is left out has the probability that the order below gives it. How much the model is worse then, by the
relative entropy of the two models, weighs the n-gram; histories are weighted by how often they come in the text, not by
what a model of Kneser and Ney would say, whose lower orders are no probabilities of histories (Chelba et al. 2010).

Shapes: G n-grams of one order, C n-grams one order below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

Fits = Callable[[Sequence[int], Sequence[int]], bool]
"""Whether so many n-grams of each order, and so many with a back-off weight of those between, are few enough."""


@dataclass(frozen=True)
class Order:
    """The n-grams of one order, each with what the order below makes of it.

    `parent_G` and `suffix_G` are the places of all words but the last and of all but the first, one order below,
    `times_G` how often each was seen, `prob_G` its probability, where it is not kept too, `left_C` the back-off weights
    of the order below, and `kept_G` which n-grams are there at all.
    """

    parent_G: np.ndarray
    suffix_G: np.ndarray
    times_G: np.ndarray
    prob_G: np.ndarray
    left_C: np.ndarray
    kept_G: np.ndarray


def weights(orders: Sequence[Order]) -> list[np.ndarray]:
    """For each order the share by which the perplexity rises without each n-gram, all others being there (G).

    An n-gram that longer ones begin with weighs no less than they, as it must stay with them. Those that are not there
    weigh nothing, those of the first order endlessly much.
    """
    found = [np.full(len(orders[0].prob_G), np.inf)]
    predicted = orders[1].times_G.sum() if orders[1:] else 0  # words and ends
    for below, here in pairwise(orders):
        kept_G, parent_G = here.kept_G, here.parent_G
        contexts = len(below.prob_G)
        prob_G, lower_G = here.prob_G, below.prob_G[here.suffix_G]
        # What the context leaves to words that it does not have, and what the order below gives those.
        given_C = np.bincount(parent_G[kept_G], lower_G[kept_G], minlength=contexts)
        open_C = np.maximum(1.0 - given_C, 0.0)
        rest_C = here.left_C * open_C
        history_C = np.bincount(parent_G, here.times_G, minlength=contexts)
        without_G = (rest_C[parent_G] + prob_G) / (open_C[parent_G] + lower_G)
        rise_G = rest_C[parent_G] * np.log(without_G / here.left_C[parent_G])
        lost_G = prob_G * (np.log(prob_G) - np.log(lower_G * without_G)) - rise_G
        weight_G = np.expm1(history_C[parent_G] / predicted * lost_G)
        found.append(np.where(kept_G, np.maximum(weight_G, 0.0), 0.0))
    for below, here, order in zip(found[-2::-1], found[:0:-1], orders[:0:-1], strict=True):
        np.maximum.at(below, order.parent_G[order.kept_G], here[order.kept_G])
    return found


def least_threshold(orders: Sequence[Order], weights: Sequence[np.ndarray], least: float, fits: Fits) -> float:
    """The least threshold, from `least` on, such that what weighs as much or more fits; infinite where nothing does."""
    heaviest = []
    for below, here, weight_G in zip(weights, orders[1:], weights[1:], strict=False):
        heaviest_C = np.zeros(len(below))
        np.maximum.at(heaviest_C, here.parent_G[here.kept_G], weight_G[here.kept_G])
        heaviest.append(heaviest_C)

    def enough(threshold: float) -> bool:
        stay = [int(np.count_nonzero(one.kept_G & (weight_G >= threshold))) for one, weight_G in pairs]
        return fits(stay, [int(np.count_nonzero(heaviest_C >= threshold)) for heaviest_C in heaviest[1:]])

    pairs = list(zip(orders, weights, strict=True))
    tried = np.unique(np.concatenate([[least], *(weight_G[weight_G > least] for weight_G in weights[1:]), [np.inf]]))
    low, high = 0, len(tried) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(tried[middle]) else (middle + 1, high)
    return float(tried[low])


def left_over(orders: Sequence[Order], kept: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Back-off weights of the n-grams of each order but the highest, where only some n-grams are kept.

    So much that the probabilities after each context sum to 1 again. A context that loses nothing, nor do those that it
    is shortened to, keeps its weight to the last digit.
    """
    found: list[np.ndarray] = []
    prob_G, changed_G = orders[0].prob_G, np.zeros(len(orders[0].prob_G), bool)
    for here, kept_G in zip(orders[1:], kept[1:], strict=True):
        contexts, lower_G = len(prob_G), prob_G[here.suffix_G]
        parent_G = here.parent_G[kept_G]
        moved_G = (here.kept_G & ~kept_G) | changed_G[here.suffix_G]
        moved_C = np.bincount(here.parent_G, moved_G, minlength=contexts) > 0
        rest_C = 1.0 - np.bincount(parent_G, here.prob_G[kept_G], minlength=contexts)
        open_C = 1.0 - np.bincount(parent_G, lower_G[kept_G], minlength=contexts)
        left_C = here.left_C.copy()
        possible_C = moved_C & (rest_C > 0) & (open_C > 0)
        left_C[possible_C] = rest_C[possible_C] / open_C[possible_C]
        left_C[np.bincount(parent_G, minlength=contexts) == 0] = 1.0
        found.append(left_C)
        prob_G = np.where(kept_G, here.prob_G, left_C[here.parent_G] * lower_G)
        changed_G = ~kept_G & (moved_G | moved_C[here.parent_G])
    return found
