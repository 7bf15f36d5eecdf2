"""Sounds whose level, pitch and resonance are known, and what measures them."""

from __future__ import annotations

import librosa
import numpy as np

RATE = 16000


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def voiced(seconds: float = 1.0, *, pitch: float = 120.0, formant: float = 700.0) -> np.ndarray:
    """A vowel of a kind: a pulse train through one resonance, with syllables of a quarter of a second."""
    time_S = np.arange(round(seconds * RATE)) / RATE
    pulses_S = np.diff(np.floor(pitch * time_S), prepend=0.0)
    ringing = np.exp(-400.0 * time_S[:800]) * np.sin(2 * np.pi * formant * time_S[:800])
    wave_S = np.convolve(pulses_S, ringing)[: len(time_S)] * np.sin(2 * np.pi * 2.0 * time_S) ** 2
    return (0.5 * wave_S / np.abs(wave_S).max()).astype(np.float32)


def tone(hertz: float, seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def level_db(samples: np.ndarray) -> float:
    return 10.0 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-20)


def peak_hertz(samples: np.ndarray, rate: int = RATE) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.fft.rfftfreq(len(samples), 1 / rate)[np.argmax(spectrum)])


def formant_hertz(samples: np.ndarray) -> float:
    """Where the envelope of the spectrum, from linear prediction, is highest."""
    coefficients = librosa.lpc(samples.astype(np.float64), order=12)
    envelope = 1.0 / np.abs(np.fft.rfft(coefficients, 4096))
    return float(np.argmax(envelope) * RATE / 4096)
