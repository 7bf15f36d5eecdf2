"""Listening to blocks that a test hands out: what is told, kept and warned of, at what pace, and how Ctrl-C ends it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import asr
from asr.listen import BEHIND_SECONDS, WARN_EVERY, Interrupt, Stopwatch, listen, paced
from asr.stream import SpeechEvent, SpeechSession
from features import audio
from features.audio import AudioError
from features.microphone import Block, MicrophoneError
from features.recording import Recording
from inference.endpoint import EndpointRules

REPOSITORY = Path(__file__).resolve().parents[2]
RULES = EndpointRules(after_text=0.4)  # a line ends within the recording, whatever the model hears in it


class Seen:
    """A display that keeps everything."""

    def __init__(self, during: Callable[[], None] = lambda: None):
        self.all: list[SpeechEvent] = []
        self.levels: list[float] = []
        self.warnings: list[str] = []
        self._during = during

    def events(self, events: list[SpeechEvent]) -> None:
        self.all += events
        self._during()

    def level(self, samples_S: np.ndarray, seconds: float) -> None:
        self.levels.append(seconds)

    def warn(self, line: str) -> None:
        self.warnings.append(line)


@pytest.fixture(scope="module")
def demo() -> tuple[np.ndarray, int]:
    return audio.read(REPOSITORY / "asr" / "demo" / "digits.flac")


@pytest.fixture
def session(demo) -> SpeechSession:
    return SpeechSession(asr.load("digits").model, rate=demo[1], rules=RULES)


def cut(samples_S: np.ndarray, size: int = 800) -> list[np.ndarray]:
    return [samples_S[begin : begin + size] for begin in range(0, len(samples_S), size)]


def told(session: SpeechSession, samples_S: np.ndarray) -> list[SpeechEvent]:
    """What the session says of a stream of just these samples."""
    return session.push(samples_S) + session.flush()


def silence(count: int, rate: int, *, seconds: float = 0.5, **attributes) -> Iterator[Block]:
    return (Block(np.zeros(round(seconds * rate), np.float32), **attributes) for _ in range(count))


# --- what is told and kept --------------------------------------------------------------------------------------------


def test_what_is_heard_is_told_recorded_and_measured(session, demo, tmp_path: Path) -> None:
    samples_S, rate = demo
    seen = Seen()
    with Recording(tmp_path / "a.wav", rate) as record:
        log = listen(map(Block, cut(samples_S)), session, seen, record=record)
    assert seen.all == told(session, samples_S)
    finals = [event for event in seen.all if event.final]
    assert len(finals) > 1
    assert [word for word, _ in log.words] == [word for event in finals for word in event.words]
    assert log.heard == pytest.approx(len(samples_S) / rate)
    # A word may be shown before it is over: its end is that of the sound, not that of its label.
    assert all(word.start <= at + 0.05 <= log.heard + 0.1 for word, at in log.words), "times are places in the stream"
    assert all(word.end <= log.heard for word, _ in log.words)
    assert 0 < log.compute < 60
    np.testing.assert_allclose(seen.levels, np.minimum(0.05 * np.arange(1, len(seen.levels) + 1), log.heard))
    np.testing.assert_array_equal(audio.read(tmp_path / "a.wav")[0], samples_S)
    assert seen.warnings == []


def test_with_a_clock_delays_are_those_of_the_clock(session, demo) -> None:
    log = listen(map(Block, cut(demo[0])), session, Seen(), clock=lambda: 100.0)
    assert log.words
    assert {at for _, at in log.words} == {100.0}


def test_nothing_to_hear(session) -> None:
    seen = Seen()
    assert listen([], session, seen).heard == 0
    assert (seen.all, seen.levels, seen.warnings) == ([], [], [])


@pytest.mark.parametrize("wrong", ["microphone", "disk", "samples"])
def test_what_came_before_an_error_is_told(session, demo, tmp_path: Path, wrong: str) -> None:
    blocks = cut(demo[0])
    count = len(blocks) * 2 // 3  # in the middle of a line

    class FullDisk(Recording):
        def write(self, samples_S: np.ndarray) -> None:
            if samples_S is blocks[count]:
                raise AudioError("a.wav: cannot be recorded to: No space left on device: choose another place")
            super().write(samples_S)

    def source() -> Iterator[Block]:
        for index, block in enumerate(blocks):
            if index == count and wrong == "microphone":
                raise MicrophoneError("desk: has stopped, as if unplugged: plug it in and start again")
            yield Block(np.full(800, np.nan) if index == count and wrong == "samples" else block)

    seen = Seen()
    said = {"microphone": "^desk: has stopped", "disk": "No space left", "samples": "sample at 3.000 s is nan"}[wrong]
    recording = FullDisk if wrong == "disk" else Recording
    with pytest.raises(AudioError, match=said), recording(tmp_path / "a.wav", demo[1]) as record:
        listen(source(), session, seen, record=None if wrong == "samples" else record)
    expected = told(session, np.concatenate(blocks[:count]))
    assert expected[-1].final
    assert seen.all == expected
    if wrong != "samples":
        np.testing.assert_array_equal(audio.read(tmp_path / "a.wav")[0], np.concatenate(blocks[:count]))


# --- warnings ---------------------------------------------------------------------------------------------------------


def test_being_behind_is_said_at_once_and_then_now_and_again(session, demo) -> None:
    seen = Seen()
    listen(silence(24, demo[1], waiting=2.5), session, seen)
    assert WARN_EVERY == 5.0
    assert len(seen.warnings) == 3, "in twelve seconds"
    assert all(line.startswith("2.5 s behind: ") for line in seen.warnings)
    seen = Seen()
    listen([*silence(9, demo[1]), *silence(1, demo[1], waiting=1.5), *silence(9, demo[1])], session, seen)
    assert [line[:14] for line in seen.warnings] == ["1.5 s behind: "], "not before it is so"


def test_a_little_behind_is_no_matter(session, demo) -> None:
    seen = Seen()
    listen(silence(24, demo[1], waiting=BEHIND_SECONDS), session, seen)
    assert seen.warnings == []


def test_losses_are_said_at_once_and_counted_and_not_said_all_the_time(session, demo) -> None:
    seen = Seen()
    lost = [False, *[True] * 12, False]
    log = listen((Block(np.zeros(demo[1] // 2, np.float32), overflowed=flag) for flag in lost), session, seen)
    assert log.losses == 12
    said = [line.split(":")[0] for line in seen.warnings]
    assert said == ["sound was lost before 0.5 s, 1 times so far", "sound was lost before 5.5 s, 11 times so far"]


# --- Ctrl-C -----------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def handler_is_restored() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    yield
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_ends_the_waiting_for_a_block(session, demo) -> None:
    blocks = cut(demo[0][:40_000])

    def source() -> Iterator[Block]:
        yield from map(Block, blocks)
        threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT]).start()
        time.sleep(30)
        raise AssertionError("the waiting went on")

    seen, begun = Seen(), time.monotonic()
    with Interrupt() as stop:
        listen(source(), session, seen, stop=stop)
        assert stop.asked
    assert time.monotonic() - begun < 15
    assert seen.all == told(session, demo[0][:40_000])


def test_ctrl_c_lets_the_work_on_a_block_be_done(session, demo, tmp_path: Path) -> None:
    blocks = cut(demo[0], 8000)
    seen = Seen(lambda: signal.raise_signal(signal.SIGINT) if len(seen.levels) == 3 and not stop.asked else None)
    with Interrupt() as stop, Recording(tmp_path / "a.wav", demo[1]) as record:
        log = listen(map(Block, blocks), session, seen, record=record, stop=stop)
    assert len(seen.levels) == 3
    assert log.heard == 1.5
    assert seen.all == told(session, demo[0][:24_000])
    np.testing.assert_array_equal(audio.read(tmp_path / "a.wav")[0], demo[0][:24_000])


def test_what_ctrl_c_leaves_out_is_said(session, demo) -> None:
    seen = Seen(lambda: signal.raise_signal(signal.SIGINT) if len(seen.levels) == 2 and not stop.asked else None)
    with Interrupt() as stop:
        listen(silence(9, demo[1], waiting=1.5), session, seen, stop=stop)
    assert [line.split(":")[0] for line in seen.warnings] == [
        "1.5 s behind",
        "the last 1.5 s before Ctrl-C were left out",
    ]


class Captured:
    """A microphone that has captured more than was taken when it is closed."""

    def __init__(self, blocks: list[np.ndarray], rate: int):
        self._blocks, self._rate, self.closed = blocks, rate, 0

    def __iter__(self) -> Iterator[Block]:
        return self

    def __next__(self) -> Block:
        if not self._blocks:
            raise StopIteration
        taken = self._blocks.pop(0)
        return Block(taken, waiting=sum(map(len, self._blocks)) / self._rate)

    def close(self) -> None:
        self.closed += 1


def test_what_was_captured_before_ctrl_c_is_heard_to_the_end(session, demo) -> None:
    microphone = Captured(cut(demo[0], 8000), demo[1])
    seen = Seen(lambda: signal.raise_signal(signal.SIGINT) if len(seen.levels) == 2 and not stop.asked else None)
    with Interrupt() as stop:
        listen(microphone, session, seen, stop=stop)
    assert microphone.closed == 1
    assert seen.all == told(session, demo[0])
    assert not any("left out" in line for line in seen.warnings)


def test_a_second_ctrl_c_ends_the_program(session, demo) -> None:
    def twice() -> None:
        if len(seen.levels) == 3 and not stop.asked:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    seen = Seen(twice)
    with pytest.raises(KeyboardInterrupt), Interrupt() as stop:
        listen(map(Block, cut(demo[0], 8000)), session, seen, stop=stop)
    assert len(seen.levels) == 3


def test_ctrl_c_before_the_first_block(session, demo) -> None:
    seen = Seen()
    with Interrupt() as stop:
        signal.raise_signal(signal.SIGINT)
        assert listen(map(Block, cut(demo[0])), session, seen, stop=stop).heard == 0


# --- the pace of a microphone -----------------------------------------------------------------------------------------


def test_paced_blocks_come_when_they_would_have_been_spoken() -> None:
    clock = Stopwatch()
    blocks = [np.full(size, index, np.float32) for index, size in enumerate((400, 800, 10, 1600))]
    come = []
    for heard in paced(blocks, rate=8000, clock=clock):
        come.append((clock(), heard))
    assert [heard.samples_S is block for (_, heard), block in zip(come, blocks, strict=True)] == [True] * 4
    ends = np.cumsum([len(block) for block in blocks]) / 8000
    for (at, heard), end in zip(come, ends, strict=True):
        assert end - 0.002 <= at <= end + 1.0, "never too early; a busy machine may be late"
        assert 0 <= heard.waiting <= 1.0
        assert not heard.overflowed


def test_who_is_late_is_told_how_much_and_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail(f"waited {seconds} s"))
    blocks = [np.zeros(8000, np.float32)] * 5  # 5 s
    late = [heard.waiting for heard in paced(blocks, rate=8000, clock=lambda: 6.0)]
    np.testing.assert_allclose(late, [5, 4, 3, 2, 1])


def test_a_stopwatch_begins_when_it_is_first_read() -> None:
    clock = Stopwatch()
    time.sleep(0.02)
    assert clock() == 0
    time.sleep(0.02)
    assert 0.02 <= clock() <= clock() < 5
