"""Training steps of bidirectional LSTM layers with CTC, steps of 30 ms, 12 labels a second, without dropout.

A step beside `torch nn.LSTM` is forward, loss and backward of frames that are there; the same layers of torch, and its
CTC, are the floor. A step beside SpeechBrain is what a batch costs from samples to new weights: filterbanks of 80 bins,
normalisation, forward, loss, backward, clipping, AdamW, with the same sizes and the same sounds in the same batches;
SpeechBrain's is `Brain.fit_batch` with its own filterbank, LSTM (unpacked, as its recipes have it) and loss. Neither
loads files, and ours is without Lightning's share, some milliseconds a step. Both are measured once more under
autocast to bfloat16, ours as `loop.precision bf16-mixed` does it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from benchmarks.letters import LABELS
from benchmarks.measure import Aim, Gauge, Setting, Subject, processor_time, ratio, take_turns
from benchmarks.networks import Plain, Shape, made, stacked
from benchmarks.peers import PeerError
from benchmarks.sounds import RATE, speechlike
from encoders.heads import ctc_loss
from encoders.network import Network
from features.extractor import FeatureConfig, FeatureExtractor
from features.filterbank import FbankConfig
from training.config import OptimizerConfig
from training.data import Batch, Example, collate
from training.metrics import ErrorCounts
from training.objectives import CtcObjective

OURS, FLOOR, PEER = "saywave", "torch nn.LSTM", "SpeechBrain"
FRAMES_A_SECOND, LABELS_A_SECOND = 100, 12
CLIP_NORM = 5.0
# A step of the largest sizes takes many seconds.
MOST_ROUNDS = 5
AT_LEAST = 0.02


def measure(setting: Setting, subject: Subject) -> None:
    """One batch, then cost by items in a batch and by length, then throughput beside SpeechBrain."""
    torch.set_num_threads(setting.threads)
    layers, hidden = (2, 64) if setting.quick else (4, 320)
    shape, name = stacked(layers, hidden), f"{layers} x {hidden}"
    items, frames = (2, 200) if setting.quick else (16, 800)
    taken = take_turns(gauges(shape, items, frames), setting.rounds)
    subject.add(f"{name}, a step of {items} items of {frames / FRAMES_A_SECOND:g} s", taken)
    what = f"training step {name}: time in times torch nn.LSTM's"
    subject.aims.append(Aim(what, ratio(taken[OURS], taken[FLOOR]), 1.1))
    rounds = min(setting.rounds, MOST_ROUNDS)
    for items in (1, 10) if setting.quick else (1, 10, 100, 1000):
        taken = take_turns(gauges(shape, items, 60), rounds, at_least=AT_LEAST)
        subject.add(f"{name}, a step of items of 0.6 s", taken, size=items, axis="items in a batch")
    for frames in (30, 300) if setting.quick else (30, 300, 3000, 30_000):
        taken = take_turns(gauges(shape, 1, frames), rounds, at_least=AT_LEAST)
        seconds = frames / FRAMES_A_SECOND
        subject.add(f"{name}, a step of one item", taken, size=seconds, axis="seconds of sound")
    beside_speechbrain(setting, subject, shape, name)


def gauges(shape: Shape, items: int, frames: int) -> dict[str, Gauge]:
    """A step of ours and of torch's layers, on drawn frames."""
    network = made(shape).train()
    plain = Plain(network).train()
    labels = max(1, frames * LABELS_A_SECOND // FRAMES_A_SECOND)
    drawn = torch.Generator().manual_seed(0)
    x_BTF = torch.randn(items, frames, shape.bins, generator=drawn)
    steps_BTF = x_BTF[:, : frames // 3 * 3].reshape(items, frames // 3, 3 * shape.bins)
    targets_BL = torch.randint(1, shape.labels, (items, labels), generator=drawn)
    lengths_B, counts_B = torch.full((items,), frames), torch.full((items,), labels)

    def ours() -> None:
        network.zero_grad()
        ctc_loss(*network(x_BTF, lengths_B), targets_BL, counts_B).loss.backward()

    def floor() -> None:
        plain.zero_grad()
        scores_TBV = plain(steps_BTF).transpose(0, 1)
        lengths = torch.full((items,), len(scores_TBV))
        functional.ctc_loss(scores_TBV, targets_BL, lengths, counts_B, zero_infinity=True).backward()

    return {OURS: processor_time(ours), FLOOR: processor_time(floor)}


def beside_speechbrain(setting: Setting, subject: Subject, shape: Shape, name: str) -> None:
    """Batches from samples to new weights."""
    batches = drawn_batches(items=2 if setting.quick else 16, batches=1 if setting.quick else 4)
    seconds = sum(len(samples_S) for batch in batches for samples_S, _ in batch) / RATE
    chosen = {
        OURS: processor_time(training(shape, batches)),
        f"{OURS}, bf16-mixed": processor_time(training(shape, batches, bf16=True)),
    }
    with tempfile.TemporaryDirectory() as folder:
        try:
            peer = setting.peers.open("speechbrain")
            path = stored(batches, Path(folder))
            sizes = {"layers": shape.encoder.layers, "hidden": shape.encoder.hidden_size}
            sizes |= {"bins": shape.bins, "labels": shape.labels, "clip": CLIP_NORM, "threads": setting.threads}
            for who, precision in ((PEER, "fp32"), (f"{PEER}, bf16", "bf16")):
                peer.ask("open", who=who, path=path, precision=precision, **sizes)
                chosen[who] = peer.gauge("time", who=who)
        except PeerError as error:
            subject.leave_out(PEER, error)
        taken = take_turns(chosen, min(setting.rounds, MOST_ROUNDS))
    case = f"{name}, samples to weights, {seconds:.0f} s in batches of {len(batches[0])} recordings"
    subject.add(case, taken)
    speeds = {who: [seconds / one for one in values] for who, values in taken.items()}
    subject.add(f"{name}, training, hours of sound an hour of one core", speeds, unit="")
    if PEER in taken:
        faster = ratio(taken[PEER], taken[OURS])
        subject.aims.append(Aim(f"training {name}: throughput in times SpeechBrain's", faster, 1.5, at_most=False))
        faster = ratio(taken[f"{PEER}, bf16"], taken[f"{OURS}, bf16-mixed"])
        subject.aims.append(
            Aim(f"training {name}, bf16: throughput in times SpeechBrain's", faster, 1.5, at_most=False)
        )


def drawn_batches(*, items: int, batches: int) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    """Sounds of 3 to 8 s with labels, the longest of a batch first; lengths in a batch differ by up to a quarter."""
    draw = np.random.default_rng(0)
    found = []
    for _ in range(batches):
        longest = draw.uniform(4.0, 8.0)
        seconds = sorted(draw.uniform(0.75 * longest, longest, items), reverse=True)
        sounds = [speechlike(one, seed=int(draw.integers(1_000_000))) for one in seconds]
        counts = [round(LABELS_A_SECOND * one) for one in seconds]
        labels = [draw.integers(1, len(LABELS), count) for count in counts]
        found.append(list(zip(sounds, labels, strict=True)))
    return found


def stored(batches: list[list[tuple[np.ndarray, np.ndarray]]], folder: Path) -> str:
    """The batches as files that another environment reads."""
    told = []
    for number, batch in enumerate(batches):
        told.append([])
        for index, (samples_S, labels_L) in enumerate(batch):
            path = folder / f"{number}-{index}.npy"
            np.save(path, samples_S)
            told[-1].append({"samples": str(path), "labels": labels_L.tolist()})
    path = folder / "batches.json"
    path.write_text(json.dumps(told), encoding="utf-8")
    return str(path)


def training(
    shape: Shape, batches: list[list[tuple[np.ndarray, np.ndarray]]], *, bf16: bool = False
) -> Callable[[], None]:
    """A pass over the batches with what our loop does to each; with `bf16` as `loop.precision bf16-mixed` does it."""
    network = made(shape).train()
    zeros, ones = np.zeros(shape.bins, np.float32), np.ones(shape.bins, np.float32)
    extractor = FeatureExtractor(FeatureConfig(fbank=FbankConfig(rate=RATE, bins=shape.bins)), mean=zeros, std=ones)
    objective = CtcObjective(lambda found, said: ErrorCounts.zero())
    settings = OptimizerConfig()
    rate, decay = settings.learning_rate, settings.weight_decay
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay)

    def one_pass() -> None:
        for sounds in batches:
            batch = collate(
                [(str(k), Example(extractor(samples_S), labels_L)) for k, (samples_S, labels_L) in enumerate(sounds)]
            )
            assert isinstance(batch, Batch)
            step(network, objective, optimizer, batch, bf16=bf16)

    return one_pass


def step(
    network: Network, objective: CtcObjective, optimizer: torch.optim.Optimizer, batch: Batch, *, bf16: bool
) -> None:
    optimizer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        scores_BTV, lengths_B = network(batch.frames_BTF, batch.lengths_B)
        loss = objective.loss(scores_BTV, lengths_B, batch).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP_NORM)
    optimizer.step()
