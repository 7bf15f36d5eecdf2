"""Steps of the LSTM family compiled for the processor: all steps of some items in one call.

At the sizes of speech a step is too short for a library: eight items of 320 cells are 0.1 ms of work, and calling a
dozen operations, between which threads wait for each other, takes as long again. In `encoders.compiled_kernels` the
loop over time is compiled with everything in it, and each thread goes through time alone, with one direction or some of
the items. The first use on a machine compiles for some seconds; the result is kept.

In single precision, without layer normalisation; with W and R, what they are multiplied with and their errors in
bfloat16 where that is asked for. Gates and shapes are those of `encoders.steps`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from encoders.compiled_kernels import PART, PASTS, back, forward
from encoders.compiled_products import BFLOAT16
from encoders.steps import Errors, LstmForm, LstmWeights, products_of
from encoders.threads import in_threads


class CompiledSteps:
    """The steps of layers with these weights; see `encoders.steps.Steps`."""

    def __init__(self, form: LstmForm, w: LstmWeights, dtype: torch.dtype = torch.float32):
        w = LstmWeights(*(weight if weight is None else weight.detach() for weight in w))
        W_DGF, R_DGP = (weight if weight is None else weight.to(dtype) for weight in (w.W_DGF, w.R_DGP))
        self._form, self._w, self.dtype = form, w._replace(W_DGF=W_DGF, R_DGP=R_DGP), dtype

    def forward(self, x_DTBF: Tensor, y_DSBP: Tensor, c_DSBH: Tensor) -> tuple[Tensor, ...]:
        of_gates = torch.float32 if self.dtype == torch.float32 else torch.int16
        gates_DTBG = torch.empty(*x_DTBF.shape[:3], self._w.R_DGP.shape[1], dtype=of_gates)
        parts = divided(*gates_DTBG.shape[::2])
        buffers = _arrays(x_DTBF.contiguous(), gates_DTBG, y_DSBP, c_DSBH)
        weights = self._weights()

        def run(part: Part) -> None:
            own = (array[part.direction] for array in (*buffers, *weights))
            forward(PASTS[self._form.past], *own, part.first, part.last)

        in_threads(run, parts)
        return (gates_DTBG,)

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
        (gates_DTBG,) = kept
        w, (directions, steps, batch) = self._w, gates_DTBG.shape[:3]
        net_DTBG = torch.empty_like(gates_DTBG, dtype=self.dtype)
        dh_DBP, dc_DBH = (torch.zeros_like(state[:, 0], dtype=torch.float32) for state in (y_DSBP, c_DSBH))
        dc_DTBH = c_DSBH.new_empty(directions, 0, 0, 0) if dc_DTBH is None else dc_DTBH.contiguous()
        through_inputs = to_x and w.W_DGF is not None
        dx_DTBF = c_DSBH.new_empty(directions, steps, batch, w.W_DGF.shape[2] if through_inputs else 0)
        # With a projection its gradient needs what later steps say of the outputs, too, which is added here.
        dy_DTBP = dy_DTBP.contiguous() if w.projection_DPH is None else dy_DTBP.clone()
        parts = divided(directions, batch)
        buffers = _arrays(gates_DTBG, net_DTBG, dx_DTBF, c_DSBH, dy_DTBP, dc_DTBH, dh_DBP, dc_DBH)
        W_DGF, b_DG, R_DGP, projection_DPH, peepholes_DKH = self._weights()
        for_b, for_peepholes = (
            [np.zeros_like(array[part.direction]) for part in parts] for array in (b_DG, peepholes_DKH)
        )

        def run(part: Part) -> None:
            own = (array[part.direction] for array in (*buffers, W_DGF, R_DGP, projection_DPH, peepholes_DKH))
            sums = for_b[part.index], for_peepholes[part.index]
            back(PASTS[self._form.past], self._form.truncated, *own, *sums, part.first, part.last)

        in_threads(run, parts)
        gradients = {}
        if w.b_DG is not None:
            gradients["b_DG"] = _of_directions(for_b, parts, b_DG)
        if w.peepholes_DKH is not None:
            gradients["peepholes_DKH"] = _of_directions(for_peepholes, parts, peepholes_DKH)
        if w.projection_DPH is not None:
            o_DTBH = gates_DTBG[..., : c_DSBH.shape[-1]]
            o_DTBH = o_DTBH if o_DTBH.is_floating_point() else o_DTBH * float(PART)
            m_DTBH = o_DTBH * torch.tanh(c_DSBH[:, 1:])
            gradients["projection_DPH"] = products_of(dy_DTBP, m_DTBH)
        return Errors(dx_DTBF if through_inputs else net_DTBG, net_DTBG, net_DTBG, dh_DBP, dc_DBH, gradients)

    def _weights(self) -> list[np.ndarray]:
        """W, b, R, the projection and the peepholes of all directions; without rows where they are not there."""
        w, none_D00 = self._w, torch.empty(len(self._w.R_DGP), 0, 0)
        pairs = (
            (w.W_DGF, none_D00.to(self.dtype)),
            (w.b_DG, none_D00.flatten(1)),
            (w.R_DGP, None),
            (w.projection_DPH, none_D00),
            (w.peepholes_DKH, none_D00),
        )
        return _arrays(*(none if weights is None else weights.contiguous() for weights, none in pairs))


def _arrays(*tensors: Tensor) -> list[np.ndarray]:
    """Numbers in bfloat16 as their bits, for NumPy has no such type."""
    tensors = (tensor.detach() for tensor in tensors)
    return [(one.view(torch.uint16) if one.dtype == torch.bfloat16 else one).numpy() for one in tensors]


def type_of(w: LstmWeights, products: torch.dtype) -> torch.dtype:
    """What R h is multiplied in where products are to be in `products`: in that, if the processor is quicker with it.

    Odd sizes, of which there are no pairs, stay in single precision.
    """
    even = all(size % 2 == 0 for size in w.R_DGP.shape[1:])
    return products if products == torch.bfloat16 and BFLOAT16 and even else torch.float32


class Part(NamedTuple):
    """What one thread does: the items `first` to `last` of a direction."""

    index: int
    direction: int
    first: int
    last: int


def divided(directions: int, batch: int) -> list[Part]:
    """Parts for as many threads as torch uses, in one turn: directions first, then items, in pairs for the products."""
    size = -(-batch // max(1, torch.get_num_threads() // directions))
    size = max(2, size + size % 2)
    ranges = [(d, first, min(first + size, batch)) for first in range(0, batch, size) for d in range(directions)]
    return [Part(index, *where) for index, where in enumerate(ranges)]


def _of_directions(sums: list[np.ndarray], parts: list[Part], like: np.ndarray) -> Tensor:
    """The sums over all parts of each direction, in the shape of `like`."""
    totals = np.zeros_like(like)
    for part in parts:
        totals[part.direction] += sums[part.index]
    return torch.from_numpy(totals)
