"""Where words truly begin and end: a ctm or a TextGrid beside a recording, made by hand or where clips were joined."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import NamedTuple


class BordersError(ValueError):
    """A file with borders that cannot be read; the message says why."""


class Border(NamedTuple):
    """A word and where it is said, in seconds of its recording."""

    text: str
    start: float
    end: float


def beside(recording: str | Path) -> list[Border] | None:
    """The words in `NAME.ctm` or `NAME.TextGrid` beside the sound file, in order; none where there is neither.

    Raises:
        BordersError: it cannot be read.
        OSError: it cannot be opened.
    """
    for suffix, read in ((".ctm", _ctm), (".TextGrid", _textgrid)):
        path = Path(recording).with_suffix(suffix)
        if path.is_file():
            try:
                return sorted(read(path.read_text(encoding="utf-8-sig")), key=lambda border: border.start)
            except (ValueError, IndexError) as error:
                raise BordersError(f"{path}: not a {suffix[1:]} with the times of words ({error})") from None
    return None


def _ctm(text: str) -> list[Border]:
    """Lines of recording, channel, start, duration, word; those of `;;` are comments."""
    borders = []
    for line in text.splitlines():
        if not line.strip() or line.startswith(";;"):
            continue
        _, _, start, duration, word, *_ = line.split()
        borders.append(_border(word, float(start), float(start) + float(duration)))
    return borders


def _textgrid(text: str) -> list[Border]:
    """The intervals with text of the tier `words` of a long TextGrid, or of its first interval tier."""
    tiers = [tier for tier in re.split(r"item \[\d+\]:", text)[1:] if '"IntervalTier"' in tier]
    if not tiers:
        raise ValueError("no interval tier in the long text format")
    chosen = next((tier for tier in tiers if re.search(r'name = "words"', tier)), tiers[0])
    found = re.findall(r'xmin = (\S+)\s+xmax = (\S+)\s+text = "((?:[^"]|"")*)"', chosen)
    return [
        _border(word.replace('""', '"').strip(), float(start), float(end)) for start, end, word in found if word.strip()
    ]


def _border(word: str, start: float, end: float) -> Border:
    if not 0 <= start <= end < math.inf:
        raise ValueError(f"{word!r} is said from {start:g} to {end:g} s")
    return Border(word, start, end)
