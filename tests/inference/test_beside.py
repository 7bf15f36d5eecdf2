"""Work in a thread: that it goes on meanwhile, and what becomes of its result and its error."""

from __future__ import annotations

import threading

import pytest

from inference.beside import Beside

PATIENCE = 60.0  # seconds, which a failure takes and nothing else


def test_it_goes_on_meanwhile() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        return "done" if go_on.wait(PATIENCE) else "alone"

    beside = Beside(work)
    assert begun.wait(PATIENCE)
    go_on.set()
    assert beside.result() == beside.result() == "done"


def test_an_error_is_for_whoever_waits(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        raise ValueError("damaged")

    beside = Beside(work)
    for _ in range(2):
        with pytest.raises(ValueError, match="damaged"):
            beside.result()
    assert capsys.readouterr().err == ""
