"""Landmarks of any frame rate, regular or not, to a model's fixed one, as they come.

Frame k of the result belongs to the time `start + k / fps`, with k an integer, so nothing drifts however long a stream
is. Each frame is computed from the two frames of the input around it alone, so the result does not depend on how the
input was grouped; it is known when the later one of the two has come.

Shapes: N frames of the input, T frames of the result, K points, C = 4: x, y, z and presence.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from features.framing import Array
from features.landmark_config import LandmarkConfig
from features.landmarks import LandmarkError, Landmarks, mirror_name

SNAP_SECONDS = 1e-6
"""A frame of the input this near a frame's time is at it: times are rounded numbers, and 1/25 s has no exact one."""

LONGEST_HOLE_SECONDS = 3600.0
"""Further apart, frames are of different recordings, or their times are in another unit than seconds."""

HAND_KEPT_SECONDS = 0.5
"""How long the hand in use must be gone before the other one takes its place."""

BLOCK_FRAMES = 1024

Float64 = npt.NDArray[np.float64]


class Resampler:
    """Landmarks in, points (T,K,4) float32 at the fixed rate out: x, y, z, presence; all 0 where a point is absent.

    Between two frames of the input in which a point is present it is interpolated linearly, else it is as in the
    nearer of the two. Points are those of `config.points` in this order, in unmirrored images.

    A point named `hand_...` comes from the hand that is in use: the first that is seen (the right one if both are),
    and then this one until it has been absent for half a second and the other one is there. If the source has points
    of such names itself, these are taken.

    Attributes:
        start: Time in seconds of frame 0; of the last stream after :meth:`flush`, and none before the first frame.
    """

    def __init__(self, config: LandmarkConfig) -> None:
        self._config = config
        self.points = config.points
        self.start: float | None = None
        self._hand_K = np.array([name.startswith("hand_") for name in self.points])
        self._columns: dict[tuple[tuple[str, ...], bool], _Columns] = {}
        self._reset()

    def _reset(self) -> None:
        self._fresh = True
        self._given = 0  # frames given so far
        self._last_time = 0.0
        self._last_KC: Array = np.zeros((len(self.points), 4), dtype=np.float32)
        self._right = True  # which hand is in use
        self._hand_seen: float | None = None  # when it was seen last

    def push(self, landmarks: Landmarks, /) -> Array:
        """Takes the next frames of the input, any number, and returns those that are now known.

        Raises:
            LandmarkError: time runs backwards, or jumps by more than an hour; nothing was taken.
        """
        if not len(landmarks):
            return self._empty()
        self._check_times(landmarks.time_T)
        if self._fresh:
            self.start = float(landmarks.time_T[0])
            self._last_time = self.start - 1.0  # no frame: what is interpolated from there has weight 0
            self._fresh = False
        blocks = [self._take(landmarks, slice(i, i + BLOCK_FRAMES)) for i in range(0, len(landmarks), BLOCK_FRAMES)]
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)

    def flush(self) -> Array:
        """Ends the input and starts afresh; nothing is still due, since the last frame of the input has come."""
        self._reset()
        return self._empty()

    def _empty(self) -> Array:
        return np.empty((0, len(self.points), 4), dtype=np.float32)

    def _check_times(self, time_N: Float64) -> None:
        first = time_N[0] if self._fresh else self._last_time
        if not self._fresh and time_N[0] <= first:
            raise LandmarkError(
                f"time runs backwards: a frame at {time_N[0]:.6f} s after one at {first:.6f} s; "
                "start another stream for another recording"
            )
        if time_N[-1] - first > LONGEST_HOLE_SECONDS:  # else no hole can be that long
            time_N = np.concatenate(([first], time_N))
            far = np.flatnonzero(np.diff(time_N) > LONGEST_HOLE_SECONDS)
            if len(far):
                before, after = time_N[far[0]], time_N[far[0] + 1]
                raise LandmarkError(
                    f"time jumps from {before:.3f} s to {after:.3f} s: times are in seconds, and what is more than an "
                    "hour apart belongs to different streams"
                )

    def _take(self, source: Landmarks, frames: slice) -> Array:
        assert self.start is not None
        time_N = source.time_T[frames]
        points_NKC, switched_N = self._select(source, frames)
        due_N = complete_frames(time_N - self.start, self._config.fps)
        number_T = np.arange(self._given, due_N[-1])
        later_T = np.searchsorted(due_N, number_T, side="right")
        # Row i of these is the frame before row i of the new ones.
        before_time_N = np.concatenate(([self._last_time], time_N[:-1]))
        before_NKC = np.concatenate((self._last_KC[None], points_NKC[:-1]))
        if switched_N.any():
            before_NKC[np.ix_(switched_N, self._hand_K)] = 0.0
        out_TKC = self._interpolate(
            before_NKC.take(later_T, axis=0),
            points_NKC.take(later_T, axis=0),
            before_time_N[later_T],
            time_N[later_T],
            self.start + number_T / self._config.fps,
        )
        self._given = int(due_N[-1])
        self._last_time = float(time_N[-1])
        self._last_KC = points_NKC[-1].copy()
        return out_TKC

    def _interpolate(
        self,
        before_TKC: Array,
        after_TKC: Array,
        before_T: Float64,
        after_T: Float64,
        time_T: Float64,
    ) -> Array:
        distance_T = after_T - before_T
        at_T = after_T - time_T <= SNAP_SECONDS
        if at_T.all():  # so it is where the rates are the same, and where no frame is due
            return after_TKC
        weight_T = np.where(at_T, 1.0, time_T - before_T) / np.where(at_T, 1.0, distance_T)
        nearer_TKC = np.where((weight_T >= 0.5)[:, None, None], after_TKC, before_TKC)
        start_TKC = before_TKC.astype(np.float64)
        line_TKC = (start_TKC + (after_TKC - start_TKC) * weight_T[:, None, None]).astype(np.float32)
        both_TK = (before_TKC[..., 3] > 0) & (after_TKC[..., 3] > 0) & ~at_T[:, None]
        out_TKC = np.where(both_TK[..., None], line_TKC, nearer_TKC)
        hole_T = distance_T > self._config.max_hole_ms / 1000.0 + SNAP_SECONDS
        if hole_T.any():
            out_TKC[hole_T & ~at_T] = 0.0
        return out_TKC

    def _select(self, source: Landmarks, frames: slice) -> tuple[Array, npt.NDArray[np.bool_]]:
        """The configured points (N,K,4), absent ones 0, and where the hand in use becomes another one."""
        key = (source.points, source.mirrored)
        columns = self._columns.get(key)
        if columns is None:
            columns = self._columns[key] = _Columns(self.points, *key)
        points_NKC = self._gather(source, frames, columns.right_K)
        switched_N = np.zeros(len(points_NKC), dtype=np.bool_)
        if columns.left_K is None:
            return points_NKC, switched_N
        left_NKC = self._gather(source, frames, columns.left_K)
        right_there = (points_NKC[:, self._hand_K, 3] > 0).any(axis=1).tolist()
        left_there = (left_NKC[:, self._hand_K, 3] > 0).any(axis=1).tolist()
        use_left_N = np.zeros_like(switched_N)
        for n, time in enumerate(source.time_T[frames].tolist()):
            switched_N[n] = self._choose_hand(right_there[n], left_there[n], time)
            use_left_N[n] = not self._right
        points_NKC[use_left_N] = left_NKC[use_left_N]
        return points_NKC, switched_N

    def _choose_hand(self, right: bool, left: bool, time: float) -> bool:
        """Whether the other hand is in use from now on."""
        first = self._hand_seen is None
        if first:
            if not (right or left):
                return False
            switched = False
            self._right = right
        else:
            assert self._hand_seen is not None
            there, other = (right, left) if self._right else (left, right)
            gone = time - self._hand_seen >= HAND_KEPT_SECONDS - SNAP_SECONDS
            switched = not there and other and gone
            if switched:
                self._right = not self._right
        if right if self._right else left:
            self._hand_seen = time
        return switched

    def _gather(self, source: Landmarks, frames: slice, columns_K: npt.NDArray[np.intp]) -> Array:
        """These columns of the source; as `source.unmirrored()` has them, without the cost of making it."""
        points_NKC = np.zeros((len(source.time_T[frames]), len(self.points), 4), dtype=np.float32)
        absent_K = columns_K < 0
        if absent_K.all():
            return points_NKC
        points_NKC[..., :3] = source.coordinates_TKC[frames].take(columns_K, axis=1, mode="clip")
        if source.mirrored:
            width = 0.0 if source.size is None else source.size[0]
            np.subtract(width, points_NKC[..., 0], out=points_NKC[..., 0])
        points_NKC[..., 3] = presence_NK = source.presence_TK[frames].take(columns_K, axis=1, mode="clip")
        absent_NK = (presence_NK < np.float32(self._config.min_presence)) | (presence_NK == 0) | absent_K
        np.copyto(points_NKC, 0.0, where=absent_NK[..., None])
        return points_NKC


class _Columns:
    """Where the configured points are among those of a source: -1 for one that it does not have."""

    def __init__(self, points: tuple[str, ...], source: tuple[str, ...], mirrored: bool) -> None:
        index = {mirror_name(name) if mirrored else name: column for column, name in enumerate(source)}
        own = any(name.startswith("hand_") for name in source)
        either = any(name.startswith("hand_") for name in points) and not own

        def columns(side: str) -> npt.NDArray[np.intp]:
            names = [side + name if either and name.startswith("hand_") else name for name in points]
            return np.array([index.get(name, -1) for name in names], dtype=np.intp)

        self.right_K = columns("right_")
        self.left_K = columns("left_") if either else None


def complete_frames(seconds_N: npt.NDArray[np.float64], fps: float) -> npt.NDArray[np.int64]:
    """How many frames of the fixed rate, from 0 s on, lie at or before each of these times."""
    return np.floor((seconds_N + SNAP_SECONDS) * fps).astype(np.int64) + 1


def num_frames(landmarks: Landmarks, fps: float) -> int:
    """Exact number of frames that these landmarks become."""
    if not len(landmarks):
        return 0
    return math.floor((float(landmarks.time_T[-1]) - float(landmarks.time_T[0]) + SNAP_SECONDS) * fps) + 1
