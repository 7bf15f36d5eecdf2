"""Streams made of clips: the clips are in them as they were, where they are said to be, and rest is restful."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.landmarks import Landmarks
from gestures.joining import JoinConfig, join_clips
from gestures.windows import HARDLY, MOST, draw, label_of, windows
from training.manifests import Segment

POINTS = ("left_wrist", "right_wrist", "nose")


def clip(frames: int, seed: int = 0, fps: float = 25.0, start: float = 0.0) -> Landmarks:
    rng = np.random.default_rng(seed)
    coordinates_TKC = np.cumsum(rng.standard_normal((frames, 3, 3)), axis=0) + 100
    presence_TK = np.ones((frames, 3))
    presence_TK[:, 1] = rng.random(frames) < 0.7
    return Landmarks(coordinates_TKC, presence_TK, start + np.arange(frames) / fps, POINTS, size=(640, 480))


@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_clips_stand_in_the_stream_as_they_were(lengths: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    clips = [clip(length, number, start=3.7 * number) for number, length in enumerate(lengths)]
    pauses = rng.uniform(0.1, 1.5, size=len(clips) + 1)
    stream, places = join_clips(clips, pauses, rng)
    assert stream.size == (640, 480)
    assert (np.diff(stream.time_T) > 0).all()
    for one, (start, end) in zip(clips, places, strict=True):
        inside = stream.between(start - 1e-6, end - 1e-6)
        np.testing.assert_array_equal(inside.coordinates_TKC, one.coordinates_TKC)
        np.testing.assert_array_equal(inside.presence_TK, one.presence_TK)
        np.testing.assert_allclose(inside.time_T - start, one.time_T - one.time_T[0], atol=1e-9)
        assert end - start == pytest.approx(one.duration)
    borders = [0.0, *(time for place in places for time in place), stream.time_T[0] + stream.duration]
    rests = [end - start for start, end in zip(borders[::2], borders[1::2], strict=True)]
    np.testing.assert_allclose(rests, pauses, atol=0.021)  # whole frames of 40 ms


def test_the_way_from_one_clip_to_the_next_is_gentle() -> None:
    one, other = clip(10, 1), clip(10, 2)
    stream, places = join_clips([one, other], [0.2, 1.0, 0.2], np.random.default_rng(0))
    way = stream.between(places[0][1] - 0.05, places[1][0] + 0.05)
    jump = np.abs(other.coordinates_TKC[0, 0] - one.coordinates_TKC[-1, 0]).max()
    assert np.abs(np.diff(way.coordinates_TKC[:, 0], axis=0)).max() < 0.5 * jump


def test_what_neither_clip_has_is_absent_in_between() -> None:
    gone = clip(5).with_frames(clip(5).coordinates_TKC, np.array([[1, 0, 1]] * 5), clip(5).time_T)
    stream, _ = join_clips([gone, gone], [0.4, 0.4, 0.4], np.random.default_rng(0))
    assert (stream.presence_TK[:, 1] == 0).all()
    assert (stream.presence_TK[:, [0, 2]] == 1).all()


def test_same_draws_same_stream() -> None:
    one, other = (join_clips([clip(9)], [0.5, 0.5], np.random.default_rng(7))[0] for _ in range(2))
    np.testing.assert_array_equal(one.coordinates_TKC, other.coordinates_TKC)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"share": 1.5}, "join.share is 1.5"),
        ({"clips": (0, 3)}, "join.clips is"),
        ({"clips": (3, 2)}, "join.clips is"),
        ({"pause_ms": (0, 100)}, "join.pause_ms is"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        JoinConfig(**settings)


# --- labels of windows ------------------------------------------------------------------------------------------------

WAVE, CLAP = Segment(1.0, 2.0, "wave"), Segment(2.4, 3.0, "clap")


@pytest.mark.parametrize(
    ("start", "end", "label"),
    [
        (0.0, 1.0, "none"),
        (0.0, 1.25, "none"),  # a quarter of the gesture
        (0.0, 1.5, None),
        (0.0, 1.75, "wave"),  # three quarters
        (1.2, 1.6, "wave"),  # all of the window
        (1.0, 2.9, "clap"),  # both are in it: the one that has just been made
        (2.05, 2.45, "none"),
        (3.0, 9.0, "none"),
    ],
)
def test_a_window_has_the_label_of_what_it_mostly_holds(start: float, end: float, label: str | None) -> None:
    assert label_of(start, end, [WAVE, CLAP]) == label
    # What is labelled `none` is none.
    assert label_of(start, end, [WAVE, CLAP, Segment(0.0, 9.0, "none")]) == label


def test_windows_stand_at_every_hop_and_have_labels_by_their_shares() -> None:
    found = windows(4.0, [WAVE, CLAP], window=0.8, hop=0.1, shortest=0.4)
    assert all(end - start <= 0.8 + 1e-9 and end - start >= 0.4 - 1e-9 for start, end, _ in found)
    assert {round(end / 0.1, 6) % 1 for _, end, _ in found} == {0.0}
    for start, end, label in found:
        shares = {
            one.label: max(0.0, min(end, one.end) - max(start, one.start)) / min(one.end - one.start, end - start)
            for one in (WAVE, CLAP)
        }
        assert shares[label] >= MOST - 1e-9 if label != "none" else max(shares.values()) <= HARDLY + 1e-9
    assert {label for *_, label in found} == {"none", "wave", "clap"}


def test_drawn_windows_are_even_over_labels() -> None:
    found = [(0.0, 1.0, "none")] * 50 + [(0.0, 1.0, "wave")] * 5 + [(0.0, 1.0, "clap")]
    drawn = draw(found, 7, np.random.default_rng(0))
    labels = [found[index][2] for index in drawn]
    assert (labels.count("none"), labels.count("wave"), labels.count("clap")) == (3, 3, 1)
    assert len(set(drawn)) == 7
    assert draw(found, 100, np.random.default_rng(0)) == list(range(56))
