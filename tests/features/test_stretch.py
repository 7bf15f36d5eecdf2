"""Stretching time keeps pitch, joins without gaps, and puts every event where its time says."""

from __future__ import annotations

import numpy as np
import pytest

from features.stretch import time_stretch

RATE = 16000


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.0, 1.3, 2.0])
@pytest.mark.parametrize("length", [0, 1, 300, 20_000])
def test_length_is_the_factor(factor: float, length: int) -> None:
    stretched = time_stretch(np.ones(length, np.float32), RATE, factor)
    assert len(stretched) == round(length * factor)
    assert stretched.dtype == np.float32


@pytest.mark.parametrize("factor", [0.7, 0.9, 1.2, 1.6])
def test_a_tone_stays_the_same_tone(factor: float) -> None:
    tone = np.sin(2 * np.pi * 220.0 * np.arange(2 * RATE) / RATE).astype(np.float32)
    middle = time_stretch(tone, RATE, factor)[3000:-3000]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)))) ** 2
    hertz = np.fft.rfftfreq(len(middle), 1 / RATE)
    assert spectrum[np.abs(hertz - 220.0) < 8.0].sum() / spectrum.sum() > 0.99
    assert np.std(middle) == pytest.approx(np.sqrt(0.5), rel=0.02)  # windows join in phase


@pytest.mark.parametrize("factor", [0.6, 0.9, 1.25, 1.8])
def test_events_move_with_the_factor_and_do_not_drift(factor: float) -> None:
    rng = np.random.default_rng(0)
    seconds = np.arange(1.0, 30.0, 1.0)
    samples = np.zeros(30 * RATE, np.float32)
    for second in seconds:
        start = round(second * RATE)
        samples[start : start + 800] = rng.standard_normal(800)
    stretched = time_stretch(samples, RATE, factor)
    for second in seconds:
        at = round((second + 0.025) * factor * RATE)
        around = stretched[max(0, at - 4000) : at + 4000].astype(np.float64) ** 2
        centre = np.sum(np.arange(len(around)) * around) / np.sum(around) + max(0, at - 4000)
        assert abs(centre - at) / RATE < 0.02
