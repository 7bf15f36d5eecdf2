"""Fbank and Mfcc beside torchaudio's Kaldi port, kaldi-native-fbank and librosa."""

from __future__ import annotations

import runpy
import tracemalloc
from operator import itemgetter
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile

from features.filterbank import Fbank, FbankConfig, Mfcc, MfccConfig
from features.framing import TILE_ROWS
from features.mel import cosine_transform, hz_to_mel, mel_filters, mel_to_hz

describe, make, native_frames, signal, torchaudio_frames = itemgetter(
    "describe", "make", "native_frames", "signal", "torchaudio_frames"
)(runpy.run_path(str(Path(__file__).with_name("kaldi_frames.py"))))

LOG_FLOOR = np.log(2.0**-23)
FBANKS = [
    FbankConfig(),
    FbankConfig(bins=23),
    FbankConfig(bins=40, window="hamming", use_energy=True),
    FbankConfig(bins=40, window="hanning", use_energy=True, raw_energy=False),
    FbankConfig(bins=40, window="blackman", snip_edges=False),
    FbankConfig(bins=40, window="rectangular", preemphasis=0.0, remove_dc=False),
    FbankConfig(rate=8000, bins=23, snip_edges=False, use_energy=True),
    FbankConfig(rate=8000, bins=40, high_hz=-200.0, low_hz=64.0),
    FbankConfig(rate=8000, bins=80),
    FbankConfig(rate=8000, bins=23, round_to_power_of_two=False),
    FbankConfig(rate=22050, bins=64, high_hz=7600.0, use_energy=True, energy_floor=1e8),
    FbankConfig(rate=44100, bins=80, window_ms=20.0, shift_ms=8.5, snip_edges=False),
    FbankConfig(bins=23, window_ms=10.0, shift_ms=25.0),
    FbankConfig(bins=23, window_ms=10.0, shift_ms=25.0, snip_edges=False),
]
MFCCS = [
    MfccConfig(),
    MfccConfig(use_energy=False),
    MfccConfig(rate=8000, ceps=20, lifter=0.0, snip_edges=False),
    MfccConfig(bins=40, ceps=40, window="hamming", raw_energy=False),
]


@pytest.mark.parametrize("config", FBANKS + MFCCS, ids=describe)
def test_equals_torchaudio_and_kaldi_native_fbank(config: FbankConfig | MfccConfig) -> None:
    samples_S = signal(round(1.5 * config.rate) + 77, rate=config.rate)
    ours = make(config)(samples_S)
    # Cepstra are sums of log-mel values times weights up to 1 + lifter / 2: their tolerance grows with them.
    tolerance = 1e-3 if isinstance(config, FbankConfig) else 5e-3
    native = native_frames(samples_S, config)
    assert ours.shape == native.shape
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, native, rtol=0, atol=tolerance)
    np.testing.assert_allclose(ours, torchaudio_frames(samples_S, config), rtol=0, atol=tolerance)


def test_digital_silence_lies_on_the_energy_floor() -> None:
    config = FbankConfig(bins=40, use_energy=True)
    frames_TF = Fbank(config)(np.zeros(4000, dtype=np.float32))
    np.testing.assert_allclose(frames_TF, LOG_FLOOR, rtol=1e-6)
    np.testing.assert_allclose(frames_TF, native_frames(np.zeros(4000, dtype=np.float32), config), rtol=1e-6)


def float64_log_mel(samples_S: np.ndarray, config: FbankConfig) -> np.ndarray:
    """The definition written out frame by frame in float64: what the rounding of all the others is measured by."""
    size, shift = config.window_samples, config.shift_samples
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / (size - 1))) ** 0.85
    rows = []
    for start in range(0, len(samples_S) - size + 1, shift):
        x = samples_S[start : start + size].astype(np.float64) * 32768.0
        x -= x.mean()
        x = window * (x - config.preemphasis * np.concatenate((x[:1], x[:-1])))
        power = np.abs(np.fft.rfft(x, config.fft_size)) ** 2
        rows.append(np.log(np.maximum(power @ config.filters().astype(np.float64), 2.0**-23)))
    return np.array(rows)


@pytest.mark.parametrize("bins", [23, 40, 80])
@pytest.mark.parametrize(
    ("corpus", "pattern"), [("yesno", "**/*.wav"), ("fsdd", "recordings/*_4.wav"), ("ljspeech-part", "wavs/*.opus")]
)
def test_real_speech_equals_the_others_up_to_their_rounding(
    shared_data: Path, corpus: str, pattern: str, bins: int
) -> None:
    files = sorted((shared_data / corpus).glob(pattern))[:2]
    assert files
    for file in files:
        samples_S, rate = soundfile.read(file, dtype="float32", frames=100_000)
        config = FbankConfig(rate=rate, bins=bins)
        ours, native, exact = (f(samples_S, config) for f in (fbank, native_frames, float64_log_mel))
        # An FFT in float32 leaves rounding noise some 140 dB under the frame's strongest bin, which moves a bin that is
        # itself 80 dB down by 1e-3 and more; there Kaldi's float32 code and torchaudio's are as far from each other.
        audible = exact > np.maximum(exact.max(axis=1, keepdims=True) - np.log(10.0) * 7.5, LOG_FLOOR + 1.0)
        assert audible.mean() > 0.6
        assert np.abs(ours - native)[audible].max() <= 1e-3
        assert np.abs(ours - torchaudio_frames(samples_S, config))[audible].max() <= 1e-3
        assert np.abs(ours - exact)[audible].max() <= 1e-3
        # Everywhere, the faint bins included, ours is no worse an approximation than Kaldi's code.
        assert np.sqrt(np.mean((ours - exact) ** 2)) <= 1.5 * np.sqrt(np.mean((native - exact) ** 2))


def fbank(samples_S: np.ndarray, config: FbankConfig) -> np.ndarray:
    return Fbank(config)(samples_S)


def test_power_spectrum_equals_librosa() -> None:
    samples_S = signal(8000)
    config = FbankConfig(bins=40, window="hanning", preemphasis=0.0, remove_dc=False)
    # librosa centres the window within the FFT's frame.
    margin = (config.fft_size - config.window_samples) // 2
    spectrum = librosa.stft(
        np.pad(samples_S, margin) * 32768.0,
        n_fft=config.fft_size,
        hop_length=config.shift_samples,
        win_length=config.window_samples,
        window=np.hanning(config.window_samples),
        center=False,
    )
    ours = Fbank(config)(samples_S)
    expected = np.log((np.abs(spectrum) ** 2).T @ config.filters())
    np.testing.assert_allclose(ours, expected[: len(ours)], rtol=0, atol=1e-4)
    assert len(ours) == librosa.util.frame(samples_S, frame_length=400, hop_length=160).shape[1]


def test_cosine_transform_equals_librosa() -> None:
    config = MfccConfig(bins=40, ceps=20, lifter=0.0, use_energy=False)
    samples_S = signal(8000)
    log_mel_TN = Fbank(FbankConfig(bins=40))(samples_S)
    expected = librosa.feature.mfcc(S=log_mel_TN.T, n_mfcc=20, dct_type=2, norm="ortho").T
    np.testing.assert_allclose(Mfcc(config)(samples_S), expected, rtol=0, atol=1e-4)
    transform_NC = cosine_transform(40, 40)
    np.testing.assert_allclose(transform_NC.T @ transform_NC, np.eye(40), atol=1e-12)


def test_mel_scale_equals_librosas_htk_scale() -> None:
    hz = np.linspace(0.0, 8000.0, 101)
    # HTK's 2595 log10 is 1127 ln rounded, hence the tolerance.
    np.testing.assert_allclose(hz_to_mel(hz), librosa.hz_to_mel(hz, htk=True), rtol=1e-4)
    np.testing.assert_allclose(mel_to_hz(hz_to_mel(hz)), hz, atol=1e-9)


def test_neighbouring_triangles_sum_to_one() -> None:
    filters_KN = mel_filters(rate=16000, fft_size=512, bins=40, low_hz=20.0, high_hz=8000.0)
    first, last = (np.flatnonzero(filters_KN[:, n] == filters_KN[:, n].max())[0] for n in (0, 39))
    np.testing.assert_allclose(filters_KN[first + 1 : last].sum(axis=1), 1.0, atol=1e-5)


# Lengths, dither, bad input.


@pytest.mark.parametrize("snip_edges", [True, False])
@pytest.mark.parametrize(("window_ms", "shift_ms"), [(25.0, 10.0), (2.125, 0.875), (1.0, 2.125)])
def test_number_of_frames_is_exact(snip_edges: bool, window_ms: float, shift_ms: float) -> None:
    # Three is the fewest that kaldi-native-fbank takes.
    config = FbankConfig(rate=8000, bins=3, low_hz=300.0, window_ms=window_ms, shift_ms=shift_ms, snip_edges=snip_edges)
    feature = Fbank(config)
    for samples in [*range(30), *range(195, 300)]:
        frames_TF = feature(signal(samples))
        assert frames_TF.shape == (feature.num_frames(samples), 3)
        assert len(frames_TF) == len(native_frames(signal(samples), config))
        assert np.isfinite(frames_TF).all()


@pytest.mark.parametrize("samples", [80, 100, 150, 200, 401])
def test_signals_shorter_than_a_window_are_reflected_as_in_kaldi(samples: int) -> None:
    config = FbankConfig(bins=23, snip_edges=False)
    samples_S = signal(samples)
    expected = native_frames(samples_S, config)
    np.testing.assert_allclose(Fbank(config)(samples_S), expected, rtol=0, atol=1e-3, strict=True)


@pytest.mark.parametrize(("window_ms", "samples"), [(25.0625, 4000), (25.0625, 4080), (2.0625, 4080)])
def test_odd_windows_at_the_end_of_the_signal(window_ms: float, samples: int) -> None:
    """The middle of the last window may be the end of the signal, and it then reflects a sample before its own start.

    kaldi-native-fbank has let go of that sample by then (0.003 away in the last frame of the third case), so this
    compares with torchaudio alone. The window must not be zero at its ends for this to show.
    """
    config = FbankConfig(bins=5, low_hz=1000.0, window="hamming", window_ms=window_ms, snip_edges=False)
    samples_S = signal(samples)
    expected = torchaudio_frames(samples_S, config)
    np.testing.assert_allclose(Fbank(config)(samples_S), expected, rtol=0, atol=1e-4, strict=True)


@pytest.mark.parametrize("config", [FbankConfig(), MfccConfig()], ids=describe)
@pytest.mark.parametrize("samples", [0, 1, 399])
def test_too_short_for_a_window_gives_no_frames(config: FbankConfig | MfccConfig, samples: int) -> None:
    feature = make(config)
    assert feature(signal(samples)).shape == (0, feature.num_features)
    assert feature([]).shape == (0, feature.num_features)


@pytest.mark.parametrize("config", [FbankConfig(), MfccConfig()], ids=describe)
def test_a_broken_sample_spoils_no_other_window(config: FbankConfig | MfccConfig) -> None:
    feature = make(config)
    clean_S = signal(160 * 3 * TILE_ROWS)
    broken_S = clean_S.copy()
    broken_S[5000] = np.nan
    starts = np.arange(feature.num_frames(len(clean_S))) * 160
    untouched = (starts > 5000) | (starts + 400 <= 5000)
    frames_TF = feature(broken_S)
    np.testing.assert_array_equal(frames_TF[untouched], feature(clean_S)[untouched])
    assert np.isnan(frames_TF[~untouched]).any(axis=1).all()


def test_shift_in_seconds_is_that_of_whole_samples() -> None:
    assert Fbank(FbankConfig()).shift_seconds == 0.01
    assert Fbank(FbankConfig(rate=11025, bins=40)).shift_seconds == 110 / 11025


def test_dither_is_off_by_default_and_seeded() -> None:
    samples_S = np.zeros(16000, dtype=np.float32)
    assert len(np.unique(Fbank(FbankConfig(bins=23))(samples_S))) == 1
    one, same, other = (Fbank(FbankConfig(bins=23, dither=1.0, seed=seed))(samples_S) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).mean() > 0.1


def test_dither_has_its_level_in_steps_of_16_bits() -> None:
    config = FbankConfig(bins=23, dither=2.0, use_energy=True, remove_dc=False)
    energy_T = Fbank(config)(np.zeros(160_000, dtype=np.float32))[:, 0]
    assert np.exp(energy_T).mean() / 400 == pytest.approx(4.0, rel=0.02)


def test_memory_is_bounded_for_a_long_signal() -> None:
    samples_S = np.zeros(5 * 60 * 16000, dtype=np.float32)
    feature = Fbank(FbankConfig())
    tracemalloc.start()
    try:
        frames_TF = feature(samples_S)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - frames_TF.nbytes < 2_000_000


@pytest.mark.parametrize(
    ("samples", "message"),
    [(np.zeros((2, 400), dtype=np.float32), "one channel"), (np.zeros(400, dtype=np.int16), "floating-point")],
)
def test_samples_of_the_wrong_kind_are_refused(samples: np.ndarray, message: str) -> None:
    feature = Fbank(FbankConfig())
    with pytest.raises(ValueError, match=message):
        feature(samples)
    with pytest.raises(ValueError, match=message):
        feature.stream().push(samples)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (FbankConfig, {"rate": 0}, "rate=0"),
        (FbankConfig, {"rate": -8000}, "rate=-8000"),
        (FbankConfig, {"window_ms": 0.0}, "window_ms"),
        (FbankConfig, {"window_ms": float("nan")}, "window_ms=nan"),
        (FbankConfig, {"shift_ms": 0.01}, "shift_ms"),
        (FbankConfig, {"window": "kaiser"}, "kaiser"),
        (FbankConfig, {"preemphasis": 1.5}, "preemphasis"),
        (FbankConfig, {"dither": -1.0}, "dither"),
        (FbankConfig, {"energy_floor": -1.0}, "energy_floor"),
        (FbankConfig, {"bins": 0}, "bins=0"),
        (FbankConfig, {"bins": 200}, "bins=200 is too many"),
        (FbankConfig, {"rate": 8000, "bins": 100}, "holds none of the frequencies"),
        (FbankConfig, {"low_hz": -1.0}, "low_hz"),
        (FbankConfig, {"low_hz": 4000.0, "high_hz": 3000.0}, "low_hz=4000.0 must lie below"),
        (FbankConfig, {"high_hz": 9000.0}, "half the sampling rate"),
        (FbankConfig, {"high_hz": -9000.0}, "must lie below"),
        (FbankConfig, {"window_ms": 25.0625, "round_to_power_of_two": False}, "odd number"),
        (MfccConfig, {"ceps": 0}, "ceps=0"),
        (MfccConfig, {"ceps": 24}, "ceps=24"),
        (MfccConfig, {"lifter": -1.0}, "lifter"),
    ],
)
def test_bad_configurations_are_refused(kind: type, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**options)
