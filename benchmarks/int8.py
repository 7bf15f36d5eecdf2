"""The encoder in float32 and in int8 weights, on a file and on streams, against torch, in turns.

    OMP_NUM_THREADS=1 python benchmarks/int8.py
    OMP_NUM_THREADS=1 python benchmarks/int8.py --layers 3 --hidden 128 --bins 40 --convolution 0 --subsampling 3

Prints a Markdown table of processor time, the median of rounds in each of which everything ran once, and the median of
the ratios to torch in float32. A file is seen with full context; a step of streams is a window of chunk and look-ahead
of each. The weights are drawn: they are no slower than trained ones.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn

from encoders.blstm import EncoderConfig
from encoders.export import WEIGHTS_FILE, export
from encoders.int8 import PRODUCTS, WEIGHTS, Int8
from encoders.network import Network
from encoders.ranges import input_ranges
from inference.scorer import Scorer

SHIFT_SECONDS = 0.01


def main() -> None:
    """Time everything once in each round, so that what else the machine does falls on all alike."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--hidden", type=int, default=320)
    parser.add_argument("--bins", type=int, default=64)
    parser.add_argument("--labels", type=int, default=30)
    parser.add_argument("--convolution", type=int, default=32)
    parser.add_argument("--subsampling", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--chunk", type=float, default=0.4)
    parser.add_argument("--lookahead", type=float, default=0.2)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 16])
    options = parser.parse_args()
    torch.manual_seed(0)
    config = EncoderConfig(
        layers=options.layers,
        hidden_size=options.hidden,
        convolution=options.convolution,
        subsampling=[options.subsampling],
    )
    network = Network(options.bins, options.labels, config).eval()
    weights = sum(parameter.numel() for parameter in network.parameters())
    threads = torch.get_num_threads()
    print(f"{weights / 1e6:.2f} million weights, {threads} threads, onnxruntime {onnxruntime.__version__}, ", end="")
    print(f"torch {torch.__version__}\n\n| what | how | median ms | times torch |\n| --- | --- | ---: | ---: |")
    frames_TF = np.random.default_rng(0).standard_normal((_frames(options.seconds), options.bins)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        scorers = opened(network, Path(folder), frames_TF, threads)
        steps = {name: lambda scorer=scorer: scorer.full(frames_TF) for name, scorer in scorers.items()}
        show(f"a file of {options.seconds:g} s", {**in_torch(network, frames_TF), **steps}, options.rounds)
        for streams in options.streams:
            chunk, ahead = (scorers["float32"].round_up(_frames(s)) for s in (options.chunk, options.lookahead))
            window = np.repeat(frames_TF[None, : chunk + ahead], streams, axis=0)
            steps = in_torch(network, window[0]) if streams == 1 else {}
            steps |= {name: step(scorer, window, chunk) for name, scorer in scorers.items()}
            show(f"{streams} x {options.chunk:g} + {options.lookahead:g} s", steps, options.rounds)


def _frames(seconds: float) -> int:
    return round(seconds / SHIFT_SECONDS)


def opened(network: Network, folder: Path, frames_TF: np.ndarray, threads: int) -> dict[str, Scorer]:
    """Graphs of the network by what they are computed in."""
    kinds = {"float32": None, "int8 weights": Int8(WEIGHTS)}
    kinds["int8 products"] = Int8(PRODUCTS, input_ranges(network, [frames_TF]))
    scorers = {}
    for name, int8 in kinds.items():
        exported = export(network, int8)
        place = folder / name.replace(" ", "_")
        place.mkdir()
        (place / "model.onnx").write_bytes(exported.graph)
        (place / WEIGHTS_FILE).write_bytes(exported.weights)
        scorers[name] = Scorer(place / "model.onnx", subsampling=network.subsampling, threads=threads)
    return scorers


def in_torch(network: Network, frames_TF: np.ndarray) -> dict[str, Callable[[], object]]:
    """The network in torch, and torch's own LSTM of its size behind its front end."""
    frames_1TF, lengths = torch.from_numpy(frames_TF)[None], torch.tensor([len(frames_TF)])
    config, first = network.encoder.config, network.encoder.forwards[0]
    stack = nn.LSTM(first.input_size, config.hidden_size, config.layers, batch_first=True, bidirectional=True)
    x_1TF = torch.zeros(1, int(network.encoder.output_lengths(lengths)), first.input_size)
    calls = {"torch": lambda: network(frames_1TF, lengths), "nn.LSTM alone": lambda: stack(x_1TF)}
    return {name: torch.no_grad()(call) for name, call in calls.items()}


def step(scorer: Scorer, window_BTF: np.ndarray, chunk: int) -> Callable[[], object]:
    """One window of each of B streams."""
    lengths_B = np.full(len(window_BTF), window_BTF.shape[1])
    state = scorer.start(len(window_BTF))
    return lambda: scorer(window_BTF, lengths_B, chunk=chunk, state=state)


def show(what: str, calls: dict[str, Callable[[], object]], rounds: int) -> None:
    """A row for each way, and its ratio to the first, or to torch where that ran."""
    for call in calls.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            begun = time.process_time()
            call()
            seconds[name].append(time.process_time() - begun)
    for name, values in seconds.items():
        ratio = "-"
        if "torch" in seconds:
            ratio = f"{statistics.median(a / b for a, b in zip(values, seconds['torch'], strict=True)):.2f}"
        print(f"| {what} | {name} | {1e3 * statistics.median(values):.1f} | {ratio} |", flush=True)


if __name__ == "__main__":
    main()
