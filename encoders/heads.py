"""What turns encodings into scores, and scores and targets into a loss.

CTC after Graves et al. 2006. The blank is label 0 everywhere.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

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
    keep = feasible_B.nonzero()[:, 0]
    losses_B = nn.functional.ctc_loss(
        scores_BTV[keep].transpose(0, 1),
        targets_BL[keep],
        lengths_B[keep],
        target_lengths_B[keep],
        blank=BLANK,
        reduction="none",
    )
    return CtcLoss((losses_B / target_lengths_B[keep].clamp(min=1)).mean(), feasible_B)
