"""A lexicon in the beam search: which words there are, how each is spelled in labels, and what they gain.

The labels of a prefix do not always say which words it is made of: words may be spelled alike, and where nothing stands
between words one may begin in several places. So the search is one over symbols: a label within a word, or a label that
ends the word of some rank among those that are spelled so far. All symbols of a label sound alike. As elsewhere
(`inference.fusion`) a prefix is lent what the likeliest word that it may become would gain without context.

Shapes: N pairs of state and symbol, V labels, W words, L spellings, S nodes of their tree, R the most words that are
spelled alike. The node `BEHIND` is where a word has ended and the space must follow, where there is one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from inference import remembering
from inference.arcs import NONE
from inference.ctc import NEVER
from inference.fusion import LanguageModel, ends
from inference.hotwords import HotWords
from inference.spellings import BEHIND, ROOT, Spelled, SpellingTree

UNFINISHED = -1000.0
"""Gain in nats of ending within a word: it happens only where nothing else is left."""


class Spellings(SpellingTree):
    """The words of a lexicon in the tree of their spellings.

    Args:
        spellings: Pairs of a word's number and its labels; several of a word, and several words with the same.
        labels: Number of labels V, the blank among them.

    Attributes:
        word_L: The number of the word of each spelling.
        alike: R.
        words: Of each node the words that end there, by their ranks (S, 1 + R); rank 0 is within a word.
        sounds: The label of each symbol (V (1 + R)).
    """

    def __init__(self, spellings: Iterable[tuple[int, Sequence[int]]], *, labels: int):
        spellings = list(spellings)
        self.word_L = np.fromiter((word for word, _ in spellings), np.int64, len(spellings))
        super().__init__(Spelled.of(spelling for _, spelling in spellings), labels=labels)
        assert (self.end_W != NONE).all(), "a word is spelled"
        # Of each node its words, each once, in the order in which they came.
        pairs = self.end_W * (1 + self.word_L.max(initial=0)) + self.word_L
        once = np.sort(np.unique(pairs, return_index=True)[1])
        ends = self.end_W[once]
        sorting = np.argsort(ends, kind="stable")
        first = np.append(True, np.diff(ends[sorting]) != 0)[: len(ends)]
        rank = np.arange(len(ends)) - np.maximum.accumulate(np.where(first, np.arange(len(ends)), 0))
        self.alike = 1 + int(rank.max(initial=-1))
        self.sounds = np.tile(np.arange(labels), 1 + self.alike)
        self.words = np.full((self.nodes, 1 + self.alike), NONE)
        self.words[ends[sorting], 1 + rank] = self.word_L[once[sorting]]

    def read(self, symbols: Iterable[int]) -> list[tuple[int | None, int]]:
        """For each symbol the number of the word that ends with it, or none, and the count of symbols in that word."""
        found: list[tuple[int | None, int]] = []
        node = length = 0
        for symbol in symbols:
            rank, label = divmod(symbol, self.labels)
            following = self.arcs.step(node, label)
            if following == NONE:  # the space between words
                node, length = ROOT, 0
                found.append((None, 0))
                continue
            node, length = following, length + 1
            if rank:
                found.append((int(self.words[node, rank]), length))
                node, length = ROOT, 0
            else:
                found.append((None, length))
        return found

    def ending(self, spelling: Sequence[int], word: int) -> int:
        """The last symbol of a word that is spelled so."""
        node = ROOT
        for label in spelling:
            node = self.arcs.step(node, label)
        rank = self.words[node].tolist().index(word)
        return spelling[-1] + rank * self.labels


class LexiconModel:
    """A fusion of the words of a lexicon, over symbols; no others are written.

    Args:
        spellings: Their spellings.
        model: A language model; none takes all words for equally likely.
        numbers_W: The number of each word in the language model.
        bonus_W: Gain of each word beside it, in nats.
        weight: What the log probabilities of the language model are multiplied by.
        space: The label between words; none where nothing stands there.
        hot_words: Phrases of words (not labels) to be expected.
    """

    def __init__(
        self,
        spellings: Spellings,
        *,
        model: LanguageModel | None = None,
        numbers_W: Sequence[int],
        bonus_W: Sequence[float],
        weight: float = 1.0,
        space: int | None = None,
        hot_words: HotWords | None = None,
    ):
        self._spellings, self._space, self._hot_words = spellings, space, hot_words
        self._model, self._weight = model, weight
        self._numbers_W, self._bonus_W = np.asarray(numbers_W), np.asarray(bonus_W, dtype=np.float64)
        self._matches = 1 if hot_words is None else hot_words.states
        self._lent = self._look_ahead()
        self._most = self._largest_gains()

    def _look_ahead(self) -> np.ndarray:
        words = np.arange(len(self._numbers_W))
        gain_W = self._gains(np.zeros_like(words), words)[0]
        lent = self._spellings.largest(gain_W[self._spellings.word_L], least=NEVER)
        lent[[ROOT, BEHIND]] = 0.0
        return lent

    def begin(self) -> int:
        """The state of the empty text."""
        context = 0 if self._model is None else self._model.begin()
        return context * self._matches * self._spellings.nodes + ROOT

    def extend(self, states_N: np.ndarray, symbols_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gains (N), of what no word is spelled like minus infinity, and new states (N) of appending a symbol each."""
        tree = self._spellings
        ranks_N, labels_N = np.divmod(symbols_N, tree.labels)
        contexts_N, nodes_N = np.divmod(states_N, tree.nodes)
        next_N = tree.arcs.follow(nodes_N, labels_N)
        words_N = tree.words[next_N, ranks_N]
        within_N = (next_N != NONE) & (ranks_N == 0) & tree.goes_on[next_N]
        gains_N = np.where(within_N, self._lent[next_N], NEVER) - self._lent[nodes_N]
        if self._space is not None:
            between = (labels_N == self._space) & (ranks_N == 0) & (nodes_N <= BEHIND) & (next_N == NONE)
            gains_N[between], next_N[between] = 0.0, ROOT
        ended = np.flatnonzero((next_N != NONE) & (words_N != NONE))
        if ended.size:
            more, contexts_N[ended] = self._gains(contexts_N[ended], words_N[ended])
            gains_N[ended] = more - self._lent[nodes_N[ended]]
            next_N[ended] = ROOT if self._space is None else BEHIND
        return gains_N, contexts_N * tree.nodes + next_N

    def _gains(self, contexts_N: np.ndarray, words_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gains of words, and contexts after them."""
        contexts_N, matches_N = np.divmod(contexts_N, self._matches)
        gains_N = self._bonus_W[words_N]
        if self._model is not None:
            log_probs_N, contexts_N = self._model.scores(contexts_N, self._numbers_W[words_N])
            gains_N = gains_N + self._weight * log_probs_N
        if self._hot_words is not None:
            more_N, matches_N = self._hot_words.extend(matches_N, words_N)
            gains_N = gains_N + more_N
        return gains_N, contexts_N.astype(np.int64) * self._matches + matches_N

    def finish(self, states_N: np.ndarray) -> np.ndarray:
        """Gains (N) of ending there."""
        contexts_N, nodes_N = np.divmod(states_N, self._spellings.nodes)
        contexts_N, matches_N = np.divmod(contexts_N, self._matches)
        gains_N = np.where(nodes_N <= BEHIND, 0.0, UNFINISHED - self._lent[nodes_N])
        if self._model is not None:
            gains_N += self._weight * ends(self._model, contexts_N)
        return gains_N if self._hot_words is None else gains_N + self._hot_words.finish(matches_N)

    def fork(self) -> LexiconModel:
        """The same for a search of its own."""
        return remembering.fork_by_model(self)

    def keep(self, states_N: np.ndarray) -> None:
        """From now on only these states, and what follows them, will be asked for."""
        remembering.keep(self._model, states_N // (self._spellings.nodes * self._matches))

    def most(self) -> np.ndarray:
        """No gain of a symbol is larger than this; minus infinity where no word is spelled with it."""
        return self._most

    def _largest_gains(self) -> np.ndarray:
        """Of each symbol: what a prefix is lent more by it, or what the surest word would bring that ends with it."""
        tree = self._spellings
        targets = np.arange(2, tree.nodes)
        sources, labels = tree.parent_S[targets], tree.label_S[targets]
        most = np.full((1 + tree.alike, tree.labels), NEVER)
        if self._space is not None:
            most[0, self._space] = 0.0
        going_on = tree.goes_on[targets]
        np.maximum.at(most[0], labels[going_on], (self._lent[targets] - self._lent[sources])[going_on])
        sure_W = self._bonus_W if self._weight >= 0 else np.full(len(self._bonus_W), math.inf)
        if self._hot_words is not None:
            sure_W = sure_W + self._hot_words.most()
        for rank in range(1, 1 + tree.alike):
            words = tree.words[targets, rank]
            ends = words != NONE
            np.maximum.at(most[rank], labels[ends], sure_W[words[ends]] - self._lent[sources[ends]])
        return most.ravel()
