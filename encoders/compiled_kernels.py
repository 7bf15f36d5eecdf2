"""Steps of the LSTM family compiled by Numba: loops over time with everything in them, for `encoders.compiled_steps`.

Gates and shapes are those of `encoders.steps`; besides, N steps whose inputs make one product. What a member lacks,
peepholes or a projection, is an array without rows.

Everything is computed in single precision but products of numbers in bfloat16, of which only sums are. In bfloat16, as
whole numbers of 16 bits, may be W, R, x, y and the errors of these two and of net inputs. Gates are then kept in 16
bits, too, as parts of 32,767: bfloat16 would have a forget gate of 0.999 be 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba.core import types
from numba.extending import overload

from encoders import compiled_products
from encoders.compiled_products import add_product, add_products, blocked, steps_together
from encoders.kernel_cache import kept

PASTS = {"kept": 0, "forgotten": 1, "coupled": 2}  # what becomes of a cell's past, to the kernels
KEPT, FORGOTTEN, COUPLED = PASTS.values()
ZERO, HALF, ONE, TWO = (np.float32(value) for value in (0, 0.5, 1, 2))
WHOLE, PART = np.float32(32_767), np.float32(1 / 32_767)  # of a gate in 16 bits


def compiled(function: Callable) -> Callable:
    """`function` compiled when it is first called, and kept; see `encoders.compiled_products.compiled`."""
    return kept(function, [compiled_products], **compiled_products.OPTIONS)


@compiled
def forward(past, x_TBF, gates_TBG, y_SBP, c_SBH, W_GF, bias_G, R_GP, projection_PH, peepholes_KH, first, last):
    """Fill the gates, and y and c from the second state on. What is empty is not there."""
    reading, projecting = len(W_GF) > 0, len(projection_PH) > 0
    W, R, projection = blocked(W_GF.T), blocked(R_GP.T), blocked(projection_PH.T)
    steps, batch = gates_TBG.shape[:2]
    together = steps_together(batch, first, last) if reading else 1
    nets_NBG = np.empty((together, *gates_TBG.shape[1:]), np.float32)
    m_BH = np.empty(c_SBH.shape[1:], np.float32)
    h_BP = np.empty(y_SBP.shape[1:], np.float32) if projecting else m_BH
    for t in range(steps):
        n = t % together
        if reading and n == 0:
            some_x = x_TBF[t : t + together]
            some = nets_NBG[: len(some_x)]
            for net_BG in some:
                for b in range(first, last):
                    net_BG[b] = bias_G
            add_products(some, some_x, W, first, last)
        elif not reading:
            for b in range(first, last):
                take(nets_NBG[n, b], x_TBF[t, b])
                if len(bias_G) > 0:
                    add(nets_NBG[n, b], bias_G)
        add_product(nets_NBG[n], y_SBP[t], R, first, last)
        for b in range(first, last):
            _step(past, nets_NBG[n, b], c_SBH[t, b], c_SBH[t + 1, b], m_BH[b], peepholes_KH)
            take(gates_TBG[t, b], nets_NBG[n, b])
        if projecting:
            h_BP[first:last] = ZERO
            add_product(h_BP, m_BH, projection, first, last)
        for b in range(first, last):
            take(y_SBP[t + 1, b], h_BP[b])


@compiled
def _step(past, row, c, c_next, m, peepholes_KH):
    """A step of an item: the gates in its row, from their net inputs, its next cell, and what that lets out."""
    hidden, seeing = len(c), len(peepholes_KH) > 0
    o, i, g = row[:hidden], row[hidden : 2 * hidden], row[len(row) - hidden :]
    f = row[2 * hidden : 3 * hidden]  # the forget gate, where the past is FORGOTTEN
    if seeing:
        add_multiple(i, peepholes_KH[1], c)
        if past == FORGOTTEN:
            add_multiple(f, peepholes_KH[2], c)
        squash(row[hidden : len(row) - hidden])
    else:
        squash(row[: len(row) - hidden])
    squash_cells(g, g)
    if past == FORGOTTEN:
        for j in range(hidden):
            c_next[j] = f[j] * c[j] + i[j] * g[j]
    elif past == COUPLED:
        for j in range(hidden):
            c_next[j] = c[j] + i[j] * (g[j] - c[j])
    else:
        for j in range(hidden):
            c_next[j] = c[j] + i[j] * g[j]
    if seeing:
        add_multiple(o, peepholes_KH[0], c_next)
        squash(o)
    squash_cells(m, c_next)
    multiply(m, m, o)


@compiled
def back(
    past, truncated, gates_TBG, errors_TBG, dx_TBF, c_SBH, dy_TBP, dc_TBH, dh_BP, dc_BH,
    W_GF, R_GP, projection_PH, peepholes_KH, for_b_G, for_peepholes_KH, first, last,
):  # fmt: skip
    """Fill the errors of net inputs and of x, and add to the gradients; dh and dc become those of the first state.

    With a projection dy becomes the errors of the outputs.
    """
    reading, projecting = dx_TBF.shape[2] > 0, len(projection_PH) > 0
    W, R, projection = blocked(W_GF), blocked(R_GP), blocked(projection_PH)
    together = steps_together(gates_TBG.shape[1], first, last)
    shown = np.empty(c_SBH.shape[2], np.float32)
    row, errors = np.empty((2, gates_TBG.shape[2]), np.float32)
    dm_BH = np.empty(c_SBH.shape[1:], np.float32)
    for t in range(len(gates_TBG) - 1, -1, -1):
        for b in range(first, last):
            add(dh_BP[b], dy_TBP[t, b])
            if len(dc_TBH) > 0:
                add(dc_BH[b], dc_TBH[t, b])
        if projecting:
            for b in range(first, last):
                take(dy_TBP[t, b], dh_BP[b])
            dm_BH[first:last] = ZERO
            add_product(dm_BH, dh_BP, projection, first, last)
        for b in range(first, last):
            dm = dm_BH[b] if projecting else dh_BP[b]
            squash_cells(shown, c_SBH[t + 1, b])
            take(row, gates_TBG[t, b])
            _step_back(past, row, errors, c_SBH[t, b], shown, dm, dc_BH[b], peepholes_KH)
            add_gradients(past, errors, c_SBH[t, b], c_SBH[t + 1, b], for_b_G, for_peepholes_KH)
            take(errors_TBG[t, b], errors)
        dh_BP[first:last] = ZERO
        if not truncated:
            add_product(dh_BP, errors_TBG[t], R, first, last)
        if reading and t % together == 0:
            some = slice(t, t + together)
            dx_TBF[some, first:last] = ZERO
            add_products(dx_TBF[some], errors_TBG[some], W, first, last)


@compiled
def _step_back(past, row, errors, c, shown, dm, dc, peepholes_KH):
    """A step back of an item: the errors of its gates' net inputs; dc, of its cell, becomes that of the cell before."""
    hidden, seeing = len(c), len(peepholes_KH) > 0
    o, i, f, g = row[:hidden], row[hidden : 2 * hidden], row[2 * hidden : 3 * hidden], row[len(row) - hidden :]
    d_o, d_i, d_f = errors[:hidden], errors[hidden : 2 * hidden], errors[2 * hidden : 3 * hidden]
    d_g = errors[len(row) - hidden :]
    for j in range(hidden):
        d_o[j] = dm[j] * shown[j] * o[j] * (ONE - o[j])
    for j in range(hidden):
        dc[j] += dm[j] * o[j] * (ONE - shown[j] * shown[j])
    if seeing:
        add_multiple(dc, peepholes_KH[0], d_o)
    for j in range(hidden):
        d_g[j] = dc[j] * i[j] * (ONE - g[j] * g[j])
    if past == COUPLED:
        for j in range(hidden):
            d_i[j] = dc[j] * (g[j] - c[j]) * i[j] * (ONE - i[j])
        for j in range(hidden):
            dc[j] -= dc[j] * i[j]
    else:
        for j in range(hidden):
            d_i[j] = dc[j] * g[j] * i[j] * (ONE - i[j])
    if past == FORGOTTEN:
        for j in range(hidden):
            d_f[j] = dc[j] * c[j] * f[j] * (ONE - f[j])
        multiply(dc, dc, f)
    if seeing:
        add_multiple(dc, peepholes_KH[1], d_i)
        if past == FORGOTTEN:
            add_multiple(dc, peepholes_KH[2], d_f)


@compiled
def add_gradients(past, errors, c, c_next, for_b_G, for_peepholes_KH):
    """Add to the gradients of biases and peepholes what a step of an item says of them."""
    hidden = len(c)
    if len(for_b_G) > 0:
        add(for_b_G, errors)
    if len(for_peepholes_KH) > 0:
        add_multiple(for_peepholes_KH[0], errors[:hidden], c_next)
        add_multiple(for_peepholes_KH[1], errors[hidden : 2 * hidden], c)
        if past == FORGOTTEN:
            add_multiple(for_peepholes_KH[2], errors[2 * hidden : 3 * hidden], c)


def single(value):
    """What is kept in whatever way, in single precision."""


@overload(single)
def _single(value):
    if value == types.float32:
        return lambda value: value
    if value == types.int16:
        return lambda value: np.float32(value) * PART
    return lambda value: np.uint32(np.uint32(value) << 16).view(np.float32)


def rounded(value, out):
    """A number in single precision as the array `out` keeps them."""


@overload(rounded)
def _rounded(value, out):
    if out.dtype == types.float32:
        return lambda value, out: value
    if out.dtype == types.int16:
        return lambda value, out: np.int16(np.int32(np.rint(value * WHOLE)))  # in one step it is not vectorised

    def bits(value, out):
        whole = np.float32(value).view(np.uint32)
        return np.uint16(np.uint32(whole + 0x7FFF + (whole >> 16 & 1)) >> 16)

    return bits


@compiled
def take(out, values):
    for j in range(len(out)):
        out[j] = rounded(single(values[j]), out)


@compiled
def add(out, values):
    for j in range(len(out)):
        out[j] += single(values[j])


@compiled
def add_multiple(out, factor, values):
    for j in range(len(out)):
        out[j] += factor[j] * values[j]


@compiled
def multiply(out, left, right):
    for j in range(len(out)):
        out[j] = left[j] * right[j]


LOWEST = np.float32(-87)  # e to the power of it is still a normal number
LOG2_E = np.float32(np.log2(np.e))
# ln 2 as a number of few digits, whose multiples are exact, and the rest.
LN2_HIGH = np.float32(355 / 512)
LN2_LOW = np.float32(np.log(2) - 355 / 512)
E3, E4, E5, E6, E7 = (np.float32(1 / value) for value in (6, 24, 120, 720, 5040))
# Below this the quotient in `_tanh` loses digits, and five terms of Taylor's series are enough.
SMALL = np.float32(0.4)
T3, T5, T7, T9, T11 = (np.float32(value) for value in (-1 / 3, 2 / 15, -17 / 315, 62 / 2835, -1382 / 155925))


@compiled
def squash(values):
    """The logistic function of each value, in place, within 2e-7."""
    for j in range(len(values)):
        x = values[j]
        t = _exp(-abs(x))
        above = ONE / (ONE + t)
        values[j] = t * above if x < ZERO else above


@compiled
def squash_cells(out, values):
    """The hyperbolic tangent of each value, to 3e-7 of it; `out` may be `values`."""
    for j in range(len(values)):
        x = values[j]
        square = x * x
        series = ((((T11 * square + T9) * square + T7) * square + T5) * square + T3) * square * x + x
        t = _exp(-TWO * abs(x))
        quotient = (ONE - t) / (ONE + t)
        out[j] = series if abs(x) < SMALL else (-quotient if x < ZERO else quotient)


@compiled
def _exp(x):
    """e to the power of x <= 0, to 1e-7 of it down to x = -87 and no less than that below; NaN stays NaN.

    2^n e^r, where n is whole and |r| at most half of ln 2; e^r by Taylor's series.
    """
    x = LOWEST if x < LOWEST else x
    n = np.floor(x * LOG2_E + HALF)
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    tail = ((((E7 * r + E6) * r + E5) * r + E4) * r + E3) * r + HALF
    power = np.int32((np.int32(n) + 127) << 23).view(np.float32)  # from its bits: an exponent of 127 is 2 to the 0
    return ((tail * r + ONE) * r + ONE) * power
