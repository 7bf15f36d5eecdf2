"""Words to labels and back: characters or whole words of any script, and where words begin and end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from asr.text import normalize
from asr.transcript import Word
from inference.ctc import Emission
from inference.model import BLANK

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
    """

    unit: Literal["char", "word"] = "char"
    least_count: int = 1


class Tokens:
    """The labels of a model.

    Args:
        labels: All labels in the order of the scores, the blank first.
        unit: `char` or `word`.
    """

    def __init__(self, labels: Sequence[str], unit: str):
        assert labels[0] == BLANK, "label 0 is the blank"
        if unit not in ("char", "word"):
            raise TokenError(f"tokens.unit is {unit!r}; it is char or word")
        self.labels = tuple(labels)
        self.unit = unit
        self._numbers = {label: number for number, label in enumerate(self.labels)}

    @property
    def space(self) -> int | None:
        """The label between words; none where each label is a word, and in a script that puts nothing between them."""
        return self._numbers.get(SPACE) if self.unit == "char" else None

    @classmethod
    def from_texts(cls, texts: Iterable[str], config: TokenConfig) -> Tokens:
        """Labels for everything that stands in the training texts at least `config.least_count` times."""
        counts = Counter(piece for text in texts for piece in _pieces(text, config.unit))
        kept = sorted(piece for piece, count in counts.items() if count >= config.least_count)
        if not kept:
            raise TokenError("the training texts are empty: there is nothing to make labels of")
        if config.unit == "word" and (reserved := {BLANK, SPACE} & set(kept)):
            raise TokenError(f"{', '.join(sorted(reserved))} stands in the training texts, and is a label of its own")
        return cls([BLANK, *kept], config.unit)

    def unknown(self, text: str) -> list[str]:
        """Characters or words of `text` that have no label, each once."""
        return [piece for piece in dict.fromkeys(_pieces(text, self.unit)) if piece not in self._numbers]

    def encode(self, text: str) -> list[int]:
        """Labels of `text`, normalised as `asr.text.normalize` does.

        Raises:
            TokenError: something in it has no label.
        """
        unknown = self.unknown(text)
        if unknown:
            shown = ", ".join(repr(piece) for piece in unknown[:10])
            raise TokenError(f"no label for {shown} in {text!r}")
        return [self._numbers[piece] for piece in _pieces(text, self.unit)]

    def decode(self, labels: Iterable[int]) -> str:
        """Text of a sequence of labels."""
        pieces = [self.labels[label] for label in labels]
        if self.unit == "word":
            return " ".join(pieces)
        return " ".join("".join(" " if piece == SPACE else piece for piece in pieces).split())

    def words(self, emissions: Iterable[Emission], *, step_seconds: float) -> list[Word]:
        """Words with start and end in seconds and a confidence: the mean of their labels'."""
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
        return [
            Word(
                text="".join(self.labels[e.label] for e in group),
                start=group[0].start * step_seconds,
                end=group[-1].end * step_seconds,
                confidence=sum(e.score for e in group) / len(group),
            )
            for group in groups
        ]

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
    text = normalize(text)
    if unit == "word":
        return text.split()
    return [SPACE if letter == " " else letter for letter in text]
