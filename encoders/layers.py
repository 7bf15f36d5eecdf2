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

    def in_chunks(self, x_BTF: Tensor, chunk: int, state: State | None = None) -> tuple[Tensor, State]:
        """Outputs (B,T,P), and the states (B,W,P) after each of W chunks; T is W times `chunk`."""
        if self.recurs(x_BTF):
            h, c = self.start(x_BTF) if state is None else state
            y_DTBP, c_DTBH = run_directions([self], x_BTF.transpose(0, 1)[None], h[None], c[None])
            ends = slice(chunk - 1, None, chunk)
            y_BTP = y_DTBP[0].transpose(0, 1)
            return y_BTP, (y_BTP[:, ends], c_DTBH[0, ends].transpose(0, 1))
        outputs, states = [], []
        for x_BCF in x_BTF.split(chunk, dim=1):
            y_BCP, state = self(x_BCF, state)
            outputs.append(y_BCP)
            states.append(state)
        return torch.cat(outputs, dim=1), tuple(torch.stack(parts, dim=1) for parts in zip(*states, strict=True))

    def recurs(self, x_BTF: Tensor) -> bool:
        """Whether such frames go through `run_directions`, which takes several layers at once."""
        return False

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

    On a CPU `encoders.recurrence` is faster for an LSTM with weights in single precision, under autocast too; and with
    a projection in any, for which torch has a kernel on a GPU alone. The parameters are torch's all the same.
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
        if self.recurs(x_BTF):
            return run_direction(self, x_BTF, state)
        start = None if state is None else tuple(part.unsqueeze(0).contiguous() for part in state)
        if self.cell.operator == "LSTM":
            y_BTP, (h, c) = self.native(x_BTF, start)
            return y_BTP, (h[0], c[0])
        y_BTP, h = self.native(x_BTF, None if start is None else start[0])
        return y_BTP, (h[0],)

    def recurs(self, x_BTF: Tensor) -> bool:
        if self.cell.operator != "LSTM" or x_BTF.device.type != "cpu":
            return False
        return self.cell.projected or self.native.weight_hh_l0.dtype == torch.float32

    def own_weights(self) -> dict[str, Tensor]:
        """Weights as `run_directions` takes them, gates as in OWN_GATES, with their tape."""
        native = self.native
        order = [TORCH_GATES["LSTM"].index(gate) for gate in OWN_GATES["LSTM"]]
        parts = (native.weight_ih_l0, native.bias_ih_l0 + native.bias_hh_l0, native.weight_hh_l0)
        weights = dict(zip(("W", "b", "R"), (_reorder(part, order) for part in parts), strict=True))
        return weights | ({"projection": native.weight_hr_l0} if self.cell.projected else {})

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
    """What the layers without a kernel of torch's share: parameters, gates in the order of OWN_GATES.

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
        return run_direction(self, x_BTF, state)

    def recurs(self, x_BTF: Tensor) -> bool:
        return True

    def own_weights(self) -> dict[str, Tensor]:
        """Weights as `run_directions` takes them, which are the parameters."""
        return dict(self.named_parameters())


def run_direction(
    layer: NativeLayer | FastLstmLayer, x_BTF: Tensor, state: State | None = None
) -> tuple[Tensor, State]:
    """What a layer that `recurs` says of frames: as `RecurrentLayer.forward`."""
    h, c = layer.start(x_BTF) if state is None else state
    y_DTBP, c_DTBH = run_directions([layer], x_BTF.transpose(0, 1)[None], h[None], c[None])
    return y_DTBP[0].transpose(0, 1), (y_DTBP[0, -1], c_DTBH[0, -1])


def run_directions(
    layers: list[NativeLayer | FastLstmLayer], x_DTBF: Tensor, h_DBP: Tensor | None = None, c_DBH: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Several layers of one shape at once, each over frames of its own: outputs (D,T,B,P) and cells (D,T,B,H)."""
    own, batch = layers[0], x_DTBF.shape[2]
    h_DBP = x_DTBF.new_zeros(len(layers), batch, own.output_size) if h_DBP is None else h_DBP
    c_DBH = x_DTBF.new_zeros(len(layers), batch, own.hidden_size) if c_DBH is None else c_DBH
    weights = [layer.own_weights() for layer in layers]

    def together(name: str) -> Tensor | None:
        if name not in weights[0]:
            return None
        parts = [of_layer[name] for of_layer in weights]
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
    states = states_by_step(layer, x_BTF, state)
    return torch.stack([h_BP for h_BP, *_ in states], dim=1), states[-1]


def states_by_step(layer: RecurrentLayer, x_BTF: Tensor, state: State | None = None) -> list[State]:
    """The state after each frame, by the step that defines the cell of `layer`; its first part is the output."""
    weights = layer.stored()
    step = lstm_1997_truncated_step if layer.options.truncated_gradient else layer.cell.step
    state = layer.start(x_BTF) if state is None else state
    states = []
    for x_BF in x_BTF.unbind(1):
        _, state = step(x_BF, state, weights)
        states.append(state)
    return states


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


# How torch stacks gates, and how `encoders.steps` and `encoders.gru_recurrence` do.
TORCH_GATES = {"LSTM": "ifgo", "GRU": "rzn", "RNN": "h"}
OWN_GATES = {"LSTM": "oifg", "GRU": "rzn", "RNN": "h"}


def _reorder(value: Tensor, order: list[int]) -> Tensor:
    gates = value.chunk(len(order))
    return torch.cat([gates[k] for k in order])
