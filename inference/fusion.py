"""Language models as a beam search asks for them (shallow fusion): words spelled in letters, or labels as they are.

A word of letters is only known when it is over. So that the right one is still in the beam by then, a prefix that may
yet become some words is lent the unigram gain of the likeliest of them (Ortmanns et al. 1997, "language model
look-ahead"), which is settled when the word is over.

Shapes: N pairs of state and label, W words, V labels.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from inference import remembering
from inference.arcs import NONE
from inference.beam import Fusion
from inference.hotwords import HotWords
from inference.spellings import ROOT, SpellingTree

NO_WORD = -1


class LanguageModel(Protocol):
    """What `inference.ngram.NgramModel` and `inference.lstm_lm.LstmModel` offer.

    States are small whole numbers, of which 0 is the one without context; `scores` takes any word's number, also of
    what is never spelled, such as the beginning of a sentence.
    """

    def begin(self) -> int: ...

    def scores(self, states_K: np.ndarray, words_K: np.ndarray, /) -> tuple[np.ndarray, np.ndarray]: ...

    def finish(self, state: int, /) -> float: ...


class LabelModel:
    """A fusion of a language model over the labels themselves: letters, or whole words.

    Args:
        model: The language model.
        words_V: The number that each label has in the language model.
        weight: What its log probabilities are multiplied by.
        bonus: Gain of each label, against the shortness that a language model prefers.
        unknown: Number of the word that all others are to the language model; none if it knows all labels.
        unknown_bonus: Gain of a label that is that word, besides; -1000 allows for none.
    """

    def __init__(
        self,
        model: LanguageModel,
        words_V: Sequence[int],
        *,
        weight: float,
        bonus: float = 0.0,
        unknown: int | None = None,
        unknown_bonus: float = 0.0,
    ):
        self._model, self._words_V = model, np.asarray(words_V)
        self._weight = weight
        self._bonus_V = np.where(
            self._words_V == (NO_WORD if unknown is None else unknown), bonus + unknown_bonus, bonus
        )

    def begin(self) -> int:
        """The state of the empty text."""
        return self._model.begin()

    def extend(self, states_N: np.ndarray, labels_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gains (N) and new states (N) of appending a label each."""
        log_probs_N, next_N = self._model.scores(states_N, self._words_V[labels_N])
        return self._weight * log_probs_N + self._bonus_V[labels_N], next_N.astype(np.int64)

    def most(self) -> np.ndarray | float:
        """No gain of a label is larger than this."""
        return self._bonus_V if self._weight >= 0 else math.inf

    def finish(self, states_N: np.ndarray) -> np.ndarray:
        """Gains (N) of ending there."""
        return self._weight * ends(self._model, states_N)

    def fork(self) -> LabelModel:
        """The same for a search of its own."""
        return remembering.fork_by_model(self)

    def keep(self, states_N: np.ndarray) -> None:
        """From now on only these states, and what follows them, will be asked for."""
        remembering.keep(self._model, states_N)


class WordModel:
    """A fusion of a language model over words, where the labels are letters.

    Args:
        model: The language model.
        spellings: The tree of its words; the place of a word there is its number in the language model. What is never
            written, such as the beginning of a sentence, is not spelled.
        unknown: Number of the word that all others are to the language model.
        space: The label between words.
        weight: What the log probabilities of the language model are multiplied by.
        bonus: Gain of each word, against the shortness that a language model prefers.
        unknown_bonus: Gain of a word that has no spelling here, besides; -1000 allows for no such words.
    """

    def __init__(
        self,
        model: LanguageModel,
        spellings: SpellingTree,
        *,
        unknown: int,
        space: int,
        weight: float,
        bonus: float = 0.0,
        unknown_bonus: float = -5.0,
    ):
        self._model, self._space, self._unknown = model, space, unknown
        self._weight, self._bonus, self._unknown_bonus = weight, bonus, unknown_bonus
        # The node besides is for what no word begins with.
        self._arcs, self._lost = spellings.arcs, spellings.nodes
        self._nodes = self._lost + 1
        words_W = np.arange(len(spellings.end_W))
        unigram_W = model.scores(np.zeros_like(words_W), words_W)[0]
        # Of words that are spelled alike, such as those that differ in case, the likeliest is meant, of those as likely
        # the first: what is assigned last stays.
        words_W = np.lexsort((-words_W, unigram_W))
        words_W = words_W[spellings.end_W[words_W] != NONE]
        self._word_of_node = np.full(self._nodes, unknown)
        self._word_of_node[spellings.end_W[words_W]] = words_W
        self._lent = self._look_ahead(spellings, unigram_W)
        # What the end of a word gains at each node, beside what the language model gives it.
        self._ending = bonus + unknown_bonus - self._lent
        self._ending[spellings.end_W[words_W]] -= unknown_bonus
        self._most_V = self._largest_gains(spellings)

    def _look_ahead(self, spellings: SpellingTree, unigram_W: np.ndarray) -> np.ndarray:
        """What each node is lent: the gain, without context, of the likeliest word that goes through it."""
        gain_W = self._weight * unigram_W + self._bonus
        unknown = gain_W[self._unknown] + self._unknown_bonus
        lent = np.append(spellings.largest(gain_W, least=unknown), unknown)
        lent[ROOT] = 0.0
        return lent

    def _largest_gains(self, spellings: SpellingTree) -> np.ndarray:
        """Of each label: what a prefix is lent more by it, or at a word's end what the surest word would bring."""
        lent = self._lent
        most_V = np.full(spellings.labels, lent[self._lost] - lent.min())
        np.maximum.at(most_V, spellings.label_S[2:], lent[2 : self._lost] - lent[spellings.parent_S[2:]])
        most_V[self._space] = max(0.0, float(self._ending.max())) if self._weight >= 0 else np.inf
        return most_V

    def begin(self) -> int:
        """The state of the empty text."""
        return self._model.begin() * self._nodes + ROOT

    def extend(self, states_N: np.ndarray, labels_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gains (N) and new states (N) of appending a label each."""
        contexts_N, nodes_N = np.divmod(states_N, self._nodes)
        next_N = self._arcs.follow(nodes_N, labels_N, none=self._lost)
        over_N = labels_N == self._space
        next_N[over_N] = ROOT
        gains_N = self._lent[next_N] - self._lent[nodes_N]
        self._end_words(over_N, gains_N, contexts_N, nodes_N)
        return gains_N, contexts_N * self._nodes + next_N

    def most(self) -> np.ndarray:
        """No gain of a label is larger than this."""
        return self._most_V

    def finish(self, states_N: np.ndarray) -> np.ndarray:
        """Gains (N) of ending there."""
        gains_N = np.zeros(len(states_N))
        contexts_N, nodes_N = np.divmod(states_N, self._nodes)
        self._end_words(np.True_, gains_N, contexts_N, nodes_N)
        return gains_N + self._weight * ends(self._model, contexts_N)

    def fork(self) -> WordModel:
        """The same for a search of its own."""
        return remembering.fork_by_model(self)

    def keep(self, states_N: np.ndarray) -> None:
        """From now on only these states, and what follows them, will be asked for."""
        remembering.keep(self._model, states_N // self._nodes)

    def _end_words(self, over_N: np.ndarray, gains_N: np.ndarray, contexts_N: np.ndarray, nodes_N: np.ndarray) -> None:
        """Put in gains and contexts where the words that have been spelled out are over; no letters are no word."""
        ended = (over_N & (nodes_N != ROOT)).nonzero()[0]
        if ended.size:
            nodes = nodes_N[ended]
            log_probs, contexts_N[ended] = self._model.scores(contexts_N[ended], self._word_of_node[nodes])
            gains_N[ended] = self._weight * log_probs + self._ending[nodes]


class WithHotWords:
    """A language model and hot words together: their gains add up.

    Args:
        model: The language model's fusion.
        hot_words: The hot words.
    """

    def __init__(self, model: Fusion, hot_words: HotWords):
        self._model, self._hot_words = model, hot_words

    def begin(self) -> int:
        """The state of the empty text."""
        return self._model.begin() * self._hot_words.states + self._hot_words.begin()

    def extend(self, states_N: np.ndarray, labels_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gains (N) and new states (N) of appending a label each."""
        contexts_N, matches_N = np.divmod(states_N, self._hot_words.states)
        gains_N, contexts_N = self._model.extend(contexts_N, labels_N)
        more_N, matches_N = self._hot_words.extend(matches_N, labels_N)
        return gains_N + more_N, contexts_N * self._hot_words.states + matches_N

    def most(self) -> np.ndarray | float:
        """No gain of a label is larger than this."""
        return self._model.most() + self._hot_words.most()

    def finish(self, states_N: np.ndarray) -> np.ndarray:
        """Gains (N) of ending there."""
        contexts_N, matches_N = np.divmod(states_N, self._hot_words.states)
        return self._model.finish(contexts_N) + self._hot_words.finish(matches_N)

    def fork(self) -> WithHotWords:
        """The same for a search of its own."""
        return remembering.fork_by_model(self)

    def keep(self, states_N: np.ndarray) -> None:
        """From now on only these states, and what follows them, will be asked for."""
        remembering.keep(self._model, states_N // self._hot_words.states)


class Together:
    """Several language models, whether of words or of labels: their gains add up (a log-linear combination).

    A state is the number of a row in which each of them has its own. Rows are given out as texts grow, and those that
    no search holds any more are forgotten.

    Args:
        models: The fusion of each.
    """

    def __init__(self, models: Sequence[Fusion]):
        self._models = tuple(models)
        begin_1M = np.array([[model.begin() for model in self._models]], dtype=np.int64)
        # Blocks of rows, each with the number of its first; state 0 is the empty text.
        self._blocks: list[tuple[int, np.ndarray]] = [(0, begin_1M)]
        self._next = 1

    def begin(self) -> int:
        """The state of the empty text."""
        return 0

    def extend(self, states_N: np.ndarray, labels_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gains (N) and new states (N) of appending a label each."""
        rows_NM = self._rows(states_N)
        total_N, after_NM = np.zeros(len(states_N)), np.empty_like(rows_NM)
        for m, model in enumerate(self._models):
            gains_N, after_NM[:, m] = model.extend(rows_NM[:, m], labels_N)
            total_N += gains_N
        self._blocks.append((self._next, after_NM))
        self._next += len(after_NM)
        return total_N, np.arange(self._next - len(after_NM), self._next)

    def most(self) -> np.ndarray | float:
        """No gain of a label is larger than this."""
        return sum((model.most() for model in self._models), start=np.float64(0.0))

    def finish(self, states_N: np.ndarray) -> np.ndarray:
        """Gains (N) of ending there."""
        rows_NM = self._rows(states_N)
        return np.sum([model.finish(rows_NM[:, m]) for m, model in enumerate(self._models)], axis=0)

    def fork(self) -> Together:
        """The same for a search of its own."""
        other = copy.copy(self)
        other._models = tuple(remembering.fork(model) for model in self._models)
        other._blocks = list(self._blocks)
        return other

    def keep(self, states_N: np.ndarray) -> None:
        """From now on only these states, and what follows them, will be asked for."""
        kept_N = np.unique(np.append(states_N, self.begin()))
        rows_NM = self._rows(kept_N)
        # A row keeps its number: neighbours among those kept make a block.
        cuts = np.flatnonzero(np.diff(kept_N) > 1) + 1
        firsts = kept_N[np.concatenate([[0], cuts])].tolist()
        self._blocks = list(zip(firsts, np.split(rows_NM, cuts), strict=True))
        for m, model in enumerate(self._models):
            remembering.keep(model, rows_NM[:, m])

    def _rows(self, states_N: np.ndarray) -> np.ndarray:
        """The state (N,M) that each of M models has."""
        firsts = np.array([first for first, _ in self._blocks])
        block_N = np.searchsorted(firsts, states_N, side="right") - 1
        rows_NM = np.empty((len(states_N), len(self._models)), dtype=np.int64)
        for block in np.unique(block_N):
            chosen = block_N == block
            first, rows = self._blocks[block]
            rows_NM[chosen] = rows[states_N[chosen] - first]
        return rows_NM


def ends(model: LanguageModel, states_N: np.ndarray) -> np.ndarray:
    """Log probabilities (N) that a text ends after each of these states."""
    remembering.ready(model, states_N)
    states = states_N.tolist()
    end_of = {state: model.finish(state) for state in set(states)}
    return np.array([end_of[state] for state in states])
