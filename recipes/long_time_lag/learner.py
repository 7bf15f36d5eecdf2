"""One run: a layer of the family and a linear read-out learn a task from endless fresh sequences until it is solved.

There is nothing to overfit: each sequence is drawn, answered, learned from, and never seen again. So the errors on
sequences that are just being processed, taken before they change a weight, are errors on unseen data, as in the paper.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from encoders.cells import CELLS, CellOptions
from encoders.layers import RecurrentLayer, make_layer
from recipes.long_time_lag.tasks import TASKS, Batch, Task

TRUNCATED = "lstm_1997_truncated"
MEMBERS = (*CELLS, TRUNCATED)
TEST_SEQUENCES = 2560  # as many as in the paper from experiment 3 on


@dataclass(frozen=True)
class Settings:
    """How a run learns.

    Args:
        hidden_size: Units, H.
        batch: Sequences of an update.
        learning_rate: Adam's.
        clip: Norm that the gradient is scaled down to.
        remember: For how long the gates keep a cell's content at most when learning begins, in minimal lags: their
            biases are drawn so that these times are uniform from 1 step to this (Tallec and Ollivier 2018, "chrono").
            0 leaves the layer's own biases. A cell without gates has nothing to set.
        scale: What the recurrent weights at the start, an orthogonal matrix, are multiplied by.
    """

    hidden_size: int = 16
    batch: int = 50
    learning_rate: float = 0.02
    clip: float = 1.0
    remember: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        for name in ("hidden_size", "batch", "learning_rate", "clip", "scale"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be positive")
        if self.remember < 0:
            raise ValueError(f"remember is {self.remember}; it must not be negative")


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        solved: Whether the task's criterion was met within the budget.
        sequences: How many were processed until then, or at all.
        error: Mean absolute error of the most recent ones, in the task's window; none if it is no number.
        wrong: How many of `TEST_SEQUENCES` further sequences are wrong; none if the task was not solved.
    """

    solved: bool
    sequences: int
    error: float | None
    wrong: int | None


class Learner(nn.Module):
    """A layer of the family of one direction, and what it says of each state by a linear map."""

    def __init__(self, member: str, task: Task, lag: int, settings: Settings):
        super().__init__()
        truncated = member == TRUNCATED
        cell = "lstm_1997" if truncated else member
        options = CellOptions(truncated_gradient=truncated)
        self.layer = make_layer(cell, task.inputs(lag), settings.hidden_size, options)
        self.read_out = nn.Linear(self.layer.output_size, task.outputs(lag))
        self.asks = task.asks
        start_with(self.layer, remember=settings.remember * lag, scale=settings.scale)

    def forward(self, batch: Batch) -> Tensor:
        """What is answered: scores (N,V) of classes, or numbers (N)."""
        outputs_BTP, _ = self.layer(torch.from_numpy(batch.inputs_BTF))
        answers_NV = self.read_out(outputs_BTP[torch.from_numpy(batch.items_N), torch.from_numpy(batch.steps_N)])
        return answers_NV if self.asks == "classes" else answers_NV.squeeze(-1)


def start_with(layer: RecurrentLayer, *, remember: float, scale: float) -> None:
    """Set the biases of a fresh layer's gates so that it remembers for up to so many steps, and scale what recurs.

    A gate that keeps sigma(b) of a content at each step keeps it for about 1 + exp(b) steps; with b the logarithm of a
    number drawn uniformly from 1 to T - 1 these times are spread up to T. The gate that lets in has the bias -b.
    """
    weights = {name: value.detach().clone() for name, value in layer.stored().items()}
    weights["R"] *= scale
    gates, size = layer.cell.gates, layer.hidden_size
    if remember > 2 and layer.cell.operator != "RNN":
        biases_H = torch.empty(size).uniform_(1.0, remember - 1.0).log()
        for gate, sign in {"f": 1.0, "i": -1.0, "z": 1.0}.items():
            if gate in gates:
                first = gates.index(gate) * size
                weights["B"][first : first + size] = sign * biases_H
    with torch.no_grad():
        layer.take(weights)


def loss_of(learner: Learner, answers: Tensor, batch: Batch) -> Tensor:
    """What is made small, summed over the questions of a sequence: cross entropy of classes, squares of numbers."""
    targets_N = torch.from_numpy(batch.targets_N)
    kind = nn.functional.cross_entropy if learner.asks == "classes" else nn.functional.mse_loss
    return kind(answers, targets_N, reduction="sum") / len(batch.lengths_B)


def errors_of(learner: Learner, answers: Tensor, batch: Batch) -> np.ndarray:
    """Largest absolute error of each sequence (B), over what is judged and over all outputs."""
    answers = answers.detach()
    right_N = torch.from_numpy(batch.answers_N)
    if learner.asks == "classes":
        wanted_NV = nn.functional.one_hot(right_N, answers.shape[-1])
        errors_N = (answers.softmax(-1) - wanted_NV).abs().amax(-1).numpy()
    else:
        errors_N = (answers - right_N).abs().numpy()
    errors_B = np.zeros(len(batch.lengths_B))
    judged = batch.judged_N
    np.maximum.at(errors_B, batch.items_N[judged], errors_N[judged])
    return errors_B


def learn(
    name: str,
    lag: int,
    member: str,
    seed: int,
    *,
    settings: Settings,
    budget: int,
    tell: Callable[[int], None] = lambda sequences: None,
) -> Outcome:
    """Learn a task until it is solved, or until `budget` sequences were processed.

    Args:
        name: A key of `TASKS`.
        lag: Its minimal lag, in steps.
        member: One of `MEMBERS`.
        seed: With the three before it what all that is drawn depends on; sequences are the same for every member.
        settings: How it is learned.
        budget: Sequences at most; a loss that is no number ends a run as well, unsolved.
        tell: Told after each batch how many sequences were processed.
    """
    task = TASKS[name]
    rng = np.random.default_rng([seed, lag, zlib.crc32(name.encode())])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(zlib.crc32(f"{name} {lag} {member} {seed}".encode()))
        learner = Learner(member, task, lag, settings)
    optimizer = torch.optim.Adam(learner.parameters(), lr=settings.learning_rate)
    recent = np.empty(0)
    for processed in range(settings.batch, budget + 1, settings.batch):
        batch = task.draw(rng, settings.batch, lag)
        answers = learner(batch)
        loss = loss_of(learner, answers, batch)
        recent = np.append(recent, errors_of(learner, answers, batch))[-task.criterion.window :]
        if not math.isfinite(loss.item()):
            return Outcome(False, processed, None, None)
        if task.criterion.met(recent):
            return Outcome(True, processed, float(recent.mean()), test(learner, task, lag, rng, settings.batch))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(learner.parameters(), settings.clip)
        optimizer.step()
        tell(processed)
    return Outcome(False, processed, float(recent.mean()), None)


@torch.no_grad()
def test(learner: Learner, task: Task, lag: int, rng: np.random.Generator, size: int) -> int:
    """How many of `TEST_SEQUENCES` sequences, drawn in batches of `size`, are wrong; nothing is learned from them."""
    wrong = 0
    for start in range(0, TEST_SEQUENCES, size):
        batch = task.draw(rng, min(size, TEST_SEQUENCES - start), lag)
        wrong += task.criterion.count_wrong(errors_of(learner, learner(batch), batch))
    return wrong
