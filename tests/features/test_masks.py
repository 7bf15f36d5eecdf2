"""Masks of SpecAugment: within their limits, and where the definition and torchaudio put them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchaudio

from features.augment import AugmentConfig, spec_augment


def test_masks_are_zero_stretches_within_their_limits() -> None:
    config = AugmentConfig(time_masks=1, time_mask_frames=30, frequency_masks=1, frequency_mask_bins=12)
    rng = np.random.default_rng()
    widths: list[tuple[int, int]] = []
    for _ in range(400):
        frames = np.ones((100, 40), np.float32)
        masked = spec_augment(frames, config, rng)
        assert np.all(frames == 1)  # the caller's frames stay whole
        assert set(np.unique(masked)) <= {0.0, 1.0}
        rows, columns = ~masked.any(axis=1), ~masked.any(axis=0)
        for hidden in (rows, columns):
            assert np.count_nonzero(np.diff(hidden.astype(int), prepend=0) == 1) <= 1
        np.testing.assert_array_equal(masked == 0, rows[:, None] | columns[None, :])
        widths.append((rows.sum(), columns.sum()))
    assert np.max(widths, axis=0).tolist() == [20, 12]  # a fifth of the 100 frames limits the 30
    assert np.min(widths, axis=0).tolist() == [0, 0]
    np.testing.assert_allclose(np.mean(widths, axis=0), [10.0, 6.0], rtol=0.15)


def test_masks_fall_as_torchaudio_s_do() -> None:
    """torchaudio draws widths below its parameter; ours include the largest, so its parameter is one more.

    It rounds the end of a mask down twice and so spares the last positions; positions are therefore compared with
    the definition, summed over all widths and starts.
    """
    draws, size, largest = 20_000, 40, 15
    torch.manual_seed(0)
    mask = torchaudio.functional.mask_along_axis_iid(torch.ones(draws, 1, 1, size), largest + 1, 0.0, axis=3)
    theirs = 1.0 - mask.numpy()[:, 0, 0]
    config = AugmentConfig(frequency_masks=1, frequency_mask_bins=largest)
    rng = np.random.default_rng()
    ours = np.array([1.0 - spec_augment(np.ones((1, size)), config, rng)[0] for _ in range(draws)])
    shares = [np.bincount(hidden.sum(axis=1).astype(int), minlength=largest + 1) / draws for hidden in (ours, theirs)]
    five_errors = 5 * np.sqrt(0.25 / draws)  # of a share of one half, the least certain one
    np.testing.assert_allclose(shares[0], shares[1], atol=five_errors)
    np.testing.assert_allclose(ours.mean(axis=0)[:25], theirs.mean(axis=0)[:25], atol=2 * five_errors)
    wanted = np.zeros(size)
    for width in range(largest + 1):
        for start in range(size - width + 1):
            wanted[start : start + width] += 1 / (largest + 1) / (size - width + 1)
    np.testing.assert_allclose(ours.mean(axis=0), wanted, atol=five_errors)


@pytest.mark.parametrize("shape", [(0, 40), (1, 40), (3, 1)])
def test_masks_on_hardly_any_frames(shape: tuple[int, int]) -> None:
    config = AugmentConfig(time_masks=3, time_mask_frames=50, frequency_masks=3, frequency_mask_bins=50)
    for seed in range(20):
        assert spec_augment(np.ones(shape), config, np.random.default_rng(seed)).shape == shape
