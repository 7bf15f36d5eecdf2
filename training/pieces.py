"""A step in pieces: its batch is divided among devices and in time, and its loss is one mean over all that it counts.

Each piece gives the sum of its losses, and the gradient of all sums is divided by all counts. So the devices and the
pieces change nothing but rounding: a mean of the means of pieces would weigh items in small pieces more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from training.devices import over_all


@dataclass(frozen=True)
class LossSum:
    """Losses added up, and how many items they are of."""

    total: float = 0.0
    counted: int = 0

    def __add__(self, other: LossSum) -> LossSum:
        return LossSum(self.total + other.total, self.counted + other.counted)

    @property
    def mean(self) -> float:
        """NaN where nothing was counted."""
        return self.total / self.counted if self.counted else math.nan


class StepLoss:
    """Adds up the losses of the pieces of a step, here and on the other devices.

    Args:
        pieces: Pieces of a batch that each device goes through one after the other.
        ranks: Devices that train together.
    """

    def __init__(self, pieces: int, ranks: int):
        self._pieces = pieces
        self._parts = pieces * ranks
        self._seen = 0
        self._sum = LossSum()

    @property
    def begun(self) -> bool:
        """Whether pieces of a step are done, and others of it are not."""
        return self._seen > 0

    def add(self, mean: Tensor, counted: int) -> Tensor:
        """The loss to differentiate for a piece whose mean loss over `counted` items is this."""
        self._seen += 1
        self._sum += LossSum(float(mean.detach()) * counted, counted)
        # In one piece the mean is differentiated as it is, to the bit.
        return mean if self._parts == 1 else mean * counted

    def finish(self, weights: Iterable[nn.Parameter], device: torch.device) -> LossSum | None:
        """After the backward pass of a piece: none or, after the last one, the losses of the whole step.

        By then the trainer has averaged the gradients over devices and divided those of each piece by the number of
        pieces. What is left to do to make them the gradients of one mean is done to `weights`.
        """
        if self._seen < self._pieces:
            return None
        total, counted = over_all([self._sum.total, self._sum.counted], device)
        self._seen, self._sum = 0, LossSum()
        if self._parts > 1:
            for weight in weights:
                if weight.grad is not None:
                    weight.grad.mul_(self._parts / max(counted, 1))
        return LossSum(total, int(counted))


def no_loss(weights: Iterable[nn.Parameter]) -> Tensor:
    """Zero, with a gradient of zero for each weight: the loss of a piece that holds nothing.

    A device without items still gives its part of each gradient, for which the others wait.
    """
    return torch.stack([weight.sum() * 0.0 for weight in weights if weight.requires_grad]).sum()


def steps_done(checkpoint: dict[str, Any]) -> tuple[int, int]:
    """Where a checkpoint stands: the number of its interval, from 0 on, and how many steps of that are done."""
    loops = checkpoint["loops"]["fit_loop"]
    intervals = loops["epoch_progress"]["current"]
    if intervals["started"] == intervals["processed"]:
        return intervals["processed"], 0
    pieces = loops["epoch_loop.batch_progress"]["current"]["processed"]
    return intervals["processed"], pieces // checkpoint["accumulate"]


def count_pieces_anew(checkpoint: dict[str, Any], pieces: int) -> None:
    """Let a checkpoint that counts its batches in other pieces count them in these: steps are what it stands for."""
    before = checkpoint.get("accumulate", 1)
    progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    for counts in (progress["total"], progress["current"]):
        # Within an interval the last piece is done, but not yet counted as completed.
        open_pieces = counts["processed"] - counts["completed"]
        for name in ("ready", "started", "processed"):
            counts[name] = counts[name] // before * pieces
        counts["completed"] = counts["processed"] - open_pieces
