"""Language models of several texts: each text its own n-grams, and one back-off model of their weighted mean.

Counted together, a large text drowns a small one that is more like what will be said. So each text makes a model, and
the probability of a word is the weighted mean of theirs (Jelinek and Mercer 1980), with the weights that make
development text likeliest. What is written is one model: of every n-gram that any of them has, with the mean after it,
and with back-off weights that make all sum to 1 (SRILM's static interpolation; Stolcke 2002). It differs from the mean
only where none of them has seen the n-gram.

Texts are mixed, and not files of models: the pruning weighs histories by how often they come (`asr.language.entropy`),
which a file does not say, and over a common vocabulary each model gives each word a probability.

Shapes: M texts, G n-grams of one order of all texts, C of the order below, D words and ends of the development text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple

import numpy as np

from asr.language import entropy
from asr.language.entropy import Fits
from asr.language.kneser_ney import (
    BEGIN_ID,
    SPECIAL,
    UNKNOWN_ID,
    EstimationError,
    Numbers,
    check,
    count,
    levels_of,
    numbered,
    orders_of,
    pruned,
    vocabulary,
)
from inference.arpa import Level
from inference.ngram import NgramModel

Sentences = Iterable[Sequence[str]]
ROUNDS, ENOUGH = 10_000, 1e-9  # of expectation and maximisation: at most, and the change of a weight that ends them
LEAST_OPEN = 1e-12  # what probabilities leave over to 1 is their rounding, if it is less


@dataclass(frozen=True)
class Part:
    """One of the texts: its size without sentence ends, its weight, and what perplexity it alone gives `dev`."""

    num_sentences: int
    num_words: int
    num_unknown: int
    weight: float
    perplexity: float | None = None


@dataclass(frozen=True)
class Mixture:
    """A model and its parts; `perplexity` is what it gives development text, pruned as it is.

    Perplexities are without unknown words, as weights are found. `threshold` is that of the pruning.
    """

    words: tuple[str, ...]
    levels: list[Level]
    parts: list[Part]
    perplexity: float | None
    threshold: float


class _Counts(NamedTuple):
    """The n-grams of one text: last words of each order, and what is known of them."""

    words: list[np.ndarray]
    orders: list[entropy.Order]


def mix(
    texts: Sequence[Sentences],
    *,
    dev: Sentences | None = None,
    weights: Sequence[float] | None = None,
    order: int = 3,
    vocabulary_size: int | None = None,
    prune_entropy: float = 0.0,
    fits: Callable[[Sequence[str]], Fits] | None = None,
    progress: Callable[[str], None] = lambda what: None,
) -> Mixture:
    """Estimate a model of each text by modified Kneser-Ney, and make one of them.

    Args:
        texts: Two or more, each of sentences as `asr.language.kneser_ney.estimate` takes them.
        dev: Development text, in none of them, whose likelihood the weights maximise.
        weights: The weights instead, above 0; they are made to sum to 1.
        order: Longest n-grams, 1 to 10.
        vocabulary_size: Only so many words are in the model, the most frequent ones where each text counts as much as
            any other, however long it is; without it every word is.
        prune_entropy: As for `estimate`, of the mixture, whose counts are the weighted mean of relative ones.
        fits: As for `estimate`.
        progress: Is told what is being done.

    Raises:
        EstimationError: an argument is out of range, a text has not a single word, `dev` has no word of theirs, <s> or
            </s> is a word, or nothing fits.
    """
    assert (dev is None) != (weights is None)
    check(order, vocabulary_size, prune_entropy)
    if len(texts) < 2:
        raise EstimationError("there is one text to mix; give two or more")
    given_M = None if weights is None else _given(weights, len(texts))
    progress("reading")
    words, tokens, sizes = _read(texts, vocabulary_size)
    dev_sentences = [] if dev is None else [list(sentence) for sentence in dev]
    if dev is not None and set(words[len(SPECIAL) :]).isdisjoint(chain.from_iterable(dev_sentences)):
        raise EstimationError("the development text has no word that the texts have; give one that is like them")
    made, log_probs = [], []
    for number, tokens_T in enumerate(tokens, start=1):
        counted = count(tokens_T, order, len(words), lambda what, number=number: progress(f"text {number}: {what}"))
        orders, left, _, _ = orders_of(counted, len(words), [0] * order)
        made.append(_Counts([one.word_G for one in counted], orders))
        if dev is not None:
            alone = NgramModel(words, levels_of(made[-1].words, orders, left, [one.kept_G for one in orders]))
            log_probs.append(_log_probabilities(alone, dev_sentences))
    progress("mixing")
    alone_M: list[float | None] = [None] * len(texts)
    if given_M is None:
        log_prob_MD = np.array(log_probs)
        given_M = best_weights(log_prob_MD)
        alone_M = [float(np.exp(-row_D.mean())) for row_D in log_prob_MD]
    last_words, orders = _mixed(made, given_M, len(words))
    left, kept, threshold = [one.left_C for one in orders[1:]], [one.kept_G for one in orders], 0.0
    if prune_entropy > 0 or fits is not None:
        progress("pruning")
        kept, threshold = pruned(orders, prune_entropy, None if fits is None else fits(words))
        left = entropy.left_over(orders, kept)
    levels = levels_of(last_words, orders, left, kept)
    parts = [Part(*size, weight, alone) for size, weight, alone in zip(sizes, given_M.tolist(), alone_M, strict=True)]
    perplexity = NgramModel(words, levels).perplexity(dev_sentences).excluding_unknown if dev_sentences else None
    return Mixture(words, levels, parts, perplexity, threshold)


def best_weights(log_prob_MD: np.ndarray) -> np.ndarray:
    """The weights (M) of the mixture under which what has these log probabilities is likeliest.

    By expectation and maximisation (Dempster et al. 1977): the likelihood has one maximum, which is found from equal
    weights on.
    """
    prob_MD = np.exp(log_prob_MD - log_prob_MD.max(axis=0))
    weight_M = np.full(len(prob_MD), 1 / len(prob_MD))
    for _ in range(ROUNDS):
        share_MD = weight_M[:, None] * prob_MD
        before, weight_M = weight_M, (share_MD / share_MD.sum(axis=0)).mean(axis=1)
        if np.abs(weight_M - before).max() < ENOUGH:
            break
    return weight_M / weight_M.sum()


def _given(weights: Sequence[float], texts: int) -> np.ndarray:
    weight_M = np.array(weights, np.float64)
    if len(weight_M) != texts or not (np.isfinite(weight_M).all() and (weight_M > 0).all()):
        shown = ",".join(f"{weight:g}" for weight in weights)
        raise EstimationError(f"the weights are {shown}; give one above 0 for each of the {texts} texts")
    return weight_M / weight_M.sum()


def _read(
    texts: Sequence[Sentences], size: int | None
) -> tuple[tuple[str, ...], list[np.ndarray], list[tuple[int, int, int]]]:
    """The common vocabulary, the texts as its numbers, and of each the sentences, words, and unknown words."""
    numbers, tokens, sentences = Numbers(), [], []
    for number, text in enumerate(texts, start=1):
        tokens_T, num_sentences = numbered(text, numbers)
        if len(tokens_T) == 2 * num_sentences:
            raise EstimationError(f"there is not a single word in text {number} to make a language model of")
        tokens.append(tokens_T)
        sentences.append(num_sentences)
    times_N = sum(np.bincount(tokens_T, minlength=len(numbers)) / len(tokens_T) for tokens_T in tokens)
    words, number_of = vocabulary(numbers, times_N, size)
    tokens = [number_of[tokens_T] for tokens_T in tokens]
    unknown = [int(np.count_nonzero(tokens_T == UNKNOWN_ID)) for tokens_T in tokens]
    counts = [(n, len(tokens_T) - 2 * n, un) for n, tokens_T, un in zip(sentences, tokens, unknown, strict=True)]
    return words, tokens, counts


def _log_probabilities(model: NgramModel, sentences: Sequence[Sequence[str]]) -> np.ndarray:
    """Of each known word and sentence end (D), after what came before it."""
    found = []
    for sentence in sentences:
        state = model.begin()
        for word in map(model.id, sentence):
            log_prob, state = model.score(state, word)
            if word != model.unknown:
                found.append(log_prob)
        found.append(model.finish(state))
    return np.array(found)


def _mixed(
    made: Sequence[_Counts], weight_M: np.ndarray, num_words: int
) -> tuple[list[np.ndarray], list[entropy.Order]]:
    """The last words of the n-grams that any text has, of each order, and their orders in the mixture.

    An n-gram that a text does not have is given the probability to which its model backs off.
    """
    every = np.ones(num_words, bool)
    first = [one.orders[0] for one in made]
    prob_MG = np.stack([one.prob_G for one in first])
    share_M = weight_M / [one.times_G.sum() - one.times_G[BEGIN_ID] for one in first]  # of a word or an end
    mixed = replace(first[0], times_G=share_M @ [one.times_G for one in first], prob_G=weight_M @ prob_MG, kept_G=every)
    words, orders = [made[0].words[0]], [mixed]
    place_M = [np.arange(num_words)] * len(made)  # of each text's n-grams among all, one order below
    for level in range(1, len(made[0].orders)):
        below, here = orders[-1], [one.orders[level] for one in made]
        keys = [
            place_C[one.parent_G].astype(np.int64) * num_words + text.words[level]
            for place_C, one, text in zip(place_M, here, made, strict=True)
        ]
        key_G = np.unique(np.concatenate(keys))
        parent_G, word_G = (column.astype(np.int32) for column in np.divmod(key_G, num_words))
        places = [np.searchsorted(key_G, key) for key in keys]
        suffix_G = np.zeros(len(key_G), np.int32)
        for place_C, place, one in zip(place_M, places, here, strict=True):
            suffix_G[place] = place_C[one.suffix_G]
        times_G, longer_MG = np.zeros(len(key_G)), np.empty((len(made), len(key_G)))
        left_MC, open_MC = np.ones((2, len(made), len(below.prob_G)))
        for m, one in enumerate(here):
            lower_G = prob_MG[m, suffix_G]
            left_MC[m, place_M[m]] = one.left_C
            open_MC[m] -= np.bincount(parent_G, lower_G, minlength=len(below.prob_G))
            longer_MG[m] = left_MC[m, parent_G] * lower_G
            longer_MG[m, places[m]] = one.prob_G
            times_G[places[m]] += share_M[m] * one.times_G
        left_C = _left(weight_M, left_MC, open_MC)
        prob_G = weight_M @ longer_MG
        orders.append(entropy.Order(parent_G, suffix_G, times_G, prob_G, left_C, np.ones(len(key_G), bool)))
        words.append(word_G)
        place_M, prob_MG = places, longer_MG
    return words, orders


def _left(weight_M: np.ndarray, left_MC: np.ndarray, open_MC: np.ndarray) -> np.ndarray:
    """Back-off weights of the order below, such that the probabilities after each context sum to 1.

    To words that follow a context in no text each text leaves `left_MC * open_MC`: its own back-off weight, and what
    the order below gives those words. The mixture leaves the mean of that, and its order below gives them the mean of
    `open_MC`; so its weight is a mean of theirs.
    """
    open_MC = weight_M[:, None] * np.maximum(open_MC, LEAST_OPEN)
    return (left_MC * open_MC).sum(axis=0) / open_MC.sum(axis=0)
