"""What is done with the frames of a padded batch beside the layers: masks, stacking, turning round, checks.

No layer reads what lies beyond an item's length, and whatever stands there, NaN too, changes nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class NotFiniteError(ValueError):
    """Frames or outputs of a layer are NaN or infinite.

    Attributes:
        item: The first item of the batch of which that is so.
    """

    def __init__(self, message: str, item: int):
        super().__init__(message)
        self.item = item


def stacked_length(length, factor: int):
    """Frames left of `length` after stacking `factor` to one; the last may be filled up with zeros."""
    return (length + factor - 1) // factor


def check_lengths(lengths_B: Tensor, frames: int) -> None:
    """Refuse items without frames, and lengths beyond the batch.

    Raises:
        ValueError: says which item.
    """
    wrong = ((lengths_B < 1) | (lengths_B > frames)).nonzero().flatten().tolist()
    if wrong:
        raise ValueError(
            f"item {wrong[0]} of the batch has length {int(lengths_B[wrong[0]])}; lengths are from 1 to {frames}, the "
            "frames of the batch: leave items without frames out"
        )


def check_finite(values_BTF: Tensor, lengths_B: Tensor, named: str, windows: int = 1) -> None:
    """While torch looks for anomalies: refuse values within an item's length that are NaN or infinite.

    Args:
        values_BTF: Values of items or, of each item, of `windows` in a row.
        lengths_B: Valid frames of each.
        named: What they are.
        windows: Rows that an item has.

    Raises:
        NotFiniteError: says `named`, and the first such item, window and frame.
    """
    if not torch.is_anomaly_enabled():
        return
    bad_BT = ~torch.isfinite(mask_frames(values_BTF, lengths_B)).all(-1)
    if bad_BT.any():
        row, frame = bad_BT.nonzero()[0].tolist()
        item, window = divmod(row, windows)
        where = f"frame {frame}" + (f" of window {window}" if windows > 1 else "")
        raise NotFiniteError(f"NaN or infinity in {named}: first in item {item} of the batch, {where}", item)


def mask_frames(x_BTF: Tensor, lengths_B: Tensor) -> Tensor:
    """Zeros beyond each item's length. No output sees what lies there, but in a gradient 0 times NaN would be NaN."""
    valid_BT = torch.arange(x_BTF.shape[1], device=x_BTF.device) < lengths_B[:, None]
    return x_BTF.masked_fill(~valid_BT[..., None], 0.0)


def stack_frames(x_BTF: Tensor, lengths_B: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """Join each `factor` adjacent frames to one: (B,T,F) -> (B, ceil(T/factor), factor*F), zeros beyond the length."""
    batch, frames, features = x_BTF.shape
    x_BTF = nn.functional.pad(mask_frames(x_BTF, lengths_B), (0, 0, 0, -frames % factor))
    return x_BTF.reshape(batch, -1, factor * features), stacked_length(lengths_B, factor)


def reversal(lengths_B: Tensor, frames: int) -> Tensor:
    """Indices (B,T) that turn each item round within its length and leave its padding in place."""
    t = torch.arange(frames, device=lengths_B.device)[None]
    last = lengths_B[:, None] - 1
    return torch.where(t <= last, last - t, t)


def gather_frames(x_BTF: Tensor, order_BT: Tensor) -> Tensor:
    """The frames of each item in the order given, each frame once."""
    batch, frames = order_BT.shape
    rows = torch.arange(batch, device=order_BT.device)[:, None] * frames + order_BT
    return Reordered.apply(x_BTF.flatten(0, 1), rows.flatten()).view(batch, frames, -1)


class Reordered(torch.autograd.Function):
    """Rows in an order that names each of them equally often, one after the other.

    The way back is such an order, too, so it copies whole rows, where that of `gather` adds up single numbers.
    """

    @staticmethod
    def forward(ctx, rows_NF: Tensor, order_M: Tensor) -> Tensor:
        ctx.save_for_backward(order_M)
        ctx.rows = len(rows_NF)
        return rows_NF.index_select(0, order_M)

    @staticmethod
    def backward(ctx, errors_MF: Tensor) -> tuple[Tensor, None]:
        (order_M,) = ctx.saved_tensors
        errors = errors_MF.new_zeros(())
        for part_M, errors_NF in zip(order_M.split(ctx.rows), errors_MF.split(ctx.rows), strict=True):
            errors = errors + Reordered.apply(errors_NF, part_M.argsort())
        return errors, None
