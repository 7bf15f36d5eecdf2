"""Recurrent layers of one direction, one class for each way of computing them.

A layer reads (B,T,F) from left to right from a given state, and knows its weights in the layout of the ONNX operator of
the same name, because that is the layout in which a model is stored. Which class a member of the family gets is decided
in `make_layer`: torch's kernel where there is one, else the functions of `encoders.recurrence`, and the bare step, with
a tape, for what neither has: GRU and RNN with layer normalisation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor, nn

from encoders.cells import CELLS, NORM_EPSILON, Cell, CellOptions, State, check, lstm_1997_truncated_step
from encoders.gru_recurrence import run_gru
from encoders.recurrence import run_lstm
from encoders.steps import LstmForm, LstmWeights


class RecurrentLayer(nn.Module, ABC):
    """What an encoder asks of a layer.

    Attributes:
        name: Its cell, a key of `encoders.cells.CELLS`.
        cell: What there is to know of the cell.
        state_sizes: Units of each part of the state: h and, of an LSTM, c.
        output_size: Units of an output, the first of these.
    """

    def __init__(self, name: str, input_size: int, hidden_size: int, options: CellOptions):
        super().__init__()
        check(name, hidden_size, options)
        self.name = name
        self.cell: Cell = CELLS[name]
        self.options = options
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.output_size = (options.projection_size or hidden_size // 2) if self.cell.projected else hidden_size
        self.state_sizes = (self.output_size,) + ((hidden_size,) if self.cell.operator == "LSTM" else ())

    def start(self, x_BTF: Tensor) -> State:
        """The state before the first frame: zeros, (B,P) and, of an LSTM, (B,H)."""
        return tuple(x_BTF.new_zeros(len(x_BTF), size) for size in self.state_sizes)

    @abstractmethod
    def forward(self, x_BTF: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Outputs (B,T,P) and the state after the last frame; no state means zeros."""

    @abstractmethod
    def stored(self) -> dict[str, Tensor]:
        """Weights as `encoders.cells` describes them, with their tape."""

    @abstractmethod
    def take(self, weights: dict[str, Tensor]) -> None:
        """Copy weights that `stored` may have given, of the shapes that it gives."""

    def to_onnx(self) -> dict[str, np.ndarray]:
        """Weights as ONNX's operators take them, an axis of length 1 before those of `encoders.cells`."""
        return {name: value.detach().cpu().numpy()[None] for name, value in self.stored().items()}

    def from_onnx(self, weights: dict[str, np.ndarray]) -> None:
        """Take weights in the layout of `to_onnx`."""
        with torch.no_grad():
            self.take({name: torch.tensor(array[0]) for name, array in weights.items()})


class NativeLayer(RecurrentLayer):
    """torch's own kernel: RNN, LSTM with forget gate, with projection or without, and cuDNN's GRU.

    Projections torch has a kernel for on a GPU alone; on a CPU `encoders.recurrence` is faster than its loop.
    """

    def __init__(self, name: str, input_size: int, hidden_size: int, options: CellOptions):
        super().__init__(name, input_size, hidden_size, options)
        settings = {"proj_size": self.output_size} if self.cell.projected else {}
        self.native = self.cell.native(input_size, hidden_size, batch_first=True, **settings)
        order = TORCH_GATES[self.cell.operator]
        self._to_stored = [order.index(gate) for gate in self.cell.gates]
        self._to_torch = [self.cell.gates.index(gate) for gate in order]
        with torch.no_grad():
            # Drawn in this order ever since the first models, so that a seed gives the network that it gave then.
            parameters = dict(self.native.named_parameters())
            inputs = parameters.pop("weight_ih_l0")
            for name_, parameter in parameters.items():
                if name_.startswith("bias"):
                    parameter.zero_()
                else:
                    nn.init.orthogonal_(parameter)
            nn.init.xavier_uniform_(inputs)
            if self.cell.past == "forgotten":
                self.native.bias_ih_l0[hidden_size : 2 * hidden_size] = options.forget_bias

    def forward(self, x_BTF: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        if self.cell.projected and not x_BTF.is_cuda:
            return self._projected(x_BTF, self.start(x_BTF) if state is None else state)
        start = None if state is None else tuple(part.unsqueeze(0).contiguous() for part in state)
        if self.cell.operator == "LSTM":
            y_BTP, (h, c) = self.native(x_BTF, start)
            return y_BTP, (h[0], c[0])
        y_BTP, h = self.native(x_BTF, None if start is None else start[0])
        return y_BTP, (h[0],)

    def _projected(self, x_BTF: Tensor, state: State) -> tuple[Tensor, State]:
        native = self.native
        order = [TORCH_GATES["LSTM"].index(gate) for gate in OWN_GATES["LSTM"]]
        bias = native.bias_ih_l0 + native.bias_hh_l0
        W, b, R = (_reorder(part, order)[None] for part in (native.weight_ih_l0, bias, native.weight_hh_l0))
        weights = LstmWeights(W, b, R, projection_DPH=native.weight_hr_l0[None])
        h, c = (part[None] for part in state)
        y_DTBP, c_DBH = run_lstm(LstmForm(self.cell.past), x_BTF.transpose(0, 1)[None], h, c, weights)
        return y_DTBP[0].transpose(0, 1), (y_DTBP[0, -1], c_DBH[0])

    def stored(self) -> dict[str, Tensor]:
        native = self.native
        w, r, b_w, b_r = (
            _reorder(parameter, self._to_stored)
            for parameter in (native.weight_ih_l0, native.weight_hh_l0, native.bias_ih_l0, native.bias_hh_l0)
        )
        weights = {"W": w, "R": r, "B": torch.cat([b_w, b_r])}
        if self.cell.projected:
            weights["projection"] = native.weight_hr_l0
        return weights

    def take(self, weights: dict[str, Tensor]) -> None:
        native = self.native
        b_w, b_r = weights["B"].chunk(2)
        for parameter, value in (
            (native.weight_ih_l0, weights["W"]),
            (native.weight_hh_l0, weights["R"]),
            (native.bias_ih_l0, b_w),
            (native.bias_hh_l0, b_r),
        ):
            parameter.copy_(_reorder(value, self._to_torch))
        if self.cell.projected:
            native.weight_hr_l0.copy_(weights["projection"])


class OwnLayer(RecurrentLayer):
    """What the layers without a kernel of torch's share: parameters, gates in the order of `encoders.torch_steps`.

    There is one bias a gate. It is stored as ONNX's first, and the second is zero.
    """

    def __init__(self, name: str, input_size: int, hidden_size: int, options: CellOptions):
        super().__init__(name, input_size, hidden_size, options)
        cell, gates = self.cell, len(self.cell.gates)
        order = OWN_GATES[cell.operator]
        self._order = "".join(gate for gate in order if gate in cell.gates)
        self._to_stored = [self._order.index(gate) for gate in cell.gates]
        self._to_own = [cell.gates.index(gate) for gate in self._order]
        rows = gates * hidden_size
        self.W = nn.Parameter(nn.init.xavier_uniform_(torch.empty(rows, input_size)))
        self.R = nn.Parameter(nn.init.orthogonal_(torch.empty(rows, self.output_size)))
        self.b = nn.Parameter(self._first_bias())
        if cell.peepholes:
            self.P = nn.Parameter(torch.zeros(gates - 1, hidden_size))
        if cell.projected:
            self.projection = nn.Parameter(nn.init.orthogonal_(torch.empty(self.output_size, hidden_size)))
        if options.layer_norm:
            self.gain_W, self.gain_R = nn.Parameter(torch.ones(rows)), nn.Parameter(torch.ones(rows))
            if cell.operator == "LSTM":
                self.gain_c, self.bias_c = nn.Parameter(torch.ones(hidden_size)), nn.Parameter(torch.zeros(hidden_size))

    def _first_bias(self) -> Tensor:
        bias = torch.zeros(len(self._order), self.hidden_size)
        if self.cell.past == "forgotten":
            bias[self._order.index("f")] = self.options.forget_bias
        elif self.cell.past == "coupled":
            bias[self._order.index("i")] = -self.options.forget_bias
        return bias.flatten()

    def stored(self) -> dict[str, Tensor]:
        def reorder(value: Tensor) -> Tensor:
            return _reorder(value, self._to_stored)

        weights = {"W": reorder(self.W), "R": reorder(self.R)}
        bias = reorder(self.b)
        weights["B"] = torch.cat([bias, torch.zeros_like(bias)])
        if self.cell.peepholes:
            weights["P"] = self.P[[self._order.index(gate) for gate in self._peepholes]].flatten()
        for name in ("gain_W", "gain_R"):
            if hasattr(self, name):
                weights[name] = reorder(getattr(self, name))
        for name in ("projection", "gain_c", "bias_c"):
            if hasattr(self, name):
                weights[name] = getattr(self, name)
        return weights

    @property
    def _peepholes(self) -> str:
        """The gates that see the cell, as stored: i, o, f or, with coupled gates, i, o."""
        return self.cell.gates[:-1]

    def take(self, weights: dict[str, Tensor]) -> None:
        def reorder(value: Tensor) -> Tensor:
            return _reorder(value, self._to_own)

        self.W.copy_(reorder(weights["W"]))
        self.R.copy_(reorder(weights["R"]))
        self.b.copy_(reorder(sum(weights["B"].chunk(2))))
        if self.cell.peepholes:
            parts = weights["P"].unflatten(0, (-1, self.hidden_size))
            self.P.copy_(parts[[self._peepholes.index(gate) for gate in self._order[:-1]]])
        for name in ("gain_W", "gain_R"):
            if hasattr(self, name):
                getattr(self, name).copy_(reorder(weights[name]))
        for name in ("projection", "gain_c", "bias_c"):
            if hasattr(self, name):
                getattr(self, name).copy_(weights[name])


class FastLstmLayer(OwnLayer):
    """Any LSTM of the family by `encoders.recurrence.run_lstm`."""

    def forward(self, x_BTF: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        h, c = self.start(x_BTF) if state is None else state
        y_DTBP, c_DBH = run_directions([self], x_BTF.transpose(0, 1)[None], h[None], c[None])
        return y_DTBP[0].transpose(0, 1), (y_DTBP[0, -1], c_DBH[0])


def run_directions(
    layers: list[FastLstmLayer], x_DTBF: Tensor, h_DBP: Tensor | None = None, c_DBH: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Several layers of one shape at once, each over frames of its own: outputs (D,T,B,P) and last cells (D,B,H)."""
    own, batch = layers[0], x_DTBF.shape[2]
    h_DBP = x_DTBF.new_zeros(len(layers), batch, own.output_size) if h_DBP is None else h_DBP
    c_DBH = x_DTBF.new_zeros(len(layers), batch, own.hidden_size) if c_DBH is None else c_DBH

    def together(name: str) -> Tensor | None:
        if not hasattr(own, name):
            return None
        parts = [getattr(layer, name) for layer in layers]
        return torch.stack(parts) if len(parts) > 1 else parts[0][None]

    W, b, R = (together(name) for name in ("W", "b", "R"))
    if own.options.layer_norm:
        normal = nn.functional.layer_norm(x_DTBF @ W.mT[:, None], b.shape[1:], eps=NORM_EPSILON)
        x_DTBF, W, b = torch.addcmul(b[:, None, None], normal, together("gain_W")[:, None, None]), None, None
    others = (together(name) for name in ("P", "projection", "gain_R", "gain_c", "bias_c"))
    form = LstmForm(own.cell.past, own.cell.peepholes, own.options.truncated_gradient)
    return run_lstm(form, x_DTBF, h_DBP, c_DBH, LstmWeights(W, b, R, *others))


class FastGruLayer(OwnLayer):
    """The GRU of 2014 by `encoders.gru_recurrence.run_gru`."""

    def forward(self, x_BTF: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        (h,) = self.start(x_BTF) if state is None else state
        y_TBH = run_gru(x_BTF.transpose(0, 1), h, self.W, self.b, self.R)
        return y_TBH.transpose(0, 1), (y_TBH[-1],)


class SteppedLayer(OwnLayer):
    """The definition, frame by frame, with autograd's tape of every operation: right, and several times slower."""

    def forward(self, x_BTF: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        return run_steps(self, x_BTF, state)


def run_steps(layer: RecurrentLayer, x_BTF: Tensor, state: State | None = None) -> tuple[Tensor, State]:
    """What `layer` computes, by the step that defines its cell."""
    weights = layer.stored()
    step = lstm_1997_truncated_step if layer.options.truncated_gradient else layer.cell.step
    state = layer.start(x_BTF) if state is None else state
    outputs = []
    for x_BF in x_BTF.unbind(1):
        y_BP, state = step(x_BF, state, weights)
        outputs.append(y_BP)
    return torch.stack(outputs, dim=1), state


def make_layer(
    name: str,
    input_size: int,
    hidden_size: int,
    options: CellOptions = CellOptions(),  # noqa: B008  (frozen)
) -> RecurrentLayer:
    """A fresh layer of the cell `name`, computed in the fastest way that there is.

    Args:
        name: A key of `encoders.cells.CELLS`.
        input_size: Features of a frame, F.
        hidden_size: Units, H.
        options: What may be chosen beside the cell.

    Raises:
        ValueError: there is no such cell, or it lacks an option.
    """
    check(name, hidden_size, options)
    cell = CELLS[name]
    if cell.native is not None and not options.layer_norm:
        kind = NativeLayer
    elif cell.operator == "LSTM":
        kind = FastLstmLayer
    else:
        kind = SteppedLayer if options.layer_norm else FastGruLayer
    return kind(name, input_size, hidden_size, options)


# How torch stacks gates, and how `encoders.torch_steps` and `encoders.gru_recurrence` do.
TORCH_GATES = {"LSTM": "ifgo", "GRU": "rzn", "RNN": "h"}
OWN_GATES = {"LSTM": "oifg", "GRU": "rzn", "RNN": "h"}


def _reorder(value: Tensor, order: list[int]) -> Tensor:
    gates = value.chunk(len(order))
    return torch.cat([gates[k] for k in order])
