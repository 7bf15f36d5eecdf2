"""The ONNX graph against torch, and its windows and states against a step written out in NumPy."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load as load_safetensors

from encoders.blstm import EncoderConfig
from encoders.export import WEIGHTS_FILE, export
from encoders.network import Network

F, V = 4, 6
SHAPES = {
    "one layer": EncoderConfig(layers=1, hidden_size=5, subsampling=[]),
    "stacked": EncoderConfig(layers=3, hidden_size=8, subsampling=[3]),
    "pyramid": EncoderConfig(layers=3, hidden_size=6, subsampling=[1, 2, 2]),
    "odd pyramid": EncoderConfig(layers=3, hidden_size=7, subsampling=[2, 3, 5]),
    "unidirectional": EncoderConfig(layers=2, hidden_size=6, subsampling=[2, 2], bidirectional=False),
}
NAMES = pytest.mark.parametrize("name", SHAPES)


class Graph:
    """A network and its graph, opened from files as it is in use."""

    def __init__(self, folder: Path, config: EncoderConfig):
        torch.manual_seed(0)
        self.config = config
        self.network = Network(F, V, config).eval()
        with torch.no_grad():
            for parameter in self.network.parameters():
                parameter.copy_(0.6 * torch.randn(parameter.shape))
        exported = export(self.network)
        self.folder = folder
        folder.mkdir()
        (folder / "model.onnx").write_bytes(exported.graph)
        (folder / WEIGHTS_FILE).write_bytes(exported.weights)
        self.session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])

    def zeros(self, items: int) -> np.ndarray:
        return np.zeros((self.config.layers, items, self.config.hidden_size), np.float32)

    def run(self, items: list[np.ndarray], chunk: int, state=None, *, fill: float = 0.0):
        """Scores (T',V) of each item cut to its length, their lengths, and the next state."""
        frames = np.full((len(items), max(map(len, items)), F), fill, np.float32)
        for row, item in zip(frames, items, strict=True):
            row[: len(item)] = item
        h, c = state or (self.zeros(len(items)), self.zeros(len(items)))
        feeds = {
            "frames": frames,
            "lengths": np.array([len(item) for item in items]),
            "chunk": np.array(chunk),
            "state_h": h,
            "state_c": c,
        }
        scores, lengths, *state = self.session.run(("scores", "score_lengths", "next_h", "next_c"), feeds)
        return [row[:length] for row, length in zip(scores, lengths, strict=True)], lengths, tuple(state)

    def eager(self, items: list[np.ndarray]) -> list[np.ndarray]:
        frames = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(item) for item in items], batch_first=True)
        with torch.no_grad():
            scores, lengths = self.network(frames, torch.tensor([len(item) for item in items]))
        return [row[:length].numpy() for row, length in zip(scores, lengths, strict=True)]


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Graph]:
    folder = tmp_path_factory.mktemp("graphs")
    return {name: Graph(folder / name.replace(" ", "_"), config) for name, config in SHAPES.items()}


def draw(lengths: list[int], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((length, F)).astype(np.float32) for length in lengths]


def full(config: EncoderConfig, lengths: list[int]) -> int:
    """N_c that holds everything."""
    return math.ceil(max(lengths) / config.total_subsampling) * config.total_subsampling


@NAMES
@given(lengths=st.lists(st.integers(1, 70), min_size=1, max_size=5), fill=st.sampled_from([0.0, 1e3, np.nan]))
def test_equals_torch(graphs, name: str, lengths: list[int], fill: float) -> None:
    graph, items = graphs[name], draw(lengths)
    scores, score_lengths, _ = graph.run(items, full(graph.config, lengths), fill=fill)
    assert score_lengths.tolist() == [math.ceil(length / graph.config.total_subsampling) for length in lengths]
    for got, wanted in zip(scores, graph.eager(items), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5, strict=True)


@NAMES
@given(
    lengths=st.lists(st.integers(1, 70), min_size=1, max_size=8),
    steps=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_together_equals_alone_exactly(graphs, name: str, lengths: list[int], steps: int, seed: int) -> None:
    """Of each item of a padded batch: the scores, and the state after N_c frames or the item's end."""
    graph, items = graphs[name], draw(lengths, seed)
    chunk = steps * graph.config.total_subsampling
    rng = np.random.default_rng(seed)
    state = tuple(rng.uniform(-1, 1, graph.zeros(len(items)).shape).astype(np.float32) for _ in range(2))
    scores, _, (h, c) = graph.run(items, chunk, state, fill=np.nan)
    for k, item in enumerate(items):
        alone, _, (h_alone, c_alone) = graph.run([item], chunk, tuple(part[:, k : k + 1] for part in state))
        np.testing.assert_array_equal(scores[k], alone[0])
        np.testing.assert_array_equal(h[:, k : k + 1], h_alone)
        np.testing.assert_array_equal(c[:, k : k + 1], c_alone)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def lstm_by_hand(weights: dict[str, np.ndarray], x_TF: np.ndarray, h: np.ndarray, c: np.ndarray):
    """One LSTM layer as the ONNX standard defines it (gates i, o, f, c), all states kept: y (T,H), c (T,H)."""
    w, r = (np.split(weights[name][0].astype(np.float64), 4) for name in "WR")
    b_w, b_r = np.split(weights["B"][0].astype(np.float64), 2)
    b = np.split(b_w + b_r, 4)
    y_TH, c_TH = np.zeros((2, len(x_TF), len(h)))
    for t, x in enumerate(x_TF):
        i, o, f = (sigmoid(w[k] @ x + r[k] @ h + b[k]) for k in range(3))
        c = f * c + i * np.tanh(w[3] @ x + r[3] @ h + b[3])
        h = o * np.tanh(c)
        y_TH[t], c_TH[t] = h, c
    return y_TH, c_TH


def window_by_hand(graph: Graph, x_TF: np.ndarray, chunk: int, state: tuple[np.ndarray, np.ndarray]):
    """Scores of one window, and the forward state after `chunk` frames, in float64 (Zhang et al. 2016)."""
    config, arrays = graph.config, graph.network.arrays()
    next_h, next_c = np.zeros((2, config.layers, config.hidden_size))
    for index, factor in enumerate(config.stacking):
        x_TF = np.concatenate([x_TF, np.zeros((-len(x_TF) % factor, x_TF.shape[1]))])
        x_TF = x_TF.reshape(len(x_TF) // factor, -1)
        chunk //= factor

        def weights(direction: str, index: int = index) -> dict[str, np.ndarray]:
            return {name: arrays[f"layer{index}.{direction}.{name}"] for name in "WRB"}

        y, c = lstm_by_hand(weights("forward"), x_TF, state[0][index], state[1][index])
        last = min(chunk, len(x_TF)) - 1
        next_h[index], next_c[index] = y[last], c[last]
        if config.bidirectional:
            zeros = np.zeros(config.hidden_size)
            y = np.concatenate([y, lstm_by_hand(weights("backward"), x_TF[::-1], zeros, zeros)[0][::-1]], axis=1)
        x_TF = y
    logits = x_TF @ arrays["head.weight"].astype(np.float64) + arrays["head.bias"]
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True), (next_h, next_c)


@NAMES
def test_windows_with_carried_state_equal_a_step_in_numpy(graphs, name: str) -> None:
    graph = graphs[name]
    unit = graph.config.total_subsampling
    [x] = draw([2 * unit + 5 * unit + 1])
    for steps, ahead in ((1, 0), (2, 1), (3, 2), (2, 3), (9, 4)):
        chunk, lookahead = steps * unit, ahead * unit
        state = graph.zeros(1), graph.zeros(1)
        by_hand = tuple(np.zeros((graph.config.layers, graph.config.hidden_size)) for _ in range(2))
        for start in range(0, len(x), chunk):
            window = x[start : start + chunk + lookahead]
            [scores], _, state = graph.run([window], chunk, state)
            expected, by_hand = window_by_hand(graph, window.astype(np.float64), chunk, by_hand)
            np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5)
            for got, wanted in zip(state, by_hand, strict=True):
                np.testing.assert_allclose(got[:, 0], wanted, rtol=0, atol=1e-5)


@NAMES
def test_a_chunk_that_holds_everything_is_full_context(graphs, name: str) -> None:
    graph = graphs[name]
    [x] = draw([37])
    least = full(graph.config, [37])
    [expected], _, state = graph.run([x], least)
    for chunk in (least + graph.config.total_subsampling, 100 * graph.config.total_subsampling):
        [scores], _, other = graph.run([x], chunk)
        np.testing.assert_array_equal(scores, expected)
        np.testing.assert_array_equal(np.stack(other), np.stack(state))


@NAMES
def test_the_graph_is_sound_and_holds_no_weights(graphs, name: str) -> None:
    network = graphs[name].network
    exported = export(network)
    assert exported == export(network), "the same network gives the same bytes"
    onnx.checker.check_model(graphs[name].folder / "model.onnx", full_check=True)
    model = onnx.load_from_string(exported.graph)
    outside = {tensor.name for tensor in model.graph.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL}
    arrays = load_safetensors(exported.weights)
    assert outside == set(arrays) == set(network.arrays())
    for key, array in network.arrays().items():
        np.testing.assert_array_equal(arrays[key], array, strict=True)
    assert sum(parameter.numel() for parameter in network.parameters()) == sum(array.size for array in arrays.values())


@NAMES
def test_exporting_a_network_in_training_changes_nothing_in_it(graphs, name: str) -> None:
    network = graphs[name].network
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network.train()
    exported = export(network)
    assert network.training
    network.eval()
    assert exported == export(network)
    assert all(value.equal(before[key]) for key, value in network.state_dict().items())
