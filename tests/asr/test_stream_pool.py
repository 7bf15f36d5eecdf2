"""Texts of streams that are scored together: those of each stream alone, and of its file."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

import asr
from asr.scoring import Window
from asr.stream import SpeechEvent
from features import audio
from features.audio import AudioError
from inference.endpoint import NEVER, EndpointRules
from inference.stream_pool import StreamPool

RULES = EndpointRules(after_text=0.3, without_text=1.0)
DEMO = Path(__file__).resolve().parents[2] / "asr" / "demo" / "digits.flac"


def test_events_are_those_of_each_stream_alone_and_texts_those_of_the_file() -> None:
    recognizer = asr.load("digits")
    samples_S, rate = audio.read(DEMO)
    choose = random.Random(0)
    settings = [
        {"rate": rate, "rules": NEVER},
        {"rate": 8000, "rules": RULES},
        {"rate": rate, "rules": RULES, "chunk": 0.8},
        {"rate": rate, "rules": RULES, "search": recognizer.search(beam=4)},
        {"rate": rate, "rules": NEVER, "lookahead": 0.1},
    ]
    # Of one search, which are searched together.
    shared = recognizer.search(hot_words={"seven": 2.0}, beam=8, alternatives=2)
    settings += [{"rate": rate, "rules": rules, "search": shared} for rules in (RULES, NEVER, RULES)]
    sounds = [np.roll(samples_S, -choose.randrange(len(samples_S)) * (k > 0)) for k in range(len(settings))]
    pool = StreamPool(recognizer.model.scorer)
    sessions = [recognizer.stream(**one) for one in settings]
    streams = [pool.open(session) for session in sessions]
    told: list[list[SpeechEvent]] = [[] for _ in streams]
    places, stepped = [0] * len(streams), set()
    while not all(stream.done for stream in streams):
        for k, stream in enumerate(streams):
            if stream.done:
                continue
            block_S = sounds[k][places[k] : places[k] + choose.choice([1, 700, 9000])].copy()
            if len(block_S):
                stream.accept(block_S)
                block_S[:] = 1.0  # the caller's array is the caller's
                places[k] += len(block_S)
            elif places[k] < 10**9:
                stream.finish()
                places[k] = 10**9
            told[k] += stream.read()
        stepped.add(len(pool.step()))
    assert max(stepped) > 2
    for k, stream in enumerate(streams):
        told[k] += stream.read()
        alone = recognizer.stream(**settings[k])
        assert told[k] == alone.push(sounds[k]) + alone.flush()
        assert any(event.final and event.text for event in told[k])
    of_file = recognizer.transcribe(DEMO, window=Window(sessions[0].chunk, sessions[0].lookahead))
    assert [word for event in told[0] if event.final for word in event.words] == list(of_file.words)


def test_samples_that_are_none_are_refused_and_the_stream_goes_on() -> None:
    recognizer = asr.load("digits")
    samples_S, rate = audio.read(DEMO)
    pool = StreamPool(recognizer.model.scorer)
    with pool.open(recognizer.stream(rate=rate)) as stream:
        stream.accept(samples_S[:5000])
        with pytest.raises(AudioError, match="is nan"):
            stream.accept(np.full(100, np.nan, np.float32))
        stream.accept(samples_S[5000:])
        stream.finish()
        while pool.step():
            pass
        alone = recognizer.stream(rate=rate)
        assert stream.read() == alone.push(samples_S) + alone.flush()
