"""Words and phrases that are to be expected: a beam search leans towards them, and towards nothing else.

All phrases together are one automaton over labels (Aho and Corasick 1975) whose matches begin where words begin. While
a phrase is being spelled out its boost is lent, label by label, so that it is still in the beam when it is complete; it
is kept if the phrase ends where a word ends, and taken back otherwise. So a text in which no phrase stands has the
score it always had, and a word that only begins like a phrase gains nothing.

Shapes: N pairs of state and label, S states, V labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from inference.arcs import NONE, Arcs

Labels = tuple[int, ...]

TABULATED = 2_000_000
"""States times labels up to which all moves are kept in a table, which is faster and takes up to 32 MB."""


class HotWords:
    """A fusion (`inference.beam`) of boosted phrases.

    Args:
        phrases: Labels of each phrase, and its boost in nats; negative ones make a phrase less likely.
        labels: Number of labels V, the blank among them.
        space: The label between words; none where each label is a word.

    Attributes:
        states: Number of states S.

    Raises:
        ValueError: a phrase is empty, or begins or ends with a space.
    """

    def __init__(self, phrases: Mapping[Sequence[int], float], *, labels: int, space: int | None):
        self._space = space
        boosts = {tuple(phrase): boost for phrase, boost in phrases.items()}
        # A label of its own is a whole word, which is complete at once; letters are lent their share up to the last.
        whole = space is None
        lent: dict[Labels, float] = {}
        for phrase, boost in boosts.items():
            if not phrase or space in (phrase[0], phrase[-1]):
                raise ValueError("a phrase is empty, or begins or ends between words")
            for length in range(1, len(phrase) + 1):
                share = 0.0 if whole and length == len(phrase) else boost * length / len(phrase)
                lent[phrase[:length]] = max(lent.get(phrase[:length], 0.0), share, key=abs)
        texts: list[Labels] = [(), *lent]
        number = {text: state for state, text in enumerate(texts)}
        # The last state is within a word that begins no phrase.
        self._lost = len(texts)
        self.states = len(texts) + 1
        targets = {(number[text[:-1]], text[-1]): number[text] for text in lent}
        self._arcs = Arcs.of(targets, nodes=self.states)
        self._lent_S = np.array([0.0, *lent.values(), 0.0])
        self._complete_S = np.zeros(self.states)
        # Where to look on if a state has no arc, as in every automaton of this kind; and the state after a space.
        self._shorter_S = np.full(self.states, NONE)
        self._spaced_S = np.zeros(self.states, dtype=np.int64)
        for state, text in enumerate(texts):
            tails = [text[k:] for k in range(len(text) + 1) if k == 0 or whole or text[k - 1] == space]
            self._complete_S[state] = sum(boosts.get(tail, 0.0) for tail in tails)
            self._shorter_S[state] = next((number[tail] for tail in tails[1:] if tail in number), NONE)
            if not whole and text and text[-1] == space:
                self._spaced_S[state] = state  # two spaces are one

        self._most_V = self._largest_gains(targets, labels)
        self._labels = labels
        self._table: tuple[np.ndarray, np.ndarray] | None = None
        if self.states * labels <= TABULATED:
            self._table = self._looked_up(*np.divmod(np.arange(self.states * labels), labels))

    def _largest_gains(self, targets: Mapping[tuple[int, int], int], labels: int) -> np.ndarray:
        """Of each label (V): what it is lent and given at most where a phrase goes on or another begins."""
        lent_S = self._lent_S
        most_V = np.full(labels, -lent_S.min())
        restarting = self._shorter_S != NONE
        lowest = lent_S[restarting].min() if restarting.any() else np.inf
        complete_V = np.zeros(labels)
        for (state, label), target in targets.items():
            most_V[label] = max(most_V[label], lent_S[target] - min(lent_S[state], lowest))
            complete_V[label] = max(complete_V[label], self._complete_S[target])
        if self._space is None:
            return most_V + complete_V
        most_V[self._space] += self._complete_S.max()
        return most_V

    def begin(self) -> int:
        """The state of the empty text."""
        return 0

    def extend(self, states_N: np.ndarray, labels_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gains (N) and new states (N) of appending a label each."""
        if self._table is None:
            return self._looked_up(states_N, labels_N)
        gains_P, next_P = self._table
        places_N = states_N * self._labels + labels_N
        return gains_P[places_N], next_P[places_N]

    def _looked_up(self, states_N: np.ndarray, labels_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        next_N = self._next(states_N, labels_N)
        gains_N = self._lent_S[next_N] - self._lent_S[states_N]
        if self._space is None:
            return gains_N + self._complete_S[next_N], next_N
        return gains_N + np.where(labels_N == self._space, self._complete_S[states_N], 0.0), next_N

    def most(self) -> np.ndarray:
        """No gain of a label is larger than this."""
        return self._most_V

    def _next(self, states_N: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
        next_N = self._arcs.follow(states_N, labels_N)
        missed = np.flatnonzero(next_N == NONE)
        at = self._shorter_S[states_N[missed]]
        if self._space is None:
            next_N[missed] = 0
        else:
            spaces = labels_N[missed] == self._space
            next_N[missed] = np.where(spaces, self._spaced_S[states_N[missed]], self._lost)
        while (more := np.flatnonzero(at != NONE)).size:
            missed, at = missed[more], at[more]
            found = self._arcs.follow(at, labels_N[missed])
            next_N[missed[found != NONE]] = found[found != NONE]
            at = np.where(found == NONE, self._shorter_S[at], NONE)
        return next_N

    def finish(self, states_N: np.ndarray) -> np.ndarray:
        """Gains (N) of ending there."""
        return (0.0 if self._space is None else self._complete_S[states_N]) - self._lent_S[states_N]
