"""Several processes: every item once whatever dies, mistakes told in a line, and nobody left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import asr
from asr.task import Heard, Recording, Settings, Transcriber
from asr.workers import Failure, Here, Processes, WorkerError
from features import audio

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of this kind are not there")
DEMO = Path(asr.__file__).parent / "demo" / "digits.flac"
TEXT = "three one four one five nine two six"
TIMES = 60


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some minutes, so that it is still being heard when its first seconds are reported."""
    samples, rate = audio.read(DEMO)
    path = tmp_path_factory.mktemp("long") / "long.wav"
    audio.write(path, np.tile(samples, TIMES), rate)
    return path


def recordings(*files: Path) -> list[Recording]:
    return [Recording(str(file), f"{number}:{file.name}", str(number)) for number, file in enumerate(files)]


def ignore(item: Recording, seconds: float) -> None:
    pass


def kill_all() -> None:
    for process in multiprocessing.active_children():
        os.kill(process.pid, signal.SIGKILL)


BEGIN = partial(Transcriber, Settings(model="digits"))


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker processes find the functions of this file, too; the installed package comes first all the same."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(Path(__file__).parents[2])])


@pytest.mark.parametrize("pool", [Here(), Processes(2)], ids=["here", "processes"])
def test_each_item_has_one_outcome_and_its_seconds_are_reported(pool, long: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_text("no sound")
    items = recordings(DEMO, long, tmp_path / "bad.wav", DEMO, tmp_path / "absent.wav")
    heard: dict[Recording, list[float]] = {}
    outcomes = list(pool.run(BEGIN, items, lambda item, seconds: heard.setdefault(item, []).append(seconds)))
    assert sorted(outcome.item for outcome in outcomes) == sorted(items)
    results = {outcome.item: outcome.result for outcome in outcomes}
    assert results[items[0]] == results[items[3]] == Heard(TEXT + "\n")
    assert results[items[1]].printed.count("three one") == TIMES
    assert "is a text file" in results[items[2]].line
    assert "absent.wav" in results[items[4]].line
    for item in items[:2]:
        assert heard[item] == sorted(heard[item])
        assert 0 < heard[item][-1] <= audio.info(item.file).duration + 1e-6
    assert not multiprocessing.active_children()


def test_an_item_whose_worker_is_killed_is_done_again(long: Path) -> None:
    items, killed = recordings(long, DEMO), []

    def heard(item: Recording, seconds: float) -> None:
        if not killed:
            killed.append(item)
            kill_all()

    outcomes = list(Processes(1).run(BEGIN, items, heard))
    assert killed == [items[0]]
    assert [outcome.item for outcome in outcomes] == items
    assert all(isinstance(outcome.result, Heard) for outcome in outcomes)


def test_an_item_that_kills_every_worker_is_listed_and_the_others_are_done(long: Path) -> None:
    items, killed = recordings(DEMO, long, DEMO), []

    def heard(item: Recording, seconds: float) -> None:
        if item == items[1]:
            killed.append(seconds)
            kill_all()

    results = {outcome.item: outcome.result for outcome in Processes(1).run(BEGIN, items, heard)}
    assert len(killed) == 2
    assert results[items[0]] == results[items[2]] == Heard(TEXT + "\n")
    assert results[items[1]] == Failure(
        f"{items[1]}: the process that heard it was ended by signal 9; the machine may be out of memory, "
        "and so did another one"
    )


@pytest.mark.slow
def test_one_of_two_workers_is_killed_half_way(long: Path) -> None:
    items = recordings(*[DEMO] * 5, long, *[DEMO] * 5)
    outcomes = []
    for outcome in Processes(2).run(BEGIN, items, ignore):
        outcomes.append(outcome)
        if len(outcomes) == 4:
            os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
    assert sorted(outcome.item for outcome in outcomes) == sorted(items)
    assert all(isinstance(outcome.result, Heard) for outcome in outcomes)


def test_who_stops_asking_ends_the_workers(long: Path) -> None:
    with closing(Processes(2).run(BEGIN, recordings(DEMO, long, long), ignore)) as run:
        next(run)
        assert multiprocessing.active_children()
    assert not multiprocessing.active_children()


def test_workers_that_cannot_begin(tmp_path: Path) -> None:
    begin = partial(Transcriber, Settings(model=str(tmp_path / "none")))
    with pytest.raises(WorkerError, match="neither a shipped model"):
        list(Processes(2).run(begin, recordings(DEMO, DEMO), ignore))
    with pytest.raises(WorkerError, match=r"cannot load the model: the last one ended with code 3; take fewer --jobs"):
        list(Processes(2).run(partial(os._exit, 3), recordings(DEMO, DEMO), ignore))
    assert not multiprocessing.active_children()


@pytest.mark.usefixtures("importable")
def test_a_worker_that_dies_while_it_loads_is_not_missed(tmp_path: Path, capsys) -> None:
    """The first to begin makes a file and dies of it; the others find it and go on."""
    begin = partial(_dies_once, str(tmp_path / "died"))
    outcomes = list(Processes(2).run(begin, ["a", "b", "c"], ignore))
    assert sorted(outcome.item for outcome in outcomes) == ["a", "b", "c"]
    said = "asr: a worker process ended with code 4 while it loaded the model; going on with fewer\n"
    assert capsys.readouterr().err == said


def _dies_once(path: str):
    mine = Path(f"{path}.{os.getpid()}")
    mine.write_text(str(os.getpid()))
    try:
        os.link(mine, path)
    except FileExistsError:
        # Not before its death is noticed, or all the work might be done by then.
        dead = int(Path(path).read_text())
        until(lambda: not exists(dead))
        return _threads
    os._exit(4)


def test_a_mistake_of_the_program_is_no_failure_of_an_item() -> None:
    # `partial(int)` makes a piece of work that takes no recording.
    with pytest.raises(RuntimeError, match=r"in a worker:\nTraceback"):
        list(Processes(2).run(partial(partial, int), recordings(DEMO, DEMO), ignore))


@pytest.mark.usefixtures("importable")
def test_workers_compute_on_one_thread_and_the_rest_stays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    [outcome] = Processes(1).run(partial(partial, _threads), ["any"], ignore)
    assert outcome.result == "1 1"
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert "MKL_NUM_THREADS" not in os.environ
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no /proc to read the signals from")
@pytest.mark.usefixtures("importable")
def test_no_worker_hears_ctrl_c(tmp_path: Path) -> None:
    """In a program of its own, where multiprocessing has not begun anything yet."""
    (tmp_path / "program.py").write_text(
        "from functools import partial\n"
        "from asr.workers import Processes\n"
        "from tests.asr.test_workers import _blocked, ignore\n"
        "if __name__ == '__main__':\n"
        "    outcomes = Processes(2).run(partial(partial, _blocked), list('abcdef'), ignore)\n"
        "    print(*{outcome.result for outcome in outcomes})\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(tmp_path / "program.py")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert ran.stdout == "True\n", ran.stderr


def _blocked(item: str, heard: object) -> bool:
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def _threads(item: str, heard: object) -> str:
    return f"{os.environ['OMP_NUM_THREADS']} {os.environ['MKL_NUM_THREADS']}"


@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_nobody_is_left_behind(tmp_path: Path, long: Path, how: signal.Signals) -> None:
    """Ctrl-C reaches the whole group, as in a terminal; a killed program can tell nobody, and its workers notice."""
    for number in range(40):
        (tmp_path / f"{number:02d}.wav").symlink_to(long)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "asr", "transcribe", tmp_path, "--jobs", "2", "--output", out]
    with subprocess.Popen(
        [*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as running:
        until(lambda: list(out.glob("*.txt")))
        if how == signal.SIGINT:
            os.killpg(running.pid, how)
        else:
            running.kill()
        said = running.communicate(timeout=120)
    until(lambda: not alive(running.pid))
    assert 0 < len(list(out.glob("*.txt"))) < 40
    assert all(path.read_text().count("three one") == TIMES for path in out.glob("*.txt"))
    if how == signal.SIGINT:
        assert (running.returncode, *said) == (130, b"", b"asr: stopped\n")
        assert all(path.suffix == ".txt" for path in out.iterdir())


def exists(process: int) -> bool:
    """Whether there is such a process, were it that its parent has not taken note of its end."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def until(met, *, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
