"""A short run of the fuzzer, and that it sees what it is there to see."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "fuzz_audio.py"


@pytest.fixture
def fuzzer(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    return importlib.import_module("fuzz_audio")


def test_sixty_damaged_files_end_in_samples_or_in_one_line(tmp_path):
    arguments = ["--cases", "60", "--seed", "1", "--keep", str(tmp_path / "failures")]
    done = subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "60 cases, 0 failures" in done.stdout
    assert not (tmp_path / "failures").exists()


def test_the_same_seed_makes_the_same_files(fuzzer, tmp_path):
    seeds = fuzzer.make_seeds(tmp_path)
    assert {path.suffix for path in seeds} >= {".wav", ".flac", ".ogg", ".opus", ".mp3"}
    rng = fuzzer.np.random.default_rng
    made = [fuzzer.mutate(seeds, rng([0, number])) for number in range(50)]
    assert made == [fuzzer.mutate(seeds, rng([0, number])) for number in range(50)]
    originals = {path.read_bytes() for path in seeds}
    assert sum(data in originals for data, _, _ in made) < 10


@pytest.mark.parametrize(
    ("script", "strict", "problem"),
    [
        ("print('text')", True, ""),
        ("sys.exit('a.wav: is empty: record it again')", True, ""),
        ("print('note', file=sys.stderr)", True, "noise on standard error"),
        ("print('note', file=sys.stderr)", False, ""),
        ("1 / 0", True, "traceback"),
        ("sys.exit('two\\nlines')", True, "exit code 1 with 2 lines on standard error"),
        ("sys.exit(2)", True, "exit code 2 with 0 lines on standard error"),
        ("sys.exit(3)", True, "exit code 3"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", True, "process died with -11"),
        ("time.sleep(60)", True, "hung for 1 s"),
    ],
)
def test_bad_endings_are_seen(fuzzer, monkeypatch, tmp_path, script, strict, problem):
    monkeypatch.setattr(fuzzer, "TIME_LIMIT", 1.0)
    program = tmp_path / "program.py"
    program.write_text(f"import os, signal, sys, time\n{script}\n")
    ending = fuzzer.run_command(f"{sys.executable} {program} {{}}", tmp_path / "a.wav")
    assert fuzzer.judge(ending, strict=strict) == problem


def test_a_child_that_dies_or_hangs_is_replaced(fuzzer, monkeypatch, tmp_path):
    good, pipe = tmp_path / "good.wav", tmp_path / "pipe"
    good.write_bytes(fuzzer.make_seeds(tmp_path)[0].read_bytes())
    child = fuzzer.Child("read", tmp_path, 0)
    try:
        assert child.run(good) == fuzzer.Ending(0, "", "")
        child._process.kill()
        assert child.run(good).problem == "process died with -9"
        assert child.run(good) == fuzzer.Ending(0, "", "")
        monkeypatch.setattr(fuzzer, "TIME_LIMIT", 1.0)
        subprocess.run(["mkfifo", pipe], check=True)  # opening it waits for a writer, forever
        assert child.run(pipe).problem == "hung for 1 s"
        monkeypatch.undo()
        assert child.run(good) == fuzzer.Ending(0, "", "")
    finally:
        child.close()


def test_failing_files_are_kept_with_a_note(tmp_path):
    arguments = ["--cases", "3", "--command", "false", "--keep", str(tmp_path)]
    done = subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True)
    assert done.returncode == 1
    assert "3 cases, 3 failures" in done.stdout
    notes = list(tmp_path.glob("*.txt"))
    assert len(notes) == 3
    assert len(list(tmp_path.iterdir())) == 6
    assert "exit code 1 with 0 lines" in notes[0].read_text()
