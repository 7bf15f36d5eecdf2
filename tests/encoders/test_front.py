"""Convolutions before the layers, and normalisation between them: against loops, in windows, padded, in the graph."""

from __future__ import annotations

import runpy
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders.blstm import Blstm, EncoderConfig
from encoders.export import WEIGHTS_FILE, export
from encoders.front import ConvolutionalFrontEnd
from encoders.network import Network
from encoders.windows import Latency
from inference.scorer import Scorer

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
F, V = 7, 5
DRAWN = runpy.run_path(str(Path(__file__).with_name("drawn.py")))
randomised, batch = DRAWN["randomised"], partial(DRAWN["batch"], features=F)
SHAPES = {
    "convolution": EncoderConfig(layers=2, hidden_size=5, convolution=3, subsampling=[1]),
    "convolution, pyramid, norm": EncoderConfig(
        layers=3, hidden_size=4, convolution=2, subsampling=[1, 2], output_norm=True
    ),
    "convolution, one way": EncoderConfig(layers=2, hidden_size=6, convolution=1, subsampling=[], bidirectional=False),
    "norm": EncoderConfig(layers=2, hidden_size=6, subsampling=[3], output_norm=True),
}
NAMES = pytest.mark.parametrize("name", SHAPES)
# Chunk and look-ahead in steps: no look-ahead, longer and shorter than the chunk, more than every item has.
WINDOWS = pytest.mark.parametrize(("steps", "ahead"), [(1, 0), (1, 3), (2, 1), (50, 2)])


def latency_of(config: EncoderConfig, steps: int, ahead: int) -> Latency:
    return Latency(steps * config.total_subsampling, ahead * config.total_subsampling)


def convolved_by_hand(layer: torch.nn.Conv2d, x_CTF: np.ndarray) -> np.ndarray:
    """A 3x3 convolution of stride 2, rectified, as loops; padded by one feature at both edges, in time not at all."""
    kernel, bias = (p.detach().double().numpy() for p in (layer.weight, layer.bias))
    padded = np.pad(x_CTF, ((0, 0), (0, 0), (1, 1)))
    times, features = (padded.shape[1] - 1) // 2, (padded.shape[2] - 1) // 2
    y = np.zeros((len(kernel), times, features))
    for c in range(len(kernel)):
        for t in range(times):
            for f in range(features):
                seen = padded[:, 2 * t : 2 * t + 3, 2 * f : 2 * f + 3]
                y[c, t, f] = max(0.0, (kernel[c] * seen).sum() + bias[c])
    return y


@pytest.mark.parametrize("frames", [1, 3, 4, 5, 14])
def test_the_convolutions_are_those_of_the_definition(frames: int) -> None:
    front = randomised(ConvolutionalFrontEnd(F, 3).double())
    x, lengths = batch([frames])
    steps, step_lengths = front(x, lengths)
    before, after = np.zeros((3, F)), np.zeros((-frames % 4, F))
    y_CTF = np.concatenate([before, x[0].numpy(), after])[None]
    for layer in (front.first, front.second):
        y_CTF = convolved_by_hand(layer, y_CTF)
    expected = y_CTF.transpose(1, 0, 2).reshape(y_CTF.shape[1], -1)
    assert step_lengths.tolist() == [-(-frames // 4)] == [len(expected)]
    np.testing.assert_allclose(steps[0].detach().numpy(), expected, rtol=0, atol=1e-12)


def test_a_step_hears_its_own_frames_and_three_before_them() -> None:
    front = randomised(ConvolutionalFrontEnd(F, 8).double())
    x, lengths = batch([24])
    x.requires_grad_()
    steps, _ = front(x, lengths)
    [heard] = torch.autograd.grad(steps[0, 3].sum(), x)
    assert heard[0].abs().sum(1).nonzero().flatten().tolist() == list(range(9, 16))


@NAMES
@settings(max_examples=settings.default.max_examples // 3)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    steps=st.integers(1, 9),
    ahead=st.integers(0, 5),
    seed=st.integers(0, 1000),
)
def test_fast_equals_plain_and_padded_equals_alone(name, lengths, steps, ahead, seed) -> None:
    config = SHAPES[name]
    for dtype, tolerance in TOLERANCE.items():
        network = randomised(Blstm(F, config).to(dtype), seed)
        frames, lengths_B = batch(lengths, dtype, fill=float("nan"), seed=seed)
        for latency in (None, latency_of(config, steps, ahead)):
            with torch.no_grad():
                fast, fast_lengths = network(frames, lengths_B, latency)
                whole = Latency(config.total_subsampling * 50, 0)
                plain, _ = network.window_by_window(frames, lengths_B, latency or whole)
                assert fast_lengths.tolist() == [-(-length // config.total_subsampling) for length in lengths]
                for item, (got, wanted, length) in enumerate(zip(fast, plain, fast_lengths, strict=True)):
                    torch.testing.assert_close(got[:length], wanted[:length], rtol=0, atol=tolerance)
                    alone, _ = network(frames[item : item + 1, : lengths[item]], lengths_B[item : item + 1], latency)
                    torch.testing.assert_close(got[:length], alone[0], rtol=0, atol=tolerance)


@NAMES
@pytest.mark.parametrize("dropout_mask", ["frame", "sequence"])
def test_gradients_of_the_fast_form_are_those_of_the_plain_one(name: str, dropout_mask: str) -> None:
    """With one mask a sequence in training, too, where both forms draw the same masks."""
    config = EncoderConfig(**{**asdict(SHAPES[name]), "dropout": 0.5, "dropout_mask": dropout_mask})
    network = randomised(Blstm(F, config).double()).train(dropout_mask == "sequence")
    frames, lengths = batch([17, 5, 33], fill=float("nan"))

    def gradients(encode) -> list[torch.Tensor]:
        network.zero_grad()
        torch.manual_seed(1)
        encoded, out = encode(frames, lengths, latency_of(config, 2, 1))
        sum(item[:length].square().sum() for item, length in zip(encoded, out, strict=True)).backward()
        return [parameter.grad.clone() for parameter in network.parameters()]

    for got, wanted in zip(gradients(network), gradients(network.window_by_window), strict=True):
        assert wanted.abs().max() > 0
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)


def test_one_mask_a_sequence_drops_the_same_units_at_every_step() -> None:
    config = EncoderConfig(layers=1, hidden_size=40, subsampling=[1], dropout=0.4, dropout_mask="sequence")
    network = randomised(Blstm(F, config)).train()
    frames, lengths = batch([60, 60], torch.float32)
    dropped = []
    for latency in (None, Latency(8, 4)):
        encoded, _ = network(frames, lengths, latency)
        gone_BTC = encoded == 0
        assert gone_BTC.equal(gone_BTC[:, :1].expand_as(gone_BTC))
        assert not gone_BTC[0, 0].equal(gone_BTC[1, 0]), "each item has a mask of its own"
        dropped.append(gone_BTC[:, 0])
    assert not dropped[0].equal(dropped[1]), "each batch has masks of its own"
    assert 0.3 < torch.stack(dropped).float().mean() < 0.5
    with torch.no_grad():
        mean = torch.stack([network(frames[:, :9], lengths.clamp(max=9))[0] for _ in range(500)]).mean(0)
    torch.testing.assert_close(mean, network.eval()(frames[:, :9], lengths.clamp(max=9))[0], rtol=0, atol=0.2)


@NAMES
def test_pieces_of_truncated_backpropagation_say_what_the_whole_does(name: str) -> None:
    settings = {**asdict(SHAPES[name]), "bidirectional": False, "dropout": 0.5, "dropout_mask": "sequence"}
    network = randomised(Network(F, V, EncoderConfig(**settings)).double()).train()
    frames, lengths = batch([41, 24, 3])
    for latency in (None, latency_of(network.encoder.config, 2, 1)):
        torch.manual_seed(3)
        whole, out = network(frames, lengths, latency)
        torch.manual_seed(3)
        pieces, _ = network(frames, lengths, latency, truncate=2 * network.subsampling)
        for got, wanted, length in zip(pieces, whole, out, strict=True):
            torch.testing.assert_close(got[:length], wanted[:length], rtol=0, atol=1e-12)


def test_gradients_of_pieces_as_long_as_the_item_are_the_true_ones() -> None:
    network = randomised(Network(F, V, SHAPES["convolution, one way"]).double())
    frames, lengths = batch([41, 24])

    def gradients(**settings: int) -> list[torch.Tensor]:
        network.zero_grad()
        network(frames, lengths, **settings)[0].square().sum().backward()
        return [parameter.grad.clone() for parameter in network.parameters()]

    whole = gradients()
    for got, wanted in zip(gradients(truncate=44), whole, strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12)
    assert not gradients(truncate=8)[-4].equal(whole[-4]), "shorter ones are cut"


@pytest.fixture(scope="module")
def scorers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Network, Scorer, Path]]:
    made = {}
    for name, config in SHAPES.items():
        network = randomised(Network(F, V, config))
        folder = tmp_path_factory.mktemp("graph")
        exported = export(network)
        (folder / "model.onnx").write_bytes(exported.graph)
        (folder / WEIGHTS_FILE).write_bytes(exported.weights)
        made[name] = network, Scorer(folder / "model.onnx", subsampling=network.subsampling), folder
    return made


@NAMES
def test_the_graph_is_sound(scorers, name: str) -> None:
    network, _, folder = scorers[name]
    onnx.checker.check_model(folder / "model.onnx", full_check=True)
    assert sum(p.numel() for p in network.parameters()) == sum(a.size for a in network.arrays().values())
    assert export(network) == export(network)


@NAMES
@settings(max_examples=25, deadline=None)
@given(frames=st.integers(1, 70), steps=st.integers(1, 9), ahead=st.integers(0, 6))
def test_the_graph_in_windows_equals_the_fast_form(scorers, name, frames, steps, ahead) -> None:
    network, scorer, _ = scorers[name]
    x, lengths = batch([frames], torch.float32, seed=frames)
    chunk, lookahead = latency_of(network.encoder.config, steps, ahead)
    with torch.no_grad():
        windowed, _ = network(x, lengths, Latency(chunk, lookahead))
        whole, _ = network(x, lengths)
    rng = np.random.default_rng(frames)
    pieces = np.split(x[0].numpy(), np.sort(rng.integers(0, frames + 1, 3)))
    got = scorer.windowed(pieces, chunk=chunk, lookahead=lookahead)
    np.testing.assert_allclose(got, windowed[0].numpy(), rtol=0, atol=1e-5)
    np.testing.assert_array_equal(got, scorer.windowed([x[0].numpy()], chunk=chunk, lookahead=lookahead))
    np.testing.assert_allclose(scorer.full(x[0].numpy()), whole[0].numpy(), rtol=0, atol=1e-5)


@NAMES
@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(1, 50), min_size=1, max_size=6), steps=st.integers(1, 9), seed=st.integers(0, 99))
def test_in_the_graph_together_equals_alone(scorers, name, lengths, steps, seed) -> None:
    network, scorer, _ = scorers[name]
    frames, lengths_B = batch(lengths, torch.float32, fill=float("nan"), seed=seed)
    chunk = steps * network.subsampling
    rng = np.random.default_rng(seed)
    state = tuple(rng.uniform(-1, 1, part.shape).astype(np.float32) for part in scorer.start(len(lengths)))

    def of(k: int, state: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        """Layers come before items in h and c; the frames before the stretch have no layers."""
        return tuple(np.take(part, [k], axis=0 if index == 2 else 1) for index, part in enumerate(state))

    together = scorer(frames.numpy(), lengths_B.numpy(), chunk=chunk, state=state)
    for k, length in enumerate(lengths):
        own = frames[k : k + 1, :length].numpy()
        alone = scorer(own, np.array([length]), chunk=chunk, state=of(k, state))
        steps_out = alone.lengths_B[0]
        np.testing.assert_allclose(together.scores_BTV[k, :steps_out], alone.scores_BTV[0], rtol=0, atol=1e-6)
        for got, wanted in zip(of(k, together.state)[:2], alone.state[:2], strict=True):
            np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-6)
        if length >= chunk and network.encoder.front is not None:
            np.testing.assert_array_equal(alone.state[2][0], own[0, chunk - 3 : chunk])
            np.testing.assert_array_equal(together.state[2][k], alone.state[2][0])


def test_no_step_hears_beyond_its_window() -> None:
    config = SHAPES["convolution"]
    network = randomised(Blstm(F, config))
    frames, lengths = batch([80], torch.float32)
    later = frames.clone()
    later[:, 48:] += 1.0
    with torch.no_grad():
        before, after = (network(x, lengths, Latency(20, 8))[0] for x in (frames, later))
    # The window of frames 20 to 39 ends with frame 47; the next one holds what has changed.
    assert before[:, :10].equal(after[:, :10])
    assert not before[:, 10:15].equal(after[:, 10:15])


@NAMES
def test_weights_come_back_and_other_shapes_are_refused(name: str) -> None:
    trained, fresh = (randomised(Network(F, V, SHAPES[name]), seed) for seed in (1, 2))
    fresh.load_encoder(trained.arrays())
    fresh.load_head(trained.arrays(), rows={label: label for label in range(V)})
    for got, wanted in zip(fresh.parameters(), trained.parameters(), strict=True):
        assert got.equal(wanted)
    assert {id(p) for part in fresh.parts().values() for p in part.parameters()} == set(map(id, fresh.parameters()))
    bare = {**asdict(SHAPES[name]), "convolution": 0, "output_norm": False}
    with pytest.raises(ValueError, match=r"(front|norm).* has no place in this encoder"):
        Network(F, V, EncoderConfig(**bare)).load_encoder(trained.arrays())


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("part", ["front.first", "front.second", "layer0.norm", "layer1.norm"])
def test_where_the_first_nan_comes_from_is_said(part: str) -> None:
    config = EncoderConfig(layers=2, hidden_size=4, convolution=2, subsampling=[1], output_norm=True, dropout=0.0)
    network = randomised(Network(F, V, config))
    frames, lengths = batch([30, 18], torch.float32)
    with torch.no_grad():
        network.parts()[part].bias[0] = float("nan")
    named = "the front end" if "front" in part else part
    with torch.autograd.detect_anomaly(check_nan=False), pytest.raises(ValueError, match=f"the output of {named}: "):
        network(frames, lengths, Latency(8, 4))


def test_convolutions_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"encoder\.convolution is -1"):
        EncoderConfig(convolution=-1)
    with pytest.raises(ValueError, match=r"encoder\.subsampling is \[3\], but convolutions .*: set it to \[1\]"):
        EncoderConfig(convolution=8)
    assert EncoderConfig(convolution=8, subsampling=[]).total_subsampling == 4
    assert EncoderConfig(convolution=8, subsampling=[1, 2]).total_subsampling == 8
