"""A stream equals the recording: features, scores and events, for any grouping of the frames."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.landmarks import LandmarkError, Landmarks, joined
from gestures.joining import join_clips
from gestures.recognizer import Recognizer
from gestures.spotting import SpotRules
from gestures.stream import GestureSession
from inference import model as models
from inference.beam import prefix_beam
from inference.ctc import greedy
from inference.model import ModelError
from inference.pooling import PoolStream, pool
from inference.session import Event

EAGER = SpotRules(enter=0.5, exit=0.3, hold_ms=80, margin=0.0, cooldown_ms=200)


@pytest.fixture(scope="module")
def stream(clip: Callable[..., Landmarks]) -> Landmarks:
    """A dozen gestures, on a camera that does not keep its pace, with frames in which the hand is lost."""
    rng = np.random.default_rng(0)
    labels = rng.choice(["circle", "raise", "wave"], size=12)
    clips = [clip(label, seed=900 + k) for k, label in enumerate(labels)]
    whole, _ = join_clips(clips, rng.uniform(0.3, 1.2, size=13), rng)
    presence_TK = np.array(whole.presence_TK)
    presence_TK[rng.random(len(whole)) < 0.1] = 0
    time_T = whole.time_T + rng.uniform(0, 0.015, size=len(whole))
    return whole.with_frames(whole.coordinates_TKC, presence_TK, time_T + 5.0)


@pytest.fixture(scope="module")
def recognizers(moves_recognizer: Recognizer, untrained: Callable[..., Path]) -> dict[str, Recognizer]:
    sequence = untrained(("<blank>", "circle", "raise", "wave"), models.CTC, seed=3)
    return {"spotting": moves_recognizer, "sequence": Recognizer.open(sequence)}


def pushed(session: GestureSession, stream: Landmarks, cuts: list[int]) -> list[Event]:
    borders = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    events = []
    for first, last in pairwise(borders):
        events += session.push(stream[first:last])
    return events + session.flush()


@settings(max_examples=settings.default.max_examples // 3)
@given(
    kind=st.sampled_from(["spotting", "sequence"]),
    cuts=st.lists(st.integers(0, 700), max_size=12),
    chunk=st.sampled_from([0.08, 0.2, 0.64]),
    lookahead=st.sampled_from([0.0, 0.16]),
)
def test_any_grouping_of_frames_gives_the_same_events(kind, cuts, chunk, lookahead, recognizers, stream) -> None:
    session = recognizers[kind].stream(chunk=chunk, lookahead=lookahead, rules=EAGER if kind == "spotting" else None)
    whole = pushed(session, stream, [])
    assert whole, "there is something to compare"
    assert pushed(session, stream, cuts) == whole


@pytest.mark.parametrize("kind", ["spotting", "sequence"])
def test_frame_by_frame_gives_the_same_events(kind: str, recognizers, stream: Landmarks) -> None:
    session = recognizers[kind].stream()
    assert pushed(session, stream, list(range(len(stream)))) == pushed(session, stream, [])


def test_events_are_those_of_the_parts_put_together_by_hand(recognizers, stream: Landmarks) -> None:
    """Features of the whole, scores in windows, pools of every window, then the state machine."""
    from gestures.spotting import Spotter

    model = recognizers["spotting"].model
    session = GestureSession(model, chunk=0.32, lookahead=0.16, rules=EAGER)
    frames_TF = model.extractor(stream)
    fps = model.extractor.config.fps
    evidence_TE = model.scorer.windowed([frames_TF], chunk=round(0.32 * fps), lookahead=round(0.16 * fps))
    assert len(evidence_TE) == len(frames_TF)
    window, hop = round(model.head["window_ms"] / 1000 * fps), max(1, round(model.head["hop_ms"] / 1000 * fps))
    ends = list(range(hop, len(evidence_TE) + 1, hop))
    probabilities = [pool(evidence_TE[max(0, end - window) : end]) for end in ends]
    spotter = Spotter(EAGER, model.labels)
    times = stream.time_T[0] + np.array(ends) * model.step_seconds
    expected = [*spotter.push(times, np.array(probabilities)), *spotter.flush()]
    assert pushed(session, stream, [100, 101, 300]) == expected
    pools = PoolStream(labels=len(model.labels), window=window, hop=hop).push(evidence_TE)
    np.testing.assert_array_equal(pools.probabilities_NV, probabilities)


@pytest.mark.parametrize("beam", [0, 8])
def test_signs_are_those_of_a_search_over_all_scores(beam: int, recognizers, stream: Landmarks) -> None:
    """However long no label comes: nothing is cut while a sign may be going on."""
    model = recognizers["sequence"].model
    still = stream.with_frames(
        np.repeat(stream.coordinates_TKC[-1:], 250, axis=0), np.ones((250, len(stream.points))), np.arange(250) / 25
    )
    long = joined([stream, still.moved(stream.time_T[-1] + 0.04), stream.moved(stream.duration + 12.0)])
    frames_TF = model.extractor(long)
    fps = model.extractor.config.fps
    scores_TV = model.scorer.windowed([frames_TF], chunk=round(0.32 * fps), lookahead=round(0.16 * fps))
    labels = prefix_beam(scores_TV, beam=beam)[0].labels if beam else [one.label for one in greedy(scores_TV)]
    session = GestureSession(model, chunk=0.32, lookahead=0.16, beam=beam)
    assert [event.text for event in pushed(session, long, [7, 300])] == [model.labels[label] for label in labels]
    assert len(labels) > 3


def test_a_sign_is_told_once_its_label_has_gone_by(recognizers, stream: Landmarks) -> None:
    session = recognizers["sequence"].stream(chunk=0.08, lookahead=0.0)
    told = [(event, time) for t, time in enumerate(stream.time_T) for event in session.push(stream[t : t + 1])]
    assert len(told) > 2
    assert all(time - event.end <= session.delay + 0.1 for event, time in told)


def test_a_trained_model_finds_the_gestures(moves_recognizer: Recognizer, clip: Callable[..., Landmarks]) -> None:
    rng = np.random.default_rng(1)
    labels = ["wave", "circle", "raise", "raise", "wave", "circle"]
    whole, places = join_clips([clip(label, seed=500 + k) for k, label in enumerate(labels)], [0.8] * 7, rng)
    events = [event for event in pushed(moves_recognizer.stream(), whole, []) if event.final]
    assert [event.text for event in events] == labels
    for event, (start, end) in zip(events, places, strict=True):
        assert event.start < end + 0.3
        assert event.end > start


def test_flush_and_reset_begin_anew(recognizers, stream: Landmarks) -> None:
    for recognizer in recognizers.values():
        session = recognizer.stream()
        first = pushed(session, stream, [])
        session.push(stream[:50])
        session.reset()
        assert pushed(session, stream, [33]) == first


def test_times_are_those_of_the_stream(recognizers, stream: Landmarks) -> None:
    for recognizer in recognizers.values():
        session = recognizer.stream()
        early, late = pushed(session, stream, []), pushed(session, stream.moved(1000.0), [])
        assert [event.text for event in early] == [event.text for event in late]
        starts = [[event.start for event in events] for events in (early, late)]
        np.testing.assert_allclose(np.subtract(*starts[::-1]), 1000.0, atol=1e-6)
        assert all(stream.time_T[0] <= event.start <= event.end for event in early)


def test_nothing_and_nobody(recognizers, stream: Landmarks) -> None:
    nobody = stream.with_frames(stream.coordinates_TKC, np.zeros_like(stream.presence_TK), stream.time_T)
    for recognizer in recognizers.values():
        assert recognizer.stream().flush() == []
        session = recognizer.stream()
        assert session.push(stream[:0]) == []
        assert session.flush() == []
        assert len(pushed(session, nobody[:1], [])) <= 1
        pushed(session, nobody, [])


def test_time_that_goes_backwards_is_refused(recognizers, stream: Landmarks) -> None:
    session = recognizers["spotting"].stream()
    session.push(stream[10:20])
    with pytest.raises(LandmarkError):
        session.push(stream[:5])


def test_a_model_without_none_names_clips_and_watches_no_stream(untrained: Callable[..., Path], stream) -> None:
    recognizer = Recognizer.open(untrained(("circle", "raise", "wave")))
    assert not recognizer.spots
    with pytest.raises(ModelError, match=r"not what is none.*--head\.none true"):
        recognizer.stream()
    answer = recognizer.classify(stream)
    assert answer.label in ("circle", "raise", "wave")
    assert sum(answer.probabilities.values()) == pytest.approx(1)
    assert recognizer.classify(stream, threshold=1.0).label == "none"


def test_a_model_of_speech_is_refused() -> None:
    from asr.shipped import find

    with pytest.raises(ModelError, match="recognises speech, not gestures; use `asr transcribe`"):
        Recognizer.open(find("digits"))


def test_a_clip_is_named_by_the_exported_graph_alone(moves_recognizer: Recognizer, clip) -> None:
    for label in ("circle", "raise", "wave"):
        right = sum(moves_recognizer.classify(clip(label, seed=700 + k)).label == label for k in range(5))
        assert right >= 4
    with pytest.raises(LandmarkError, match="without a frame"):
        moves_recognizer.classify(clip("wave")[:0])
    assert moves_recognizer.classify(clip("wave")[:1]).confidence > 0
