"""The GRU of 2014 through time and back, in the manner of `encoders.recurrence`: torch has a kernel for cuDNN's alone.

With the gates r, z, n after their squashing and dh the error of h' = n + z * (h - n), the errors of net inputs are

    of n: dh * K_n, K_n = (1 - z) (1 - n^2)    of z: dh * K_z, K_z = (h - n) z (1 - z)
    of r: (R_n^T dn) * K_r, K_r = h r (1 - r)  and of h: dh * z + (R_n^T dn) * r + R_rz^T (dr, dz)

Gates are stacked r, z, n here: the two that see h itself are adjacent, and so are the two that dh reaches.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable


def run_gru(x_TBF: Tensor, h_BH: Tensor, W_GF: Tensor, b_G: Tensor, R_GH: Tensor) -> Tensor:
    """Outputs (T,B,H) from the state h; G = 3H. Differentiable once, in every argument."""
    with torch.autocast(x_TBF.device.type, enabled=False):
        return _GruThroughTime.apply(x_TBF.to(R_GH.dtype), h_BH.to(R_GH.dtype), W_GF, b_G, R_GH)


class _GruThroughTime(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x_TBF: Tensor, h_BH: Tensor, W_GF: Tensor, b_G: Tensor, R_GH: Tensor) -> Tensor:
        gates_TBG = torch.nn.functional.linear(x_TBF, W_GF, b_G)
        hidden = h_BH.shape[1]
        y_SBH = x_TBF.new_empty(len(x_TBF) + 1, *h_BH.shape)
        y_SBH[0] = h_BH
        R_to_rz, R_to_n = R_GH[: 2 * hidden].t().contiguous(), R_GH[2 * hidden :].t().contiguous()
        rzs, ns = gates_TBG[..., : 2 * hidden].unbind(0), gates_TBG[..., 2 * hidden :].unbind(0)
        rs, zs = gates_TBG[..., :hidden].unbind(0), gates_TBG[..., hidden : 2 * hidden].unbind(0)
        ys, reset_BH = y_SBH.unbind(0), torch.empty_like(y_SBH[0])
        for t in range(len(x_TBF)):
            h = ys[t]
            rzs[t].addmm_(h, R_to_rz).sigmoid_()
            torch.mul(rs[t], h, out=reset_BH)
            ns[t].addmm_(reset_BH, R_to_n).tanh_()
            torch.lerp(ns[t], h, zs[t], out=ys[t + 1])
        ctx.save_for_backward(x_TBF, gates_TBG, y_SBH, W_GF, R_GH)
        return y_SBH[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, dy_TBH: Tensor):
        with torch.autocast(dy_TBH.device.type, enabled=False):
            return _through_time_back(ctx, dy_TBH)


def _through_time_back(ctx: FunctionCtx, dy_TBH: Tensor) -> tuple[Tensor | None, ...]:
    """Errors of x and of the first state, and gradients of the weights."""
    x_TBF, gates_TBG, y_SBH, W_GF, R_GH = ctx.saved_tensors
    hidden = y_SBH.shape[-1]
    r, z, n = gates_TBG.chunk(3, dim=-1)
    past = y_SBH[:-1]
    K = torch.empty_like(gates_TBG)
    K_r, K_z, K_n = K.chunk(3, dim=-1)
    rz, K_rz = gates_TBG[..., : 2 * hidden], K[..., : 2 * hidden]
    torch.addcmul(rz, rz, rz, value=-1, out=K_rz)
    K_r.mul_(past)
    K_z.mul_(past - n)
    torch.mul(n, n, out=K_n)
    K_n.sub_(1).mul_(z - 1)
    R_rz, R_n = R_GH[: 2 * hidden].contiguous(), R_GH[2 * hidden :].contiguous()
    dh, d_reset = torch.zeros_like(past[0]), torch.empty_like(past[0])
    rzs, rs, ns = K_rz.unbind(0), K_r.unbind(0), K_n.unbind(0)
    zns = K[..., hidden:].unflatten(-1, (2, hidden)).unbind(0)
    keep, reset, dys = z.unbind(0), r.unbind(0), dy_TBH.unbind(0)
    for t in range(len(x_TBF) - 1, -1, -1):
        dh.add_(dys[t])
        zns[t].mul_(dh.unsqueeze(1))
        torch.mm(ns[t], R_n, out=d_reset)
        rs[t].mul_(d_reset)
        dh.mul_(keep[t]).addcmul_(d_reset, reset[t]).addmm_(rzs[t], R_rz)
    errors_NG = K.flatten(0, 1)
    dW, db = errors_NG.t() @ x_TBF.flatten(0, 1), errors_NG.sum(0)
    dR = torch.cat([
        K_rz.flatten(0, 1).t() @ past.flatten(0, 1),
        K_n.flatten(0, 1).t() @ (r * past).flatten(0, 1),
    ])  # fmt: skip
    dx_TBF = K @ W_GF if ctx.needs_input_grad[0] else None
    return dx_TBF, dh, dW, db, dR
