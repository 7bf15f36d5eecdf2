"""Encoder and head as one module: what is trained, exported and trained on from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from encoders.blstm import Blstm, EncoderConfig
from encoders.heads import HEADS
from encoders.layers import RecurrentLayer
from encoders.truncated import scores_in_pieces
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

    @property
    def layer_count(self) -> int:
        """Layers of the encoder."""
        return self.encoder.config.layers

    def forward(
        self, frames_BTF: Tensor, lengths_B: Tensor, latency: Latency | None = None, *, truncate: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """What the head says of each step (B,T',V), and lengths (B); see `Blstm.forward` for the arguments.

        With `truncate` errors flow back within pieces of so many frames alone (`encoders.truncated`).
        """
        [scored] = self.at_layers(frames_BTF, lengths_B, latency, layers=[-1], truncate=truncate)
        return scored

    def at_layers(
        self,
        frames_BTF: Tensor,
        lengths_B: Tensor,
        latency: Latency | None = None,
        *,
        layers: Sequence[int],
        truncate: int | None = None,
    ) -> list[tuple[Tensor, Tensor]]:
        """What `forward` gives, and what the same head says of the outputs of layers below, all of which have one size.

        Args:
            frames_BTF, lengths_B, latency, truncate: As of `forward`.
            layers: Numbers of layers, each once and in order; the last one is -1.

        Returns:
            Scores and lengths for each of `layers`; below a pyramid there are more steps than above.
        """
        if truncate is not None:
            scores = scores_in_pieces(self.encoder, self.head, frames_BTF, lengths_B, latency, truncate, layers)
        else:
            scores = [self.head(encoded) for encoded in self.encoder.at_layers(frames_BTF, lengths_B, latency, layers)]
        return [(one, self.encoder.output_lengths(lengths_B, layer)) for one, layer in zip(scores, layers, strict=True)]

    def layers(self) -> dict[str, RecurrentLayer]:
        """Each direction of each layer by name: `layer0.forward`, ..., `layer0.backward`, ..."""
        directions = (("forward", self.encoder.forwards), ("backward", self.encoder.backwards))
        return {
            f"layer{index}.{direction}": layer for direction, layers in directions for index, layer in enumerate(layers)
        }

    def parts(self) -> dict[str, nn.Module]:
        """All that has weights, by name: the layers, what is between and before them, and the `head`."""
        return {**self.layers(), **self._others(), "head": self.head}

    def _others(self) -> dict[str, nn.Module]:
        """What the encoder has beside recurrent layers: `front.first`, `front.second`, `layer0.norm`, ..."""
        front = self.encoder.front
        parts = {} if front is None else {"front.first": front.first, "front.second": front.second}
        return parts | {f"layer{index}.norm": norm for index, norm in enumerate(self.encoder.norms)}

    def arrays(self) -> dict[str, np.ndarray]:
        """All weights by name in ONNX's layout: `layer0.forward.W`, ..., `head.weight` (H,E), `head.bias` (E).

        Convolutions (`front.first.weight`, (C,1,3,3)) and layer normalisation (`layer0.norm.weight`) are as torch has
        them, and have a `bias` too.
        """
        named = {
            f"{prefix}.{name}": array
            for prefix, layer in self.layers().items()
            for name, array in layer.to_onnx().items()
        }
        for prefix, part in self._others().items():
            for name, parameter in part.named_parameters():
                named[f"{prefix}.{name}"] = parameter.detach().cpu().numpy()
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
        for prefix, layer in self.layers().items():
            layer.from_onnx({name: arrays[f"{prefix}.{name}"] for name in layer.to_onnx()})
        with torch.no_grad():
            for prefix, part in self._others().items():
                for name, parameter in part.named_parameters():
                    parameter.copy_(torch.tensor(arrays[f"{prefix}.{name}"]))

    def load_head(self, arrays: dict[str, np.ndarray], *, rows: dict[int, int]) -> None:
        """Take the head's rows for labels that both models have: `rows` maps a label here to its number there."""
        with torch.no_grad():
            for here, there in rows.items():
                self.head.linear.weight[here] = torch.from_numpy(arrays["head.weight"][:, there].copy())
                self.head.linear.bias[here] = float(arrays["head.bias"][there])
