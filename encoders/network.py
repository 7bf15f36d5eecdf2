"""Encoder and head as one module: what is trained, exported and trained on from."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from encoders.blstm import Blstm, EncoderConfig
from encoders.heads import HEADS
from encoders.windows import Latency


class Network(nn.Module):
    """Frames to scores.

    Args:
        input_size: Features of a frame, F.
        labels: Number of labels V, the blank of CTC among them.
        config: The encoder.
        head: What its encodings are scored by; one of `encoders.heads.HEADS`.
    """

    def __init__(self, input_size: int, labels: int, config: EncoderConfig, *, head: str = "ctc"):
        super().__init__()
        self.encoder = Blstm(input_size, config)
        self.head = HEADS[head](self.encoder.output_size, labels)

    @property
    def subsampling(self) -> int:
        """Input frames for each step of scores."""
        return self.encoder.config.total_subsampling

    def forward(self, frames_BTF: Tensor, lengths_B: Tensor, latency: Latency | None = None) -> tuple[Tensor, Tensor]:
        """What the head says of each step (B,T',V), and lengths (B); see `Blstm.forward` for the arguments."""
        encoded, lengths_B = self.encoder(frames_BTF, lengths_B, latency)
        return self.head(encoded), lengths_B

    def arrays(self) -> dict[str, np.ndarray]:
        """All weights by name in ONNX's layout: `layer0.forward.W`, ..., `head.weight` (H,E), `head.bias` (E)."""
        named = {}
        for direction, layers in (("forward", self.encoder.forwards), ("backward", self.encoder.backwards)):
            for index, layer in enumerate(layers):
                for name, array in layer.to_onnx().items():
                    named[f"layer{index}.{direction}.{name}"] = array
        named["head.weight"] = self.head.linear.weight.detach().cpu().numpy().T
        named["head.bias"] = self.head.linear.bias.detach().cpu().numpy()
        return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in named.items()}

    def load_encoder(self, arrays: dict[str, np.ndarray]) -> None:
        """Take the encoder's weights from `arrays` of another network of the same shape.

        Raises:
            ValueError: when a weight is missing, has another shape or has no place here; says which.
        """
        own = self.arrays()
        for name in arrays:
            if name not in own and not name.startswith("head."):
                raise ValueError(
                    f"cannot train on from these weights: {name} has no place in this encoder; use the same encoder as "
                    "the model that you start from"
                )
        for name in own:
            if name.startswith("head."):
                continue
            if name not in arrays or arrays[name].shape != own[name].shape:
                there = "none" if name not in arrays else f"shape {arrays[name].shape}"
                raise ValueError(
                    f"cannot train on from these weights: {name} has shape {own[name].shape} here and {there} there; "
                    "use the same encoder and features as the model that you start from"
                )
        for direction, layers in (("forward", self.encoder.forwards), ("backward", self.encoder.backwards)):
            for index, layer in enumerate(layers):
                prefix = f"layer{index}.{direction}."
                layer.from_onnx({n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)})

    def load_head(self, arrays: dict[str, np.ndarray], *, rows: dict[int, int]) -> None:
        """Take the head's rows for labels that both models have: `rows` maps a label here to its number there."""
        with torch.no_grad():
            for here, there in rows.items():
                self.head.linear.weight[here] = torch.from_numpy(arrays["head.weight"][:, there].copy())
                self.head.linear.bias[here] = float(arrays["head.bias"][there])
