"""Convolution by blocks is convolution, and weights of bands are the weights that are measured afterwards."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.convolve import convolve, weigh_bands


@given(st.integers(0, 2500), st.integers(0, 2500), st.integers(0, 99))
def test_it_is_numpys_convolution(samples: int, response: int, seed: int) -> None:
    check_convolution(samples, response, seed)


@pytest.mark.parametrize(("samples", "response"), [(30_000, 8192), (30_000, 8193), (5, 20_000), (16_384, 20_001)])
def test_long_responses_are_divided(samples: int, response: int) -> None:
    check_convolution(samples, response, 0)


def check_convolution(samples: int, response: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    samples_S, response_R = (rng.standard_normal(length).astype(np.float32) for length in (samples, response))
    ours = convolve(samples_S, response_R)
    assert ours.dtype == np.float32
    if not samples or not response:
        assert len(ours) == 0
        return
    size = 2 * (samples + response)
    wanted = np.fft.irfft(np.fft.rfft(samples_S.astype(np.float64), size) * np.fft.rfft(response_R, size), size)
    np.testing.assert_allclose(ours, wanted[: samples + response - 1], atol=1e-5 * np.abs(wanted).max())


def test_bands_are_weighed_and_nothing_moves() -> None:
    noise_S = np.random.default_rng(0).standard_normal(40_000).astype(np.float32)
    weights = 1.5 + np.cos(np.linspace(0, 3 * np.pi, 65))
    heard, said = (np.fft.rfft(one)[: 64 * 312].reshape(64, -1) for one in (weigh_bands(noise_S, weights), noise_S))
    transfer = np.sum(heard * said.conj(), axis=1) / np.sum(np.abs(said) ** 2, axis=1)
    between = (weights[1:] + weights[:-1]) / 2
    np.testing.assert_allclose(transfer.real, between, atol=0.05)
    np.testing.assert_allclose(transfer.imag, 0, atol=0.05)  # zero phase
    np.testing.assert_allclose(weigh_bands(noise_S, np.ones(65)), noise_S, atol=1e-5)
    assert len(weigh_bands(noise_S[:3], weights)) == 3
