"""What the inputs of a network's products lie between, seen on frames of data: the fixed scales of products in 8 bits.

Outputs of LSTMs lie between -1 and 1 whatever was heard. What the first layer reads, and what layer normalisation
gives, has no such limits, and its range is measured (calibration).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from encoders.int8 import OUTPUTS, Range
from encoders.network import Network

# Other recordings go beyond those that are measured. A third of a bit pays for a quarter more.
HEADROOM = 1.25


def input_ranges(network: Network, frames: Iterable[np.ndarray]) -> dict[str, Range]:
    """Ranges of the inputs of each layer and of the head, by the names that `encoders.int8.Int8` has.

    Args:
        network: A network in evaluation mode.
        frames: Frames (T,F) of some items, as it reads them.
    """
    encoder = network.encoder
    readers: dict[str, nn.Module] = {f"layer{index}": layer for index, layer in enumerate(encoder.forwards)}
    readers["head"] = network.head.linear
    measured = readers if encoder.norms else {"layer0": readers["layer0"]}
    ends = {name: [0.0, 0.0] for name in measured}

    def seen(name: str, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        low, high = (float(end) for end in inputs[0].aminmax())
        ends[name] = [min(ends[name][0], low), max(ends[name][1], high)]

    hooks = [module.register_forward_pre_hook(partial(seen, name)) for name, module in measured.items()]
    unit = network.subsampling
    try:
        with torch.no_grad():
            for frames_TF in frames:
                whole = -(-len(frames_TF) // unit) * unit
                x_1TF, lengths = torch.from_numpy(frames_TF)[None], torch.tensor([len(frames_TF)])
                network.head(encoder.window(x_1TF, lengths, whole)[0])
    finally:
        for hook in hooks:
            hook.remove()
    return {name: Range(*(HEADROOM * end for end in ends[name])) if name in ends else OUTPUTS for name in readers}
