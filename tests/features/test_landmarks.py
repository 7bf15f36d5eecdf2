"""Landmarks: what they refuse, and that selecting, cutting, mirroring and joining keep every point where it was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.landmarks import (
    BODY,
    EITHER_HAND,
    LEFT_HAND,
    PERSON,
    RIGHT_HAND,
    LandmarkError,
    Landmarks,
    joined,
    mirror_name,
)

POINTS = ("nose", "left_wrist", "right_wrist", "left_hand_index_tip")


def example(
    frames: int = 6, *, seed: int = 0, start: float = 0.0, points: tuple[str, ...] = POINTS, **more: object
) -> Landmarks:
    """Points in an image of 640 x 480, about a third of them absent."""
    rng = np.random.default_rng(seed)
    presence_TK = rng.uniform(0.1, 1.0, (frames, len(points))) * (rng.random((frames, len(points))) > 0.3)
    coordinates_TKC = rng.uniform(0, 480, (frames, len(points), 3))
    more = {"size": (640, 480), **more}
    return Landmarks(coordinates_TKC, presence_TK, start + np.arange(frames) / 25, points, **more)


def assert_same(one: Landmarks, other: Landmarks) -> None:
    np.testing.assert_array_equal(one.coordinates_TKC, other.coordinates_TKC)
    np.testing.assert_array_equal(one.presence_TK, other.presence_TK)
    np.testing.assert_array_equal(one.time_T, other.time_T)
    assert (one.points, one.size, one.mirrored) == (other.points, other.size, other.mirrored)


def test_a_person_has_57_points_of_distinct_names() -> None:
    assert len(BODY) == 15
    assert len(LEFT_HAND) == len(RIGHT_HAND) == len(EITHER_HAND) == 21
    assert len(set(PERSON)) == len(PERSON) == 57
    assert {mirror_name(name) for name in PERSON} == set(PERSON)
    assert tuple(map(mirror_name, LEFT_HAND)) == RIGHT_HAND


def test_what_is_absent_has_no_place() -> None:
    landmarks = Landmarks(np.ones((2, 1, 3)), [[0.5], [0.0]], [0.0, 0.04], ("nose",))
    assert np.isnan(landmarks.coordinates_TKC).tolist() == [[[False] * 3], [[True] * 3]]


def test_landmarks_are_copied_and_do_not_change() -> None:
    coordinates_TKC = np.ones((2, 1, 3), dtype=np.float32)
    landmarks = Landmarks(coordinates_TKC, np.ones((2, 1)), [0.0, 0.04], ("nose",))
    coordinates_TKC[:] = 7
    assert (landmarks.coordinates_TKC == 1).all()
    with pytest.raises(ValueError, match="read-only"):
        landmarks.coordinates_TKC[:] = 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coordinates_TKC": np.ones((2, 2, 2))}, "do not fit 2 points"),
        ({"coordinates_TKC": np.ones((3, 2, 3))}, "do not fit"),
        ({"presence_TK": np.ones(2)}, "do not fit"),
        ({"time_T": [[0.0], [0.04]]}, "do not fit"),
        ({"points": ("nose", "left_eye", "right_eye")}, "do not fit 3 points"),
        ({"points": ("nose", "nose")}, "two points are named 'nose'"),
        ({"time_T": [0.0, 0.0]}, "rise"),
        ({"time_T": [0.04, 0.0]}, "rise"),
        ({"time_T": [0.0, np.nan]}, "finite"),
        ({"time_T": [0.0, np.inf]}, "finite"),
        ({"presence_TK": np.full((2, 2), 1.1)}, "from 0 to 1"),
        ({"presence_TK": np.full((2, 2), -0.1)}, "from 0 to 1"),
        ({"presence_TK": np.full((2, 2), np.nan)}, "from 0 to 1"),
        ({"coordinates_TKC": np.full((2, 2, 3), np.nan)}, "no finite numbers"),
        ({"coordinates_TKC": np.full((2, 2, 3), np.inf)}, "no finite numbers"),
    ],
)
def test_what_cannot_be_landmarks_is_refused(change: dict[str, object], message: str) -> None:
    right = {
        "coordinates_TKC": np.ones((2, 2, 3)),
        "presence_TK": np.ones((2, 2)),
        "time_T": [0.0, 0.04],
        "points": ("nose", "left_eye"),
    }
    Landmarks(**right)
    with pytest.raises(LandmarkError, match=message):
        Landmarks(**{**right, **change})


def test_duration_counts_the_last_frame_too() -> None:
    assert example(25).duration == pytest.approx(1.0)
    assert example(25, start=100.0).duration == pytest.approx(1.0)
    assert example(1, start=3.0).duration == 0.04
    assert example(0).duration == 0.0
    uneven = Landmarks(np.ones((4, 1, 3)), np.ones((4, 1)), [0.0, 0.1, 0.2, 1.2], ("nose",))
    assert uneven.duration == pytest.approx(1.3)  # the median of 0.1, 0.1 and 1.0 s


def test_select_takes_points_by_name_and_marks_as_absent_what_is_not_there() -> None:
    landmarks = example()
    chosen = landmarks.select(["right_wrist", "left_ear", "nose"])
    assert chosen.points == ("right_wrist", "left_ear", "nose")
    for k, column in ((0, 2), (2, 0)):
        np.testing.assert_array_equal(chosen.coordinates_TKC[:, k], landmarks.coordinates_TKC[:, column])
        np.testing.assert_array_equal(chosen.presence_TK[:, k], landmarks.presence_TK[:, column])
    assert not chosen.presence_TK[:, 1].any()
    assert np.isnan(chosen.coordinates_TKC[:, 1]).all()
    assert_same(landmarks.select(landmarks.points), landmarks)
    assert landmarks.select([]).presence_TK.shape == (6, 0)


def test_between_takes_the_start_and_leaves_the_end() -> None:
    landmarks = example()
    times = landmarks.time_T
    assert_same(landmarks.between(times[1], times[4]), landmarks[1:4])
    assert_same(landmarks.between(times[1] - 0.01, times[4] + 0.01), landmarks[1:5])
    assert_same(landmarks.between(-1, 100), landmarks)
    assert len(landmarks.between(0.05, 0.06)) == 0
    assert landmarks.between(times[1], times[4]).time_T.tolist() == times[1:4].tolist()


@given(st.integers(0, 2**32 - 1), st.sampled_from([(640, 480), (1, 1), None]))
def test_flipped_twice_is_as_before(seed: int, size: tuple[int, int] | None) -> None:
    landmarks = example(seed=seed, points=PERSON, size=size)
    twice = landmarks.flipped().flipped()
    np.testing.assert_allclose(twice.coordinates_TKC, landmarks.coordinates_TKC, atol=1e-4)
    np.testing.assert_array_equal(twice.presence_TK, landmarks.presence_TK)
    assert twice.points == landmarks.points


def test_flipping_counts_x_from_the_other_side_and_swaps_the_hands() -> None:
    landmarks = example(points=("nose", "left_wrist", "right_wrist"))
    flipped = landmarks.flipped()
    assert flipped.points == landmarks.points
    for k, other in ((0, 0), (1, 2), (2, 1)):
        was = landmarks.coordinates_TKC[:, other]
        np.testing.assert_array_equal(flipped.presence_TK[:, k], landmarks.presence_TK[:, other])
        np.testing.assert_array_equal(
            flipped.coordinates_TKC[:, k], was * np.float32([-1, 1, 1]) + np.float32([640, 0, 0])
        )


def test_unmirrored_is_what_another_camera_sees() -> None:
    seen = example(points=PERSON)
    selfie = Landmarks(**{**_fields(seen.flipped()), "mirrored": True})
    assert not selfie.unmirrored().mirrored
    np.testing.assert_allclose(selfie.unmirrored().coordinates_TKC, seen.coordinates_TKC, atol=1e-4)
    np.testing.assert_array_equal(selfie.unmirrored().presence_TK, seen.presence_TK)
    assert seen.unmirrored() is seen


def _fields(landmarks: Landmarks) -> dict[str, object]:
    return {
        name: getattr(landmarks, name)
        for name in ("coordinates_TKC", "presence_TK", "time_T", "points", "size", "mirrored")
    }


def test_joined_pieces_are_the_whole() -> None:
    landmarks = example(9)
    assert_same(joined([landmarks[:2], landmarks[2:3], landmarks[3:3], landmarks[3:]]), landmarks)


def test_what_does_not_follow_is_not_joined() -> None:
    landmarks = example(4)
    with pytest.raises(LandmarkError, match="nothing to join"):
        joined([])
    with pytest.raises(LandmarkError, match="select the same points"):
        joined([landmarks, landmarks.select(["nose"])])
    with pytest.raises(LandmarkError, match="rise"):
        joined([landmarks[2:], landmarks[:2]])


def test_a_hand_alone_becomes_the_other_hand() -> None:
    rng = np.random.default_rng(5)
    right = Landmarks(rng.uniform(0, 640, (4, 21, 3)), np.ones((4, 21)), np.arange(4) / 25, RIGHT_HAND, (640, 480))
    left = right.flipped()
    assert left.points == LEFT_HAND
    np.testing.assert_allclose(left.coordinates_TKC[..., 0], 640 - right.coordinates_TKC[..., 0], rtol=1e-6)
    np.testing.assert_array_equal(left.coordinates_TKC[..., 1:], right.coordinates_TKC[..., 1:])
    assert left.flipped().points == RIGHT_HAND
