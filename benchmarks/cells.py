"""A training step of a bidirectional layer of each cell against torch.nn.LSTM's, in turns.

    OMP_NUM_THREADS=2 python -m benchmarks.cells
    OMP_NUM_THREADS=2 python -m benchmarks.cells --cells peephole --loops
    python -m benchmarks.cells --memory
    python -m benchmarks.cells --device cuda --batch 32 --frames 1000 --hidden 512

Prints a Markdown table: forward and backward of one batch of full length, the median of the ratios of rounds in each
of which everything ran once. `--loops` times the same recurrence as a loop over its step besides, plain and, of the
peephole LSTM, as TorchScript. `--memory` gives the peak of what torch allocates in a step instead; it does not see what
the compiled steps allocate themselves, which is mostly a copy of the weights in blocks for each part of the work.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.measure import ratio, take_turns
from encoders.blstm import Blstm, EncoderConfig
from encoders.cells import CELLS
from encoders.layers import RecurrentLayer, run_steps

Step = Callable[[], None]


def main() -> None:
    """Time every cell once in each round, so that what else the machine does falls on all of them alike."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cells", nargs="+", choices=list(CELLS), default=["lstm", "peephole", "cifg"])
    parser.add_argument("--batch", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--frames", type=int, nargs="+", default=[130, 300])
    parser.add_argument("--hidden", type=int, nargs="+", default=[256, 320])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--loops", action="store_true", help="time a loop over the step as well, plain and TorchScript")
    parser.add_argument("--memory", action="store_true", help="peak memory of a step instead of its time")
    options = parser.parse_args()
    print(f"{options.device}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    unit = "MB" if options.memory else "median ms"
    print(f"| batch, frames, hidden | cell | {unit} | times nn.LSTM |\n| --- | --- | ---: | ---: |")
    for shape in itertools.product(options.batch, options.frames, options.hidden):
        steps = make_steps(*shape, options.cells, options.device, loops=options.loops)
        gauge = (peak if options.memory else seconds)(options.device)
        measured = take_turns({name: partial(gauge, step) for name, step in steps.items()}, options.rounds)
        for name, values in measured.items():
            shown = statistics.median(values) * (1e-6 if options.memory else 1e3)
            print(
                f"| {', '.join(map(str, shape))} | {name} | {shown:.1f} | {ratio(values, measured['nn.LSTM']):.2f} |",
                flush=True,
            )


def make_steps(batch: int, frames: int, hidden: int, cells: list[str], device: str, *, loops: bool) -> dict[str, Step]:
    """What is timed, by name: nn.LSTM, then each cell's layer, then its loops."""
    torch.manual_seed(0)
    x_BTF = torch.randn(batch, frames, hidden, device=device, requires_grad=True)
    lengths_B = torch.full((batch,), frames, device=device)
    whole = nn.LSTM(hidden, hidden, batch_first=True, bidirectional=True).to(device)
    steps = {"nn.LSTM": training_step(whole, x_BTF, lambda: whole(x_BTF)[0])}
    for name in cells:
        config = EncoderConfig(cell=name, layers=1, hidden_size=hidden, subsampling=[], dropout=0.0)
        encoder = Blstm(hidden, config).to(device)
        steps[name] = training_step(encoder, x_BTF, lambda encoder=encoder: encoder(x_BTF, lengths_B)[0])
        if loops:
            both = (encoder.forwards[0], encoder.backwards[0])
            steps[f"{name}, loop"] = training_step(encoder, x_BTF, lambda both=both: loop(both, x_BTF))
        if loops and name == "peephole":
            compiled = torch.jit.script(PeepholeLoop(*both))
            steps[f"{name}, TorchScript"] = training_step(encoder, x_BTF, lambda run=compiled: run(x_BTF))
    return steps


def training_step(module: nn.Module, x_BTF: Tensor, run: Callable[[], Tensor]) -> Step:
    def step() -> None:
        module.zero_grad()
        x_BTF.grad = None
        run().square().mean().backward()

    return step


def loop(both: tuple[RecurrentLayer, RecurrentLayer], x_BTF: Tensor) -> Tensor:
    """A bidirectional layer by its step, frame by frame, with a tape."""
    forward, backward = both
    return torch.cat([run_steps(forward, x_BTF)[0], run_steps(backward, x_BTF.flip(1))[0].flip(1)], dim=-1)


class PeepholeLoop(nn.Module):
    """The peephole LSTM as one writes it for TorchScript, input products hoisted out of the loop."""

    def __init__(self, forward_layer: RecurrentLayer, backward_layer: RecurrentLayer):
        super().__init__()
        for side, layer in (("f", forward_layer), ("b", backward_layer)):
            for name in ("W", "R", "b", "P"):
                setattr(self, f"{name}_{side}", getattr(layer, name))

    def forward(self, x_BTF: Tensor) -> Tensor:
        ahead = self.run(x_BTF, self.W_f, self.R_f, self.b_f, self.P_f)
        back = self.run(x_BTF.flip(1), self.W_b, self.R_b, self.b_b, self.P_b).flip(1)
        return torch.cat([ahead, back], dim=-1)

    def run(self, x_BTF: Tensor, W: Tensor, R: Tensor, b: Tensor, P: Tensor) -> Tensor:
        nets = torch.nn.functional.linear(x_BTF, W, b).unbind(1)
        h = x_BTF.new_zeros(x_BTF.shape[0], R.shape[1])
        c = h
        outputs: list[Tensor] = []
        for net in nets:
            o, i, f, g = (net + h @ R.t()).chunk(4, -1)
            c_next = torch.sigmoid(f + P[2] * c) * c + torch.sigmoid(i + P[1] * c) * torch.tanh(g)
            h = torch.sigmoid(o + P[0] * c_next) * torch.tanh(c_next)
            c = c_next
            outputs.append(h)
        return torch.stack(outputs, 1)


def seconds(device: str) -> Callable[[Step], float]:
    def gauge(step: Step) -> float:
        if device == "cuda":
            torch.cuda.synchronize()
        started = time.perf_counter()
        step()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    return gauge


def peak(device: str) -> Callable[[Step], float]:
    """Most bytes held at one time, beyond what was held before: on a CPU by the profiler's record of allocations."""

    def on_gpu(step: Step) -> float:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return torch.cuda.max_memory_allocated() - before

    def on_cpu(step: Step) -> float:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
            step()
        held = highest = 0
        for event in profile.profiler.kineto_results.events():
            if event.name() == "[memory]":
                held += event.nbytes()
                highest = max(highest, held)
        return highest

    return on_gpu if device == "cuda" else on_cpu


if __name__ == "__main__":
    main()
