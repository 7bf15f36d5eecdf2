"""The recurrent stack against a step written out in NumPy, against packed sequences, and padded items against alone."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from encoders.blstm import Blstm, EncoderConfig
from encoders.frames import reversal, stack_frames
from encoders.layers import RecurrentLayer, make_layer

randomised = runpy.run_path(str(Path(__file__).with_name("drawn.py")))["randomised"]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
SHAPES = [
    EncoderConfig(layers=1, hidden_size=5, subsampling=[]),
    EncoderConfig(layers=3, hidden_size=4, subsampling=[3]),
    EncoderConfig(layers=3, hidden_size=4, subsampling=[1, 2, 2]),
    EncoderConfig(layers=2, hidden_size=6, subsampling=[2, 3], bidirectional=False),
    EncoderConfig(layers=3, hidden_size=4, subsampling=(1, 1, 5)),
]


def describe(config: object) -> str:
    if not isinstance(config, EncoderConfig):
        return str(config).removeprefix("torch.")
    return f"{'bi' if config.bidirectional else 'uni'}-{'x'.join(map(str, config.stacking))}"


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def lstm_by_hand(layer: RecurrentLayer, x_TF: np.ndarray) -> np.ndarray:
    """Outputs (T,H) of one LSTM layer, gate by gate from torch's own parameters in float64, from a state of zeros."""
    parameters = (p.detach().double().numpy() for p in layer.native.parameters())
    w_ih, w_hh, b_ih, b_hh = parameters
    hidden = w_hh.shape[1]
    w = dict(zip("ifgo", np.split(w_ih, 4), strict=True))
    r = dict(zip("ifgo", np.split(w_hh, 4), strict=True))
    b = dict(zip("ifgo", np.split(b_ih + b_hh, 4), strict=True))
    h = c = np.zeros(hidden)
    outputs = np.zeros((len(x_TF), hidden))
    for t, x in enumerate(x_TF):
        i, f, o = (sigmoid(w[gate] @ x + r[gate] @ h + b[gate]) for gate in "ifo")
        g = np.tanh(w["g"] @ x + r["g"] @ h + b["g"])
        c = f * c + i * g
        h = o * np.tanh(c)
        outputs[t] = h
    return outputs


def encode_by_hand(network: Blstm, x_TF: np.ndarray) -> np.ndarray:
    """Encodings (T',C) of one item, without torch and without padding, in float64."""
    x_TF = x_TF.astype(np.float64)
    for index, factor in enumerate(network.config.stacking):
        x_TF = np.stack([
            np.concatenate([x_TF[t + k] if t + k < len(x_TF) else np.zeros(x_TF.shape[1]) for k in range(factor)])
            for t in range(0, len(x_TF), factor)
        ])  # fmt: skip
        y_TC = lstm_by_hand(network.forwards[index], x_TF)
        if network.config.bidirectional:
            y_TC = np.concatenate([y_TC, lstm_by_hand(network.backwards[index], x_TF[::-1])[::-1]], axis=1)
        x_TF = y_TC
    return x_TF


def padded(items: list[np.ndarray], dtype: torch.dtype, *, fill: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    frames = [torch.from_numpy(item).to(dtype) for item in items]
    lengths = torch.tensor([len(item) for item in items])
    return nn.utils.rnn.pad_sequence(frames, batch_first=True, padding_value=fill), lengths


def draw(lengths: list[int], features: int = 4, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((length, features)) for length in lengths]


@pytest.mark.parametrize("dtype", TOLERANCE, ids=describe)
@pytest.mark.parametrize("config", SHAPES, ids=describe)
def test_equals_a_step_in_numpy(config: EncoderConfig, dtype: torch.dtype) -> None:
    network = randomised(Blstm(4, config).to(dtype))
    items = draw([1, 7, 23, 2, 11])
    frames, lengths = padded(items, dtype, fill=9.0)
    encoded, encoded_lengths = network(frames, lengths)
    assert encoded.dtype == dtype
    for item, got, length in zip(items, encoded, encoded_lengths, strict=True):
        expected = encode_by_hand(network, item if dtype == torch.float64 else item.astype(np.float32))
        assert length == len(expected)
        np.testing.assert_allclose(got[:length].detach().numpy(), expected, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE, ids=describe)
def test_equals_packed_sequences_with_the_same_weights(dtype: torch.dtype) -> None:
    config = EncoderConfig(layers=3, hidden_size=6, subsampling=[], dropout=0.0)
    network = randomised(Blstm(5, config).to(dtype))
    other = nn.LSTM(5, 6, num_layers=3, bidirectional=True, batch_first=True).to(dtype)
    with torch.no_grad():
        for index in range(3):
            for layers, suffix in ((network.forwards, ""), (network.backwards, "_reverse")):
                for name, parameter in layers[index].native.named_parameters():
                    getattr(other, name.replace("l0", f"l{index}{suffix}")).copy_(parameter)
    frames, lengths = padded(draw([13, 4, 1, 13, 9], features=5), dtype)
    packed = nn.utils.rnn.pack_padded_sequence(frames, lengths, batch_first=True, enforce_sorted=False)
    expected, _ = nn.utils.rnn.pad_packed_sequence(other(packed)[0], batch_first=True)
    encoded, encoded_lengths = network(frames, lengths)
    assert encoded_lengths.equal(lengths)
    for got, wanted, length in zip(encoded, expected, lengths, strict=True):
        torch.testing.assert_close(got[:length], wanted[:length], rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE, ids=describe)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    stacking=st.lists(st.integers(1, 4), max_size=3),
    bidirectional=st.booleans(),
    fill=st.sampled_from([0.0, 1e4, float("inf"), float("nan")]),
    seed=st.integers(0, 1000),
)
def test_padded_equals_alone(dtype, lengths, stacking, bidirectional, fill, seed) -> None:
    config = EncoderConfig(layers=3, hidden_size=4, subsampling=stacking, bidirectional=bidirectional)
    network = randomised(Blstm(4, config).to(dtype), seed)
    items = draw(lengths, seed=seed)
    with torch.no_grad():
        encoded, encoded_lengths = network(*padded(items, dtype, fill=fill))
        assert encoded_lengths.equal(network.output_lengths(torch.tensor(lengths)))
        for item, together, length in zip(items, encoded, encoded_lengths, strict=True):
            alone, alone_length = network(*padded([item], dtype))
            assert alone_length.tolist() == [length] == [alone.shape[1]]
            torch.testing.assert_close(together[:length], alone[0], rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("config", SHAPES, ids=describe)
def test_gradients_of_a_padded_batch_are_the_sum_of_those_alone(config: EncoderConfig) -> None:
    network = randomised(Blstm(4, config).double())
    items = draw([9, 3, 17])

    def gradients(batch: list[np.ndarray], fill: float) -> list[torch.Tensor]:
        network.zero_grad()
        encoded, lengths = network(*padded(batch, torch.float64, fill=fill))
        sum(item[:length].square().sum() for item, length in zip(encoded, lengths, strict=True)).backward()
        return [parameter.grad.clone() for parameter in network.parameters()]

    alone = [gradients([item], 0.0) for item in items]
    for fill in (0.0, float("nan")):
        for together, *apart in zip(gradients(items, fill), *alone, strict=True):
            assert together.abs().max() > 0
            torch.testing.assert_close(together, sum(apart), rtol=1e-10, atol=1e-12)


def test_gradients_are_those_of_finite_differences() -> None:
    network = randomised(Blstm(2, EncoderConfig(layers=2, hidden_size=2, subsampling=[2])).double())
    frames, lengths = padded(draw([5, 3], features=2), torch.float64)

    def encode(frames: torch.Tensor) -> torch.Tensor:
        encoded, encoded_lengths = network(frames, lengths)
        return torch.cat([item[:length] for item, length in zip(encoded, encoded_lengths, strict=True)])

    assert torch.autograd.gradcheck(encode, frames.requires_grad_())


@given(st.integers(1, 10**9), st.lists(st.integers(1, 7), max_size=4))
def test_lengths_are_exact_integers(length: int, stacking: list[int]) -> None:
    config = EncoderConfig(layers=4, hidden_size=1, subsampling=stacking)
    out = Blstm(1, config).output_lengths(torch.tensor([length]))
    assert out.dtype == torch.int64
    assert out.item() == -(-length // config.total_subsampling)


def test_stacking_keeps_every_frame_and_fills_up_with_zeros() -> None:
    frames = torch.arange(1.0, 15.0).reshape(1, 7, 2)
    stacked, lengths = stack_frames(frames, torch.tensor([5]), 3)
    assert lengths.tolist() == [2]
    assert stacked.tolist() == [[[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 0, 0], [0, 0, 0, 0, 0, 0]]]


def test_reversal_turns_within_the_length_and_is_its_own_inverse() -> None:
    order = reversal(torch.tensor([4, 1, 6]), 6)
    assert order.tolist() == [[3, 2, 1, 0, 4, 5], [0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0]]
    assert order.gather(1, order).equal(torch.arange(6).expand(3, 6))


def test_dropout_acts_between_layers_and_before_the_head_in_training_alone() -> None:
    config = EncoderConfig(layers=2, hidden_size=64, dropout=0.5, subsampling=[])
    network = Blstm(4, config)
    frames, lengths = padded(draw([40]), torch.float32)
    network.train()
    encoded, _ = network(frames, lengths)
    assert 0.4 < (encoded == 0).float().mean() < 0.6
    assert not network(frames, lengths)[0].equal(encoded)
    network.eval()
    calm, _ = network(frames, lengths)
    assert calm.equal(network(frames, lengths)[0])
    assert not (calm == 0).any()
    # The second layer has read dropped outputs of the first: what survives is not the calm output scaled.
    kept = encoded != 0
    assert not torch.allclose(encoded[kept], 2 * calm[kept], atol=1e-3)


def test_a_layer_goes_on_from_the_state_that_it_gave() -> None:
    layer = randomised(make_layer("lstm", 3, 4).double())
    x = torch.randn(2, 10, 3, dtype=torch.float64)
    whole, end = layer(x)
    first, state = layer(x[:, :6])
    second, last = layer(x[:, 6:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, rtol=0, atol=1e-14)
    for got, wanted in zip(last, end, strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-14)


def test_weights_come_back_from_the_stored_layout() -> None:
    layer, other = randomised(make_layer("lstm", 3, 4), 1), randomised(make_layer("lstm", 3, 4), 2)
    other.from_onnx(layer.to_onnx())
    for got, wanted in zip(other.parameters(), layer.parameters(), strict=True):
        assert got.equal(wanted)


def test_the_forget_gate_starts_open() -> None:
    b_w, b_r = np.split(make_layer("lstm", 3, 4).to_onnx()["B"][0], 2)
    i, o, f, c = np.split(b_w + b_r, 4)
    assert (f == 1).all()
    assert not np.any([i, o, c])


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"cell": "perceptron"}, "perceptron.*lstm"),
        ({"layers": 0}, "layers"),
        ({"hidden_size": 0}, "hidden_size"),
        ({"dropout": 1.0}, "dropout"),
        ({"dropout": -0.1}, "dropout"),
        ({"layers": 1, "subsampling": [1, 2]}, "subsampling"),
        ({"subsampling": [0]}, "subsampling"),
    ],
)
def test_shapes_that_cannot_be_are_refused_by_name(settings: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        EncoderConfig(**settings)
