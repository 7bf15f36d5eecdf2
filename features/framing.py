"""Cutting a signal into overlapping windows, for a whole recording and for a stream alike.

There is one implementation, the stream: a whole recording is one push and one flush. Frame t is always worked on in
row ``t % TILE_ROWS`` of a tile of fixed shape, whatever the sizes of the blocks that the samples came in. That is why
streamed frames equal the frames of the whole bit for bit, although a matrix product through BLAS may round differently
for another number of rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

FULL_SCALE = 32768.0
"""Kaldi's features are defined on 16-bit sample values; this is the one place that takes [-1, 1] there."""

TILE_ROWS = 64
"""Frames worked on together: enough to make NumPy's cost per call small, few enough for the second-level cache."""

WindowName = Literal["povey", "hamming", "hanning", "rectangular", "blackman"]


class FrameStream(Protocol):
    """What every streaming step of the features offers; the input is samples or frames, the output is frames."""

    def push(self, block: npt.ArrayLike, /) -> Array:
        """Takes the next block, of any length, and returns the frames that are now complete (maybe none)."""
        ...

    def flush(self) -> Array:
        """Ends the input, returns the frames still due, and makes the stream fresh again."""
        ...


@dataclass(frozen=True, kw_only=True)
class FrameConfig:
    """How a signal is cut into windows and what happens to each before the Fourier transform (Kaldi's definitions).

    Args:
        rate: sampling rate in Hz.
        window_ms: length of the analysis window in milliseconds.
        shift_ms: distance between the starts of two windows in milliseconds.
        window: shape of the window: povey (hanning to the power 0.85), hamming, hanning, rectangular or blackman.
        blackman_coefficient: constant of the generalised Blackman window; used by window=blackman alone.
        preemphasis: coefficient c of y[i] = x[i] - c x[i-1] within each window, from 0 to 1; 0 is off.
        remove_dc: whether the mean of each window is subtracted from it.
        dither: standard deviation of white Gaussian noise added to the samples, in steps of 16-bit audio; 0 is off.
            The noise is drawn once per sample, so overlapping windows see the same noise and a stream equals the
            whole recording; Kaldi draws it anew for each window. The distribution within a window is the same.
        seed: seed of the dither; each recording and each stream starts from it.
        snip_edges: true keeps only the windows that lie inside the signal; false centres window t at time
            (t + 1/2) shift, reflects the signal at its ends and gives one frame per shift.
        round_to_power_of_two: whether the window is padded with zeros to a power of two for the FFT.
        raw_energy: whether the log energy is taken before pre-emphasis and windowing (the mean already removed).
        energy_floor: floor of the frame energy, in squared steps of 16-bit audio; 0 leaves only the floor that
            keeps the logarithm finite (2**-23).
    """

    rate: int = 16000
    window_ms: float = 25.0
    shift_ms: float = 10.0
    window: WindowName = "povey"
    blackman_coefficient: float = 0.42
    preemphasis: float = 0.97
    remove_dc: bool = True
    dither: float = 0.0
    seed: int = 0
    snip_edges: bool = True
    round_to_power_of_two: bool = True
    raw_energy: bool = True
    energy_floor: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{field.name}={value}: must be a finite number")
        if self.rate < 1:
            raise ValueError(f"rate={self.rate}: the sampling rate must be above 0 Hz")
        if self.window_samples < 2:
            raise ValueError(f"window_ms={self.window_ms}: the window needs at least two samples at {self.rate} Hz")
        if self.shift_samples < 1:
            raise ValueError(f"shift_ms={self.shift_ms}: the shift needs at least one sample at {self.rate} Hz")
        if self.window not in get_args(WindowName):
            raise ValueError(f"window={self.window!r} is unknown; choose one of {', '.join(get_args(WindowName))}")
        if not 0.0 <= self.preemphasis <= 1.0:
            raise ValueError(f"preemphasis={self.preemphasis}: must be from 0 to 1")
        for name in ("dither", "seed", "energy_floor"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)}: must not be negative")
        if self.fft_size % 2:
            raise ValueError(
                f"window_ms={self.window_ms} is {self.fft_size} samples at {self.rate} Hz, an odd number; "
                "change it or set round_to_power_of_two"
            )

    @property
    def window_samples(self) -> int:
        return int(self.rate * self.window_ms / 1000.0)

    @property
    def shift_samples(self) -> int:
        return int(self.rate * self.shift_ms / 1000.0)

    @property
    def fft_size(self) -> int:
        return 1 << (self.window_samples - 1).bit_length() if self.round_to_power_of_two else self.window_samples

    @property
    def lead_samples(self) -> int:
        """Samples that the first window reaches back before the signal; negative when it starts later."""
        return 0 if self.snip_edges else self.window_samples // 2 - self.shift_samples // 2

    def num_frames(self, samples: int) -> int:
        """Exact number of frames of a signal of this many samples."""
        if self.snip_edges:
            return self.complete_frames(samples)
        return (samples + self.shift_samples // 2) // self.shift_samples

    def complete_frames(self, samples: int) -> int:
        """Number of windows that lie wholly before the end of this many samples: what a stream can give by then."""
        spare = samples + self.lead_samples - self.window_samples
        return 0 if spare < 0 else 1 + spare // self.shift_samples


def window_function(config: FrameConfig) -> Array:
    """The window's weights, shape (window_samples,), float32 (symmetric, as in Kaldi)."""
    size = config.window_samples
    turn = 2.0 * np.pi * np.arange(size) / (size - 1)
    if config.window == "rectangular":
        weights = np.ones(size)
    elif config.window == "hamming":
        weights = 0.54 - 0.46 * np.cos(turn)
    elif config.window == "blackman":
        alpha = config.blackman_coefficient
        weights = alpha - 0.5 * np.cos(turn) + (0.5 - alpha) * np.cos(2.0 * turn)
    else:
        weights = 0.5 - 0.5 * np.cos(turn)
        if config.window == "povey":
            weights = weights**0.85
    return weights.astype(np.float32)


def reflect(index: npt.NDArray[np.intp], size: int) -> npt.NDArray[np.intp]:
    """Mirrors indices that lie outside 0..size-1 at the ends (the last sample repeats), as often as it takes."""
    folded = index % (2 * size)
    return np.where(folded < size, folded, 2 * size - 1 - folded)


class Analysis(Protocol):
    """What turns windows into frames; an instance holds buffers of a tile and so belongs to one stream."""

    def __call__(self, windows: Array, rows: slice, out: Array, /) -> None:
        """Writes the frames of ``windows`` (n, window_samples) to ``out`` (n, F); ``rows`` is their place in a tile."""
        ...


class WindowStream:
    """Cuts a stream of samples into windows and hands them, tile by tile, to an analysis.

    Positions are counted in samples from the start of the first window, which lies ``config.lead_samples`` before the
    first sample. The buffer is bounded: one tile, however long the signal.
    """

    def __init__(self, config: FrameConfig, analysis: Analysis, *, columns: int) -> None:
        self._config = config
        self._analysis = analysis
        self._columns = columns
        self._tile_span = (TILE_ROWS - 1) * config.shift_samples + config.window_samples
        # At the end a window of odd length may reflect samples from before its own start: keep half a window back.
        self._history = 0 if config.snip_edges else (config.window_samples + 1) // 2
        self._buffer = np.zeros(self._tile_span + self._history + config.shift_samples, dtype=np.float32)
        self._windows = np.lib.stride_tricks.sliding_window_view(self._buffer, config.window_samples)
        self._reset()

    def _reset(self) -> None:
        self._samples = 0  # received so far
        self._frames = 0  # given so far
        self._start = 0  # position of buffer[0]
        self._end = max(0, self._config.lead_samples)  # position after the last sample held
        # NumPy imports its generators when they are first asked for, which takes 5 ms.
        self._noise = np.random.default_rng(self._config.seed) if self._config.dither else None

    def push(self, samples_S: npt.ArrayLike, /) -> Array:
        """Takes samples (S,) in [-1, 1] and returns the frames (T, F) that they complete."""
        samples_S = as_samples(samples_S)
        due = self._config.complete_frames(self._samples + len(samples_S)) - self._frames
        out_TF = np.empty((due, self._columns), dtype=np.float32)
        self.push_into(samples_S, out_TF)
        return out_TF

    def flush(self) -> Array:
        """Ends the signal: returns the frames still due (none with snip_edges) and starts afresh."""
        due = self._config.num_frames(self._samples) - self._frames
        out_TF = np.empty((due, self._columns), dtype=np.float32)
        self.flush_into(out_TF)
        return out_TF

    def push_into(self, samples_S: Array, out_TF: Array) -> int:
        """As :meth:`push`, with the place for the frames given; returns how many it wrote."""
        skipped = min(len(samples_S), max(0, -self._config.lead_samples - self._samples))
        self._samples += skipped
        taken = skipped
        written = 0
        while taken < len(samples_S):
            block = samples_S[taken : taken + self._room()]
            place = self._append(len(block))
            np.multiply(block, np.float32(FULL_SCALE), out=place)
            if self._config.dither:
                place += np.float32(self._config.dither) * self._noise.standard_normal(len(block), dtype=np.float32)
            self._mirror_lead(place)
            taken += len(block)
            self._samples += len(block)
            written += self._give(self._config.complete_frames(self._samples), out_TF[written:])
        return written

    def flush_into(self, out_TF: Array) -> int:
        """As :meth:`flush`, with the place for the frames given; returns how many it wrote."""
        config = self._config
        total = config.num_frames(self._samples)
        written = 0
        if total > self._frames:
            lead = config.lead_samples
            beyond = np.arange(self._samples, (total - 1) * config.shift_samples + config.window_samples - lead)
            missing_lead = np.arange(-lead, -self._samples)
            tail = self._buffer[reflect(beyond, self._samples) + lead - self._start].copy()
            self._buffer[: len(missing_lead)] = self._buffer[reflect(missing_lead, self._samples) + lead]
            while len(tail):
                block = tail[: self._room()]
                self._append(len(block))[:] = block
                tail = tail[len(block) :]
                complete = config.complete_frames(self._end - lead)
                written += self._give(min(complete, total), out_TF[written:])
        self._reset()
        return written

    def _room(self) -> int:
        """Samples that may be added before the present tile's windows are all complete."""
        tile_start = self._frames // TILE_ROWS * TILE_ROWS * self._config.shift_samples
        return tile_start + self._tile_span - self._end

    def _append(self, count: int) -> Array:
        """Makes place for ``count`` samples at the end of the buffer and returns it."""
        begin = self._end - self._start
        self._end += count
        return self._buffer[begin : begin + count]

    def _mirror_lead(self, place: Array) -> None:
        """Writes newly arrived samples, as far as they belong there, into the reflected part before the first one."""
        missing = self._config.lead_samples - self._samples
        if missing > 0:
            mirrored = place[:missing]
            self._buffer[missing - len(mirrored) : missing] = mirrored[::-1]

    def _give(self, complete: int, out_TF: Array) -> int:
        """Analyses the windows up to number ``complete`` and lets go of the samples that are not needed any more."""
        count = complete - self._frames
        if count <= 0:
            return 0
        shift = self._config.shift_samples
        row = self._frames % TILE_ROWS
        begin = self._frames * shift - self._start
        windows = self._windows[begin : begin + (count - 1) * shift + 1 : shift]
        self._analysis(windows, slice(row, row + count), out_TF[:count])
        self._frames = complete
        keep_from = min(self._frames * shift, self._end - self._history)
        dropped = max(0, keep_from - self._start)
        held = self._end - self._start
        self._buffer[: held - dropped] = self._buffer[dropped:held]
        self._start += dropped
        return count


def as_samples(samples_S: npt.ArrayLike) -> Array:
    """Checks that this is one channel of floating-point samples and gives it as float32.

    Raises:
        ValueError: more than one dimension, or integer samples (which would be scaled a second time).
    """
    samples = np.asarray(samples_S)
    if samples.ndim != 1:
        raise ValueError(f"samples have shape {samples.shape}; one channel of shape (S,) is needed")
    if samples.size and samples.dtype.kind != "f":
        raise ValueError(f"samples are {samples.dtype}; floating-point samples in [-1, 1] are needed")
    return samples.astype(np.float32, copy=False)
