"""Frames that somebody else has made: a corpus may come as features, without the sound they are of.

They take the place of the spectral features in `features.extractor`; differences, normalisation, streaming and the
model directory are as for sound.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from features.framing import Array

SUFFIXES = (".mfc", ".npy")
BLOCK_FRAMES = 1000


class FramesError(ValueError):
    """A file of frames that cannot be read, or frames of another kind; the message names the file."""


@dataclass(frozen=True, kw_only=True)
class GivenConfig:
    """Frames as they come.

    Args:
        num_features: values of a frame.
        shift_ms: distance from one frame to the next in milliseconds.
        kind: what they are, in words, so that whoever uses the model can make more of them.
    """

    num_features: int = 13
    shift_ms: float = 10.0
    kind: str = ""

    def __post_init__(self) -> None:
        if self.num_features < 1:
            raise ValueError(f"num_features={self.num_features}: a frame has one value at least")
        if not 0.0 < self.shift_ms < np.inf:
            raise ValueError(f"shift_ms={self.shift_ms}: must be above 0")


class Given:
    """The frames themselves, checked: (T, F) to (T, F).

    Args:
        config: what they are.
    """

    def __init__(self, config: GivenConfig) -> None:
        self.config = config
        self.num_features = config.num_features
        self.shift_seconds = config.shift_ms / 1000
        self.rate = 1000 / config.shift_ms

    def num_frames(self, frames: int) -> int:
        """As many as are given."""
        return frames

    def __call__(self, frames_TF: npt.ArrayLike) -> Array:
        """The frames as float32.

        Raises:
            FramesError: an array of another shape.
        """
        frames_TF = np.asarray(frames_TF, dtype=np.float32)
        if frames_TF.ndim != 2 or frames_TF.shape[1] != self.num_features:
            raise FramesError(f"frames of shape {frames_TF.shape}; the model reads (T, {self.num_features})")
        return frames_TF

    def stream(self) -> GivenStream:
        return GivenStream(self)


class GivenStream:
    """Each frame is complete when it comes."""

    def __init__(self, given: Given) -> None:
        self._given = given

    def push(self, block: npt.ArrayLike, /) -> Array:
        return self._given(block)

    def flush(self) -> Array:
        return np.empty((0, self._given.num_features), dtype=np.float32)


def read(path: str | Path, config: GivenConfig, *, start: float = 0.0, duration: float | None = None) -> Array:
    """Frames (T, F) of a file: CMU Sphinx's `.mfc`, of either byte order, or an array (T, F) in NumPy's `.npy`.

    Args:
        path: The file.
        config: What should be in it.
        start: Where to begin, in seconds; the nearest frame.
        duration: How much to read, in seconds; none reads to the end.

    Raises:
        FramesError: not such a file, cut short, frames of another kind, or values that are not finite.
    """
    path = Path(path)
    try:
        if path.suffix == ".npy":
            frames_TF = np.load(path, allow_pickle=False)
        elif path.suffix == ".mfc":
            frames_TF = _sphinx(path, config.num_features)
        else:
            raise FramesError(
                f"{path}: the model reads frames that are given{_of(config)}, not sound; give a file of them "
                f"({', '.join(SUFFIXES)})"
            )
    except FramesError:
        raise
    except (OSError, ValueError, EOFError) as error:
        missing = "no such file" if isinstance(error, FileNotFoundError) else f"no frames can be read ({error})"
        raise FramesError(f"{path}: {missing}") from error
    if frames_TF.ndim != 2 or frames_TF.shape[1] != config.num_features:
        raise FramesError(f"{path}: holds an array {frames_TF.shape}, and the model reads (T, {config.num_features})")
    first = round(start * 1000 / config.shift_ms)
    last = len(frames_TF) if duration is None else first + round(duration * 1000 / config.shift_ms)
    return _finite(path, frames_TF[first:last])


def blocks(
    path: str | Path, config: GivenConfig, *, start: float = 0.0, duration: float | None = None
) -> Iterator[Array]:
    """The same in blocks of up to 1,000 frames."""
    frames_TF = read(path, config, start=start, duration=duration)
    for first in range(0, len(frames_TF), BLOCK_FRAMES):
        yield frames_TF[first : first + BLOCK_FRAMES]


def write_sphinx(path: str | Path, frames_TF: npt.ArrayLike) -> None:
    """Write frames (T, F) as a `.mfc`, in the byte order of the format's first machines, big-endian."""
    values = np.asarray(frames_TF, dtype=">f4")
    Path(path).write_bytes(np.array([values.size], dtype=">i4").tobytes() + values.tobytes())


def _sphinx(path: Path, num_features: int) -> Array:
    """The count of values as an integer of four bytes, then the values; whichever byte order makes the count right."""
    content = path.read_bytes()
    for order in "><":
        values = np.frombuffer(content[4:], dtype=f"{order}f4") if len(content) % 4 == 0 and content else None
        if values is not None and int(np.frombuffer(content[:4], dtype=f"{order}i4")[0]) == len(values):
            if len(values) % num_features:
                raise FramesError(f"{path}: {len(values)} values are no frames of {num_features}")
            return values.reshape(-1, num_features).astype(np.float32)
    raise FramesError(f"{path}: not a Sphinx feature file, or cut short (its first number is not the count of values)")


def _finite(path: Path, frames_TF: np.ndarray) -> Array:
    if frames_TF.dtype.kind not in "fiu":
        raise FramesError(f"{path}: holds {frames_TF.dtype}, not numbers")
    frames_TF = np.ascontiguousarray(frames_TF, dtype=np.float32)
    if not np.isfinite(frames_TF).all():
        raise FramesError(f"{path}: holds NaN or infinite values; make the features anew")
    return frames_TF


def _of(config: GivenConfig) -> str:
    return f" ({config.kind})" if config.kind else ""
