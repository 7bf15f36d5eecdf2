"""An alignment of two texts as columns of monospaced text, also where letters are two columns wide or none."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import zip_longest

LEFT_TO_RIGHT = "\u200e"  # invisible; keeps the columns in order beside words that are written from right to left


def width(text: str) -> int:
    """Columns that a terminal gives a text: 2 for wide East Asian letters, 0 for marks on a letter, 1 for others."""
    return sum(
        0
        if unicodedata.category(letter) in ("Mn", "Me", "Cf")
        else 2
        if unicodedata.east_asian_width(letter) in "WF"
        else 1
        for letter in text
    )


def columns(rows: dict[str, Sequence[str]], *, wrap: int = 100) -> str:
    """Rows of cells under each other, each cell as wide as the widest of its column.

    Args:
        rows: The cells of each row by the row's name, which stands at its beginning.
        wrap: Columns after which all rows go on below, a blank line between; a single wider cell is not cut.
    """
    cells = list(zip_longest(*rows.values(), fillvalue=""))
    widths = [max(map(width, column)) for column in cells]
    margin = max(map(width, rows)) + 2
    blocks: list[list[int]] = [[]]
    used = margin
    for k, cell_width in enumerate(widths):
        if blocks[-1] and used + cell_width > wrap:
            blocks.append([])
            used = margin
        blocks[-1].append(k)
        used += cell_width + 1
    lines = []
    for block in blocks:
        lines += [
            (_padded(name, margin) + " ".join(_padded(cells[k][row], widths[k]) for k in block)).rstrip()
            for row, name in enumerate(rows)
        ]
        lines.append("")
    return "\n".join(lines[:-1])


def _padded(text: str, columns: int) -> str:
    ending = LEFT_TO_RIGHT if any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in text) else ""
    return text + ending + " " * (columns - width(text))
