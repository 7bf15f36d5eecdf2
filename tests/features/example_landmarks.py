"""Landmarks for files, and whether what was read is what was written.

This file is no package's part: take it with `runpy.run_path`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from features.landmarks import PERSON, Landmarks


def example(
    frames: int = 12,
    *,
    points: tuple[str, ...] = PERSON,
    rate: float = 25.0,
    size: tuple[int, int] | None = (640, 480),
    time: Sequence[float] | None = None,
    mirrored: bool = False,
    seed: int = 0,
) -> Landmarks:
    rng = np.random.default_rng(seed)
    presence_TK = rng.uniform(0.1, 1, (frames, len(points))) * (rng.random((frames, len(points))) > 0.3)
    coordinates_TKC = rng.normal(300, 200, (frames, len(points), 3))
    time_T = np.arange(frames) / rate if time is None else time
    return Landmarks(coordinates_TKC, presence_TK, time_T, points, size, mirrored)


def assert_same(found: Landmarks, expected: Landmarks, *, time_within: float = 0.0) -> None:
    np.testing.assert_array_equal(found.coordinates_TKC[..., :2], expected.coordinates_TKC[..., :2])
    np.testing.assert_allclose(found.coordinates_TKC[..., 2], expected.coordinates_TKC[..., 2], rtol=1.2e-7)
    np.testing.assert_array_equal(found.presence_TK, expected.presence_TK)
    np.testing.assert_allclose(found.time_T, expected.time_T, rtol=0, atol=time_within)
    assert (found.points, found.size, found.mirrored) == (expected.points, expected.size, expected.mirrored)
