"""What a listener sees: lines and events on a pipe, and on a terminal a line that changes below the finished ones."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from asr.display import Lines, LiveLine, decibels, display_for, stamp
from asr.stream import SpeechEvent
from asr.transcript import Alternative, Word

WIDTH = 80
FULL, EMPTY = "\u2588", "\u2591"


def event(text: str, *, stable: str | None = None, start: float = 0.0, final: bool = False) -> SpeechEvent:
    words = tuple(Word(word, start, start + 0.5, 0.5) for word in text.split())
    return SpeechEvent(start, start + 0.5, text, 0.5, final, text if stable is None else stable, words)


def screen(output: str, *, width: int = WIDTH) -> list[str]:
    """What a terminal of this width shows after `output`; the last row is the one with the cursor."""
    rows: list[list[str]] = [[]]
    row = column = 0
    for token in re.findall(r"\x1b\[\??[\d;]*[A-Za-z]|.", output, re.DOTALL):
        if token == "\r":
            column = 0
        elif token == "\n":
            row, column = row + 1, 0
        elif token == "\x1b[2K":
            rows[row] = []
        elif token.endswith("A") and token.startswith("\x1b["):
            row -= int(token[2:-1])
        elif not token.startswith("\x1b"):
            cells = cell_len(token)
            if column + cells > width:
                row, column = row + 1, 0
            rows += [[] for _ in range(row + 1 - len(rows))]
            del rows[row][column:]
            rows[row] += [token, *[""] * (cells - 1)]
            column += cells
        rows += [[] for _ in range(row + 1 - len(rows))]
    return ["".join(cells).rstrip() for cells in rows[: row + 1]]


class Terminal:
    """A console that remembers what was written, and waits for the live line, which is drawn by a thread."""

    def __init__(self, width: int = WIDTH):
        self._file = io.StringIO()
        self._width = width
        self.console = Console(file=self._file, force_terminal=True, width=width, color_system="standard")

    @property
    def output(self) -> str:
        return self._file.getvalue()

    @property
    def rows(self) -> list[str]:
        return screen(self.output, width=self._width)

    def until(self, ready: Callable[[list[str]], bool]) -> list[str]:
        end = time.monotonic() + 10
        while not ready(self.rows):
            assert time.monotonic() < end, self.rows
            time.sleep(0.01)
        return self.rows


# --- times and levels -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0:00:00.0"),
        (0.99, "0:00:00.9"),
        (9.96, "0:00:09.9"),
        (59.99, "0:00:59.9"),
        (60.0, "0:01:00.0"),
        (62.34, "0:01:02.3"),
        (3599.99, "0:59:59.9"),
        (3600.0, "1:00:00.0"),
        (36_000.5, "10:00:00.5"),
        (359_999.9, "99:59:59.9"),
    ],
)
def test_stamp(seconds: float, text: str) -> None:
    assert stamp(seconds) == text


@pytest.mark.parametrize(("peak", "expected"), [(1.0, 0.0), (-1.0, 0.0), (0.1, -20.0), (2.0, 6.0206), (1e-3, -60.0)])
def test_decibels_of_the_peak(peak: float, expected: float) -> None:
    assert decibels(np.array([0.0, peak, peak / 9], np.float32)) == pytest.approx(expected, abs=1e-3)


def test_silence_and_nothing_have_no_level() -> None:
    assert decibels(np.zeros(5, np.float32)) == decibels(np.zeros(0, np.float32)) == -np.inf


# --- lines on a pipe --------------------------------------------------------------------------------------------------


def test_finished_lines_alone_are_printed(tmp_path: Path) -> None:
    out, errors = io.StringIO(), io.StringIO()
    path = tmp_path / "lines.txt"
    with open(path, "x", encoding="utf-8") as file:
        lines = Lines(out, errors, file=file)
        lines.level(np.ones(3, np.float32), 1.0)
        lines.events([event("a"), event("a b", stable="a")])
        assert (out.getvalue(), path.read_text()) == ("", "")
        lines.events([event("a b", start=1.2, final=True), event("c")])
        lines.warn("it is late")
        assert out.getvalue() == path.read_text() == "[0:00:01.2] a b\n", "as it goes"
        lines.events([event("好 [bold]é[/bold]", start=61.0, final=True), event("d", start=70.0, final=True)])
    expected = "[0:00:01.2] a b\n[0:01:01.0] 好 [bold]é[/bold]\n[0:01:10.0] d\n"
    assert out.getvalue() == path.read_text(encoding="utf-8") == expected
    assert errors.getvalue() == "asr: it is late\n"
    assert lines.words == 5


def test_every_event_as_json_lines() -> None:
    out, file = io.StringIO(), io.StringIO()
    lines = Lines(out, io.StringIO(), file=file, every_event=True)
    events = [event("a"), event("a b", stable="a"), event('a "é" 好', start=2.0, final=True), event("")]
    lines.events(events[:2])
    lines.events(events[2:])
    read = [json.loads(line) for line in out.getvalue().splitlines()]
    expected = [json.loads(json.dumps(asdict(event))) for event in events]
    for word in (word for one in expected for word in one["words"]):
        assert word.pop("parts") == [], "of streams there are none"
    assert [{**one, "alternatives": []} for one in read] == expected
    restored = [SpeechEvent(**fields | {"words": tuple(Word(**word) for word in fields["words"])}) for fields in read]
    assert restored == events, "nothing is missing from them"
    assert "好" in out.getvalue(), "people read them too"
    assert file.getvalue() == '[0:00:02.0] a "é" 好\n', "in the file finished lines alone"
    assert lines.words == 3


def test_events_name_their_alternatives() -> None:
    out = io.StringIO()
    doubtful = replace(event("a", final=True), alternatives=(Alternative("e", -1.0, 1.0),))
    Lines(out, io.StringIO(), every_event=True).events([doubtful])
    assert json.loads(out.getvalue())["alternatives"] == [{"text": "e", "score": -1.0, "share": 1.0}]


def test_a_file_that_cannot_be_written_is_named_once() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full to write to")
    out = io.StringIO()
    with open("/dev/full", "w", encoding="utf-8") as file:
        lines = Lines(out, io.StringIO(), file=file)
        with pytest.raises(OSError, match="No space left on device") as full:
            lines.events([event("a", final=True)])
        assert full.value.filename == "/dev/full"
        lines.events([event("b", final=True)])
    assert out.getvalue() == "[0:00:00.0] a\n[0:00:00.0] b\n", "both are seen all the same"


def test_the_live_line_is_for_terminals(capsys: pytest.CaptureFixture[str]) -> None:
    for every_event in (False, True):
        with display_for(file=None, every_event=every_event) as display:
            assert type(display) is Lines
            display.events([event("a b", final=True)])
            display.warn("late")
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "[0:00:00.0] a b"
    assert json.loads(out.splitlines()[1])["text"] == "a b"
    assert err == "asr: late\nasr: late\n"


# --- the live line ----------------------------------------------------------------------------------------------------


def test_live_line_from_partial_to_finished(tmp_path: Path) -> None:
    terminal = Terminal()
    path = tmp_path / "lines.txt"
    with open(path, "x") as file, LiveLine(terminal.console, file=file) as live:
        live.level(np.full(9, 0.03, np.float32), 61.25)
        live.events([event("one two", stable="one")])
        rows = terminal.until(lambda rows: rows[-1].endswith("two"))
        assert rows == [f"[0:01:01.2] {FULL * 6}{EMPTY * 6} one two"]
        assert re.search(r"(?<!\x1b\[2m)one\x1b\[2m two\x1b\[0m", terminal.output), "what may change is dim"
        live.events([event("one two three", start=60.0, final=True), event("fo")])
        rows = terminal.until(lambda rows: rows[-1].endswith("fo"))
        assert rows[0] == "[0:01:00.0] one two three"
        assert rows[1].startswith("[0:01:01.2] ")
        assert len(rows) == 2
        live.events([event("")])
        rows = terminal.until(lambda rows: rows[-1].endswith(EMPTY))
        live.events([event("four", start=62.0, final=True)])
        rows = terminal.until(lambda rows: len(rows) == 3)
        assert rows[1:] == ["[0:01:02.0] four", f"[0:01:01.2] {FULL * 6}{EMPTY * 6}"]
        assert path.read_text() == "[0:01:00.0] one two three\n[0:01:02.0] four\n"
    assert terminal.rows == ["[0:01:00.0] one two three", "[0:01:02.0] four", ""], "the live line is gone"
    assert terminal.output.count("\x1b[?25l") == terminal.output.count("\x1b[?25h") == 1, "the cursor is back"
    assert live.words == 4


@pytest.mark.parametrize(
    ("peak", "lit", "colour"),
    [(0.0, 0, None), (0.0005, 0, None), (0.001, 0, None), (0.1, 8, "32"), (0.8, 12, "32"), (1.0, 12, "31")],
)
def test_level_meter(peak: float, lit: int, colour: str | None) -> None:
    terminal = Terminal()
    with LiveLine(terminal.console) as live:
        live.level(np.array([0, -peak], np.float32), 3.0)
        live.events([])
        (row,) = terminal.until(lambda rows: "0:00:03.0" in rows[-1])
    assert row == f"[0:00:03.0] {FULL * lit}{EMPTY * (12 - lit)}"
    if colour:
        assert f"\x1b[{colour}m{FULL}" in terminal.output


@pytest.mark.parametrize("letters", ["ab ", "好", "好 a", "कि ", "e\u0301 "], ids=ascii)
@pytest.mark.parametrize("width", [40, 80, 81])
@pytest.mark.parametrize("hours", [0, 11])
def test_of_a_long_line_the_end_is_seen(letters: str, width: int, hours: int) -> None:
    terminal = Terminal(width)
    text = (letters * 300).strip() + " the end"
    with LiveLine(terminal.console) as live:
        live.level(np.ones(1, np.float32), 3600.0 * hours)
        live.events([event(text, stable=text[:-4])])
        rows = terminal.until(lambda rows: rows[-1].endswith("the end"))
    (row,) = rows
    assert row.startswith(f"[{hours}:00:00.0] {FULL * 12} ")
    assert width - 4 <= cell_len(row) <= width - 2, "a row of its own, with room for ^C"


def test_a_terminal_too_narrow_for_anything() -> None:
    terminal = Terminal(20)
    with LiveLine(terminal.console) as live:
        live.events([event("one two")])
        assert len(terminal.until(lambda rows: rows[-1] != "")) == 1
    assert terminal.rows == [""]


@pytest.mark.parametrize("text", ["[bold]loud[/bold]", "[/]", ":smile: :on: 3:100:4", r"\[x] \n", "[link=x]y"])
def test_text_is_printed_as_it_is(text: str) -> None:
    terminal = Terminal()
    with LiveLine(terminal.console) as live:
        live.events([event(text)])
        assert terminal.until(lambda rows: rows[-1].endswith(text))
        live.events([event(text, final=True)])
        live.warn(text)
    assert terminal.rows == [f"[0:00:00.0] {text}", f"asr: {text}", ""]


def test_warnings_stand_above_the_live_line() -> None:
    terminal = Terminal()
    with LiveLine(terminal.console) as live:
        live.events([event("one")])
        live.warn("1.5 s behind")
        rows = terminal.until(lambda rows: rows[-1].endswith("one"))
        assert rows[0] == "asr: 1.5 s behind"
        assert len(rows) == 2
    assert "\x1b[33masr: 1.5 s behind\x1b[0m" in terminal.output
