"""What turns encodings into scores, and scores and targets into a loss.

CTC after Graves et al. 2006; its blank is label 0 everywhere. Classification pools a stretch of frames by attention
(Yang et al. 2016, "Hierarchical attention networks"; Ilse et al. 2018). Forecasting (Chung et al. 2019) asks for no
labels: what comes next in the frames is its target.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from encoders.frames import mask_frames, stack_frames

BLANK = 0


class CtcHead(nn.Module):
    """A linear layer and a log-softmax: log probabilities of the labels, the blank first.

    Args:
        input_size: Size of an encoding.
        labels: Number of labels V, the blank among them.
    """

    def __init__(self, input_size: int, labels: int):
        super().__init__()
        self.linear = nn.Linear(input_size, labels)

    def forward(self, encoded_BTH: Tensor) -> Tensor:
        """Log probabilities (B,T,V), in float32 also under mixed precision."""
        return torch.log_softmax(self.linear(encoded_BTH).float(), dim=-1)


class CtcLoss(NamedTuple):
    """Mean loss over the items that can be aligned, and which items (B, bool) can."""

    loss: Tensor
    feasible_B: Tensor


def frames_needed(targets_BL: Tensor, target_lengths_B: Tensor) -> Tensor:
    """Fewest frames in which CTC can emit each target: its length plus one blank between adjacent equal labels."""
    inside = torch.arange(targets_BL.shape[1], device=targets_BL.device)[1:] < target_lengths_B[:, None]
    repeats = (targets_BL[:, 1:] == targets_BL[:, :-1]) & inside
    return target_lengths_B + repeats.sum(1)


def ctc_loss(scores_BTV: Tensor, lengths_B: Tensor, targets_BL: Tensor, target_lengths_B: Tensor) -> CtcLoss:
    """CTC loss of each item divided by its number of labels, averaged over the items that can be aligned.

    An item whose target needs more frames than it has would have an infinite loss. It is left out of the mean and
    reported in `feasible_B`, so that the caller can name it: it is never hidden.

    Args:
        scores_BTV: Log probabilities.
        lengths_B: Valid frames of each item.
        targets_BL: Labels, padded with anything.
        target_lengths_B: Labels of each item; none (0) is allowed, and asks for blanks alone.
    """
    feasible_B = frames_needed(targets_BL, target_lengths_B) <= lengths_B
    if not bool(feasible_B.any()):
        return CtcLoss(scores_BTV.sum() * 0.0, feasible_B)
    # On a GPU its gradient is added up in any order: where that is refused, a processor has to do it.
    place = "cpu" if torch.are_deterministic_algorithms_enabled() else scores_BTV.device
    keep = feasible_B.nonzero()[:, 0]
    counts_B = target_lengths_B[keep].to(place)
    losses_B = nn.functional.ctc_loss(
        scores_BTV[keep].transpose(0, 1).to(place),
        targets_BL[keep].to(place),
        lengths_B[keep].to(place),
        counts_B,
        blank=BLANK,
        reduction="none",
    )
    return CtcLoss((losses_B / counts_B.clamp(min=1)).mean().to(scores_BTV.device), feasible_B)


def consistency_loss(first_BTV: Tensor, second_BTV: Tensor, lengths_B: Tensor, target_lengths_B: Tensor) -> Tensor:
    """How far two views of the same items are from being heard alike (Yao et al. 2025, CR-CTC, equation 4).

    For each frame the mean of both Kullback-Leibler divergences, of one view from the other as it stands: each moves
    towards the other. Summed over the frames of an item and divided by its number of labels, as its CTC loss is, then
    averaged over items.

    Args:
        first_BTV, second_BTV: Log probabilities of the views.
        lengths_B: Valid frames of each item.
        target_lengths_B: Labels of each item.
    """
    towards_second_BTV = second_BTV.detach().exp() * (second_BTV.detach() - first_BTV)
    towards_first_BTV = first_BTV.detach().exp() * (first_BTV.detach() - second_BTV)
    apart_BTV = mask_frames(0.5 * (towards_second_BTV + towards_first_BTV), lengths_B)
    return (apart_BTV.sum((1, 2)) / target_lengths_B.clamp(min=1)).mean()


class ClassHead(nn.Module):
    """Evidence for each label and the energy of attention, frame by frame; `pool` makes label scores of a stretch.

    Attention pooling of encodings h, followed by a linear layer, is

        scores = W (sum_t a_t h_t) + b = sum_t a_t (W h_t + b),    a = softmax over t of (u h_t)

    because the a_t add up to 1. So this layer gives V + 1 numbers a frame, W h_t + b and u h_t, and any stretch of a
    stream can be pooled afterwards without running the encoder again.

    Args:
        input_size: Size of an encoding.
        labels: Number of labels V.
    """

    def __init__(self, input_size: int, labels: int):
        super().__init__()
        self.linear = nn.Linear(input_size, labels + 1)

    def forward(self, encoded_BTH: Tensor) -> Tensor:
        """Evidence and, last, energy: (B,T,V+1), in float32 also under mixed precision."""
        return self.linear(encoded_BTH).float()


class ForecastHead(nn.Module):
    """The frames of a later step, one after the other: autoregressive predictive coding (Chung et al. 2019).

    Args:
        input_size: Size of an encoding.
        labels: Numbers in the frames of a step, V.
    """

    def __init__(self, input_size: int, labels: int):
        super().__init__()
        self.linear = nn.Linear(input_size, labels)

    def forward(self, encoded_BTH: Tensor) -> Tensor:
        """Frames of the step that is forecast at each one (B,T,V), in float32 also under mixed precision."""
        return self.linear(encoded_BTH).float()


HEADS = {"ctc": CtcHead, "class": ClassHead, "forecast": ForecastHead}


def forecast_loss(forecast_BTV: Tensor, frames_BTF: Tensor, lengths_B: Tensor, *, ahead: int) -> tuple[Tensor, Tensor]:
    """Mean absolute error of each item's forecasts (Chung et al. 2019, equation 1), and how many steps were forecast.

    A step of which not all frames are there is not forecast, and an item that ends too early counts no step.

    Args:
        forecast_BTV: What `ForecastHead` gives; V over F frames make a step.
        frames_BTF: The frames that were encoded.
        lengths_B: Valid frames of each item.
        ahead: Steps from the one that a forecast is made at to the one that it is of.

    Returns:
        The mean over all steps of all items, 0 where there are none; and the steps of each item (B).
    """
    stacked = forecast_BTV.shape[-1] // frames_BTF.shape[-1]
    steps_B = (lengths_B // stacked - ahead).clamp(min=0)
    wanted_BTV = stack_frames(frames_BTF, lengths_B, stacked)[0][:, ahead:].to(forecast_BTV.dtype)
    counted_BT = torch.arange(wanted_BTV.shape[1], device=lengths_B.device) < steps_B[:, None]
    if not bool(counted_BT.any()):
        return forecast_BTV.sum() * 0.0, steps_B
    errors_BTV = (forecast_BTV[:, : wanted_BTV.shape[1]] - wanted_BTV).abs()
    return errors_BTV[counted_BT].mean(), steps_B


def pool(evidence_BTE: Tensor, spans_BL2: Tensor) -> Tensor:
    """Log probabilities (B,L,V) of the labels of stretches, by masked attention pooling.

    Args:
        evidence_BTE: What `ClassHead` gives, E = V + 1.
        spans_BL2: First step and the step after the last of L stretches of each item. What lies outside has no weight;
            a stretch without a step, which padding may have, is pooled over step 0.
    """
    t = torch.arange(evidence_BTE.shape[1], device=evidence_BTE.device)
    begin_BL1, end_BL1 = spans_BL2[..., :1], spans_BL2[..., 1:]
    inside_BLT = (t >= begin_BL1) & (t < torch.maximum(end_BL1, begin_BL1 + 1))
    energy_BLT = evidence_BTE[:, None, :, -1].masked_fill(~inside_BLT, -torch.inf)
    pooled_BLV = torch.softmax(energy_BLT, dim=-1) @ evidence_BTE[..., :-1]
    return torch.log_softmax(pooled_BLV, dim=-1)


def class_loss(log_probabilities_BLV: Tensor, targets_BL: Tensor, counts_B: Tensor, *, smoothing: float) -> Tensor:
    """Cross entropy, averaged over the first `counts_B` stretches of each item.

    Args:
        log_probabilities_BLV: What `pool` gives.
        targets_BL: Label of each stretch, padded with anything.
        counts_B: Stretches of each item.
        smoothing: Share of the target spread evenly over all labels (Szegedy et al. 2016).
    """
    counted_BL = torch.arange(targets_BL.shape[1], device=targets_BL.device) < counts_B[:, None]
    return nn.functional.cross_entropy(
        log_probabilities_BLV[counted_BL], targets_BL[counted_BL], label_smoothing=smoothing
    )
