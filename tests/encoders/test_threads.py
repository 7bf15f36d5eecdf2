"""Parts of some work on torch's threads: each once, at the same time, and no mistake lost."""

from __future__ import annotations

import signal
import threading
import time
from types import SimpleNamespace

import pytest
import torch

from encoders import threads
from encoders.threads import in_threads


@pytest.fixture(params=["torch's threads", "threads of Python"])
def two_threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    if request.param == "threads of Python":
        monkeypatch.setattr(threads, "_openmp", lambda: None)
    elif threads._openmp() is None:
        pytest.skip("this torch does not use GNU's OpenMP")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 17])
def test_each_part_is_done_once(count: int, two_threads: None) -> None:
    done: list[int] = []
    in_threads(done.append, list(range(count)))
    assert sorted(done) == list(range(count))


def test_two_parts_are_done_at_the_same_time(two_threads: None) -> None:
    both = threading.Barrier(2, timeout=10)
    in_threads(lambda part: both.wait(), [0, 1])


def test_one_thread_does_all_parts_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    done = []
    in_threads(lambda part: done.append((part, threading.get_ident())), [0, 1, 2])
    assert done == [(part, threading.get_ident()) for part in range(3)]


def test_a_mistake_is_raised_when_all_parts_have_ended(two_threads: None) -> None:
    done = []

    def run(part: int) -> None:
        if part == 0:
            raise ArithmeticError("part 0")
        time.sleep(0.05)
        done.append(part)

    with pytest.raises(ArithmeticError, match="part 0"):
        in_threads(run, [0, 1, 2])
    assert 1 in done


def test_an_interruption_goes_through(two_threads: None) -> None:
    def run(part: int) -> None:
        if part == 0:
            signal.raise_signal(signal.SIGINT)
        time.sleep(0.05)

    with pytest.raises(KeyboardInterrupt):
        in_threads(run, [0, 1])


def test_parts_that_were_not_done_are_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an interruption leaves that comes at a thread's first instruction, which no test can time."""
    monkeypatch.setattr(threads, "_openmp", lambda: SimpleNamespace(GOMP_parallel=lambda *_: None))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    with pytest.raises(KeyboardInterrupt):
        in_threads(lambda part: None, [0, 1])


def test_parts_may_have_parts(two_threads: None) -> None:
    done: list[int] = []
    in_threads(lambda part: in_threads(done.append, [part, part + 1]), [0, 2])
    assert sorted(done) == [0, 1, 2, 3]


def test_threads_of_python_may_ask_at_the_same_time(two_threads: None) -> None:
    done: list[int] = []
    asking = [threading.Thread(target=in_threads, args=(done.append, range(k, k + 3))) for k in range(0, 30, 3)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join(timeout=10)
    assert sorted(done) == list(range(30))


def test_torch_computes_on_as_before(two_threads: None) -> None:
    x = torch.randn(300, 300)
    wanted = x @ x
    for _ in range(20):
        in_threads(lambda part: None, [0, 1])
        assert (x @ x).equal(wanted)
