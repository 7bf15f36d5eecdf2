"""Gestures of streams that are scored together are those of each stream alone."""

from __future__ import annotations

from pathlib import Path

import pytest

import gestures
from features import landmark_files
from features.landmarks import LandmarkError
from gestures.stream import GestureSession
from inference.stream_pool import StreamPool

DEMO = Path(__file__).resolve().parents[2] / "gestures" / "demo" / "hand.pose"


def test_events_are_those_of_each_stream_alone() -> None:
    model = gestures.load("hands").model
    landmarks = landmark_files.read(DEMO)
    pool = StreamPool(model.scorer)
    firsts = (0, 17, 40)
    streams = [pool.open(GestureSession(model)) for _ in firsts]
    told = [[] for _ in streams]
    stepped = set()
    for start in range(0, len(landmarks), 9):
        for stream, first, events in zip(streams, firsts, told, strict=True):
            if len(piece := landmarks[first + start : first + start + 9]):
                stream.accept(piece)
            events += stream.read()
        stepped.add(len(pool.step()))
    with pytest.raises(LandmarkError, match="backwards"):
        streams[0].accept(landmarks)
    assert 0 < streams[1].waiting < landmarks.duration
    for stream in streams:
        stream.finish()
    while pool.step():
        pass
    assert max(stepped) > 1
    assert streams[1].waiting == 0
    for stream, first, events in zip(streams, firsts, told, strict=True):
        alone = GestureSession(model)
        assert events + stream.read() == alone.push(landmarks[first:]) + alone.flush()
    assert any(event.final for event in told[0])
