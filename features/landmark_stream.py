"""Points at a fixed rate to frames: repair, then each group about its origin in its unit, with motion and mask.

Nothing here looks ahead but the repair, and nothing is kept but the frames it waits for, one frame more, and for each
group its last origin and the last second of its unit.

Shapes: T frames, K points of the input, G groups, P points of all groups (one in two groups counts twice), D
dimensions, C = 4: x, y, z and presence, F features.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from features.framing import Array
from features.landmark_config import LandmarkConfig
from features.repair import Places, RepairStream

UNIT_SECONDS = 1.0
"""A group's unit is the median over so many seconds of frames in which it was seen: one wild frame changes little."""

UNIT_FLOOR = 0.25
"""A sighting of the unit counts as this share of the running one at least: a hand seen edge-on has no length."""

FAST = 10.0
"""Units a second at which the feature of motion is 1/2: a hand moved at ease, counted in palm lengths."""

REACH = 100.0
"""Nothing is this many units away from its origin: what is, is a mistake of the landmarker and stays here."""

REACH_WITHOUT_UNIT = 1e6
"""The same for groups without a unit, and for motion: far beyond all pixels."""

TILE_FRAMES = 512
"""Frames worked on at once, so that ten hours of landmarks need no second copy in float64."""

Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]


class LandmarkStream:
    """A resampler's points (T,K,4) in, frames (T,F) out, `config.repair_frames` later.

    Args:
        config: What to compute.
        finish: Raw frames, NaN where absent, to the frames that are given.
    """

    def __init__(self, config: LandmarkConfig, finish: Callable[[Array], Array]) -> None:
        self._points = len(config.points)
        self._dimensions = config.dimensions
        self._finish = finish
        self._repair = RepairStream(self._points, config.dimensions, config.repair_frames)
        self._frames = _Frames(config)

    def push(self, points_TKC: npt.ArrayLike, /) -> Array:
        """Takes points (T,K,4), any T, and returns the frames that are now settled.

        Raises:
            ValueError: another shape, or a point that is present without a finite place; nothing was taken.
        """
        points_TKC = np.asarray(points_TKC, dtype=np.float32)
        if points_TKC.ndim != 3 or points_TKC.shape[1:] != (self._points, 4):
            raise ValueError(f"points have shape {points_TKC.shape}; (T, {self._points}, 4) is needed")
        seen_TK = points_TKC[..., 3] > 0
        if not np.isfinite(points_TKC).all() and not np.isfinite(points_TKC[seen_TK]).all():
            raise ValueError("a point that is present has coordinates that are no finite numbers")
        tiles = [
            self._push_tile(points_TKC[t : t + TILE_FRAMES], seen_TK[t : t + TILE_FRAMES])
            for t in range(0, max(1, len(points_TKC)), TILE_FRAMES)
        ]
        return tiles[0] if len(tiles) == 1 else np.concatenate(tiles)

    def flush(self) -> Array:
        """Ends the input: the frames still due. Starts afresh."""
        frames_TF = self._finish(self._frames.push(self._repair.flush()))
        self._frames.reset()
        return frames_TF

    def _push_tile(self, points_TKC: Array, seen_TK: Bool) -> Array:
        place_TKD = points_TKC[..., : self._dimensions].astype(np.float64)
        np.copyto(place_TKD, 0.0, where=~seen_TK[..., None])
        return self._finish(self._frames.push(self._repair.push(place_TKD, seen_TK)))


class _Frames:
    """Repaired places to raw frames (T,F) float32, NaN where absent."""

    def __init__(self, config: LandmarkConfig) -> None:
        index = {name: k for k, name in enumerate(config.points)}
        self._config = config
        self._features = len(feature_names(config))
        self._groups = _Groups(config, index)
        self._point_P = np.array([index[name] for group in config.groups for name in group.points])
        self._group_P = np.repeat(np.arange(len(config.groups)), [len(group.points) for group in config.groups])
        unit_P = np.array([bool(config.groups[g].unit) for g in self._group_P])[:, None]
        self._reach_P = np.where(unit_P, REACH, REACH_WITHOUT_UNIT)
        # Motion v becomes v / (slow + bend |v|).
        self._slow_P, self._bend_P = np.where(unit_P, FAST, 1.0), np.where(unit_P, 1.0, 0.0)
        # How many points each feature of the mask is about, and the first of them.
        sizes = [[len(group.points)] if group.one_mask else [1] * len(group.points) for group in config.groups]
        self._mask_size = np.array([size for group in sizes for size in group])
        self._mask_start = np.cumsum(self._mask_size) - self._mask_size
        self.reset()

    def reset(self) -> None:
        self._groups.reset()
        self._last_PD = np.zeros((len(self._point_P), self._config.dimensions))
        self._last_P = np.zeros(len(self._point_P), dtype=np.bool_)

    def push(self, places: Places) -> Array:
        frames = len(places.place_TKD)
        out_TF = np.empty((frames, self._features), dtype=np.float32)
        if not frames:
            return out_TF
        origin_TGD, unit_TG, known_TG = self._groups.push(places)
        unit_TP = unit_TG.take(self._group_P, axis=1)[..., None]
        known_TP = known_TG.take(self._group_P, axis=1)
        place_TPD = places.place_TKD.take(self._point_P, axis=1)
        present_TP = places.present_TK.take(self._point_P, axis=1) & known_TP
        columns = place_TPD[0].size
        coordinates_TPD = place_TPD - origin_TGD.take(self._group_P, axis=1)
        coordinates_TPD /= unit_TP
        _bound(coordinates_TPD, self._reach_P)
        np.copyto(coordinates_TPD, np.nan, where=~present_TP[..., None])
        out_TF[:, :columns] = coordinates_TPD.reshape(frames, columns)
        if self._config.velocities:
            out_TF[:, columns : 2 * columns] = self._motion(place_TPD, present_TP, unit_TP).reshape(frames, columns)
            columns *= 2
        if self._config.mask:
            seen_TP = places.seen_TK.take(self._point_P, axis=1) & known_TP
            out_TF[:, columns:] = np.add.reduceat(seen_TP, self._mask_start, axis=1, dtype=np.int64) / self._mask_size
        return out_TF

    def _motion(self, place_TPD: Float64, present_TP: Bool, unit_TP: Float64) -> Float64:
        before_TPD = np.concatenate((self._last_PD[None], place_TPD[:-1]))
        before_TP = np.concatenate((self._last_P[None], present_TP[:-1]))
        self._last_PD, self._last_P = place_TPD[-1], present_TP[-1]
        motion_TPD = place_TPD - before_TPD
        motion_TPD *= self._config.fps
        motion_TPD /= unit_TP
        motion_TPD /= self._slow_P + self._bend_P * np.abs(motion_TPD)
        _bound(motion_TPD, REACH_WITHOUT_UNIT)
        np.copyto(motion_TPD, np.nan, where=~(present_TP & before_TP)[..., None])
        return motion_TPD


class _Groups:
    """Origin and unit of each group as time goes on.

    Sums over points run in the order of their names, one after the other, so that no bit depends on how many frames are
    pushed at once. Groups with fewer names than another have 0 added.
    """

    def __init__(self, config: LandmarkConfig, index: dict[str, int]) -> None:
        groups = config.groups
        self._dimensions = config.dimensions
        self._window = max(1, round(UNIT_SECONDS * config.fps))
        self._origin_GN, self._is_origin_GN = _table([[index[name] for name in group.origin] for group in groups])
        self._no_origin_GN = ~self._is_origin_GN
        self._one_GN, self._is_pair_GN = _table([[index[one] for one, _ in group.pairs] for group in groups])
        self._other_GN, _ = _table([[index[other] for _, other in group.pairs] for group in groups])
        self._origins_G1 = np.maximum(self._is_origin_GN.sum(axis=1), 1)[:, None]
        self._pairs_G = np.maximum(self._is_pair_GN.sum(axis=1), 1)
        self._has_unit = [bool(group.unit) for group in groups]
        self.reset()

    def reset(self) -> None:
        groups = len(self._has_unit)
        self._last_GD: Float64 = np.zeros((groups, self._dimensions))
        self._known_G = ~self._is_origin_GN.any(axis=1)
        self._units = [RunningUnit(self._window) if has else None for has in self._has_unit]

    def push(self, places: Places) -> tuple[Float64, Float64, Bool]:
        """Origin (T,G,D), unit (T,G), and whether both were seen by then (T,G); at least one frame."""
        origin_TGD, known_TG = self._origins(places)
        unit_TG = np.ones(known_TG.shape)
        lengths_TG = self._lengths(places)
        for g, unit in enumerate(self._units):
            if unit is not None:
                unit_TG[:, g] = [unit.push(length) for length in lengths_TG[:, g].tolist()]
        seen_TG = unit_TG > 0.0
        if not seen_TG.all():
            unit_TG[~seen_TG] = 1.0
        return origin_TGD, unit_TG, known_TG & seen_TG

    def _origins(self, places: Places) -> tuple[Float64, Bool]:
        frames = len(places.place_TKD)
        place_TGND = places.place_TKD.take(self._origin_GN, axis=1)
        place_TGND *= self._is_origin_GN[..., None]
        origin_TGD = place_TGND[:, :, 0]
        for n in range(1, place_TGND.shape[2]):
            origin_TGD = origin_TGD + place_TGND[:, :, n]
        origin_TGD = origin_TGD / self._origins_G1
        whole_TG = (places.present_TK.take(self._origin_GN, axis=1) | self._no_origin_GN).all(axis=2)
        if not whole_TG.all():
            # Row 0 is where the origin was before.
            row_TG = np.maximum.accumulate(np.where(whole_TG, np.arange(1, frames + 1)[:, None], 0))
            origin_TGD = np.concatenate((self._last_GD[None], origin_TGD))[row_TG, np.arange(len(self._has_unit))]
            whole_TG = (row_TG > 0) | self._known_G
        self._last_GD, self._known_G = origin_TGD[-1], whole_TG[-1]
        return origin_TGD, whole_TG

    def _lengths(self, places: Places) -> Float64:
        way_TGND = places.place_TKD.take(self._one_GN, axis=1) - places.place_TKD.take(self._other_GN, axis=1)
        way_TGND *= way_TGND
        square_TGN = way_TGND[..., 0] + way_TGND[..., 1]
        if self._dimensions == 3:
            square_TGN += way_TGND[..., 2]
        length_TGN = np.sqrt(square_TGN) * self._is_pair_GN
        total_TG = length_TGN[..., 0]
        for n in range(1, length_TGN.shape[2]):
            total_TG = total_TG + length_TGN[..., n]
        seen_TGN = (
            places.seen_TK.take(self._one_GN, axis=1) & places.seen_TK.take(self._other_GN, axis=1) | ~self._is_pair_GN
        )
        return np.where(seen_TGN.all(axis=2), total_TG / self._pairs_G, 0.0)


def _bound(values: Float64, most: Float64 | float) -> None:
    """Brings values to [-most, most], in place."""
    np.maximum(values, -most, out=values)
    np.minimum(values, most, out=values)


def _table(rows: list[list[int]]) -> tuple[npt.NDArray[np.intp], Bool]:
    """Rows of different lengths as one table filled up with 0, and where it is filled with their own; never empty."""
    width = max(1, max(len(row) for row in rows))
    table = np.array([row + [0] * (width - len(row)) for row in rows], dtype=np.intp)
    return table, np.arange(width) < np.array([len(row) for row in rows])[:, None]


class RunningUnit:
    """Median of the last `window` lengths above 0, each counted as `UNIT_FLOOR` of the median before it at least.

    So neither one wild frame nor half a second of a hand seen edge-on changes the unit much, and a person who comes
    nearer does within half a second.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._recent: deque[float] = deque()
        self._sorted: list[float] = []
        self._value = 0.0

    def push(self, length: float) -> float:
        """Takes the length in one frame, 0 where it was not seen; the unit, 0 before the first sighting."""
        if length <= 0.0:
            return self._value
        length = max(length, UNIT_FLOOR * self._value)
        if len(self._recent) == self._window:
            del self._sorted[bisect_left(self._sorted, self._recent.popleft())]
        self._recent.append(length)
        insort(self._sorted, length)
        middle, odd = divmod(len(self._sorted), 2)
        self._value = self._sorted[middle] if odd else 0.5 * (self._sorted[middle - 1] + self._sorted[middle])
        return self._value


def feature_names(config: LandmarkConfig) -> tuple[str, ...]:
    """What each of the F features is, such as `left_wrist.x`, `left_wrist.dx`, `left_wrist.seen`, `left_hand.seen`."""
    points = [name for group in config.groups for name in group.points]
    axes = "xyz"[: config.dimensions]
    names = [f"{name}.{axis}" for name in points for axis in axes]
    if config.velocities:
        names += [f"{name}.d{axis}" for name in points for axis in axes]
    if config.mask:
        for group in config.groups:
            seen = [group.points[0].partition("hand_")[0] + "hand"] if group.one_mask else group.points
            names += [f"{name}.seen" for name in seen]
    return tuple(names)
