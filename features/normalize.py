"""Landmarks to the frames that a model reads: a fixed rate, short gaps repaired, relative to the body, with motion.

The sibling of `features.extractor`: training, the model directory and the stream session use either. There is one
implementation, the stream; a whole recording is one push and one flush. All arithmetic is by element or in a fixed
order, so how the input was grouped changes no bit of the result.

What is absent is absent to the end: raw frames hold NaN there, statistics are those of present values, and after
normalisation it is 0, the mean. Whether it was seen is a feature of its own.

Shapes: T frames, K points, C = 4: x, y, z and presence, F features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from features.cmvn import BLOCK_FRAMES, CONSTANT_VARIANCE, GlobalCmvn
from features.framing import Array
from features.landmark_config import (
    BODY_GROUP,
    EITHER_HAND_GROUP,
    LEFT_HAND_GROUP,
    RIGHT_HAND_GROUP,
    GroupConfig,
    LandmarkConfig,
    config_from_dict,
    config_to_dict,
)
from features.landmark_stream import LandmarkStream, feature_names
from features.landmarks import Landmarks
from features.resample import Resampler, num_frames

__all__ = [
    "BODY_GROUP",
    "EITHER_HAND_GROUP",
    "LEFT_HAND_GROUP",
    "RIGHT_HAND_GROUP",
    "GroupConfig",
    "LandmarkConfig",
    "LandmarkExtractor",
    "PresentStatistics",
    "Resampler",
    "from_dict",
    "to_dict",
]


class LandmarkExtractor:
    """Landmarks to the frames that a model reads.

    A frame holds, for all points of the groups in their order: the coordinates relative to the group's origin in its
    unit; then, with `velocities`, the motion v of each since the frame before, before the camera and in units a second
    (as v / (10 + |v|), so that a jump of the landmarker stays bounded; as v itself in a group without a unit); then,
    with `mask`, which points were seen: 1 or 0 for each point, or for a hand the share of its points.
    `feature_names` names each of them.

    A unit is the running median over the last second in which it was seen. Until origin and unit of a group have been
    seen, its points count as absent.

    Args:
        config: what to compute.
        mean: mean of each feature over the training data, shape (F,); for normalization=global.
        std: standard deviation of each feature, shape (F,); for normalization=global. Without the two, :meth:`raw`
            works (it is what they are computed from) and normalised features do not.

    Attributes:
        shift_seconds: Time from one frame to the next.
        num_features: F.
        feature_names: What each feature is: `left_wrist.x`, `left_wrist.dx`, `left_wrist.seen`, `left_hand.seen`.
        points: Names of the K points of :meth:`stream`'s input, in order.
        delay_frames: How many frames a stream lags behind its input, to know which gaps are short; the frames keep
            their numbers.
        delay_seconds: The same in seconds. A resampler adds up to one frame of its input.
        streams: Always true.

    Raises:
        ValueError: statistics of another shape, or given where the configuration has no use for them.
    """

    streams = True

    def __init__(
        self, config: LandmarkConfig, *, mean: npt.ArrayLike | None = None, std: npt.ArrayLike | None = None
    ) -> None:
        self.config = config
        self.points = config.points
        self.shift_seconds = 1.0 / config.fps
        self.delay_frames = config.repair_frames
        self.delay_seconds = self.delay_frames / config.fps
        self.feature_names = feature_names(config)
        self.num_features = len(self.feature_names)
        self._cmvn = self._make_cmvn(mean, std)

    @property
    def mean(self) -> Array | None:
        """Mean of each feature, (F,), where the normalisation is global and has its statistics."""
        return None if self._cmvn is None else self._cmvn.mean

    @property
    def std(self) -> Array | None:
        """Standard deviation of each feature, (F,), where the normalisation is global and has its statistics."""
        return None if self._cmvn is None else self._cmvn.std

    def num_frames(self, landmarks: Landmarks) -> int:
        """Exact number of frames for these landmarks."""
        return num_frames(landmarks, self.config.fps)

    def resampler(self) -> Resampler:
        """A fresh resampler, whose points :meth:`stream` takes."""
        return Resampler(self.config)

    def raw(self, source: Landmarks | npt.ArrayLike) -> Array:
        """Frames (T, F) before normalisation, NaN where absent: what statistics are computed from.

        Args:
            source: Landmarks, or points (T,K,4) that a resampler gave.

        Raises:
            LandmarkError: the landmarks' times jump by more than an hour.
        """
        return self._whole(source, LandmarkStream(self.config, lambda frames_TF: frames_TF))

    def __call__(self, source: Landmarks | npt.ArrayLike) -> Array:
        """Frames (T, F) of whole landmarks, or of points (T,K,4) that a resampler gave; nothing in them is NaN."""
        return self._whole(source, self.stream())

    def stream(self) -> LandmarkStream:
        """A fresh stream from a resampler's points (T,K,4) to frames, which come `delay_frames` later.

        What it gives, put together, equals calling on the whole, bit for bit.
        """
        if self.config.normalization == "global" and self._cmvn is None:
            raise ValueError(
                "normalization=global has no statistics yet: add raw() of the training data to PresentStatistics "
                "and pass its mean and std"
            )
        return LandmarkStream(self.config, _normalized(self._cmvn))

    def _whole(self, source: Landmarks | npt.ArrayLike, stream: LandmarkStream) -> Array:
        points_TKC = self.resampler().push(source) if isinstance(source, Landmarks) else source
        return np.concatenate((stream.push(points_TKC), stream.flush()))

    def _make_cmvn(self, mean: npt.ArrayLike | None, std: npt.ArrayLike | None) -> GlobalCmvn | None:
        if (mean is None) != (std is None):
            raise ValueError("mean and std belong together: give both or neither")
        if mean is None or std is None:
            return None
        if self.config.normalization != "global":
            raise ValueError(
                f"normalization={self.config.normalization} takes no mean and std; they belong to normalization=global"
            )
        cmvn = GlobalCmvn(mean, std)
        if cmvn.mean.shape != (self.num_features,):
            raise ValueError(f"mean and std have {cmvn.mean.size} values; the features have {self.num_features}")
        return cmvn


class PresentStatistics:
    """Mean and standard deviation over many recordings of the values that are not NaN: ``add(frames)``, then read.

    The sibling of `features.cmvn.CmvnAccumulator`, and equal to it where nothing is absent.

    Attributes:
        count: Frames added.
    """

    def __init__(self) -> None:
        self.count = 0
        self._count_F: npt.NDArray[np.int64] | None = None
        self._mean_F = np.zeros(0)
        self._scatter_F = np.zeros(0)

    def add(self, frames_TF: npt.ArrayLike) -> None:
        """Takes the raw frames (T, F) of one recording; an empty one changes nothing."""
        frames_TF = np.asarray(frames_TF)
        self.count += len(frames_TF)
        for start in range(0, len(frames_TF), BLOCK_FRAMES):
            self._add_block(frames_TF[start : start + BLOCK_FRAMES].astype(np.float64))

    def _add_block(self, block_TF: npt.NDArray[np.float64]) -> None:
        present_TF = ~np.isnan(block_TF)
        added_F = present_TF.sum(axis=0)
        mean_F = np.where(present_TF, block_TF, 0.0).sum(axis=0) / np.maximum(added_F, 1)
        scatter_F = (np.where(present_TF, block_TF - mean_F, 0.0) ** 2).sum(axis=0)
        if self._count_F is None:
            self._count_F, self._mean_F, self._scatter_F = added_F, mean_F, scatter_F
            return
        # Chan, Golub and LeVeque (1979), with a count of its own for each feature.
        total_F = np.maximum(self._count_F + added_F, 1)
        shift_F = mean_F - self._mean_F
        self._scatter_F += scatter_F + shift_F**2 * (self._count_F * added_F / total_F)
        self._mean_F += shift_F * (added_F / total_F)
        self._count_F = self._count_F + added_F

    @property
    def mean(self) -> Array:
        """Mean of each feature where it is present, shape (F,); 0 for one that never is."""
        self._require_frames()
        return self._mean_F.astype(np.float32)

    @property
    def std(self) -> Array:
        """Standard deviation of each feature where present, (F,); 1 for one that never is or never changes."""
        variance_F = self._scatter_F / np.maximum(self._require_frames(), 1)
        return np.where(variance_F > CONSTANT_VARIANCE, np.sqrt(variance_F), 1.0).astype(np.float32)

    def _require_frames(self) -> npt.NDArray[np.int64]:
        if self._count_F is None:
            raise ValueError("no frames were added: there are no statistics to compute")
        return self._count_F


def _normalized(cmvn: GlobalCmvn | None) -> Callable[[Array], Array]:
    """Raw frames to those that a model reads: what is absent becomes 0."""

    def finish(frames_TF: Array) -> Array:
        out_TF = frames_TF if cmvn is None else cmvn(frames_TF)
        return np.where(np.isnan(out_TF), np.float32(0.0), out_TF)

    return finish


def to_dict(extractor: LandmarkExtractor) -> dict[str, Any]:
    """The extractor as plain YAML types: what a model directory stores.

    Keys are the fields of `LandmarkConfig`, and ``mean`` and ``std`` as lists where the normalisation has them.
    Numbers are the shortest that give the same float32 back.
    """
    stored = config_to_dict(extractor.config)
    if extractor.mean is not None and extractor.std is not None:
        stored["mean"] = [float(str(value)) for value in extractor.mean]
        stored["std"] = [float(str(value)) for value in extractor.std]
    return stored


def from_dict(stored: Mapping[str, Any]) -> LandmarkExtractor:
    """The extractor that :func:`to_dict` stored.

    Raises:
        ValueError: an unknown key or a value of the wrong kind, by its name, or a configuration that cannot be.
    """
    if not isinstance(stored, Mapping):
        raise ValueError(f"features.landmarks: expected keys with values, found {stored!r}")
    statistics = {name: _number_list(stored[name], name) for name in ("mean", "std") if name in stored}
    config = config_from_dict({key: value for key, value in stored.items() if key not in statistics})
    return LandmarkExtractor(config, mean=statistics.get("mean"), std=statistics.get("std"))


def _number_list(values: Any, name: str) -> list[float]:
    if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
        raise ValueError(f"features.landmarks.{name}: expected a list of numbers")
    return values
