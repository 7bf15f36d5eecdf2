"""What a training minimises and what its development error counts: labels by CTC or of stretches, text, or frames."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from encoders.heads import BLANK, class_loss, consistency_loss, ctc_loss, forecast_loss, frames_needed, pool
from encoders.windows import Latency
from training.config import ConsistencyConfig, IntermediateConfig
from training.data import Batch
from training.metrics import ErrorCounts

# Errors of a hypothesis against its reference, both as labels.
CountErrors = Callable[[list[int], list[int]], ErrorCounts]


class Loss(NamedTuple):
    """The loss of a batch, over how many items it is a mean, and what had to be left out: a line for each id."""

    loss: Tensor
    counted: int
    left_out: dict[str, str]


class Objective(Protocol):
    """What a head is trained for. Scores are those of the network, with their lengths (B).

    Attributes:
        choose_by: What the best weights have the least of on development data: errors, and where they tie loss; or loss
            alone.
    """

    choose_by: Literal["error", "loss"]

    def loss(self, scores_BTV: Tensor, lengths_B: Tensor, batch: Batch) -> Loss: ...

    def errors(self, scores_BTV: Tensor, lengths_B: Tensor, batch: Batch) -> ErrorCounts: ...


class LossObjective(Objective, Protocol):
    """An objective whose best weights have the least loss."""

    def shown(self, loss: float) -> str:
        """What is said of a loss on development data."""
        ...


class LossOfLayers:
    """The loss of a network's last layer, with their share of layers below it, and between two views of the items.

    Layers below: Lee and Watanabe 2021, 3.2; views: Yao et al. 2025.

    Args:
        objective: What is minimised.
        intermediate: Which layers below count, and how much; none if not given.
        consistency: How much the last layer's scores of two views may differ; items have one view if not given.
    """

    def __init__(
        self,
        objective: Objective,
        intermediate: IntermediateConfig | None = None,
        consistency: ConsistencyConfig | None = None,
    ):
        self._objective = objective
        self._intermediate = intermediate or IntermediateConfig()
        self._consistency = consistency or ConsistencyConfig()

    def __call__(self, network: nn.Module, batch: Batch, latency: Latency | None, **settings: int) -> Loss:
        """The loss of a batch at a latency.

        What the last layer cannot count no layer does, though below a pyramid there might be steps enough for it: so
        the loss is one mean over the same items however these are divided.

        Args:
            network: As of `training.loop.fit`; `settings` are for it.
        """
        *below, highest = self._scores(network, batch, latency, **settings)
        last = self._objective.loss(*highest, batch)
        if last.left_out:
            kept_B = torch.tensor([one not in last.left_out for one in batch.ids], device=batch.frames_BTF.device)
            batch = batch.only(kept_B)
            *below, highest = [(scores_BTV[kept_B], lengths_B[kept_B]) for scores_BTV, lengths_B in (*below, highest)]
        loss = last.loss
        if below:
            share = self._intermediate.weight / len(below)
            losses = [self._objective.loss(*scored, batch).loss for scored in below]
            loss = (1 - self._intermediate.weight) * loss + share * sum(losses)
        if self._consistency.weight and batch.ids:
            loss = loss + self._consistency.weight * _between_views(*highest, batch)
        return last._replace(loss=loss)

    def _scores(
        self, network: nn.Module, batch: Batch, latency: Latency | None, **settings: int
    ) -> list[tuple[Tensor, Tensor]]:
        """Scores and lengths of all layers that count, the last one's last."""
        if latency is not None and self._consistency.streams:
            first_B = torch.arange(len(batch.ids), device=batch.frames_BTF.device) < len(batch.ids) // 2
            whole = self._scored(network, batch.only(first_B), None, **settings)
            streamed = self._scored(network, batch.only(~first_B), latency, **settings)
            return [
                (torch.cat([one, other]), torch.cat([lengths, others]))
                for (one, lengths), (other, others) in zip(whole, streamed, strict=True)
            ]
        return self._scored(network, batch, latency, **settings)

    def _scored(
        self, network: nn.Module, batch: Batch, latency: Latency | None, **settings: int
    ) -> list[tuple[Tensor, Tensor]]:
        inputs = (batch.frames_BTF, batch.lengths_B, latency)
        if not self._intermediate.weight:
            return [network(*inputs, **settings)]
        layers = [*self._intermediate.chosen(network.layer_count), -1]
        return network.at_layers(*inputs, layers=layers, **settings)


def _between_views(scores_BTV: Tensor, lengths_B: Tensor, batch: Batch) -> Tensor:
    items = len(batch.ids) // 2
    first_BTV, second_BTV = scores_BTV[:items], scores_BTV[items:]
    return consistency_loss(first_BTV, second_BTV, lengths_B[:items], batch.target_lengths_B[:items])


class CtcObjective:
    """Label sequences without times (Graves et al. 2006); errors are those of the best path.

    Args:
        count_errors: What the development error counts, such as words.
    """

    choose_by = "error"

    def __init__(self, count_errors: CountErrors):
        self._count_errors = count_errors

    def loss(self, scores_BTV: Tensor, lengths_B: Tensor, batch: Batch) -> Loss:
        result = ctc_loss(scores_BTV, lengths_B, batch.targets_BL, batch.target_lengths_B)
        left_out = {}
        if not bool(result.feasible_B.all()):
            needed_B = frames_needed(batch.targets_BL, batch.target_lengths_B)
            for index in (~result.feasible_B).nonzero()[:, 0].tolist():
                needs, has = int(needed_B[index]), int(lengths_B[index])
                left_out[batch.ids[index]] = f"{batch.ids[index]}: needs {needs} frames, has {has}"
        return Loss(result.loss, int(result.feasible_B.sum()), left_out)

    def errors(self, scores_BTV: Tensor, lengths_B: Tensor, batch: Batch) -> ErrorCounts:
        total = ErrorCounts.zero()
        best_BT = scores_BTV.argmax(-1)
        for index in range(len(batch.ids)):
            hypothesis = torch.unique_consecutive(best_BT[index, : lengths_B[index]]).tolist()
            reference = batch.targets_BL[index, : batch.target_lengths_B[index]].tolist()
            total += self._count_errors([label for label in hypothesis if label != BLANK], reference)
        return total


class ClassObjective:
    """One label for each stretch of frames, pooled by attention; an error is a stretch with another label.

    Args:
        subsampling: Input frames for each step of scores, to find a stretch's steps.
        smoothing: Share of the target spread over all labels.
    """

    choose_by = "error"

    def __init__(self, *, subsampling: int, smoothing: float = 0.0):
        self._subsampling = subsampling
        self._smoothing = smoothing

    def loss(self, scores_BTV: Tensor, lengths_B: Tensor, batch: Batch) -> Loss:
        pooled_BLV = pool(scores_BTV, self._steps(batch))
        loss = class_loss(pooled_BLV, batch.targets_BL, batch.target_lengths_B, smoothing=self._smoothing)
        return Loss(loss, int(batch.target_lengths_B.sum()), {})

    def errors(self, scores_BTV: Tensor, lengths_B: Tensor, batch: Batch) -> ErrorCounts:
        best_BL = pool(scores_BTV, self._steps(batch)).argmax(-1)
        counted_BL = torch.arange(best_BL.shape[1], device=best_BL.device) < batch.target_lengths_B[:, None]
        wrong = int(((best_BL != batch.targets_BL) & counted_BL).sum())
        return ErrorCounts(wrong, 0, 0, int(counted_BL.sum()))

    def _steps(self, batch: Batch) -> Tensor:
        """Spans in steps: every step that holds a frame of the stretch."""
        first_BL, last_BL = batch.spans_BL2[..., 0], batch.spans_BL2[..., 1]
        factor = self._subsampling
        return torch.stack([first_BL // factor, (last_BL + factor - 1) // factor], dim=-1)


class NextTokenObjective:
    """What follows in a text, by cross entropy for each token; an error is a token that is not the likeliest one.

    The exponential of the loss is the perplexity.
    """

    choose_by = "loss"

    def loss(self, scores_BTV: Tensor, lengths_B: Tensor, batch: Batch) -> Loss:
        counted_BT = self._counted(scores_BTV, lengths_B)
        loss = torch.nn.functional.nll_loss(scores_BTV[counted_BT], batch.targets_BL[counted_BT])
        return Loss(loss, int(lengths_B.sum()), {})

    def errors(self, scores_BTV: Tensor, lengths_B: Tensor, batch: Batch) -> ErrorCounts:
        counted_BT = self._counted(scores_BTV, lengths_B)
        wrong = int((scores_BTV.argmax(-1) != batch.targets_BL)[counted_BT].sum())
        return ErrorCounts(wrong, 0, 0, int(lengths_B.sum()))

    @staticmethod
    def _counted(scores_BTV: Tensor, lengths_B: Tensor) -> Tensor:
        return torch.arange(scores_BTV.shape[1], device=scores_BTV.device) < lengths_B[:, None]

    def shown(self, loss: float) -> str:
        return f"dev perplexity {math.exp(min(loss, 700)):.2f}"


class ForecastObjective:
    """The frames of a later step (Chung et al. 2019): the mean absolute error. There is nothing to be right or wrong.

    Args:
        ahead: Steps from the one that a forecast is made at to the one that it is of. The encoder must not have seen
            that one: a bidirectional encoder reads chunks of at most so many steps, without look-ahead.
    """

    choose_by = "loss"

    def __init__(self, *, ahead: int):
        self._ahead = ahead

    def loss(self, scores_BTV: Tensor, lengths_B: Tensor, batch: Batch) -> Loss:
        loss, steps_B = forecast_loss(scores_BTV, batch.frames_BTF, batch.lengths_B, ahead=self._ahead)
        left_out = {}
        for index in (steps_B == 0).nonzero()[:, 0].tolist():
            steps = int(lengths_B[index])
            left_out[batch.ids[index]] = f"{batch.ids[index]}: has {steps} steps, forecasts are {self._ahead} later"
        return Loss(loss, int(steps_B.sum()), left_out)

    def errors(self, scores_BTV: Tensor, lengths_B: Tensor, batch: Batch) -> ErrorCounts:
        return ErrorCounts.zero()

    def shown(self, loss: float) -> str:
        return f"forecasts off by {loss:.4f}"
