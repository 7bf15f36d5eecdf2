"""Alphabets of one's own: the labels of a model as a file that a person writes, one on a line.

    # a line that begins with # and a space is a comment, and empty lines count for nothing
    <space>
    a
    ch
    क्ष

`<space>` stands for the space between words and has to be there where texts have any. A label may have several
characters, such as a digraph or a cluster; at each place of a text the longest that fits is taken. The blank of CTC
comes by itself, and may stand first, so that `labels.txt` of a model is an alphabet too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from asr.text import normalize
from asr.tokens import SPACE, TokenConfig, TokenError, Tokens
from inference.files import read_text
from inference.model import BLANK

# A letter on which no mark composes with it, and that no rule of normalisation knows: what stands beside it stays.
NEUTRAL = "\u10d0"


def read_alphabet(path: str | Path) -> list[str]:
    """The labels that a file lists, without the blank, as they stand there; `make_tokens` checks them.

    Raises:
        TokenError: it is not text in UTF-8.
        OSError: it cannot be read.
    """
    lines = read_text(path, error=TokenError).split("\n")
    stripped = [line.strip() for line in lines]
    return [line for line in stripped if line and not line.startswith("# ")]


def make_tokens(texts: Iterable[str], config: TokenConfig) -> Tokens:
    """The labels that `config` asks for: those of its alphabet or, without one, those that the texts are made of.

    Raises:
        TokenError: the alphabet is empty, or has a label twice or one that no text can have; or the texts are empty.
        OSError: its file cannot be read.
    """
    if config.alphabet is None:
        return Tokens.from_texts(texts, config)
    if isinstance(config.alphabet, str):
        return _checked(read_alphabet(config.alphabet), config, where=config.alphabet)
    return _checked(config.alphabet, config, where="tokens.alphabet")


def _checked(labels: Sequence[str], config: TokenConfig, *, where: str) -> Tokens:
    labels = list(labels[1:] if labels[:1] == [BLANK] else labels)
    seen: set[str] = set()
    for label in labels:
        if label in seen:
            raise TokenError(f"{where}: {label!r} stands there twice; give each label once")
        seen.add(label)
        if label == BLANK:
            raise TokenError(f"{where}: {BLANK} is no letter; it may stand first, or be left out")
        if label == SPACE:
            if config.unit == "word":
                raise TokenError(f"{where}: {SPACE} is no word; take it out, or set tokens.unit to char")
        elif not _occurs(label, config):
            raise TokenError(f"{where}: {label!r} occurs in no text{_instead(label, config)}")
    if not seen - {SPACE}:
        raise TokenError(f"{where}: holds no labels; give one on a line")
    return Tokens([BLANK, *labels], config.unit, config.form)


def _occurs(label: str, config: TokenConfig) -> bool:
    """Whether a normalised text can hold it: within a word, since apostrophes mean nothing alone."""
    if len(label.split()) != 1:
        return False
    if config.unit == "word":
        return normalize(label, config.form) == label
    sides = ((NEUTRAL, NEUTRAL), (NEUTRAL, ""), ("", NEUTRAL), ("", ""))
    return any(normalize(before + label + after, config.form) == before + label + after for before, after in sides)


def _instead(label: str, config: TokenConfig) -> str:
    normal = normalize(label, config.form)
    if label.startswith("#"):
        return " as it is compared; a comment has a space behind the #"
    if len(label.split()) > 1:
        return f": a label has no white space inside; {SPACE} is the one for it"
    return f" as it is compared; write {normal!r} there" if normal and normal != label else " as it is compared"
