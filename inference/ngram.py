"""Back-off n-gram language models at work: what a beam search asks of them, and the perplexity of texts.

The n-grams are one tree in arrays (`inference.ngram_tree`), and a state is the node of a context. Only NumPy is needed,
and a model of a million n-grams takes some 20 MB. (KenLM does the same in C++; it has no wheels, and this project
installs without a compiler.)
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from inference import arpa, ngram_file
from inference.arpa import BEGIN, END, UNKNOWN, Level, NgramError
from inference.ngram_tree import Tree

ROOT = 0  # the state without context
FEW = 100  # pairs that are scored faster one by one
RECENT = 1 << 14  # pairs whose scores are kept


@dataclass(frozen=True)
class Perplexity:
    """How well a model predicts a text: counts, and sums of natural logarithms.

    Sentence ends are predicted like words, and are not counted in `words`. Words not in the model are `unknown`
    and have `unknown_log_prob`, which `log_prob` contains.
    """

    sentences: int
    words: int
    unknown: int
    log_prob: float
    unknown_log_prob: float

    @property
    def including_unknown(self) -> float:
        """Of everything, where an unknown word costs what the model gives <unk>."""
        return _exponential(-self.log_prob / (self.words + self.sentences))

    @property
    def excluding_unknown(self) -> float:
        """Of the sentence ends and the words that are in the model."""
        known = self.words + self.sentences - self.unknown
        return _exponential((self.unknown_log_prob - self.log_prob) / known)

    def shared(self, words: int) -> float:
        """Of a model of letters, for each of so many words and the sentence ends: to be held against one of words."""
        return _exponential(-self.log_prob / (words + self.sentences))

    @property
    def unknown_rate(self) -> float:
        """Share of the words that are not in the model (the OOV rate)."""
        return self.unknown / self.words if self.words else 0.0


class NgramModel:
    """A back-off n-gram model: log probabilities (natural) of words after what came before them.

    States are whole numbers; 0 is without any context. Equal states mean that the model predicts everything alike,
    whatever comes: a context is forgotten as soon as no n-gram begins with it and its back-off weight is 1. So a search
    may merge hypotheses by their states (Li and Khudanpur 2008). Which state follows on an n-gram is found when it is
    first asked for, so that a model of millions is at hand at once.

    Args:
        words: The vocabulary; a word's number is its place here. <s>, </s> and <unk> (or <UNK>) are among them.
        ngrams: The n-grams: a tree, or those of each order, from 1 on, as `inference.arpa` describes them.

    Raises:
        NgramError: more n-grams than states can number.
    """

    def __init__(self, words: Sequence[str], ngrams: Tree | Sequence[Level]):
        self.words = tuple(words)
        tree = ngrams if isinstance(ngrams, Tree) else Tree.of(ngrams)
        self.order = len(tree.counts)
        self._numbers = {word: number for number, word in enumerate(self.words)}
        self.unknown = self._numbers[UNKNOWN if UNKNOWN in self._numbers else UNKNOWN.upper()]
        self.end = self._numbers[END]
        if sum(tree.counts) >= 2**31:
            raise NgramError("the language model has 2,147,483,648 n-grams or more: prune it")
        self._tree = tree
        # The state after each n-gram, and what each context is shortened to, both plus 1; 0 where nobody has asked yet.
        self._after_G = np.zeros(len(tree.word_G), np.int32)
        self._shorter_C = np.zeros(len(tree.backoff_C), np.int32)
        # Single numbers come out of these several times as fast as out of arrays.
        self._words_view, self._firsts_view = memoryview(tree.word_G), memoryview(tree.first_C)
        self._log_probs_view, self._backoffs_view = memoryview(tree.log_prob_G), memoryview(tree.backoff_C)
        self._after_view, self._shorter_view = memoryview(self._after_G), memoryview(self._shorter_C)
        node_V = np.arange(1, len(self.words) + 1)
        if self.order > 1:
            kept_V = (tree.backoff_C[node_V] != 0) | (tree.first_C[node_V] < tree.first_C[node_V + 1])
            self._after_G[: len(self.words)] = np.where(kept_V, node_V, ROOT) + 1
        else:
            self._after_G[:] = ROOT + 1
        self._begin = int(self._after_G[self._numbers[BEGIN]]) - 1
        # A search asks for the same pairs frame after frame.
        self._recent = lru_cache(RECENT)(self.score)

    @classmethod
    def read(cls, path: str | Path) -> NgramModel:
        """The model in a file: in the ARPA format (`.arpa`, also with gzip), or a compact one (`.ngram`).

        Raises:
            NgramError: it is something else, or damaged; the message names the line.
            OSError: it cannot be opened.
        """
        return cls(*(ngram_file.read(path) if ngram_file.is_compact(path) else arpa.read(path)))

    def id(self, word: str) -> int:
        """The number of a word; an unknown one has that of <unk>."""
        return self._numbers.get(word, self.unknown)

    def begin(self) -> int:
        """The state at the beginning of a sentence."""
        return self._begin

    def score(self, state: int, word: int) -> tuple[float, int]:
        """Log probability of a word after a state, and the state after it."""
        penalty = 0.0
        while state != ROOT:
            first, last = self._firsts_view[state], self._firsts_view[state + 1]
            place = bisect_left(self._words_view, word, first, last)
            if place < last and self._words_view[place] == word:
                return penalty + self._log_probs_view[place], (self._after_view[place] or self._after(place)) - 1
            penalty += self._backoffs_view[state]
            state = (self._shorter_view[state] or self._shorter(state)) - 1
        return penalty + self._log_probs_view[word], self._after_view[word] - 1

    def scores(self, states_K: np.ndarray, words_K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same for K pairs at once: log probabilities (float64) and states (int64)."""
        states_K, words_K = np.asarray(states_K, np.int64), np.asarray(words_K, np.int64)
        if len(states_K) < FEW:
            scored = map(self._recent, states_K.tolist(), words_K.tolist())
            log_prob_K, after_K = zip(*scored, strict=True) if len(states_K) else ((), ())
            return np.array(log_prob_K, np.float64), np.array(after_K, np.int64)
        log_prob_K = np.zeros(len(states_K))
        place_K = words_K.copy()  # of those without context
        context_K, rest = states_K.copy(), np.flatnonzero(states_K != ROOT)
        while rest.size:
            place, found = self._find(context_K[rest], words_K[rest])
            place_K[rest[found]] = place[found]
            rest = rest[~found]
            log_prob_K[rest] += self._tree.backoff_C[context_K[rest]]
            context_K[rest] = _known(self._shorter_C, context_K[rest], self._shorter)
            rest = rest[context_K[rest] != ROOT]
        return log_prob_K + self._tree.log_prob_G[place_K], _known(self._after_G, place_K, self._after)

    def finish(self, state: int) -> float:
        """Log probability that the sentence ends after a state."""
        return self._recent(state, self.end)[0]

    def log_probability(self, sentence: Sequence[str]) -> float:
        """Log probability of a whole sentence with its end."""
        log_prob, state = 0.0, self._begin
        for word in sentence:
            score, state = self.score(state, self.id(word))
            log_prob += score
        return log_prob + self.finish(state)

    def log_probabilities(self, sentences: Iterable[Sequence[str]]) -> list[float]:
        """Those of many, such as the hypotheses of an n-best list."""
        return [self.log_probability(sentence) for sentence in sentences]

    def perplexity(self, sentences: Iterable[Sequence[str]]) -> Perplexity:
        """How well the model predicts sentences, each a sequence of words.

        Raises:
            NgramError: there are none.
        """
        counts = [0, 0, 0]
        log_prob = unknown_log_prob = 0.0
        for sentence in sentences:
            state = self._begin
            for word in sentence:
                number = self.id(word)
                score, state = self.score(state, number)
                log_prob += score
                if number == self.unknown:
                    unknown_log_prob += score
                    counts[2] += 1
            log_prob += self.finish(state)
            counts[0] += 1
            counts[1] += len(sentence)
        if not counts[0]:
            raise NgramError("there is no sentence to measure a perplexity on")
        return Perplexity(*counts, log_prob, unknown_log_prob)

    @cached_property
    def _key_G(self) -> np.ndarray:
        """Of each n-gram the node of its context times the number of words plus its last word; these rise."""
        contexts_G = np.repeat(np.arange(len(self._tree.first_C) - 1), np.diff(self._tree.first_C))
        return contexts_G * len(self.words) + self._tree.word_G

    def _find(self, states_K: np.ndarray, words_K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the n-grams of these contexts and words stand, and whether they do."""
        key_K = states_K * len(self.words) + words_K
        place_K = np.minimum(np.searchsorted(self._key_G, key_K), len(self._key_G) - 1)
        return place_K, self._key_G[place_K] == key_K

    def _after(self, place: int) -> int:
        """The state after the n-gram at a place, plus 1, which is kept."""
        node = place + 1
        after = self._state(node if node < len(self._shorter_C) else self._suffix(node)) + 1
        self._after_view[place] = after
        return after

    def _shorter(self, context: int) -> int:
        """The state that a context is shortened to, plus 1, which is kept."""
        shorter = self._state(self._suffix(context)) + 1
        self._shorter_view[context] = shorter
        return shorter

    def _state(self, context: int) -> int:
        """The context, or what it is shortened to where nothing would be missed."""
        forgettable = not self._backoffs_view[context] and (
            self._firsts_view[context] == self._firsts_view[context + 1]
        )
        return (self._shorter_view[context] or self._shorter(context)) - 1 if forgettable and context else context

    def _suffix(self, node: int) -> int:
        """The longest proper suffix of a node that is one, as in the automaton of Aho and Corasick (1975)."""
        place = node - 1
        if place < len(self.words):
            return ROOT
        word, context = self._words_view[place], bisect_right(self._firsts_view, place) - 1
        # A pruned model may lack what others have; without context there is every word. Contexts that were forgotten
        # on the way have no longer n-grams.
        while context := (self._shorter_view[context] or self._shorter(context)) - 1:
            last = self._firsts_view[context + 1]
            found = bisect_left(self._words_view, word, self._firsts_view[context], last)
            if found < last and self._words_view[found] == word:
                return found + 1
        return word + 1


def _known(states: np.ndarray, places_K: np.ndarray, find: Callable[[int], int]) -> np.ndarray:
    """The states (int64) at these places of an array that has them plus 1; those that it has not yet are found."""
    for place in set(places_K[states[places_K] == 0].tolist()):
        find(place)
    return states[places_K].astype(np.int64) - 1


def _exponential(exponent: float) -> float:
    return math.exp(exponent) if exponent < 700 else math.inf
