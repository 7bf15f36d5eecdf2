"""Words to labels and back: letters or whole words of any script, and which labels make up a word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from asr.text import FORMS, PLAIN, Form, normalize
from inference.arcs import NONE
from inference.ctc import Emission
from inference.model import BLANK, CTC, FORECAST, FORECASTS, Model
from inference.spellings import Spelled

SPACE = "<space>"
LONGEST_WORD = 60  # labels without a space that are taken for more than one word


class TokenError(ValueError):
    """A text with letters or words that the labels do not have; the message shows them."""


@dataclass
class TokenConfig:
    """What the labels stand for.

    Args:
        unit: `char` for the characters of any script, `word` for whole words (small vocabularies, such as commands).
        least_count: Characters or words seen less often than this in the training text get no label of their own, and
            utterances that need them are left out and reported.
        alphabet: Labels to take instead of those found in the training text: a list, or a file with one on a line, as
            `asr check DATA --output FILE` writes it. A label may have several characters, such as ch.
        form: What the model learns to write: `plain`, small letters without punctuation, or `written`, the texts as
            they are. It decides what texts are compared in, too.
    """

    unit: Literal["char", "word"] = "char"
    least_count: int = 1
    alphabet: str | list[str] | None = None
    form: Form = PLAIN

    def __post_init__(self) -> None:
        if self.alphabet is not None and self.least_count > 1:
            raise TokenError(
                "tokens.least_count chooses among what the texts have, tokens.alphabet is the choice: set one"
            )


class Tokens:
    """The labels of a model.

    Args:
        labels: All labels in the order of the scores, the blank first.
        unit: `char` or `word`.
        form: The form of the texts, `plain` or `written`; see `asr.text.normalize`.
    """

    def __init__(self, labels: Sequence[str], unit: str, form: str = PLAIN):
        assert labels[0] == BLANK, "label 0 is the blank"
        if unit not in ("char", "word"):
            raise TokenError(f"tokens.unit is {unit!r}; it is char or word")
        if form not in FORMS:
            raise TokenError(f"tokens.form is {form!r}; it is {' or '.join(FORMS)}")
        self.labels = tuple(labels)
        self.unit = unit
        self.form = form
        self._numbers = {label: number for number, label in enumerate(self.labels)}
        # In the order in which they are tried at a place.
        self._lengths = sorted({len(label) for label in self.labels if label not in (BLANK, SPACE)} - {1}, reverse=True)

    @property
    def space(self) -> int | None:
        """The label between words; none where each label is a word, and in a script that puts nothing between them."""
        return self._numbers.get(SPACE) if self.unit == "char" else None

    @classmethod
    def of(cls, model: Model) -> Tokens:
        """The labels of a loaded model.

        Raises:
            TokenError: it writes no words, or says of its labels what this program does not know.
        """
        if model.head["kind"] == FORECAST:
            raise TokenError(f"{model.directory}: {FORECASTS}")
        if model.head["kind"] != CTC:
            raise TokenError(
                f"{model.directory}: gives a recording one of {len(model.labels)} labels and writes no words; use "
                "`asr classify` or `asr evaluate`"
            )
        return cls(model.labels, model.tokens["unit"], model.tokens.get("form", PLAIN))

    @classmethod
    def from_texts(cls, texts: Iterable[str], config: TokenConfig) -> Tokens:
        """Labels for everything that stands in the training texts at least `config.least_count` times."""
        counts = Counter(piece for text in texts for piece in _pieces(normalize(text, config.form), config.unit))
        kept = sorted(piece for piece, count in counts.items() if count >= config.least_count)
        if not kept:
            raise TokenError("the training texts are empty: there is nothing to make labels of")
        if config.unit == "word" and (reserved := {BLANK, SPACE} & set(kept)):
            raise TokenError(f"{', '.join(sorted(reserved))} stands in the training texts, and is a label of its own")
        return cls([BLANK, *kept], config.unit, config.form)

    def normalize(self, text: str) -> str:
        """The text in the form of these labels."""
        return normalize(text, self.form)

    def pieces(self, text: str) -> list[str]:
        """What `text` is made of: labels, and characters or words that have none.

        Of labels with several characters the longest that fits is taken at each place, from the beginning on.
        """
        text = self.normalize(text)
        if self.unit == "word" or not self._lengths:
            return _pieces(text, self.unit)
        pieces, read = [], 0
        while read < len(text):
            fits = (text[read : read + length] for length in self._lengths)
            piece = next((piece for piece in fits if piece in self._numbers and piece not in (BLANK, SPACE)), None)
            pieces += _pieces(text[read], self.unit) if piece is None else [piece]
            read += 1 if piece is None else len(piece)
        return pieces

    def unknown(self, text: str) -> list[str]:
        """Characters or words of `text` that have no label, each once."""
        return [piece for piece in dict.fromkeys(self.pieces(text)) if piece not in self._numbers]

    def encode(self, text: str) -> list[int]:
        """Labels of `text`, normalised as `asr.text.normalize` does.

        Raises:
            TokenError: something in it has no label.
        """
        pieces = self.pieces(text)
        try:
            return [*map(self._numbers.__getitem__, pieces)]
        except KeyError:
            unknown = dict.fromkeys(piece for piece in pieces if piece not in self._numbers)
            shown = ", ".join(repr(piece) for piece in list(unknown)[:10])
            raise TokenError(f"no label for {shown} in {text!r}") from None

    def encode_each(self, words: Sequence[str]) -> Spelled:
        """Labels of each word as `encode` finds them; of one that has no label or several words in it there are none.

        Words in the form of the labels, as language models have them, are looked at all at once.
        """
        if self.unit == "char" and not self._lengths:
            joined = " ".join(words)
            if self.normalize(joined) == joined:
                return self._letters(words)
        return Spelled.of(map(self._encoded, words))

    def _letters(self, words: Sequence[str]) -> Spelled:
        """Labels of words by their letters."""
        length_W = np.fromiter(map(len, words), np.int64, len(words))
        letter_L = np.frombuffer("".join(words).encode("utf-32-le", "surrogatepass"), "<u4")
        label_of = np.full(1 + int(letter_L.max(initial=0)), NONE)
        for label, number in self._numbers.items():
            if len(label) == 1 and ord(label) < len(label_of):
                label_of[ord(label)] = number
        label_L, word_L = label_of[letter_L], np.repeat(np.arange(len(words)), length_W)
        length_W[word_L[label_L == NONE]] = 0
        return Spelled(label_L[length_W[word_L] > 0], length_W)

    def _encoded(self, word: str) -> list[int] | None:
        try:
            labels = self.encode(word)
        except TokenError:
            return None
        return None if self.space in labels else labels

    def decode(self, labels: Iterable[int]) -> str:
        """Text of a sequence of labels."""
        pieces = [self.labels[label] for label in labels]
        if self.unit == "word":
            return " ".join(pieces)
        return " ".join("".join(" " if piece == SPACE else piece for piece in pieces).split())

    def sound(self, label: int) -> str:
        """What a label of an emission stands for."""
        return self.labels[label]

    def divided(self, emissions: Iterable[Emission]) -> list[tuple[str, list[Emission]]]:
        """The words with the emissions of each; those of spaces belong to none."""
        groups: list[list[Emission]] = []
        open_word = False
        for emission in emissions:
            if self.labels[emission.label] == SPACE:
                open_word = False
                continue
            if self.unit == "word" or not open_word:
                groups.append([])
            groups[-1].append(emission)
            open_word = True
        return [("".join(self.labels[one.label] for one in group), group) for group in groups]

    def whole(self, emissions: Sequence[Emission]) -> int:
        """Emissions up to the end of the last whole word, the space after it included; spaces alone are no word."""
        if self.space is None:
            return len(emissions)
        whole, letters = 0, False
        for k, emission in enumerate(emissions):
            space = emission.label == self.space
            letters = letters or not space
            if space and letters:
                whole = k + 1
        return len(emissions) if len(emissions) - whole > LONGEST_WORD else whole


def _pieces(text: str, unit: str) -> list[str]:
    if unit == "word":
        return text.split()
    return [SPACE if letter == " " else letter for letter in text] if " " in text else list(text)
