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

import torch
import triton
import triton.language as tl
from torch import Tensor


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


def steps_forward(
    past: str,
    gates_DTBG: Tensor,
    tanh_DTBH: Tensor,
    y_DSBH: Tensor,
    c_DSBH: Tensor,
    R_DGH: Tensor,
    P_DKH: Tensor | None,
) -> None:
    """What `encoders.torch_steps.steps_forward` does, of tensors that are contiguous."""
    directions, steps, batch, hidden = tanh_DTBH.shape
    grid = (triton.cdiv(batch, TILES["TILE_B"]), triton.cdiv(hidden, TILES["TILE_H"]), directions)
    R_DGH = R_DGH.contiguous()
    P = R_DGH if P_DKH is None else P_DKH.contiguous()  # never read where there are no peepholes
    with torch.cuda.device_of(gates_DTBG):
        for t in range(steps):
            _step_forward[grid](
                gates_DTBG, tanh_DTBH, y_DSBH, c_DSBH, R_DGH, P, t, batch, steps, H=hidden,
                PAST=past, PEEPHOLES=P_DKH is not None, PRECISION=_precision(), **TILES,
            )  # fmt: skip


def steps_back(
    past: str,
    truncated: bool,
    K_DTBG: Tensor,
    A_DTBH: Tensor,
    keep_DTBH: Tensor | None,
    dy_DTBH: Tensor,
    dh_DBH: Tensor,
    dc_DBH: Tensor,
    R_DGH: Tensor,
    P_DKH: Tensor | None,
) -> None:
    """What `encoders.torch_steps.steps_back` does: K becomes the errors of net inputs, dc that of the first cell."""
    directions, steps, batch, hidden = A_DTBH.shape
    grid = (triton.cdiv(batch, TILES["TILE_B"]), triton.cdiv(hidden, TILES["TILE_H"]), directions)
    R_DGH, dy_DTBH, dh_DBH = R_DGH.contiguous(), dy_DTBH.contiguous(), dh_DBH.contiguous()
    P = R_DGH if P_DKH is None else P_DKH.contiguous()
    keep = A_DTBH if keep_DTBH is None else keep_DTBH.contiguous()
    with torch.cuda.device_of(K_DTBG):
        for t in range(steps - 1, -1, -1):
            _step_back[grid](
                K_DTBG, A_DTBH, keep, dy_DTBH, dh_DBH, dc_DBH, R_DGH, P, t, batch, steps, H=hidden,
                PAST=past, PEEPHOLES=P_DKH is not None, LAST=t == steps - 1, TRUNCATED=truncated,
                PRECISION=_precision(), **TILES,
            )  # fmt: skip


def _precision() -> str:
    return "tf32" if torch.backends.cuda.matmul.allow_tf32 else "ieee"
