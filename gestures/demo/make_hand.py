"""How `hand.pose` was made: `python -m gestures.demo.make_hand gestures/demo/hand.pose`.

Nobody was filmed. A right hand with its palm to the camera, three joints a finger, is bent, moved and seen from the
front; the landmarks tremble a little, as a landmarker's do.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from features.landmark_files import write
from features.landmarks import FINGERS, RIGHT_HAND, Landmarks

FPS = 30
SIZE = (640, 480)
PALM = 80.0  # pixels from the wrist to the middle finger's first joint
TREMBLE = 0.006  # of a palm
# Places of the first joints and lengths of the three bones, in palms; x to the right, y down, the wrist at 0.
FIRST_JOINTS = {"index": (0.28, -0.97), "middle": (0.02, -1.0), "ring": (-0.2, -0.93), "pinky": (-0.4, -0.8)}
BONES = {
    "index": (0.45, 0.27, 0.22),
    "middle": (0.5, 0.31, 0.24),
    "ring": (0.46, 0.29, 0.23),
    "pinky": (0.35, 0.21, 0.2),
}
SPREAD = {"index": 8.0, "middle": 0.0, "ring": -7.0, "pinky": -16.0}  # degrees from upright
BENT = (75.0, 100.0, 60.0)  # degrees by which the joints of a fist are bent
THUMB_OPEN = ((0.3, -0.22), (0.55, -0.48), (0.74, -0.7), (0.88, -0.9))
THUMB_IN = ((0.25, -0.25), (0.42, -0.55), (0.3, -0.72), (0.1, -0.75))

OPEN = dict.fromkeys(FINGERS, 0.0)
FIST = dict.fromkeys(FINGERS, 1.0)
POINT = {**FIST, "index": 0.0}


def hand(bent: dict[str, float]) -> np.ndarray:
    """Places (21,2) in palms of a hand whose fingers are bent from 0, stretched, to 1, as in a fist."""
    thumb_JC = (1 - bent["thumb"]) * np.array(THUMB_OPEN) + bent["thumb"] * np.array(THUMB_IN)
    places = [np.zeros(2), *thumb_JC]
    for finger in FINGERS[1:]:
        tilt = np.radians(SPREAD[finger]) * (1 - bent[finger])
        place = np.array(FIRST_JOINTS[finger])
        places.append(place)
        turned = 0.0
        for length, most in zip(BONES[finger], BENT, strict=True):
            turned += np.radians(most) * bent[finger]
            # Bending goes away from the viewer: what is seen of a bone is its part in the image plane.
            seen = length * np.cos(turned)
            place = place + seen * np.array([np.sin(tilt), -np.cos(tilt)])
            places.append(place)
    return np.array(places)


def scene() -> np.ndarray:
    """Places (T,21,2) in pixels: open hand, fist, pointing finger, three circles clockwise; NaN without a hand."""
    frames: list[np.ndarray] = []
    middle = np.array([320.0, 330.0])

    def away(seconds: float) -> None:
        frames.extend([np.full((len(RIGHT_HAND), 2), np.nan)] * round(seconds * FPS))

    def show(one: dict[str, float], other: dict[str, float], seconds: float, turns: float = 0.0) -> None:
        count = round(seconds * FPS)
        for step in range(count):
            share = step / count
            bent = {finger: (1 - share) * one[finger] + share * other[finger] for finger in FINGERS}
            angle = 2 * np.pi * turns * share
            # Clockwise as seen in the image, where y counts downwards.
            place = middle + (PALM * 0.9 * np.array([np.sin(angle), 1 - np.cos(angle)]) if turns else 0.0)
            frames.append(place + PALM * hand(bent))

    away(0.8)
    show(OPEN, OPEN, 1.2)
    show(OPEN, FIST, 0.2)
    show(FIST, FIST, 1.2)
    show(FIST, POINT, 0.2)
    show(POINT, POINT, 1.2)
    show(POINT, POINT, 1.6, turns=3)
    away(1.0)
    return np.array(frames)


def landmarks() -> Landmarks:
    """The scene as landmarks of a right hand."""
    places_TKC = scene()
    places_TKC = places_TKC + TREMBLE * PALM * np.random.default_rng(0).standard_normal(places_TKC.shape)
    frames = len(places_TKC)
    coordinates_TKC = np.concatenate([places_TKC, np.zeros((frames, len(RIGHT_HAND), 1))], axis=2)
    presence_TK = np.isfinite(places_TKC).all(axis=2).astype(np.float32)
    return Landmarks(coordinates_TKC, presence_TK, np.arange(frames) / FPS, RIGHT_HAND, SIZE)


if __name__ == "__main__":
    write(Path(sys.argv[1]), landmarks())
