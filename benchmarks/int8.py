"""The encoder in float32 and in int8 weights, on a file and on streams, against torch, in turns.

    OMP_NUM_THREADS=1 python -m benchmarks.int8
    OMP_NUM_THREADS=1 python -m benchmarks.int8 --layers 3 --hidden 128 --bins 40 --convolution 0 --subsampling 3

Prints a Markdown table of processor time, the median of rounds in each of which everything ran once, and the median of
the ratios to torch in float32. A file is seen with full context; a step of streams is a window of chunk and look-ahead
of each. The weights are drawn: they are no slower than trained ones.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from benchmarks.measure import processor_time, ratio, take_turns
from benchmarks.networks import Shape, in_torch, made, scorers, step
from encoders.blstm import EncoderConfig

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
    config = EncoderConfig(
        layers=options.layers,
        hidden_size=options.hidden,
        convolution=options.convolution,
        subsampling=[options.subsampling],
    )
    network = made(Shape(options.bins, options.labels, config))
    weights = sum(parameter.numel() for parameter in network.parameters())
    threads = torch.get_num_threads()
    print(f"{weights / 1e6:.2f} million weights, {threads} threads, onnxruntime {onnxruntime.__version__}, ", end="")
    print(f"torch {torch.__version__}\n\n| what | how | median ms | times torch |\n| --- | --- | ---: | ---: |")
    frames_TF = np.random.default_rng(0).standard_normal((_frames(options.seconds), options.bins)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        graphs = scorers(network, Path(folder), frames_TF, threads)
        steps = {name: lambda scorer=scorer: scorer.full(frames_TF) for name, scorer in graphs.items()}
        show(f"a file of {options.seconds:g} s", {**in_torch(network, frames_TF), **steps}, options.rounds)
        for streams in options.streams:
            chunk, ahead = (graphs["float32"].round_up(_frames(s)) for s in (options.chunk, options.lookahead))
            window = np.repeat(frames_TF[None, : chunk + ahead], streams, axis=0)
            steps = in_torch(network, window[0]) if streams == 1 else {}
            steps |= {name: step(scorer, window, chunk) for name, scorer in graphs.items()}
            show(f"{streams} x {options.chunk:g} + {options.lookahead:g} s", steps, options.rounds)


def _frames(seconds: float) -> int:
    return round(seconds / SHIFT_SECONDS)


def show(what: str, calls: dict[str, Callable[[], object]], rounds: int) -> None:
    """A row for each way: the median of its rounds, and that of its ratios to torch where that ran."""
    seconds = take_turns({name: processor_time(call) for name, call in calls.items()}, rounds)
    for name, values in seconds.items():
        times = f"{ratio(values, seconds['torch']):.2f}" if "torch" in seconds else "-"
        print(f"| {what} | {name} | {1e3 * statistics.median(values):.1f} | {times} |", flush=True)


if __name__ == "__main__":
    main()
