"""`asr listen` from a real PortAudio device that plays the demo's recording, and where there is none."""

from __future__ import annotations

import runpy
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import asr
from asr.stream import SpeechSession
from features import audio

REPOSITORY = Path(__file__).resolve().parents[2]
VIRTUAL = runpy.run_path(str(REPOSITORY / "tests" / "virtual_microphone.py"))
virtual_microphone, environment, why_not = VIRTUAL["virtual_microphone"], VIRTUAL["environment"], VIRTUAL["why_not"]
pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")


@pytest.fixture(scope="module")
def demo() -> tuple[np.ndarray, int]:
    return audio.read(REPOSITORY / "asr" / "demo" / "digits.flac")


def begin(env: dict[str, str], *arguments: object) -> subprocess.Popen:
    command = [sys.executable, "-P", "-m", "asr", "listen", "--model", "digits", *map(str, arguments)]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(process: subprocess.Popen) -> tuple[int, list[str], list[str]]:
    """Exit code, lines on standard output, lines on standard error."""
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    return process.returncode, out.splitlines(), err.splitlines()


def words_of(lines: list[str]) -> list[str]:
    return [word for line in lines for word in line.split()[1:]]


def words_in(path: Path) -> list[str]:
    """What a session hears in a recording at its own rate."""
    samples_S, rate = audio.read(path)
    session = SpeechSession(asr.load("digits").model, rate=rate)
    events = session.push(samples_S) + session.flush()
    return session.transcript(events, duration=len(samples_S) / rate).text.split()


def test_from_the_microphone_to_words_until_ctrl_c(demo, tmp_path: Path) -> None:
    samples_S, rate = demo
    half_S = samples_S[: len(samples_S) // 2]
    with virtual_microphone(half_S, rate) as microphone:
        kept = ("--record", tmp_path / "a.wav", "--output", tmp_path / "a.txt")
        process = begin(microphone.env, "--device", microphone.name, *kept)
        microphone.wait_until_played()
        process.send_signal(signal.SIGINT)
        code, out, err = end(process)
    assert code == 0, err
    words = words_of(out)
    assert words == words_in(tmp_path / "a.wav")
    assert words
    assert (tmp_path / "a.txt").read_text().splitlines() == out
    assert audio.info(tmp_path / "a.wav").duration > len(half_S) / rate
    assert err[-2].startswith(f"listening to {microphone.name} with model digits, ")
    assert f" heard, {len(words)} words, computing " in err[-1]
    assert not any("lost" in line for line in err)


def test_unplugged_in_the_middle(demo, tmp_path: Path) -> None:
    samples_S, rate = demo
    with virtual_microphone(samples_S[: len(samples_S) // 3], rate) as microphone:
        process = begin(microphone.env, "--device", microphone.name, "--record", tmp_path / "a.wav")
        microphone.wait_until_played()
        microphone.unplug()
        code, out, err = end(process)
    assert code == 2
    assert err[-1] == f"asr: {microphone.name}: has stopped, as if unplugged: plug it in and start again"
    assert [line for line in err if microphone.name in line and line.startswith("asr: ")] == err[-1:]
    assert words_of(out) == words_in(tmp_path / "a.wav")
    assert words_of(out)


def test_microphones_are_listed_and_chosen(demo) -> None:
    with virtual_microphone(*demo, names=["desk", "studio"]) as microphone:
        code, out, err = end(begin(microphone.env, "--list-devices"))
        assert (code, err) == (0, [])
        assert [line[:14] for line in out] == ["   0  desk (32", "   1  studio (", "*  2  default "]
        assert all(line.endswith(" channels, 44100 Hz, ALSA)") for line in out)
        code, out, err = end(begin(microphone.env, "--device", "radio"))
        listed = "0 (desk, ALSA), 1 (studio, ALSA), 2 (default, ALSA)"
        assert (code, out, err) == (2, [], [f"asr: there is no microphone 'radio': choose among {listed}"])


@pytest.mark.parametrize("arguments", [[], ["--list-devices"], ["--record", "a.wav", "--output", "a.txt"]], ids=str)
def test_a_machine_without_microphone(tmp_path: Path, arguments: list[str]) -> None:
    arguments = [str(tmp_path / name) if "." in name else name for name in arguments]
    (tmp_path / "sound").mkdir()
    code, out, err = end(begin(environment(tmp_path / "sound"), *arguments))
    assert (code, out, len(err)) == (2, [], 1)
    assert err[0].startswith("asr: no microphone was found")
    assert [path.name for path in tmp_path.iterdir()] == ["sound"]
