"""Streams as `python -m benchmarks` measures them: what they hear, what a step is, and what is judged."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
# Benchmarks are not installed. What is installed comes first.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from benchmarks.measure import Setting, Subject
from benchmarks.peers import Peers
from benchmarks.subjects import streaming
from benchmarks.subjects.transcription import Utterances
from features import audio


def test_many_streams_hear_all_utterances_each_begun_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    paths = [tmp_path / "a.wav", tmp_path / "b.wav"]
    for path, seconds in zip(paths, (1, 2), strict=True):
        audio.write(path, rng.uniform(-0.1, 0.1, 8000 * seconds).astype(np.float32), 8000)
    asked = []
    monkeypatch.setattr(streaming, "utterances", lambda *them: asked.append(them) or Utterances("", paths, ["", ""]))
    with Peers(None) as peers:
        told = (Setting(1, True, 1, peers), Subject("streaming", ""), "digits")
        samples_S = streaming.said(*told, 8000, tmp_path)
    assert asked == [(*told, tmp_path)]
    np.testing.assert_array_equal(samples_S, np.concatenate([audio.read(path, rate=8000)[0] for path in paths]))

    heard: dict[int, list[np.ndarray]] = {}

    class Noted(streaming.StreamPool):
        def open(self, session):
            stream, blocks = super().open(session), heard.setdefault(len(heard), [])
            accept = stream.accept
            stream.accept = lambda samples_S: blocks.append(samples_S) or accept(samples_S)
            return stream

    monkeypatch.setattr(streaming, "StreamPool", Noted)
    crowd = streaming.Crowd(streaming.asr.load("digits"), samples_S, 3, 0.4, 0.2)
    for _ in range(9):
        crowd.round()
    for k in range(3):
        expected_S = np.roll(samples_S, -8000 * k)
        got_S = np.concatenate(heard[k])
        assert len(got_S) > len(expected_S), "it goes round"
        np.testing.assert_array_equal(got_S, np.resize(expected_S, len(got_S)))


def test_a_step_is_all_that_is_scored_after_a_chunk_of_each_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams that an endpoint has put out of step with the others have a batch of their own."""

    class OneByOne(streaming.StreamPool):
        def __init__(self, scorer, *, streams: int, batch: int):
            super().__init__(scorer, streams=streams, batch=1)

    monkeypatch.setattr(streaming, "StreamPool", OneByOne)
    crowd = streaming.Crowd(streaming.asr.load("digits"), np.zeros(8000, np.float32), 3, 0.4, 0.2)
    for _ in range(4):
        crowd.round()
    assert len(crowd.steps) == len(crowd.rounds) == 4
    assert all(0 < step < taken for step, taken in zip(crowd.steps, crowd.rounds, strict=True))


def test_streams_are_judged_by_those_that_there_were() -> None:
    found = [
        streaming.Reached(1, 150.0, 0.01),
        streaming.Reached(128, 300.0, 0.1),
        streaming.Reached(200, 290.0, 0.3),
        streaming.Reached(256, 240.0, 0.9),
    ]
    assert [(aim.value, aim.met) for aim in streaming.aims(found, "", 200)] == [(240, True), (0.3, True)]
    assert [aim.met for aim in streaming.aims([*found[:2], found[3]], "", 200)] == [True, False], (
        "steps of 256 are too long"
    )
    assert [(aim.value, aim.met) for aim in streaming.aims(found[:2], "", 200)] == [(128, False), (0.1, True)]
    assert streaming.aims(found[:2], "", 200)[1].what.endswith("of a step of 128 streams, in seconds"), (
        "nobody saw more"
    )
    assert [aim.met for aim in streaming.aims([streaming.Reached(1, 0.5, 0.8)], "", 200)] == [False, False]
