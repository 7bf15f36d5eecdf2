"""The shipped models as people meet them: on the recording that ships with them, on silence, and on a stream."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest

import asr
from asr.shipped import DEFAULT, names
from features import audio

DEMO = Path(asr.__file__).parent / "demo" / "digits.flac"
SAID = "three one four one five nine two six"
RATE = 8000
MODELS = pytest.mark.parametrize("name", names())
load = functools.cache(asr.load)  # each model once


def finals(name: str, samples_S: np.ndarray, **settings) -> list[str]:
    session = load(name).stream(rate=RATE, **settings)
    events = [*session.push(samples_S), *session.flush()]
    return [event.text for event in events if event.final]


def test_the_default_is_shipped() -> None:
    assert DEFAULT in names()


@MODELS
def test_every_model_was_trained_to_listen(name: str) -> None:
    assert load(name).model.latency is not None


@MODELS
def test_the_recording_is_recognised_whole(name: str) -> None:
    assert load(name).transcribe(DEMO).text == SAID


@MODELS
@pytest.mark.parametrize(("chunk", "lookahead"), [(0.8, 0.4), (0.4, 0.2), (0.2, 0.1)])
def test_the_recording_is_recognised_as_a_stream_with_silence_around_it(
    name: str, chunk: float, lookahead: float
) -> None:
    samples_S, _ = audio.read(DEMO, rate=RATE)
    silence_S = np.zeros(3 * RATE, np.float32)
    heard = finals(name, np.concatenate([silence_S, samples_S, silence_S]), chunk=chunk, lookahead=lookahead)
    assert " ".join(heard) == SAID


@MODELS
@pytest.mark.parametrize(
    "level", [0.0, pytest.param(1e-5, marks=pytest.mark.slow), 1e-4, pytest.param(1e-3, marks=pytest.mark.slow), 1e-2]
)
def test_a_minute_of_silence_or_hiss_is_no_word(name: str, level: float) -> None:
    hiss_S = level * np.random.default_rng(0).standard_normal(60 * RATE)
    assert finals(name, hiss_S.astype(np.float32)) == []
