"""Each effect does what it is asked for, measured on the result: levels, bands, pitch, times."""

from __future__ import annotations

import runpy
from operator import itemgetter
from pathlib import Path

import librosa
import numpy as np
import pytest

from features import effects
from features.effects import (
    add_noise,
    coloured_noise,
    gain,
    mu_law,
    narrow_band,
    reverberate,
    speed_perturb,
    synthetic_room,
    telephone_band,
    voice_perturb,
)

RATE, formant_hertz, generator, level_db, peak_hertz, tone, voiced = itemgetter(
    "RATE", "formant_hertz", "generator", "level_db", "peak_hertz", "tone", "voiced"
)(runpy.run_path(str(Path(__file__).with_name("made_sounds.py"))))


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 12.5, 40.0])
@pytest.mark.parametrize("noise_seconds", [0.3, 1.0, 7.0])
def test_noise_has_the_ratio_asked_for(snr_db: float, noise_seconds: float) -> None:
    speech = voiced()
    noise = coloured_noise(round(noise_seconds * RATE), 1.0, generator())
    noisy = add_noise(speech, noise, snr_db, generator(1))
    assert noisy.dtype == np.float32
    assert len(noisy) == len(speech)
    assert level_db(speech) - level_db(noisy - speech) == pytest.approx(snr_db, abs=0.1)


def test_noise_is_a_random_stretch_of_what_was_given() -> None:
    ramp = np.arange(1, 50 * 1000 + 1, dtype=np.float32)
    stretches = [add_noise(np.ones(1000, np.float32), ramp, 0.0, generator(seed)) - 1.0 for seed in range(50)]
    starts = [stretch[0] / (stretch[1] - stretch[0]) for stretch in stretches]
    assert min(starts) < 10_000 < 40_000 < max(starts)
    assert all(np.all(np.diff(stretch) > 0) for stretch in stretches)  # long noise never goes round


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_coloured_noise_falls_as_its_exponent_says(exponent: float) -> None:
    noise = coloured_noise(1 << 17, exponent, generator())
    assert level_db(noise) == pytest.approx(0.0, abs=0.01)
    power = np.abs(np.fft.rfft(noise)) ** 2
    octaves = [np.log2(power[1 << k : 2 << k].mean()) for k in range(8, 16)]
    assert np.polyfit(range(8), octaves, 1)[0] == pytest.approx(-exponent, abs=0.05)


def test_gain_is_in_decibels() -> None:
    assert level_db(gain(tone(440), -12.0)) == pytest.approx(level_db(tone(440)) - 12.0, abs=1e-3)


@pytest.mark.parametrize("factor", [0.8, 0.9, 1.1, 1.25])
def test_speed_scales_length_and_pitch(factor: float) -> None:
    fast = speed_perturb(tone(500, 2.0), RATE, factor)
    assert len(fast) == pytest.approx(2 * RATE / factor, abs=1)
    assert peak_hertz(fast) == pytest.approx(500 * factor, abs=1.0)


@pytest.mark.parametrize("factor", [0.8, 1.15, 1.4])
def test_voice_scales_pitch_and_formants_and_keeps_time(factor: float) -> None:
    speech = voiced(2.0, pitch=120.0, formant=800.0)
    other = voice_perturb(speech, RATE, factor)
    assert len(other) == len(speech)
    pitch = np.median(librosa.yin(other, fmin=60, fmax=400, sr=RATE))
    assert pitch == pytest.approx(120.0 * factor, rel=0.03)
    assert formant_hertz(other) == pytest.approx(formant_hertz(speech) * factor, rel=0.05)
    envelope, envelope_before = (librosa.feature.rms(y=y, hop_length=160)[0] for y in (other, speech))
    assert np.corrcoef(envelope, envelope_before)[0, 1] > 0.98  # the syllables stay where they were


def test_voice_and_speed_together_are_one_after_the_other() -> None:
    speech = voiced(2.0, pitch=120.0)
    both = voice_perturb(speech, RATE, 1.2, speed=0.9)
    assert len(both) == round(len(speech) / 0.9)
    assert np.median(librosa.yin(both, fmin=60, fmax=400, sr=RATE)) == pytest.approx(120.0 * 1.2 * 0.9, rel=0.03)
    after = voice_perturb(speed_perturb(speech, RATE, 0.9), RATE, 1.2)
    envelopes = [librosa.feature.rms(y=one, hop_length=160)[0][:220] for one in (both, after)]
    assert np.corrcoef(*envelopes)[0, 1] > 0.99
    np.testing.assert_array_equal(voice_perturb(speech, RATE, 1.0, speed=0.9), speed_perturb(speech, RATE, 0.9))


def test_telephone_passes_its_band_and_no_more() -> None:
    passed = {hertz: level_db(telephone_band(tone(hertz), RATE, quantise=False)) for hertz in range(50, 7951, 50)}
    inside = [passed[h] - level_db(tone(h)) for h in passed if 300 <= h <= 3400]
    outside = [passed[h] - level_db(tone(h)) for h in passed if h <= 200 or h >= 3650]
    assert max(abs(change) for change in inside) < 0.1
    assert max(outside) < -30  # the ends of a tone click within the band
    white = coloured_noise(1 << 16, 0.0, generator()) * 0.1
    spectrum = np.abs(librosa.stft(telephone_band(white, RATE), n_fft=1024)).mean(axis=1) ** 2
    hertz = librosa.fft_frequencies(sr=RATE, n_fft=1024)
    floor = spectrum[(hertz > 500) & (hertz < 3000)].mean()
    assert 10 * np.log10(spectrum[hertz < 150].mean() / floor) < -30
    assert 10 * np.log10(spectrum[hertz > 4200].mean() / floor) < -50


def test_narrow_band_is_a_source_of_8_khz() -> None:
    for hertz in (100, 1000, 3500):
        assert level_db(narrow_band(tone(hertz), RATE)) == pytest.approx(level_db(tone(hertz)), abs=0.05)
    assert level_db(narrow_band(tone(4400), RATE)[800:-800]) < -90  # the ends of a tone click within the band
    np.testing.assert_array_equal(narrow_band(tone(1000, rate=8000), 8000), tone(1000, rate=8000))


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100])
@pytest.mark.parametrize("length", [1, 7, 100, 4321])
def test_bands_keep_the_length_at_any_rate(rate: int, length: int) -> None:
    samples = coloured_noise(length, 0.0, generator()) * 0.1
    for limited in (telephone_band(samples, rate), narrow_band(samples, rate)):
        assert limited.shape == samples.shape
        assert np.all(np.isfinite(limited))


def test_mu_law_follows_the_companding_curve() -> None:
    samples = np.linspace(-1.0, 1.0, 4001).astype(np.float32)
    companded = librosa.mu_compress(samples, mu=255, quantize=False)
    steps = 127 * librosa.mu_compress(mu_law(samples), mu=255, quantize=False)
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)
    assert np.max(np.abs(steps / 127 - companded)) < 0.5 / 127 + 1e-4
    assert mu_law(np.zeros(3))[0] == 0.0
    speech = voiced()
    error = {db: level_db(gain(speech, db)) - level_db(mu_law(gain(speech, db)) - gain(speech, db)) for db in (0, -20)}
    assert all(33 < ratio < 42 for ratio in error.values())  # G.711 is known for 38 dB at loud and quiet alike


def test_reverberation_is_a_convolution_aligned_to_the_direct_path() -> None:
    speech = voiced()
    response = np.zeros(4000, np.float32)
    response[[250, 900, 3000]] = 0.9, 0.5, -0.3
    room = reverberate(speech, response)
    wanted = np.convolve(speech.astype(np.float64), response)[250 : 250 + len(speech)]
    np.testing.assert_allclose(room, wanted * np.sqrt(np.mean(speech**2) / np.mean(wanted**2)), atol=1e-5)
    assert level_db(room) == pytest.approx(level_db(speech), abs=0.01)
    click = np.zeros(8000, np.float32)
    click[3000] = 0.5
    for seed in range(5):
        response = synthetic_room(RATE, generator(seed), decay_seconds=0.4, direct_to_reverberant_db=6.0)
        assert np.argmax(np.abs(reverberate(click, np.pad(response, (77, 0))))) == 3000


def test_synthetic_room_decays_in_the_time_asked_for() -> None:
    response = synthetic_room(RATE, generator(), decay_seconds=0.5, direct_to_reverberant_db=3.0).astype(np.float64)
    assert 10 * np.log10(response[0] ** 2 / np.sum(response[1:] ** 2)) == pytest.approx(3.0, abs=1e-3)
    left = 10 * np.log10(np.cumsum(response[:0:-1] ** 2)[::-1])  # Schroeder's integral
    fall = np.polyfit(np.arange(800, 4800) / RATE, left[800:4800], 1)[0]
    assert -60.0 / fall == pytest.approx(0.5, rel=0.1)


def test_equalize_weighs_each_octave_as_asked_and_moves_nothing() -> None:
    rate, seconds = 8000, 2.0
    octaves = effects.equalizer_octaves(rate)
    assert octaves[0] == 125.0
    assert octaves[-1] == 4000.0
    gains_db = np.array([6.0, -6.0, 3.0, 0.0, -12.0, 9.0])
    time = np.arange(int(rate * seconds)) / rate
    for frequency, gain_db in zip(octaves[:-1], gains_db[:-1], strict=True):
        tone = np.sin(2 * np.pi * frequency * time).astype(np.float32) * np.hanning(len(time)).astype(np.float32)
        weighed = effects.equalize(tone, rate, gains_db)
        ratio = float(np.dot(weighed, tone) / np.dot(tone, tone))  # negative or small if the phase had moved
        assert abs(20 * np.log10(ratio) - gain_db) < 0.3
    click = np.zeros(4000, np.float32)
    click[2000] = 1.0
    assert int(np.argmax(np.abs(effects.equalize(click, rate, gains_db)))) == 2000
    np.testing.assert_allclose(effects.equalize(click, rate, np.zeros(6)), click, atol=1e-6)
