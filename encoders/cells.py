"""The LSTM family: one readable step for each member, with its equations and where they come from.

A step is the definition. It reads one frame of each item and a state, and says the next output and state; everything
faster (`encoders.layers`) is held against it. Weights come in the layout in which a model is stored, that of ONNX's
operators without their leading axis for directions (G is the number of gates times H, P the size of an output, which is
H but for a projection):

    W (G,F)   R (G,P)   B (2G): b_W, then b_R   P (3H): peepholes of i, o, f
    projection (P,H)    gain_W (G), gain_R (G), gain_c (H), bias_c (H): layer normalisation

Gates are stacked in ONNX's order: i, o, f, g for an LSTM (without f where there is none of its own), z, r, n for a GRU.
A state is (h, c) for an LSTM and (h,) for a GRU and an RNN. `*` is elementwise, sigma the logistic function.

Layer normalisation (Ba et al. 2016, equations 20 to 31) takes LN(W x) and LN(R h) in the place of the products W x and
R h, each over all gates of an item together and scaled by its gain, and in an LSTM tanh(LN(c')) in the place of
tanh(c'). The biases of the two products are the ones that are there anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

State = tuple[Tensor, ...]
Weights = Mapping[str, Tensor]
NORM_EPSILON = 1e-5


def rnn_step(x_BF: Tensor, state: State, weights: Weights) -> tuple[Tensor, State]:
    """The plain recurrent network (Elman 1990).

    h' = tanh(W x + R h + b)
    """
    from_input, from_past = products(x_BF, state[0], weights)
    h = torch.tanh(from_input + from_past)
    return h, (h,)


def lstm_1997_step(x_BF: Tensor, state: State, weights: Weights) -> tuple[Tensor, State]:
    """The first LSTM (Hochreiter and Schmidhuber 1997): a cell that nothing fades, the constant error carousel.

        i = sigma(W_i x + R_i h + b_i)    o = sigma(W_o x + R_o h + b_o)    g = tanh(W_g x + R_g h + b_g)
        c' = c + i * g                    h' = o * tanh(c')

    The paper squashes the cell's input by 4 sigma - 2 and its output by 2 sigma - 1, which are 2 tanh(x / 2) and
    tanh(x / 2): tanh, but for scales that weights absorb, is what everybody takes since.
    """
    h, c = state
    from_input, from_past = products(x_BF, h, weights)
    i, o, g = (from_input + from_past).chunk(3, dim=-1)
    c = c + torch.sigmoid(i) * torch.tanh(g)
    return _output(torch.sigmoid(o), c, weights)


def lstm_1997_truncated_step(x_BF: Tensor, state: State, weights: Weights) -> tuple[Tensor, State]:
    """The same outputs with the 1997 paper's truncated gradient (its appendix A.1).

    Errors that arrive at the net inputs of the cell and its gates change the weights there and go down to x, and no
    further back in time: only the carousel c carries them. That is no gradient of any loss.
    """
    h, c = state
    return lstm_1997_step(x_BF, (h.detach(), c), weights)


def lstm_step(x_BF: Tensor, state: State, weights: Weights) -> tuple[Tensor, State]:
    """The LSTM with a forget gate (Gers, Schmidhuber and Cummins 2000), the one that everybody means today.

    i = sigma(W_i x + R_i h + b_i)    o = sigma(W_o x + R_o h + b_o)    f = sigma(W_f x + R_f h + b_f)
    g = tanh(W_g x + R_g h + b_g)     c' = f * c + i * g                h' = o * tanh(c')
    """
    h, c = state
    from_input, from_past = products(x_BF, h, weights)
    i, o, f, g = (from_input + from_past).chunk(4, dim=-1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return _output(torch.sigmoid(o), c, weights)


def peephole_step(x_BF: Tensor, state: State, weights: Weights) -> tuple[Tensor, State]:
    """The LSTM whose gates see its cells (Gers and Schmidhuber 2000), each gate its own cell's alone.

    i = sigma(W_i x + R_i h + p_i * c + b_i)    f = sigma(W_f x + R_f h + p_f * c + b_f)
    g = tanh(W_g x + R_g h + b_g)               c' = f * c + i * g
    o = sigma(W_o x + R_o h + p_o * c' + b_o)   h' = o * tanh(c')
    """
    h, c = state
    from_input, from_past = products(x_BF, h, weights)
    i, o, f, g = (from_input + from_past).chunk(4, dim=-1)
    p_i, p_o, p_f = weights["P"].chunk(3)
    c_next = torch.sigmoid(f + p_f * c) * c + torch.sigmoid(i + p_i * c) * torch.tanh(g)
    return _output(torch.sigmoid(o + p_o * c_next), c_next, weights)


def cifg_step(x_BF: Tensor, state: State, weights: Weights) -> tuple[Tensor, State]:
    """Coupled input and forget gates (CIFG; Greff et al. 2017): what comes in pushes out as much.

    i = sigma(W_i x + R_i h + b_i)    o = sigma(W_o x + R_o h + b_o)    g = tanh(W_g x + R_g h + b_g)
    c' = (1 - i) * c + i * g          h' = o * tanh(c')
    """
    h, c = state
    from_input, from_past = products(x_BF, h, weights)
    i, o, g = (from_input + from_past).chunk(3, dim=-1)
    i = torch.sigmoid(i)
    c = (1 - i) * c + i * torch.tanh(g)
    return _output(torch.sigmoid(o), c, weights)


def cifg_peephole_step(x_BF: Tensor, state: State, weights: Weights) -> tuple[Tensor, State]:
    """Coupled gates with peepholes: the CIFG that Greff et al. 2017 measured.

        i = sigma(W_i x + R_i h + p_i * c + b_i)    g = tanh(W_g x + R_g h + b_g)    c' = (1 - i) * c + i * g
        o = sigma(W_o x + R_o h + p_o * c' + b_o)   h' = o * tanh(c')

    `P` has no part for f: (2H), of i and o.
    """
    h, c = state
    from_input, from_past = products(x_BF, h, weights)
    i, o, g = (from_input + from_past).chunk(3, dim=-1)
    p_i, p_o = weights["P"].chunk(2)
    i = torch.sigmoid(i + p_i * c)
    c = (1 - i) * c + i * torch.tanh(g)
    return _output(torch.sigmoid(o + p_o * c), c, weights)


def gru_step(x_BF: Tensor, state: State, weights: Weights) -> tuple[Tensor, State]:
    """The gated recurrent unit as it was published (Cho et al. 2014): the past is reset before the product.

    z = sigma(W_z x + R_z h + b_z)    r = sigma(W_r x + R_r h + b_r)
    n = tanh(W_n x + R_n (r * h) + b_n)    h' = (1 - z) * n + z * h
    """
    (h,) = state
    from_input = x_BF @ weights["W"].T + weights["B"].chunk(2)[0]
    bias_R = weights["B"].chunk(2)[1]
    size = h.shape[-1]
    zr = torch.sigmoid((from_input + bias_R)[..., : 2 * size] + h @ weights["R"][: 2 * size].T)
    z, r = zr.chunk(2, dim=-1)
    n = torch.tanh((from_input + bias_R)[..., 2 * size :] + (r * h) @ weights["R"][2 * size :].T)
    h = (1 - z) * n + z * h
    return h, (h,)


def gru_cudnn_step(x_BF: Tensor, state: State, weights: Weights) -> tuple[Tensor, State]:
    """The unit that cuDNN and torch call GRU: the past is reset after the product, one product for all gates.

    z, r as in `gru_step`    n = tanh(W_n x + b_Wn + r * (R_n h + b_Rn))    h' = (1 - z) * n + z * h
    """
    (h,) = state
    from_input, from_past = products(x_BF, h, weights)
    z_input, r_input, n_input = from_input.chunk(3, dim=-1)
    z_past, r_past, n_past = from_past.chunk(3, dim=-1)
    z, r = torch.sigmoid(z_input + z_past), torch.sigmoid(r_input + r_past)
    n = torch.tanh(n_input + r * n_past)
    h = (1 - z) * n + z * h
    return h, (h,)


def products(x_BF: Tensor, h_BP: Tensor, weights: Weights) -> tuple[Tensor, Tensor]:
    """What frame and past state say to each gate: (B,G) each, biases included."""
    from_input, from_past = x_BF @ weights["W"].T, h_BP @ weights["R"].T
    if "gain_W" in weights:
        from_input = normalised(from_input) * weights["gain_W"]
        from_past = normalised(from_past) * weights["gain_R"]
    bias_W, bias_R = weights["B"].chunk(2)
    return from_input + bias_W, from_past + bias_R


def normalised(values_BG: Tensor) -> Tensor:
    """Each row less its mean, over its standard deviation."""
    return torch.nn.functional.layer_norm(values_BG, values_BG.shape[-1:], eps=NORM_EPSILON)


def _output(o: Tensor, c: Tensor, weights: Weights) -> tuple[Tensor, State]:
    """What an LSTM lets out: o * tanh(c), projected if it is (LSTMP; Sak, Senior and Beaufays 2014, h = W_p m)."""
    shown = normalised(c) * weights["gain_c"] + weights["bias_c"] if "gain_c" in weights else c
    h = o * torch.tanh(shown)
    if "projection" in weights:
        h = h @ weights["projection"].T
    return h, (h, c)


@dataclass(frozen=True)
class Cell:
    """What tells one member of the family from another.

    Attributes:
        step: Its definition.
        operator: ONNX's operator for it.
        gates: Its gates in the order in which they are stored.
        past: What an LSTM does to its cell before it adds: `kept` as it is, `forgotten` by a gate, `coupled` to the
            input gate; none for what has no cell.
        peepholes: Whether gates see the cell.
        projected: Whether outputs are projected.
        native: torch's class for it, if there is one.
        normalises: Whether layer normalisation is defined for it.
    """

    step: Callable[[Tensor, State, Weights], tuple[Tensor, State]]
    operator: str
    gates: str
    past: str | None = None
    peepholes: bool = False
    projected: bool = False
    native: type[torch.nn.RNNBase] | None = None
    normalises: bool = True


CELLS = {
    "rnn": Cell(rnn_step, "RNN", "h", native=torch.nn.RNN),
    "lstm_1997": Cell(lstm_1997_step, "LSTM", "iog", "kept"),
    "lstm": Cell(lstm_step, "LSTM", "iofg", "forgotten", native=torch.nn.LSTM),
    "peephole": Cell(peephole_step, "LSTM", "iofg", "forgotten", peepholes=True),
    "cifg": Cell(cifg_step, "LSTM", "iog", "coupled"),
    "cifg_peephole": Cell(cifg_peephole_step, "LSTM", "iog", "coupled", peepholes=True),
    "lstmp": Cell(lstm_step, "LSTM", "iofg", "forgotten", projected=True, native=torch.nn.LSTM),
    "gru": Cell(gru_step, "GRU", "zrn", normalises=False),
    "gru_cudnn": Cell(gru_cudnn_step, "GRU", "zrn", native=torch.nn.GRU),
}


@dataclass(frozen=True)
class CellOptions:
    """What may be chosen beside the cell.

    Args:
        layer_norm: Layer normalisation (Ba et al. 2016).
        forget_bias: Bias of the forget gate at the start (Gers et al. 2000; Jozefowicz et al. 2015). With coupled gates
            it is the input gate's, negative, which is the same.
        projection_size: Size of a projected output, less than `hidden_size`; 0 is half of it.
        truncated_gradient: The 1997 paper's gradient in the place of the true one.
    """

    layer_norm: bool = False
    forget_bias: float = 1.0
    projection_size: int = 0
    truncated_gradient: bool = False


def check(name: str, hidden_size: int, options: CellOptions) -> None:
    """Refuse a cell that there is not, and options that it does not have.

    Raises:
        ValueError: one line that names the setting.
    """
    if name not in CELLS:
        raise ValueError(f"encoder.cell is {name!r}; known cells: {', '.join(CELLS)}")
    cell = CELLS[name]
    if options.layer_norm and not cell.normalises:
        raise ValueError(f"encoder.layer_norm is not defined for cell {name}; gru_cudnn has it")
    if options.forget_bias != CellOptions.forget_bias and cell.past not in ("forgotten", "coupled"):
        raise ValueError(f"encoder.forget_bias is {options.forget_bias}, but cell {name} has no forget gate")
    if options.projection_size and not cell.projected:
        raise ValueError(f"encoder.projection_size is for cell lstmp, not for {name}")
    if cell.projected and not 0 <= options.projection_size < hidden_size:
        raise ValueError(f"encoder.projection_size is {options.projection_size}; it must be less than hidden_size")
    if cell.projected and hidden_size < 2:
        raise ValueError(
            "encoder.hidden_size must be at least 2 for cell lstmp, whose outputs are fewer than its cells"
        )
    if options.truncated_gradient and cell.past != "kept":
        raise ValueError(f"encoder.truncated_gradient is that of lstm_1997, not of {name}")
