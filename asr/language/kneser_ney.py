"""N-gram language models from text: interpolated modified Kneser-Ney (Chen and Goodman 1999, section 4.1.6).

What KenLM's lmplz computes, in NumPy and in memory: lmplz sorts on disk, takes texts larger than memory, and must be
compiled. For the millions of words that a laptop's model is made of, this one takes seconds, and it is there wherever
Saywave is. So it is used even where lmplz is installed: the same command makes the same file on every machine.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from asr.language import entropy
from asr.language.entropy import Fits
from inference.arpa import BEGIN, END, HIGHEST_ORDER, UNKNOWN, Level

SPECIAL = (UNKNOWN, BEGIN, END)  # with these word numbers
UNKNOWN_ID, BEGIN_ID, END_ID = range(3)
# Of n-grams seen once, twice, and more often, where too few of an order were seen to tell (as lmplz has them).
FALLBACK = (0.5, 1.0, 1.5)
BEGIN_LOG10 = -99.0  # <s> never comes next; the ARPA format has no smaller number


class EstimationError(ValueError):
    """A model that cannot be made; the message says why and what to do."""


@dataclass(frozen=True)
class Estimate:
    """A model, and what it was made of.

    `discounts` are those of n-grams seen once, twice, and more often, of each order; `fallback` names the orders whose
    own could not be estimated; `threshold` is that of the pruning by entropy. `num_words` counts those of the text,
    without sentence ends; `num_unknown` those of them that became <unk>.
    """

    words: tuple[str, ...]
    levels: list[Level]
    num_sentences: int
    num_words: int
    num_unknown: int
    discounts: list[tuple[float, float, float]]
    fallback: list[int]
    threshold: float = 0.0


def estimate(
    sentences: Iterable[Sequence[str]],
    *,
    order: int = 3,
    vocabulary_size: int | None = None,
    prune: Sequence[int] = (0,),
    prune_entropy: float = 0.0,
    fits: Callable[[Sequence[str]], Fits] | None = None,
    progress: Callable[[str], None] = lambda what: None,
) -> Estimate:
    """Estimate a model of sentences.

    The probability of an n-gram is (a - D(a)) / A + g p: a is its adjusted count and A the sum of those with the same
    context, p the probability one order below, and g what the discounts D leave over. The adjusted count is the count
    in the highest order and for what begins with <s>, and else the number of different words seen before it. Below the
    first order stands 1/V, of V words with </s> and <unk> but without <s>; where the text has no <unk>, this alone
    makes its probability, as in lmplz. The discounts of each order follow from how many n-grams have the adjusted
    counts 1 to 4. Where none has 1, 2 or 3, or a discount comes out at 0, below, or above the count, they are
    `FALLBACK` (lmplz stops there unless told otherwise).

    Args:
        sentences: Each a sequence of words (or letters) without <s> and </s>. In an empty one </s> follows on <s>.
        order: Longest n-grams, 1 to 10.
        vocabulary_size: Only so many words, the most frequent ones, are in the model, and all others become <unk>;
            without it every word is. Of words as frequent, those that sort first.
        prune: Of each order, n-grams seen so often or less are left out, and their probability goes to the lower order;
            the last number holds for all further orders. The first is 0 (for fewer words there is `vocabulary_size`),
            and they do not fall.
        prune_entropy: N-grams without which the perplexity rises by a smaller share than this are left out besides, as
            `asr.language.entropy` measures it.
        fits: Makes of the vocabulary what says of counts of n-grams whether they are few enough; as many are left out
            as it takes.
        progress: Is told what is being done.

    Returns:
        The model; its words and n-grams are sorted by code points, <unk>, <s> and </s> before all others.

    Raises:
        EstimationError: an argument is out of range, there is no text, <s> or </s> is in it, or nothing fits.
    """
    check(order, vocabulary_size, prune_entropy)
    thresholds = _thresholds(prune, order)
    progress("reading")
    numbers = Numbers()
    tokens_T, num_sentences = numbered(sentences, numbers)
    num_words = len(tokens_T) - 2 * num_sentences
    if not num_words:
        raise EstimationError("there is not a single word to make a language model of")
    words, number_of = vocabulary(numbers, np.bincount(tokens_T, minlength=len(numbers)), vocabulary_size)
    tokens_T = number_of[tokens_T]
    counted = count(tokens_T, order, len(words), progress)
    progress("estimating")
    orders, left, discounts, fallback = orders_of(counted, len(words), thresholds)
    kept, threshold = [one.kept_G for one in orders], 0.0
    if prune_entropy > 0 or fits is not None:
        progress("pruning")
        kept, threshold = pruned(orders, prune_entropy, None if fits is None else fits(words))
        left = entropy.left_over(orders, kept)
    levels = levels_of([one.word_G for one in counted], orders, left, kept)
    num_unknown = int(counted[0].count_G[UNKNOWN_ID])
    return Estimate(words, levels, num_sentences, num_words, num_unknown, discounts, fallback, threshold)


def check(order: int, vocabulary_size: int | None, prune_entropy: float) -> None:
    """Refuse what no model can be made with.

    Raises:
        EstimationError: it is so.
    """
    if not 1 <= order <= HIGHEST_ORDER:
        raise EstimationError(f"the order is {order}; it must be 1 to {HIGHEST_ORDER}")
    if vocabulary_size is not None and vocabulary_size < 1:
        raise EstimationError(f"the vocabulary size is {vocabulary_size}; it must be 1 or more")
    if not 0 <= prune_entropy < math.inf:
        raise EstimationError(f"pruning by an entropy of {prune_entropy:g}: give a number from 0 on, such as 1e-8")


def _thresholds(prune: Sequence[int], order: int) -> list[int]:
    shown = ",".join(map(str, prune))
    if not prune or len(prune) > order:
        raise EstimationError(f"pruning by {shown or 'nothing'}: give one number for each order, from 1 to {order}")
    if prune[0] != 0:
        raise EstimationError(f"pruning by {shown}: the first must be 0; choose a vocabulary size to leave out words")
    if list(prune) != sorted(prune):
        raise EstimationError(f"pruning by {shown}: the numbers must not fall")
    return [*prune, *[prune[-1]] * (order - len(prune))]


class Numbers(dict):
    """Words with their numbers; a new one gets the next."""

    def __init__(self) -> None:
        super().__init__({word: number for number, word in enumerate(SPECIAL)})

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        return number


def numbered(sentences: Iterable[Sequence[str]], numbers: Numbers) -> tuple[np.ndarray, int]:
    """The text as numbers of words with <s> and </s>, new ones in the order of their first use, and how many sentences.

    Raises:
        EstimationError: <s> or </s> is a word of it.
    """
    tokens = array("i")
    num_sentences = 0
    for sentence in sentences:
        tokens.append(BEGIN_ID)
        tokens.extend(map(numbers.__getitem__, sentence))
        tokens.append(END_ID)
        num_sentences += 1
    tokens_T = np.array(tokens, dtype=np.int32)
    ends = int(np.count_nonzero((tokens_T == BEGIN_ID) | (tokens_T == END_ID)))
    if ends != 2 * num_sentences:
        raise EstimationError(f"{BEGIN} or {END} is a word of a sentence: they stand around sentences; take them out")
    return tokens_T, num_sentences


def vocabulary(numbers: Numbers, times_N: np.ndarray, size: int | None) -> tuple[tuple[str, ...], np.ndarray]:
    """The vocabulary in its order, of the most frequent words where it has a size, and each number's number in it."""
    words = list(numbers)
    own = range(len(SPECIAL), len(words))
    kept = sorted(own, key=words.__getitem__)
    if size is not None and size < len(kept):
        times = times_N.tolist()
        kept = sorted(sorted(kept, key=lambda number: -times[number])[:size], key=words.__getitem__)
    number_of = np.zeros(len(words), np.int32)  # all is unknown but
    number_of[: len(SPECIAL)] = range(len(SPECIAL))
    number_of[kept] = np.arange(len(SPECIAL), len(SPECIAL) + len(kept))
    return (*SPECIAL, *(words[number] for number in kept)), number_of


@dataclass(frozen=True)
class Counted:
    """The G different n-grams of one order, sorted by context and last word, with how often each was seen.

    `parent_G` and `suffix_G` are the places of all words but the last and of all but the first, one order below.
    """

    parent_G: np.ndarray
    word_G: np.ndarray
    count_G: np.ndarray
    suffix_G: np.ndarray
    begins_G: np.ndarray  # with <s>


def count(tokens_T: np.ndarray, order: int, num_words: int, progress: Callable[[str], None]) -> list[Counted]:
    """The n-grams of a text, of each order; every word of the vocabulary is one, also where it is not there."""
    positions_T = np.arange(len(tokens_T), dtype=np.int32)
    since_begin_T = positions_T - np.maximum.accumulate(np.where(tokens_T == BEGIN_ID, positions_T, 0))
    word_G = np.arange(num_words, dtype=np.int32)
    nothing_G = np.zeros(num_words, np.int32)
    count_G = np.bincount(tokens_T, minlength=num_words)
    counted = [Counted(nothing_G, word_G, count_G, nothing_G, word_G == BEGIN_ID)]
    place_T = tokens_T  # of the n-gram that ends at each position
    for longer in range(2, order + 1):
        progress(f"counting {longer}-grams")
        ends = np.flatnonzero(since_begin_T >= longer - 1)
        key = place_T[ends - 1].astype(np.int64) * num_words + tokens_T[ends]
        sorting = np.argsort(key)
        key = key[sorting]
        new = np.ones(len(key), bool)
        np.not_equal(key[1:], key[:-1], out=new[1:])
        first = np.flatnonzero(new)
        key_G, ends = key[first], ends[sorting]
        del key, sorting
        parent_G, word_G = (column.astype(np.int32) for column in np.divmod(key_G, num_words))
        count_G = np.diff(first, append=len(ends))
        counted.append(Counted(parent_G, word_G, count_G, place_T[ends[first]], counted[-1].begins_G[parent_G]))
        if longer < order:
            place_T = np.zeros_like(tokens_T)
            place_T[ends] = np.cumsum(new) - 1
    return counted


def orders_of(
    counted: list[Counted], num_words: int, thresholds: Sequence[int]
) -> tuple[list[entropy.Order], list[np.ndarray], list[tuple[float, float, float]], list[int]]:
    """The orders, what their n-grams leave over, the discounts of each, and the orders where they are `FALLBACK`."""
    discounts, fallback = [], []
    orders: list[entropy.Order] = []
    # Of the order 0: any word but <s>, which never comes.
    lower_G, left = np.full(1, 1 / (num_words - 1)), []
    kept = [here.count_G > threshold for here, threshold in zip(counted, thresholds, strict=True)]
    kept[0][:] = True
    for order, here in enumerate(counted, start=1):
        adjusted_G = here.count_G
        if order < len(counted):
            different_G = np.bincount(counted[order].suffix_G, minlength=len(adjusted_G))
            adjusted_G = np.where(here.begins_G, adjusted_G, different_G)
        if order == 1:
            adjusted_G = np.where(here.begins_G, 0, adjusted_G)
        discount, estimated = _discounts(adjusted_G)
        discounts.append(discount)
        if not estimated:
            fallback.append(order)
        own_G = np.where(kept[order - 1], adjusted_G - np.array([0.0, *discount])[np.minimum(adjusted_G, 3)], 0.0)
        total = np.bincount(here.parent_G, adjusted_G, minlength=len(lower_G)).astype(float)  # whole where it is empty
        # Summed as such: taken from 1 it would lose its digits. After </s> nothing comes, and nothing is taken.
        left_C = np.bincount(here.parent_G, adjusted_G - own_G, minlength=len(lower_G)).astype(float)
        left_C[total == 0] = total[total == 0] = 1.0
        left_C /= total
        prob_G = own_G / total[here.parent_G] + left_C[here.parent_G] * lower_G[here.suffix_G]
        orders.append(entropy.Order(here.parent_G, here.suffix_G, here.count_G, prob_G, left_C, kept[order - 1]))
        lower_G = prob_G
        if order > 1:
            left.append(left_C)
    orders[0].prob_G[BEGIN_ID] = 10**BEGIN_LOG10
    return orders, left, discounts, fallback


def pruned(orders: list[entropy.Order], threshold: float, fits: Fits | None) -> tuple[list[np.ndarray], float]:
    """Which n-grams of each order stay, and from which weight on."""
    weights = entropy.weights(orders)
    if fits is not None:
        threshold = entropy.least_threshold(orders, weights, threshold, fits)
    if threshold == math.inf and not fits([len(orders[0].prob_G)] + [0] * (len(orders) - 1), [0] * (len(orders) - 2)):
        raise EstimationError("the words alone take more room than that; give more, or choose fewer by vocabulary size")
    return [one.kept_G & (weight_G >= threshold) for one, weight_G in zip(orders, weights, strict=True)], threshold


def levels_of(
    words: Sequence[np.ndarray], orders: Sequence[entropy.Order], left: list[np.ndarray], kept: list[np.ndarray]
) -> list[Level]:
    """The n-grams that are kept, as a model has them; `words` are the last ones (G) of each order."""
    levels = []
    new_place = np.zeros(1, np.int32)
    for order, (word_G, one, keep_G) in enumerate(zip(words, orders, kept, strict=True)):
        weight_G = left[order][keep_G] if order < len(left) else np.ones(int(keep_G.sum()))
        log_prob_G, backoff_G = np.log(one.prob_G[keep_G]), np.log(weight_G)
        levels.append(Level(new_place[one.parent_G[keep_G]], word_G[keep_G], log_prob_G, backoff_G))
        new_place = (np.cumsum(keep_G) - 1).astype(np.int32)
    return levels


def _discounts(adjusted_G: np.ndarray) -> tuple[tuple[float, float, float], bool]:
    """Of n-grams seen once, twice and more often (equation 26 of the paper), and whether they could be estimated."""
    n1, n2, n3, n4 = np.bincount(np.minimum(adjusted_G, 5), minlength=6)[1:5].tolist()
    if not (n1 and n2 and n3):
        return FALLBACK, False
    y = n1 / (n1 + 2 * n2)
    found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    if not all(0 < discount <= times for times, discount in enumerate(found, start=1)):
        return FALLBACK, False
    return found, True
