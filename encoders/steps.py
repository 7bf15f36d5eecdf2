"""What the ways of computing an LSTM's steps share: what they are given, and what they say of the way back.

There are three: `encoders.compiled_steps` for processors, `encoders.fused_steps` for GPUs, and `encoders.torch_steps`,
operations of torch, for everything that these two leave out. `encoders.recurrence` chooses.

Gates are stacked o, i, f, g here (o, i, g where f is not a gate of its own): what is squashed alike is adjacent, and so
is what the error of the cell reaches. Shapes besides the usual ones: D directions that run at once, G gates times H,
P size of an output (H, but for a projection), S = T + 1 states, the first before the first step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class LstmForm(NamedTuple):
    """Which member of the family: see `encoders.cells.Cell`. `truncated` is the 1997 paper's gradient."""

    past: str
    peepholes: bool = False
    truncated: bool = False


class LstmWeights(NamedTuple):
    """Weights of D directions; none where the member lacks them.

    Attributes:
        W_DGF: Input weights; none where `x` holds W x already.
        b_DG: Biases; none where `x` holds them, too.
        R_DGP: Recurrent weights.
        peepholes_DKH: Of o, i and f (o, i with coupled gates).
        projection_DPH: Projection of outputs.
        gain_DG: Layer normalisation of R h.
        gain_DH: Layer normalisation of the cell, with `bias_DH`.
    """

    W_DGF: Tensor | None
    b_DG: Tensor | None
    R_DGP: Tensor
    peepholes_DKH: Tensor | None = None
    projection_DPH: Tensor | None = None
    gain_DG: Tensor | None = None
    gain_DH: Tensor | None = None
    bias_DH: Tensor | None = None


class Errors(NamedTuple):
    """What a loss says of the steps, gone back through all of them.

    Attributes:
        x_DTBF: Errors of what the layers read; anything if it was not asked for.
        net_DTBG: Errors of the net inputs.
        past_DTBG: Those of R h, other than these where it is normalised.
        h_DBP: Of the first state.
        c_DBH: Likewise.
        gradients: Of the weights but W and R, by their names in `LstmWeights`.
    """

    x_DTBF: Tensor
    net_DTBG: Tensor
    past_DTBG: Tensor
    h_DBP: Tensor
    c_DBH: Tensor
    gradients: dict[str, Tensor]


class Steps(Protocol):
    """The steps of layers with certain weights, in single precision or double.

    Attributes:
        dtype: Of x, outputs, and the errors of these and of net inputs; it may be shorter than that of all else.
    """

    dtype: torch.dtype

    def forward(self, x_DTBF: Tensor, y_DSBP: Tensor, c_DSBH: Tensor) -> tuple[Tensor, ...]:
        """Fill outputs and cells after the first state.

        Args:
            x_DTBF: What the layers read; without input weights W x of it.
            y_DSBP: Outputs; the first is given.
            c_DSBH: Cells; the first is given.

        Returns:
            What `back` needs to be given besides these two.
        """

    def back(
        self,
        kept: Sequence[Tensor],
        y_DSBP: Tensor,
        c_DSBH: Tensor,
        dy_DTBP: Tensor,
        dc_DTBH: Tensor | None,
        *,
        to_x: bool,
    ) -> Errors:
        """Go back from the errors of outputs and, if any, of cells; to `x` if asked to. What is given stays."""


def net_inputs(x_DTBF: Tensor, w: LstmWeights) -> Tensor:
    """W x + b of all frames (D,T,B,G), one product for each direction; without W, x is W x already."""
    if w.W_DGF is None:
        nets_DTBG = x_DTBF.clone(memory_format=torch.contiguous_format)
        return nets_DTBG if w.b_DG is None else nets_DTBG.add_(w.b_DG[:, None, None])
    nets_DTBG = x_DTBF.new_empty(*x_DTBF.shape[:3], w.W_DGF.shape[1])
    for nets, x_TBF, W_GF, b_G in zip(nets_DTBG, x_DTBF, w.W_DGF, w.b_DG, strict=True):
        torch.addmm(b_G, x_TBF.flatten(0, 1), W_GF.t(), out=nets.view(-1, nets.shape[-1]))
    return nets_DTBG


def errors_of_inputs(net_DTBG: Tensor, w: LstmWeights) -> Tensor:
    """The errors of x from those of the net inputs."""
    return net_DTBG if w.W_DGF is None else net_DTBG @ w.W_DGF[:, None]


def products_of(errors_DTBG: Tensor, came_from_DTBF: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """The gradient of a matrix (D,G,F): errors times what they came from, summed over steps and items.

    With a `dtype` they are multiplied in that; the gradient has the type of the errors.
    """
    dtype = dtype or errors_DTBG.dtype
    pairs = zip(errors_DTBG.to(dtype), came_from_DTBF.to(dtype), strict=True)
    gradients = [errors.flatten(0, 1).t() @ source.flatten(0, 1) for errors, source in pairs]
    return torch.stack(gradients).to(errors_DTBG.dtype)
