"""What the texts of a corpus are made of: letters or words by how often they come, with an utterance that has each.

Shown before training begins, so that a stray letter is seen as what it is: a typing error, another script, a letter
that the alphabet lacks.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asr.columns import columns
from asr.tokens import SPACE, Tokens

if TYPE_CHECKING:
    from training.manifests import Item

SHOWN = 20
WIDEST = 10_000  # no line is wrapped: a terminal does that better
AROUND = 20  # characters of an example on each side of the letter
DOTTED_CIRCLE = "\u25cc"  # carries a mark that is shown alone


@dataclass(slots=True)
class Seen:
    """A letter or word: how often it comes, in how many utterances, and the first of these."""

    piece: str
    times: int
    utterances: int
    example: Item


def count_pieces(items: Iterable[Item], tokens: Tokens) -> list[Seen]:
    """What the texts of `items` are made of, the most frequent first, with a label or without."""
    found: dict[str, Seen] = {}
    for item in items:
        here: set[str] = set()
        for piece in tokens.pieces(item.text):
            seen = found.setdefault(piece, Seen(piece, 0, 0, item))
            seen.times += 1
            seen.utterances += piece not in here
            here.add(piece)
    return sorted(found.values(), key=lambda seen: (-seen.times, seen.piece))


def table(found: Sequence[Seen], tokens: Tokens, *, limit: int = SHOWN) -> str:
    """The first `limit` of `found` under each other: letter, code point and name, counts, an utterance and its text."""
    header = ["letter" if tokens.unit == "char" else "word", "", "times", "utterances", "for example", ""]
    rows = [header, *(_row(seen, tokens) for seen in found[:limit])]
    if tokens.unit == "word":  # words have no names
        rows = [[name, *cells] for name, _, *cells in rows]
    lines = [f"  {line}" for line in columns({name: cells for name, *cells in rows}, wrap=WIDEST).splitlines()]
    if len(found) > limit:
        lines.append(f"  and {len(found) - limit:,} more")
    return "\n".join(lines)


def shown(piece: str) -> str:
    """A letter as it can be seen: a mark alone has nothing to stand on."""
    return DOTTED_CIRCLE + piece if unicodedata.category(piece[0]).startswith("M") else piece


def unicode_name(letter: str) -> str:
    """Code points, of a single one with its name, such as `U+093C DEVANAGARI SIGN NUKTA`."""
    letter = " " if letter == SPACE else letter
    points = " ".join(f"U+{ord(one):04X}" for one in letter)
    return f"{points} {unicodedata.name(letter, '')}".strip() if len(letter) == 1 else points


def _row(seen: Seen, tokens: Tokens) -> list[str]:
    return [
        shown(seen.piece),
        unicode_name(seen.piece),
        f"{seen.times:>5,}",
        f"{seen.utterances:>10,}",
        seen.example.id,
        _around(seen, tokens),
    ]


def _around(seen: Seen, tokens: Tokens) -> str:
    """The text of the example about the place where the letter or word stands."""
    pieces = tokens.pieces(seen.example.text)
    place, between = pieces.index(seen.piece), " " if tokens.unit == "word" else ""
    written = [" " if piece == SPACE and tokens.unit == "char" else piece for piece in pieces]
    before = between.join([*written[:place], ""])
    behind = between.join(["", *written[place + 1 :]])
    text = before[-AROUND:] + written[place] + behind[:AROUND]
    if len(before) > AROUND:
        # Not from the middle of a letter with its marks.
        while unicodedata.category(text[0]).startswith("M"):
            text = text[1:]
        text = "…" + text
    return text + "…" if len(behind) > AROUND else text
