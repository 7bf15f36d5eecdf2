"""Networks of bidirectional LSTM layers with drawn weights, from frames to scores: 80 bins, steps of 30 ms, 28 labels.

`saywave` is the exported graph in ONNX Runtime, as a model runs: in float32, with int8 weights that become float32 when
it is opened, and with int8 products. `torch` is the network it is exported from; `torch nn.LSTM` the same layers as
anybody writes them, also by torch's dynamic quantisation; `ONNX Runtime quantize_dynamic` what its own tool makes of
the float32 graph, with one scale for a matrix and one for an input. A floor is all matrix products of the pass at the
same shapes, those that recur from step to step included, and nothing else. A window is what a stream scores at once,
400 ms and 200 ms of look-ahead.
"""

from __future__ import annotations

import logging
import statistics
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import Aim, Gauge, Setting, Subject, processor_time, ratio, take_turns
from benchmarks.networks import floors, in_torch, made, products, scorers, stacked, step
from encoders.network import Network
from inference.scorer import Scorer

OURS, INT8 = "saywave float32", "saywave int8 products"
TORCH, PLAIN = "torch", "torch nn.LSTM"
AIMED_AT = (4, 320)
FRAMES_A_SECOND = 100
CHUNK, LOOKAHEAD = 42, 21  # frames: 400 and 200 ms, rounded up to steps
AT_LEAST = 0.02


def measure(setting: Setting, subject: Subject) -> None:
    """One recording at two sizes of network, then cost by length and by streams in a batch."""
    torch.set_num_threads(setting.threads)
    warnings.filterwarnings("ignore", message=".*quantization is deprecated.*")
    seconds = 2.0 if setting.quick else 10.0
    for layers, hidden in ((3, 128),) if setting.quick else ((4, 320), (3, 128)):
        with tempfile.TemporaryDirectory() as folder:
            network = made(stacked(layers, hidden))
            frames_TF = drawn_frames(seconds)
            graphs = scorers(network, Path(folder), frames_TF, setting.threads)
            name = f"{layers} x {hidden}"
            case = f"{name}, {seconds:g} s"
            taken = recording(setting, subject, network, graphs, frames_TF, case, Path(folder))
            if setting.quick or (layers, hidden) == AIMED_AT:
                subject.aims += aims(taken, f"encoder {case}")
            by_length(setting, subject, network, graphs, f"{name}, by length")
            by_streams(setting, subject, graphs, f"{name}, windows of streams at once")


def drawn_frames(seconds: float) -> np.ndarray:
    shape = (round(seconds * FRAMES_A_SECOND), 80)
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def recording(
    setting: Setting,
    subject: Subject,
    network: Network,
    graphs: dict[str, Scorer],
    frames_TF: np.ndarray,
    case: str,
    folder: Path,
) -> dict[str, list[float]]:
    """Everybody and the floor on one recording."""
    opened = {f"saywave {name}": scorer for name, scorer in graphs.items()}
    by_tool = quantized_by_tool(subject, folder, network, frames_TF, setting.threads)
    if by_tool is not None:
        opened["ONNX Runtime quantize_dynamic"] = by_tool
    exact_TV = opened[OURS].full(frames_TF)
    off = {who: np.abs(scorer.full(frames_TF) - exact_TV).max() for who, scorer in opened.items() if who != OURS}
    notes = {who: f"scores differ from float32's by {most:.2g} at most" for who, most in off.items()}
    calls = in_torch(network, frames_TF)
    calls |= {who: lambda scorer=scorer: scorer.full(frames_TF) for who, scorer in opened.items()}
    calls |= floors(products(network, -(-len(frames_TF) // network.subsampling)))
    taken = take_turns(gauges(calls), setting.rounds)
    subject.add(case, taken, notes=notes)
    return taken


def aims(taken: dict[str, list[float]], what: str) -> list[Aim]:
    """Float32 against the faster floor, int8 against the faster float32 of torch."""
    floor = min((who for who in taken if who.startswith("floor")), key=lambda who: statistics.median(taken[who]))
    torch_float32 = min((TORCH, PLAIN), key=lambda who: statistics.median(taken[who]))
    return [
        Aim(f"{what}: float32, times its floor", ratio(taken[OURS], taken[floor]), 1.3),
        Aim(f"{what}: int8, times the faster float32 of torch", ratio(taken[INT8], taken[torch_float32]), 0.35),
    ]


def quantized_by_tool(
    subject: Subject, folder: Path, network: Network, frames_TF: np.ndarray, threads: int
) -> Scorer | None:
    """The float32 graph with weights of 8 bits by ONNX Runtime's tool, if it can."""
    try:
        from onnxruntime.quantization import quantize_dynamic

        logging.getLogger().setLevel(logging.ERROR)
        target = folder / "by_tool.onnx"
        quantize_dynamic(folder / "float32" / "model.onnx", target)
        scorer = Scorer(target, subsampling=network.subsampling, threads=threads)
        scorer.full(frames_TF)  # some graphs that it makes open and then cannot be run
        return scorer
    except Exception as error:  # whatever the tool cannot do with the graph, the report names it
        subject.leave_out("ONNX Runtime quantize_dynamic", error)
        return None


def by_length(setting: Setting, subject: Subject, network: Network, graphs: dict[str, Scorer], case: str) -> None:
    """A whole recording, over three decades."""
    for seconds in (0.1, 1.0) if setting.quick else (0.1, 1.0, 10.0, 100.0):
        frames_TF = drawn_frames(seconds)
        calls = {name: call for name, call in in_torch(network, frames_TF).items() if name != TORCH}
        for name in ("float32", "int8 products"):
            calls[f"saywave {name}"] = lambda scorer=graphs[name], frames_TF=frames_TF: scorer.full(frames_TF)
        taken = take_turns(gauges(calls), setting.rounds, at_least=AT_LEAST)
        subject.add(case, taken, size=seconds, axis="seconds of sound")


def by_streams(setting: Setting, subject: Subject, graphs: dict[str, Scorer], case: str) -> None:
    """A window of each of a number of streams as one batch, over three decades."""
    for streams in (1, 10) if setting.quick else (1, 3, 10, 30, 100, 300, 1000):
        frames_TF = drawn_frames((CHUNK + LOOKAHEAD) / FRAMES_A_SECOND)
        window_BTF = np.repeat(frames_TF[None], streams, axis=0)
        calls = {f"saywave {name}": step(graphs[name], window_BTF, CHUNK) for name in ("float32", "int8 products")}
        taken = take_turns(gauges(calls), min(setting.rounds, 5) if streams > 100 else setting.rounds)
        subject.add(case, taken, size=streams, axis="streams in a batch")


def gauges(calls: dict) -> dict[str, Gauge]:
    return {name: processor_time(call) for name, call in calls.items()}
