"""Differences over time appended to each frame (Kaldi's add-deltas), for recordings and for streams.

Order n is the regression slope over 2 * window + 1 frames applied n times. Kaldi applies it as one filter over the
input frames, so at the ends it is the input's first and last frame that repeat, and not the differences.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from features.framing import Array

BLOCK_FRAMES = 256
"""Frames worked on together, so that a long recording needs no second copy of its differences."""


class Deltas:
    """Appends ``order`` differences to each frame: (T, F) to (T, F * (order + 1)).

    Args:
        order: how often the difference is taken; 2 gives deltas and double deltas, 0 changes nothing.
        window: frames on either side that one difference looks at; the stream lags ``order * window`` frames behind.
    """

    def __init__(self, order: int = 2, window: int = 2) -> None:
        if order < 0:
            raise ValueError(f"deltas={order}: the order must not be negative")
        if window < 1:
            raise ValueError(f"window={window}: deltas look at one frame on either side at least")
        self.order = order
        self.window = window
        self._taps = _filters(order, window)

    @property
    def look_ahead(self) -> int:
        """Frames that a stream waits for."""
        return self.order * self.window

    def num_features(self, features: int) -> int:
        return features * (self.order + 1)

    def stream(self) -> DeltaStream:
        return DeltaStream(self)

    def __call__(self, frames_TF: npt.ArrayLike) -> Array:
        """Frames with their differences, (T, F * (order + 1)); as many frames as go in."""
        frames_TF = np.asarray(frames_TF, dtype=np.float32)
        out_TF = np.empty((len(frames_TF), self.num_features(frames_TF.shape[1])), dtype=np.float32)
        if len(frames_TF):
            reach = self.look_ahead
            self.filter_into(np.pad(frames_TF, ((reach, reach), (0, 0)), mode="edge"), out_TF)
        return out_TF

    def filter_into(self, context_TF: Array, out_TF: Array) -> None:
        """Writes the frames that have ``look_ahead`` neighbours on either side in ``context_TF``, with differences."""
        reach = self.look_ahead
        width = context_TF.shape[1]
        scratch = np.empty((min(BLOCK_FRAMES, len(out_TF)), width), dtype=np.float32)
        for start in range(0, len(out_TF), BLOCK_FRAMES):
            out = out_TF[start : start + BLOCK_FRAMES]
            product = scratch[: len(out)]
            context = context_TF[start : start + len(out) + 2 * reach]
            out[:, :width] = context[reach : reach + len(out)]
            for order, taps in enumerate(self._taps[1:], start=1):
                column = out[:, order * width : (order + 1) * width]
                column[:] = 0.0
                for offset, weight in taps:
                    np.multiply(context[reach + offset : reach + offset + len(out)], weight, out=product)
                    column += product


class DeltaStream:
    """Frames in, frames with differences out, ``look_ahead`` frames later."""

    def __init__(self, deltas: Deltas) -> None:
        self._deltas = deltas
        self._context: Array | None = None
        self._width = 0

    def push(self, frames_TF: npt.ArrayLike, /) -> Array:
        frames_TF = np.asarray(frames_TF, dtype=np.float32)
        self._width = frames_TF.shape[1]
        return self._advance(frames_TF)

    def flush(self) -> Array:
        if self._context is None:
            return np.empty((0, self._deltas.num_features(self._width)), dtype=np.float32)
        out_TF = self._advance(np.repeat(self._context[-1:], self._deltas.look_ahead, axis=0))
        self._context = None
        return out_TF

    def _advance(self, frames_TF: Array) -> Array:
        reach = self._deltas.look_ahead
        if self._context is None:
            context = np.concatenate((np.repeat(frames_TF[:1], reach, axis=0), frames_TF))
        else:
            context = np.concatenate((self._context, frames_TF))
        out_TF = np.empty((max(0, len(context) - 2 * reach), self._deltas.num_features(self._width)), dtype=np.float32)
        self._deltas.filter_into(context, out_TF)
        if len(context):
            self._context = context[len(out_TF) :].copy()
        return out_TF


def _filters(order: int, window: int) -> list[list[tuple[int, np.float32]]]:
    """For each order the (offset, weight) pairs that are not zero: the slope filter convolved with itself."""
    slope = np.arange(-window, window + 1, dtype=np.float64)
    slope /= (slope**2).sum()
    kernel = np.ones(1)
    filters = []
    for n in range(order + 1):
        reach = n * window
        filters.append([(i - reach, np.float32(w)) for i, w in enumerate(kernel) if abs(w) > 1e-12])
        kernel = np.convolve(kernel, slope)
    return filters
