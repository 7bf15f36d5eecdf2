"""Augmentation of landmarks: other places of the camera, other paces, other frame rates, and what a landmarker loses.

Each change is a pure function of landmarks and numbers; `augment` draws the numbers from the generator passed in, so a
caller that seeds it from (seed, step, clip) gets the same training run again, resumed or not. It runs on landmarks as
they were found, before resampling: whatever a recogniser does to its input is done to augmented input too.

Shapes: T frames, K points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from features.augment import AugmentError
from features.landmark_config import HAND_PREFIXES
from features.landmarks import FINGERS, Landmarks

PAIRS = ("scale", "speed", "frame_rate")

PROBABILITIES = ("mirror_probability", "hand_dropout", "finger_dropout", "point_dropout", "frame_dropout")

AT_MOST = {
    "trim_ms": (1000.0, 100),
    "time_warp": (0.9, 0.3),
    "rotation_degrees": (180.0, 10),
    "yaw_degrees": (60.0, 15),
    "shear": (1.0, 0.1),
    "proportions": (0.9, 0.1),
    "shift": (10.0, 0.2),
    "jitter": (1.0, 0.01),
}
"""The largest value of each strength, and one that does no harm, for the message."""

SAME_FRAME = 1e-6
"""Share of a frame by which a time may miss the border of two frames: times are rounded numbers."""


@dataclass
class LandmarkAugmentConfig:
    """How landmarks for training are varied; everything is off by default.

    A pair is a range (lowest, highest) from which one value is drawn uniformly for each clip. The size of the body is
    the root mean square distance, in the image plane, of the points present in a frame from their centre.

    Args:
        trim_ms: Longest stretch, in milliseconds, that is cut off the beginning, and another one off the end, as if the
            recording began a little late and ended early; at least half of it is left.
        speed: Range of factors of speed: durations are divided by the factor.
        time_warp: Largest change of pace within a clip as a share of the pace, 0 to 0.9: faster here, slower there,
            smoothly, at the same duration.
        mirror_probability: Share of clips, 0 to 1, that are seen in a mirror: left and right change sides. Only where
            a gesture means the same with the other hand and to the other side.
        yaw_degrees: Largest turn of the person about the vertical axis, in degrees; it needs depth, and without depth
            makes the person narrower.
        rotation_degrees: Largest rotation in the image plane, in degrees.
        scale: Range of factors of size.
        shear: Largest shear: how far a point moves sideways, as a share of its height above the centre.
        proportions: Largest change of each point's distance from the middle of the body, along each axis, as a share:
            people of other proportions, who reach farther here and less far there.
        shift: Largest shift to each side and up or down, as a share of the size of the body.
        frame_rate: Range of frames per second of a slower camera; (0, 0) keeps all frames. A camera of that rate would
            have taken these frames of the clip; one faster than the clip takes them all.
        frame_dropout: Probability, 0 to 1, of each frame to be lost; one is left at least.
        jitter: Standard deviation of noise on each coordinate of each point of each frame, as a share of the size of
            the body.
        hand_dropout: Probability, 0 to 1, of each hand to be absent for one stretch of up to half of the frames.
        finger_dropout: The same for each finger of each hand.
        point_dropout: The same for each point.
    """

    trim_ms: float = 0.0
    speed: tuple[float, float] = (1.0, 1.0)
    time_warp: float = 0.0
    mirror_probability: float = 0.0
    yaw_degrees: float = 0.0
    rotation_degrees: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    shear: float = 0.0
    proportions: float = 0.0
    shift: float = 0.0
    frame_rate: tuple[float, float] = (0.0, 0.0)
    frame_dropout: float = 0.0
    jitter: float = 0.0
    hand_dropout: float = 0.0
    finger_dropout: float = 0.0
    point_dropout: float = 0.0

    def __post_init__(self) -> None:
        for name in PAIRS:
            low, high = getattr(self, name)
            setattr(self, name, (low, high))  # a list from a YAML file becomes a pair, as it is compared with one
            if not (np.isfinite(low) and np.isfinite(high) and low <= high):
                raise AugmentError(
                    f"augment.{name} is ({low}, {high}): give the lowest and the highest value, in order"
                )
        for name in ("scale", "speed"):
            low, high = getattr(self, name)
            if low < 0.25 or high > 4.0:
                raise AugmentError(
                    f"augment.{name} is ({low}, {high}): give factors from 0.25 to 4, such as (0.8, 1.25)"
                )
        low, high = self.frame_rate
        if (low, high) != (0.0, 0.0) and not 1.0 <= low <= high <= 1000.0:
            raise AugmentError(
                f"augment.frame_rate is ({low}, {high}): give frames per second from 1 to 1000, such as (12, 30), "
                "or (0, 0) to keep all frames"
            )
        for name in PROBABILITIES:
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise AugmentError(f"augment.{name} is {getattr(self, name)}: give a probability from 0 to 1")
        for name, (most, such) in AT_MOST.items():
            if not 0.0 <= getattr(self, name) <= most:
                raise AugmentError(f"augment.{name} is {getattr(self, name)}: give 0 to {most:g}, such as {such}")


def augment(landmarks: Landmarks, config: LandmarkAugmentConfig, rng: np.random.Generator) -> Landmarks:
    """Landmarks varied as a configuration says; with everything off they come back as they are.

    The order is that of the world: the person's pace, the place of the camera, its rate, the landmarker's mistakes. The
    input is never changed, no frames stay no frames, and frames are left where there were some.
    """
    # Nothing is drawn where it is off, so that settings without it draw what they always drew.
    if not len(landmarks):
        return landmarks
    if config.trim_ms:
        landmarks = trim(landmarks, *rng.uniform(0.0, config.trim_ms / 1000.0, 2))
    if config.speed != (1.0, 1.0):
        landmarks = change_speed(landmarks, rng.uniform(*config.speed))
    if config.time_warp:
        landmarks = warp_time(landmarks, *(config.time_warp * rng.uniform(-0.5, 0.5, 2)))
    if config.mirror_probability and rng.random() < config.mirror_probability:
        landmarks = landmarks.flipped()
    landmarks = _move(landmarks, config, rng)
    if config.frame_rate != (0.0, 0.0):
        landmarks = slower_camera(landmarks, rng.uniform(*config.frame_rate))
    if config.frame_dropout:
        keep_T = rng.random(len(landmarks)) >= config.frame_dropout
        keep_T[rng.integers(len(landmarks))] = True
        landmarks = _frames(landmarks, keep_T)
    if config.jitter:
        landmarks = jitter(landmarks, config.jitter * body_size(landmarks), rng)
    for points, probability in (
        (hands(landmarks.points), config.hand_dropout),
        (fingers(landmarks.points), config.finger_dropout),
        ([[name] for name in landmarks.points], config.point_dropout),
    ):
        if probability:
            landmarks = _drop(landmarks, points, probability, rng)
    return landmarks


def trim(landmarks: Landmarks, first: float, last: float) -> Landmarks:
    """Without the `first` and the `last` seconds, each a quarter of the time at most; one frame is left at least."""
    begin, end = landmarks.time_T[0], landmarks.time_T[-1]
    quarter = (end - begin) / 4
    begin, end = begin + min(first, quarter), end - min(last, quarter)
    keep_T = (landmarks.time_T >= begin) & (landmarks.time_T <= end)
    if not keep_T.any():
        keep_T[np.argmin(np.abs(landmarks.time_T - (begin + end) / 2))] = True
    return _frames(landmarks, keep_T)


def change_speed(landmarks: Landmarks, factor: float) -> Landmarks:
    """`factor` times as fast: times from the first frame on are divided by it."""
    start = landmarks.time_T[0]
    return _at(landmarks, start + (landmarks.time_T - start) / factor)


def warp_time(landmarks: Landmarks, once: float, twice: float) -> Landmarks:
    """Smoothly faster here and slower there; the first and the last time stay.

    A time u, as a share of the duration, becomes u + once sin(pi u) / pi + twice sin(2 pi u) / (2 pi). Its slope is
    1 + once cos(pi u) + twice cos(2 pi u), so it rises where the two add up to less than 1.
    """
    assert abs(once) + abs(twice) < 1.0
    start, duration = landmarks.time_T[0], landmarks.time_T[-1] - landmarks.time_T[0]
    if duration == 0.0:
        return landmarks
    turn_T = np.pi * (landmarks.time_T - start) / duration
    change_T = once * np.sin(turn_T) / np.pi + twice * np.sin(2 * turn_T) / (2 * np.pi)
    return _at(landmarks, landmarks.time_T + duration * change_T)


def slower_camera(landmarks: Landmarks, rate: float) -> Landmarks:
    """The first frame of each 1/rate seconds; all of them where the rate is that of the clip or above."""
    number_T = np.floor((landmarks.time_T - landmarks.time_T[0]) * rate + SAME_FRAME)
    return _frames(landmarks, np.diff(number_T, prepend=-1.0) > 0)


def transform(landmarks: Landmarks, matrix: npt.ArrayLike) -> Landmarks:
    """Each point p becomes centre + matrix (p - centre), the centre being the mean of all points present.

    Args:
        landmarks: T frames.
        matrix: (3,3) for columns of x, y, z.
    """
    place_TKD, centre_D = _about_centre(landmarks)
    return _placed(landmarks, place_TKD @ np.asarray(matrix, dtype=np.float64).T + centre_D)


def stretch(landmarks: Landmarks, factors_KD: npt.ArrayLike) -> Landmarks:
    """Each point p becomes centre + factor (p - centre), axis by axis, with factors (K,3) of its own."""
    place_TKD, centre_D = _about_centre(landmarks)
    return _placed(landmarks, place_TKD * np.asarray(factors_KD, dtype=np.float64) + centre_D)


def _about_centre(landmarks: Landmarks) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Places (T,K,3) about the mean of all points present, and that mean (3); about 0 where there are none."""
    present_TK = landmarks.presence_TK > 0
    place_TKD = landmarks.coordinates_TKC.astype(np.float64)
    centre_D = place_TKD[present_TK].mean(axis=0) if present_TK.any() else np.zeros(3)
    return place_TKD - centre_D, centre_D


def linear_map(
    *, rotation: float = 0.0, yaw: float = 0.0, scale: float = 1.0, shear: float = 0.0
) -> npt.NDArray[np.float64]:
    """Matrix (3,3) of a yaw, then shear, then scale, then a rotation; angles in degrees.

    A positive rotation takes x towards y, clockwise on the screen; a positive yaw takes z, which points away from the
    camera, towards x.
    """
    roll, side = np.radians(rotation), np.radians(yaw)
    rotation_DD = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    yaw_DD = np.array([[np.cos(side), 0, np.sin(side)], [0, 1, 0], [-np.sin(side), 0, np.cos(side)]])
    shear_DD = np.array([[1, shear, 0], [0, 1, 0], [0, 0, 1]])
    return rotation_DD * scale @ shear_DD @ yaw_DD


def body_size(landmarks: Landmarks) -> float:
    """Root mean square distance, in the image plane, of the points present in a frame from their centre; 0 of none."""
    present_TK = landmarks.presence_TK > 0
    place_TKD = np.where(present_TK[..., None], landmarks.coordinates_TKC[..., :2], 0.0).astype(np.float64)
    count_T = np.maximum(present_TK.sum(axis=1), 1)
    centre_TD = place_TKD.sum(axis=1) / count_T[:, None]
    square_TK = ((place_TKD - centre_TD[:, None]) ** 2).sum(axis=2)
    return float(np.sqrt(square_TK[present_TK].sum() / max(1, present_TK.sum())))


def jitter(landmarks: Landmarks, deviation: float, rng: np.random.Generator) -> Landmarks:
    """Gaussian noise of this standard deviation on x and y, and on z where the source has depth."""
    noise_TKD = deviation * rng.standard_normal(landmarks.coordinates_TKC.shape)
    if not np.nan_to_num(landmarks.coordinates_TKC[..., 2]).any():
        noise_TKD[..., 2] = 0.0
    return _placed(landmarks, landmarks.coordinates_TKC + noise_TKD)


def without(landmarks: Landmarks, points: Sequence[str], start: int, end: int) -> Landmarks:
    """These points absent in frames start to end."""
    presence_TK = np.array(landmarks.presence_TK)
    presence_TK[start:end, [name in points for name in landmarks.points]] = 0.0
    return replace(landmarks, presence_TK=presence_TK)


def hands(points: Sequence[str]) -> list[list[str]]:
    """The points of each hand that is among these: names that begin with left_hand_, right_hand_ or hand_."""
    groups = [[name for name in points if name.startswith(prefix)] for prefix in HAND_PREFIXES]
    return [group for group in groups if group]


def fingers(points: Sequence[str]) -> list[list[str]]:
    """The points of each finger of each hand that is among these, such as all that begin with left_hand_index_."""
    groups = [
        [name for name in points if name.startswith(prefix + finger + "_")]
        for prefix in HAND_PREFIXES
        for finger in FINGERS
    ]
    return [group for group in groups if group]


def _move(landmarks: Landmarks, config: LandmarkAugmentConfig, rng: np.random.Generator) -> Landmarks:
    drawn = {}
    for name, most in (("yaw", config.yaw_degrees), ("rotation", config.rotation_degrees), ("shear", config.shear)):
        if most:
            drawn[name] = rng.uniform(-most, most)
    if config.scale != (1.0, 1.0):
        drawn["scale"] = rng.uniform(*config.scale)
    if drawn:
        landmarks = transform(landmarks, linear_map(**drawn))
    if config.proportions:
        factors_KD = 1.0 + config.proportions * rng.uniform(-1.0, 1.0, (len(landmarks.points), 3))
        landmarks = stretch(landmarks, factors_KD)
    if config.shift:
        shift_D = config.shift * body_size(landmarks) * np.array([*rng.uniform(-1.0, 1.0, 2), 0.0])
        landmarks = _placed(landmarks, landmarks.coordinates_TKC + shift_D)
    return landmarks


def _drop(
    landmarks: Landmarks, groups: Sequence[Sequence[str]], probability: float, rng: np.random.Generator
) -> Landmarks:
    """Each group is absent with this probability, for a stretch of 1 frame to half of them."""
    frames = len(landmarks)
    for points in groups:
        if rng.random() < probability:
            length = int(rng.integers(1, max(1, frames // 2) + 1))
            start = int(rng.integers(frames - length + 1))
            landmarks = without(landmarks, points, start, start + length)
    return landmarks


def _frames(landmarks: Landmarks, keep_T: npt.NDArray[np.bool_]) -> Landmarks:
    return replace(
        landmarks,
        coordinates_TKC=landmarks.coordinates_TKC[keep_T],
        presence_TK=landmarks.presence_TK[keep_T],
        time_T=landmarks.time_T[keep_T],
    )


def _placed(landmarks: Landmarks, place_TKD: npt.NDArray[np.float64]) -> Landmarks:
    return replace(landmarks, coordinates_TKC=place_TKD.astype(np.float32))


def _at(landmarks: Landmarks, time_T: npt.NDArray[np.float64]) -> Landmarks:
    for t in np.flatnonzero(np.diff(time_T) <= 0):  # times so near each other that rounding made them equal
        later = t + 1
        while later < len(time_T) and time_T[later] <= time_T[later - 1]:
            time_T[later] = np.nextafter(time_T[later - 1], np.inf)
            later += 1
    return replace(landmarks, time_T=time_T)
