"""Short absences of a point, bridged by a straight line: landmarkers lose a hand for a frame or two all the time.

Whether an absence is short is known only when the point is back, so the result lags behind by the longest absence that
is repaired. Frame k stays frame k. What was repaired is present but was not seen, and both are told.

Shapes: T frames, K points, D dimensions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

NEVER = -(2**61)
LATER = 2**61


class Places(NamedTuple):
    """Where points are: places (T,K,D) float64, 0 where absent; (T,K) whether present, and whether really seen."""

    place_TKD: npt.NDArray[np.float64]
    present_TK: npt.NDArray[np.bool_]
    seen_TK: npt.NDArray[np.bool_]


class RepairStream:
    """Places in, repaired places out, `longest` frames later.

    Args:
        points: K.
        dimensions: D.
        longest: Absences of up to so many frames are repaired; 0 repairs nothing and waits for nothing. Those at the
            beginning and the end of the stream are never repaired.
    """

    def __init__(self, points: int, dimensions: int, longest: int) -> None:
        self._shape = (points, dimensions)
        self._longest = longest
        self._reset()

    def _reset(self) -> None:
        points, dimensions = self._shape
        self._base = 0  # number of the first frame held
        self._held_TKD = np.zeros((0, points, dimensions))
        self._held_TK = np.zeros((0, points), dtype=np.bool_)
        # Where each point was seen last before the frames held, and when.
        self._last_KD = np.zeros((points, dimensions))
        self._last_K = np.full(points, NEVER)

    def push(self, place_TKD: npt.NDArray[np.float64], seen_TK: npt.NDArray[np.bool_], /) -> Places:
        """Takes frames, whose places are 0 where nothing was seen, and returns those that are now settled."""
        if self._longest:
            place_TKD = np.concatenate((self._held_TKD, place_TKD))
            seen_TK = np.concatenate((self._held_TK, seen_TK))
        return self._advance(place_TKD, seen_TK, max(0, len(place_TKD) - self._longest))

    def flush(self) -> Places:
        """Ends the stream: the frames still due. Starts afresh."""
        places = self._advance(self._held_TKD, self._held_TK, len(self._held_TKD))
        self._reset()
        return places

    def _advance(self, place_TKD: npt.NDArray[np.float64], seen_TK: npt.NDArray[np.bool_], due: int) -> Places:
        out_TKD, seen_out_TK = place_TKD[:due], seen_TK[:due]
        present_TK = seen_out_TK
        if self._longest and due:
            number_T = np.arange(self._base, self._base + len(place_TKD))[:, None]
            last_TK = np.maximum.accumulate(np.where(seen_out_TK, number_T[:due], NEVER))
            last_TK = np.maximum(last_TK, self._last_K)
            if (~seen_out_TK & (number_T[:due] - last_TK <= self._longest)).any():
                out_TKD, present_TK = self._fill(place_TKD, seen_TK, number_T, last_TK)
            self._keep(out_TKD, last_TK[-1])
        self._base += due
        self._held_TKD, self._held_TK = place_TKD[due:].copy(), seen_TK[due:].copy()
        return Places(out_TKD, present_TK, seen_out_TK)

    def _fill(
        self,
        place_TKD: npt.NDArray[np.float64],
        seen_TK: npt.NDArray[np.bool_],
        number_T: npt.NDArray[np.int64],
        last_TK: npt.NDArray[np.int64],
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        due = len(last_TK)
        next_TK = np.minimum.accumulate(np.where(seen_TK, number_T, LATER)[::-1])[::-1][:due]
        fill_TK = ~seen_TK[:due] & (next_TK - last_TK <= self._longest + 1)
        t, k = np.nonzero(fill_TK)
        if not len(t):
            return place_TKD[:due], seen_TK[:due]
        before, after = last_TK[t, k], next_TK[t, k]
        begin = np.where(
            (before >= self._base)[:, None], place_TKD[np.maximum(before - self._base, 0), k], self._last_KD[k]
        )
        way = place_TKD[after - self._base, k] - begin
        share = (number_T[t, 0] - before) / (after - before)
        out_TKD = place_TKD[:due].copy()
        out_TKD[t, k] = begin + way * share[:, None]
        return out_TKD, seen_TK[:due] | fill_TK

    def _keep(self, place_TKD: npt.NDArray[np.float64], last_K: npt.NDArray[np.int64]) -> None:
        k = (last_K >= self._base).nonzero()[0]
        self._last_KD[k] = place_TKD[last_K[k] - self._base, k]
        self._last_K = last_K
