"""The shipped model at work as people meet it: on the recording that ships with it, on silence, and on a stream."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import asr
from asr.shipped import DEFAULT, names
from asr.stream import SpeechSession
from features import audio

DEMO = Path(asr.__file__).parent / "demo" / "digits.flac"
SAID = "three one four one five nine two six"
RATE = 8000


def finals(samples_S: np.ndarray, **settings) -> list[str]:
    session = SpeechSession(asr.load(DEFAULT).model, rate=RATE, **settings)
    events = [*session.push(samples_S), *session.flush()]
    return [event.text for event in events if event.final]


def test_the_default_is_shipped_and_was_trained_to_listen() -> None:
    assert DEFAULT in names()
    assert asr.load(DEFAULT).model.latency is not None


def test_the_recording_is_recognised_whole() -> None:
    assert asr.load(DEFAULT).transcribe(DEMO).text == SAID


@pytest.mark.parametrize(("chunk", "lookahead"), [(0.8, 0.4), (0.4, 0.2), (0.2, 0.1)])
def test_the_recording_is_recognised_as_a_stream_with_silence_around_it(chunk: float, lookahead: float) -> None:
    samples_S, _ = audio.read(DEMO, rate=RATE)
    silence_S = np.zeros(3 * RATE, np.float32)
    heard = finals(np.concatenate([silence_S, samples_S, silence_S]), chunk=chunk, lookahead=lookahead)
    assert " ".join(heard) == SAID


@pytest.mark.parametrize("level", [0.0, 1e-5, 1e-4, 1e-3, 1e-2])
def test_a_minute_of_silence_or_hiss_is_no_word(level: float) -> None:
    hiss_S = level * np.random.default_rng(0).standard_normal(60 * RATE)
    assert finals(hiss_S.astype(np.float32)) == []
