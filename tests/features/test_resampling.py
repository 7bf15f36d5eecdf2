"""A fixed frame rate: no drift, holes that stay holes, and times that must rise."""

from __future__ import annotations

import runpy
from dataclasses import replace
from fractions import Fraction
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest

from features.landmarks import LandmarkError, Landmarks, joined
from features.normalize import (
    GroupConfig,
    LandmarkExtractor,
    Resampler,
)

PLAIN, one_point, person = itemgetter("PLAIN", "one_point", "person")(
    runpy.run_path(str(Path(__file__).with_name("plain_landmarks.py")))
)


def test_the_same_rate_changes_nothing() -> None:
    for fps in (25.0, 24.0, 30000 / 1001):
        landmarks = person(500, fps=fps, absent=0.0)
        points_TKC = Resampler(replace(PLAIN, fps=fps)).push(landmarks)
        present_TK = landmarks.presence_TK >= 0.5
        np.testing.assert_array_equal(points_TKC[..., 3], np.where(present_TK, landmarks.presence_TK, 0.0))
        np.testing.assert_array_equal(points_TKC[present_TK][:, :3], landmarks.coordinates_TKC[present_TK])
        assert not points_TKC[~present_TK].any()


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
