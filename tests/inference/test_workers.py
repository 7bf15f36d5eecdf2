"""Several processes: every item once whatever dies, mistakes told in a line, and nobody left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from inference.workers import Failure, Here, Outcome, Processes, WorkerError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of this kind are not there")


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker processes find the functions of this file, too; the installed package comes first all the same."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(Path(__file__).parents[2])])


class Walk(NamedTuple):
    """An item: so many steps, each of which takes a moment."""

    name: str
    steps: int = 1

    def __str__(self) -> str:
        return self.name


def walk(item: Walk, tell: Callable[[float], None]) -> str:
    if item.name == "bad":
        raise ValueError("bad: it cannot\nbe walked")
    if item.name == "absent":
        raise FileNotFoundError(2, "No such file or directory", "absent")
    for step in range(item.steps):
        time.sleep(0.02)
        tell(step + 1)
    return item.name.upper()


BEGIN = partial(partial, walk)
LONG = Walk("long", 60)


def ignore(item: object, amount: float) -> None:
    pass


def processes(jobs: int) -> Processes:
    return Processes(jobs, program="test")


def kill_all() -> None:
    for process in multiprocessing.active_children():
        os.kill(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("pool", [Here(), processes(2)], ids=["here", "processes"])
def test_each_item_has_one_outcome_and_tells_how_far_it_is(pool: Here | Processes) -> None:
    items = [Walk("a"), LONG, Walk("bad"), Walk("b"), Walk("absent")]
    told: dict[Walk, list[float]] = {}
    outcomes = list(pool.run(BEGIN, items, lambda item, amount: told.setdefault(item, []).append(amount)))
    assert sorted(outcome.item for outcome in outcomes) == sorted(items)
    results = {outcome.item.name: outcome.result for outcome in outcomes}
    assert results == {
        "a": "A",
        "long": "LONG",
        "b": "B",
        "bad": Failure("bad: it cannot be walked"),
        "absent": Failure("absent: No such file or directory", 2),
    }
    assert {item.name for item in told} == {"a", "long", "b"}
    assert told[LONG] == sorted(told[LONG])
    assert 0 < told[LONG][0] < told[LONG][-1] <= LONG.steps
    assert not multiprocessing.active_children()


def test_an_item_whose_worker_is_killed_is_done_again() -> None:
    items, killed = [LONG, Walk("a")], []

    def tell(item: Walk, amount: float) -> None:
        if not killed:
            killed.append(item)
            kill_all()

    outcomes = list(processes(1).run(BEGIN, items, tell))
    assert killed == [LONG]
    assert outcomes == [(LONG, "LONG"), (items[1], "A")]


def test_an_item_that_kills_every_worker_is_listed_and_the_others_are_done() -> None:
    items, killed = [Walk("a"), LONG, Walk("b")], []

    def tell(item: Walk, amount: float) -> None:
        if item == LONG:
            killed.append(amount)
            kill_all()

    results = {outcome.item.name: outcome.result for outcome in processes(1).run(BEGIN, items, tell)}
    assert len(killed) == 2
    assert results == {
        "a": "A",
        "b": "B",
        "long": Failure(
            "long: 2 processes died while they did it; the last one was ended by signal 9; "
            "the machine may be out of memory"
        ),
    }


def test_one_of_two_workers_is_killed_half_way() -> None:
    items = [Walk(f"{number:02d}", 5) for number in range(20)]
    outcomes = []
    for outcome in processes(2).run(BEGIN, items, ignore):
        outcomes.append(outcome)
        if len(outcomes) == 4:
            os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
    assert sorted(outcomes) == [(item, item.name) for item in items]


def test_who_stops_asking_ends_the_workers() -> None:
    with closing(processes(2).run(BEGIN, [Walk("a"), LONG, LONG._replace(name="longer")], ignore)) as run:
        next(run)
        assert multiprocessing.active_children()
    assert not multiprocessing.active_children()


def test_workers_that_cannot_begin() -> None:
    with pytest.raises(WorkerError, match=r"^there is no map$"):
        list(processes(2).run(partial(_unfit, "there is\nno map"), [Walk("a"), Walk("b")], ignore))
    with pytest.raises(WorkerError, match=r"cannot begin: the last one ended with code 3; take fewer --jobs"):
        list(processes(2).run(partial(os._exit, 3), [Walk("a"), Walk("b")], ignore))
    assert not multiprocessing.active_children()


def test_a_worker_that_dies_before_it_begins_is_not_missed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first to begin makes a file and dies of it; the others find it and go on."""
    begin = partial(_dies_once, str(tmp_path / "died"))
    outcomes = list(processes(2).run(begin, ["a", "b", "c"], ignore))
    assert sorted(outcome.item for outcome in outcomes) == ["a", "b", "c"]
    assert capsys.readouterr().err == "test: a worker process ended with code 4 before it began; going on with fewer\n"


class InGroups:
    """Ends several at once, and says how many it did: `long` does not wait for others, `deadly` ends its process."""

    def __init__(self, deadly_when: str = "ended"):
        self._deadly_when = deadly_when

    def begin(self, item: str) -> str:
        self._perish("begun", [item])
        return item.upper()

    def waits(self, begun: str) -> bool:
        return begun != "LONG"

    def end(self, begun: Sequence[tuple[str, str]], tell: Callable[[str, float], None]) -> Iterator[Outcome]:
        self._perish("ended", [item for item, _ in begun])
        for item, made in reversed(begun):
            if item == "mistake":
                raise ZeroDivisionError
            if item == "forgotten":
                continue
            tell(item, 1.0)
            yield Outcome(item, Failure(item) if item == "bad" else f"{made} {len(begun)}")

    def _perish(self, when: str, items: Sequence[str]) -> None:
        if when == self._deadly_when and "deadly" in items:
            os._exit(5)


def test_a_process_ends_several_items_at_once_and_none_waits_behind_a_long_one() -> None:
    told: dict[str, float] = {}
    outcomes = Processes(1, program="test", at_once=3).run(
        InGroups, [*"ab", "long", *"cd", "bad", "e"], told.__setitem__
    )
    expected = [("b", "B 2"), ("a", "A 2"), ("long", "LONG 1"), ("bad", Failure("bad")), ("d", "D 3"), ("c", "C 3")]
    assert list(outcomes) == [*expected, ("e", "E 1")]
    assert told == dict.fromkeys([*"ab", "long", "bad", *"dce"], 1.0), "at once of each"


def test_no_process_begins_more_than_its_share_of_what_is_left() -> None:
    outcomes = Processes(2, program="test", at_once=8).run(InGroups, [*"abcdefgh"], ignore)
    assert max(int(outcome.result.split()[1]) for outcome in outcomes) == 4


@pytest.mark.parametrize("when", ["begun", "ended"])
def test_an_item_that_kills_a_process_takes_no_other_with_it(when: str) -> None:
    items = [*"ab", "deadly", *"cde"]
    outcomes = list(Processes(2, program="test", at_once=8).run(partial(InGroups, when), items, ignore))
    results = {outcome.item: outcome.result for outcome in outcomes}
    assert len(outcomes) == len(results) == len(items)
    failure = results.pop("deadly")
    assert failure == Failure("deadly: 2 processes died while they did it; the last one ended with code 5")
    assert {item: result.split()[0] for item, result in results.items()} == {item: item.upper() for item in "abcde"}


@pytest.mark.parametrize(("item", "error"), [("mistake", "ZeroDivisionError"), ("forgotten", "AssertionError")])
def test_a_mistake_of_the_program_among_several_items(item: str, error: str) -> None:
    with pytest.raises(RuntimeError, match=rf"in a worker:\nTraceback(.|\n)*{error}"):
        list(Processes(1, program="test", at_once=8).run(InGroups, ["a", item], ignore))
    assert not multiprocessing.active_children()


def _unfit(why: str) -> None:
    raise ValueError(why)


def _dies_once(path: str) -> Callable[..., str]:
    mine = Path(f"{path}.{os.getpid()}")
    mine.write_text(str(os.getpid()))
    try:
        os.link(mine, path)
    except FileExistsError:
        # Not before its death is noticed, or all the work might be done by then.
        dead, end = int(Path(path).read_text()), time.monotonic() + 120
        while _exists(dead) and time.monotonic() < end:
            time.sleep(0.02)
        return _threads
    os._exit(4)


def _exists(process: int) -> bool:
    """Whether there is such a process, were it that its parent has not taken note of its end."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_mistake_of_the_program_is_no_failure_of_an_item() -> None:
    # `partial(int)` makes a piece of work that takes no such item.
    with pytest.raises(RuntimeError, match=r"in a worker:\nTraceback"):
        list(processes(2).run(partial(partial, int), [Walk("a"), Walk("b")], ignore))


def test_workers_compute_on_one_thread_and_the_rest_stays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    [outcome] = processes(1).run(partial(partial, _threads), ["any"], ignore)
    assert outcome.result == "1 1"
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert "MKL_NUM_THREADS" not in os.environ
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no /proc to read the signals from")
def test_no_worker_hears_ctrl_c(tmp_path: Path) -> None:
    """In a program of its own, where multiprocessing has not begun anything yet."""
    (tmp_path / "program.py").write_text(
        "from functools import partial\n"
        "from inference.workers import Processes\n"
        "from tests.inference.test_workers import _blocked, ignore\n"
        "if __name__ == '__main__':\n"
        "    outcomes = Processes(2, program='test').run(partial(partial, _blocked), list('abcdef'), ignore)\n"
        "    print(*{outcome.result for outcome in outcomes})\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(tmp_path / "program.py")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert ran.stdout == "True\n", ran.stderr


def _blocked(item: str, tell: object) -> bool:
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def _threads(item: str, tell: object) -> str:
    return f"{os.environ['OMP_NUM_THREADS']} {os.environ['MKL_NUM_THREADS']}"
