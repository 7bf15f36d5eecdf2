"""Codecs lose what they must, keep words where they are, and take whatever comes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from features import audio
from features.codecs import CODECS, CodecError, check_codecs, code, draw_codec

RATES = (8000, 11025, 16000, 44100)


def chirps(rate: int, seconds: float = 1.0) -> np.ndarray:
    """Tones that rise from 300 to 3000 Hz, a fifth of a second each, so that any delay is seen."""
    time_S = np.arange(round(seconds * rate)) / rate
    phase_S = 2 * np.pi * (300 * (time_S % 0.2) + 2700 / 0.4 * (time_S % 0.2) ** 2)
    return (0.5 * np.sin(phase_S) * np.hanning(len(time_S))).astype(np.float32)


def delay(later: np.ndarray, before: np.ndarray) -> int:
    """By how many samples `later` comes later, where the two go together best."""
    size = 2 * len(before)
    product = np.fft.irfft(np.fft.rfft(later, size) * np.conj(np.fft.rfft(before, size)), size)
    place = int(np.argmax(product))
    return place - size if place > size // 2 else place


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("name", CODECS)
def test_sound_stays_in_its_place(name: str, rate: int) -> None:
    samples = chirps(rate)
    for loss in (0.0, 0.5, 1.0):
        coded = code(samples, rate, name, loss)
        assert (coded.shape, coded.dtype) == (samples.shape, np.float32)
        assert abs(delay(coded, samples)) <= rate // 8000
        assert 0.75 < np.corrcoef(coded, samples)[0, 1] < 0.999999


@pytest.mark.parametrize("name", [name for name, codec in CODECS.items() if codec.loss])
def test_fewer_bits_lose_more(name: str, shared_data: Path) -> None:
    speech = audio.read(shared_data / "ljspeech-part" / "wavs" / "LJ001-0002.opus", rate=16000)[0]
    errors = [np.mean((code(speech, 16000, name, loss) - speech) ** 2) for loss in (0.0, 0.5, 1.0)]
    assert errors == sorted(errors)
    assert 10 * np.log10(np.mean(speech**2) / errors[-1]) < 20


@pytest.mark.parametrize("name", ["gsm", "adpcm"])
def test_telephones_hear_nothing_above_4_khz(name: str) -> None:
    high = (0.5 * np.sin(2 * np.pi * 6000 * np.arange(16000) / 16000)).astype(np.float32)
    assert np.sqrt(np.mean(code(high, 16000, name)[800:-800] ** 2)) < 0.01


@pytest.mark.parametrize("name", CODECS)
def test_whatever_comes_comes_back_as_long_and_finite(name: str) -> None:
    for samples in (np.zeros(0), np.zeros(1), np.ones(1), np.zeros(999), np.ones(7), 3 * np.ones(5000)):
        for rate in RATES:
            coded = code(samples.astype(np.float32), rate, name, 0.99)
            assert coded.shape == samples.shape
            assert np.all(np.isfinite(coded))


def test_each_codec_is_drawn_as_often_as_its_share_says() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_codec(rng) for _ in range(4000)]
    for name, codec in CODECS.items():
        assert drawn.count(name) / 4000 == pytest.approx(codec.share, abs=0.03)
    assert sum(codec.share for codec in CODECS.values()) == pytest.approx(1)


def test_the_same_sound_is_coded_the_same_way() -> None:
    samples = soxr.resample(chirps(8000), 8000, 16000)
    for name in CODECS:
        np.testing.assert_array_equal(code(samples, 16000, name, 0.4), code(samples, 16000, name, 0.4))


def test_codecs_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    check_codecs()
    formats = {name: what for name, what in soundfile.available_formats().items() if name != "MP3"}
    monkeypatch.setattr(soundfile, "available_formats", lambda: formats)
    with pytest.raises(CodecError, match="cannot write mp3"):
        check_codecs()
