"""`asr transcribe` on many files: which are meant, which are finished, what fails, and what is shown."""

from __future__ import annotations

import io
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import asr
from asr import transcribe
from asr.cli import main
from asr.progress import AudioProgress, hours
from asr.sources import expand
from features import audio
from inference.workers import Outcome, WorkerError, attempt

# The smaller of the shipped models: nothing here depends on which one it is.
DIGITS = ("--model", "digits")
COMMANDS = runpy.run_path(str(Path(__file__).resolve().parents[1] / "command_line.py"))
called = COMMANDS["calling"](main, "transcribe", *DIGITS)

DEMO = Path(asr.__file__).parent / "demo" / "digits.flac"
TEXT = "three one four one five nine two six"
needs_limits = pytest.mark.skipif(sys.platform == "win32", reason="no limits of this kind there")


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, list[str]]:
    """Exit code, standard output, lines on standard error."""
    code, out, err = called(capsys, *arguments)
    return code, out, err.splitlines()


@pytest.fixture
def talks(tmp_path: Path) -> Path:
    """Three recordings, one in a subfolder."""
    folder = tmp_path / "talks"
    for name in ("a.flac", "b.flac", "deep/c.flac"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(DEMO, folder / name)
    return folder


# --- which are meant --------------------------------------------------------------------------------------------------


def test_patterns(talks: Path) -> None:
    shutil.copy(talks / "a.flac", talks / "[x].flac")
    (talks / "notes.txt").write_text("no sound")
    for pattern, names in {
        "*.flac": ["[x].flac", "a.flac", "b.flac"],
        "[ab].*": ["a.flac", "b.flac"],
        "[x].flac": ["[x].flac"],
        "?.flac": ["a.flac", "b.flac"],
        "*/c.*": ["deep/c.flac"],
        "d*": ["deep/c.flac"],
        "**/*.flac": ["[x].flac", "a.flac", "b.flac", "deep/c.flac"],
        "**": ["[x].flac", "a.flac", "b.flac", "deep/c.flac"],
        "*": ["[x].flac", "a.flac", "b.flac", "deep/c.flac"],
    }.items():
        failed: list[str] = []
        found = expand([str(talks / pattern)], failed)
        assert (sorted(os.path.relpath(name, talks) for name in found), failed) == (names, []), pattern
        assert expand([str(talks), str(talks / pattern)], failed) == expand([str(talks)], failed)
    for pattern in ("*.wav", "*.txt", "none/**"):
        failed = []
        assert expand([str(talks / pattern)], failed) == []
        assert failed[0].startswith(f"{talks / pattern}: no sound files match (looked for .")


def test_a_pattern_and_a_list_on_the_command_line(capsys, talks: Path, tmp_path: Path) -> None:
    code, out, err = call(capsys, talks / "**" / "*.flac")
    assert (code, err) == (0, [])
    assert out.splitlines() == [f"{talks / name}: {TEXT}" for name in ("a.flac", "b.flac", "deep/c.flac")]
    (tmp_path / "list.txt").write_text(f"{talks / 'b.flac'}\n\n{talks / 'deep'}\n")
    code, out, err = call(capsys, "--files-from", tmp_path / "list.txt")
    assert (code, err) == (0, [])
    assert out.splitlines() == [f"{talks / name}: {TEXT}" for name in ("b.flac", "deep/c.flac")]
    (tmp_path / "empty.txt").write_text("\n")
    assert call(capsys, "--files-from", tmp_path / "empty.txt") == (
        2, "", [f"asr: {tmp_path / 'empty.txt'}: names no files"],
    )  # fmt: skip
    assert call(capsys, "--files-from", DEMO)[::2] == (
        2,
        [f"asr: {DEMO}: is not a list of files: give a text file with the name of a recording on each line"],
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ([DEMO, "--jobs", 0], "--jobs is 0; give 1 or more"),
        ([DEMO, "--jobs", 2, "--ray", "auto"], "choose one"),
        ([DEMO, "--overwrite"], "--overwrite goes with --output"),
        ([DEMO, "--segments", "decoder", "--streaming"], "leave --segments out"),
        ([DEMO, "--segments", "decoder", "--chunk", "1s"], "--chunk goes with --streaming"),
        ([DEMO, "--pause", "1s"], "--pause goes with --streaming or --segments"),
        (["-", DEMO, "--jobs", 2], "standard input is heard by this process alone"),
    ],
    ids=str,
)
def test_what_cannot_be_is_one_line(capsys, wrong: list, said: str) -> None:
    code, out, [line] = call(capsys, *wrong)
    assert (code, out) == (2, "")
    assert said in line


# --- several processes ------------------------------------------------------------------------------------------------


def test_several_processes_print_and_write_what_one_does(capsys, talks: Path, tmp_path: Path) -> None:
    """In the order of the files, of which the first takes longest."""
    samples, rate = audio.read(DEMO)
    audio.write(talks / "0.wav", np.tile(samples, 8), rate)
    (talks / "bad.wav").write_text("no sound")
    options = ("--segments", "decoder", "--format", "json")
    alone = call(capsys, talks, *options)
    assert alone[0] == 1
    assert call(capsys, talks, *options, "--jobs", 2) == alone
    call(capsys, talks, "--output", tmp_path / "one")
    call(capsys, talks, "--output", tmp_path / "two", "--jobs", 2)
    written = [{path.name: path.read_text() for path in (tmp_path / name).iterdir()} for name in ("one", "two")]
    assert written[0] == written[1]
    assert len(written[0]) == 4


def test_segments_are_lines(capsys, talks: Path) -> None:
    code, out, err = call(capsys, talks / "a.flac", "--segments", "decoder")
    assert (code, out, err) == (0, "three one four one five\nnine two six\n", [])
    code, out, _ = call(capsys, talks / "[ab].flac", "--segments", "decoder")
    assert out.splitlines() == [
        f"{talks / name}.flac: {line}" for name in "ab" for line in ("three one four one five", "nine two six")
    ]
    code, out, _ = call(capsys, talks / "a.flac", "--segments", "decoder", "--pause", "9s")
    assert out == TEXT + "\n"


# --- what is finished -------------------------------------------------------------------------------------------------


def test_what_is_finished_is_passed_over(capsys, talks: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = (talks, "--output", out, "--format", "txt", "json")
    assert call(capsys, *command) == (0, "", [])
    made = {path: path.stat().st_mtime_ns for path in out.iterdir()}

    def redone(*more: object) -> tuple[int, list[str]]:
        """How many files were passed over, and which results are new; the others are as they were."""
        code, printed, err = call(capsys, *command, *more)
        assert (code, printed) == (0, "")
        new = [path for path in out.iterdir() if path.stat().st_mtime_ns != made.get(path)]
        made.update((path, path.stat().st_mtime_ns) for path in new)
        return int(re.match(r"asr: (\d) of 3 files are passed over: ", err[0])[1]) if err else 0, sorted(
            path.name for path in new
        )

    assert redone() == (3, [])
    (out / "b.json").unlink()
    assert redone() == (2, ["b.json", "b.txt"])
    later = time.time() + 0.5
    os.utime(talks / "a.flac", (later, later))
    time.sleep(0.6)
    assert redone() == (2, ["a.json", "a.txt"])
    assert redone("--jobs", 2) == (3, [])
    assert redone("--overwrite") == (0, ["a.json", "a.txt", "b.json", "b.txt", "c.json", "c.txt"])


def test_a_newer_model_makes_them_anew(capsys, talks: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(asr.load("digits").model.directory, tmp_path / "model"))
    command = (talks / "a.flac", "--output", tmp_path / "out", "--model", model)
    assert call(capsys, *command) == (0, "", [])
    assert len(call(capsys, *command)[2]) == 1
    later = time.time() + 10
    os.utime(model / "model.onnx", (later, later))
    assert call(capsys, *command) == (0, "", [])


def test_beside_the_recordings_what_is_newer_stays_and_nothing_is_replaced(capsys, talks: Path) -> None:
    assert call(capsys, talks, "--output", talks)[0] == 0
    shutil.copy(DEMO, talks / "new.flac")
    assert call(capsys, talks, "--output", talks)[0] == 0
    assert (talks / "new.txt").read_text() == TEXT + "\n"
    (talks / "a.txt").write_text("by hand")
    assert call(capsys, talks, "--output", talks)[0] == 0
    for options in (["--overwrite"], []):
        if not options:
            os.utime(talks / "a.txt", (0, 0))
        code, _, err = call(capsys, talks, "--output", talks, *options)
        assert code == 2
        assert "a.txt: is there already, beside the recording" in err[0]
    assert (talks / "a.txt").read_text() == "by hand"


# --- bad input --------------------------------------------------------------------------------------------------------


def test_an_unreadable_file_among_hundreds(capsys, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    samples, rate = audio.read(DEMO, duration=0.2)
    audio.write(tmp_path / "short.wav", samples, rate)
    for number in range(300):
        os.link(tmp_path / "short.wav", folder / f"{number:03d}.wav")
    (folder / "150.wav").unlink()
    (folder / "150.wav").write_bytes(b"RIFF")
    code, out, err = call(capsys, folder, "--output", tmp_path / "out")
    assert (code, out, len(err)) == (1, "", 2)
    assert err[0] == "asr: 1 of 300 files failed:"
    assert err[1].startswith(f"  {folder / '150.wav'}: ")
    assert {path.stem for path in (tmp_path / "out").iterdir()} == {f"{n:03d}" for n in range(300)} - {"150"}
    code, _, err = call(capsys, folder, "--output", tmp_path / "out")
    assert (code, len(err)) == (1, 3)
    assert err[0].startswith("asr: 299 of 300 files are passed over")


def test_a_link_to_a_recording_that_is_gone_is_a_failure(capsys, talks: Path) -> None:
    (talks / "b.flac").unlink()
    (talks / "b.flac").symlink_to(talks / "gone.flac")
    for asked in (talks, talks / "*.flac"):
        code, out, err = call(capsys, asked, talks / "deep" / "c.flac")
        assert (code, len(out.splitlines())) == (1, 2)
        assert err == ["asr: 1 of 3 files failed:", f"  {talks / 'b.flac'}: no such file: check the path"]


def run(script: str, *arguments: object) -> subprocess.CompletedProcess:
    """A shell script, to which `$transcribe` is the command."""
    environment = {**os.environ, "transcribe": f"{sys.executable} -m asr transcribe {' '.join(DIGITS)}"}
    command = ["sh", "-c", script, "sh", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_full_disk_stops_the_run_and_leaves_whole_files(talks: Path, tmp_path: Path, jobs: int) -> None:
    """A file system in memory with room for two files, in a name space of its own."""
    for number in range(20):
        shutil.copy(DEMO, talks / f"z{number:02d}.flac")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = 'mount -t tmpfs -o size=8k none "$2" || exit 99; '
    shown = 'code=$?; ls -A "$2"; cat "$2"/*; exit $code'
    ran = run(
        f"unshare --mount --map-root-user sh -c '{mount} $transcribe \"$1\" --jobs $3 --output \"$2\"; {shown}' "
        'sh "$@" || exit $?',
        talks, disk, jobs,
    )  # fmt: skip
    if shutil.which("unshare") is None or ran.returncode == 99 or "unshare failed" in ran.stderr:
        pytest.skip("no file system may be mounted here")
    assert ran.returncode == 1
    err, names = ran.stderr.splitlines(), ran.stdout.splitlines()
    assert len(names) == 4
    assert names[2:] == [TEXT, TEXT]
    assert all(name.endswith(".txt") for name in names[:2]), "and nothing half"
    failures = int(re.match(r"asr: (\d) of 23 files failed:", err[0])[1])
    assert 1 <= failures <= jobs
    assert all(re.fullmatch(rf"  {disk}/\w+\.txt: No space left on device", line) for line in err[1 : 1 + failures])
    told = err[1 + failures]
    assert told == (
        f"asr: stopped: there is no room left in {disk}; make some; then the same command goes on from here. "
        f"Not done, {23 - 2 - failures}:"
    )
    assert len(err) == 2 + failures + 23 - 2 - failures
    assert err[-1] == f"  {talks / 'z19.flac'}"


@needs_limits
def test_a_file_that_may_not_grow_so_large_is_its_own_failure(talks: Path, tmp_path: Path) -> None:
    samples, rate = audio.read(DEMO)
    audio.write(talks / "aa.wav", np.tile(samples, 20), rate)
    ran = run('ulimit -f 8; $transcribe "$1" --format json --output "$2"', talks, tmp_path / "out")
    assert ran.returncode == 1
    assert ran.stderr.splitlines() == ["asr: 1 of 4 files failed:", f"  {tmp_path / 'out' / 'aa.json'}: File too large"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.json", "b.json", "c.json"]


@pytest.mark.parametrize("by", ["none", "decoder"])
def test_silence_and_a_moment_are_empty_and_noise_is_words_within_it(
    capsys, tmp_path: Path, shared_data: Path, by: str
) -> None:
    audio.write(tmp_path / "silence.wav", np.zeros(80_000, np.float32), 8000)
    audio.write(tmp_path / "moment.wav", audio.read(DEMO, start=0.5, duration=0.02)[0], audio.info(DEMO).rate)
    for name in ("silence", "moment"):
        assert call(capsys, tmp_path / f"{name}.wav", "--segments", by) == (0, "\n", [])
    sounds = [path for path in sorted((shared_data / "noise-esc10").rglob("*")) if path.suffix in audio.SUFFIXES][:12]
    assert sounds
    code, out, err = call(capsys, *sounds, "--segments", by, "--format", "json")
    assert (code, err, len(out.splitlines())) == (0, [], len(sounds))
    for line, path in zip(out.splitlines(), sounds, strict=True):
        words = [word for segment in json.loads(line)["segments"] for word in segment["words"]]
        assert all(0 <= word["start"] <= word["end"] <= audio.info(path).duration + 0.001 for word in words)


class _Deserted:
    """A pool that loses its last worker when it has done all but the first and the last item."""

    def run(self, begin, items, tell):
        work = begin()
        for item in items[1:-1]:
            yield Outcome(item, attempt(work, item, lambda seconds: None))
        raise WorkerError("nobody is left; add a machine")


def test_nobody_is_left_half_way(capsys, talks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was heard is printed, though not what comes before it, and the rest is named."""
    shutil.copy(DEMO, talks / "z.flac")
    monkeypatch.setattr(transcribe, "_pool", lambda *_: _Deserted())
    code, out, err = call(capsys, talks)
    assert code == 1
    assert out.splitlines() == [f"{talks / name}: {TEXT}" for name in ("b.flac", "deep/c.flac")]
    assert err == [
        "asr: stopped: nobody is left; add a machine; what is printed above is whole. Not done, 2:",
        f"  {talks / 'a.flac'}",
        f"  {talks / 'z.flac'}",
    ]
    (talks / "b.flac").unlink()
    (talks / "deep" / "c.flac").unlink()
    assert call(capsys, talks) == (2, "", ["asr: nobody is left; add a machine"])


# --- progress ---------------------------------------------------------------------------------------------------------


def test_one_bar_counts_the_sound_of_all() -> None:
    shown = io.StringIO()
    progress = AudioProgress(
        {"a": 3600.0, "b": 1800.0, "bad": 0.0}, Console(file=shown, force_terminal=True, width=100)
    )
    assert (progress.heard, progress.total) == (0, 5400)
    with progress:
        progress.hear("a", 600)
        progress.hear("b", 900)
        progress.hear("a", 1200)
        assert progress.heard == 2100
        progress.hear("a", 0)  # its worker died, and it is begun anew
        assert progress.heard == 900
        progress.end("b")
        progress.end("bad")
        progress.hear("a", 3700)  # longer than its header says
        assert (progress.heard, progress.total) == (5500, 5500)
        progress.end("a")
    assert (progress.heard, progress.total) == (5500, 5500)
    assert "3/3 files" in shown.getvalue()
    assert "1:31:40 of 1:31:40 of sound" in shown.getvalue()


def test_hours() -> None:
    assert [hours(seconds) for seconds in (0, 59.6, 3600, 36_000.2)] == ["0:00:00", "0:01:00", "1:00:00", "10:00:00"]


@pytest.mark.skipif(sys.platform == "win32", reason="no terminals of this kind there")
def test_the_bar_is_on_the_terminal_and_the_words_are_where_they_were_sent(
    talks: Path, tmp_path: Path, on_terminal
) -> None:
    command = [sys.executable, "-m", "asr", "transcribe", str(talks), *DIGITS, "--jobs", "2"]
    code, shown = on_terminal(command, tmp_path / "words.txt")
    assert code == 0
    lines = (tmp_path / "words.txt").read_text().splitlines()
    assert lines == [f"{talks / name}: {TEXT}" for name in ("a.flac", "b.flac", "deep/c.flac")]
    assert b"3/3 files" in shown
    assert b"three" not in shown
