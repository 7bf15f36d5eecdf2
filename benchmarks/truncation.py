"""A training step with truncated backpropagation through time against the whole one: memory and time, in turns.

    OMP_NUM_THREADS=1 python -m benchmarks.truncation
    OMP_NUM_THREADS=1 python -m benchmarks.truncation --chunk 60 --lookahead 30

Prints a Markdown table: forward, CTC loss and backward of one batch; the most that is allocated beyond weights and
frames, with CTC and with the plain mean of the scores in its place, and the median of the ratios of rounds in each of
which every form ran once. With `--chunk` the encoder is bidirectional and latency-controlled, else it has one
direction. Below stands what it costs to measure the gradient's norms, in all at each step and of each part.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.cells import peak
from benchmarks.measure import processor_time, ratio, take_turns
from encoders.blstm import EncoderConfig
from encoders.heads import ctc_loss
from encoders.network import Network
from encoders.windows import Latency
from training.gradients import gradient_norm

Step = Callable[[], None]
FEATURES, LABELS, SUBSAMPLING = 40, 32, 3
# Labels for each frame of 10 ms: letters of read speech.
RATE = 0.12


def main() -> None:
    """Measure each length, whole and cut."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--frames", type=int, nargs="+", default=[3000, 12000])
    parser.add_argument("--truncate", type=int, nargs="+", default=[150, 600], help="frames of a piece")
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--chunk", type=int, default=0, help="frames; 0 is one direction at full context")
    parser.add_argument("--lookahead", type=int, default=0)
    options = parser.parse_args()
    latency = Latency(options.chunk, options.lookahead) if options.chunk else None
    torch.manual_seed(0)
    network = Network(
        FEATURES,
        LABELS,
        EncoderConfig(
            layers=options.layers,
            hidden_size=options.hidden,
            subsampling=[SUBSAMPLING],
            bidirectional=latency is not None,
        ),
    )
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}\n")
    print(
        "| frames | pieces of | peak MB | without CTC | CPU s | times whole |\n" + "| --- | ---" + " | ---:" * 4 + " |"
    )
    for frames in options.frames:
        steps = {None: make_step(network, options.batch, frames, latency, None)}
        steps |= {cut: make_step(network, options.batch, frames, latency, cut) for cut in options.truncate}
        held = peak("cpu")
        peaks = {cut: held(step) / 1e6 for cut, step in steps.items()}
        bare = {cut: held(make_step(network, options.batch, frames, latency, cut, ctc=False)) / 1e6 for cut in steps}
        taken = take_turns({cut: processor_time(step) for cut, step in steps.items()}, options.rounds)
        for cut, found in taken.items():
            named = "the whole" if cut is None else str(cut)
            row = (
                f"{peaks[cut]:.0f} | {bare[cut]:.0f} | {statistics.median(found):.2f} | {ratio(found, taken[None]):.2f}"
            )
            print(f"| {frames} | {named} | {row} |", flush=True)
    every = statistics.median(processor_time(lambda: gradient_norm(network))() for _ in range(50))
    parts = statistics.median(
        processor_time(lambda: [gradient_norm(part) for part in network.parts().values()])() for _ in range(50)
    )
    print(f"\nnorm of the gradient: {1e3 * every:.2f} ms a step; of each part: {1e3 * parts:.2f} ms")


def targets(batch: int, frames: int) -> tuple[Tensor, Tensor]:
    """Labels and how many there are of each item."""
    count = round(RATE * frames)
    return torch.randint(1, LABELS, (batch, count)), torch.full((batch,), count)


def make_step(
    network: Network, batch: int, frames: int, latency: Latency | None, truncate: int | None, *, ctc: bool = True
) -> Step:
    """Forward, loss and backward of one batch of full length."""
    x_BTF, lengths_B = torch.randn(batch, frames, FEATURES), torch.full((batch,), frames)
    labels = targets(batch, frames)

    def step() -> None:
        network.zero_grad(set_to_none=False)
        scores, steps = network(x_BTF, lengths_B, latency, truncate=truncate)
        (ctc_loss(scores, steps, *labels).loss if ctc else scores.mean()).backward()

    return step


if __name__ == "__main__":
    main()
