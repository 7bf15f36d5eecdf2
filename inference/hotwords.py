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

Labels = tuple[int, ...]

LARGEST = 500_000_000
"""States times labels of an automaton: 2 GB."""


class HotWords:
    """A fusion (`inference.beam`) of boosted phrases.

    Args:
        phrases: Labels of each phrase, and its boost in nats; negative ones make a phrase less likely.
        labels: Number of labels V, the blank among them.
        space: The label between words; none where each label is a word.

    Attributes:
        states: Number of states S.

    Raises:
        ValueError: a phrase is empty, or begins or ends with a space; there are too many.
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
        following: dict[Labels, list[int]] = {text: [] for text in texts}
        for text in lent:
            following[text[:-1]].append(text[-1])
        self._lent_S = np.array([0.0, *lent.values(), 0.0])
        self.states = len(self._lent_S)
        self._complete_S = np.zeros(len(texts) + 1)
        # The last state is within a word that begins no phrase.
        lost = len(texts)
        if (len(texts) + 1) * labels > LARGEST:
            raise ValueError(f"{len(boosts)} phrases for {labels} labels are too many: leave some out")
        self._next_SV = np.full((len(texts) + 1, labels), 0 if whole else lost, dtype=np.int32)
        if not whole:
            self._next_SV[:, space] = 0
        for state, text in enumerate(texts):
            tails = [text[k:] for k in range(len(text) + 1) if k == 0 or whole or text[k - 1] == space]
            self._complete_S[state] = sum(boosts.get(tail, 0.0) for tail in tails)
            for tail in reversed(tails):  # the longest match comes last, and stays
                for label in following.get(tail, ()):
                    self._next_SV[state, label] = number[(*tail, label)]
            if not whole and text and text[-1] == space:
                self._next_SV[state, space] = state  # two spaces are one

    def begin(self) -> int:
        """The state of the empty text."""
        return 0

    def extend(self, states_N: np.ndarray, labels_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gains (N) and new states (N) of appending a label each."""
        next_N = self._next_SV[states_N, labels_N].astype(np.int64)
        gains_N = self._lent_S[next_N] - self._lent_S[states_N]
        if self._space is None:
            return gains_N + self._complete_S[next_N], next_N
        return gains_N + np.where(labels_N == self._space, self._complete_S[states_N], 0.0), next_N

    def finish(self, states_N: np.ndarray) -> np.ndarray:
        """Gains (N) of ending there."""
        return (0.0 if self._space is None else self._complete_S[states_N]) - self._lent_S[states_N]
