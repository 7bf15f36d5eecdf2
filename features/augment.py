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

from features import audio
from features.codecs import check_codecs, code, draw_codec
from features.effects import (
    add_noise,
    coloured_noise,
    equalize,
    equalizer_octaves,
    gain,
    mean_power,
    narrow_band,
    reverberate,
    synthetic_room,
    telephone_band,
    trim,
    voice_perturb,
    within_full_scale,
)
from features.room import box_response, draw_box

_BLOCK_SECONDS = 30.0  # long noise files are read by blocks of this length
PAUSE_DB = (-110.0, -50.0)  # level of a pause below full scale; the least is below the last bit of 16
_KEPT_SECONDS = 1800.0  # of these blocks; 115 MB at 16 kHz for each worker process


class AugmentError(ValueError):
    """A setting of the augmentation cannot be used; the message names it and says what to do."""


@dataclass
class AugmentConfig:
    """How training data is varied; everything is off by default.

    A pair is a range (lowest, highest) from which one value is drawn uniformly for each utterance.

    Args:
        trim_ms: Longest stretch, in milliseconds, that is cut off the beginning, and another one off the end, as if the
            recording began a little late and ended early; at least half of it is left.
        speed: Range of factors of speed. 1.1 is 10 % faster and higher: durations are divided by the factor, pitch and
            formants are multiplied with it (Ko et al. 2015).
        voice: Range of factors on pitch and formants at unchanged durations: above 1 a shorter vocal tract, as a
            child's, below 1 a longer one.
        pad_probability: Share of utterances, 0 to 1, that are said after and before a pause.
        pad_seconds: Longest such pause, in seconds; each is a faint hiss of its own level, from nothing to -50 dB of
            full scale.
        reverb: Folder of impulse responses, searched recursively. Without one, rooms are synthesised.
        reverb_probability: Share of utterances, 0 to 1, that are said in a room.
        simulated_rooms: Share of these, 0 to 1, whose room is simulated by image sources, each time another one, and
            neither taken from the folder nor synthesised.
        noise: Folder of noise recordings, searched recursively. Without one, coloured noise between white and brown is
            synthesised.
        noise_probability: Share of utterances, 0 to 1, that noise is added to.
        noise_snr_db: Range of signal-to-noise ratios in dB, of mean powers over the utterance without the pauses
            around it.
        equalizer_db: Standard deviation in dB of the gains that are drawn, one an octave, for the frequency response of
            an unknown microphone; 0 leaves it flat.
        gain_db: Range of gains in dB. What would exceed full scale is scaled down to it.
        telephone_probability: Share of utterances, 0 to 1, that come over a telephone: 300 to 3400 Hz, 8 kHz, 8-bit
            mu-law.
        narrowband_probability: Share of the other utterances, 0 to 1, that come from an 8 kHz source: nothing above
            4 kHz.
        codec_probability: Share of utterances, 0 to 1, that were coded with loss: MP3, Vorbis, GSM, ADPCM or, seldom
            since it takes long, Opus, at the bit rates that speech gets. An utterance may come over a telephone, too.
        time_masks: Number of masks over time for each utterance.
        time_mask_frames: Largest width of a mask over time, in frames.
        time_mask_share: Largest width of a mask over time as a share of the utterance's frames, 0 to 1.
        frequency_masks: Number of masks over features for each utterance.
        frequency_mask_bins: Largest width of a mask over features, in bins.
    """

    trim_ms: float = 0.0
    speed: tuple[float, float] = (1.0, 1.0)
    voice: tuple[float, float] = (1.0, 1.0)
    pad_probability: float = 0.0
    pad_seconds: float = 2.0
    reverb: str | None = None
    reverb_probability: float = 0.0
    simulated_rooms: float = 0.0
    noise: str | None = None
    noise_probability: float = 0.0
    noise_snr_db: tuple[float, float] = (5.0, 30.0)
    equalizer_db: float = 0.0
    gain_db: tuple[float, float] = (0.0, 0.0)
    telephone_probability: float = 0.0
    narrowband_probability: float = 0.0
    codec_probability: float = 0.0
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
            "pad_probability",
            "reverb_probability",
            "simulated_rooms",
            "noise_probability",
            "telephone_probability",
            "narrowband_probability",
            "codec_probability",
            "time_mask_share",
        ):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise AugmentError(f"augment.{name} is {getattr(self, name)}: give a share from 0 to 1")
        if not 0.0 <= self.trim_ms <= 1000.0:
            raise AugmentError(f"augment.trim_ms is {self.trim_ms}: give 0 to 1000 ms, such as 50")
        if not 0.0 <= self.pad_seconds <= 60.0:
            raise AugmentError(f"augment.pad_seconds is {self.pad_seconds}: give 0 to 60 s, such as 2")
        if not 0.0 <= self.equalizer_db <= 40.0:
            raise AugmentError(f"augment.equalizer_db is {self.equalizer_db}: give 0 to 40 dB, such as 6")
        for name in ("time_masks", "time_mask_frames", "frequency_masks", "frequency_mask_bins"):
            if getattr(self, name) < 0:
                raise AugmentError(f"augment.{name} is {getattr(self, name)}: give 0 or more")


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
        features.codecs.CodecError: Codecs are asked for, and libsndfile lacks one.
    """

    def __init__(self, config: AugmentConfig, rate: int) -> None:
        self.config = config
        self.rate = rate
        self._noises = _sound_files("noise", config.noise) if config.noise_probability else ()
        self._rooms = _sound_files("reverb", config.reverb) if config.reverb_probability else ()
        self._forget()
        if config.codec_probability:
            check_codecs()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_blocks", "_kept", "_seconds")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def _forget(self) -> None:
        """Begin without anything that was read."""
        self._blocks: OrderedDict[tuple[Path, int], np.ndarray] = OrderedDict()
        self._kept = 0  # samples in them
        self._seconds: dict[Path, float] = {}

    def __call__(self, samples_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Vary one utterance, (S,) in [-1, 1]; S changes with trimming, speed and pauses alone."""
        config, rate = self.config, self.rate
        samples_S = np.asarray(samples_S, np.float32)
        if not len(samples_S):
            return samples_S
        before = samples_S
        if config.trim_ms:
            samples_S = trim(samples_S, *rng.uniform(0.0, config.trim_ms * rate / 1000, 2))
        # Nothing is drawn where it is off, so that settings without it draw what they always drew.
        speed = rng.uniform(*config.speed) if config.speed != (1.0, 1.0) else 1.0
        voice = rng.uniform(*config.voice) if config.voice != (1.0, 1.0) else 1.0
        samples_S = voice_perturb(samples_S, rate, voice, speed=speed)
        power = mean_power(samples_S)
        if config.pad_probability and rng.random() < config.pad_probability:
            samples_S = np.concatenate([self._pause(rng), samples_S, self._pause(rng)])
        if rng.random() < config.reverb_probability:
            response, direct = self._room(rng)
            samples_S = reverberate(samples_S, response, direct=direct)
        if rng.random() < config.noise_probability:
            noise_S, snr_db = self._noise(len(samples_S), rng), rng.uniform(*config.noise_snr_db)
            samples_S = add_noise(samples_S, noise_S, snr_db, rng, signal_power=power)
        if config.equalizer_db:
            octaves = equalizer_octaves(rate)
            samples_S = equalize(samples_S, rate, rng.normal(0.0, config.equalizer_db, len(octaves)))
        if config.gain_db != (0.0, 0.0):
            samples_S = gain(samples_S, rng.uniform(*config.gain_db))
        if rng.random() < config.telephone_probability:
            samples_S = telephone_band(within_full_scale(samples_S), rate)
        elif rng.random() < config.narrowband_probability:
            samples_S = narrow_band(samples_S, rate)
        if config.codec_probability and rng.random() < config.codec_probability:
            samples_S = code(samples_S, rate, draw_codec(rng), rng.random())
        return samples_S if samples_S is before else within_full_scale(samples_S)

    def _pause(self, rng: np.random.Generator) -> np.ndarray:
        length = int(rng.uniform(0.0, self.config.pad_seconds) * self.rate)
        level = 10 ** (rng.uniform(*PAUSE_DB) / 20)
        return np.float32(level) * coloured_noise(length, rng.uniform(0.0, 2.0), rng)

    def _noise(self, length: int, rng: np.random.Generator) -> np.ndarray:
        if not self._noises:
            return coloured_noise(length, rng.uniform(0.0, 2.0), rng)
        path = self._noises[rng.integers(len(self._noises))]
        if path not in self._seconds:
            self._seconds[path] = audio.info(path).duration or 0.0
        return self._block(path, int(rng.integers(max(1, np.ceil(self._seconds[path] / _BLOCK_SECONDS)))))

    def _room(self, rng: np.random.Generator) -> tuple[np.ndarray, int | None]:
        """An impulse response and, where it is known, the sample of its direct path."""
        if self.config.simulated_rooms and rng.random() < self.config.simulated_rooms:
            box = draw_box(rng)
            return box_response(box, self.rate, rng), box.direct_sample(self.rate)
        if not self._rooms:
            decay_seconds, direct_db = rng.uniform(0.1, 0.7), rng.uniform(-3.0, 15.0)
            return synthetic_room(self.rate, rng, decay_seconds=decay_seconds, direct_to_reverberant_db=direct_db), None
        return self._block(self._rooms[rng.integers(len(self._rooms))], 0), None

    def _block(self, path: Path, index: int) -> np.ndarray:
        """One block of a file. What is kept saves time alone: draws never depend on it."""
        key = (path, index)
        if key not in self._blocks:
            start = index * _BLOCK_SECONDS
            self._blocks[key] = audio.read(path, rate=self.rate, start=start, duration=_BLOCK_SECONDS)[0]
            self._kept += len(self._blocks[key])
            while self._kept > _KEPT_SECONDS * self.rate and len(self._blocks) > 1:
                self._kept -= len(self._blocks.popitem(last=False)[1])
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


NEED_SOUND = (
    "trim_ms",
    "voice",
    "pad_probability",
    "reverb_probability",
    "noise_probability",
    "equalizer_db",
    "gain_db",
    "telephone_probability",
    "narrowband_probability",
    "codec_probability",
)
"""Settings that switch on what can be done to sound alone."""


class FrameAugmenter:
    """The part of a configuration that can be done to frames whose sound is not there: `augmenter(frames_TF, rng)`.

    Speed changes durations alone, by linear interpolation between frames; masks are `spec_augment`'s, as for sound.

    Raises:
        AugmentError: the configuration asks for something that needs the sound.
    """

    def __init__(self, config: AugmentConfig) -> None:
        off = AugmentConfig()
        for name in NEED_SOUND:
            if getattr(config, name) != getattr(off, name):
                raise AugmentError(f"augment.{name} needs the sound, and the frames are given; leave it out")
        self.config = config

    def __call__(self, frames_TF: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        factor = rng.uniform(*self.config.speed)
        length = max(1, round(len(frames_TF) / factor))
        if not len(frames_TF) or length == len(frames_TF):
            return frames_TF
        places_T = np.linspace(0, len(frames_TF) - 1, length)
        before_T = np.minimum(places_T.astype(np.int64), max(len(frames_TF) - 2, 0))
        share_T1 = (places_T - before_T)[:, None].astype(np.float32)
        after_T = np.minimum(before_T + 1, len(frames_TF) - 1)
        return frames_TF[before_T] * (1 - share_T1) + frames_TF[after_T] * share_T1
