"""A lexicon: the words that a search may write, and how each is spelled in a model's labels.

A line is a word alone, which is spelled with its letters, or a word and its labels: `HOUSE hh aw s`, as Kaldi and the
CMU dictionary have it. Several lines, or HOUSE(2), are several spellings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain, product
from pathlib import Path

from asr.tokens import SPACE, TokenError, Tokens
from inference.ctc import Emission
from inference.files import read_text
from inference.lexicon import Spellings

NO_WORD = re.compile(r";;;.*|<.*>|!\w+")  # comments and marks


class LexiconError(ValueError):
    """The lexicon cannot be used; the message names its line."""


class Lexicon:
    """Words and their spellings.

    Args:
        words: The words, as they are written.
        spellings: Pairs of a word's place there and its labels.
        tokens: The labels of the model, in whose form words are compared.
    """

    def __init__(self, words: Sequence[str], spellings: Sequence[tuple[int, tuple[int, ...]]], tokens: Tokens):
        self.words, self.spellings, self._tokens = tuple(words), tuple(spellings), tokens

    @cached_property
    def _places(self) -> dict[str, int]:
        """Where each word stands, as it is written and in the model's form."""
        places = {self._tokens.normalize(word): place for place, word in enumerate(self.words)}
        places.update((word, place) for place, word in enumerate(self.words))
        return places

    @classmethod
    def read(cls, path: str | Path, tokens: Tokens) -> Lexicon:
        """Read a text file in UTF-8; empty lines, comments after ;;; and marks such as <unk> or !SIL are left out.

        Labels are those of the model; | stands for its <space> and need not be written at a word's end.

        Raises:
            LexiconError: it is not text, has no words, or a word has labels that the model does not have.
            OSError: it cannot be read.
        """
        lines = read_text(path, error=LexiconError).splitlines()
        numbers: dict[str, int] = {}
        label_numbers = _LabelNumbers(tokens)
        spellings: dict[tuple[int, tuple[int, ...]], None] = {}
        for number, line in enumerate(lines, start=1):
            word, *labels = line.split() or [""]
            if word.endswith(")"):
                word = re.sub(r"\(\d+\)$", "", word)
            if not word or (word[0] in ";<!" and NO_WORD.fullmatch(word)):
                continue
            try:
                spelling = label_numbers.spelling(labels) if labels else tuple(tokens.encode(word))
            except TokenError as error:
                raise LexiconError(f"{path}: line {number}: {error}; mend the line, or leave it out") from None
            if not spelling:
                raise LexiconError(f"{path}: line {number}: {word!r} has nothing that can be spelled; leave it out")
            spellings[numbers.setdefault(word, len(numbers)), spelling] = None
        if not numbers:
            raise LexiconError(f"{path}: holds no words; give one a line")
        return cls(tuple(numbers), tuple(spellings), tokens)

    def find(self, text: str) -> list[int] | None:
        """Places of the words of a text, as they are or in the model's form; none if one is missing."""
        found = [self._places.get(word, self._places.get(self._tokens.normalize(word))) for word in text.split()]
        return None if None in found else found

    def ways(self, text: str) -> list[list[int]] | None:
        """The ways to say a text, as labels, those of spaces between its words too; none if a word is missing."""
        places = self.find(text)
        if places is None:
            return None
        space = [] if self._tokens.space is None else [self._tokens.space]
        each = [[spelling for word, spelling in self.spellings if word == place] for place in places]
        return [list(chain.from_iterable([*space, *one] for one in way))[len(space) :] for way in product(*each)]


class LexiconTokens(Tokens):
    """Symbols of a search through a lexicon, read as its words.

    Args:
        tokens: The labels of the model.
        lexicon: The lexicon.

    Attributes:
        spellings: The tree of its spellings.
    """

    def __init__(self, tokens: Tokens, lexicon: Lexicon):
        super().__init__(tokens.labels, tokens.unit, tokens.form)
        self.lexicon = lexicon
        self.spellings = Spellings(lexicon.spellings, labels=len(tokens.labels))

    def decode(self, labels: Iterable[int]) -> str:
        """The words of a sequence of symbols; one that is not finished is left out."""
        return " ".join(self.lexicon.words[word] for word, _ in self.spellings.read(labels) if word is not None)

    def sound(self, label: int) -> str:
        """The label that a symbol stands for."""
        return self.labels[label % len(self.labels)]

    def divided(self, emissions: Iterable[Emission]) -> list[tuple[str, list[Emission]]]:
        """The words with the emissions of each; one that is not finished is left out."""
        emissions = list(emissions)
        return [
            (self.lexicon.words[word], emissions[last + 1 - length : last + 1])
            for last, (word, length) in enumerate(self.spellings.read(one.label for one in emissions))
            if word is not None
        ]

    def whole(self, emissions: Sequence[Emission]) -> int:
        """Emissions up to the end of the last word."""
        read = self.spellings.read(one.label for one in emissions)
        return max((k for k, (word, _) in enumerate(read, start=1) if word is not None), default=0)


class _LabelNumbers(dict):
    """Labels as they stand in a lexicon, and their numbers in the model; each is looked for once."""

    def __init__(self, tokens: Tokens):
        self._tokens = tokens
        self._known = {label: number for number, label in enumerate(tokens.labels) if number}
        if SPACE in self._known:
            self._known.setdefault("|", self._known[SPACE])

    def __missing__(self, label: str) -> int:
        """Of a phone with its stress, such as AH0, where the model does not tell stress, the number without."""
        plain = self._tokens.normalize(label)
        tried = (label, plain, plain.rstrip("0123456789"))
        number = next((self._known[one] for one in tried if one in self._known), None)
        if number is None:
            raise TokenError(f"the model has no label {label!r}")
        self[label] = number
        return number

    def spelling(self, labels: Sequence[str]) -> tuple[int, ...]:
        """The numbers of labels, without the space at the end.

        Raises:
            TokenError: the model has no such label.
        """
        found = [self[label] for label in labels]
        while len(found) > 1 and found[-1] == self._tokens.space:
            found.pop()
        return tuple(found)
