"""A transcript as subtitles: which words are shown together, on which lines, and for how long.

All of it follows from a few rules, whose defaults are near what broadcasters ask for. Times are whole milliseconds
here, as the files have them, so that rounding cannot make cues overlap.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from asr.columns import width
from asr.transcript import Transcript

# Words of one instant must be shown one after the other nevertheless: a frame of film each.
SHORTEST_MS = 40
# What a cut between cues is worth at a pause of this many milliseconds or more, where each cue costs 1.
GOOD_PAUSE_MS = 500
PAUSE_WORTH = 0.75
# What a cue costs that is gone before anything of it could be read.
HURRY_COST = 2.0


class RulesError(ValueError):
    """No subtitles can be made by such rules; the message names the one that is out of range."""


@dataclass(frozen=True, slots=True)
class SubtitleRules:
    """What subtitles must be like. Times are in seconds.

    Args:
        max_line_width: Columns of a line (letters, of wide ones half as many); a longer word stands alone on its line.
        max_line_count: Lines of a cue.
        min_duration: Time that a cue lasts where the next one leaves room.
        max_duration: Time that a cue lasts at most.
        reading_speed: Columns a second that can be read: a cue is shown longer, into the pause behind it, to keep this.
        gap: Time between two cues, by which the eye notices that there is a new one.
        pause: Silence between two words that ends a cue.

    Raises:
        RulesError: one of them is out of range.
    """

    max_line_width: int = 42
    max_line_count: int = 2
    min_duration: float = 1.0
    max_duration: float = 7.0
    reading_speed: float = 20.0
    gap: float = 0.08
    pause: float = 1.0

    def __post_init__(self) -> None:
        least = {
            "max_line_width": 1,
            "max_line_count": 1,
            "min_duration": 0,
            "max_duration": SHORTEST_MS / 1000,
            "reading_speed": 0.1,
            "gap": 0,
            "pause": 0,
        }
        for name, bound in least.items():
            if not bound <= getattr(self, name) < math.inf:
                raise RulesError(f"{name.replace('_', ' ')} of subtitles is {getattr(self, name)}; at least {bound:g}")


class Cue(NamedTuple):
    """Lines of text shown from `start` to `end`, in milliseconds."""

    start: int
    end: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Unit:
    """A word with its punctuation, as it is shown; `space` divides it from the one before, `cut` begins a cue."""

    text: str
    space: str
    columns: int
    start: int
    end: int
    cut: bool


def plain(text: str) -> str:
    """A text on one line: without line breaks, tabs and control characters, and with single spaces."""
    return " ".join("".join(" " if unicodedata.category(letter) == "Cc" else letter for letter in text).split())


def cues(transcript: Transcript, rules: SubtitleRules) -> list[Cue]:
    """The subtitles of a transcript, in order and without overlap; each word stands in one of them."""
    units = _units(transcript, rules)
    spans = list(pairwise(_borders(units, rules)))
    times = _times(units, spans, rules, recorded=round(1000 * transcript.duration))
    return [
        Cue(start, end, _lines(units[first:behind], rules))
        for (first, behind), (start, end) in zip(spans, times, strict=True)
    ]


def _units(transcript: Transcript, rules: SubtitleRules) -> list[_Unit]:
    units: list[_Unit] = []
    before, now, cut = None, 0, False
    # Where segments are not found by a pause, whose length is a rule here, cues end with them.
    divided = set(transcript.cuts()) if transcript.endpoints is not None or transcript.alternatives else set()
    for number, (word, (space, piece)) in enumerate(zip(transcript.words, transcript.pieces(), strict=True)):
        cut |= number in divided or (before is not None and word.start - before.end >= rules.pause)
        before, text = word, plain(piece)
        if not text:
            continue
        now = max(now, round(1000 * word.start))
        units.append(_Unit(text, " " if space else "", width(text), now, max(now, round(1000 * word.end)), cut))
        cut = False
    return units


def _borders(units: Sequence[_Unit], rules: SubtitleRules) -> list[int]:
    """Where cues begin, and the number of units at last: the cheapest way of all, found by dynamic programming.

    A cue costs 1, more when much of it stays empty (so that none is left with a single word) or when it must go before
    it can be read, and less when a pause follows.
    """
    room = rules.max_line_width * rules.max_line_count
    longest = round(1000 * rules.max_duration)
    cheapest = [0.0] + [math.inf] * len(units)
    begin = [0] * (len(units) + 1)
    for first, opening in enumerate(units):
        lines, filled, columns, end = 0, math.inf, 0, 0
        for last in range(first, len(units)):
            unit = units[last]
            end = max(end, unit.end)
            if last > first and (unit.cut or end - opening.start > longest):
                break
            added = len(unit.space) + unit.columns
            if filled + added <= rules.max_line_width:
                filled += added
            else:
                lines, filled = lines + 1, unit.columns
            if lines > rules.max_line_count:
                break
            columns += added if last > first else unit.columns
            cost = cheapest[first] + 1 + max(0, 1 - columns / room) ** 2
            if last + 1 < len(units):
                following = units[last + 1].start
                shown = max(0, following - round(1000 * rules.gap) - opening.start)
                cost += HURRY_COST * max(0.0, 1 - shown / _needed(columns, rules))
                cost -= PAUSE_WORTH * min(1.0, max(0, following - end) / GOOD_PAUSE_MS)
            if cost < cheapest[last + 1]:
                cheapest[last + 1], begin[last + 1] = cost, first
    borders = [len(units)] if units else []
    while borders and borders[-1]:
        borders.append(begin[borders[-1]])
    return borders[::-1]


def _needed(columns: int, rules: SubtitleRules) -> int:
    """Milliseconds that a text of so many columns should be shown, at least 1."""
    seconds = max(rules.min_duration, columns / rules.reading_speed)
    return max(1, round(1000 * min(seconds, rules.max_duration)))


def _times(
    units: Sequence[_Unit], spans: Sequence[tuple[int, int]], rules: SubtitleRules, *, recorded: int
) -> list[tuple[int, int]]:
    """Start and end of each cue: those of its words, longer for reading, without overlap.

    Only `rules.min_duration` and words of one instant may make them reach beyond what is `recorded`.
    """
    gap, least, longest = (round(1000 * seconds) for seconds in (rules.gap, rules.min_duration, rules.max_duration))
    times: list[tuple[int, int]] = []
    for first, behind in spans:
        shown = units[first:behind]
        start = max(shown[0].start, times[-1][1] + gap) if times else shown[0].start
        columns = sum(unit.columns + len(unit.space) for unit in shown) - len(shown[0].space)
        read = min(start + _needed(columns, rules), recorded)
        end = min(max(*(unit.end for unit in shown), start + least, read), start + longest)
        if behind < len(units):
            end = min(end, units[behind].start - gap)
        times.append((start, max(end, start + SHORTEST_MS)))
    return times


def _lines(units: Sequence[_Unit], rules: SubtitleRules) -> tuple[str, ...]:
    """The units on as few lines as they need, the widest of which is as narrow as can be."""
    needed = len(_filled(units, rules.max_line_width))
    narrow = next(w for w in range(1, rules.max_line_width + 1) if len(_filled(units, w)) == needed)
    return tuple(_joined(line) for line in _filled(units, narrow))


def _filled(units: Sequence[_Unit], columns: int) -> list[list[_Unit]]:
    """Lines filled one after the other; a unit that is wider than a line has one of its own."""
    lines: list[list[_Unit]] = []
    filled = 0
    for unit in units:
        added = len(unit.space) + unit.columns
        if lines and filled + added <= columns:
            lines[-1].append(unit)
            filled += added
        else:
            lines.append([unit])
            filled = unit.columns
    return lines


def _joined(units: Sequence[_Unit]) -> str:
    """A line of text, without the arrow by which files of subtitles know a line of times."""
    text = units[0].text + "".join(unit.space + unit.text for unit in units[1:])
    return re.sub("-{2,}>", "->", text)
