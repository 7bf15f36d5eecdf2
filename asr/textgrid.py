"""A transcript as a TextGrid, the annotation of Praat: tiers of intervals that fill the recording without a gap.

Layout: https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

from asr.subtitles import plain
from asr.transcript import Transcript


class Interval(NamedTuple):
    """A stretch of a tier, in milliseconds; without words its text is empty."""

    start: int
    end: int
    text: str


def to_text(transcript: Transcript, *, parts: str = "letters") -> str:
    """The long text format with two interval tiers, `words` and `segments`, and `parts` where words have parts.

    Praat refuses an interval without length and one that overlaps another. Words are therefore moved as far as it
    takes for each to last 1 ms at least, and where they overlap the later one begins when the earlier one ends; parts
    likewise, within their word as far as it has room. Only if the recording is shorter than its words take so is the
    TextGrid longer than the recording.
    """
    # A length such as 0.123 s must not become 124 ms because it is a little more as a binary fraction.
    recorded = math.ceil(round(1000 * transcript.duration, 6))
    last = max((round(1000 * word.end) for word in transcript.words), default=0)
    pieces = [part for word in transcript.words for part in word.parts]
    length = max(recorded, last, len(transcript.words), len(pieces), 1)
    seconds = transcript.duration if length == recorded else length / 1000
    times = _apart([(round(1000 * word.start), round(1000 * word.end)) for word in transcript.words], length)
    words = [Interval(*time, plain(word.text)) for time, word in zip(times, transcript.words, strict=True)]
    segments, done = [], 0
    for segment in transcript.segments():
        done += len(segment.words)
        segments.append(Interval(times[done - len(segment.words)][0], times[done - 1][1], plain(segment.text)))
    tiers = {"words": words, "segments": segments}
    if pieces:
        inside = _apart([(round(1000 * part.start), round(1000 * part.end)) for part in pieces], length)
        tiers[parts] = [Interval(*time, plain(part.text)) for time, part in zip(inside, pieces, strict=True)]
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {_decimal(seconds)}",
        "tiers? <exists>",
        f"size = {len(tiers)}",
        "item []:",
    ]
    for number, (name, tier) in enumerate(tiers.items(), start=1):
        tiled = _tiled(tier, length)
        lines += [
            f"    item [{number}]:",
            '        class = "IntervalTier"',
            f'        name = "{name}"',
            "        xmin = 0",
            f"        xmax = {_decimal(seconds)}",
            f"        intervals: size = {len(tiled)}",
        ]
        for k, interval in enumerate(tiled, start=1):
            text = interval.text.replace('"', '""')
            lines += [
                f"        intervals [{k}]:",
                f"            xmin = {_decimal(interval.start / 1000)}",
                f"            xmax = {_decimal(seconds if interval.end == length else interval.end / 1000)}",
                f'            text = "{text}"',
            ]
    return "\n".join(lines) + "\n"


def _decimal(seconds: float) -> str:
    """All digits and no exponent, which not every reader of TextGrids takes."""
    return f"{Decimal(repr(float(seconds))):f}"


def _apart(times: Sequence[tuple[int, int]], length: int) -> list[tuple[int, int]]:
    """Starts and ends moved so that each interval lasts, none overlaps another, and all lie within 0 and `length`."""
    apart: list[tuple[int, int]] = []
    now = 0
    for start, end in times:
        start = max(start, now)
        now = max(end, start + 1)
        apart.append((start, now))
    # What has been moved beyond the end moves back, and what lies before makes room.
    limit = length
    for k in reversed(range(len(apart))):
        start, end = apart[k]
        end = min(end, limit)
        limit = min(start, end - 1)
        apart[k] = limit, end
    return apart


def _tiled(intervals: Sequence[Interval], length: int) -> list[Interval]:
    """The intervals with empty ones between them, from 0 to `length`."""
    tiled = []
    edges = [Interval(0, 0, ""), *intervals, Interval(length, length, "")]
    for before, interval in pairwise(edges):
        if before.end < interval.start:
            tiled.append(Interval(before.end, interval.start, ""))
        tiled.append(interval)
    return tiled[:-1]
