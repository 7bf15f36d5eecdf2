"""The LSTM family through time and back, without a tape of each step: fast where torch has no kernel.

The steps are done in one of the ways that `encoders.steps` names; when the errors of the net inputs are there, the
gradients of the weights are one product each. Gates are stacked and shapes are named as there.
"""

from __future__ import annotations

from importlib.util import find_spec

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from encoders.steps import LstmForm, LstmWeights, Steps, products_of
from encoders.torch_steps import TorchSteps


def run_lstm(form: LstmForm, x_DTBF: Tensor, h_DBP: Tensor, c_DBH: Tensor, w: LstmWeights) -> tuple[Tensor, Tensor]:
    """Outputs (D,T,B,P) and cells (D,T,B,H) from the states (h, c); differentiable once, in every argument.

    Under autocast the products over all frames are in the type that it names, for they are most of the work. Those of
    the steps are so, too, and the outputs, where a processor has compiled steps for it; else they stay in the type of
    the weights. Cells, sums and everything else are in that anyhow, since their errors of rounding would add up.
    """
    dtype, device = w.R_DGP.dtype, x_DTBF.device.type
    products = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else dtype
    if w.W_DGF is not None and products != dtype:
        nets_DNG = torch.bmm(x_DTBF.flatten(1, 2).to(products), w.W_DGF.mT.to(products))
        x_DTBF, w = nets_DNG.unflatten(1, x_DTBF.shape[1:3]), w._replace(W_DGF=None)
    with torch.autocast(device, enabled=False):
        x_DTBF = x_DTBF.to(steps_of(form, w, products).dtype)
        return _LstmThroughTime.apply(form, products, x_DTBF, h_DBP.to(dtype), c_DBH.to(dtype), *w)


class _LstmThroughTime(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, form: LstmForm, products: torch.dtype, x_DTBF, h_DBP, c_DBH, *weights):
        w = LstmWeights(*weights)
        directions, steps, batch = x_DTBF.shape[:3]
        y_DSBP = x_DTBF.new_empty(directions, steps + 1, batch, h_DBP.shape[-1])
        c_DSBH = c_DBH.new_empty(directions, steps + 1, batch, c_DBH.shape[-1])
        y_DSBP[:, 0], c_DSBH[:, 0] = h_DBP, c_DBH
        kept = steps_of(form, w, products).forward(x_DTBF, y_DSBP, c_DSBH)
        ctx.form, ctx.products = form, products
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(None if w.W_DGF is None else x_DTBF, y_DSBP, c_DSBH, *weights, *kept)
        return y_DSBP[:, 1:], c_DSBH[:, 1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, dy_DTBP: Tensor | None, dc_DTBH: Tensor | None):
        x_DTBF, y_DSBP, c_DSBH, *others = ctx.saved_tensors
        count = len(LstmWeights._fields)
        w, kept = LstmWeights(*others[:count]), others[count:]
        dy_DTBP = torch.zeros_like(y_DSBP[:, 1:]) if dy_DTBP is None else dy_DTBP
        with torch.autocast(y_DSBP.device.type, enabled=False):
            errors = steps_of(ctx.form, w, ctx.products).back(
                kept, y_DSBP, c_DSBH, dy_DTBP, dc_DTBH, to_x=ctx.needs_input_grad[2]
            )
            gradients = dict.fromkeys(w._fields) | errors.gradients
            gradients["R_DGP"] = products_of(errors.past_DTBG, y_DSBP[:, :-1], ctx.products)
            if w.W_DGF is not None:
                gradients["W_DGF"] = products_of(errors.net_DTBG, x_DTBF)
        dx_DTBF = errors.x_DTBF if ctx.needs_input_grad[2] else None
        return None, None, dx_DTBF, errors.h_DBP, errors.c_DBH, *gradients.values()


def steps_of(form: LstmForm, w: LstmWeights, products: torch.dtype) -> Steps:
    """The fastest way that does it: the compiled ones in single precision, neither for layer normalisation.

    Imported when they are needed, for what they rest on takes a second, and Triton is there with a GPU alone.
    """
    single = w.R_DGP.dtype == torch.float32 and w.gain_DG is None and w.gain_DH is None
    if single and w.R_DGP.device.type == "cpu":
        from encoders.compiled_steps import CompiledSteps, type_of

        return CompiledSteps(form, w, type_of(w, products))
    if single and w.R_DGP.is_cuda and w.projection_DPH is None and find_spec("triton"):
        from encoders.fused_steps import FusedSteps

        return FusedSteps(form, w)
    return TorchSteps(form, w)
