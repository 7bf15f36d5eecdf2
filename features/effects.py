"""What happens to a sound on its way to a microphone and a telephone: pure functions from samples to samples.

`features.augment` draws which of them a training example meets. Whatever is random comes from the generator passed in.

Shapes: S samples.
"""

from __future__ import annotations

import numpy as np
import soxr

from features.convolve import convolve, weigh_bands
from features.stretch import time_stretch

TELEPHONE_RATE = 8000


def trim(samples_S: np.ndarray, first: float, last: float) -> np.ndarray:
    """Without its `first` and its `last` samples, but for as many as leave half of it."""
    quarter = len(samples_S) // 4
    first, last = min(int(first), quarter), min(int(last), quarter)
    return samples_S[first : len(samples_S) - last]


def speed_perturb(samples_S: np.ndarray, rate: int, factor: float) -> np.ndarray:
    """Play `factor` times as fast: S / factor samples; pitch and formants rise with it (Ko et al. 2015)."""
    samples_S = np.asarray(samples_S, np.float32)
    if factor == 1.0 or not len(samples_S):
        return samples_S
    return soxr.resample(samples_S, rate * factor, rate).astype(np.float32, copy=False)


def voice_perturb(samples_S: np.ndarray, rate: int, factor: float, *, speed: float = 1.0) -> np.ndarray:
    """Multiply pitch and formants by `factor` and keep S: a vocal tract 1/factor times as long.

    Resampling, whose change of duration is undone by WSOLA. With `speed` also what `speed_perturb` does, by the same
    resampling: S / speed samples, and pitch and formants times factor * speed.
    """
    samples_S = np.asarray(samples_S, np.float32)
    if factor == 1.0 or not len(samples_S):
        return speed_perturb(samples_S, rate, speed)
    higher_S = speed_perturb(samples_S, rate, speed * factor)
    return _fit(time_stretch(higher_S, rate, factor), max(1, round(len(samples_S) / speed)))


def gain(samples_S: np.ndarray, db: float) -> np.ndarray:
    """Multiply by 10^(db/20)."""
    return np.asarray(samples_S, np.float32) * np.float32(10.0 ** (db / 20.0))


def add_noise(
    samples_S: np.ndarray,
    noise_S: np.ndarray,
    snr_db: float,
    rng: np.random.Generator,
    *,
    signal_power: float | None = None,
) -> np.ndarray:
    """Add a random stretch of `noise_S`, scaled to a signal-to-noise ratio.

    The ratio is that of the mean powers of the two over all S samples; `signal_power` is given where pauses around the
    signal should not count. Noise shorter than the signal goes round.
    Where either is silent there is no ratio, and the samples are returned as they came.
    """
    samples_S = np.asarray(samples_S, np.float32)
    if not len(samples_S) or not len(noise_S):
        return samples_S
    missing = max(0, len(samples_S) - len(noise_S))
    start = int(rng.integers(len(noise_S) if missing else len(noise_S) - len(samples_S) + 1))
    stretch_S = np.take(noise_S, np.arange(start, start + len(samples_S)), mode="wrap").astype(np.float64)
    signal_power = mean_power(samples_S) if signal_power is None else signal_power
    noise_power = mean_power(stretch_S)
    if signal_power == 0.0 or noise_power == 0.0:
        return samples_S
    scale = np.sqrt(signal_power / noise_power) * 10.0 ** (-snr_db / 20.0)
    return (samples_S + scale * stretch_S).astype(np.float32)


def coloured_noise(length: int, exponent: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise whose power falls with frequency as 1/f^exponent: 0 white, 1 pink, 2 brown; (length,), power 1."""
    if not length:
        return np.zeros(0, np.float32)
    # Drawn as a spectrum, of a size whose transform is fast.
    size = _fft_size(length)
    spectrum = rng.standard_normal(2 * (size // 2 + 1), np.float32).view(np.complex64)
    position = np.arange(len(spectrum), dtype=np.float32)
    position[0] = np.inf if exponent else 1.0  # a slope has no value at 0 Hz: no offset
    noise_S = np.fft.irfft(spectrum * position ** np.float32(-exponent / 2.0), size)[:length]
    power = mean_power(noise_S)
    return (noise_S / np.sqrt(power) if power else noise_S).astype(np.float32)


def reverberate(samples_S: np.ndarray, impulse_response: np.ndarray, *, direct: int | None = None) -> np.ndarray:
    """Say the samples in the room of an impulse response, (R,) at the same rate.

    The direct path, at the sample `direct` or, where that is not known, at the response's largest value, is put at time
    zero, so that words stay where they were; the tail beyond S samples is cut. The mean power is that of the input.
    """
    samples_S = np.asarray(samples_S, np.float32)
    if not len(samples_S) or not np.any(impulse_response):
        return samples_S
    start = int(np.argmax(np.abs(impulse_response))) if direct is None else direct
    room_S = convolve(samples_S, impulse_response[: start + len(samples_S)])[start : start + len(samples_S)]
    power = mean_power(room_S)
    return (room_S * (np.sqrt(mean_power(samples_S) / power) if power else 1.0)).astype(np.float32)


def synthetic_room(
    rate: int, rng: np.random.Generator, *, decay_seconds: float, direct_to_reverberant_db: float
) -> np.ndarray:
    """Impulse response of an imagined room: the direct path, then Gaussian noise that decays exponentially.

    `decay_seconds` is the reverberation time RT60, in which the energy falls by 60 dB (Polack's model).
    """
    tail_S = rng.standard_normal(max(2, round(decay_seconds * rate)))
    tail_S *= 10.0 ** (-3.0 * np.arange(len(tail_S)) / len(tail_S))
    tail_S[: max(1, round(0.002 * rate))] = 0.0  # the first wall is some way off
    energy = float(np.sum(tail_S**2))
    if energy:
        tail_S *= 10.0 ** (-direct_to_reverberant_db / 20.0) / np.sqrt(energy)
    tail_S[0] = 1.0
    return tail_S.astype(np.float32)


def telephone_band(
    samples_S: np.ndarray, rate: int, *, low_hz: float = 300.0, high_hz: float = 3400.0, quantise: bool = True
) -> np.ndarray:
    """The samples as a telephone passes them on: band-limited, sampled at 8 kHz and (with `quantise`) in 8-bit mu-law.

    Edges are raised cosines 100 Hz (below) and 200 Hz (above) wide, without delay; S stays what it was.
    """
    samples_S = np.asarray(samples_S, np.float32)
    if not len(samples_S):
        return samples_S
    line_S = _resample(samples_S, rate, TELEPHONE_RATE)
    hertz = np.linspace(0.0, TELEPHONE_RATE / 2, 1025)  # the filter rings for less than 0.1 s
    rise = np.clip((hertz - (low_hz - 100.0)) / 100.0, 0.0, 1.0)
    fall = np.clip(((high_hz + 200.0) - hertz) / 200.0, 0.0, 1.0)
    response = 0.25 * (1.0 - np.cos(np.pi * rise)) * (1.0 - np.cos(np.pi * fall))
    line_S = weigh_bands(line_S, response)
    return _fit(_resample(mu_law(line_S) if quantise else line_S, TELEPHONE_RATE, rate), len(samples_S))


def narrow_band(samples_S: np.ndarray, rate: int, *, source_rate: int = TELEPHONE_RATE) -> np.ndarray:
    """The samples as if they had been recorded at `source_rate` Hz: nothing above half of it is left; S stays."""
    samples_S = np.asarray(samples_S, np.float32)
    if not len(samples_S) or source_rate >= rate:
        return samples_S
    return _fit(_resample(_resample(samples_S, rate, source_rate), source_rate, rate), len(samples_S))


def mu_law(samples_S: np.ndarray, *, mu: int = 255) -> np.ndarray:
    """Quantise to the 8 bits of mu-law and back (the companding curve of ITU-T G.711); silence stays silence."""
    samples_S = np.clip(samples_S, -1.0, 1.0)
    steps = np.round((mu // 2) * np.log1p(mu * np.abs(samples_S)) / np.log1p(mu))
    magnitude = np.expm1(steps / (mu // 2) * np.log1p(mu)) / mu
    return np.copysign(magnitude, samples_S).astype(np.float32)


def equalizer_octaves(rate: int) -> np.ndarray:
    """Frequencies in Hz at which `equalize` takes its gains: an octave apart, from 125 Hz to half the rate."""
    return 125.0 * 2.0 ** np.arange(int(np.log2(rate / 2 / 125.0)) + 1)


def equalize(samples_S: np.ndarray, rate: int, gains_db: np.ndarray) -> np.ndarray:
    """Weigh frequencies as a microphone does: gains in dB at `equalizer_octaves(rate)`, linear in between over octaves.

    The phase is zero, so nothing moves in time.
    """
    samples_S = np.asarray(samples_S, np.float32)
    octaves = equalizer_octaves(rate)
    steps = 1 << (rate // 64).bit_length()  # of 31 Hz at most: a curve this smooth rings for 16 ms at most
    hertz = np.maximum(np.linspace(0.0, rate / 2, steps + 1), octaves[0])
    curve_db = np.interp(np.log2(hertz), np.log2(octaves), gains_db)
    return weigh_bands(samples_S, 10.0 ** (curve_db / 20.0))


def mean_power(samples_S: np.ndarray) -> float:
    return float(np.mean(np.square(samples_S, dtype=np.float64))) if len(samples_S) else 0.0


def _fft_size(length: int) -> int:
    """At least `length`, without a prime factor above 5, and at most a quarter longer."""
    return min(odd << (-(-length // odd) - 1).bit_length() for odd in (1, 3, 5, 9, 15))


def _resample(samples_S: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    return samples_S if from_rate == to_rate else soxr.resample(samples_S, from_rate, to_rate)


def _fit(samples_S: np.ndarray, length: int) -> np.ndarray:
    """Resampling there and back may round to a sample more or less."""
    return np.pad(samples_S[:length], (0, max(0, length - len(samples_S)))).astype(np.float32, copy=False)


def within_full_scale(samples_S: np.ndarray) -> np.ndarray:
    peak = float(np.max(np.abs(samples_S), initial=0.0))
    return (samples_S / peak).astype(np.float32) if peak > 1.0 else samples_S
