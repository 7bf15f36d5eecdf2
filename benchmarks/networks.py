"""Networks and models with drawn weights, to measure with: they are no slower than trained ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from benchmarks.letters import LABELS
from encoders.blstm import EncoderConfig
from encoders.export import WEIGHTS_FILE, export
from encoders.int8 import PRODUCTS, WEIGHTS, Int8
from encoders.network import Network
from encoders.ranges import input_ranges
from features.extractor import FeatureConfig, FeatureExtractor
from features.filterbank import FbankConfig
from inference import model as models
from inference.model import Model
from inference.model_changes import store_int8
from inference.scorer import Scorer
from training.run import network_of


class Shape(NamedTuple):
    """What a network is measured at: features of a frame, labels, and its encoder."""

    bins: int
    labels: int
    encoder: EncoderConfig


def stacked(layers: int, hidden: int, *, bins: int = 80, labels: int = len(LABELS)) -> Shape:
    """Frames of 10 ms stacked to steps of 30 ms, then bidirectional layers: all that it multiplies is of LSTMs."""
    return Shape(bins, labels, EncoderConfig(layers=layers, hidden_size=hidden, subsampling=[3], dropout=0.0))


def made(shape: Shape) -> Network:
    """The network, in evaluation."""
    torch.manual_seed(0)
    return Network(*shape).eval()


def scorers(network: Network, folder: Path, frames_TF: np.ndarray, threads: int) -> dict[str, Scorer]:
    """Graphs of the network by what they are computed in."""
    kinds = {"float32": None, "int8 weights": Int8(WEIGHTS)}
    kinds["int8 products"] = Int8(PRODUCTS, input_ranges(network, [frames_TF]))
    found = {}
    for name, int8 in kinds.items():
        exported = export(network, int8)
        place = folder / name.replace(" ", "_")
        place.mkdir()
        (place / "model.onnx").write_bytes(exported.graph)
        (place / WEIGHTS_FILE).write_bytes(exported.weights)
        found[name] = Scorer(place / "model.onnx", subsampling=network.subsampling, threads=threads)
    return found


class Plain(nn.Module):
    """The same layers as anybody writes them in torch: nn.LSTM and a linear layer, over steps of stacked frames."""

    def __init__(self, network: Network):
        super().__init__()
        config, first = network.encoder.config, network.encoder.forwards[0]
        size, hidden = first.input_size, config.hidden_size
        self.layers = nn.LSTM(size, hidden, config.layers, batch_first=True, bidirectional=True)
        self.linear = nn.Linear(2 * hidden, network.head.linear.out_features)

    def forward(self, steps_BTF: torch.Tensor) -> torch.Tensor:
        return self.linear(self.layers(steps_BTF)[0]).log_softmax(-1)


def in_torch(network: Network, frames_TF: np.ndarray) -> dict[str, Callable[[], object]]:
    """The network in torch, and torch's own LSTM of its size behind its front end, in float32 and dynamic int8."""
    frames_1TF, lengths = torch.from_numpy(frames_TF)[None], torch.tensor([len(frames_TF)])
    plain = Plain(network).eval()
    steps_1TF = torch.zeros(1, int(network.encoder.output_lengths(lengths)), plain.layers.input_size)
    int8 = torch.ao.quantization.quantize_dynamic(plain, {nn.LSTM, nn.Linear}, dtype=torch.qint8)
    calls = {
        "torch": lambda: network(frames_1TF, lengths),
        "torch nn.LSTM": lambda: plain(steps_1TF),
        "torch nn.LSTM, dynamic int8": lambda: int8(steps_1TF),
    }
    return {name: torch.no_grad()(call) for name, call in calls.items()}


def step(scorer: Scorer, window_BTF: np.ndarray, chunk: int) -> Callable[[], object]:
    """One window of each of B streams."""
    lengths_B = np.full(len(window_BTF), window_BTF.shape[1])
    state = scorer.start(len(window_BTF))
    return lambda: scorer(window_BTF, lengths_B, chunk=chunk, state=state)


class Product(NamedTuple):
    """A product of matrices (rows, inner) and (inner, columns), so many times one after the other."""

    rows: int
    inner: int
    columns: int
    times: int


def products(network: Network, steps: int, batch: int = 1) -> list[Product]:
    """All products of a pass over so many steps: of inputs, all at once; of what recurs, step by step; of outputs."""
    assert network.encoder.front is None, "products of convolutions are not counted"
    found = []
    hidden = network.encoder.config.hidden_size
    for layer in (*network.encoder.forwards, *network.encoder.backwards):
        found.append(Product(batch * steps, layer.input_size, 4 * hidden, 1))
        found.append(Product(batch, hidden, 4 * hidden, steps))
    head = network.head.linear
    return [*found, Product(batch * steps, head.in_features, head.out_features, 1)]


def floors(wanted: list[Product]) -> Mapping[str, Callable[[], None]]:
    """The products alone, into memory that is there already, by the fastest calls of NumPy and of torch."""
    draw = np.random.default_rng(0)

    def drawn(rows: int, columns: int) -> np.ndarray:
        return draw.standard_normal((rows, columns)).astype(np.float32)

    arrays = [(drawn(p.rows, p.inner), drawn(p.inner, p.columns), p.times) for p in wanted]
    results = [np.empty((p.rows, p.columns), np.float32) for p in wanted]
    tensors = [
        (torch.from_numpy(x), torch.from_numpy(w), torch.from_numpy(y), times)
        for (x, w, times), y in zip(arrays, results, strict=True)
    ]

    def in_numpy() -> None:
        for (x, w, times), y in zip(arrays, results, strict=True):
            for _ in range(times):
                np.dot(x, w, out=y)

    def by_torch() -> None:
        for x, w, y, times in tensors:
            for _ in range(times):
                torch.mm(x, w, out=y)

    return {"floor: its products in NumPy": in_numpy, "floor: its products in torch": torch.no_grad()(by_torch)}


def model_of_letters(folder: Path, layers: int, hidden: int) -> Model:
    """A model with drawn weights, of 80 bins and 30 ms steps, that says the blank."""
    shape = stacked(layers, hidden)
    network = made(shape)
    with torch.no_grad():
        network.head.linear.bias[0] = 5.0
    exported = export(network)
    extractor = FeatureExtractor(FeatureConfig(fbank=FbankConfig()), mean=np.zeros(80), std=np.ones(80))
    encoder = {"layers": layers, "hidden_size": hidden, "subsampling": [3]}
    return models.save(
        folder, graph=exported.graph, weights=exported.weights, extractor=extractor, labels=LABELS, encoder=encoder,
        tokens={"unit": "char"}, card="",
    )  # fmt: skip


def in_int8(model: Model, folder: Path, samples_S: np.ndarray) -> Model:
    """The same with int8 products, whose ranges are those of the recording."""
    network = network_of(model)
    int8 = Int8(PRODUCTS, input_ranges(network, [model.extractor(samples_S)]))
    exported = export(network, int8)
    said = {"kind": PRODUCTS, "ranges": {name: list(ends) for name, ends in int8.ranges.items()}}
    return store_int8(model, folder, graph=exported.graph, weights=exported.weights, int8=said, note="drawn")
