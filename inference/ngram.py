"""Back-off n-gram language models at work: what a beam search asks of them, and the perplexity of texts.

The n-grams are one tree in arrays: a node for each, its children those with one more word at the end, numbered by
order, context and last word. A state is the node of a context. Only NumPy is needed, and a model of a million n-grams
takes some 30 MB. (KenLM does the same in C++; it has no wheels, and this project installs without a compiler.)
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np

from inference.arpa import BEGIN, END, UNKNOWN, Level, NgramError, read

ROOT = 0  # the state without context


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
    may merge hypotheses by their states (Li and Khudanpur 2008).

    Args:
        words: The vocabulary; a word's number is its place here. <s>, </s> and <unk> (or <UNK>) are among them.
        levels: The n-grams of each order, from 1 on, as `inference.arpa` describes them.

    Raises:
        NgramError: more n-grams than states can number.
    """

    def __init__(self, words: Sequence[str], levels: Sequence[Level]):
        self.words = tuple(words)
        self.order = len(levels)
        self._numbers = {word: number for number, word in enumerate(self.words)}
        self.unknown = self._numbers[UNKNOWN if UNKNOWN in self._numbers else UNKNOWN.upper()]
        self.end = self._numbers[END]
        if sum(len(level.word_G) for level in levels) >= 2**31:
            raise NgramError("the language model has 2,147,483,648 n-grams or more: prune it")
        # Arrays over all n-grams of all orders (G), and over the contexts (C): the root and those below the last order.
        # The n-gram at place g is the node g + 1. Keys rise, as parents rise with the order.
        self._log_prob_G = np.concatenate([level.log_prob_G for level in levels]).astype(np.float32)
        self._key_G, parent_G = self._keys(levels)
        num_contexts = 1 + len(self._key_G) - len(levels[-1].word_G)
        weights = [np.zeros(1), *(level.backoff_G for level in levels[:-1])]
        self._backoff_C = np.concatenate(weights).astype(np.float32)
        borders_C = np.arange(num_contexts + 1) * len(self.words)
        self._first_C = np.searchsorted(self._key_G, borders_C).astype(np.int32)
        shorter = self._shorter(levels, parent_G)
        state_C = np.arange(num_contexts, dtype=np.int32)
        forgettable_C = (self._backoff_C == 0) & (np.diff(self._first_C) == 0)
        forgettable_C[ROOT] = False
        for _ in levels:  # what a context is shortened to may be forgettable as well
            state_C = np.where(forgettable_C[state_C], shorter[state_C], state_C)
        self._state_G = state_C[np.concatenate([np.arange(1, num_contexts), shorter[num_contexts:]])]
        self._shorter_C = state_C[shorter[:num_contexts]]
        self._begin = int(self._state_G[self._numbers[BEGIN]])
        # Single numbers come out of these several times as fast as out of arrays.
        self._keys_view, self._states_view = memoryview(self._key_G), memoryview(self._state_G)
        self._log_probs_view, self._backoffs_view = memoryview(self._log_prob_G), memoryview(self._backoff_C)
        self._first_view, self._shorter_view = memoryview(self._first_C), memoryview(self._shorter_C)

    @classmethod
    def read(cls, path: str | Path) -> NgramModel:
        """The model in an ARPA file (`.arpa`, also with gzip).

        Raises:
            NgramError: it is something else, or damaged; the message names the line.
            OSError: it cannot be opened.
        """
        return cls(*read(path))

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
            first, last = self._first_view[state], self._first_view[state + 1]
            key = state * len(self.words) + word
            place = bisect_left(self._keys_view, key, first, last)
            if place < last and self._keys_view[place] == key:
                return penalty + self._log_probs_view[place], self._states_view[place]
            penalty += self._backoffs_view[state]
            state = self._shorter_view[state]
        return penalty + self._log_probs_view[word], self._states_view[word]

    def scores(self, states_K: np.ndarray, words_K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same for K pairs at once: log probabilities (float64) and states (int64). It pays from 30 pairs on."""
        states_K, words_K = np.asarray(states_K, np.int64), np.asarray(words_K, np.int64)
        log_prob_K = np.zeros(len(states_K))
        after_K = np.empty(len(states_K), np.int64)
        context_K, rest = states_K.copy(), np.arange(len(states_K))
        while rest.size:
            place, found = self._find(context_K[rest], words_K[rest])
            done, place = rest[found], place[found]
            log_prob_K[done] += self._log_prob_G[place]
            after_K[done] = self._state_G[place]
            rest = rest[~found]
            log_prob_K[rest] += self._backoff_C[context_K[rest]]
            context_K[rest] = self._shorter_C[context_K[rest]]
        return log_prob_K, after_K

    def finish(self, state: int) -> float:
        """Log probability that the sentence ends after a state."""
        return self.score(state, self.end)[0]

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

    def _keys(self, levels: Sequence[Level]) -> tuple[np.ndarray, np.ndarray]:
        """Of each n-gram: node of its context times number of words plus its last word; and that node."""
        starts = [ROOT, *accumulate((len(level.word_G) for level in levels[:-2]), initial=1)]
        parent_G = np.concatenate(
            [level.parent_G.astype(np.int64) + start for level, start in zip(levels, starts, strict=False)]
        )
        return parent_G * len(self.words) + np.concatenate([level.word_G for level in levels]), parent_G

    def _find(self, states_K: np.ndarray, words_K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the n-grams of these contexts and words stand, and whether they do."""
        key_K = states_K * len(self.words) + words_K
        place_K = np.minimum(np.searchsorted(self._key_G, key_K), len(self._key_G) - 1)
        return place_K, self._key_G[place_K] == key_K

    def _shorter(self, levels: Sequence[Level], parent_G: np.ndarray) -> np.ndarray:
        """For each node its longest proper suffix that is a node, as in the automaton of Aho and Corasick (1975)."""
        shorter = np.zeros(1 + len(parent_G), np.int32)
        start = len(levels[0].word_G)
        for level in levels[1:]:
            nodes = slice(start + 1, start + 1 + len(level.word_G))
            words, context = level.word_G, shorter[parent_G[start : start + len(level.word_G)]].astype(np.int64)
            suffix, rest = np.zeros(len(words), np.int32), np.arange(len(words))
            while rest.size:
                place, found = self._find(context[rest], words[rest])
                suffix[rest[found]] = place[found] + 1
                rest = rest[~found]  # a pruned model may lack what others have; the root has every word
                context[rest] = shorter[context[rest]]
            shorter[nodes] = suffix
            start += len(level.word_G)
        return shorter


def _exponential(exponent: float) -> float:
    return math.exp(exponent) if exponent < 700 else math.inf
