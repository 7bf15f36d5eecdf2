"""Augmentation draws what its settings say, the same each time, and takes whatever it is given."""

from __future__ import annotations

import pickle
import runpy
import time
from dataclasses import replace
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest

from features import audio, augment
from features.augment import AugmentConfig, AugmentError, WaveformAugmenter, spec_augment
from features.effects import reverberate

RATE, generator, level_db, peak_hertz, tone, voiced = itemgetter(
    "RATE", "generator", "level_db", "peak_hertz", "tone", "voiced"
)(runpy.run_path(str(Path(__file__).with_name("made_sounds.py"))))

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
