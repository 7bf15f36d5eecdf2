"""Reading ahead in a thread: how far, in which order, and that the thread ends, however it is left."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from features.video_frame import Frame
from features.video_reader import AHEAD, Reader

IMAGE_HWC = np.zeros((2, 2, 3), dtype=np.uint8)
ENDLESS = 10**15


class Counted:
    """A source of some frames, which may break after them, that counts what is asked of it."""

    name = "counted"

    def __init__(self, frames: int, *, error: Exception | None = None):
        self._frames, self._error = frames, error
        self.decoded = self.closed = 0

    def frames(self) -> Iterator[Frame]:
        for number in range(self._frames):
            self.decoded += 1
            yield Frame(IMAGE_HWC, float(number))
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        self.closed += 1


def reading() -> bool:
    """Whether a thread reads such a source."""
    return any(thread.name == Counted.name for thread in threading.enumerate())


def comes(what: Callable[[], bool], *, within: float = 5.0) -> bool:
    deadline = time.monotonic() + within
    while not what() and time.monotonic() < deadline:
        time.sleep(0.01)
    return what()


def test_every_frame_comes_in_its_order() -> None:
    source = Counted(50)
    reader = Reader(source, newest=False)
    assert [frame.time for frame in reader] == [float(number) for number in range(50)]
    assert (source.closed, reader.dropped) == (1, 0)
    assert list(reader) == []


def test_a_file_is_read_a_few_frames_ahead_and_no_more() -> None:
    source = Counted(50)
    reader = Reader(source, newest=False)
    assert source.decoded == 0, "nothing is decoded that nobody has asked for"
    for taken in range(1, 20):
        next(reader)
        assert source.decoded <= taken + AHEAD + 1
    assert comes(lambda: source.decoded >= 19 + AHEAD)
    time.sleep(0.05)
    assert source.decoded <= 19 + AHEAD + 1
    reader.close()


@pytest.mark.parametrize("taken", [0, 1, 5])
@pytest.mark.parametrize("newest", [False, True])
def test_closing_ends_the_thread_and_closes_the_source(taken: int, newest: bool) -> None:
    source = Counted(ENDLESS)
    reader = Reader(source, newest=newest)
    for _ in range(taken):
        next(reader)
    reader.close()
    assert (reading(), source.closed) == (False, 1)


def test_one_that_is_let_go_without_being_closed_ends_too() -> None:
    source = Counted(ENDLESS)
    next(iter(Reader(source, newest=False)))
    gc.collect()
    assert comes(lambda: not reading())
    assert source.closed == 1


def test_frames_come_first_and_then_the_error() -> None:
    source = Counted(2, error=ValueError("broken"))
    reader = Reader(source, newest=False)
    assert [next(reader).time, next(reader).time] == [0.0, 1.0]
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            next(reader)
    assert source.closed == 1
