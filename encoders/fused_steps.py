"""Steps of an LSTM as one Triton kernel each, for a GPU: product, gates, cell and output of all items and directions.

What `encoders.torch_steps` does in a dozen launches a step is one here, since on a GPU the launches are what a
recurrence waits for. A program holds a tile of items and units and computes all gates of it, so that nothing of a step
leaves the chip but its results; the end of a launch is what keeps one step from running ahead of another. Peepholes,
coupled gates and the carousel of 1997 are compiled in or out.

tanh(x) is 2 sigma(2x) - 1 here, right to 1e-7 and not to the last bit. Products are in IEEE single precision unless
torch is allowed TF32 (`torch.backends.cuda.matmul.allow_tf32`). Layer normalisation, projections and double precision
stay with the torch form.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from encoders.steps import Errors, LstmForm, LstmWeights, errors_of_inputs, net_inputs
from encoders.torch_steps import gradients_of, make_factors


@triton.jit
def _step_forward(
    net, tanh, y, c, R, P, t, B, steps, H: tl.constexpr,
    PAST: tl.constexpr, PEEPHOLES: tl.constexpr, PRECISION: tl.constexpr,
    TILE_B: tl.constexpr, TILE_H: tl.constexpr, TILE_K: tl.constexpr,
):  # fmt: skip
    """Step t: net (D,T,B,G), tanh (D,T,B,H), y and c (D,T+1,B,H), R (D,G,H), P (D,K,H)."""
    GATES: tl.constexpr = 4 if PAST == "forgotten" else 3
    d = tl.program_id(2).to(tl.int64)
    item = tl.program_id(0) * TILE_B + tl.arange(0, TILE_B)
    unit = tl.program_id(1) * TILE_H + tl.arange(0, TILE_H)
    inside = (item[:, None] < B) & (unit[None, :] < H)
    rows = d * (steps + 1) * B + t * B + item  # rows of y and c at the step before
    sum_o = tl.zeros((TILE_B, TILE_H), tl.float32)
    sum_i = tl.zeros((TILE_B, TILE_H), tl.float32)
    sum_f = tl.zeros((TILE_B, TILE_H), tl.float32)
    sum_g = tl.zeros((TILE_B, TILE_H), tl.float32)
    for start in range(0, H, TILE_K):
        k = start + tl.arange(0, TILE_K)
        h = tl.load(y + rows[:, None] * H + k[None, :], (item[:, None] < B) & (k[None, :] < H), 0.0)
        there = (k[:, None] < H) & (unit[None, :] < H)
        weight = R + (d * GATES * H + unit[None, :]) * H + k[:, None]
        sum_o = tl.dot(h, tl.load(weight, there, 0.0), sum_o, input_precision=PRECISION)
        sum_i = tl.dot(h, tl.load(weight + H * H, there, 0.0), sum_i, input_precision=PRECISION)
        sum_g = tl.dot(h, tl.load(weight + (GATES - 1) * H * H, there, 0.0), sum_g, input_precision=PRECISION)
        if PAST == "forgotten":
            sum_f = tl.dot(h, tl.load(weight + 2 * H * H, there, 0.0), sum_f, input_precision=PRECISION)
    here = (d * steps + t) * B + item
    gate = net + here[:, None] * GATES * H + unit[None, :]
    o = tl.load(gate, inside, 0.0) + sum_o
    i = tl.load(gate + H, inside, 0.0) + sum_i
    g = 2.0 * tl.sigmoid(2.0 * (tl.load(gate + (GATES - 1) * H, inside, 0.0) + sum_g)) - 1.0
    past = tl.load(c + rows[:, None] * H + unit[None, :], inside, 0.0)
    peephole = P + d * (GATES - 1) * H + unit
    if PEEPHOLES:
        i += past * tl.load(peephole + H, unit < H, 0.0)[None, :]
    i = tl.sigmoid(i)
    if PAST == "forgotten":
        f = tl.load(gate + 2 * H, inside, 0.0) + sum_f
        if PEEPHOLES:
            f += past * tl.load(peephole + 2 * H, unit < H, 0.0)[None, :]
        f = tl.sigmoid(f)
        tl.store(gate + 2 * H, f, inside)
        cell = f * past + i * g
    elif PAST == "coupled":
        cell = past + i * (g - past)
    else:
        cell = past + i * g
    if PEEPHOLES:
        o += cell * tl.load(peephole, unit < H, 0.0)[None, :]
    o = tl.sigmoid(o)
    shown = 2.0 * tl.sigmoid(2.0 * cell) - 1.0
    tl.store(gate, o, inside)
    tl.store(gate + H, i, inside)
    tl.store(gate + (GATES - 1) * H, g, inside)
    after = (rows + B)[:, None] * H + unit[None, :]
    tl.store(c + after, cell, inside)
    tl.store(y + after, o * shown, inside)
    tl.store(tanh + here[:, None] * H + unit[None, :], shown, inside)


@triton.jit
def _step_back(
    K, A, keep, dy, dh_last, dc, R, P, t, B, steps, H: tl.constexpr,
    PAST: tl.constexpr, PEEPHOLES: tl.constexpr, LAST: tl.constexpr, TRUNCATED: tl.constexpr,
    PRECISION: tl.constexpr, TILE_B: tl.constexpr, TILE_H: tl.constexpr, TILE_K: tl.constexpr,
):  # fmt: skip
    """Step t back: K (D,T,B,G) becomes errors in place, dc (D,B,H) too; A, keep and dy are (D,T,B,H)."""
    GATES: tl.constexpr = 4 if PAST == "forgotten" else 3
    d = tl.program_id(2).to(tl.int64)
    item = tl.program_id(0) * TILE_B + tl.arange(0, TILE_B)
    unit = tl.program_id(1) * TILE_H + tl.arange(0, TILE_H)
    inside = (item[:, None] < B) & (unit[None, :] < H)
    here = (d * steps + t) * B + item
    at = here[:, None] * H + unit[None, :]
    state = (d * B + item)[:, None] * H + unit[None, :]
    dh = tl.load(dy + at, inside, 0.0)
    if LAST:
        dh += tl.load(dh_last + state, inside, 0.0)
    elif not TRUNCATED:
        for start in range(0, GATES * H, TILE_K):
            k = start + tl.arange(0, TILE_K)
            later = K + (here + B)[:, None] * GATES * H + k[None, :]
            errors = tl.load(later, (item[:, None] < B) & (k[None, :] < GATES * H), 0.0)
            weight = R + (d * GATES * H + k[:, None]) * H + unit[None, :]
            weights = tl.load(weight, (k[:, None] < GATES * H) & (unit[None, :] < H), 0.0)
            dh = tl.dot(errors, weights, dh, input_precision=PRECISION)
    gate = K + here[:, None] * GATES * H + unit[None, :]
    peephole = P + d * (GATES - 1) * H + unit
    error = tl.load(dc + state, inside, 0.0) + dh * tl.load(A + at, inside, 0.0)
    of_o = dh * tl.load(gate, inside, 0.0)
    tl.store(gate, of_o, inside)
    if PEEPHOLES:
        error += of_o * tl.load(peephole, unit < H, 0.0)[None, :]
    of_i = error * tl.load(gate + H, inside, 0.0)
    tl.store(gate + H, of_i, inside)
    of_g = error * tl.load(gate + (GATES - 1) * H, inside, 0.0)
    tl.store(gate + (GATES - 1) * H, of_g, inside)
    earlier = error
    if PAST != "kept":
        earlier = error * tl.load(keep + at, inside, 0.0)
    if PEEPHOLES:
        earlier += of_i * tl.load(peephole + H, unit < H, 0.0)[None, :]
    if PAST == "forgotten":
        of_f = error * tl.load(gate + 2 * H, inside, 0.0)
        tl.store(gate + 2 * H, of_f, inside)
        if PEEPHOLES:
            earlier += of_f * tl.load(peephole + 2 * H, unit < H, 0.0)[None, :]
    tl.store(dc + state, earlier, inside)


TILES = {"TILE_B": 16, "TILE_H": 32, "TILE_K": 32}


class FusedSteps:
    """The steps of layers with these weights; see `encoders.steps.Steps`."""

    def __init__(self, form: LstmForm, w: LstmWeights):
        self._form, self._w, self.dtype = form, w, w.R_DGP.dtype
        self._R_DGH = w.R_DGP.contiguous()
        # Never read where there are no peepholes.
        self._P = self._R_DGH if w.peepholes_DKH is None else w.peepholes_DKH.contiguous()

    def forward(self, x_DTBF: Tensor, y_DSBP: Tensor, c_DSBH: Tensor) -> tuple[Tensor, ...]:
        tanh_DTBH = torch.empty_like(c_DSBH[:, 1:], memory_format=torch.contiguous_format)
        nets_DTBG = net_inputs(x_DTBF, self._w)
        directions, steps, batch, hidden = tanh_DTBH.shape
        with torch.cuda.device_of(nets_DTBG):
            for t in range(steps):
                _step_forward[_grid(directions, batch, hidden)](
                    nets_DTBG, tanh_DTBH, y_DSBP, c_DSBH, self._R_DGH, self._P, t, batch, steps, H=hidden,
                    PAST=self._form.past, PEEPHOLES=self._form.peepholes, PRECISION=_precision(), **TILES,
                )  # fmt: skip
        return nets_DTBG, tanh_DTBH

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
        factors = make_factors(self._form, self._w, *kept, y_DSBP, c_DSBH)
        K_DTBG, A_DTBH, dc_DBH = factors.K_DTBG, factors.A_DTBH, torch.zeros_like(c_DSBH[:, 0])
        directions, steps, batch, hidden = A_DTBH.shape
        keep = A_DTBH if factors.keep_DTBH is None else factors.keep_DTBH.contiguous()
        dy_DTBP, dh_last = dy_DTBP.contiguous(), torch.zeros_like(dc_DBH)
        with torch.cuda.device_of(K_DTBG):
            for t in range(steps - 1, -1, -1):
                if dc_DTBH is not None:
                    dc_DBH += dc_DTBH[:, t]
                _step_back[_grid(directions, batch, hidden)](
                    K_DTBG, A_DTBH, keep, dy_DTBP, dh_last, dc_DBH, self._R_DGH, self._P, t, batch, steps, H=hidden,
                    PAST=self._form.past, PEEPHOLES=self._form.peepholes, LAST=t == steps - 1,
                    TRUNCATED=self._form.truncated, PRECISION=_precision(), **TILES,
                )  # fmt: skip
        first = torch.zeros_like(dh_last) if self._form.truncated else torch.bmm(K_DTBG[:, 0], self._R_DGH)
        errors = Errors(K_DTBG, K_DTBG, K_DTBG, first, dc_DBH, {})
        errors.gradients.update(gradients_of(self._w, factors, errors, dy_DTBP, c_DSBH, None))
        return errors._replace(x_DTBF=errors_of_inputs(errors.net_DTBG, self._w)) if to_x else errors


def _grid(directions: int, batch: int, hidden: int) -> tuple[int, int, int]:
    return triton.cdiv(batch, TILES["TILE_B"]), triton.cdiv(hidden, TILES["TILE_H"]), directions


def _precision() -> str:
    return "tf32" if torch.backends.cuda.matmul.allow_tf32 else "ieee"
