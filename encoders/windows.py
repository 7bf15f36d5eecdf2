"""Cutting a batch into the windows of latency control, and joining what the encoder makes of them.

Shapes beside the usual ones: W windows of an item, N frames of a window (N_c + N_r, or all there are), M = B * W.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Latency(NamedTuple):
    """How much of the future each frame sees: chunk N_c and look-ahead N_r, in input frames.

    Both are multiples of the encoder's total subsampling. A frame waits for at most N_c + N_r frames.
    """

    chunk: int
    lookahead: int


def fitted(latency: Latency | None, frames: int, subsampling: int) -> Latency:
    """Chunk and look-ahead for a batch of so many frames: no longer than it, which is full context.

    Raises:
        ValueError: they are no multiples of the subsampling, or out of range.
    """
    whole = Latency(-(-frames // subsampling) * subsampling, 0)
    if latency is None:
        return whole
    for name, value, least in (("chunk", latency.chunk, 1), ("look-ahead", latency.lookahead, 0)):
        if value < least or value % subsampling:
            raise ValueError(f"the {name} is {value} frames; it must be a multiple of {subsampling} and >= {least}")
    return whole if latency.chunk >= frames else latency


def cut_windows(frames_BTF: Tensor, lengths_B: Tensor, chunk: int, lookahead: int) -> tuple[Tensor, Tensor]:
    """Windows (B,W,N,F) with N = N_c + N_r, zeros where the batch ends, and the valid frames of each (B,W)."""
    windows = -(-frames_BTF.shape[1] // chunk)
    size = chunk + lookahead
    missing = (windows - 1) * chunk + size - frames_BTF.shape[1]
    padded_BTF = nn.functional.pad(frames_BTF, (0, 0, 0, missing))
    starts_W = torch.arange(windows, device=lengths_B.device) * chunk
    lengths_BW = (lengths_B[:, None] - starts_W).clamp(0, size)
    return padded_BTF.unfold(1, size, chunk).transpose(2, 3), lengths_BW


def join_chunks(encoded_BWNC: Tensor, frames: int) -> Tensor:
    """The encodings (B,T,C) of an item whose windows are (B,W,N_c,C)."""
    return encoded_BWNC.flatten(1, 2)[:, :frames]
