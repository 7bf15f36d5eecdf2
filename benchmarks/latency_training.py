"""A training step of the latency-controlled encoder against the same encoder with full context, in turns.

    OMP_NUM_THREADS=1 python -m benchmarks.latency_training
    OMP_NUM_THREADS=1 python -m benchmarks.latency_training --cell gru_cudnn

Prints a Markdown table: forward and backward of one batch, chunk and look-ahead in milliseconds, processor time.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.measure import processor_time, ratio, take_turns
from encoders.blstm import Blstm, EncoderConfig
from encoders.cells import CELLS
from encoders.windows import Latency

FRAME_MS = 10
LATENCIES_MS = [None, (1600, 800), (800, 400), (400, 200), (200, 100), (100, 50)]


def main() -> None:
    """Time every latency once in each round, so that what else the machine does falls on all of them alike."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--cell", choices=list(CELLS), default="lstm")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--hidden", type=int, default=320)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--frames", type=int, default=800)
    parser.add_argument("--plain", action="store_true", help="time the plain form, window by window, as well")
    options = parser.parse_args()
    config = EncoderConfig(options.cell, options.layers, options.hidden, subsampling=[3], dropout=0.0)
    torch.manual_seed(0)
    encoder = Blstm(80, config)
    frames = torch.randn(options.batch, options.frames, 80)
    lengths = torch.full((options.batch,), options.frames)
    forms = {("full context", ""): lambda: encoder(frames, lengths)}
    for latency_ms in LATENCIES_MS[1:]:
        latency = Latency(*(-(-ms // (3 * FRAME_MS)) * 3 for ms in latency_ms))
        name = "+".join(map(str, latency_ms))
        forms[name, "fast"] = lambda latency=latency: encoder(frames, lengths, latency)
        if options.plain:
            forms[name, "plain"] = lambda latency=latency: encoder.window_by_window(frames, lengths, latency)

    def step(run: Callable[[], tuple[Tensor, Tensor]]) -> None:
        encoder.zero_grad()
        run()[0].square().mean().backward()

    gauges = {name: processor_time(lambda run=run: step(run)) for name, run in forms.items()}
    times = take_turns(gauges, options.rounds)
    whole = times["full context", ""]
    print(f"{config.cell}, {config.layers} x {config.hidden_size}, batch {options.batch}, {options.frames} frames, "
          f"{torch.get_num_threads()} threads, torch {torch.__version__}\n")  # fmt: skip
    print("| chunk + look-ahead, ms | form | median ms | times full context |\n| --- | --- | ---: | ---: |")
    for (name, form), taken in times.items():
        print(f"| {name} | {form} | {1000 * statistics.median(taken):.0f} | {ratio(taken, whole):.2f} |")


if __name__ == "__main__":
    main()
