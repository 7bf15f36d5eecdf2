"""`asr transcribe --jobs`: recordings in several processes, told by seconds, and nobody left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import asr
from asr.task import Heard, Recording, Settings, Transcriber
from asr.together import AT_ONCE, InBatches
from features import audio
from inference.workers import Here, Processes, WorkerError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of this kind are not there")
DEMO = Path(asr.__file__).parent / "demo" / "digits.flac"
TEXT = "three one four one five nine two six"
TIMES = 60
SEVERAL = 10  # long enough to be transcribed in pieces: a batch of short recordings is finished at once


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some minutes, so that it is still being heard when its first seconds are reported."""
    samples, rate = audio.read(DEMO)
    path = tmp_path_factory.mktemp("long") / "long.wav"
    audio.write(path, np.tile(samples, TIMES), rate)
    return path


def recordings(*files: Path) -> list[Recording]:
    return [Recording(str(file), f"{number}:{file.name}", str(number)) for number, file in enumerate(files)]


@pytest.mark.parametrize(
    "pool",
    [Here(), InBatches(), Processes(2, program="asr"), Processes(2, program="asr", at_once=AT_ONCE)],
    ids=["here", "together", "processes", "processes together"],
)
def test_each_recording_has_one_outcome_and_its_seconds_are_told(pool, long: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_text("no sound")
    items = recordings(DEMO, long, tmp_path / "bad.wav", DEMO, tmp_path / "absent.wav")
    heard: dict[Recording, list[float]] = {}
    begin = partial(Transcriber, Settings(model="digits"))
    outcomes = list(pool.run(begin, items, lambda item, seconds: heard.setdefault(item, []).append(seconds)))
    assert sorted(outcome.item for outcome in outcomes) == sorted(items)
    results = {outcome.item: outcome.result for outcome in outcomes}
    assert results[items[0]] == results[items[3]] == Heard(TEXT + "\n")
    assert results[items[1]].printed.count("three one") == TIMES
    assert "is a text file" in results[items[2]].line
    assert "absent.wav" in results[items[4]].line
    for item in items[:2]:
        assert heard[item] == sorted(heard[item])
        assert 0 < heard[item][-1] <= audio.info(item.file).duration + 1e-6


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    begin = partial(Transcriber, Settings(model=str(tmp_path / "none")))
    with pytest.raises(WorkerError, match="neither a shipped model"):
        list(Processes(2, program="asr").run(begin, recordings(DEMO, DEMO), lambda item, seconds: None))


@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_nobody_is_left_behind(tmp_path: Path, how: signal.Signals) -> None:
    """Ctrl-C reaches the whole group, as in a terminal; a killed program can tell nobody, and its workers notice."""
    samples, rate = audio.read(DEMO)
    audio.write(tmp_path / "00.wav", np.tile(samples, SEVERAL), rate)
    for number in range(1, 40):
        (tmp_path / f"{number:02d}.wav").symlink_to(tmp_path / "00.wav")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "asr", "transcribe", tmp_path, "--model", "digits", "--jobs", "2", "--output", out]
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
    assert all(path.read_text().count("three one") == SEVERAL for path in out.glob("*.txt"))
    if how == signal.SIGINT:
        assert (running.returncode, *said) == (130, b"", b"asr: stopped\n")
        assert all(path.suffix == ".txt" for path in out.iterdir())


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
