"""Steps of the LSTM family in torch, forward and back, for many steps and both directions at once.

A step forward works in place on slices of the buffer that holds W x of all frames. Going back, everything that does
not depend on a later step is computed for many steps at once: with the gates o, i, f, g after their squashing,
m = o * tanh(c) and dm, dc the errors of m and c, the errors of the gates' net inputs are

    of o: dm * K_o, K_o = tanh(c) o (1 - o)         dc += dm * A, A = o (1 - tanh(c)^2)
    of i: dc * K_i, K_i = g i (1 - i)               (coupled gates: g - c_past in the place of g)
    of f: dc * K_f, K_f = c_past f (1 - f)          of g: dc * K_g, K_g = i (1 - g^2)

so that a step back is one product and a few multiplications.

Gates and shapes are those of `encoders.steps`. Both directions of a layer go through time together: what is small is
done for both at once, since most of its cost is that of asking for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from encoders.cells import NORM_EPSILON
from encoders.steps import Errors, LstmForm, LstmWeights, errors_of_inputs, net_inputs, products_of


class TorchSteps:
    """The steps of layers with these weights; see `encoders.steps.Steps`."""

    def __init__(self, form: LstmForm, w: LstmWeights):
        self._form, self._w, self.dtype = form, w, w.R_DGP.dtype

    def forward(self, x_DTBF: Tensor, y_DSBP: Tensor, c_DSBH: Tensor) -> tuple[Tensor, ...]:
        nets_DTBG = net_inputs(x_DTBF, self._w)
        tanh_DTBH = torch.empty_like(c_DSBH[:, 1:], memory_format=torch.contiguous_format)
        normal = None if self._w.gain_DG is None else Normal.empty(nets_DTBG)
        steps_forward(self._form, self._w, nets_DTBG, tanh_DTBH, y_DSBP, c_DSBH, normal)
        return nets_DTBG, tanh_DTBH, *(normal or ())

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
        gates_DTBG, tanh_DTBH, *normalised = kept
        normal = Normal(*normalised) if normalised else None
        factors = make_factors(self._form, self._w, gates_DTBG, tanh_DTBH, y_DSBP, c_DSBH)
        errors, dy_DTBP = steps_back(self._form, self._w, factors, dy_DTBP, dc_DTBH, normal)
        errors.gradients.update(gradients_of(self._w, factors, errors, dy_DTBP, c_DSBH, normal))
        return errors._replace(x_DTBF=errors_of_inputs(errors.net_DTBG, self._w)) if to_x else errors


class Normal(NamedTuple):
    """Normalised rows, and one over the standard deviation of each: (..., G or H) and (..., 1)."""

    values: Tensor
    rates: Tensor

    @staticmethod
    def empty(like: Tensor) -> Normal:
        return Normal(torch.empty_like(like), like.new_empty(*like.shape[:-1], 1))

    def fill(self, rows: Tensor) -> Normal:
        values, _, rates = torch.native_layer_norm(rows, rows.shape[-1:], None, None, NORM_EPSILON)
        self.values.copy_(values)
        self.rates.copy_(rates)
        return self

    def back(self, errors: Tensor) -> Tensor:
        """Errors of the rows from those of their normalised form."""
        along = (errors * self.values).mean(-1, keepdim=True)
        return (errors - errors.mean(-1, keepdim=True) - self.values * along) * self.rates

    def at(self, t: int | slice) -> Normal:
        return Normal(self.values[:, t], self.rates[:, t])


class _Gates:
    """Named parts of a buffer (D,T,B,G), and of each step of it.

    Views are made once for all steps: in a loop of Python, making one costs as much as using it.
    """

    def __init__(self, buffer_DTBG: Tensor, form: LstmForm, hidden: int):
        self._buffer, self._hidden = buffer_DTBG, hidden
        self.count = buffer_DTBG.shape[-1] // hidden
        self.squashed = self.count - 1  # those of the sigmoid; the last is tanh's
        self.o, self.i, self.g = self.part(0), self.part(1), self.part(self.squashed)
        self.f = self.part(2) if form.past == "forgotten" else None

    def part(self, first: int, count: int = 1) -> Tensor:
        return self._buffer[..., first * self._hidden : (first + count) * self._hidden]

    def parts(self, first: int, count: int) -> Tensor:
        """Adjacent gates on an axis of their own: (D,T,B,count,H)."""
        return self.part(first, count).unflatten(-1, (count, self._hidden))


def steps_forward(
    form: LstmForm,
    w: LstmWeights,
    gates_DTBG: Tensor,
    tanh_DTBH: Tensor,
    y_DSBP: Tensor,
    c_DSBH: Tensor,
    normal: Normal | None,
) -> None:
    """Fill outputs, cells and their tanh, and turn the net inputs in `gates_DTBG` into gates, in place."""
    gates = _Gates(gates_DTBG, form, c_DSBH.shape[-1])
    rows, o, i, g = (part.unbind(1) for part in (gates_DTBG, gates.o, gates.i, gates.g))
    f = gates.f.unbind(1) if gates.f is not None else None
    sigmoids, seeing = gates.part(0, gates.squashed).unbind(1), gates.parts(1, gates.squashed - 1).unbind(1)
    entering = gates.part(1, gates.squashed - 1).unbind(1)
    y, c = y_DSBP.unbind(1), c_DSBH.unbind(1)
    past = [direction.unbind(0) for direction in y_DSBP]
    nets = [direction.unbind(0) for direction in gates_DTBG]
    directions = list(zip(w.R_DGP.transpose(1, 2), nets, past, strict=True))
    if form.peepholes:
        p_o, p_seeing = w.peepholes_DKH[:, None, 0], w.peepholes_DKH[:, None, 1:]
    tanhs = tanh_DTBH.unbind(1)
    for t, row in enumerate(rows):
        c_next = c[t + 1]
        if normal is None:
            for R_PG, net, h in directions:
                net[t].addmm_(h[t], R_PG)
        else:
            seen = normal.at(t).fill(torch.bmm(y[t], w.R_DGP.transpose(1, 2)))
            row.addcmul_(seen.values, w.gain_DG[:, None])
        if form.peepholes:
            seeing[t].addcmul_(c[t].unsqueeze(2), p_seeing)
            entering[t].sigmoid_()
        else:
            sigmoids[t].sigmoid_()
        g[t].tanh_()
        if form.past == "coupled":
            torch.lerp(c[t], g[t], i[t], out=c_next)
        elif form.past == "kept":
            torch.addcmul(c[t], i[t], g[t], out=c_next)
        else:
            torch.mul(c[t], f[t], out=c_next)
            c_next.addcmul_(i[t], g[t])
        if form.peepholes:
            o[t].addcmul_(c_next, p_o).sigmoid_()
        torch.tanh(_shown(c_next, w), out=tanhs[t])
        if w.projection_DPH is None:
            torch.mul(o[t], tanhs[t], out=y[t + 1])
        else:
            y[t + 1].copy_(torch.bmm(o[t] * tanhs[t], w.projection_DPH.transpose(1, 2)))


def _shown(c_DBH: Tensor, w: LstmWeights) -> Tensor:
    """The cell as the output gate lets it out: itself, or normalised."""
    if w.gain_DH is None:
        return c_DBH
    normal = nn.functional.layer_norm(c_DBH, c_DBH.shape[-1:], eps=NORM_EPSILON)
    return torch.addcmul(w.bias_DH[:, None], normal, w.gain_DH[:, None])


class Factors(NamedTuple):
    """What a step back multiplies by.

    Attributes:
        K_DTBG: K of the gates.
        A_DTBH: What dc gets of dm.
        keep_DTBH: What the cell keeps of its past; none is everything.
        m_DTBH: The outputs before their projection.
        cell: The normalised cell, with layer normalisation.
    """

    K_DTBG: Tensor
    A_DTBH: Tensor
    keep_DTBH: Tensor | None
    m_DTBH: Tensor
    cell: Normal | None


def make_factors(
    form: LstmForm, w: LstmWeights, gates_DTBG: Tensor, tanh_DTBH: Tensor, y_DSBP: Tensor, c_DSBH: Tensor
) -> Factors:
    """Everything that no later step has a say in, for all steps at once."""
    hidden = c_DSBH.shape[-1]
    c_past, c = c_DSBH[:, :-1], c_DSBH[:, 1:]
    cell = None if w.gain_DH is None else Normal.empty(c).fill(c)
    K_DTBG = torch.empty_like(gates_DTBG)
    gates, K = _Gates(gates_DTBG, form, hidden), _Gates(K_DTBG, form, hidden)
    sigmoids = gates.part(0, gates.squashed)
    torch.addcmul(sigmoids, sigmoids, sigmoids, value=-1, out=K.part(0, gates.squashed))
    K.o.mul_(tanh_DTBH)
    if form.past == "coupled":
        torch.sub(gates.g, c_past, out=K.g)  # a place to work in
        K.i.mul_(K.g)
        keep = 1 - gates.i
    else:
        K.i.mul_(gates.g)
        keep = gates.f
        if gates.f is not None:
            K.f.mul_(c_past)
    torch.mul(gates.i, gates.g, out=K.g)
    torch.addcmul(gates.i, K.g, gates.g, value=-1, out=K.g)
    m_DTBH = y_DSBP[:, 1:] if w.projection_DPH is None else gates.o * tanh_DTBH
    A_DTBH = torch.addcmul(gates.o, m_DTBH, tanh_DTBH, value=-1)
    return Factors(K_DTBG, A_DTBH, keep, m_DTBH, cell)


def steps_back(
    form: LstmForm,
    w: LstmWeights,
    factors: Factors,
    dy_DTBP: Tensor,
    dc_DTBH: Tensor | None,
    normal: Normal | None,
) -> tuple[Errors, Tensor]:
    """Turn K into the errors of the gates' net inputs, in place, from the last step to the first.

    The second result are the errors of the outputs,
    of what a later step says too, where there is a projection; else `dy_DTBP`.
    """
    net_DTBG, dc = factors.K_DTBG, torch.zeros_like(factors.A_DTBH[:, 0])
    K = _Gates(net_DTBG, form, dc.shape[-1])
    rows, A, dys = (buffer.unbind(1) for buffer in (net_DTBG, factors.A_DTBH, dy_DTBP))
    o, i, inner = (part.unbind(1) for part in (K.o, K.i, K.parts(1, K.count - 1)))
    f = K.f.unbind(1) if K.f is not None else None
    keep = None if factors.keep_DTBH is None else factors.keep_DTBH.unbind(1)
    past_DTBG = net_DTBG if normal is None else torch.empty_like(net_DTBG)
    later = [direction.unbind(0) for direction in past_DTBG]
    given = [direction.unbind(0) for direction in dy_DTBP]
    p = None if w.peepholes_DKH is None else w.peepholes_DKH.unsqueeze(2).unbind(1)
    dh_DBP = torch.empty_like(dys[0], memory_format=torch.contiguous_format)
    whole_DTBP, dm = dy_DTBP, dh_DBP
    if w.projection_DPH is not None:
        whole_DTBP, dm = torch.empty_like(dy_DTBP, memory_format=torch.contiguous_format), torch.empty_like(dc)
    dc_DB1H = dc.unsqueeze(2)
    directions = list(zip(w.R_DGP, dh_DBP, given, later, strict=True))
    last = len(rows) - 1
    for t in range(last, -1, -1):
        if t == last or form.truncated:
            dh_DBP.copy_(dys[t])
        else:
            for R_GP, dh, dy, net in directions:
                torch.addmm(dy[t], net[t + 1], R_GP, out=dh)
        if w.projection_DPH is not None:
            whole_DTBP[:, t] = dh_DBP
            torch.bmm(dh_DBP, w.projection_DPH, out=dm)
        if dc_DTBH is not None:
            dc.add_(dc_DTBH[:, t])
        o[t].mul_(dm)
        if factors.cell is None:
            dc.addcmul_(dm, A[t])
        else:
            dc.add_(factors.cell.at(t).back(A[t].mul_(dm) * w.gain_DH[:, None]))
        if p is not None:
            dc.addcmul_(o[t], p[0])
        inner[t].mul_(dc_DB1H)
        if keep is not None:
            dc.mul_(keep[t])
        if p is not None:
            dc.addcmul_(i[t], p[1])
            if f is not None:
                dc.addcmul_(f[t], p[2])
        if normal is not None:
            past_DTBG[:, t] = normal.at(t).back(rows[t] * w.gain_DG[:, None])
    first = torch.zeros_like(dh_DBP) if form.truncated else torch.bmm(past_DTBG[:, 0], w.R_DGP)
    return Errors(net_DTBG, net_DTBG, past_DTBG, first, dc, {}), whole_DTBP


def gradients_of(
    w: LstmWeights, factors: Factors, errors: Errors, dy_DTBP: Tensor, c_DSBH: Tensor, normal: Normal | None
) -> dict[str, Tensor]:
    """Gradients of the weights but W and R, by their names."""
    found = {}
    if w.b_DG is not None:
        found["b_DG"] = errors.net_DTBG.sum((1, 2))
    if w.peepholes_DKH is not None:
        parts = errors.net_DTBG.unflatten(-1, (-1, c_DSBH.shape[-1])).unbind(3)
        seen = (c_DSBH[:, 1:], c_DSBH[:, :-1], c_DSBH[:, :-1])
        sums = [(error * c).sum((1, 2)) for error, c in zip(parts[:-1], seen, strict=False)]
        found["peepholes_DKH"] = torch.stack(sums, dim=1)
    if w.projection_DPH is not None:
        found["projection_DPH"] = products_of(dy_DTBP, factors.m_DTBH)
    if normal is not None:
        found["gain_DG"] = (errors.net_DTBG * normal.values).sum((1, 2))
    if factors.cell is not None:
        found["gain_DH"] = (factors.A_DTBH * factors.cell.values).sum((1, 2))
        found["bias_DH"] = factors.A_DTBH.sum((1, 2))
    return found
