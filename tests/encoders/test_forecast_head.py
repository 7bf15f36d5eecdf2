"""Forecasts of frames: the loss against a loop, and that nothing which is forecast has been seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders.blstm import EncoderConfig
from encoders.heads import forecast_loss
from encoders.network import Network
from encoders.windows import Latency

F = 3


def loss_by_hand(forecast_BTV: np.ndarray, frames_BTF: np.ndarray, lengths: list[int], stacked: int, ahead: int):
    errors, counts = [], []
    for forecast_TV, frames_TF, length in zip(forecast_BTV, frames_BTF, lengths, strict=True):
        before = len(errors)
        for step in range(len(forecast_TV)):
            first = (step + ahead) * stacked
            if first + stacked <= length:
                errors.append(np.abs(forecast_TV[step] - frames_TF[first : first + stacked].ravel()).mean())
        counts.append(len(errors) - before)
    return np.mean(errors) if errors else 0.0, counts


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 25), min_size=1, max_size=4),
    stacked=st.integers(1, 4),
    ahead=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_the_loss_is_the_mean_over_whole_steps_that_are_there(lengths, stacked, ahead, seed) -> None:
    rng = np.random.default_rng(seed)
    frames = rng.standard_normal((len(lengths), max(lengths), F))
    forecast = rng.standard_normal((len(lengths), -(-max(lengths) // stacked), stacked * F))
    wanted, counts = loss_by_hand(forecast, frames, lengths, stacked, ahead)
    padded = torch.from_numpy(frames.copy())
    for row, length in zip(padded, lengths, strict=True):
        row[length:] = float("nan")
    made = torch.from_numpy(forecast).requires_grad_()
    loss, steps = forecast_loss(made, padded, torch.tensor(lengths), ahead=ahead)
    np.testing.assert_allclose(loss.item(), wanted, rtol=1e-12, atol=0)
    assert steps.tolist() == counts
    loss.backward()
    assert bool(torch.isfinite(made.grad).all())


@pytest.mark.parametrize("ahead", [1, 3])
@pytest.mark.parametrize(
    "config",
    [
        EncoderConfig(layers=2, hidden_size=5, subsampling=[2]),
        EncoderConfig(layers=3, hidden_size=4, subsampling=[1, 2]),
        EncoderConfig(layers=2, hidden_size=5, convolution=8, subsampling=[1]),
        EncoderConfig(layers=2, hidden_size=5, subsampling=[2], bidirectional=False),
    ],
    ids=["stacked", "pyramid", "convolution", "one way"],
)
def test_in_chunks_as_long_as_it_looks_ahead_no_encoder_has_seen_what_it_forecasts(config, ahead: int) -> None:
    torch.manual_seed(0)
    unit = config.total_subsampling
    network = Network(F, unit * F, config, head="forecast").double().eval()
    x = torch.randn(1, 14 * unit, F, dtype=torch.float64).requires_grad_()
    latency = Latency(ahead * unit, 0) if config.bidirectional else None
    forecast, _ = network(x, torch.tensor([14 * unit]), latency)
    for step in range(14 - ahead):
        [heard] = torch.autograd.grad(forecast[0, step].sum(), x, retain_graph=True)
        heard_T = heard[0].abs().sum(1)
        assert not heard_T[(step + ahead) * unit :].any()
        assert heard_T[(step + 1) * unit - 1] > 0, "it hears the step that it is made at"
    if config.bidirectional and ahead > 1:
        [heard] = torch.autograd.grad(forecast[0, 0].sum(), x, retain_graph=True)
        assert heard[0, ahead * unit - 1].any(), "from both sides"
