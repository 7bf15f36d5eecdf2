"""The stack of bidirectional recurrent layers that every model here is built on.

Directions are separate layers: the backward one reads each item reversed within its own length, so padding
never reaches it, and no packed sequences are needed (packing costs half as much time again on a CPU).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from encoders.cells import CELLS


@dataclass
class EncoderConfig:
    """The shape of the encoder.

    Args:
        cell: Kind of recurrent layer; one of `encoders.cells.CELLS`.
        layers: Number of layers, each with its forward and (if bidirectional) its backward direction.
        hidden_size: Units of each direction.
        bidirectional: Whether a second direction reads from the end.
        dropout: Share of each layer's outputs dropped on the way to the next layer and to the head, in training.
        subsampling: Frames stacked into one before the first layer, the second layer, ...; layers not named stack 1.
            `[3]` turns 10 ms frames into 30 ms steps; `[1, 2, 2]` is a pyramid (Chan et al. 2016).
    """

    cell: str = "lstm"
    layers: int = 3
    hidden_size: int = 128
    bidirectional: bool = True
    dropout: float = 0.1
    subsampling: list[int] | tuple[int, ...] = (3,)

    def __post_init__(self) -> None:
        if self.cell not in CELLS:
            raise ValueError(f"encoder.cell is {self.cell!r}; known cells: {', '.join(sorted(CELLS))}")
        if self.layers < 1 or self.hidden_size < 1:
            raise ValueError("encoder.layers and encoder.hidden_size must be at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"encoder.dropout is {self.dropout}; it must be at least 0 and less than 1")
        self.subsampling = tuple(self.subsampling)
        if len(self.subsampling) > self.layers or any(factor < 1 for factor in self.subsampling):
            raise ValueError(
                f"encoder.subsampling is {list(self.subsampling)}: at most one whole number >= 1 for each of the "
                f"{self.layers} layers"
            )

    @property
    def stacking(self) -> tuple[int, ...]:
        """Frames stacked before each layer, one number a layer."""
        return tuple(self.subsampling) + (1,) * (self.layers - len(self.subsampling))

    @property
    def total_subsampling(self) -> int:
        """Input frames for each output frame."""
        return prod(self.subsampling)


class Blstm(nn.Module):
    """Stacked bidirectional LSTM (Schuster and Paliwal 1997; Graves et al. 2013) over padded batches.

    Args:
        input_size: Features of a frame, F.
        config: The shape of the stack.
    """

    def __init__(self, input_size: int, config: EncoderConfig):
        super().__init__()
        self.config = config
        self.input_size = input_size
        self.output_size = config.hidden_size * (2 if config.bidirectional else 1)
        layer = CELLS[config.cell]
        self.forwards = nn.ModuleList()
        self.backwards = nn.ModuleList()
        size = input_size
        for factor in config.stacking:
            self.forwards.append(layer(size * factor, config.hidden_size))
            if config.bidirectional:
                self.backwards.append(layer(size * factor, config.hidden_size))
            size = self.output_size
        self.dropout = nn.Dropout(config.dropout)

    def output_lengths(self, lengths_B: Tensor) -> Tensor:
        """Frames that come out for `lengths_B` frames that go in, exactly, as integers."""
        for factor in self.config.stacking:
            lengths_B = stacked_length(lengths_B, factor)
        return lengths_B

    def forward(self, frames_BTF: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        """Encode a padded batch with full context.

        Args:
            frames_BTF: Frames; what lies beyond an item's length is ignored.
            lengths_B: Valid frames of each item, int64, at least 1.

        Returns:
            Encodings (B, ceil(T / subsampling), output_size) and their lengths (B).
        """
        x = frames_BTF
        for index, factor in enumerate(self.config.stacking):
            if factor > 1:
                x, lengths_B = stack_frames(x, lengths_B, factor)
            elif index == 0:
                x = mask_frames(x, lengths_B)
            y, _ = self.forwards[index](x)
            if self.config.bidirectional:
                order = reversal(lengths_B, x.shape[1])
                z, _ = self.backwards[index](gather_frames(x, order))
                y = torch.cat([y, gather_frames(z, order)], dim=-1)
            x = self.dropout(y)
        return x, lengths_B


def stacked_length(length, factor: int):
    """Frames left of `length` after stacking `factor` to one; the last may be filled up with zeros."""
    return (length + factor - 1) // factor


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
    """The frames of each item in the order given."""
    return x_BTF.gather(1, order_BT[..., None].expand(-1, -1, x_BTF.shape[-1]))
