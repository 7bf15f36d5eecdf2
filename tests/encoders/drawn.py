"""Networks and batches that are drawn, for tests of encoders."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """All parameters drawn anew, biases too, so that swapped gates and forgotten biases cannot hide."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.6 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return network.eval()


def batch(
    lengths: list[int], dtype: torch.dtype = torch.float64, seed: int = 0, *, features: int, fill: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Items of these lengths, padded with `fill`, and their lengths."""
    rng = np.random.default_rng(seed)
    items = [torch.from_numpy(rng.standard_normal((length, features))).to(dtype) for length in lengths]
    padded = nn.utils.rnn.pad_sequence(items, batch_first=True, padding_value=fill)
    return padded, torch.tensor(lengths)
