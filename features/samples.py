"""Samples as files and arrays hold them, made into what the rest of the project knows: float32, mono, in [-1, 1].

Whoever delivers samples is a `Reader`; there is one for arrays here, one for libsndfile, one for PyAV.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from features.audio_source import AudioError

MAX_CHANNELS = 8
MIN_RATE = 8_000
MAX_RATE = 192_000

# Float files in the scale of 32-bit integers reach this; what lies beyond is damage, and overflows in the spectrum.
MAX_MAGNITUDE = 2.0**31


class Reader(Protocol):
    """Samples in the order of time.

    `frames` is how many there are in each channel, None where the header does not say.
    """

    rate: int
    channels: int
    frames: int | None

    def seek(self, frame: int) -> int:
        """Go to a frame, or towards it as far as that is exact; returns the place reached, never beyond `frame`."""
        ...

    def read(self, count: int) -> np.ndarray:
        """The next frames, float32 (S, channels): `count` of them, fewer only at the end."""
        ...

    def close(self) -> None: ...


class ArrayReader:
    """Samples (S,) or (S, channels) that are in memory already; they are converted as they are read."""

    def __init__(self, samples: np.ndarray, rate: int) -> None:
        samples = np.asarray(samples)
        if samples.ndim not in (1, 2):
            raise AudioError(f"the array: has shape {samples.shape}: give samples (S,) or (S, channels)")
        if samples.ndim == 2 and samples.shape[1] > MAX_CHANNELS >= samples.shape[0]:
            raise AudioError(f"the array: has shape {samples.shape}: the channels come second, so transpose it")
        if samples.dtype.kind not in "fiu" or (samples.dtype.kind in "iu" and samples.dtype.itemsize > 4):
            raise AudioError(
                f"the array: has type {samples.dtype}: give float samples in [-1, 1] or 8- to 32-bit integers"
            )
        try:
            whole = int(rate)
        except (TypeError, ValueError, OverflowError):
            whole = 0
        if whole != rate:
            raise AudioError(f"the array: has the rate {rate!r}: give a whole number of samples a second")
        self._samples = samples[:, None] if samples.ndim == 1 else samples
        self._position = 0
        self.rate = whole
        self.frames, self.channels = self._samples.shape

    def seek(self, frame: int) -> int:
        self._position = min(frame, len(self._samples))
        return self._position

    def read(self, count: int) -> np.ndarray:
        part = self._samples[self._position : self._position + count]
        self._position += len(part)
        return to_float32(part)

    def close(self) -> None:
        pass


def to_float32(samples: np.ndarray) -> np.ndarray:
    """A float32 copy of samples; integers are divided by their full scale, so that they lie in [-1, 1)."""
    if samples.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite here is reported by `check`
            return samples.astype(np.float32)
    bits = 8 * samples.dtype.itemsize
    full_scale = np.float32(2.0 ** (bits - 1))
    if samples.dtype.kind == "u":
        return ((samples.astype(np.float64) - full_scale) / full_scale).astype(np.float32)
    return samples.astype(np.float32) / full_scale


def mono(samples: np.ndarray, rate: int, *, first_frame: int = 0) -> np.ndarray:
    """Samples (S,) or (S, channels) as float32 (S,), checked; `first_frame` is the place of the first in its stream.

    Raises:
        AudioError: they have another shape or type, or one of them is not finite.
    """
    reader = ArrayReader(samples, rate)
    check_format(name="the array", rate=rate, channels=reader.channels)
    samples_SC = reader.read(reader.frames)
    check(samples_SC, name="the array", first_frame=first_frame, rate=rate)
    return mix_down(samples_SC)


def mix_down(samples_SC: np.ndarray) -> np.ndarray:
    """The mean of the channels, (S,).

    Added channel by channel: how numpy orders a sum along an axis depends on the shape, and then a sample would depend
    on the block in which it is read.
    """
    channels = samples_SC.shape[1]
    if channels == 1:
        return samples_SC[:, 0]
    total = samples_SC[:, 0].copy()
    for channel in range(1, channels):
        total += samples_SC[:, channel]
    return total / np.float32(channels)


def check(samples_SC: np.ndarray, *, name: str, first_frame: int, rate: int) -> None:
    """Refuse NaN, infinite and absurdly large samples, with the second at which the first of them lies."""
    if np.abs(samples_SC).max(initial=0.0) <= MAX_MAGNITUDE:  # false for NaN
        return
    row, channel = np.argwhere(~(np.abs(samples_SC) <= MAX_MAGNITUDE))[0]
    seconds = (first_frame + row) / rate
    raise AudioError(
        f"{name}: the sample at {seconds:.3f} s is {samples_SC[row, channel]:g}: "
        f"the sound is damaged there, export it again"
    )


def check_format(*, name: str, rate: int, channels: int) -> None:
    """Refuse more than 8 channels and rates outside 8 to 192 kHz."""
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(f"{name}: has {channels} channels, and 1 to {MAX_CHANNELS} can be read: mix it down first")
    check_rate(rate, name=name)


def check_rate(rate: int, *, name: str) -> None:
    """Refuse rates outside 8 to 192 kHz."""
    if not MIN_RATE <= rate <= MAX_RATE:
        raise AudioError(
            f"{name}: has {rate} samples a second, and {MIN_RATE} to {MAX_RATE} can be read: resample it first"
        )
