"""The LSTM family through time and back, without a tape of each step: fast where torch has no kernel.

W x of many frames is one product; then come the steps, by `encoders.torch_steps` or, on a GPU, by
`encoders.fused_steps`; and when the errors of the gates are there, the gradients of all weights are one product each.
"Many" is all frames on a GPU, and on a CPU a block that stays in its caches.

Shapes besides the usual ones: D directions that run at once, G gates times H, P size of an output (H, but for a
projection), S = T + 1 states, the first before the first step.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from importlib.util import find_spec
from types import ModuleType

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from encoders.products import prepared
from encoders.torch_steps import Errors, Factors, LstmForm, LstmWeights, Normal, make_factors, steps_back, steps_forward

# Rows of a block on a CPU: enough for a product to run at full speed, few enough to stay in its caches.
ROWS = 512


def run_lstm(form: LstmForm, x_DTBF: Tensor, h_DBP: Tensor, c_DBH: Tensor, w: LstmWeights) -> tuple[Tensor, Tensor]:
    """Outputs (D,T,B,P) and the last cells (D,B,H) from the states (h, c); differentiable once, in every argument."""
    dtype = w.R_DGP.dtype
    with torch.autocast(x_DTBF.device.type, enabled=False):
        return _LstmThroughTime.apply(form, x_DTBF.to(dtype), h_DBP.to(dtype), c_DBH.to(dtype), *w)


class _LstmThroughTime(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, form: LstmForm, x_DTBF: Tensor, h_DBP: Tensor, c_DBH: Tensor, *weights):
        w = LstmWeights(*weights)
        directions, steps, batch = x_DTBF.shape[:3]
        y_DSBP = x_DTBF.new_empty(directions, steps + 1, batch, h_DBP.shape[-1])
        c_DSBH = x_DTBF.new_empty(directions, steps + 1, batch, c_DBH.shape[-1])
        y_DSBP[:, 0], c_DSBH[:, 0] = h_DBP, c_DBH
        normal = None if w.gain_DG is None else Normal.empty(x_DTBF)
        kept: list[Tensor] = []
        add_past = [prepared(R_GP, batch) for R_GP in w.R_DGP]
        kernels = fused_kernels(x_DTBF, w)
        for t in blocks(x_DTBF):
            if w.W_DGF is None:
                gates_DTBG = x_DTBF[:, t].clone(memory_format=torch.contiguous_format)
            else:
                gates_DTBG = net_inputs(x_DTBF[:, t], w.W_DGF, w.b_DG)
            states = slice(t.start, t.stop + 1)
            tanh_DTBH = torch.empty_like(c_DSBH[:, t], memory_format=torch.contiguous_format)
            here = normal and normal.at(t)
            y, c = y_DSBP[:, states], c_DSBH[:, states]
            if kernels is not None:
                kernels.steps_forward(form.past, gates_DTBG, tanh_DTBH, y, c, w.R_DGP, w.peepholes_DKH)
            else:
                steps_forward(form, w, add_past, gates_DTBG, tanh_DTBH, y, c, here)
            kept += [gates_DTBG, tanh_DTBH]
        ctx.form = form
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x_DTBF, y_DSBP, c_DSBH, *(normal or (None, None)), *weights, *kept)
        return y_DSBP[:, 1:], c_DSBH[:, -1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, dy_DTBP: Tensor | None, dc_DBH: Tensor | None):
        x_DTBF, y_DSBP, c_DSBH, values, rates, *weights = ctx.saved_tensors
        count = len(LstmWeights._fields)
        w, kept, form = LstmWeights(*weights[:count]), weights[count:], ctx.form
        normal = None if values is None else Normal(values, rates)
        dy_DTBP = torch.zeros_like(y_DSBP[:, 1:]) if dy_DTBP is None else dy_DTBP
        dc_DBH = torch.zeros_like(c_DSBH[:, 0]) if dc_DBH is None else dc_DBH.clone()
        dh_DBP = torch.zeros_like(y_DSBP[:, 0])
        add_errors = [prepared(R_GP.t(), x_DTBF.shape[2]) for R_GP in w.R_DGP]
        dx_DTBF = torch.empty_like(x_DTBF, memory_format=torch.contiguous_format)
        grads = LstmWeights(*(None if weight is None else torch.zeros_like(weight) for weight in w))
        kernels = fused_kernels(x_DTBF, w)
        for t in reversed(list(blocks(x_DTBF))):
            states = slice(t.start, t.stop + 1)
            y, c, here = y_DSBP[:, states], c_DSBH[:, states], normal and normal.at(t)
            tanh_DTBH, gates_DTBG = kept.pop(), kept.pop()
            factors = make_factors(form, w, gates_DTBG, tanh_DTBH, y, c)
            if kernels is not None:
                errors = fused_back(kernels, form, w, factors, dy_DTBP[:, t], dh_DBP, dc_DBH)
            else:
                errors = steps_back(form, w, add_errors, factors, dy_DTBP[:, t], dh_DBP, dc_DBH, here)
            dh_DBP = errors.h_DBP
            add_weight_gradients(grads, factors, errors, x_DTBF[:, t], y, c, here)
            if w.W_DGF is None:
                dx_DTBF[:, t] = errors.net_DTBG
            elif ctx.needs_input_grad[1]:
                for dx, net, W_GF in zip(dx_DTBF[:, t], errors.net_DTBG, w.W_DGF, strict=True):
                    torch.mm(net.flatten(0, 1), W_GF, out=dx.view(-1, dx.shape[-1]))
        return None, dx_DTBF, dh_DBP, dc_DBH, *grads


def fused_kernels(x: Tensor, w: LstmWeights) -> ModuleType | None:
    """`encoders.fused_steps` where it can do it: on a GPU, single precision, neither norm nor projection."""
    plain = w.gain_DG is None and w.gain_DH is None and w.projection_DPH is None
    if not (plain and x.is_cuda and x.dtype == torch.float32 and find_spec("triton")):
        return None
    return importlib.import_module("encoders.fused_steps")


def fused_back(
    kernels: ModuleType, form: LstmForm, w: LstmWeights, factors: Factors, dy: Tensor, dh_last: Tensor, dc: Tensor
) -> Errors:
    """What `encoders.torch_steps.steps_back` gives, by `encoders.fused_steps`."""
    K, parts = factors.K_DTBG, (factors.A_DTBH, factors.keep_DTBH, dy, dh_last, dc)
    kernels.steps_back(form.past, form.truncated, K, *parts, w.R_DGP, w.peepholes_DKH)
    first = torch.zeros_like(dh_last) if form.truncated else torch.bmm(K[:, 0], w.R_DGP)
    return Errors(K, K, None, first)


def blocks(x_DTBF: Tensor) -> Iterator[slice]:
    """Steps that are taken together, from the first to the last: as many as have ROWS items, or all on a GPU."""
    steps, batch = x_DTBF.shape[1:3]
    size = steps if x_DTBF.is_cuda else max(1, ROWS // max(batch, 1))
    for start in range(0, steps, size):
        yield slice(start, min(start + size, steps))


def net_inputs(x_DTBF: Tensor, W_DGF: Tensor, b_DG: Tensor) -> Tensor:
    """W x + b of all frames (D,T,B,G), one product for each direction."""
    nets_DTBG = x_DTBF.new_empty(*x_DTBF.shape[:3], W_DGF.shape[1])
    for nets, x_TBF, W_GF, b_G in zip(nets_DTBG, x_DTBF, W_DGF, b_DG, strict=True):
        torch.addmm(b_G, x_TBF.flatten(0, 1), W_GF.t(), out=nets.view(-1, nets.shape[-1]))
    return nets_DTBG


def add_weight_gradients(
    grads: LstmWeights,
    factors: Factors,
    errors: Errors,
    x_DTBF: Tensor,
    y_DSBP: Tensor,
    c_DSBH: Tensor,
    normal: Normal | None,
) -> None:
    """Add to the gradient of each weight: one product of all errors with what they came from."""
    if grads.W_DGF is not None:
        add_products(grads.W_DGF, errors.net_DTBG, x_DTBF)
        grads.b_DG.add_(errors.net_DTBG.sum((1, 2)))
    add_products(grads.R_DGP, errors.past_DTBG, y_DSBP[:, :-1])
    if grads.peepholes_DKH is not None:
        parts = errors.net_DTBG.unflatten(-1, (-1, c_DSBH.shape[-1])).unbind(3)
        seen = (c_DSBH[:, 1:], c_DSBH[:, :-1], c_DSBH[:, :-1])
        for grad, error, c in zip(grads.peepholes_DKH.unbind(1), parts, seen, strict=False):
            grad.add_((error * c).sum((1, 2)))
    if grads.projection_DPH is not None:
        add_products(grads.projection_DPH, errors.y_DTBP, factors.m_DTBH)
    if normal is not None:
        grads.gain_DG.add_((errors.net_DTBG * normal.values).sum((1, 2)))
    if factors.cell is not None:
        grads.gain_DH.add_((factors.A_DTBH * factors.cell.values).sum((1, 2)))
        grads.bias_DH.add_(factors.A_DTBH.sum((1, 2)))


def add_products(grads_DGF: Tensor, errors_DTBG: Tensor, came_from_DTBF: Tensor) -> None:
    """Add to gradients of weights: errors times what they came from, summed over steps and items."""
    for grad, error, source in zip(grads_DGF, errors_DTBG, came_from_DTBF, strict=True):
        grad.addmm_(error.flatten(0, 1).t(), source.flatten(0, 1))
