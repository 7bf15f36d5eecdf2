"""Log mel filterbank energies and mel cepstra by Kaldi's definitions, for recordings and for streams.

Defaults are those of Kaldi's compute-fbank-feats and compute-mfcc-feats but for two: dither is off, and the
filterbank has 80 bins. The energy, where asked for, is the first column.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.framing import (
    TILE_ROWS,
    Array,
    FrameConfig,
    FrameStream,
    WindowStream,
    as_samples,
    window_function,
)
from features.mel import cosine_transform, filter_bands, lifter_weights, mel_filters

__all__ = ["Fbank", "FbankConfig", "FrameStream", "Mfcc", "MfccConfig"]

ENERGY_EPSILON = np.float32(2.0**-23)
"""Floor under every energy before its logarithm: the float32 machine epsilon, as in Kaldi."""


@dataclass(frozen=True, kw_only=True)
class MelConfig(FrameConfig):
    """Windows of a signal and the mel bins that their power spectrum is summed into.

    Args:
        bins: number of mel bins.
        low_hz: lower corner of the lowest bin, in Hz.
        high_hz: upper corner of the highest bin, in Hz; 0 or less is counted from half the sampling rate downwards.
    """

    bins: int = 80
    low_hz: float = 20.0
    high_hz: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bins < 1:
            raise ValueError(f"bins={self.bins}: at least one mel bin is needed")
        if self.low_hz < 0.0:
            raise ValueError(f"low_hz={self.low_hz}: must not be negative")
        if self.top_hz > self.rate / 2:
            raise ValueError(f"high_hz={self.high_hz} lies above half the sampling rate, {self.rate / 2:g} Hz")
        if self.low_hz >= self.top_hz:
            raise ValueError(f"low_hz={self.low_hz} must lie below the upper corner, {self.top_hz:g} Hz")
        self.filters()

    @property
    def top_hz(self) -> float:
        return self.high_hz if self.high_hz > 0.0 else self.rate / 2 + self.high_hz

    def filters(self) -> Array:
        """The triangular filters of this configuration, shape (fft_size / 2 + 1, bins)."""
        return mel_filters(
            rate=self.rate, fft_size=self.fft_size, bins=self.bins, low_hz=self.low_hz, high_hz=self.top_hz
        )


@dataclass(frozen=True, kw_only=True)
class FbankConfig(MelConfig):
    """Log mel filterbank energies.

    Args:
        use_energy: whether the log energy of the frame comes first, before the mel bins.
    """

    use_energy: bool = False


@dataclass(frozen=True, kw_only=True)
class MfccConfig(MelConfig):
    """Mel-frequency cepstral coefficients.

    Args:
        ceps: number of coefficients, the zeroth included.
        lifter: length of the liftering; 0 is off.
        use_energy: whether the log energy of the frame stands in the place of the zeroth coefficient.
    """

    bins: int = 23
    ceps: int = 13
    lifter: float = 22.0
    use_energy: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.ceps <= self.bins:
            raise ValueError(f"ceps={self.ceps}: must be from 1 to the number of bins, {self.bins}")
        if self.lifter < 0.0:
            raise ValueError(f"lifter={self.lifter}: must not be negative")


class _MelFeature:
    """What Fbank and Mfcc share: the fixed tables, and the batch call as one push and one flush of the stream."""

    def __init__(self, config: FbankConfig | MfccConfig, *, num_features: int, transform_NC: Array | None) -> None:
        self.config = config
        self.num_features = num_features
        self.rate = config.rate
        self.shift_seconds = config.shift_samples / config.rate
        self.window_padded = np.pad(window_function(config), (0, config.fft_size - config.window_samples))
        self.bands = filter_bands(config.filters())
        self.transform_NC = transform_NC

    def num_frames(self, samples: int) -> int:
        """Exact number of frames for a signal of this many samples."""
        return self.config.num_frames(samples)

    def stream(self) -> FrameStream:
        """A fresh stream: ``push(samples)`` and ``flush()`` give frames, together the same as calling on the whole."""
        return self._stream()

    def __call__(self, samples_S: npt.ArrayLike) -> Array:
        """Frames (T, F) of a whole signal (S,) in [-1, 1]; (0, F) where it is shorter than one window."""
        samples_S = as_samples(samples_S)
        frames_TF = np.empty((self.num_frames(len(samples_S)), self.num_features), dtype=np.float32)
        stream = self._stream()
        written = stream.push_into(samples_S, frames_TF)
        stream.flush_into(frames_TF[written:])
        return frames_TF

    def _stream(self) -> WindowStream:
        return WindowStream(self.config, _MelAnalysis(self), columns=self.num_features)


class Fbank(_MelFeature):
    """Log mel filterbank energies: ``fbank(samples_S) -> frames_TF`` with F = bins (+ 1 with use_energy)."""

    def __init__(self, config: FbankConfig) -> None:
        super().__init__(config, num_features=config.bins + config.use_energy, transform_NC=None)


class Mfcc(_MelFeature):
    """Mel-frequency cepstral coefficients: ``mfcc(samples_S) -> frames_TF`` with F = ceps."""

    def __init__(self, config: MfccConfig) -> None:
        transform_NC = cosine_transform(config.bins, config.ceps) * lifter_weights(config.ceps, config.lifter)
        super().__init__(config, num_features=config.ceps, transform_NC=transform_NC.astype(np.float32))


class _MelAnalysis:
    """Windows to frames, in buffers of one tile; one instance belongs to one stream.

    Every step works on contiguous rows, so that NumPy walks a block of rows as one long array.
    """

    def __init__(self, feature: _MelFeature) -> None:
        config = feature.config
        self._config = config
        self._window = feature.window_padded
        self._transform_NC = feature.transform_NC
        # The FFT reads the zeros right of each window: they stay zero because the padded window is zero there.
        self._padded = np.zeros((TILE_ROWS, config.fft_size), dtype=np.float32)
        self._scratch = np.zeros_like(self._padded)
        self._spectrum = np.zeros((TILE_ROWS, config.fft_size // 2 + 1), dtype=np.complex64)
        self._power = np.zeros(self._spectrum.shape, dtype=np.float32)
        self._mel = np.empty((TILE_ROWS, config.bins), dtype=np.float32)
        self._products = [
            (self._power[:, band.frequencies], band.filters, self._mel[:, band.bins]) for band in feature.bands
        ]
        self._ceps = np.empty((TILE_ROWS, feature.num_features), dtype=np.float32)
        self._log_floor = np.float32(np.log(max(config.energy_floor, float(ENERGY_EPSILON))))

    def __call__(self, windows: Array, rows: slice, out: Array, /) -> None:
        config = self._config
        padded = self._padded[rows]
        frames = padded[:, : config.window_samples]
        if config.remove_dc:
            mean = np.add.reduce(windows, axis=1, keepdims=True)
            mean /= np.float32(config.window_samples)
            np.subtract(windows, mean, out=frames)
        else:
            frames[:] = windows
        energy = self._log_energy(frames) if config.use_energy and config.raw_energy else None
        if config.preemphasis:
            self._preemphasize(padded, self._scratch[rows])
        padded *= self._window
        if config.use_energy and not config.raw_energy:
            energy = self._log_energy(frames)
        self._log_mel(rows)
        if self._transform_NC is None:
            out[:, config.use_energy :] = self._mel[rows]
        else:
            np.matmul(self._mel, self._transform_NC, out=self._ceps)
            out[:] = self._ceps[rows]
        if energy is not None:
            out[:, 0] = energy

    def _preemphasize(self, padded: Array, scratch: Array) -> None:
        """Subtracts from each sample its predecessor, the first sample of a window being its own (as in Kaldi)."""
        coefficient = np.float32(self._config.preemphasis)
        np.multiply(padded.reshape(-1)[:-1], coefficient, out=scratch.reshape(-1)[1:])
        np.multiply(padded[:, 0], coefficient, out=scratch[:, 0])
        after = self._config.window_samples
        scratch[:, after : after + 1] = 0.0
        padded -= scratch

    def _log_mel(self, rows: slice) -> None:
        """Leaves the log mel energies of the windows in ``rows`` of the tile in the same rows of ``self._mel``."""
        spectrum = self._spectrum[rows]
        np.fft.rfft(self._padded[rows], axis=1, out=spectrum)
        squares = spectrum.view(np.float32)
        np.multiply(squares, squares, out=squares)
        np.add(squares[:, 0::2], squares[:, 1::2], out=self._power[rows])
        # Products on the whole tile, with what earlier frames left in its other rows: the shape never changes.
        for power, filters, mel in self._products:
            np.matmul(power, filters, out=mel)
        np.maximum(self._mel, ENERGY_EPSILON, out=self._mel)
        np.log(self._mel, out=self._mel)

    def _log_energy(self, frames: Array) -> Array:
        energy = np.maximum(np.add.reduce(np.square(frames), axis=1), ENERGY_EPSILON)
        return np.maximum(np.log(energy), self._log_floor)
