"""Augmentation: what a recogniser meets in use but a corpus does not hold (other voices, rooms, noises, telephones).

Waveforms are changed by `WaveformAugmenter` before the features, frames by `spec_augment` after normalisation.
Every random draw comes from the generator passed in, so a caller that seeds it from (seed, step, utterance) gets the
same training run again, resumed or not. Nothing here changes when a word is said but `speed`, which divides all times
by its factor.

Shapes: S samples, T frames, F features.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from features import audio
from features.stretch import time_stretch

TELEPHONE_RATE = 8000
_BLOCK_SECONDS = 30.0  # long noise files are read by blocks of this length
_BLOCKS_KEPT = 24  # 46 MB at 16 kHz for each worker process


class AugmentError(ValueError):
    """A setting of the augmentation cannot be used; the message names it and says what to do."""


@dataclass
class AugmentConfig:
    """How training data is varied; everything is off by default.

    A pair is a range (lowest, highest) from which one value is drawn uniformly for each utterance.

    Args:
        speed: Range of factors of speed. 1.1 is 10 % faster and higher: durations are divided by the factor, pitch and
            formants are multiplied with it (Ko et al. 2015).
        voice: Range of factors on pitch and formants at unchanged durations: above 1 a shorter vocal tract, as a
            child's, below 1 a longer one.
        reverb: Folder of impulse responses, searched recursively. Without one, rooms are synthesised.
        reverb_probability: Share of utterances, 0 to 1, that are said in a room.
        noise: Folder of noise recordings, searched recursively. Without one, coloured noise between white and brown is
            synthesised.
        noise_probability: Share of utterances, 0 to 1, that noise is added to.
        noise_snr_db: Range of signal-to-noise ratios in dB, of mean powers over the utterance.
        equalizer_db: Standard deviation in dB of the gains that are drawn, one an octave, for the frequency response of
            an unknown microphone; 0 leaves it flat.
        gain_db: Range of gains in dB. What would exceed full scale is scaled down to it.
        telephone_probability: Share of utterances, 0 to 1, that come over a telephone: 300 to 3400 Hz, 8 kHz, 8-bit
            mu-law.
        narrowband_probability: Share of the other utterances, 0 to 1, that come from an 8 kHz source: nothing above
            4 kHz.
        time_masks: Number of masks over time for each utterance.
        time_mask_frames: Largest width of a mask over time, in frames.
        time_mask_share: Largest width of a mask over time as a share of the utterance's frames, 0 to 1.
        frequency_masks: Number of masks over features for each utterance.
        frequency_mask_bins: Largest width of a mask over features, in bins.
    """

    speed: tuple[float, float] = (1.0, 1.0)
    voice: tuple[float, float] = (1.0, 1.0)
    reverb: str | None = None
    reverb_probability: float = 0.0
    noise: str | None = None
    noise_probability: float = 0.0
    noise_snr_db: tuple[float, float] = (5.0, 30.0)
    equalizer_db: float = 0.0
    gain_db: tuple[float, float] = (0.0, 0.0)
    telephone_probability: float = 0.0
    narrowband_probability: float = 0.0
    time_masks: int = 0
    time_mask_frames: int = 0
    time_mask_share: float = 0.2
    frequency_masks: int = 0
    frequency_mask_bins: int = 0

    def __post_init__(self) -> None:
        for name in ("speed", "voice", "noise_snr_db", "gain_db"):
            low, high = getattr(self, name)
            if not (np.isfinite(low) and np.isfinite(high) and low <= high):
                raise AugmentError(
                    f"augment.{name} is ({low}, {high}): give the lowest and the highest value, in order"
                )
        for name in ("speed", "voice"):
            low, high = getattr(self, name)
            if low < 0.25 or high > 4.0:
                raise AugmentError(
                    f"augment.{name} is ({low}, {high}): give factors from 0.25 to 4, such as (0.9, 1.1)"
                )
        for name in (
            "reverb_probability",
            "noise_probability",
            "telephone_probability",
            "narrowband_probability",
            "time_mask_share",
        ):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise AugmentError(f"augment.{name} is {getattr(self, name)}: give a share from 0 to 1")
        if not 0.0 <= self.equalizer_db <= 40.0:
            raise AugmentError(f"augment.equalizer_db is {self.equalizer_db}: give 0 to 40 dB, such as 6")
        for name in ("time_masks", "time_mask_frames", "frequency_masks", "frequency_mask_bins"):
            if getattr(self, name) < 0:
                raise AugmentError(f"augment.{name} is {getattr(self, name)}: give 0 or more")


def speed_perturb(samples_S: np.ndarray, rate: int, factor: float) -> np.ndarray:
    """Play `factor` times as fast: S / factor samples; pitch and formants rise with it (Ko et al. 2015)."""
    samples_S = np.asarray(samples_S, np.float32)
    if factor == 1.0 or not len(samples_S):
        return samples_S
    return soxr.resample(samples_S, rate * factor, rate).astype(np.float32, copy=False)


def voice_perturb(samples_S: np.ndarray, rate: int, factor: float) -> np.ndarray:
    """Multiply pitch and formants by `factor` and keep S: a vocal tract 1/factor times as long.

    Resampling, whose change of duration is undone by WSOLA.
    """
    samples_S = np.asarray(samples_S, np.float32)
    if factor == 1.0 or not len(samples_S):
        return samples_S
    return _fit(time_stretch(speed_perturb(samples_S, rate, factor), rate, factor), len(samples_S))


def gain(samples_S: np.ndarray, db: float) -> np.ndarray:
    """Multiply by 10^(db/20)."""
    return np.asarray(samples_S, np.float32) * np.float32(10.0 ** (db / 20.0))


def add_noise(samples_S: np.ndarray, noise_S: np.ndarray, snr_db: float, rng: np.random.Generator) -> np.ndarray:
    """Add a random stretch of `noise_S`, scaled to a signal-to-noise ratio.

    The ratio is that of the mean powers of the two over all S samples. Noise shorter than the signal goes round.
    Where either is silent there is no ratio, and the samples are returned as they came.
    """
    samples_S = np.asarray(samples_S, np.float32)
    if not len(samples_S) or not len(noise_S):
        return samples_S
    missing = max(0, len(samples_S) - len(noise_S))
    start = int(rng.integers(len(noise_S) if missing else len(noise_S) - len(samples_S) + 1))
    stretch_S = np.take(noise_S, np.arange(start, start + len(samples_S)), mode="wrap").astype(np.float64)
    signal_power, noise_power = _power(samples_S), _power(stretch_S)
    if signal_power == 0.0 or noise_power == 0.0:
        return samples_S
    scale = np.sqrt(signal_power / noise_power) * 10.0 ** (-snr_db / 20.0)
    return (samples_S + scale * stretch_S).astype(np.float32)


def coloured_noise(length: int, exponent: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise whose power falls with frequency as 1/f^exponent: 0 white, 1 pink, 2 brown; (length,), power 1."""
    if not length:
        return np.zeros(0, np.float32)
    spectrum = np.fft.rfft(rng.standard_normal(length))
    position = np.arange(len(spectrum), dtype=np.float64)
    position[0] = np.inf if exponent else 1.0  # a slope has no value at 0 Hz: no offset
    noise_S = np.fft.irfft(spectrum * position ** (-exponent / 2.0), length)
    power = _power(noise_S)
    return (noise_S / np.sqrt(power) if power else noise_S).astype(np.float32)


def reverberate(samples_S: np.ndarray, impulse_response: np.ndarray) -> np.ndarray:
    """Say the samples in the room of an impulse response, (R,) at the same rate.

    The response's largest value is the direct path and is put at time zero, so that words stay where they were; the
    tail beyond S samples is cut. The mean power is that of the input.
    """
    samples_S = np.asarray(samples_S, np.float32)
    peak = int(np.argmax(np.abs(impulse_response))) if len(impulse_response) else 0
    if not len(samples_S) or not len(impulse_response) or impulse_response[peak] == 0.0:
        return samples_S
    size = _fft_size(len(samples_S) + len(impulse_response) - 1)
    product = np.fft.rfft(samples_S, size) * np.fft.rfft(impulse_response, size)
    room_S = np.fft.irfft(product, size)[peak : peak + len(samples_S)]
    power = _power(room_S)
    return (room_S * (np.sqrt(_power(samples_S) / power) if power else 1.0)).astype(np.float32)


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
    size = _fft_size(len(line_S) + TELEPHONE_RATE // 10)  # the filter rings for less than 0.1 s
    hertz = np.fft.rfftfreq(size, 1.0 / TELEPHONE_RATE)
    rise = np.clip((hertz - (low_hz - 100.0)) / 100.0, 0.0, 1.0)
    fall = np.clip(((high_hz + 200.0) - hertz) / 200.0, 0.0, 1.0)
    response = 0.25 * (1.0 - np.cos(np.pi * rise)) * (1.0 - np.cos(np.pi * fall))
    line_S = np.fft.irfft(np.fft.rfft(line_S, size) * response, size)[: len(line_S)].astype(np.float32)
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
    # As much silence behind as the response is long: 8 ms of it hold what a curve this smooth can ring.
    size = _fft_size(len(samples_S) + rate // 50)
    hertz = np.maximum(np.fft.rfftfreq(size, 1.0 / rate), octaves[0])
    curve_db = np.interp(np.log2(hertz), np.log2(octaves), gains_db)
    weighed = np.fft.rfft(samples_S, size) * (10.0 ** (curve_db / 20.0)).astype(np.float32)
    return np.fft.irfft(weighed, size)[: len(samples_S)].astype(np.float32)


def spec_augment(frames_TF: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """Mask stretches of time and bands of features with 0, the mean after normalisation (Park et al. 2019).

    Widths are uniform on the integers from 0 to the largest that the configuration allows, starts are uniform on those
    that fit. Without time warping, which that paper found to matter least. Returns a new array.
    """
    frames_TF = np.array(frames_TF, np.float32)
    frames, bins = frames_TF.shape
    longest = min(config.time_mask_frames, int(config.time_mask_share * frames))
    for _ in range(config.time_masks):
        start, end = _mask(frames, longest, rng)
        frames_TF[start:end] = 0.0
    for _ in range(config.frequency_masks):
        start, end = _mask(bins, min(config.frequency_mask_bins, bins), rng)
        frames_TF[:, start:end] = 0.0
    return frames_TF


class WaveformAugmenter:
    """Vary waveforms as a configuration says: `augmenter(samples_S, rng) -> samples_S`.

    The order is that of the world: the voice, the room, the noise in it, the microphone, its gain, the line. The
    result is float32 within [-1, 1]. With everything off the samples come back as they are. Files are listed at once
    and read when drawn; an instance can be pickled, so worker processes may use it.

    Args:
        config: What to do and how often.
        rate: Sampling rate of all samples in Hz; noises and impulse responses are resampled to it.

    Raises:
        AugmentError: A folder does not exist or holds no sound file.
    """

    def __init__(self, config: AugmentConfig, rate: int) -> None:
        self.config = config
        self.rate = rate
        self._noises = _sound_files("noise", config.noise) if config.noise_probability else ()
        self._rooms = _sound_files("reverb", config.reverb) if config.reverb_probability else ()
        self._blocks: OrderedDict[tuple[Path, int], np.ndarray] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_blocks": OrderedDict()}

    def __call__(self, samples_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Vary one utterance, (S,) in [-1, 1]; S changes with `speed` alone."""
        config, rate = self.config, self.rate
        samples_S = np.asarray(samples_S, np.float32)
        if not len(samples_S):
            return samples_S
        before = samples_S
        if config.speed != (1.0, 1.0):
            samples_S = speed_perturb(samples_S, rate, rng.uniform(*config.speed))
        if config.voice != (1.0, 1.0):
            samples_S = voice_perturb(samples_S, rate, rng.uniform(*config.voice))
        if rng.random() < config.reverb_probability:
            samples_S = reverberate(samples_S, self._room(rng))
        if rng.random() < config.noise_probability:
            samples_S = add_noise(samples_S, self._noise(len(samples_S), rng), rng.uniform(*config.noise_snr_db), rng)
        if config.equalizer_db:
            octaves = equalizer_octaves(rate)
            samples_S = equalize(samples_S, rate, rng.normal(0.0, config.equalizer_db, len(octaves)))
        if config.gain_db != (0.0, 0.0):
            samples_S = gain(samples_S, rng.uniform(*config.gain_db))
        if rng.random() < config.telephone_probability:
            samples_S = telephone_band(_within_full_scale(samples_S), rate)
        elif rng.random() < config.narrowband_probability:
            samples_S = narrow_band(samples_S, rate)
        return samples_S if samples_S is before else _within_full_scale(samples_S)

    def _noise(self, length: int, rng: np.random.Generator) -> np.ndarray:
        if not self._noises:
            return coloured_noise(length, rng.uniform(0.0, 2.0), rng)
        path = self._noises[rng.integers(len(self._noises))]
        seconds = audio.info(path).duration or 0.0
        return self._block(path, int(rng.integers(max(1, np.ceil(seconds / _BLOCK_SECONDS)))))

    def _room(self, rng: np.random.Generator) -> np.ndarray:
        if not self._rooms:
            return synthetic_room(
                self.rate, rng, decay_seconds=rng.uniform(0.1, 0.7), direct_to_reverberant_db=rng.uniform(-3.0, 15.0)
            )
        return self._block(self._rooms[rng.integers(len(self._rooms))], 0)

    def _block(self, path: Path, index: int) -> np.ndarray:
        """One block of a file. What is kept saves time alone: draws never depend on it."""
        key = (path, index)
        if key not in self._blocks:
            start = index * _BLOCK_SECONDS
            self._blocks[key] = audio.read(path, rate=self.rate, start=start, duration=_BLOCK_SECONDS)[0]
            if len(self._blocks) > _BLOCKS_KEPT:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(key)
        return self._blocks[key]


def _sound_files(setting: str, folder: str | None) -> Sequence[Path]:
    if folder is None:
        return ()
    paths = audio.files_in(Path(folder)) if Path(folder).is_dir() else []
    if not paths:
        raise AugmentError(
            f"augment.{setting}: {folder} holds no sound file; name a folder of recordings, or leave it out"
        )
    return paths


def _mask(size: int, longest: int, rng: np.random.Generator) -> tuple[int, int]:
    width = int(rng.integers(longest + 1))
    start = int(rng.integers(size - width + 1))
    return start, start + width


def _power(samples_S: np.ndarray) -> float:
    return float(np.mean(np.square(samples_S, dtype=np.float64))) if len(samples_S) else 0.0


def _fft_size(length: int) -> int:
    return 1 << (length - 1).bit_length()


def _resample(samples_S: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    return samples_S if from_rate == to_rate else soxr.resample(samples_S, from_rate, to_rate)


def _fit(samples_S: np.ndarray, length: int) -> np.ndarray:
    """Resampling there and back may round to a sample more or less."""
    return np.pad(samples_S[:length], (0, max(0, length - len(samples_S)))).astype(np.float32, copy=False)


def _within_full_scale(samples_S: np.ndarray) -> np.ndarray:
    peak = float(np.max(np.abs(samples_S), initial=0.0))
    return (samples_S / peak).astype(np.float32) if peak > 1.0 else samples_S
