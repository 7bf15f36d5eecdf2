"""The feature definition of a model directory: of sound or of landmarks, in plain YAML types.

Who has the frames of a model made by the extractor that this gives back cannot make them otherwise than training did.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from features import extractor, normalize
from features.extractor import FeatureExtractor
from features.framing import FrameStream
from features.normalize import LandmarkExtractor


class Extractor(Protocol):
    """What the extractors of sound and of landmarks have in common.

    Attributes:
        shift_seconds: Time from one frame to the next.
        num_features: Features of a frame F.
        streams: Whether it can make frames of a stream, before the end is known.
        mean, std: (F) where the normalisation is global and has its statistics.
    """

    shift_seconds: float
    num_features: int
    streams: bool

    @property
    def mean(self) -> np.ndarray | None: ...

    @property
    def std(self) -> np.ndarray | None: ...

    def stream(self) -> FrameStream: ...


def to_dict(made: Extractor) -> dict[str, Any]:
    """The extractor as plain YAML types; `from_dict` brings it back."""
    if isinstance(made, LandmarkExtractor):
        return {"landmarks": normalize.to_dict(made)}
    assert isinstance(made, FeatureExtractor), "a third kind of features needs a key of its own"
    return extractor.to_dict(made)


def from_dict(stored: Any) -> Extractor:
    """The extractor that `to_dict` stored.

    Raises:
        ValueError: an unknown key or a value of the wrong kind, by its name, or a configuration that cannot be.
    """
    if isinstance(stored, Mapping) and "landmarks" in stored:
        unknown = sorted(set(stored) - {"landmarks"})
        if unknown:
            raise ValueError(f"features: {', '.join(unknown)} beside landmarks; a model reads sound or landmarks")
        return normalize.from_dict(stored["landmarks"])
    return extractor.from_dict(stored)
