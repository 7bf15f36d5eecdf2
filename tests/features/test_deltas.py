"""Deltas beside Kaldi's formula written out, torchaudio and librosa; a stream beside the whole."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchaudio.functional import compute_deltas

from features.deltas import BLOCK_FRAMES, Deltas


def frames(count: int, width: int = 5) -> np.ndarray:
    return np.random.default_rng(count).standard_normal((count, width)).astype(np.float32)


def written_out(frames_TF: np.ndarray, order: int, window: int) -> np.ndarray:
    """Kaldi's add-deltas frame by frame in float64: one filter a order, the input's end frames repeated."""
    weights = [{0: 1.0}]
    norm = sum(j * j for j in range(-window, window + 1))
    for _ in range(order):
        following: dict[int, float] = {}
        for j in range(-window, window + 1):
            for offset, weight in weights[-1].items():
                following[offset + j] = following.get(offset + j, 0.0) + weight * j / norm
        weights.append(following)
    last = len(frames_TF) - 1
    rows = []
    for t in range(len(frames_TF)):
        parts = [
            sum(weight * frames_TF[min(max(t + offset, 0), last)].astype(np.float64) for offset, weight in w.items())
            for w in weights
        ]
        rows.append(np.concatenate(parts))
    return np.array(rows)


@pytest.mark.parametrize("window", [1, 2, 3])
@pytest.mark.parametrize("order", [0, 1, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_equals_kaldis_formula(count: int, order: int, window: int) -> None:
    frames_TF = frames(count)
    deltas = Deltas(order, window)
    out_TF = deltas(frames_TF)
    assert out_TF.dtype == np.float32
    assert out_TF.shape == (count, deltas.num_features(5))
    np.testing.assert_allclose(out_TF, written_out(frames_TF, order, window), rtol=0, atol=1e-6)


def test_equals_torchaudio() -> None:
    frames_TF = frames(50)
    once = compute_deltas(torch.from_numpy(frames_TF.T), win_length=5, mode="replicate")
    twice = compute_deltas(once, win_length=5, mode="replicate").numpy().T
    out_TF = Deltas(order=2, window=2)(frames_TF)
    np.testing.assert_allclose(out_TF[:, 5:10], once.numpy().T, rtol=0, atol=1e-6)
    # torchaudio repeats the edge of the first differences, Kaldi that of the input: equal away from the ends.
    np.testing.assert_allclose(out_TF[2:-2, 10:], twice[2:-2], rtol=0, atol=1e-6)


def test_equals_librosa() -> None:
    frames_TF = frames(50)
    expected = librosa.feature.delta(frames_TF, width=5, order=1, axis=0, mode="nearest")
    np.testing.assert_allclose(Deltas(order=1)(frames_TF)[:, 5:], expected, rtol=0, atol=1e-6)


def test_slope_of_a_straight_line() -> None:
    line_TF = np.arange(20, dtype=np.float32)[:, None] * 3.0
    out_TF = Deltas(order=2)(line_TF)[4:-4]
    np.testing.assert_allclose(out_TF[:, 1], 3.0, rtol=1e-6)
    np.testing.assert_allclose(out_TF[:, 2], 0.0, atol=1e-5)


@given(
    count=st.integers(0, 2 * BLOCK_FRAMES + 10),
    order=st.integers(0, 3),
    window=st.integers(1, 3),
    sizes=st.lists(st.integers(0, 300) | st.integers(0, 3), min_size=1, max_size=6).filter(any),
)
def test_stream_equals_the_whole_bit_for_bit(count: int, order: int, window: int, sizes: list[int]) -> None:
    deltas = Deltas(order, window)
    stream = deltas.stream()
    frames_TF = frames(count)
    for _ in range(2):  # a flushed stream is fresh
        pieces = []
        position = block = 0
        while position < count:
            size = sizes[block % len(sizes)]
            pieces.append(stream.push(frames_TF[position : position + size]))
            position += size
            block += 1
        pieces += [stream.push(frames_TF[:0]), stream.flush()]
        np.testing.assert_array_equal(np.concatenate(pieces), deltas(frames_TF), strict=True)


def test_stream_waits_for_its_look_ahead_and_no_longer() -> None:
    stream = Deltas(order=2, window=2).stream()
    assert len(stream.push(frames(4))) == 0
    assert len(stream.push(frames(1))) == 1
    assert len(stream.push(frames(7))) == 7
    assert len(stream.flush()) == 4


@pytest.mark.parametrize(("order", "window", "message"), [(-1, 2, "order"), (2, 0, "window=0")])
def test_bad_settings_are_refused(order: int, window: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Deltas(order, window)
