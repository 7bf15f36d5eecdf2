"""What a search knows beside the scores: language models, a lexicon, and the trees of their words.

None of it depends on weights and bonuses, so that searches with different ones, as `asr tune` makes them, share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from asr.flashlight import SearchError
from asr.language import models as language_models
from asr.language.models import AnyLanguageModel
from asr.lexicon import Lexicon, LexiconTokens
from asr.tokens import SPACE, Tokens
from inference.fusion import LanguageModel
from inference.in_a_row import InARow
from inference.lstm_lm import LstmModel
from inference.spellings import Spelled, SpellingTree

if TYPE_CHECKING:
    from asr.search import SearchConfig


class Knowledge:
    """The language models and the lexicon of a configuration, for any number of searches.

    Args:
        tokens: The labels of the model.
        config: Of it the places of the language models and the lexicon, and the decoder: flashlight's reads its own.

    Attributes:
        tokens: The labels, or the symbols of the lexicon.
        models: The language models by their places.

    Raises:
        SearchError: a language model has none of the words that can be written.
        asr.lexicon.LexiconError, inference.ngram.NgramError, inference.model.ModelError, OSError: one cannot be read.
    """

    def __init__(self, tokens: Tokens, config: SearchConfig):
        self.tokens = tokens if config.lexicon is None else LexiconTokens(tokens, Lexicon.read(config.lexicon, tokens))
        self.models: dict[str, Known] = {}
        if config.decoder == "beam":
            self.models = {
                str(path): Known(str(path), language_models.read(path), self.tokens, config.lexicon)
                for path in config.language_models()
            }


@dataclass(frozen=True)
class Known:
    """A language model and the words that it shares with what can be written.

    Args:
        path: Its place.
        lm: It.
        tokens: What can be written.
        lexicon: The place of the lexicon, if there is one.
    """

    path: str
    lm: AnyLanguageModel
    tokens: Tokens
    lexicon: str | Path | None

    @cached_property
    def of_labels(self) -> bool:
        """Whether it is of the labels themselves: of letters, or of whole words where these are the labels."""
        return self.tokens.space is None or language_models.unit(self.lm) == "letter"

    @property
    def in_a_row(self) -> LanguageModel:
        """As it is used: where a sentence ends nobody says, which n-grams forget by themselves."""
        if not isinstance(self.lm, LstmModel):
            return self.lm
        return InARow(self.lm, end=self.lm.end, space=self.lm.id(SPACE) if self.lm.unit == "letter" else None)

    @cached_property
    def labels_V(self) -> list[int]:
        """The number that each label has in it."""
        numbers = self._numbers()
        numbers.update((word, number) for number, word in enumerate(self.lm.words))  # of an apostrophe nothing is left
        numbers[SPACE] = self.lm.id(SPACE)
        words_V = [self.lm.unknown, *(numbers.get(label, self.lm.unknown) for label in self.tokens.labels[1:])]
        if all(word in (self.lm.unknown, self.lm.id(SPACE)) for word in words_V):
            unit = "words" if self.tokens.unit == "word" else "letters"
            raise SearchError(f"{self.path}: knows none of the model's {unit}; make one of texts that have them")
        return words_V

    @cached_property
    def spellings(self) -> SpellingTree:
        """Its words in letters."""
        spelled = _spelled(self.tokens, self.lm.words)
        if not spelled.labels_L.size:
            raise SearchError(f"{self.path}: none of its words can be written with the model's letters")
        return SpellingTree(spelled, labels=len(self.tokens.labels))

    @cached_property
    def lexicon_W(self) -> np.ndarray:
        """The number that each word of the lexicon has in it."""
        assert isinstance(self.tokens, LexiconTokens)
        if language_models.unit(self.lm) == "letter":
            raise SearchError(f"{self.path}: is of letters, and a lexicon needs one of words")
        numbers, unknown = None, self.lm.unknown
        numbers_W = np.array([self.lm.id(word) for word in self.tokens.lexicon.words])
        for place in np.flatnonzero(numbers_W == unknown).tolist():
            numbers = self._numbers() if numbers is None else numbers
            numbers_W[place] = numbers.get(self.tokens.normalize(self.tokens.lexicon.words[place]), unknown)
        if (numbers_W == unknown).all():
            raise SearchError(f"{self.path}: knows none of the words in {self.lexicon}; make one of texts with them")
        return numbers_W

    def _numbers(self) -> dict[str, int]:
        """Its words in the form of the labels, and their numbers; of those alike the first."""
        return {self.tokens.normalize(word): number for number, word in reversed(tuple(enumerate(self.lm.words)))}


def _spelled(tokens: Tokens, words: Sequence[str]) -> Spelled:
    """Labels of the words of a language model; none of what is not written, such as <s>, or has other letters."""
    unwritten = [number for number, word in enumerate(words) if word.startswith("<") and word.endswith(">")]
    written = np.delete(np.arange(len(words)), unwritten)
    labels_L, length = tokens.encode_each([words[number] for number in written.tolist()])
    length_W = np.zeros(len(words), np.int64)
    length_W[written] = length
    return Spelled(labels_L, length_W)
