"""The three normalisations beside plain NumPy and torchaudio; a stream beside the whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchaudio.functional import sliding_window_cmn

from features.cmvn import BLOCK_FRAMES, CmvnAccumulator, GlobalCmvn, RunningCmvn, UtteranceCmvn


def frames(count: int, width: int = 4, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng((seed, count))
    return (10.0 + np.arange(width) * draw.standard_normal((count, width))).astype(np.float32)


def test_accumulator_equals_the_statistics_of_all_frames() -> None:
    utterances = [frames(count, seed=count) for count in (1, 0, 17, 3000, 2 * BLOCK_FRAMES + 1)]
    accumulator = CmvnAccumulator()
    for utterance in utterances:
        accumulator.add(utterance)
    together = np.concatenate(utterances).astype(np.float64)
    assert accumulator.count == len(together)
    np.testing.assert_allclose(accumulator.mean, together.mean(axis=0), rtol=1e-6)
    # The first feature is constant: it is centred and not scaled.
    np.testing.assert_allclose(accumulator.std, [1.0, *together.std(axis=0)[1:]], rtol=1e-6)
    assert accumulator.mean.dtype == accumulator.std.dtype == np.float32


def test_accumulator_does_not_cancel() -> None:
    """Far from zero, sums of squares lose the variance; joining means and scatters does not."""
    far = (1e6 + np.random.default_rng(0).integers(0, 2, (1000, 1))).astype(np.float32)
    accumulator = CmvnAccumulator()
    for start in range(0, 1000, 7):
        accumulator.add(far[start : start + 7])
    np.testing.assert_allclose(accumulator.std, far.astype(np.float64).std(axis=0), rtol=1e-6)


def test_accumulator_without_frames_has_no_statistics() -> None:
    accumulator = CmvnAccumulator()
    accumulator.add(frames(0))
    with pytest.raises(ValueError, match="no frames"):
        _ = accumulator.mean
    with pytest.raises(ValueError, match="no frames"):
        _ = accumulator.std


def test_global_gives_mean_zero_and_deviation_one() -> None:
    accumulator = CmvnAccumulator()
    accumulator.add(frames(5000))
    out_TF = GlobalCmvn(accumulator.mean, accumulator.std)(frames(5000))
    assert out_TF.dtype == np.float32
    np.testing.assert_allclose(out_TF.mean(axis=0), 0.0, atol=1e-4)
    np.testing.assert_allclose(out_TF.std(axis=0)[1:], 1.0, atol=1e-4)


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ([0.0], [1.0, 1.0], "shapes"),
        ([[0.0]], [[1.0]], "shapes"),
        ([0.0], [0.0], "above 0"),
        ([np.nan], [1.0], "finite"),
    ],
)
def test_bad_statistics_are_refused(mean: list, std: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GlobalCmvn(mean, std)


@pytest.mark.parametrize("window", [1, 2, 30, 100])
def test_running_subtracts_the_mean_of_the_last_frames(window: int) -> None:
    frames_TF = frames(70)
    expected = [frames_TF[t] - frames_TF[max(0, t - window + 1) : t + 1].mean(axis=0, dtype=float) for t in range(70)]
    np.testing.assert_allclose(RunningCmvn(window)(frames_TF), expected, rtol=0, atol=2e-6)


def test_running_equals_torchaudio() -> None:
    """Kaldi's sliding window holds one frame more than its option says once it slides."""
    frames_TF = frames(200)
    expected = sliding_window_cmn(torch.from_numpy(frames_TF), cmn_window=29, min_cmn_window=1, center=False)
    np.testing.assert_allclose(RunningCmvn(30)(frames_TF), expected.numpy(), rtol=0, atol=1e-5)


def test_running_does_not_drift() -> None:
    frames_TF = np.tile(frames(997, width=2), (200, 1))
    out_TF = RunningCmvn(300)(frames_TF)
    expected = frames_TF[-1] - frames_TF[-300:].mean(axis=0, dtype=float)
    np.testing.assert_allclose(out_TF[-1], expected, rtol=0, atol=1e-6)


def test_utterance_gives_mean_zero_and_deviation_one() -> None:
    out_TF = UtteranceCmvn()(frames(300))
    np.testing.assert_allclose(out_TF.mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(out_TF.std(axis=0), [0.0, 1.0, 1.0, 1.0], atol=1e-5)
    np.testing.assert_array_equal(UtteranceCmvn()(frames(1)), np.zeros((1, 4)))


def test_utterance_cannot_stream_and_says_so() -> None:
    assert not UtteranceCmvn().streams
    assert RunningCmvn(3).streams
    assert GlobalCmvn([0.0], [1.0]).streams
    with pytest.raises(ValueError, match="whole utterance and cannot stream"):
        UtteranceCmvn().stream()


@pytest.mark.parametrize("step", [GlobalCmvn(np.arange(4), np.ones(4)), RunningCmvn(5), UtteranceCmvn()], ids=type)
def test_no_frames_give_no_frames(step: GlobalCmvn | RunningCmvn | UtteranceCmvn) -> None:
    assert step(frames(0)).shape == (0, 4)


@pytest.mark.parametrize(
    "step",
    [GlobalCmvn(np.linspace(8, 12, 4), np.linspace(0.3, 3, 4)), *(RunningCmvn(n) for n in (1, 7, 300))],
    ids=["global", "running-1", "running-7", "running-300"],
)
@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(0, 1000),
    sizes=st.lists(st.integers(0, 600) | st.integers(0, 3), min_size=1, max_size=6).filter(any),
)
def test_stream_equals_the_whole_bit_for_bit(step: GlobalCmvn | RunningCmvn, count: int, sizes: list[int]) -> None:
    frames_TF = frames(count)
    stream = step.stream()
    for _ in range(2):  # a flushed stream is fresh
        pieces = [stream.push(frames_TF[:0])]
        position = block = 0
        while position < count:
            size = sizes[block % len(sizes)]
            pieces.append(stream.push(frames_TF[position : position + size]))
            position += size
            block += 1
        pieces.append(stream.flush())
        np.testing.assert_array_equal(np.concatenate(pieces), step(frames_TF), strict=True)


def test_running_needs_a_frame() -> None:
    with pytest.raises(ValueError, match="window_frames=0"):
        RunningCmvn(0)
