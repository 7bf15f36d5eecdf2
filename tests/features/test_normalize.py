"""Landmarks to frames beside a plain second implementation, streams beside the whole, and what must not matter.

The second implementation is written from the definitions over whole arrays, one frame and one point at a time.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from features.cmvn import CmvnAccumulator
from features.landmark_stream import FAST, REACH, REACH_WITHOUT_UNIT, UNIT_FLOOR, RunningUnit
from features.landmarks import BODY, HAND, LEFT_HAND, PERSON, RIGHT_HAND, LandmarkError, Landmarks, joined
from features.normalize import (
    BODY_GROUP,
    EITHER_HAND_GROUP,
    LEFT_HAND_GROUP,
    GroupConfig,
    LandmarkConfig,
    LandmarkExtractor,
    PresentStatistics,
    Resampler,
    from_dict,
    to_dict,
)

SMALL = LandmarkConfig(
    groups=(
        GroupConfig(points=("a", "b", "c"), origin=("a", "b"), unit=("a", "b", "b", "c")),
        GroupConfig(points=("hand_wrist", "hand_middle_mcp"), origin=("hand_wrist",), unit=EITHER_HAND_GROUP.unit),
        GroupConfig(points=("c", "d")),
    ),
    normalization="none",
)
SMALL_POINTS = ("d", "left_hand_wrist", "a", "left_hand_middle_mcp", "b", "right_hand_wrist", "right_hand_middle_mcp")
PLAIN = LandmarkConfig(normalization="none")


def person(
    frames: int, *, fps: float = 25.0, seed: int = 0, points: tuple[str, ...] = PERSON, absent: float = 0.1
) -> Landmarks:
    """Points that wander about, in pixels; stretches of each side and single points are absent."""
    draw = np.random.default_rng((seed, frames))
    place_K = draw.uniform(100, 600, (1, len(points), 3))
    coordinates_TKC = place_K + np.cumsum(draw.normal(0, 5, (frames, len(points), 3)), axis=0)
    presence_TK = draw.uniform(0.5, 1.0, (frames, len(points)))
    presence_TK[draw.random((frames, len(points))) < absent] = 0.2
    for side in ("left_hand_", "right_hand_", ""):
        columns = [name.startswith(side) for name in points]
        for _ in range(frames // 20):
            start = draw.integers(frames)
            presence_TK[start : start + draw.integers(1, 20), columns] = 0.0
    return Landmarks(coordinates_TKC, presence_TK, 3.0 + np.arange(frames) / fps, points, (640, 480))


def pieces(landmarks: Landmarks, sizes: list[int]) -> list[Landmarks]:
    """Cut into pieces of these sizes, and of the last size on to the end."""
    cuts, start = [], 0
    for size in sizes + [max(1, sizes[-1] if sizes else 1)] * len(landmarks):
        cuts.append(landmarks[start : start + size])
        start += size
        if start >= len(landmarks):
            break
    return cuts


def streamed(extractor: LandmarkExtractor, landmarks: Landmarks, sizes: list[int]) -> np.ndarray:
    resampler, stream = extractor.resampler(), extractor.stream()
    frames = [stream.push(resampler.push(piece)) for piece in pieces(landmarks, sizes)]
    return np.concatenate([*frames, stream.push(resampler.flush()), stream.flush()])


# The second implementation.


def plain_points(landmarks: Landmarks, config: LandmarkConfig) -> list[list[np.ndarray | None]]:
    """For each frame and point a place (3,), or none."""
    if not len(landmarks):
        return []
    landmarks = landmarks.unmirrored()
    times = landmarks.time_T.tolist()

    def of_source(n: int, name: str) -> np.ndarray | None:
        if name not in landmarks.points:
            return None
        k = landmarks.points.index(name)
        presence = landmarks.presence_TK[n, k]
        return landmarks.coordinates_TKC[n, k].astype(float) if presence >= config.min_presence and presence else None

    hand_names = [name for name in config.points if name.startswith("hand_")]
    sides: list[str] = []
    side, seen = None, 0.0
    for n, time in enumerate(times):
        there = {s: any(of_source(n, s + name) is not None for name in hand_names) for s in ("right_", "left_")}
        if side is None:
            side = "right_" if there["right_"] else "left_" if there["left_"] else None
        elif not there[side] and time - seen > 0.5 - 1e-6:
            other = "left_" if side == "right_" else "right_"
            side = other if there[other] else side
        if side is not None and there[side]:
            seen = time
        sides.append(side or "right_")
    own = any(name.startswith("hand_") for name in landmarks.points)

    def at(n: int, name: str) -> np.ndarray | None:
        return of_source(n, sides[n] + name if name.startswith("hand_") and not own else name)

    rows = []
    k = 0
    while times[0] + k / config.fps <= times[-1] + 1e-6:
        time = times[0] + k / config.fps
        after = next(n for n, t in enumerate(times) if t >= time - 1e-6)
        row = []
        for name in config.points:
            if abs(times[after] - time) <= 1e-6:
                row.append(at(after, name))
                continue
            one, other = at(after - 1, name), at(after, name)
            if name.startswith("hand_") and not own and sides[after] != sides[after - 1]:
                one = None
            gap = times[after] - times[after - 1]
            share = (time - times[after - 1]) / gap
            if gap > config.max_hole_ms / 1000 + 1e-6:
                row.append(None)
            elif one is not None and other is not None:
                row.append(((1 - share) * one + share * other).astype(np.float32).astype(float))
            else:
                row.append(one if share < 0.5 else other)
        rows.append(row)
        k += 1
    return rows


def plain_frames(landmarks: Landmarks, config: LandmarkConfig) -> np.ndarray:
    """Raw frames (T,F), NaN where absent."""
    seen = plain_points(landmarks, config)
    index = {name: k for k, name in enumerate(config.points)}
    frames = len(seen)
    dimensions = config.dimensions
    place = [list(row) for row in seen]
    for k in range(len(index)):
        sighted = [t for t in range(frames) if seen[t][k] is not None]
        for one, other in pairwise(sighted):
            if other - one - 1 <= np.ceil(config.repair_ms * config.fps / 1000):
                for t in range(one + 1, other):
                    share = (t - one) / (other - one)
                    place[t][k] = (1 - share) * seen[one][k] + share * seen[other][k]
    coordinates, motions, masks = ([[] for _ in range(frames)] for _ in range(3))
    for group in config.groups:
        points = [index[name] for name in group.points]
        origin = np.zeros(3) if not group.origin else None
        unit = 1.0 if not group.unit else None
        sightings: list[float] = []
        here_before: dict[int, np.ndarray] = {}
        for t in range(frames):
            places = [place[t][index[name]] for name in group.origin]
            if group.origin and all(p is not None for p in places):
                origin = np.mean(places, axis=0)
            lengths = [
                np.linalg.norm((seen[t][index[one]] - seen[t][index[other]])[:dimensions])
                for one, other in group.pairs
                if seen[t][index[one]] is not None and seen[t][index[other]] is not None
            ]
            if group.unit and len(lengths) == len(group.pairs) and np.mean(lengths) > 0:
                floor = UNIT_FLOOR * unit if unit else 0.0
                sightings.append(max(np.mean(lengths), floor))
                unit = np.median(sightings[-round(config.fps) :])
            known = origin is not None and unit is not None
            here = {k: place[t][k] for k in points if known and place[t][k] is not None}
            reach = REACH if group.unit else REACH_WITHOUT_UNIT
            for k in points:
                value = (here[k] - origin) / unit if k in here else np.full(3, np.nan)
                coordinates[t] += list(np.clip(value, -reach, reach)[:dimensions])
                motion = np.full(3, np.nan)
                if k in here and k in here_before:
                    motion = (here[k] - here_before[k]) * config.fps / unit
                    motion = motion / (FAST + abs(motion)) if group.unit else np.clip(motion, -reach, reach)
                motions[t] += list(motion[:dimensions])
            mask = [float(known and seen[t][k] is not None) for k in points]
            masks[t] += [np.mean(mask)] if "hand_" in group.points[0] else mask
            here_before = here
    parts = [coordinates, motions if config.velocities else [], masks if config.mask else []]
    return np.array(
        [list(chain.from_iterable(part[t] for part in parts if part)) for t in range(frames)], dtype=np.float32
    )


@st.composite
def clips(draw: st.DrawFn) -> Landmarks:
    """Few points with few coordinates, so that units of 0 and equal places occur; steps of many lengths."""
    frames = draw(st.integers(0, 40))
    steps = draw(st.lists(st.sampled_from([0.001, 1 / 60, 1 / 30, 0.04, 0.07, 0.3, 0.6]), min_size=40, max_size=40))
    seed = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (frames, len(SMALL_POINTS))
    stay = draw(st.sampled_from([0.2, 0.9]))
    presence_TK = np.zeros(shape)
    coordinates_TKC = seed.integers(-3, 4, (*shape, 3)) * 10.0 ** seed.integers(-1, 3, (*shape, 1))
    for t in range(frames):
        kept = (seed.random(shape[1]) < stay) & (t > 0)
        presence_TK[t] = np.where(kept, presence_TK[t - 1], seed.choice([0, 0.3, 0.5, 1], shape[1]))
        coordinates_TKC[t] = np.where(seed.random((shape[1], 1)) < stay / 2, coordinates_TKC[t - 1], coordinates_TKC[t])
    start = draw(st.sampled_from([0.0, -7.3, 36000.0, 1.7e9]))
    time_T = start + np.cumsum(steps)[:frames]
    points = SMALL_POINTS
    if draw(st.booleans()):
        points = tuple(name.removeprefix("right_") for name in points)  # the source has hand_... itself
    return Landmarks(coordinates_TKC, presence_TK, time_T, points, (640, 480), mirrored=draw(st.booleans()))


configs = st.builds(
    replace,
    st.just(SMALL),
    fps=st.sampled_from([10.0, 25.0, 30000 / 1001, 50]),
    dimensions=st.sampled_from([2, 3]),
    velocities=st.booleans(),
    mask=st.booleans(),
    repair_ms=st.sampled_from([0, 50.0, 200.0]),
    max_hole_ms=st.sampled_from([100.0, 250.0, 1000.0]),
    min_presence=st.sampled_from([0.0, 0.4, 0.5]),
)


@given(landmarks=clips(), config=configs)
@settings(max_examples=150)
def test_frames_equal_the_second_implementation(landmarks: Landmarks, config: LandmarkConfig) -> None:
    extractor = LandmarkExtractor(config)
    frames_TF = extractor.raw(landmarks)
    expected_TF = plain_frames(landmarks, config).reshape(-1, extractor.num_features)
    assert len(frames_TF) == extractor.num_frames(landmarks) == len(expected_TF)
    np.testing.assert_allclose(frames_TF, expected_TF, rtol=2e-5, atol=2e-5)
    assert frames_TF.dtype == np.float32


def test_a_person_equals_the_second_implementation() -> None:
    for landmarks in (person(120), person(150, fps=30, seed=1), person(60, fps=12, seed=2)):
        np.testing.assert_allclose(
            LandmarkExtractor(PLAIN).raw(landmarks), plain_frames(landmarks, PLAIN), rtol=1e-5, atol=1e-5
        )


@given(landmarks=clips(), config=configs, sizes=st.lists(st.integers(0, 9), max_size=12))
@settings(max_examples=100)
def test_a_stream_equals_the_whole(landmarks: Landmarks, config: LandmarkConfig, sizes: list[int]) -> None:
    extractor = LandmarkExtractor(config)
    whole_TF = extractor(landmarks)
    np.testing.assert_array_equal(streamed(extractor, landmarks, sizes), whole_TF)
    assert np.isfinite(whole_TF).all()
    assert whole_TF.shape == (extractor.num_frames(landmarks), extractor.num_features)


@given(sizes=st.lists(st.integers(0, 700), min_size=1, max_size=8))
@settings(max_examples=5)
def test_a_long_stream_equals_the_whole_across_tiles(sizes: list[int]) -> None:
    landmarks = person(2000, fps=30)
    extractor = fitted(PLAIN, [landmarks])
    np.testing.assert_array_equal(streamed(extractor, landmarks, sizes), extractor(landmarks))


def test_frames_come_so_many_frames_late_and_keep_their_numbers() -> None:
    extractor = LandmarkExtractor(PLAIN)
    assert (extractor.delay_frames, extractor.delay_seconds, extractor.shift_seconds) == (5, 0.2, 0.04)
    points_TKC = extractor.resampler().push(person(30))
    stream = extractor.stream()
    counts = [len(stream.push(points_TKC[t : t + 1])) for t in range(30)]
    assert counts == [0] * 5 + [1] * 25
    assert len(stream.flush()) == 5
    # Flushed, it is fresh.
    np.testing.assert_array_equal(np.concatenate([stream.push(points_TKC), stream.flush()]), extractor(points_TKC))
    assert LandmarkExtractor(replace(PLAIN, repair_ms=50.0)).delay_frames == 2
    immediate = LandmarkExtractor(replace(PLAIN, repair_ms=0.0)).stream()
    assert [len(immediate.push(points_TKC[:7])), len(immediate.flush())] == [7, 0]


# Resampling.


def test_the_same_rate_changes_nothing() -> None:
    for fps in (25.0, 24.0, 30000 / 1001):
        landmarks = person(500, fps=fps, absent=0.0)
        points_TKC = Resampler(replace(PLAIN, fps=fps)).push(landmarks)
        present_TK = landmarks.presence_TK >= 0.5
        np.testing.assert_array_equal(points_TKC[..., 3], np.where(present_TK, landmarks.presence_TK, 0.0))
        np.testing.assert_array_equal(points_TKC[present_TK][:, :3], landmarks.coordinates_TKC[present_TK])
        assert not points_TKC[~present_TK].any()


def test_what_is_absent_is_zero_whatever_the_least_presence() -> None:
    for config in (PLAIN, replace(PLAIN, min_presence=0.0)):
        for fps in (25.0, 30.0):
            points_TKC = Resampler(config).push(person(60, fps=fps))
            assert np.isfinite(points_TKC).all()
            assert not points_TKC[points_TKC[..., 3] == 0].any()
            assert points_TKC[..., 3].any()


def one_point(places: list[float | None], times: list[float], name: str = "nose") -> Landmarks:
    coordinates_TKC = [[[np.nan if x is None else x, 0, 0]] for x in places]
    return Landmarks(coordinates_TKC, [[float(x is not None)] for x in places], times, (name,))


def test_no_drift_in_ten_hours() -> None:
    """30000/1001 frames per second in 25 out: each place is the time it was seen at, to the rounding of float32."""
    count = 30 * 36000
    config = replace(PLAIN, groups=(GroupConfig(points=("nose",)),))
    time_T = 17.0 + np.arange(count) * 1001 / 30000
    x_T = np.arange(count) % 1000
    coordinates_TKC = np.stack([x_T, 0 * x_T, 0 * x_T], axis=1)[:, None]
    landmarks = Landmarks(coordinates_TKC, np.ones((count, 1)), time_T, ("nose",))
    resampler = Resampler(config)
    points_TKC = np.concatenate([resampler.push(landmarks[:700_000]), resampler.push(landmarks[700_000:])])
    assert resampler.start == 17.0
    exact = (Fraction(count - 1) * 1001 / 30000) * 25
    assert len(points_TKC) == exact.numerator // exact.denominator + 1
    assert LandmarkExtractor(config).num_frames(landmarks) == len(points_TKC)
    for k in (0, 1, len(points_TKC) // 2, len(points_TKC) - 2, len(points_TKC) - 1):
        frame = Fraction(k, 25) * 30000 / 1001
        if frame % 1000 <= 999:  # not where it jumps back from 999 to 0
            np.testing.assert_allclose(points_TKC[k, 0, 0], float(frame % 1000), atol=2e-4)


def test_a_hole_is_absent_and_a_frame_is_known_with_the_next_of_the_input() -> None:
    config = replace(PLAIN, fps=10.0, groups=(GroupConfig(points=("nose",)),), max_hole_ms=250.0)
    resampler = Resampler(config)
    assert resampler.start is None
    given = [
        resampler.push(one_point([x], [t]))[:, 0, [0, 3]].tolist()
        for x, t in [(1, 5.0), (2, 5.15), (3, 5.25), (8, 5.75), (9, 5.8)]
    ]
    np.testing.assert_allclose(np.array(given[1]), [[1 + 2 / 3, 1]], rtol=1e-6)
    assert [len(rows) for rows in given] == [1, 1, 1, 5, 1]
    np.testing.assert_allclose(given[2], [[2.5, 1]], rtol=1e-6)
    assert given[3] == [[0, 0]] * 5
    assert given[4] == [[9, 1]]
    assert resampler.start == 5.0


def test_a_point_seen_once_is_as_in_the_nearer_frame() -> None:
    config = replace(PLAIN, fps=10.0, groups=(GroupConfig(points=("nose",)),))
    points_TKC = Resampler(config).push(one_point([1, 2, None, 3], [0.0, 0.16, 0.24, 0.4]))
    assert points_TKC[:, 0, 3].tolist() == [1, 1, 0, 0, 1]
    assert points_TKC[2, 0].tolist() == [0, 0, 0, 0]


def test_time_must_rise_from_push_to_push() -> None:
    resampler = Resampler(PLAIN)
    resampler.push(person(10))
    with pytest.raises(LandmarkError, match=r"backwards: a frame at 3\.000000 s after one at 3\.360000 s"):
        resampler.push(person(10))
    with pytest.raises(LandmarkError, match=r"jumps from 3\.360 s to 9000\.000 s"):
        resampler.push(replace(person(1), time_T=[9000.0]))
    # What was refused was not taken.
    after = replace(person(10, seed=3), time_T=person(10).time_T + 0.4)
    whole_TKC = Resampler(PLAIN).push(joined([person(10), after]))
    np.testing.assert_array_equal(resampler.push(after), whole_TKC[10:])
    resampler.flush()
    np.testing.assert_array_equal(resampler.push(person(10)), whole_TKC[:10])


def test_either_hand_is_the_one_in_use() -> None:
    """Right, then both, then left alone: the change comes half a second after the right hand was seen last."""
    names = ("left_hand_wrist", "right_hand_wrist")
    left_T = np.array([0] * 5 + [1] * 30 + [1] * 20)
    right_T = np.array([1] * 20 + [0] * 20 + [1] * 15)
    frames = len(left_T)
    coordinates_TKC = np.zeros((frames, 2, 3))
    coordinates_TKC[:, 0, 0], coordinates_TKC[:, 1, 0] = 100, 200
    landmarks = Landmarks(coordinates_TKC, np.stack([left_T, right_T], axis=1), np.arange(frames) / 25, names)
    config = replace(PLAIN, groups=(GroupConfig(points=("hand_wrist",)),))
    x_T = Resampler(config).push(landmarks)[:, 0, 0]
    # Seen last in frame 19; 0.5 s later is frame 31.5, so from frame 32 on it is the left one, and it stays.
    assert x_T.tolist() == [200] * 20 + [0] * 12 + [100] * 23
    own = Landmarks(coordinates_TKC[:, :1] + 7, np.ones((frames, 1)), landmarks.time_T, ("hand_wrist",))
    assert (Resampler(config).push(own)[:, 0, 0] == own.coordinates_TKC[:, 0, 0]).all()


def test_a_model_of_one_hand_reads_either() -> None:
    landmarks = person(50, absent=0.0)
    right = landmarks.select(RIGHT_HAND)
    left = replace(right, points=LEFT_HAND)
    extractor = LandmarkExtractor(replace(PLAIN, groups=(EITHER_HAND_GROUP,)))
    np.testing.assert_array_equal(extractor(left), extractor(right))
    assert extractor(right).any()


# Normalisation.


def test_where_the_person_stands_and_how_large_the_image_is_does_not_matter() -> None:
    landmarks = person(80)
    extractor = LandmarkExtractor(PLAIN)
    frames_TF = extractor(landmarks)
    larger = replace(landmarks, coordinates_TKC=landmarks.coordinates_TKC * 2.0, size=(1280, 960))
    np.testing.assert_array_equal(extractor(larger), frames_TF)
    # A wider image with the person elsewhere in it.
    cropped = replace(landmarks, coordinates_TKC=landmarks.coordinates_TKC + np.array([320, -60, 7]), size=(1280, 360))
    np.testing.assert_allclose(extractor(cropped), frames_TF, atol=2e-4)
    later = replace(landmarks, time_T=landmarks.time_T + 1000)
    np.testing.assert_array_equal(extractor(later), frames_TF)


def test_a_mirrored_source_gives_the_same_frames() -> None:
    landmarks = person(80, fps=30)
    mirrored = replace(landmarks.flipped(), mirrored=True)
    for config in (PLAIN, replace(PLAIN, groups=(EITHER_HAND_GROUP, BODY_GROUP))):
        extractor = LandmarkExtractor(config)
        np.testing.assert_array_equal(extractor(mirrored), extractor(mirrored.unmirrored()))
        np.testing.assert_allclose(extractor(mirrored), extractor(landmarks), atol=2e-4)
        assert np.abs(extractor(landmarks.flipped()) - extractor(landmarks)).max() > 0.5


def test_what_the_features_mean() -> None:
    """A hand that stays in its shape and moves a palm length to the right each second."""
    frames = 40
    hand_KC = np.zeros((21, 3))
    hand_KC[:, 1] = -10.0 * np.arange(21)  # middle_mcp, number 9, is 90 above the wrist
    coordinates_TKC = hand_KC + np.array([90.0, 0, 0]) * np.arange(frames)[:, None, None] / 25
    landmarks = Landmarks(coordinates_TKC, np.ones((frames, 21)), np.arange(frames) / 25, LEFT_HAND)
    extractor = LandmarkExtractor(replace(PLAIN, groups=(LEFT_HAND_GROUP, BODY_GROUP)))
    frames_TF = extractor.raw(landmarks)
    at = {name: frames_TF[:, f] for f, name in enumerate(extractor.feature_names)}
    assert len(at) == frames_TF.shape[1] == 36 * 4 + 1 + 15
    np.testing.assert_allclose(at["left_hand_middle_mcp.x"], 0.0, atol=1e-6)
    np.testing.assert_allclose(at["left_hand_middle_mcp.y"], -1.0, rtol=1e-6)
    np.testing.assert_allclose(at["left_hand_wrist.dx"][1:], 1 / 11, rtol=1e-4)
    assert np.isnan(at["left_hand_wrist.dx"][0])
    assert (at["left_hand.seen"] == 1).all()
    assert (at["nose.seen"] == 0).all()
    assert np.isnan(at["nose.x"]).all()


def test_a_short_absence_is_repaired_and_a_long_one_is_not() -> None:
    places: list[float | None] = [None, 0, *[None] * 5, 6, *[None] * 6, 14, None]
    config = replace(PLAIN, groups=(GroupConfig(points=("nose",)),), max_hole_ms=1000.0)
    extractor = LandmarkExtractor(config)
    frames_TF = extractor.raw(one_point(places, [t / 25 for t in range(len(places))]))
    x_T, seen_T = frames_TF[:, 0], frames_TF[:, -1]
    expected = [None, *range(7), *[None] * 6, 14, None]
    np.testing.assert_allclose(x_T, np.array(expected, dtype=float), atol=1e-6)
    assert seen_T.tolist() == [float(x is not None) for x in places]


def test_the_origin_stays_where_it_was_and_points_are_absent_until_it_was_seen() -> None:
    points = ("left_shoulder", "right_shoulder", "nose")
    presence_TK = np.ones((30, 3))
    presence_TK[:5, 0] = 0
    presence_TK[10:, 1] = 0
    coordinates_TKC = np.tile(np.array([[0.0, 0, 0], [10, 0, 0], [20, 0, 0]]), (30, 1, 1))
    coordinates_TKC[10:] += 5
    landmarks = Landmarks(coordinates_TKC, presence_TK, np.arange(30) / 25, points)
    group = GroupConfig(points=("nose",), origin=points[:2], unit=points[:2])
    x_T, seen_T = LandmarkExtractor(replace(PLAIN, groups=(group,), velocities=False)).raw(landmarks)[:, [0, 2]].T
    np.testing.assert_allclose(x_T, [np.nan] * 5 + [1.5] * 5 + [2.0] * 20)
    assert seen_T.tolist() == [0.0] * 5 + [1.0] * 25


def test_one_wild_frame_and_a_hand_seen_edge_on_hardly_change_the_unit() -> None:
    unit = RunningUnit(25)
    assert unit.push(0.0) == 0.0
    for _ in range(25):
        assert unit.push(2.0) == 2.0
    assert unit.push(500.0) == unit.push(0.0) == 2.0
    assert [unit.push(1e-9) for _ in range(10)] == [2.0] * 10
    # What stays is believed within a second.
    assert [unit.push(6.0) for _ in range(25)][-1] == 6.0


def test_values_out_of_reach_are_bounded() -> None:
    """Shoulders at nearly one place make a unit of nearly nothing."""
    landmarks = person(20, absent=0.0)
    coordinates_TKC = np.array(landmarks.coordinates_TKC)
    coordinates_TKC[:, BODY.index("left_shoulder")] = 1e-30
    coordinates_TKC[:, BODY.index("right_shoulder")] = 0
    coordinates_TKC[:, BODY.index("nose")] = 3e38
    frames_TF = LandmarkExtractor(PLAIN)(replace(landmarks, coordinates_TKC=coordinates_TKC))
    assert np.abs(frames_TF).max() == REACH


@pytest.mark.parametrize("absent", [False, True])
@pytest.mark.parametrize("frames", [0, 1, 2, 30])
def test_nothing_one_frame_and_nobody(frames: int, absent: bool) -> None:
    landmarks = person(frames)
    if absent:
        landmarks = replace(landmarks, presence_TK=np.zeros((frames, len(PERSON))))
    extractor = LandmarkExtractor(PLAIN)
    frames_TF = extractor(landmarks)
    assert frames_TF.shape == (frames, extractor.num_features)
    assert np.isfinite(frames_TF).all()
    assert frames_TF.any() == (frames > 0 and not absent)
    assert np.isnan(extractor.raw(landmarks)[:, : 57 * 4]).all() == (absent or not frames)
    np.testing.assert_array_equal(streamed(extractor, landmarks, [1]), frames_TF)


def test_a_source_without_the_points_has_nobody() -> None:
    none = Landmarks(np.zeros((9, 0, 3)), np.zeros((9, 0)), np.arange(9) / 25, ())
    for landmarks in (none, one_point([1] * 9, [t / 25 for t in range(9)], name="tail")):
        assert not LandmarkExtractor(PLAIN)(landmarks).any()
        assert LandmarkExtractor(PLAIN).num_frames(landmarks) == 9


@pytest.mark.parametrize("shape", [(3, 57, 3), (57, 4), (3, 56, 4)])
def test_points_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(T, 57, 4\)"):
        LandmarkExtractor(PLAIN).stream().push(np.zeros(shape))


def test_a_point_without_a_place_is_refused_where_it_is_present() -> None:
    points_TKC = np.zeros((2, 57, 4))
    points_TKC[1, 5, :3] = np.nan
    stream = LandmarkExtractor(PLAIN).stream()
    assert not np.concatenate([stream.push(points_TKC), stream.flush()]).any()
    points_TKC[1, 5, 3] = 1.0
    with pytest.raises(ValueError, match="no finite"):
        stream.push(points_TKC)


# Statistics.


def fitted(config: LandmarkConfig, clips: list[Landmarks]) -> LandmarkExtractor:
    config = replace(config, normalization="global")
    statistics = PresentStatistics()
    for clip in clips:
        statistics.add(LandmarkExtractor(config).raw(clip))
    return LandmarkExtractor(config, mean=statistics.mean, std=statistics.std)


def test_statistics_are_those_of_the_values_present() -> None:
    raw = [LandmarkExtractor(PLAIN).raw(person(frames, seed=seed)) for seed, frames in enumerate((100, 0, 1, 5000))]
    raw = [np.where(np.arange(raw[0].shape[1]) == 3, np.nan, frames_TF).astype(np.float32) for frames_TF in raw]
    statistics = PresentStatistics()
    for frames_TF in raw:
        statistics.add(frames_TF)
    together = np.concatenate(raw).astype(np.float64)
    assert statistics.count == len(together)
    present = np.arange(together.shape[1]) != 3
    np.testing.assert_allclose(statistics.mean[present], np.nanmean(together[:, present], axis=0), rtol=1e-5, atol=1e-7)
    deviation = np.nanstd(together[:, present], axis=0)
    np.testing.assert_allclose(statistics.std[present], np.where(deviation > 1e-5, deviation, 1.0), rtol=1e-5)
    assert (statistics.mean[3], statistics.std[3]) == (0.0, 1.0)
    with pytest.raises(ValueError, match="no frames"):
        _ = PresentStatistics().std


def test_statistics_of_whole_frames_equal_the_accumulator_of_sound() -> None:
    one, other = PresentStatistics(), CmvnAccumulator()
    for seed in range(3):
        frames_TF = np.random.default_rng(seed).normal(5, 3, (3000 * seed, 4)).astype(np.float32)
        one.add(frames_TF)
        other.add(frames_TF)
    np.testing.assert_allclose(one.mean, other.mean, rtol=1e-6)
    np.testing.assert_allclose(one.std, other.std, rtol=1e-6)


def test_what_is_absent_is_zero_after_normalisation() -> None:
    clips = [person(200, seed=seed) for seed in range(3)]
    extractor = fitted(PLAIN, clips)
    raw_TF = np.concatenate([extractor.raw(clip) for clip in clips])
    frames_TF = np.concatenate([extractor(clip) for clip in clips])
    absent_TF = np.isnan(raw_TF)
    assert absent_TF.any()
    assert not frames_TF[absent_TF].any()
    present_TF = np.where(absent_TF, np.nan, frames_TF)
    changing = extractor.std != 1
    np.testing.assert_allclose(np.nanmean(present_TF, axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(np.nanstd(present_TF, axis=0)[changing], 1, atol=1e-3)


# Configuration.


def test_an_extractor_comes_back_from_yaml() -> None:
    landmarks = person(60)
    for extractor in (LandmarkExtractor(SMALL), fitted(LandmarkConfig(dimensions=3, repair_ms=120.0), [landmarks])):
        stored = to_dict(extractor)
        again = from_dict(yaml.safe_load(yaml.safe_dump(stored)))
        assert again.config == extractor.config
        assert to_dict(again) == stored
        np.testing.assert_array_equal(again(landmarks), extractor(landmarks))
    assert from_dict({"normalization": "none"}).config == PLAIN


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ([], "expected keys"),
        ({"fsp": 25}, "unknown key 'fsp'"),
        ({"fps": "25"}, "features.landmarks.fps: expected float"),
        ({"fps": True}, "expected float"),
        ({"dimensions": 2.0}, "expected int"),
        ({"mask": 1}, "expected bool"),
        ({"groups": {}}, "expected a list of groups"),
        ({"groups": [{"points": ["a"], "centre": ["a"]}]}, r"groups\[0\]: unknown key 'centre'"),
        ({"groups": [{"origin": ["a"]}]}, r"groups\[0\]: points is missing"),
        ({"groups": [{"points": "nose"}]}, r"groups\[0\].points: expected a list of names"),
        ({"groups": [{"points": []}]}, "no points"),
        ({"groups": [{"points": ["a", "a"]}]}, "'a' is named twice"),
        ({"groups": [{"points": ["a"], "unit": ["a", "b", "c"]}]}, "pairs of points"),
        ({"groups": [{"points": ["a"], "unit": ["a", "a"]}]}, "distance of 'a' to itself"),
        ({"groups": []}, "at least one group"),
        ({"fps": 0}, "fps=0"),
        ({"fps": float("nan")}, "fps=nan"),
        ({"dimensions": 4}, "dimensions=4"),
        ({"repair_ms": 2000}, "repair_ms=2000"),
        ({"max_hole_ms": -1}, "max_hole_ms=-1"),
        ({"min_presence": 2}, "min_presence=2"),
        ({"normalization": "running"}, "choose one of none, global"),
        ({"mean": [0.0]}, "give both or neither"),
        ({"mean": [0.0], "std": [1.0]}, "1 values; the features have 245"),
        ({"mean": [0.0], "std": [1.0], "normalization": "none"}, "takes no mean"),
        ({"mean": "0", "std": [1.0]}, "features.landmarks.mean: expected a list of numbers"),
    ],
)
def test_a_bad_definition_is_refused(stored: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_dict(stored)


def test_normalised_frames_need_statistics() -> None:
    extractor = LandmarkExtractor(LandmarkConfig())
    assert extractor.raw(person(3)).shape == (3, 245)
    assert extractor.mean is None
    for use in (extractor.stream, lambda: extractor(person(3))):
        with pytest.raises(ValueError, match="no statistics yet"):
            use()


# Real movements.


def natops(folder: Path) -> list[Landmarks]:
    """The first clips of NATOPS: tips, elbows, wrists and thumbs of both arms, x, y, z, 51 frames."""
    file = next(folder.glob("natops/*TRAIN*.ts"))
    lines = [line for line in file.read_text(encoding="latin-1").splitlines() if line and line[0] not in "#@"]
    points = tuple(f"{side}_{part}" for part in ("tip", "elbow", "wrist", "thumb") for side in ("left", "right"))
    clips = []
    for line in lines[:8]:
        values_FT = np.array([[float(x) for x in part.split(",")] for part in line.split(":")[:-1]])
        coordinates_TKC = values_FT.reshape(8, 3, -1).transpose(2, 0, 1)
        frames = len(coordinates_TKC)
        clips.append(Landmarks(coordinates_TKC, np.ones((frames, 8)), np.arange(frames) / 20, points))
    return clips


def test_real_movements(shared_data: Path) -> None:
    clips = natops(shared_data)
    group = GroupConfig(points=clips[0].points, origin=("left_elbow", "right_elbow"), unit=("left_elbow", "left_wrist"))
    extractor = fitted(LandmarkConfig(groups=(group,), dimensions=3), clips)
    for clip in clips:
        np.testing.assert_allclose(extractor.raw(clip), plain_frames(clip, extractor.config), rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(streamed(extractor, clip, [1]), extractor(clip))
        assert extractor(clip).std() > 0.1


def test_names_of_a_hand_are_those_of_its_landmarks() -> None:
    assert tuple(name.removeprefix("left_hand_") for name in LEFT_HAND_GROUP.points) == HAND
    assert LandmarkConfig().points == PERSON
