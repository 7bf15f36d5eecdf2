"""Several sentences in a row, as they are spoken: a language model that begins anew where one is likely to be over.

A recording may hold many sentences, and nothing in its scores says where one ends. A model trained on single ones has
never seen what follows an end: an LSTM, which forgets nothing by itself, then finds everything impossible. So the end
of a sentence is a hidden event between words (Stolcke and Shriberg 1996), here the better of going on and beginning
anew, which costs something, so that what is one sentence is not taken for two.

Shapes: K pairs of state and word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from inference import remembering

if TYPE_CHECKING:
    from inference.fusion import LanguageModel

COST = 2.0  # nats
WITHOUT_CONTEXT = 0


class InARow:
    """A language model over texts of several sentences.

    Args:
        model: The language model of single ones.
        end: The number of their end.
        space: In a model of letters, the number of what is between words: there a sentence may be over.
        cost: Nats that it costs to begin anew.
    """

    def __init__(self, model: LanguageModel, *, end: int, space: int | None = None, cost: float = COST):
        self._model, self._end, self._space, self._cost = model, end, space, cost

    def begin(self) -> int:
        """The state at the beginning."""
        return self._model.begin()

    def scores(self, states_K: np.ndarray, words_K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log probabilities (float64) of K words after K states, and the states (int64) after them."""
        states_K, words_K = np.asarray(states_K, np.int64), np.asarray(words_K, np.int64)
        # At the beginning there is nothing to end.
        within_K = (states_K != WITHOUT_CONTEXT) & (states_K != self.begin()) & (words_K != self._end)
        asked = np.flatnonzero(within_K if self._space is None else within_K & (words_K == self._space))
        if not asked.size:
            return self._model.scores(states_K, words_K)
        # In one call, so that the states are computed together.
        everything = [words_K, np.full(asked.size, self._end)]
        where = [states_K, states_K[asked]]
        if self._space is None:
            everything.append(words_K[asked])
            where.append(np.full(asked.size, self.begin()))
        found, after = self._model.scores(np.concatenate(where), np.concatenate(everything))
        log_prob_K, after_K = found[: len(words_K)].copy(), after[: len(words_K)].copy()
        anew, anew_after = found[len(words_K) :][: asked.size] - self._cost, np.full(asked.size, self.begin())
        if self._space is None:
            anew, anew_after = anew + found[-asked.size :], after[-asked.size :]
        better = anew > log_prob_K[asked]
        log_prob_K[asked[better]], after_K[asked[better]] = anew[better], anew_after[better]
        return log_prob_K, after_K

    def finish(self, state: int) -> float:
        """Log probability that the text ends after a state."""
        return self._model.finish(state)

    def ready(self, states_K: np.ndarray) -> None:
        """Compute what these states predict in one batch."""
        remembering.ready(self._model, states_K)

    def fork(self) -> InARow:
        """The same for a search of its own."""
        return remembering.fork_by_model(self)

    def keep(self, states_N: np.ndarray) -> None:
        """From now on only these states, and what follows them, will be asked for."""
        remembering.keep(self._model, np.append(states_N, self.begin()))
