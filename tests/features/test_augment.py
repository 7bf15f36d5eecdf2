"""Augmentation does what its settings say, measured on the result: levels, bands, pitch, times, sizes of masks."""

from __future__ import annotations

import pickle
import time
from dataclasses import replace
from pathlib import Path

import librosa
import numpy as np
import pytest

from features import audio, augment, effects
from features.augment import AugmentConfig, AugmentError, WaveformAugmenter, spec_augment
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

RATE = 16000
EVERYTHING = AugmentConfig(
    speed=(0.9, 1.1),
    voice=(0.9, 1.2),
    reverb_probability=0.5,
    simulated_rooms=0.5,
    noise_probability=0.5,
    gain_db=(-20.0, 20.0),
    telephone_probability=0.3,
    narrowband_probability=0.5,
    codec_probability=0.3,
)


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


def test_padding_puts_faint_pauses_around_the_share_asked_for() -> None:
    tone_S = 0.5 * np.sin(np.arange(1000, dtype=np.float32))
    augmenter = WaveformAugmenter(AugmentConfig(pad_probability=0.4, pad_seconds=0.2), RATE)
    padded = [augmenter(tone_S, np.random.default_rng(seed)) for seed in range(500)]
    longer = [one for one in padded if len(one) > 1000]
    assert np.mean([len(one) > 1000 for one in padded]) == pytest.approx(0.4, abs=0.08)
    starts = [int(np.argmax(np.correlate(one, tone_S, "valid"))) for one in longer]
    for one, start in zip(longer, starts, strict=True):
        np.testing.assert_allclose(one[start : start + 1000], tone_S, atol=1e-6)
        for pause_S in (one[:start], one[start + 1000 :]):
            assert len(pause_S) <= 0.2 * RATE
            assert np.sqrt(np.mean(np.square(pause_S))) < 1.01 * 10 ** (-50 / 20) if len(pause_S) else True
    assert max(starts) > 0.16 * RATE
    assert min(starts) < 0.04 * RATE


def test_trim_cuts_both_ends_by_what_is_drawn_and_leaves_half() -> None:
    ramp = np.arange(1, 4001, dtype=np.float32) / 4000
    augmenter = WaveformAugmenter(AugmentConfig(trim_ms=50), RATE)
    firsts, lasts = [], []
    for seed in range(200):
        trimmed = augmenter(ramp, np.random.default_rng(seed))
        first, last = np.rint(4000 * trimmed[[0, -1]]).astype(int)
        np.testing.assert_array_equal(trimmed, ramp[first - 1 : last])
        firsts.append(first - 1)
        lasts.append(4000 - last)
    most = 0.05 * RATE
    for cut in (firsts, lasts):
        assert 0 <= min(cut) < 0.1 * most
        assert 0.9 * most < max(cut) < most
    assert abs(np.corrcoef(firsts, lasts)[0, 1]) < 0.2
    assert len(augmenter(ramp[:8], np.random.default_rng(0))) == 4


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


def test_everything_off_changes_nothing() -> None:
    speech, frames = voiced(), np.random.default_rng(0).standard_normal((50, 40)).astype(np.float32)
    np.testing.assert_array_equal(WaveformAugmenter(AugmentConfig(), RATE)(speech, generator()), speech)
    np.testing.assert_array_equal(spec_augment(frames, AugmentConfig(), generator()), frames)
    loud = 3.0 * speech
    np.testing.assert_array_equal(WaveformAugmenter(AugmentConfig(), RATE)(loud, generator()), loud)


def test_same_generator_same_result_and_other_generator_other_result() -> None:
    augmenter, speech = WaveformAugmenter(EVERYTHING, RATE), voiced()
    for seed in range(10):
        np.testing.assert_array_equal(augmenter(speech, generator(seed)), augmenter(speech, generator(seed)))
    assert len({augmenter(speech, generator(seed)).tobytes() for seed in range(10)}) == 10


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(1), np.ones(1), np.zeros(99), np.ones(5), 1e-30 * voiced()])
def test_degenerate_input_stays_finite(samples: np.ndarray) -> None:
    augmenter = WaveformAugmenter(EVERYTHING, RATE)
    for seed in range(20):
        result = augmenter(samples.astype(np.float32), generator(seed))
        assert result.dtype == np.float32
        assert np.all(np.isfinite(result))
        assert np.max(np.abs(result), initial=0.0) <= 1.0
        assert (len(result) == 0) == (len(samples) == 0)


def test_result_stays_within_full_scale() -> None:
    augmenter = WaveformAugmenter(AugmentConfig(gain_db=(20.0, 20.0), noise_probability=1.0), RATE)
    result = augmenter(voiced(), generator())
    assert np.max(np.abs(result)) == pytest.approx(1.0, abs=1e-6)


@pytest.fixture
def sounds(tmp_path: Path) -> tuple[Path, Path]:
    """A folder with two noises, 40 s and 0.5 s, and one with a room, each some folders down."""
    noises, rooms = tmp_path / "noises", tmp_path / "rooms"
    (noises / "street" / "day").mkdir(parents=True)
    (rooms / "hall").mkdir(parents=True)
    long_noise = np.concatenate([tone(1000, 30.0), tone(2000, 10.0)])
    audio.write(noises / "street" / "day" / "long.wav", long_noise, RATE)
    audio.write(noises / "street" / "short.wav", tone(3000, 0.5, rate=8000), 8000)
    (noises / "LICENSE.txt").write_text("not a sound")
    response = np.zeros(2000, np.float32)
    response[[100, 1200]] = 0.8, 0.4
    audio.write(rooms / "hall" / "a.wav", response, RATE)
    return noises, rooms


def test_noise_and_rooms_come_from_folders(sounds: tuple[Path, Path]) -> None:
    noises, rooms = sounds
    config = AugmentConfig(noise=str(noises), noise_probability=1.0, noise_snr_db=(0.0, 0.0))
    augmenter, speech = WaveformAugmenter(config, RATE), voiced()
    heard = {round(peak_hertz(augmenter(speech, generator(seed)) - speech), -2) for seed in range(40)}
    assert heard == {1000, 2000, 3000}  # both ends of the long file, and the short one at the right rate
    config = AugmentConfig(reverb=str(rooms), reverb_probability=1.0)
    response = audio.read(rooms / "hall" / "a.wav")[0]
    room = WaveformAugmenter(config, RATE)(speech, generator())
    np.testing.assert_allclose(room, reverberate(speech, response), atol=1e-6)


def test_what_came_before_changes_nothing(sounds: tuple[Path, Path]) -> None:
    config = replace(EVERYTHING, noise=str(sounds[0]), reverb=str(sounds[1]), reverb_probability=1.0)
    one, another = WaveformAugmenter(config, RATE), WaveformAugmenter(config, RATE)
    draws = [(epoch, item) for epoch in range(2) for item in range(8)]
    first = {draw: one(voiced(), np.random.default_rng([0, *draw])) for draw in draws}
    for draw in draws[::-1]:
        np.testing.assert_array_equal(another(voiced(), np.random.default_rng([0, *draw])), first[draw])


def test_rooms_are_simulated_as_often_as_asked(sounds: tuple[Path, Path]) -> None:
    config = AugmentConfig(reverb=str(sounds[1]), reverb_probability=1.0, simulated_rooms=0.3)
    speech = voiced(0.1)
    measured = reverberate(speech, audio.read(sounds[1] / "hall" / "a.wav")[0])
    augmenter = WaveformAugmenter(config, RATE)
    heard = [np.array_equal(augmenter(speech, generator(seed)), measured) for seed in range(200)]
    assert np.mean(heard) == pytest.approx(0.7, abs=0.1)


def test_augmenter_travels_to_worker_processes(sounds: tuple[Path, Path]) -> None:
    config = AugmentConfig(noise=str(sounds[0]), noise_probability=1.0, reverb=str(sounds[1]), reverb_probability=1.0)
    augmenter, speech = WaveformAugmenter(config, RATE), voiced()
    here = augmenter(speech, generator(3))
    packed = pickle.dumps(augmenter)
    assert len(packed) < 5000  # sounds that were read stay behind
    np.testing.assert_array_equal(pickle.loads(packed)(speech, generator(3)), here)


@pytest.mark.parametrize("setting", ["noise", "reverb"])
def test_a_folder_without_sounds_is_named(setting: str, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        config = AugmentConfig(**{setting: str(folder), f"{setting}_probability": 0.5})
        with pytest.raises(AugmentError, match=f"augment.{setting}: {folder}"):
            WaveformAugmenter(config, RATE)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("trim_ms", -1.0),
        ("pad_probability", 1.5),
        ("pad_seconds", -0.1),
        ("trim_ms", float("nan")),
        ("speed", (1.1, 0.9)),
        ("speed", (0.0, 1.0)),
        ("voice", (1.0, 9.0)),
        ("noise_snr_db", (float("nan"), 5.0)),
        ("noise_probability", 1.5),
        ("simulated_rooms", -0.5),
        ("codec_probability", 2.0),
        ("time_mask_share", -0.1),
        ("time_masks", -1),
    ],
)
def test_impossible_settings_are_named(setting: str, value: object) -> None:
    with pytest.raises(AugmentError, match=f"augment.{setting} "):
        AugmentConfig(**{setting: value})  # type: ignore[arg-type]


def test_real_noise_and_rooms(shared_data: Path) -> None:
    config = AugmentConfig(
        noise=str(shared_data / "noise-esc10"),
        noise_probability=1.0,
        reverb=str(shared_data / "impulse-responses"),
        reverb_probability=1.0,
    )
    augmenter = WaveformAugmenter(config, RATE)
    for seed in range(10):
        result = augmenter(voiced(), generator(seed))
        assert len(result) == RATE
        assert np.all(np.isfinite(result))
        assert level_db(result) > -60


def test_augmentation_is_far_faster_than_real_time() -> None:
    augmenter, speech = WaveformAugmenter(replace(EVERYTHING, codec_probability=0.0), RATE), voiced(3.0)
    augmenter(speech, generator())
    start = time.process_time()
    for seed in range(10):
        augmenter(speech, generator(seed))
    assert time.process_time() - start < 30.0 / 50  # 30 s of speech; some 600 times faster than real time at rest


def test_what_is_kept_of_noises_is_bounded(sounds: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    config = AugmentConfig(noise=str(sounds[0]), noise_probability=1.0)
    keeps, forgets = WaveformAugmenter(config, RATE), WaveformAugmenter(config, RATE)
    kept = {seed: keeps(voiced(), generator(seed)) for seed in range(12)}
    read, files = audio.read, []
    monkeypatch.setattr(audio, "read", lambda path, **how: files.append(path) or read(path, **how))
    for seed, before in kept.items():
        np.testing.assert_array_equal(keeps(voiced(), generator(seed)), before)
    assert not files
    monkeypatch.setattr(augment, "_KEPT_SECONDS", 30.0)  # the longest block alone
    for seed, before in kept.items():
        np.testing.assert_array_equal(forgets(voiced(), generator(seed)), before)
    assert len(files) > 4


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
