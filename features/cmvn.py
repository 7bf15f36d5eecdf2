"""Normalising the level of features: with fixed statistics, a running mean, or those of the whole utterance.

Fixed and running statistics know nothing of the future and may stream. Statistics of the whole utterance do not, and
a model trained with them cannot listen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from features.framing import Array, FrameStream

BLOCK_FRAMES = 4096
"""Frames taken to float64 at once, so that an hour of them needs no second copy."""

CONSTANT_VARIANCE = 1e-10
"""A feature that varies less than this is constant: it is centred and not scaled."""


class Normalization(Protocol):
    """What the three normalisations offer: frames (T, F) to frames (T, F)."""

    streams: ClassVar[bool]

    def __call__(self, frames_TF: npt.ArrayLike) -> Array: ...

    def stream(self) -> FrameStream: ...


class CmvnAccumulator:
    """Mean and standard deviation over many utterances, summed in float64: ``add(frames)`` each, then read."""

    def __init__(self) -> None:
        self.count = 0
        self._mean: npt.NDArray[np.float64] | None = None
        self._scatter: npt.NDArray[np.float64] | None = None

    def add(self, frames_TF: npt.ArrayLike) -> None:
        """Takes the frames (T, F) of one utterance; an empty one changes nothing."""
        frames_TF = np.asarray(frames_TF)
        for start in range(0, len(frames_TF), BLOCK_FRAMES):
            self._add_block(frames_TF[start : start + BLOCK_FRAMES].astype(np.float64))

    def _add_block(self, block_TF: npt.NDArray[np.float64]) -> None:
        added = len(block_TF)
        mean = block_TF.mean(axis=0)
        scatter = ((block_TF - mean) ** 2).sum(axis=0)
        if self._mean is None or self._scatter is None:
            self.count, self._mean, self._scatter = added, mean, scatter
            return
        # Chan, Golub and LeVeque (1979): joining two groups without the cancellation of sums of squares.
        total = self.count + added
        shift = mean - self._mean
        self._scatter += scatter + shift**2 * (self.count * added / total)
        self._mean += shift * (added / total)
        self.count = total

    @property
    def mean(self) -> Array:
        """Mean of each feature, shape (F,)."""
        if self._mean is None:
            raise ValueError("no frames were added: there are no statistics to compute")
        return self._mean.astype(np.float32)

    @property
    def std(self) -> Array:
        """Standard deviation of each feature, shape (F,); 1 for a feature that never changes."""
        if self._scatter is None:
            raise ValueError("no frames were added: there are no statistics to compute")
        variance = self._scatter / self.count
        return np.where(variance > CONSTANT_VARIANCE, np.sqrt(variance), 1.0).astype(np.float32)


class GlobalCmvn:
    """Subtracts a fixed mean and divides by a fixed standard deviation, both of shape (F,)."""

    streams: ClassVar[bool] = True

    def __init__(self, mean_F: npt.ArrayLike, std_F: npt.ArrayLike) -> None:
        self.mean = np.array(mean_F, dtype=np.float32)
        self.std = np.array(std_F, dtype=np.float32)
        if self.mean.ndim != 1 or self.mean.shape != self.std.shape:
            raise ValueError(f"mean and std have shapes {self.mean.shape} and {self.std.shape}; both must be (F,)")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.std).all() and (self.std > 0.0).all()):
            raise ValueError("mean and std must be finite, and std above 0")

    def __call__(self, frames_TF: npt.ArrayLike) -> Array:
        out_TF = np.asarray(frames_TF, dtype=np.float32) - self.mean
        out_TF /= self.std
        return out_TF

    def stream(self) -> FrameStream:
        return _FrameByFrame(self)


class RunningCmvn:
    """Subtracts the mean of the last ``window_frames`` frames, the present one included; causal.

    At the start the mean is over the frames so far, so the first frame becomes zero. The sum runs in float64, one
    frame after the other, in the same order for a recording and a stream.
    """

    streams: ClassVar[bool] = True

    def __init__(self, window_frames: int) -> None:
        if window_frames < 1:
            raise ValueError(f"window_frames={window_frames}: a running mean needs at least one frame")
        self.window_frames = window_frames

    def __call__(self, frames_TF: npt.ArrayLike) -> Array:
        return self.stream().push(frames_TF)

    def stream(self) -> FrameStream:
        return _RunningStream(self.window_frames)


class UtteranceCmvn:
    """Gives every feature mean 0 and standard deviation 1 over the whole utterance. Offline only."""

    streams: ClassVar[bool] = False

    def __call__(self, frames_TF: npt.ArrayLike) -> Array:
        frames_TF = np.asarray(frames_TF, dtype=np.float32)
        if not len(frames_TF):
            return frames_TF.copy()
        statistics = CmvnAccumulator()
        statistics.add(frames_TF)
        return GlobalCmvn(statistics.mean, statistics.std)(frames_TF)

    def stream(self) -> FrameStream:
        raise ValueError(
            "normalization=utterance needs the whole utterance and cannot stream; use global or running statistics"
        )


class _FrameByFrame:
    """Stream of a step that treats each frame by itself."""

    def __init__(self, step: Callable[[npt.ArrayLike], Array]) -> None:
        self._step = step
        self._width = 0

    def push(self, frames_TF: npt.ArrayLike, /) -> Array:
        out_TF = self._step(frames_TF)
        self._width = out_TF.shape[1]
        return out_TF

    def flush(self) -> Array:
        return np.empty((0, self._width), dtype=np.float32)


class _RunningStream:
    """Sliding sum over the last frames, carried from push to push; frame t of the last N lies in row t % N."""

    def __init__(self, window_frames: int) -> None:
        self._window = window_frames
        self._reset(0)

    def _reset(self, width: int) -> None:
        self._seen = 0
        self._sum = np.zeros((1, width))
        self._recent = np.zeros((self._window, width), dtype=np.float32)

    def push(self, frames_TF: npt.ArrayLike, /) -> Array:
        frames_TF = np.asarray(frames_TF, dtype=np.float32)
        if self._seen == 0:
            self._reset(frames_TF.shape[1])
        out_TF = np.empty_like(frames_TF)
        step = min(self._window, BLOCK_FRAMES)  # so that no frame both enters and leaves in one step
        for start in range(0, len(frames_TF), step):
            self._advance(frames_TF[start : start + step], out_TF[start : start + step])
        return out_TF

    def _advance(self, frames_TF: Array, out_TF: Array) -> None:
        number = np.arange(self._seen, self._seen + len(frames_TF))
        rows = number % self._window
        change = frames_TF.astype(np.float64) - self._recent[rows]
        self._recent[rows] = frames_TF
        # accumulate adds row after row: the same order whatever the number of rows pushed at once.
        sums = np.add.accumulate(np.concatenate((self._sum, change)), axis=0)[1:]
        np.subtract(frames_TF, sums / np.minimum(number + 1, self._window)[:, None], out=out_TF)
        self._sum = sums[-1:].copy()
        self._seen += len(frames_TF)

    def flush(self) -> Array:
        width = self._recent.shape[1]
        self._reset(width)
        return np.empty((0, width), dtype=np.float32)
