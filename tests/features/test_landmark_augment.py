"""Each change of landmarks alone beside its formula; all together leave what landmarks must be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.augment import AugmentError
from features.landmark_augment import (
    LandmarkAugmentConfig,
    augment,
    body_size,
    change_speed,
    fingers,
    hands,
    jitter,
    linear_map,
    slower_camera,
    transform,
    trim,
    warp_time,
    without,
)
from features.landmarks import BODY, EITHER_HAND, LEFT_HAND, PERSON, Landmarks
from features.normalize import LandmarkConfig, LandmarkExtractor

EVERYTHING = LandmarkAugmentConfig(
    trim_ms=300.0,
    speed=(0.7, 1.4),
    time_warp=0.8,
    mirror_probability=0.5,
    yaw_degrees=20.0,
    rotation_degrees=15.0,
    scale=(0.5, 2.0),
    shear=0.2,
    proportions=0.2,
    shift=0.5,
    frame_rate=(8.0, 30.0),
    frame_dropout=0.2,
    jitter=0.02,
    hand_dropout=0.3,
    finger_dropout=0.2,
    point_dropout=0.1,
)


def person(frames: int = 60, *, seed: int = 0, points: tuple[str, ...] = PERSON, fps: float = 25.0) -> Landmarks:
    draw = np.random.default_rng((seed, frames))
    coordinates_TKC = draw.normal(300, 80, (frames, len(points), 3))
    presence_TK = draw.choice([0.0, 0.7, 1.0], (frames, len(points)), p=[0.2, 0.4, 0.4])
    return Landmarks(coordinates_TKC, presence_TK, 2.0 + np.arange(frames) / fps, points, (640, 480))


def varied(landmarks: Landmarks, seed: int = 0, **settings: object) -> Landmarks:
    return augment(landmarks, LandmarkAugmentConfig(**settings), np.random.default_rng(seed))


def assert_same(one: Landmarks, other: Landmarks) -> None:
    np.testing.assert_array_equal(one.coordinates_TKC, other.coordinates_TKC)
    np.testing.assert_array_equal(one.presence_TK, other.presence_TK)
    np.testing.assert_array_equal(one.time_T, other.time_T)
    assert (one.points, one.size, one.mirrored) == (other.points, other.size, other.mirrored)


def test_everything_is_off_by_default_and_draws_nothing() -> None:
    landmarks, rng = person(), np.random.default_rng(0)
    assert_same(augment(landmarks, LandmarkAugmentConfig(), rng), landmarks)
    assert rng.random() == np.random.default_rng(0).random()


def test_every_setting_alone_changes_something() -> None:
    off = LandmarkAugmentConfig()
    for field in fields(off):
        value = 1.0 if field.name.endswith(("dropout", "probability")) else getattr(EVERYTHING, field.name)
        changed = varied(person(), **{field.name: value})
        with pytest.raises(AssertionError):
            assert_same(changed, person())


@given(
    frames=st.integers(0, 30),
    seed=st.integers(0, 1000),
    steps=st.lists(st.sampled_from([1e-12, 1e-3, 0.04, 2.0]), min_size=30, max_size=30),
    start=st.sampled_from([0.0, 36000.0]),
)
def test_what_comes_out_is_always_of_use(frames: int, seed: int, steps: list[float], start: float) -> None:
    """Landmarks check themselves that times rise and that what is present has a place."""
    time_T = np.unique(start + np.cumsum(steps)[:frames])
    landmarks = replace(person(len(time_T), seed=seed), time_T=time_T)
    before = (landmarks.coordinates_TKC.tobytes(), landmarks.presence_TK.tobytes(), landmarks.time_T.tobytes())
    changed = augment(landmarks, EVERYTHING, np.random.default_rng(seed))
    assert (len(changed) > 0) == (len(time_T) > 0)
    assert changed.points == landmarks.points
    assert_same(augment(landmarks, EVERYTHING, np.random.default_rng(seed)), changed)
    assert before == (landmarks.coordinates_TKC.tobytes(), landmarks.presence_TK.tobytes(), landmarks.time_T.tobytes())
    extractor = LandmarkExtractor(LandmarkConfig(normalization="none"))
    assert np.isfinite(extractor(changed)).all()


def test_another_seed_gives_another_clip() -> None:
    one, other = (augment(person(), EVERYTHING, np.random.default_rng(seed)) for seed in (1, 2))
    assert one.time_T.shape != other.time_T.shape or not np.array_equal(one.time_T, other.time_T)


# The camera.


def plain_map(landmarks: Landmarks, change: Callable[[float, float, float], tuple[float, float, float]]) -> np.ndarray:
    """Each present point moved about the centre of all, one by one."""
    places = [
        (t, k, landmarks.coordinates_TKC[t, k].astype(float))
        for t, k in zip(*np.nonzero(landmarks.presence_TK), strict=True)
    ]
    centre = sum(place for _, _, place in places) / len(places)
    out = np.full(landmarks.coordinates_TKC.shape, np.nan)
    for t, k, place in places:
        out[t, k] = centre + change(*(place - centre))
    return out


@pytest.mark.parametrize(
    ("settings", "change"),
    [
        ({"rotation": 90.0}, lambda x, y, z: (-y, x, z)),
        ({"rotation": 30.0}, lambda x, y, z: (x * 0.75**0.5 - y / 2, x / 2 + y * 0.75**0.5, z)),
        ({"yaw": 90.0}, lambda x, y, z: (z, y, -x)),
        ({"yaw": 60.0}, lambda x, y, z: (x / 2 + z * 0.75**0.5, y, z / 2 - x * 0.75**0.5)),
        ({"scale": 1.5}, lambda x, y, z: (1.5 * x, 1.5 * y, 1.5 * z)),
        ({"shear": 0.2}, lambda x, y, z: (x + 0.2 * y, y, z)),
        ({"yaw": 90.0, "shear": 0.2}, lambda x, y, z: (z + 0.2 * y, y, -x)),
        ({"scale": 2.0, "shear": 0.2, "rotation": 90.0}, lambda x, y, z: (-2 * y, 2 * (x + 0.2 * y), 2 * z)),
    ],
)
def test_a_map_moves_each_point_about_the_centre(settings: dict[str, float], change: Callable) -> None:
    landmarks = person()
    moved = transform(landmarks, linear_map(**settings))
    np.testing.assert_allclose(moved.coordinates_TKC, plain_map(landmarks, change), rtol=1e-5, atol=1e-3)


def test_other_proportions_stretch_each_point_by_its_own_factors_about_the_centre() -> None:
    landmarks = person()
    centre_D = landmarks.coordinates_TKC[landmarks.presence_TK > 0].astype(float).mean(axis=0)
    changed = varied(landmarks, proportions=0.2)
    ratio_TKD = (changed.coordinates_TKC - centre_D) / (landmarks.coordinates_TKC - centre_D)
    far_TKD = np.abs(landmarks.coordinates_TKC - centre_D) > 20  # where the ratio of rounded numbers says something
    factors = []
    for k in range(len(landmarks.points)):
        for axis in range(3):
            own = ratio_TKD[:, k, axis][far_TKD[:, k, axis]]
            np.testing.assert_allclose(own, own[0], atol=1e-4)
            factors.append(own[0])
    assert 0.8 <= min(factors) < 0.82
    assert 1.18 < max(factors) <= 1.2


def recovered(landmarks: Landmarks, changed: Landmarks) -> tuple[np.ndarray, np.ndarray]:
    """The affine map between the two, by least squares: matrix (3,3) and what is added."""
    present_TK = landmarks.presence_TK > 0
    places = np.c_[landmarks.coordinates_TKC[present_TK], np.ones(present_TK.sum())].astype(float)
    solution = np.linalg.lstsq(places, changed.coordinates_TKC[present_TK].astype(float), rcond=None)[0]
    return solution[:3].T, solution[3]


@pytest.mark.parametrize(
    ("setting", "value", "measure", "low", "high"),
    [
        ("rotation_degrees", 10.0, lambda m: np.degrees(np.arctan2(m[1, 0], m[0, 0])), -10, 10),
        ("yaw_degrees", 15.0, lambda m: np.degrees(np.arctan2(m[0, 2], m[0, 0])), -15, 15),
        ("scale", (0.8, 1.3), lambda m: m[1, 1], 0.8, 1.3),
        ("shear", 0.1, lambda m: m[0, 1], -0.1, 0.1),
    ],
)
def test_drawn_values_fill_their_range(setting: str, value: object, measure: Callable, low: float, high: float) -> None:
    landmarks = person(8)
    drawn = np.array([measure(recovered(landmarks, varied(landmarks, s, **{setting: value}))[0]) for s in range(60)])
    assert low - 1e-3 <= drawn.min() < low + 0.15 * (high - low)
    assert high + 1e-3 >= drawn.max() > high - 0.15 * (high - low)


def test_a_shift_moves_all_points_alike() -> None:
    landmarks = person(8)
    size = body_size(landmarks)
    shifts = []
    for seed in range(40):
        matrix, added = recovered(landmarks, varied(landmarks, seed, shift=0.3))
        np.testing.assert_allclose(matrix, np.eye(3), atol=1e-4)
        shifts.append(added / size)
    assert np.abs(shifts).max(axis=0)[:2] == pytest.approx([0.3, 0.3], abs=0.03)
    np.testing.assert_allclose(np.array(shifts)[:, 2], 0, atol=1e-3)


def test_a_body_has_the_size_of_its_spread() -> None:
    landmarks = person(5)
    squares = []
    for t in range(5):
        seen = landmarks.coordinates_TKC[t, landmarks.presence_TK[t] > 0, :2].astype(float)
        squares += list(((seen - seen.mean(axis=0)) ** 2).sum(axis=1))
    assert body_size(landmarks) == pytest.approx(np.mean(squares) ** 0.5)
    assert body_size(person(0)) == 0.0
    assert body_size(replace(landmarks, presence_TK=0 * landmarks.presence_TK)) == 0.0


def test_a_mirror_swaps_the_sides() -> None:
    landmarks = person()
    assert_same(varied(landmarks, mirror_probability=1.0), landmarks.flipped())
    mirrored = [
        not np.array_equal(varied(person(3), s, mirror_probability=0.3).presence_TK, person(3).presence_TK)
        for s in range(300)
    ]
    assert 0.2 < np.mean(mirrored) < 0.4


# Time.


def test_speed_divides_times() -> None:
    landmarks = person()
    faster = change_speed(landmarks, 1.25)
    np.testing.assert_allclose(faster.time_T, 2.0 + np.arange(60) * 0.8 / 25)
    np.testing.assert_array_equal(faster.coordinates_TKC, landmarks.coordinates_TKC)
    lengths = [np.ptp(varied(landmarks, seed, speed=(0.5, 2.0)).time_T) for seed in range(60)]
    assert np.ptp(landmarks.time_T) / 2 <= min(lengths) < 1.3
    assert 4.0 < max(lengths) <= np.ptp(landmarks.time_T) * 2


def test_a_warp_is_smooth_rises_and_keeps_the_ends() -> None:
    landmarks = person(200)
    warped = warp_time(landmarks, 0.3, -0.2)
    u = np.arange(200) / 199
    # The pace is known, so its integral, by the trapezium rule, is the time.
    pace = 1 + 0.3 * np.cos(np.pi * u) - 0.2 * np.cos(2 * np.pi * u)
    integral = np.concatenate(([0], np.cumsum((pace[1:] + pace[:-1]) / 2) / 199)) * 199 / 25
    np.testing.assert_allclose(warped.time_T - 2.0, integral, atol=1e-3)
    for seed in range(50):
        time_T = varied(landmarks, seed, time_warp=0.9).time_T
        assert time_T[[0, -1]] == pytest.approx(landmarks.time_T[[0, -1]])
        steps = np.diff(time_T) * 25
        assert 0.1 - 1e-9 <= steps.min() <= steps.max() <= 1.9 + 1e-9
    assert_same(warp_time(person(1), 0.5, 0.4), person(1))


def test_a_slower_camera_takes_the_first_frame_of_each_period() -> None:
    landmarks = person(50)
    slower = slower_camera(landmarks, 10.0)  # periods of 2.5 frames
    assert [round(25 * (time - 2.0)) for time in slower.time_T][:7] == [0, 3, 5, 8, 10, 13, 15]
    for rate in (25.0, 40.0):
        assert_same(slower_camera(landmarks, rate), landmarks)
    counts = {len(varied(landmarks, seed, frame_rate=(5.0, 25.0))) for seed in range(40)}
    assert 10 <= min(counts) < 15
    assert 40 < max(counts) <= 50


def test_lost_frames_are_gone_and_one_is_left() -> None:
    landmarks = person(2000)
    lost = varied(landmarks, frame_dropout=0.3)
    assert 0.65 < len(lost) / 2000 < 0.75
    kept = np.searchsorted(landmarks.time_T, lost.time_T)
    assert_same(
        lost,
        replace(
            landmarks,
            coordinates_TKC=landmarks.coordinates_TKC[kept],
            presence_TK=landmarks.presence_TK[kept],
            time_T=landmarks.time_T[kept],
        ),
    )
    assert len(varied(landmarks, frame_dropout=1.0)) == 1


def test_trimming_leaves_half() -> None:
    landmarks = person(101)  # 4 s
    assert_same(trim(landmarks, 0.1, 0.2), landmarks[3:96])
    assert_same(trim(landmarks, 9.0, 9.0), landmarks[25:76])
    assert_same(trim(person(1), 9.0, 9.0), person(1))
    assert len(trim(person(2), 9.0, 9.0)) == 1
    starts = [varied(landmarks, seed, trim_ms=400.0).time_T[0] - 2.0 for seed in range(60)]
    assert 0 <= min(starts) < 0.1
    assert 0.3 < max(starts) <= 0.4


# The landmarker.


def test_noise_has_its_deviation() -> None:
    landmarks = person(300)
    size = body_size(landmarks)
    present_TK = landmarks.presence_TK > 0
    change = (varied(landmarks, jitter=0.05).coordinates_TKC - landmarks.coordinates_TKC)[present_TK]
    np.testing.assert_allclose(change.std(axis=0), 0.05 * size, rtol=0.03)
    np.testing.assert_allclose(change.mean(axis=0), 0, atol=0.002 * size)
    flat_TKC = landmarks.coordinates_TKC * [1, 1, 0]
    flat = jitter(replace(landmarks, coordinates_TKC=flat_TKC), 3.0, np.random.default_rng(0))
    assert (flat.coordinates_TKC[present_TK][:, 2] == 0).all()
    assert (flat.coordinates_TKC[present_TK][:, 0] != flat_TKC[present_TK][:, 0]).all()


def test_points_of_hands_and_fingers_go_by_their_names() -> None:
    assert [group[0] for group in hands(PERSON)] == ["left_hand_wrist", "right_hand_wrist"]
    assert len(fingers(PERSON)) == 10
    assert fingers(EITHER_HAND)[1] == [f"hand_index_{joint}" for joint in ("mcp", "pip", "dip", "tip")]
    assert {name for finger in fingers(LEFT_HAND) for name in finger} == {*LEFT_HAND} - {"left_hand_wrist"}
    assert hands((*BODY, "left_index", "right_thumb")) == fingers((*BODY, "left_index_finger")) == []


@pytest.mark.parametrize(
    ("setting", "groups"),
    [
        ("hand_dropout", hands(PERSON)),
        ("finger_dropout", fingers(PERSON)),
        ("point_dropout", [[name] for name in PERSON]),
    ],
)
def test_what_is_dropped_is_absent_for_one_stretch(setting: str, groups: list[list[str]]) -> None:
    landmarks = replace(person(40), presence_TK=np.ones((40, 57)), coordinates_TKC=np.ones((40, 57, 3)))
    lengths, dropped = [], []
    for seed in range(60):
        changed = varied(landmarks, seed, **{setting: 0.4})
        untouched = set(PERSON) - {name for group in groups for name in group}
        for group in groups:
            absent_TK = changed.select(group).presence_TK == 0
            assert (absent_TK == absent_TK[:, :1]).all()
            frames = np.flatnonzero(absent_TK[:, 0])
            dropped.append(len(frames) > 0)
            if len(frames):
                assert np.ptp(frames) + 1 == len(frames) <= 20
                lengths.append(len(frames))
        assert (changed.select(sorted(untouched)).presence_TK == 1).all()
    assert 0.3 < np.mean(dropped) < 0.5
    assert min(lengths) <= 2
    assert max(lengths) == 20


def test_dropouts_do_nothing_to_points_without_such_names() -> None:
    landmarks = person(points=BODY)
    assert_same(varied(landmarks, hand_dropout=1.0, finger_dropout=1.0), landmarks)


def test_without_makes_absent() -> None:
    landmarks = person(10)
    changed = without(landmarks, ["nose", "left_hand_wrist"], 2, 5)
    assert not changed.select(["nose", "left_hand_wrist"]).presence_TK[2:5].any()
    others = [name for name in PERSON if name not in ("nose", "left_hand_wrist")]
    assert_same(changed.select(others), landmarks.select(others))
    assert_same(changed[5:], landmarks[5:])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"speed": (1.2, 0.8)}, "augment.speed .* in order"),
        ({"scale": (0.0, 1.0)}, "augment.scale .* factors from 0.25"),
        ({"scale": (1.0, float("nan"))}, "augment.scale"),
        ({"frame_rate": (0.0, 30.0)}, "augment.frame_rate"),
        ({"frame_rate": (-1.0, 0.0)}, "augment.frame_rate"),
        ({"time_warp": 1.0}, "augment.time_warp is 1.0: give 0 to 0.9"),
        ({"jitter": float("nan")}, "augment.jitter"),
        ({"rotation_degrees": -3.0}, "augment.rotation_degrees"),
        ({"point_dropout": 1.5}, "augment.point_dropout"),
        ({"mirror_probability": -0.1}, "augment.mirror_probability"),
    ],
)
def test_bad_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(AugmentError, match=message):
        LandmarkAugmentConfig(**settings)
