"""`asr transcribe --streaming`: files heard as a live stream would be, with a report on the delays."""

from __future__ import annotations

import re
import runpy
import shutil
import time
from pathlib import Path

import pytest

import asr
from asr.cli import main
from asr.formats import to_json
from asr.stream import SpeechSession
from asr.transcript import Transcript
from features import audio
from inference.endpoint import EndpointRules

call = runpy.run_path(str(Path(__file__).resolve().parents[1] / "command_line.py"))["calling"](main, "transcribe")

DEMO = Path(__file__).resolve().parents[2] / "asr" / "demo" / "digits.flac"
DIGITS = ("--model", "digits")


def streamed(source: object, **settings) -> Transcript:
    """What a session makes of a file."""
    model = asr.load("digits").model
    samples_S, rate = audio.read(source, rate=model.extractor.rate)
    session = SpeechSession(model, **settings)
    events = session.push(samples_S) + session.flush()
    return session.transcript(events, duration=len(samples_S) / rate)


def check_report(err: str, source: Path, words: int, *, chunk: int = 420, lookahead: int = 210) -> None:
    assert len(err.splitlines()) == 5, err
    assert re.fullmatch(
        re.escape(f"{source}: chunk {chunk} ms, look-ahead {lookahead} ms: algorithmic latency ")
        + rf"{chunk + lookahead} ms\n"
        rf"word end to first shown: median -?\d+ ms, 95 % within \d+ ms \({words}\)\n"
        r"end of speech to final text: median \d+ ms, 95 % within \d+ ms \(\d+\)\n"
        r"words taken back: \d+, \d+\.\d\d\d a second\n"
        r"computing: \d+\.\d\d % of the time that the sound lasts\n",
        err,
    ), err


def test_words_are_the_sessions_and_a_report_follows(capsys) -> None:
    expected = streamed(DEMO)
    code, out, err = call(capsys, DEMO, *DIGITS, "--streaming")
    assert (code, out) == (0, f"{expected.text}\n")
    check_report(err, DEMO, len(expected.words))


def test_windows_and_rules_are_passed_on(capsys) -> None:
    expected = streamed(DEMO, chunk=0.1, lookahead=0.4, rules=EndpointRules(after_text=0.2))
    code, out, err = call(
        capsys, DEMO, *DIGITS, "--streaming", "--chunk", "100ms", "--lookahead=0.4s", "--pause=0.2s", "--format=json"
    )
    assert code == 0
    assert out == to_json(expected)
    check_report(err, DEMO, len(expected.words), chunk=120, lookahead=420)


def test_at_the_pace_of_a_microphone(capsys, tmp_path: Path) -> None:
    part = tmp_path / "part.wav"
    audio.write(part, *audio.read(DEMO, duration=1.5))
    begun = time.monotonic()
    code, out, err = call(capsys, part, *DIGITS, "--streaming", "--realtime")
    expected = streamed(part)
    assert time.monotonic() - begun >= expected.duration
    assert (code, out) == (0, f"{expected.text}\n")
    # A busy machine may say so.
    check_report(re.sub(r"^asr: .* behind: .*\n", "", err, flags=re.MULTILINE), part, len(expected.words))


def test_one_bad_file_among_several(capsys, tmp_path: Path) -> None:
    shutil.copy(DEMO, tmp_path / "a.flac")
    (tmp_path / "b.wav").write_text("no sound")
    code, out, err = call(capsys, tmp_path, *DIGITS, "--streaming")
    assert (code, out) == (1, f"{tmp_path / 'a.flac'}: {streamed(DEMO).text}\n")
    assert err.splitlines()[-2] == "asr: 1 of 2 files failed:"
    assert err.splitlines()[-1].startswith(f"  {tmp_path / 'b.wav'}: ")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--realtime"], "asr: --realtime goes with --streaming"),
        (["--streaming", "--chunk", "0ms"], "asr: --chunk must be more than 0"),
        (["--streaming", "--pause", "0ms"], "asr: --pause must be more than 0"),
        (["--streaming", "--chunk", "fast"], "argument --chunk: 'fast' is not a time; write 400ms or 0.4s"),
        (["--streaming", "--chunk=-1s"], "argument --chunk: '-1s' is not a time"),
        (["--streaming", "--lookahead", "nan"], "argument --lookahead: 'nan' is not a time"),
    ],
    ids=str,
)
def test_what_cannot_be_is_one_line(capsys, wrong: list[str], said: str) -> None:
    code, out, err = call(capsys, DEMO, *wrong)
    assert (code, out) == (2, "")
    assert said in err.splitlines()[-1]
