"""Fbank and Mfcc of a stream are, bit for bit, those of the whole, however it is pushed."""

from __future__ import annotations

import runpy
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from features.filterbank import Fbank, FbankConfig, Mfcc, MfccConfig
from features.framing import TILE_ROWS

Feature, describe, make, signal = itemgetter("Feature", "describe", "make", "signal")(
    runpy.run_path(str(Path(__file__).with_name("kaldi_frames.py")))
)


SMALL = [
    FbankConfig(rate=8000, bins=23),
    FbankConfig(rate=8000, bins=23, snip_edges=False, use_energy=True),
    FbankConfig(rate=8000, bins=40, dither=1.0, seed=3),
    FbankConfig(rate=8000, bins=23, dither=1.0, snip_edges=False, raw_energy=False, use_energy=True),
    FbankConfig(rate=8000, bins=15, window_ms=10.0, shift_ms=25.0),
    FbankConfig(rate=8000, bins=15, window_ms=10.0, shift_ms=25.0, snip_edges=False),
    FbankConfig(rate=8000, bins=23, window_ms=25.0, shift_ms=1.0, snip_edges=False),
    MfccConfig(rate=8000),
    MfccConfig(rate=8000, dither=0.5, snip_edges=False, use_energy=False),
]


def streamed(feature: Feature, samples_S: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Pushes blocks of these sizes, over and over, and flushes."""
    stream = feature.stream()
    pieces = []
    position = block = 0
    while position < len(samples_S):
        size = sizes[block % len(sizes)]
        pieces.append(stream.push(samples_S[position : position + size]))
        position += size
        block += 1
    pieces.append(stream.flush())
    return np.concatenate(pieces)


@pytest.mark.parametrize("config", SMALL, ids=describe)
@settings(max_examples=25, deadline=None)
@given(samples=st.integers(0, 9000), sizes=st.lists(st.integers(1, 3000) | st.integers(1, 200), min_size=1, max_size=8))
def test_stream_equals_the_whole_bit_for_bit(config: FbankConfig | MfccConfig, samples: int, sizes: list[int]) -> None:
    feature = make(config)
    samples_S = signal(samples, rate=config.rate, seed=samples)
    whole = feature(samples_S)
    assert whole.shape == (feature.num_frames(samples), feature.num_features)
    np.testing.assert_array_equal(streamed(feature, samples_S, sizes), whole, strict=True)


@pytest.mark.parametrize("config", SMALL, ids=describe)
def test_stream_sample_by_sample(config: FbankConfig | MfccConfig) -> None:
    feature = make(config)
    samples_S = signal(1500, rate=config.rate)
    np.testing.assert_array_equal(streamed(feature, samples_S, [1]), feature(samples_S), strict=True)


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 7, TILE_ROWS - 1, TILE_ROWS, TILE_ROWS + 1, 2 * TILE_ROWS + 3])
def test_any_number_of_rows_at_any_place_of_a_tile(rows: int) -> None:
    feature = Fbank(FbankConfig())
    samples_S = signal(160 * (3 * TILE_ROWS + 5) + 400)
    np.testing.assert_array_equal(streamed(feature, samples_S, [160 * rows]), feature(samples_S), strict=True)


@pytest.mark.parametrize("snip_edges", [True, False])
def test_stream_of_real_speech(shared_data: Path, snip_edges: bool) -> None:
    file = sorted((shared_data / "ljspeech-part" / "wavs").glob("*.opus"))[0]
    samples_S, rate = soundfile.read(file, dtype="float32")
    for feature in (
        Fbank(FbankConfig(rate=rate, snip_edges=snip_edges)),
        Mfcc(MfccConfig(rate=rate, snip_edges=snip_edges)),
    ):
        whole = feature(samples_S)
        for sizes in ([160], [1600], [333, 7, 5000], [40_000]):
            np.testing.assert_array_equal(streamed(feature, samples_S, sizes), whole, strict=True)


@pytest.mark.parametrize("config", SMALL, ids=describe)
def test_a_flushed_stream_is_fresh(config: FbankConfig | MfccConfig) -> None:
    feature = make(config)
    stream = feature.stream()
    for samples in (777, 0, 3000):
        samples_S = signal(samples, seed=samples)
        again = np.concatenate((stream.push(samples_S), stream.flush()))
        np.testing.assert_array_equal(again, feature(samples_S), strict=True)


def test_frames_come_as_soon_as_their_window_is_complete() -> None:
    stream = Fbank(FbankConfig()).stream()
    assert len(stream.push(np.zeros(399, dtype=np.float32))) == 0
    assert len(stream.push(np.zeros(1, dtype=np.float32))) == 1
    assert len(stream.push(np.zeros(159, dtype=np.float32))) == 0
    assert len(stream.push(np.zeros(161, dtype=np.float32))) == 2
