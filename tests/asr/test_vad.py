"""silero-vad's network as a judge of silence: on speech, on silence, at any rate, in any pushes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

import asr
from asr.stream import SpeechSession
from asr.vad import SileroVad, VadError, find_model
from features import audio

DEMO = Path(asr.__file__).parent / "demo" / "digits.flac"
needs_silero = pytest.mark.skipif(
    importlib.util.find_spec("silero_vad") is None, reason="the package silero-vad is not installed"
)


def speech(rate: int) -> np.ndarray:
    return audio.read(DEMO, rate=rate)[0]


def judged(rate: int, blocks: list[np.ndarray], *, step_seconds: float = 0.03) -> np.ndarray:
    vad, step = SileroVad(rate), round(step_seconds * rate)
    for block in blocks:
        vad.push(block)
    return np.array(vad.silent(0, sum(map(len, blocks)) // step, step))


@needs_silero
@pytest.mark.parametrize("rate", [8000, 16000, 22050])
def test_speech_between_silences_is_found(rate: int) -> None:
    silence = np.zeros(3 * rate, np.float32)
    spoken = speech(rate)
    silent = judged(rate, [np.concatenate([silence, spoken, silence])])
    before, after = int(2.8 / 0.03), int((3 + len(spoken) / rate + 0.5) / 0.03)
    assert silent[:before].all()
    assert silent[after:].all()
    assert (~silent[before:after]).mean() > 0.5


@needs_silero
def test_pushes_make_no_difference() -> None:
    samples, rng = speech(16000), np.random.default_rng(0)
    whole = judged(16000, [samples])
    for _ in range(5):
        cuts = np.sort(rng.integers(0, len(samples), 30))
        np.testing.assert_array_equal(judged(16000, np.split(samples, cuts)), whole)


@needs_silero
def test_what_is_let_go_changes_nothing_later_and_is_forgotten() -> None:
    samples, step = speech(16000), 480
    kept, forgetful = SileroVad(16000), SileroVad(16000)
    for start in range(0, len(samples) - step, step):
        for vad in (kept, forgetful):
            vad.push(samples[start : start + step])
        forgetful.let_go(start - 1600)
        first = max(0, start - 1600)
        assert forgetful.silent(first, 3, step) == kept.silent(first, 3, step)
    assert len(forgetful._silent) < 10


@needs_silero
def test_before_anything_is_judged_there_is_silence() -> None:
    vad = SileroVad(16000)
    assert vad.silent(0, 3, 480) == [True] * 3
    vad.push(speech(16000))
    vad.reset()
    assert vad.silent(0, 3, 480) == [True] * 3


@needs_silero
def test_a_session_with_it_finds_the_same_words_for_any_pushes() -> None:
    model, samples = asr.load("digits").model, np.tile(speech(8000), 3)

    def finals(size: int) -> list:
        session = SpeechSession(model, activity=SileroVad(8000))
        events = [e for start in range(0, len(samples), size) for e in session.push(samples[start : start + size])]
        return [event for event in events + session.flush() if event.final]

    assert finals(len(samples)) == finals(397)
    assert finals(397)


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(VadError, match="pip install"):
        find_model()


def test_another_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("not a network")
    with pytest.raises(VadError, match="no network"):
        SileroVad(16000, model=tmp_path / "text.onnx")
    with pytest.raises(VadError, match="another network"):
        SileroVad(16000, model=asr.load("digits").model.directory / "model.onnx")


@needs_silero
def test_the_package_itself_is_not_imported() -> None:
    SileroVad(8000)
    assert "silero_vad" not in sys.modules
