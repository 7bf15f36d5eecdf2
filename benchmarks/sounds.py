"""Sound to measure with: the recording that ships, and drawn sound where what is said takes no time."""

from __future__ import annotations

import numpy as np

from benchmarks.machine import ROOT

RECORDING = ROOT / "asr" / "demo" / "digits.flac"
RATE = 16000


def speechlike(seconds: float, *, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """Noise with the slope of speech and a level that comes and goes four times a second, float32 in [-1, 1]."""
    draw = np.random.default_rng(seed)
    size = round(seconds * rate)
    spectrum = np.fft.rfft(draw.standard_normal(size))
    hz = np.fft.rfftfreq(size, 1 / rate)
    sloped = np.fft.irfft(spectrum / (1.0 + hz / 300.0), size)
    sloped *= 0.55 + 0.45 * np.sin(2 * np.pi * 4.0 * np.arange(size) / rate)
    return (0.5 * sloped / np.abs(sloped).max()).astype(np.float32)
