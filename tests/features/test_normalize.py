"""Landmarks to frames beside a plain second implementation, streams beside the whole, and what must not matter."""

from __future__ import annotations

import runpy
from dataclasses import replace
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.cmvn import CmvnAccumulator
from features.landmark_stream import REACH, RunningUnit
from features.landmarks import BODY, LEFT_HAND, PERSON, RIGHT_HAND, Landmarks
from features.normalize import (
    BODY_GROUP,
    EITHER_HAND_GROUP,
    LEFT_HAND_GROUP,
    GroupConfig,
    LandmarkConfig,
    LandmarkExtractor,
    PresentStatistics,
    Resampler,
)

PLAIN, SMALL, fitted, one_point, person, plain_frames, streamed = itemgetter(
    "PLAIN", "SMALL", "fitted", "one_point", "person", "plain_frames", "streamed"
)(runpy.run_path(str(Path(__file__).with_name("plain_landmarks.py"))))

SMALL_POINTS = ("d", "left_hand_wrist", "a", "left_hand_middle_mcp", "b", "right_hand_wrist", "right_hand_middle_mcp")


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


def test_what_is_absent_is_zero_whatever_the_least_presence() -> None:
    for config in (PLAIN, replace(PLAIN, min_presence=0.0)):
        for fps in (25.0, 30.0):
            points_TKC = Resampler(config).push(person(60, fps=fps))
            assert np.isfinite(points_TKC).all()
            assert not points_TKC[points_TKC[..., 3] == 0].any()
            assert points_TKC[..., 3].any()


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
