"""`asr listen` as a command: raw samples from a pipe, onto a pipe or a terminal, and what ends it."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import asr
from asr.cli import main
from asr.display import stamp
from asr.stream import SpeechSession
from features import audio
from inference.endpoint import EndpointRules

REPOSITORY = Path(__file__).resolve().parents[2]
DEMO = REPOSITORY / "asr" / "demo" / "digits.flac"
DIGITS = ("--model", "digits")


@pytest.fixture(scope="module")
def demo() -> tuple[np.ndarray, int]:
    return audio.read(DEMO)


def int16(samples: np.ndarray) -> bytes:
    return np.rint(samples * 32768).astype("<i2").tobytes()


def lines_of(samples_S: np.ndarray, rate: int, **settings) -> list[str]:
    """What a session says of these samples, as it is printed."""
    session = SpeechSession(asr.load("digits").model, rate=rate, **settings)
    events = session.push(samples_S) + session.flush()
    return [f"[{stamp(event.start)}] {event.text}" for event in events if event.final]


def words_of(lines: list[str]) -> list[str]:
    return [word for line in lines for word in line.split()[1:]]


def begin(*arguments: object, **settings) -> subprocess.Popen:
    command = [sys.executable, "-P", "-m", "asr", *map(str, arguments)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, **(pipes | settings))


def end(process: subprocess.Popen, given: bytes | None = None) -> tuple[int, list[str], list[str]]:
    """Exit code, lines on standard output, lines on standard error."""
    out, err = process.communicate(given, timeout=60)
    assert b"Traceback" not in err
    return process.returncode, (out or b"").decode().splitlines(), (err or b"").decode().splitlines()


def listen(given: bytes, *arguments: object) -> tuple[int, list[str], list[str]]:
    return end(begin("listen", "--stdin", *DIGITS, *arguments), given)


@pytest.fixture
def listen_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """As `listen`, in this process: what is given is a file that is its standard input."""

    def run(given: bytes, *arguments: object) -> tuple[int, list[str], list[str]]:
        (tmp_path / "given").write_bytes(given)
        capsys.readouterr()
        with open(tmp_path / "given") as stdin, monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", stdin)
            code = main(["listen", "--stdin", *DIGITS, *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out.splitlines(), err.splitlines()

    return run


def wait_for_samples(path: Path, count: int) -> None:
    """Until a recording holds so many."""
    until = time.monotonic() + 30
    while not path.exists() or path.stat().st_size < 44 + 2 * count:
        assert time.monotonic() < until, "it is not recorded"
        time.sleep(0.02)


# --- a pipe -----------------------------------------------------------------------------------------------------------


def test_what_comes_through_a_pipe_is_printed_kept_and_recorded(demo, tmp_path: Path) -> None:
    samples_S, rate = demo
    kept = ("--output", tmp_path / "a.txt", "--record", tmp_path / "a.wav")
    code, out, err = listen(int16(samples_S), *kept)
    assert (code, out) == (0, lines_of(samples_S, rate))
    assert out
    assert (tmp_path / "a.txt").read_text().splitlines() == out
    recorded_S, recorded_rate = audio.read(tmp_path / "a.wav")
    assert recorded_rate == rate
    np.testing.assert_array_equal(recorded_S, samples_S)
    assert err[-2].startswith("listening to standard input with model digits, chunk 420 ms, look-ahead 210 ms; Ctrl-C")
    assert err[-1].startswith(f"0:00:04.4 heard, {len(words_of(out))} words, computing ")
    for unlike in (("--output", tmp_path / "a.txt"), ("--record", tmp_path / "a.wav")):
        code, out, err = listen(int16(samples_S), *unlike)
        assert (code, out, err) == (2, [], [f"asr: {unlike[1]}: is there already; give another name, or remove it"])
    np.testing.assert_array_equal(audio.read(tmp_path / "a.wav")[0], samples_S)


@pytest.mark.parametrize("kind", ["float32", "stereo", "windows"])
def test_types_channels_and_windows(demo, listen_here, kind: str) -> None:
    samples_S, rate = demo
    if kind == "float32":
        code, out, _ = listen_here(samples_S.astype("<f4").tobytes(), "--dtype", "float32", "--rate", rate)
        assert (code, out) == (0, lines_of(samples_S, rate))
    elif kind == "stereo":
        code, out, _ = listen_here(int16(np.repeat(samples_S, 2)), "--channels", 2)
        assert (code, out) == (0, lines_of(samples_S, rate))
    else:
        windows = ("--chunk", "800ms", "--lookahead", "0.1s", "--pause", "300ms")
        code, out, err = listen_here(int16(samples_S[::2]), "--rate", rate // 2, *windows)
        rules = EndpointRules(after_text=0.3)
        assert (code, out) == (0, lines_of(samples_S[::2], rate // 2, chunk=0.8, lookahead=0.1, rules=rules))
        assert "chunk 810 ms, look-ahead 120 ms" in err[-2]


def test_events_as_json(demo, listen_here, tmp_path: Path) -> None:
    code, out, _ = listen_here(int16(demo[0]), "--events", "--output", tmp_path / "a.txt")
    events = [json.loads(line) for line in out]
    finals = [event for event in events if event["final"]]
    assert code == 0
    assert len(events) > len(finals) > 0
    assert all(set(event) == {"start", "end", "text", "confidence", "final", "stable", "words"} for event in events)
    printed = [f"[{stamp(event['start'])}] {event['text']}" for event in finals]
    assert printed == (tmp_path / "a.txt").read_text().splitlines() == lines_of(*demo)


def test_a_pipe_without_sound(listen_here) -> None:
    code, out, err = listen_here(b"")
    assert (code, out, err[-1]) == (0, [], "0:00:00.0 heard, 0 words")


def test_a_pipe_that_ends_within_a_sample(demo, listen_here) -> None:
    code, out, err = listen_here(int16(demo[0]) + b"\0", "--dtype", "int16")
    assert (code, out) == (2, lines_of(*demo)), "what came before is told"
    assert err[-1].startswith("asr: the pipe: ends within a sample (1 bytes of 2 are left)")


@pytest.mark.parametrize("stdin", ["closed", "a terminal"])
def test_nothing_is_piped_in(stdin: str) -> None:
    if stdin == "closed":
        command = f"exec '{sys.executable}' -P -m asr listen --stdin --model digits <&-"
        ran = end(subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE))
    else:
        leader, terminal = pty.openpty()
        ran = end(begin("listen", "--stdin", *DIGITS, stdin=terminal))
        os.close(leader)
        os.close(terminal)
    assert ran[:2] == (2, [])
    assert len(ran[2]) == 1
    assert ran[2][0].startswith("asr: standard input: nothing is piped in; ")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--dtype", "s16"], "the pipe: samples of type s16 are not known"),
        (["--rate", "100"], "the pipe: has 100 samples a second"),
        (["--channels", "0"], "the pipe: has 0 channels"),
        (["--chunk", "0ms"], "--chunk must be more than 0"),
        (["--record", "missing/a.wav"], "missing/a.wav: there is no such folder"),
        (["--output", "missing/a.txt"], "missing/a.txt: there is no such folder"),
        (["--record", "a.mp3"], "a.mp3: sound is recorded as wav"),
        (["--model", "nowhere"], "nowhere: "),
    ],
    ids=str,
)
def test_what_cannot_be_is_one_line_and_leaves_no_files(tmp_path, monkeypatch, capsys, wrong, said) -> None:
    monkeypatch.chdir(tmp_path)
    kept = ["--output", "b.txt", "--record", "b.wav"]
    with open(os.devnull) as empty:
        monkeypatch.setattr(sys, "stdin", empty)
        assert main(["listen", "--stdin", *DIGITS, *kept, *wrong]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"asr: {said}")
    assert not list(tmp_path.iterdir())


# --- Ctrl-C, and worse ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_stopped_while_the_pipe_is_idle(demo, tmp_path: Path, how: signal.Signals) -> None:
    half_S = demo[0][: len(demo[0]) // 2]
    process = begin("listen", "--stdin", *DIGITS, "--output", tmp_path / "a.txt", "--record", tmp_path / "a.wav")
    process.stdin.write(int16(half_S))
    process.stdin.flush()
    wait_for_samples(tmp_path / "a.wav", len(half_S))
    time.sleep(0.2)
    process.send_signal(how)
    process.wait(timeout=30)  # although its input is still open
    code, out, err = end(process)
    np.testing.assert_array_equal(audio.read(tmp_path / "a.wav")[0], half_S)
    assert (tmp_path / "a.txt").read_text().splitlines() == out
    if how == signal.SIGINT:
        assert (code, out) == (0, lines_of(half_S, demo[1])), "the last words too"
        assert err[-1].startswith(f"0:00:02.2 heard, {len(words_of(out))} words, computing ")
    else:
        assert code == -signal.SIGKILL


def test_a_reader_that_goes_away(demo) -> None:
    process = begin("listen", "--stdin", *DIGITS, "--events")
    process.stdout.close()
    process.stdin.write(int16(demo[0])[:60_000])  # no more than a pipe takes at once
    process.stdin.close()
    assert process.wait(timeout=30) == 141
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()


def test_on_a_terminal_finished_lines_stay_and_the_live_line_goes(demo) -> None:
    leader, terminal = pty.openpty()
    process = begin("listen", "--stdin", *DIGITS, stdout=terminal, env=os.environ | {"TERM": "xterm", "COLUMNS": "80"})
    os.close(terminal)
    process.stdin.write(int16(demo[0]))
    process.stdin.close()
    shown = b""
    try:
        while piece := os.read(leader, 65536):
            shown += piece
    except OSError:  # how Linux says that nobody has the terminal open any more
        os.close(leader)
    text, err = shown.decode(), process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(timeout=30) == 0
    for line in lines_of(*demo):
        assert f"{line}\r\n" in text
    assert "\u2591" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), "the cursor is back"
    assert [line.split(" ")[1] for line in err.splitlines()[-2:]] == ["to", "heard,"], "it is no part of the screen"
