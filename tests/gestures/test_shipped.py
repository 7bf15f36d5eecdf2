"""The shipped model as people meet it: on the landmarks that ship with it; nearer, elsewhere, of another hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import gestures
from features import landmark_files
from features.landmarks import Landmarks
from gestures.shipped import DEFAULT, FOLDER, names

DEMO = Path(gestures.__file__).parent / "demo" / "hand.pose"
DONE = ["open", "close", "point", "clockwise"]
LARGEST = 8_000_000  # bytes


@pytest.fixture(scope="module")
def hand() -> Landmarks:
    return landmark_files.read(DEMO)


def seen(landmarks: Landmarks, **settings) -> list[str]:
    return [one.label for one in gestures.load(DEFAULT).recognize(landmarks, **settings).gestures]


def placed(hand: Landmarks, *, scale: float = 1.0, turn: float = 0.0, shift: tuple[float, float] = (0, 0)) -> Landmarks:
    """The hand nearer, turned in the image plane (degrees), and elsewhere."""
    sine, cosine = np.sin(np.radians(turn)), np.cos(np.radians(turn))
    coordinates_TKC = np.array(hand.coordinates_TKC)
    coordinates_TKC[..., :2] = scale * coordinates_TKC[..., :2] @ np.array([[cosine, sine], [-sine, cosine]]) + shift
    return hand.with_frames(coordinates_TKC, hand.presence_TK, hand.time_T)


def test_the_default_is_shipped_small_and_trained_to_watch() -> None:
    assert DEFAULT in names()
    model = gestures.load(DEFAULT).model
    assert model.latency is not None
    assert model.labels[0] == "none"
    assert sum(path.stat().st_size for path in (FOLDER / DEFAULT).iterdir()) < LARGEST


@pytest.mark.parametrize("settings", [{}, {"chunk": 0.2, "lookahead": 0.1}, {"chunk": 0.1, "lookahead": 0.1}], ids=str)
def test_the_landmarks_are_recognised_at_any_latency(hand: Landmarks, settings: dict) -> None:
    assert seen(hand, **settings) == DONE


@pytest.mark.parametrize(
    "place", [{"scale": 0.5}, {"scale": 2.0}, {"turn": 15}, {"turn": -15}, {"shift": (400, -100)}], ids=str
)
def test_where_the_hand_is_does_not_matter(hand: Landmarks, place: dict) -> None:
    assert seen(placed(hand, **place)) == DONE


def test_the_left_hand_will_do_and_turns_the_other_way(hand: Landmarks) -> None:
    """Flipped, the right hand is a left one and what it draws is drawn the other way round."""
    assert seen(hand.flipped()) == [*DONE[:3], "counterclockwise"]


def test_a_mirrored_picture_is_set_right(hand: Landmarks) -> None:
    mirrored = hand.flipped()
    told = Landmarks(
        mirrored.coordinates_TKC, mirrored.presence_TK, mirrored.time_T, mirrored.points, mirrored.size, mirrored=True
    )
    assert seen(told) == DONE


def test_a_slower_camera_will_do(hand: Landmarks) -> None:
    assert seen(hand[::2]) == DONE


def test_nobody_does_nothing_for_ten_minutes(hand: Landmarks) -> None:
    frames = 600 * 10
    points = len(hand.points)
    empty = hand.with_frames(np.zeros((frames, points, 3)), np.zeros((frames, points)), np.arange(frames) / 10)
    assert seen(empty, chunk=0.2, lookahead=0.1) == []
