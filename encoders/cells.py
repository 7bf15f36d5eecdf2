"""Recurrent layers of one direction: what a cell must offer to be used in an encoder.

A layer reads (B,T,F) from left to right from a given state, and knows its weights in the layout of the
ONNX operator of the same name, because that is the layout in which a model is stored.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

State = tuple[Tensor, ...]


class LstmLayer(nn.Module):
    """LSTM with input, forget and output gates (Hochreiter and Schmidhuber 1997; Gers et al. 2000), no peepholes.

        i = sigmoid(W_i x + R_i h + b_i)      f = sigmoid(W_f x + R_f h + b_f)      o = sigmoid(W_o x + R_o h + b_o)
        g = tanh(W_g x + R_g h + b_g)         c' = f * c + i * g                    h' = o * tanh(c')

    The arithmetic is torch's own kernel. The forget gate's bias starts at 1 (Jozefowicz et al. 2015).
    """

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.lstm = nn.LSTM(input_size, hidden_size, batch_first=True)
        with torch.no_grad():
            self.lstm.bias_hh_l0.zero_()
            self.lstm.bias_ih_l0.zero_()
            self.lstm.bias_ih_l0[hidden_size : 2 * hidden_size] = 1.0
            nn.init.orthogonal_(self.lstm.weight_hh_l0)
            nn.init.xavier_uniform_(self.lstm.weight_ih_l0)

    def forward(self, x_BTF: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Outputs (B,T,H) and the state (h, c), each (B,H), after the last frame; no state means zeros."""
        start = None if state is None else tuple(part.unsqueeze(0).contiguous() for part in state)
        y_BTH, (h, c) = self.lstm(x_BTF, start)
        return y_BTH, (h[0], c[0])

    def to_onnx(self) -> dict[str, np.ndarray]:
        """Weights as ONNX's LSTM takes them: W (1,4H,F), R (1,4H,H), B (1,8H), gates in the order i, o, f, g."""
        w, r, b_w, b_r = (
            _reorder(parameter.detach().cpu().numpy(), TORCH_TO_ONNX)
            for parameter in (
                self.lstm.weight_ih_l0,
                self.lstm.weight_hh_l0,
                self.lstm.bias_ih_l0,
                self.lstm.bias_hh_l0,
            )
        )
        return {"W": w[None], "R": r[None], "B": np.concatenate([b_w, b_r])[None]}

    def from_onnx(self, weights: dict[str, np.ndarray]) -> None:
        """Take weights in the layout of `to_onnx`."""
        b_w, b_r = np.split(weights["B"][0], 2)
        with torch.no_grad():
            for parameter, array in (
                (self.lstm.weight_ih_l0, weights["W"][0]),
                (self.lstm.weight_hh_l0, weights["R"][0]),
                (self.lstm.bias_ih_l0, b_w),
                (self.lstm.bias_hh_l0, b_r),
            ):
                parameter.copy_(torch.from_numpy(_reorder(array, ONNX_TO_TORCH)))


# torch stacks the gates as i, f, g, o; ONNX as i, o, f, g.
TORCH_TO_ONNX = (0, 3, 1, 2)
ONNX_TO_TORCH = (0, 2, 3, 1)


def _reorder(array: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    gates = np.split(array, len(order))
    return np.concatenate([gates[k] for k in order])


CELLS = {"lstm": LstmLayer}
