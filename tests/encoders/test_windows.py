"""Latency control in torch: the fast form, the plain form, a definition in NumPy and the graph agree."""

from __future__ import annotations

import runpy
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders.blstm import Blstm, EncoderConfig
from encoders.export import WEIGHTS_FILE, export
from encoders.layers import RecurrentLayer
from encoders.network import Network
from encoders.windows import Latency, cut_windows, fitted
from inference.scorer import Scorer

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
SHAPES = [
    EncoderConfig(layers=1, hidden_size=5, subsampling=[]),
    EncoderConfig(layers=3, hidden_size=4, subsampling=[3]),
    EncoderConfig(layers=3, hidden_size=4, subsampling=[1, 2, 2]),
    EncoderConfig(layers=2, hidden_size=6, subsampling=[2, 3], bidirectional=False),
]
F = 4
DRAWN = runpy.run_path(str(Path(__file__).with_name("drawn.py")))
randomised, batch = DRAWN["randomised"], partial(DRAWN["batch"], features=F)


def describe(value: object) -> str:
    if not isinstance(value, EncoderConfig):
        return str(value).removeprefix("torch.")
    return f"{'bi' if value.bidirectional else 'uni'}-{'x'.join(map(str, value.stacking))}"


def run_lstm(layer: RecurrentLayer, x_TF: np.ndarray, h: np.ndarray, c: np.ndarray):
    """Outputs and last state of a layer, step by step in float64 from torch's parameters."""
    w, r, b_w, b_r = (p.detach().double().numpy() for p in layer.native.parameters())
    outputs = np.zeros((len(x_TF), len(h)))
    for t, x in enumerate(x_TF):
        i, f, g, o = np.split(w @ x + b_w + r @ h + b_r, 4)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
        outputs[t] = h
    return outputs, h, c


def by_definition(network: Blstm, frames_TF: np.ndarray, latency: Latency) -> np.ndarray:
    """Latency control of one item as the paper says it: a loop over windows, in each a loop over layers."""
    config = network.config
    size = config.hidden_size
    states = [(np.zeros(size), np.zeros(size)) for _ in range(config.layers)]
    pieces = []
    for start in range(0, len(frames_TF), latency.chunk):
        x = frames_TF[start : start + latency.chunk + latency.lookahead]
        chunk = latency.chunk
        for index, factor in enumerate(config.stacking):
            x = np.concatenate([x, np.zeros((-len(x) % factor, x.shape[1]))]).reshape(-1, factor * x.shape[1])
            chunk //= factor
            y, *states[index] = run_lstm(network.forwards[index], x[:chunk], *states[index])
            rest, *_ = run_lstm(network.forwards[index], x[chunk:], *states[index])
            y = np.concatenate([y, rest])
            if config.bidirectional:
                z, *_ = run_lstm(network.backwards[index], x[::-1], np.zeros(size), np.zeros(size))
                y = np.concatenate([y, z[::-1]], axis=1)
            x = y
        pieces.append(x[:chunk])
    return np.concatenate(pieces)


def latency_of(config: EncoderConfig, steps: int, ahead: int) -> Latency:
    return Latency(steps * config.total_subsampling, ahead * config.total_subsampling)


# Chunk and look-ahead in steps: shorter and longer than each other, no look-ahead, more than every item has.
WINDOWS = [(1, 0), (1, 3), (2, 1), (4, 4), (3, 0), (50, 2)]


@pytest.mark.parametrize("dtype", TOLERANCE, ids=describe)
@pytest.mark.parametrize("config", SHAPES, ids=describe)
@pytest.mark.parametrize(("steps", "ahead"), WINDOWS)
def test_both_forms_equal_the_definition(config, steps: int, ahead: int, dtype: torch.dtype) -> None:
    network = randomised(Blstm(F, config).to(dtype))
    frames, lengths = batch([29, 1, 12, 30, 7], dtype, fill=float("nan"))
    latency = latency_of(config, steps, ahead)
    with torch.no_grad():
        fast, fast_lengths = network(frames, lengths, latency)
        plain, plain_lengths = network.window_by_window(frames, lengths, latency)
    assert fast_lengths.equal(plain_lengths)
    assert fast_lengths.equal(network.output_lengths(lengths))
    for item, length, fast_item, plain_item, steps_out in zip(frames, lengths, fast, plain, fast_lengths, strict=True):
        expected = by_definition(network, item[:length].double().numpy(), latency)
        assert len(expected) == steps_out
        for got in (fast_item, plain_item):
            np.testing.assert_allclose(got[:steps_out].numpy(), expected, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE, ids=describe)
@settings(max_examples=settings.default.max_examples // 2)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    stacking=st.lists(st.integers(1, 3), max_size=3),
    steps=st.integers(1, 12),
    ahead=st.integers(0, 12),
    bidirectional=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_the_fast_form_equals_the_plain_one(dtype, lengths, stacking, steps, ahead, bidirectional, seed) -> None:
    config = EncoderConfig(layers=3, hidden_size=4, subsampling=stacking, bidirectional=bidirectional)
    network = randomised(Blstm(F, config).to(dtype), seed)
    frames, lengths_B = batch(lengths, dtype, seed)
    latency = latency_of(config, steps, ahead)
    with torch.no_grad():
        fast, fast_lengths = network(frames, lengths_B, latency)
        plain, _ = network.window_by_window(frames, lengths_B, latency)
        assert fast.shape == (*plain.shape[:1], max(fast_lengths), *plain.shape[2:])
        for item, (got, wanted, length) in enumerate(zip(fast, plain, fast_lengths, strict=True)):
            torch.testing.assert_close(got[:length], wanted[:length], rtol=0, atol=TOLERANCE[dtype])
            alone, _ = network(frames[item : item + 1, : lengths[item]], lengths_B[item : item + 1], latency)
            torch.testing.assert_close(got[:length], alone[0], rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("config", SHAPES, ids=describe)
@pytest.mark.parametrize(("steps", "ahead"), [(2, 1), (3, 0), (1, 4)])
def test_gradients_of_the_fast_form_are_those_of_the_plain_one(config, steps: int, ahead: int) -> None:
    network = randomised(Blstm(F, config).double())
    frames, lengths = batch([17, 5, 23], torch.float64)
    latency = latency_of(config, steps, ahead)

    def gradients(encode) -> list[torch.Tensor]:
        network.zero_grad()
        x = frames.clone().requires_grad_()
        encoded, out = encode(x, lengths, latency)
        sum(item[:length].square().sum() for item, length in zip(encoded, out, strict=True)).backward()
        return [x.grad, *(parameter.grad.clone() for parameter in network.parameters())]

    for got, wanted in zip(gradients(network), gradients(network.window_by_window), strict=True):
        assert wanted.abs().max() > 0
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("config", SHAPES, ids=describe)
@pytest.mark.parametrize("ahead", [0, 2])
def test_a_chunk_that_holds_everything_is_full_context(config: EncoderConfig, ahead: int) -> None:
    network = randomised(Blstm(F, config))
    frames, lengths = batch([20, 3, 31], torch.float32)
    whole, whole_lengths = network(frames, lengths)
    windowed, windowed_lengths = network(frames, lengths, latency_of(config, 31, ahead))
    assert windowed_lengths.equal(whole_lengths)
    assert windowed.equal(whole)


@settings(max_examples=25, deadline=None)
@given(frames=st.integers(1, 60), shape=st.sampled_from(SHAPES), steps=st.integers(1, 9), ahead=st.integers(0, 6))
def test_the_graph_in_windows_equals_the_fast_form(tmp_path_factory, frames, shape, steps, ahead) -> None:
    torch.manual_seed(0)
    network = randomised(Network(F, 6, shape))
    scorer = _scorer(network, tmp_path_factory.mktemp("graph"))
    x, lengths = batch([frames], torch.float32, frames)
    chunk, lookahead = latency_of(shape, steps, ahead)
    with torch.no_grad():
        expected, _ = network(x, lengths, Latency(chunk, lookahead))
    scores = scorer.windowed([x[0].numpy()], chunk=chunk, lookahead=lookahead)
    np.testing.assert_allclose(scores, expected[0].numpy(), rtol=0, atol=1e-5)


def _scorer(network: Network, folder: Path) -> Scorer:
    exported = export(network)
    (folder / "model.onnx").write_bytes(exported.graph)
    (folder / WEIGHTS_FILE).write_bytes(exported.weights)
    return Scorer(folder / "model.onnx", subsampling=network.encoder.config.total_subsampling)


def test_no_frame_sees_beyond_its_window() -> None:
    network = randomised(Blstm(F, SHAPES[1]))
    frames, lengths = batch([60], torch.float32)
    later = frames.clone()
    later[:, 36:] += 1.0
    latency = Latency(15, 6)
    with torch.no_grad():
        before, after = (network(x, lengths, latency)[0] for x in (frames, later))
    # The window of frames 15 to 29 ends with frame 35; the next one holds what has changed.
    assert before[:, :10].equal(after[:, :10])
    assert not before[:, 10:15].equal(after[:, 10:15])


def test_windows_hold_every_frame_and_know_how_many_are_valid() -> None:
    frames = torch.arange(1.0, 9.0).reshape(1, 8, 1).repeat(2, 1, 1)
    windows, valid = cut_windows(frames, torch.tensor([8, 3]), 3, 2)
    assert windows[0, :, :, 0].tolist() == [[1, 2, 3, 4, 5], [4, 5, 6, 7, 8], [7, 8, 0, 0, 0]]
    assert valid.tolist() == [[5, 5, 2], [3, 0, 0]]


@pytest.mark.parametrize(
    ("chunk", "lookahead", "named"),
    [(4, 0, "chunk is 4 .*of 3"), (0, 3, "chunk is 0"), (3, 2, "look-ahead is 2"), (3, -3, "look-ahead is -3")],
)
def test_windows_that_cut_through_a_step_are_refused(chunk: int, lookahead: int, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        fitted(Latency(chunk, lookahead), 30, 3)
