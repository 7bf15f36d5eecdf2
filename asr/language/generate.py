"""Text that a language model makes up: a text is gone on with, a word drawn after the other.

At temperature 1 each word is drawn with the probability that the model gives it, <unk> and <s> left out, which cannot
be read. Draws come from the seed and the number of the text alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from asr.language.sentences import Pieces, Unit
from asr.tokens import SPACE
from inference import remembering
from inference.arpa import BEGIN

LONGEST = 2000  # letters, where a model of letters never ends a word


class GenerationError(ValueError):
    """A text that cannot be gone on with, or settings out of range; the message says which."""


class LanguageModel(Protocol):
    """What n-gram and LSTM models offer."""

    words: tuple[str, ...]
    unknown: int
    end: int

    def id(self, word: str) -> int: ...

    def begin(self) -> int: ...

    def scores(self, states_K: np.ndarray, words_K: np.ndarray, /) -> tuple[np.ndarray, np.ndarray]: ...


class Generator:
    """Goes on with texts.

    Args:
        model: The language model.
        unit: What it is of.
        temperature: Below 1 what is likely becomes likelier; 0 takes the likeliest each time.

    Raises:
        GenerationError: the temperature is negative.
    """

    def __init__(self, model: LanguageModel, unit: Unit, *, temperature: float = 1.0):
        if not 0 <= temperature < math.inf:
            raise GenerationError(f"the temperature is {temperature}; give a number from 0 on")
        self._model, self._pieces, self._unit, self._temperature = model, Pieces(unit), unit, temperature
        self._words_V = np.arange(len(model.words))
        unread = [model.unknown, *(k for k, word in enumerate(model.words) if word == BEGIN)]
        self._written_V = np.setdiff1d(self._words_V, unread)

    def __call__(self, text: str = "", *, words: int = 20, seed: int = 0, number: int = 0) -> str:
        """A text gone on with until the model ends the sentence, or by so many words.

        Args:
            text: How it begins.
            words: How many words follow at most.
            seed: Where draws come from.
            number: Of several texts from one seed, which.
        """
        rng = np.random.default_rng([seed, number])
        begun, drawn = self._begun(text), []
        state = self._after(begun)
        # A text of letters may go on with the word that it ends in.
        most = words + (self._unit == "letter" and bool(begun) and begun[-1] != SPACE)
        while words and self._count(drawn) < most and len(drawn) < LONGEST:
            word, state = self._drawn(state, rng)
            if word == self._model.end:
                break
            drawn.append(self._model.words[word])
            remembering.keep(self._model, [state])
        return self._written([*begun, *drawn])

    def unknown(self, text: str) -> list[str]:
        """What of a text the model does not know, each once."""
        return [one for one in dict.fromkeys(self._pieces(text)) if self._model.id(one) == self._model.unknown]

    def _begun(self, text: str) -> list[str]:
        pieces = self._pieces(text)
        return [*pieces, SPACE] if pieces and self._unit == "letter" and text[-1].isspace() else pieces

    def _count(self, drawn: Sequence[str]) -> int:
        """How many words have been drawn, the last one whole."""
        return len(drawn) if self._unit == "word" else drawn.count(SPACE)

    def _after(self, pieces: Sequence[str]) -> int:
        state = self._model.begin()
        for piece in pieces:
            state = self._step(state, self._model.id(piece))
        return state

    def _step(self, state: int, word: int) -> int:
        return int(self._model.scores(np.array([state]), np.array([word]))[1][0])

    def _drawn(self, state: int, rng: np.random.Generator) -> tuple[int, int]:
        """A word after a state, and the state after it."""
        scores_V, after_V = self._model.scores(np.full(len(self._written_V), state), self._written_V)
        if self._temperature:
            scores_V = scores_V / self._temperature
            # The largest of scores with Gumbel noise is a draw from their softmax.
            scores_V = scores_V + rng.gumbel(size=len(scores_V))
        chosen = int(scores_V.argmax())
        return int(self._written_V[chosen]), int(after_V[chosen])

    def _written(self, pieces: Sequence[str]) -> str:
        if self._unit == "word":
            return " ".join(pieces)
        return "".join(" " if piece == SPACE else piece for piece in pieces).strip()
