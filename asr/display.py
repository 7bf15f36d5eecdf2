"""What a listener sees: finished lines with their times, and on a terminal the line that is being spoken."""

from __future__ import annotations

import json
import math
import sys
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, replace
from typing import Protocol, TextIO

import numpy as np
from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.text import Text

from asr.confidence.doubt import Doubt
from asr.stream import SpeechEvent

# The quietest level that the meter shows, in decibels below full scale, and its width in characters.
METER_DB = 60
METER_WIDTH = 12
# Columns left free behind the live line: the terminal writes `^C` there, and must not begin another line with it.
ECHO_WIDTH = 3


class Display(Protocol):
    """Where events, the level and warnings are shown."""

    def events(self, events: list[SpeechEvent]) -> None: ...

    def level(self, samples_S: np.ndarray, seconds: float) -> None: ...

    def warn(self, line: str) -> None: ...


def stamp(seconds: float) -> str:
    """A time of a stream as `0:01:02.3`."""
    tenths = int(10 * seconds)
    return f"{tenths // 36000}:{tenths // 600 % 60:02d}:{tenths // 10 % 60:02d}.{tenths % 10}"


def display_for(*, file: TextIO | None, every_event: bool, doubt: Doubt | None = None) -> AbstractContextManager[Lines]:
    """A live line below the finished ones on a terminal, the finished lines alone elsewhere."""
    if sys.stdout.isatty() and not every_event:
        return LiveLine(Console(), file=file, doubt=doubt)
    return nullcontext(Lines(sys.stdout, sys.stderr, file=file, every_event=every_event, doubt=doubt))


def event_content(event: SpeechEvent, doubt: Doubt) -> dict:
    """An event as it goes into a line of JSON, with what is doubtful once it is final."""
    words = doubt.kept_words(event.words) if event.final else event.words
    content = asdict(replace(event, words=tuple(words)))
    if len(words) < len(event.words):
        content["text"] = content["stable"] = " ".join(word.text for word in words)
        content["confidence"] = sum(word.confidence for word in words) / len(words) if words else 0.0
    if not event.alternatives:
        del content["alternatives"]  # they were not asked for
    for word, shown in zip(words, content["words"], strict=True):
        del shown["parts"]  # a stream has none
        if event.final and word.confidence < doubt.marks_below:
            shown["doubtful"] = True
    return content


class Lines:
    """Finished lines with their times, on standard output and in a file; everything as JSON lines if asked for.

    Args:
        out: Where finished lines, or events, go.
        errors: Where warnings go.
        file: Where finished lines go as well, as they come.
        every_event: Write each event, partial ones too, as one line of JSON.
        doubt: Which words of finished lines are marked or left out; none if not given.
    """

    def __init__(
        self,
        out: TextIO,
        errors: TextIO,
        *,
        file: TextIO | None = None,
        every_event: bool = False,
        doubt: Doubt | None = None,
    ):
        self._out = out
        self._errors = errors
        self._file = file
        self._every_event = every_event
        self._doubt = doubt or Doubt()
        self.words = 0

    def events(self, events: list[SpeechEvent]) -> None:
        for event in events:
            if self._every_event:
                self.say(json.dumps(event_content(event, self._doubt), ensure_ascii=False))
            if not event.final:
                continue
            # Confidences of partial events may still change.
            kept = self._doubt.kept_words(event.words)
            self.words += len(kept)
            if not kept:
                continue
            line = f"[{stamp(kept[0].start)}] {self._doubt.line(event.words)}"
            if not self._every_event:
                self.say(line)
            if self._file is not None:
                self._keep(self._file, line)

    def _keep(self, file: TextIO, line: str) -> None:
        try:
            print(line, file=file, flush=True)
        except OSError as error:
            self._file = None
            with suppress(OSError):  # closed later on, it would fail once more, for the line that it holds
                file.close()
            raise OSError(error.errno, error.strerror, file.name) from None

    def say(self, line: str) -> None:
        print(line, file=self._out, flush=True)

    def level(self, samples_S: np.ndarray, seconds: float) -> None:
        pass

    def warn(self, line: str) -> None:
        print(f"asr: {line}", file=self._errors, flush=True)


class LiveLine(Lines):
    """The same, with a line below that changes: time, level, and what is being said; what may still change is dim.

    Use it as a context manager.
    """

    def __init__(self, console: Console, *, file: TextIO | None = None, doubt: Doubt | None = None):
        super().__init__(console.file, console.file, file=file, doubt=doubt)
        self._console = console
        # What goes to standard error scrolls above the line too, unless it goes elsewhere.
        self._live = Live(console=console, refresh_per_second=20, transient=True, redirect_stderr=sys.stderr.isatty())
        self._partial: SpeechEvent | None = None
        self._db = -math.inf
        self._seconds = 0.0

    def __enter__(self) -> LiveLine:
        self._live.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.__exit__(None, None, None)

    def events(self, events: list[SpeechEvent]) -> None:
        # First, because a line that is printed above draws this one again.
        for event in events:
            self._partial = None if event.final else event
        self._live.update(self._line())
        super().events(events)

    def level(self, samples_S: np.ndarray, seconds: float) -> None:
        self._db = decibels(samples_S)
        self._seconds = seconds

    def say(self, line: str) -> None:
        self._console.print(line, markup=False, emoji=False, highlight=False)

    def warn(self, line: str) -> None:
        self._console.print(f"asr: {line}", style="yellow", markup=False, emoji=False, highlight=False)

    def _line(self) -> Text:
        lit = max(0, min(METER_WIDTH, round(METER_WIDTH * (1 + self._db / METER_DB)))) if self._db > -math.inf else 0
        line = Text.assemble(
            (f"[{stamp(self._seconds)}] ", "dim"),
            ("\u2588" * lit, "red" if self._db > -1 else "green"),
            ("\u2591" * (METER_WIDTH - lit) + " ", "dim"),
            no_wrap=True,
            overflow="crop",
        )
        if self._partial is not None:
            text = Text(self._partial.text)
            text.stylize("dim", len(self._partial.stable))
            # The end of a long line is what is being said now.
            line.append_text(text[_fitting(text.plain, self._console.width - line.cell_len - ECHO_WIDTH) :])
        return line


def _fitting(text: str, cells: int) -> int:
    """Where the longest end of a text begins that is no wider than so many cells; letters take none to two."""
    begin = len(text)
    while begin and cell_len(text[begin - 1 :]) <= cells:
        begin -= 1
    return begin


def decibels(samples_S: np.ndarray) -> float:
    """The peak of a block in decibels below full scale; minus infinity for silence."""
    peak = float(np.abs(samples_S).max(initial=0.0))
    return 20 * math.log10(peak) if peak > 0 else -math.inf
