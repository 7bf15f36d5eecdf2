"""Pronunciations: a lexicon says of which phones words are made, for models whose labels are phones."""

from __future__ import annotations

import re
from pathlib import Path

from asr.text import normalize
from asr.tokens import TokenError, Tokens


class LexiconError(ValueError):
    """A lexicon that cannot be read or does not go with the model; the message says what to do."""


class Lexicon:
    """Words as labels of a model, one way or several.

    Args:
        path: Text file in UTF-8, on each line a word and its phones with white space between; of a word with several
            lines each is a way to say it. Lines that begin with `;;;` or `#` are comments, and `WORD(2)` is `WORD`, as
            in CMU's dictionary. A phone with a stress, such as `AH0`, is `AH` where the model does not tell stress.
        tokens: The labels, which must be phones.

    Raises:
        LexiconError: it is not text, or the model writes letters, or none of the words can be written with its labels.
        OSError: it cannot be read.
    """

    def __init__(self, path: str | Path, tokens: Tokens):
        self._path, self._tokens = path, tokens
        if tokens.unit == "char":
            raise LexiconError(f"{path}: the model writes letters, not phones; leave --lexicon out")
        self._spellings: dict[str, list[list[int]]] = {}
        self._unknown: dict[str, str] = {}
        try:
            lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError:
            raise LexiconError(f"{path}: is not text in UTF-8: save it so") from None
        for line in lines:
            if line.strip() and not line.startswith((";;;", "#")):
                self._read(line)
        if not self._spellings:
            raise LexiconError(f"{path}: none of its words is made of the model's labels; give the phones it knows")

    def _read(self, line: str) -> None:
        written, *phones = line.split()
        word = normalize(re.sub(r"\(\d+\)$", "", written))
        try:
            labels = [self._label(phone) for phone in phones]
        except TokenError as error:
            self._unknown.setdefault(word, str(error))
            return
        ways = self._spellings.setdefault(word, [])
        if labels and labels not in ways:
            ways.append(labels)

    def _label(self, phone: str) -> int:
        try:
            (label,) = self._tokens.encode(phone)
        except TokenError:
            (label,) = self._tokens.encode(phone.rstrip("0123456789") or phone)
        return label

    def spellings(self, written: str) -> list[list[int]]:
        """The ways to say a word, as labels; none of what has neither letters nor digits.

        Raises:
            LexiconError: it is not in the lexicon, or there with phones that the model does not know.
        """
        word = normalize(written)
        if not word:
            return []
        if not (ways := self._spellings.get(word)):
            reason = self._unknown.get(word, "is not there: add a line with its phones")
            raise LexiconError(f"{self._path}: {word!r}: {reason}")
        return ways
