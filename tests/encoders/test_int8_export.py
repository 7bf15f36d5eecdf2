"""Graphs of int8 weights: against a step in NumPy, against float32, and each item of a batch against itself alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load as load_safetensors

from encoders.blstm import EncoderConfig
from encoders.export import WEIGHTS_FILE, export
from encoders.int8 import OUTPUTS, PRODUCTS, WEIGHTS, Int8, Range, dequantized, quantize
from encoders.int8_nodes import Int8Error
from encoders.network import Network
from encoders.ranges import HEADROOM, input_ranges
from inference.scorer import Scorer, State

F, V = 6, 5
SHAPES = {
    "one layer": EncoderConfig(layers=1, hidden_size=5, subsampling=[]),
    "pyramid": EncoderConfig(layers=3, hidden_size=8, subsampling=[1, 2, 2]),
    "unidirectional": EncoderConfig(layers=2, hidden_size=6, subsampling=[2], bidirectional=False),
    "peephole": EncoderConfig(layers=2, hidden_size=6, subsampling=[2], cell="peephole"),
    "norm": EncoderConfig(layers=2, hidden_size=7, subsampling=[3], output_norm=True),
    "convolution": EncoderConfig(layers=2, hidden_size=6, subsampling=[1], convolution=3),
}
NAMES = pytest.mark.parametrize("name", SHAPES)


def drawn(config: EncoderConfig, head: str = "ctc") -> Network:
    torch.manual_seed(0)
    network = Network(F, V, config, head=head).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.6 * torch.randn(parameter.shape))
    return network


def draw(lengths: list[int], seed: int = 0, level: float = 1.0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [level * rng.standard_normal((length, F)).astype(np.float32) for length in lengths]


def opened(folder: Path, network: Network, int8: Int8 | None, threads: int = 1) -> Scorer:
    folder.mkdir(exist_ok=True)
    exported = export(network, int8)
    (folder / "model.onnx").write_bytes(exported.graph)
    (folder / WEIGHTS_FILE).write_bytes(exported.weights)
    onnx.checker.check_model(folder / "model.onnx")
    return Scorer(folder / "model.onnx", subsampling=network.subsampling, threads=threads)


@pytest.fixture(scope="module")
def networks() -> dict[str, Network]:
    return {name: drawn(config) for name, config in SHAPES.items()}


@pytest.fixture(scope="module")
def graphs(networks: dict[str, Network], tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Scorer, ...]]:
    """Each network in float32, in int8 weights, and with int8 products, by one thread and by two."""
    made = {}
    for name, network in networks.items():
        folder = tmp_path_factory.mktemp("graphs")
        products = Int8(PRODUCTS, input_ranges(network, draw([80] * 3, seed=7)))
        kinds = {"float": None, "weights": Int8(WEIGHTS), "products": products}
        scorers = [opened(folder / kind, network, int8) for kind, int8 in kinds.items()]
        made[name] = (*scorers, Scorer(folder / "products" / "model.onnx", subsampling=network.subsampling, threads=2))
    return made


def together(scorer: Scorer, items: list[np.ndarray], chunk: int, state: State) -> tuple[list[np.ndarray], State]:
    frames = np.full((len(items), max(map(len, items)), F), np.nan, np.float32)
    for row, item in zip(frames, items, strict=True):
        row[: len(item)] = item
    scored = scorer(frames, np.array([len(item) for item in items]), chunk=chunk, state=state)
    return [row[:steps] for row, steps in zip(scored.scores_BTV, scored.lengths_B, strict=True)], scored.state


@NAMES
@settings(max_examples=12)
@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=6),
    steps=st.integers(1, 9),
    seed=st.integers(0, 99),
    level=st.sampled_from([0.1, 1.0, 100.0]),
)
def test_together_equals_alone_exactly(graphs, name: str, lengths: list[int], steps: int, seed: int, level) -> None:
    """However loud the others are, wherever their chunks end, and however many threads there are."""
    *_, scorer, of_two_threads = graphs[name]
    items = [*draw(lengths, seed), *draw([40], seed + 1, level)]
    chunk = steps * scorer.subsampling
    rng = np.random.default_rng(seed)
    state = tuple(rng.uniform(-1, 1, part.shape).astype(np.float32) for part in scorer.start(len(items)))
    scores, after = together(of_two_threads, items, chunk, state)
    for k, item in enumerate(items):
        [alone], after_alone = together(scorer, [item], chunk, of_one(state, k))
        np.testing.assert_array_equal(scores[k], alone)
        # What a front end saw of an item that is over, nobody asks for.
        for part, part_alone in list(zip(of_one(after, k), after_alone, strict=True))[: 3 if len(item) >= chunk else 2]:
            np.testing.assert_array_equal(part, part_alone)


@pytest.mark.parametrize("name", ["one layer", "pyramid", "unidirectional", "norm"])
def test_together_equals_alone_where_units_say_more_than_one(name: str, tmp_path: Path) -> None:
    """ONNX Runtime's tanh of cells between 8 and 9 does: here gates are open, and cells walk there and back."""
    network = drawn(SHAPES[name])
    with torch.no_grad():
        for layer in (*network.encoder.forwards, *(network.encoder.backwards or ())):
            for gate, bias in zip("ifgo", layer.native.bias_ih_l0.chunk(4), strict=True):
                bias.fill_(0.0 if gate == "g" else 20.0)
    items = draw([130, 170, 190, 230, 260, 300])
    scorer = opened(tmp_path / "products", network, Int8(PRODUCTS, input_ranges(network, items)))
    for one in range(0, len(items), 3):
        for got, item in zip(scorer.together(items[one:]), items[one:], strict=True):
            np.testing.assert_array_equal(got, scorer.full(item))


def of_one(state: State, k: int) -> State:
    """The state of one stream: its states of layers, (L,1,H), and the frames that a front end saw, (1,3,F)."""
    return (*(part[:, k : k + 1] for part in state[:2]), *(part[k : k + 1] for part in state[2:]))


def test_pieces_equal_the_whole_exactly(graphs) -> None:
    """Of a network of one direction: the scale of a piece is that of the whole."""
    *_, scorer, _ = graphs["unidirectional"]
    [x] = draw([61])
    whole = scorer.full(x)
    for chunk in (2, 10, 64):
        np.testing.assert_array_equal(scorer.windowed([x], chunk=chunk, lookahead=0), whole)


@NAMES
def test_int8_weights_equal_the_network_that_they_stand_for(graphs, networks, name: str, tmp_path: Path) -> None:
    network = drawn(SHAPES[name])
    weights = dequantized(load_safetensors(export(network, Int8(WEIGHTS)).weights))
    network.load_encoder(weights)
    network.load_head(weights, rows={k: k for k in range(V)})
    [x] = draw([50])
    np.testing.assert_array_equal(graphs[name][1].full(x), opened(tmp_path / "float", network, None).full(x))


@NAMES
def test_products_are_near_float32(graphs, name: str) -> None:
    in_float, _, products, _ = graphs[name]
    [x] = draw([80], seed=7)
    for chunk, lookahead in ((96, 0), (24, 12)):
        expected, got = (one.windowed([x], chunk=chunk, lookahead=lookahead) for one in (in_float, products))
        assert 0 < np.abs(np.exp(got) - np.exp(expected)).max() < 0.08


def rounded(x: np.ndarray, range_: Range) -> np.ndarray:
    """What uint8 over a range makes of values in it."""
    scale = (range_.high - range_.low) / 255
    zero = np.rint(-range_.low / scale)
    return scale * (np.clip(np.rint(x / scale) + zero, 0, 255) - zero)


def test_products_equal_a_step_in_numpy(graphs, networks, tmp_path: Path) -> None:
    """Rounded weights times rounded inputs and states; inputs beyond the range are cut off."""
    network, ranges = networks["unidirectional"], {"layer0": Range(-1.5, 2.0), "layer1": OUTPUTS, "head": OUTPUTS}
    scorer = opened(tmp_path / "products", network, Int8(PRODUCTS, ranges))
    [x_TF] = draw([30], level=1.2)
    assert x_TF.max() > 2.0
    assert x_TF.min() < -1.5
    arrays = network.arrays()

    def matrix(name: str, axis: int = -1) -> np.ndarray:
        integers, scale = quantize(arrays[name], axis)
        return integers.astype(np.float64) * np.expand_dims(scale, axis)

    def sigmoid(value: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-value))

    y = x_TF.reshape(15, 2 * F).astype(np.float64)
    for index in range(2):
        W, R = (matrix(f"layer{index}.forward.{key}")[0] for key in "WR")
        b = sum(np.split(arrays[f"layer{index}.forward.B"][0].astype(np.float64), 2))
        h = c = np.zeros(6)
        outputs = []
        for x in rounded(y, ranges[f"layer{index}"]):
            i, o, f, g = np.split(W @ x + R @ rounded(h, OUTPUTS) + b, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            outputs.append(h)
        y = np.stack(outputs)
    logits = rounded(y, OUTPUTS) @ matrix("head.weight", -2) + arrays["head.bias"]
    expected = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    apart = np.abs(scorer.full(x_TF) - expected)
    # float32 may round a value that lies between two steps the other way than float64.
    assert np.median(apart) < 1e-5
    assert apart.max() < 0.05


@pytest.mark.parametrize(("name", "pinned"), [("one layer", 1), ("pyramid", 1), ("unidirectional", 1), ("norm", 2)])
def test_pins_go_from_layer_to_layer_where_nothing_lies_between(networks, name: str, pinned: int) -> None:
    int8 = Int8(PRODUCTS, input_ranges(networks[name], draw([20])))
    operators = [node.op_type for node in onnx.load_from_string(export(networks[name], int8).graph).graph.node]
    assert operators.count("Clip") == pinned


def test_ranges_are_those_of_the_inputs(networks) -> None:
    frames = draw([50, 31], seed=3)
    low, high = (HEADROOM * float(end(np.concatenate(frames))) for end in (np.min, np.max))
    found = input_ranges(networks["pyramid"], frames)
    assert found["layer0"] == pytest.approx((low, high))
    assert [found[name] for name in ("layer1", "layer2", "head")] == [OUTPUTS] * 3
    after_convolutions = input_ranges(networks["convolution"], frames)["layer0"]
    assert after_convolutions.low == 0 < after_convolutions.high, "they are rectified"
    normalised = input_ranges(networks["norm"], frames).values()
    assert all(range_ != OUTPUTS and range_.low < 0 < range_.high for range_ in normalised)


@pytest.mark.parametrize(
    ("cell", "more"),
    [("gru", {}), ("cifg", {}), ("lstm_1997", {}), ("lstmp", {}), ("rnn", {}), ("lstm", {"layer_norm": True})],
)
def test_cells_without_products_have_int8_weights(cell: str, more: dict, tmp_path: Path) -> None:
    network = drawn(EncoderConfig(cell=cell, layers=1, hidden_size=6, subsampling=[], **more))
    with pytest.raises(Int8Error, match="has no products in 8 bits; take int8 weights"):
        export(network, Int8(PRODUCTS, {"layer0": OUTPUTS, "head": OUTPUTS}))
    in_float, int8 = (opened(tmp_path / str(kind), network, kind and Int8(kind)) for kind in (None, WEIGHTS))
    [x] = draw([30])
    assert 0 < np.abs(np.exp(int8.full(x)) - np.exp(in_float.full(x))).max() < 0.03


def test_a_classifier_has_products(tmp_path: Path) -> None:
    network = drawn(SHAPES["one layer"], head="class")
    products = Int8(PRODUCTS, input_ranges(network, draw([60])))
    in_float, int8 = (opened(tmp_path / name, network, kind) for name, kind in (("a", None), ("b", products)))
    [x] = draw([60])
    assert 0 < np.abs(int8.full(x) - in_float.full(x)).max() < 0.1


def test_a_file_of_int8_weights_is_a_quarter() -> None:
    network = drawn(EncoderConfig(layers=2, hidden_size=96, subsampling=[3]))
    whole, small = (len(export(network, int8).weights) for int8 in (None, Int8(WEIGHTS)))
    assert small < 0.28 * whole
