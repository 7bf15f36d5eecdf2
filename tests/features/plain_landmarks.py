"""Landmarks to frames once more, plainly: from the definitions over whole arrays, one frame and one point at a time.

This file is no package's part: take it with `runpy.run_path`.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, pairwise

import numpy as np

from features.landmark_stream import FAST, REACH, REACH_WITHOUT_UNIT, UNIT_FLOOR
from features.landmarks import PERSON, Landmarks
from features.normalize import (
    EITHER_HAND_GROUP,
    GroupConfig,
    LandmarkConfig,
    LandmarkExtractor,
    PresentStatistics,
)

SMALL = LandmarkConfig(
    groups=(
        GroupConfig(points=("a", "b", "c"), origin=("a", "b"), unit=("a", "b", "b", "c")),
        GroupConfig(points=("hand_wrist", "hand_middle_mcp"), origin=("hand_wrist",), unit=EITHER_HAND_GROUP.unit),
        GroupConfig(points=("c", "d")),
    ),
    normalization="none",
)
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


def one_point(places: list[float | None], times: list[float], name: str = "nose") -> Landmarks:
    coordinates_TKC = [[[np.nan if x is None else x, 0, 0]] for x in places]
    return Landmarks(coordinates_TKC, [[float(x is not None)] for x in places], times, (name,))


def fitted(config: LandmarkConfig, clips: list[Landmarks]) -> LandmarkExtractor:
    config = replace(config, normalization="global")
    statistics = PresentStatistics()
    for clip in clips:
        statistics.add(LandmarkExtractor(config).raw(clip))
    return LandmarkExtractor(config, mean=statistics.mean, std=statistics.std)
