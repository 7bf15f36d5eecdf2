"""Steps of the LSTM family compiled for the processor: all steps of some items in one call.

At the sizes of speech a step is too short for a library: eight items of 320 cells are 0.1 ms of work, and calling a
dozen operations, between which threads wait for each other, takes as long again. Here Numba compiles the loop over time
with everything in it, and each thread goes through time alone, with one direction or some of the items. The first use
on a machine compiles for some seconds; the result is kept.

In single precision, without layer normalisation. Gates and shapes are those of `encoders.steps`; besides, N blocks of C
columns of a matrix with K rows.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

import numba
import numpy as np
import torch
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba.core import cgutils, types
from numba.extending import intrinsic
from torch import Tensor

from encoders.steps import Errors, LstmForm, LstmWeights, products_of

PASTS = {"kept": 0, "forgotten": 1, "coupled": 2}  # what becomes of a cell's past, to the kernels
KEPT, FORGOTTEN, COUPLED = PASTS.values()
# A product is computed in tiles of as many rows and columns as the registers of the processor can hold sums of.
LANES, ROWS = (16, 8) if get_host_cpu_features().get("avx512f") else (8, 4)
COLUMNS = 2 * LANES


def compiled(function: Callable, **options: object) -> Callable:
    """`function` compiled when it is first called, and kept beside this file or in the user's cache.

    `contract` alone lets a product and a sum be one instruction. Sums keep their order: `_exp` depends on it.
    """
    options = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}} | options
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # neither place can be written to
        return numba.njit(**options)(function)


class CompiledSteps:
    """The steps of layers with these weights; see `encoders.steps.Steps`."""

    def __init__(self, form: LstmForm, w: LstmWeights):
        self._form, self._w = form, LstmWeights(*(weight if weight is None else weight.detach() for weight in w))

    def forward(self, x_DTBF: Tensor, y_DSBP: Tensor, c_DSBH: Tensor) -> tuple[Tensor, ...]:
        if self._w.W_DGF is None:
            gates_DTBG = x_DTBF.clone(memory_format=torch.contiguous_format)
        else:
            gates_DTBG = x_DTBF.new_empty(*x_DTBF.shape[:3], self._w.R_DGP.shape[1])
        parts = divided(*gates_DTBG.shape[::2])
        buffers = _arrays(x_DTBF.contiguous(), gates_DTBG, y_DSBP, c_DSBH)
        _in_threads(_all_forward, PASTS[self._form.past], *buffers, *self._weights(), parts)
        return (gates_DTBG,)

    def back(
        self,
        kept: Sequence[Tensor],
        y_DSBP: Tensor,
        c_DSBH: Tensor,
        dy_DTBP: Tensor,
        dc_DBH: Tensor,
        *,
        to_x: bool,
    ) -> Errors:
        (gates_DTBG,) = kept
        w, (directions, steps, batch) = self._w, gates_DTBG.shape[:3]
        net_DTBG, dc_DBH, dh_DBP = torch.empty_like(gates_DTBG), dc_DBH.clone(), torch.zeros_like(y_DSBP[:, 0])
        through_inputs = to_x and w.W_DGF is not None
        dx_DTBF = gates_DTBG.new_empty(directions, steps, batch, w.W_DGF.shape[2] if through_inputs else 0)
        # With a projection its gradient needs what later steps say of the outputs, too, which is added here.
        dy_DTBP = dy_DTBP.contiguous() if w.projection_DPH is None else dy_DTBP.clone()
        parts = divided(directions, batch)
        settings = PASTS[self._form.past], self._form.truncated
        buffers = _arrays(gates_DTBG, net_DTBG, dx_DTBF, c_DSBH, dy_DTBP, dh_DBP, dc_DBH)
        weights = _, b_DG, _, _, peepholes_DKH = tuple(self._weights())
        for_b, for_peepholes = (np.zeros_like(array[parts[:, 0]]) for array in (b_DG, peepholes_DKH))
        _in_threads(_all_back, *settings, *buffers, *weights, for_b, for_peepholes, parts)
        gradients = {}
        if w.b_DG is not None:
            gradients["b_DG"] = _of_directions(for_b, parts)
        if w.peepholes_DKH is not None:
            gradients["peepholes_DKH"] = _of_directions(for_peepholes, parts)
        if w.projection_DPH is not None:
            m_DTBH = gates_DTBG[..., : c_DSBH.shape[-1]] * torch.tanh(c_DSBH[:, 1:])
            gradients["projection_DPH"] = products_of(dy_DTBP, m_DTBH)
        return Errors(dx_DTBF if through_inputs else net_DTBG, net_DTBG, net_DTBG, dh_DBP, dc_DBH, gradients)

    def _weights(self) -> Iterator[np.ndarray]:
        """W, b, R, the projection and the peepholes of all directions; without rows where they are not there."""
        w, directions = self._w, len(self._w.R_DGP)
        for weights, axes in ((w.W_DGF, 3), (w.b_DG, 2), (w.R_DGP, 3), (w.projection_DPH, 3), (w.peepholes_DKH, 3)):
            if weights is None:
                yield np.zeros((directions, 0, 0)[:axes], np.float32)
            else:
                yield weights.contiguous().numpy()


def _arrays(*tensors: Tensor) -> list[np.ndarray]:
    return [tensor.detach().numpy() for tensor in tensors]


def divided(directions: int, batch: int) -> np.ndarray:
    """Parts for as many threads as torch uses: rows of a direction, its first item, and the one after its last.

    Directions are divided first, then items, in pairs, as a product likes them.
    """
    pieces = min(-(-torch.get_num_threads() // directions), -(-batch // 2))
    size = -(-batch // pieces)
    size += size % 2
    ranges = [(d, first, min(first + size, batch)) for first in range(0, batch, size) for d in range(directions)]
    return np.array(ranges)


# Numba's threads may only be asked by one thread at a time where it finds no OpenMP.
_one_at_a_time = threading.Lock()


def _in_threads(through_parts: tuple[Callable, Callable], *arguments: object) -> None:
    """Call what goes through all parts, alone or in parallel, with as many threads as torch uses."""
    alone, parallel = through_parts
    if torch.get_num_threads() == 1:
        alone(*arguments)
        return
    with _one_at_a_time:
        before = numba.get_num_threads()
        numba.set_num_threads(min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS))
        try:
            parallel(*arguments)
        finally:
            numba.set_num_threads(before)


def _of_directions(sums: np.ndarray, parts: np.ndarray) -> Tensor:
    """The sum over all parts of a direction."""
    return torch.from_numpy(np.stack([sums[parts[:, 0] == d].sum(0) for d in range(parts[-1, 0] + 1)]))


def _forward_of_parts(
    past, x_DTBF, nets_DTBG, y_DSBP, c_DSBH, W_DGF, b_DG, R_DGP, projection_DPH, peepholes_DKH, parts
):
    for part in numba.prange(len(parts)):
        d, first, last = parts[part]
        buffers = x_DTBF[d], nets_DTBG[d], y_DSBP[d], c_DSBH[d]
        weights = W_DGF[d], b_DG[d], R_DGP[d], projection_DPH[d], peepholes_DKH[d]
        _forward(past, *buffers, *weights, first, last)


def _back_of_parts(
    past, truncated, gates_DTBG, net_DTBG, dx_DTBF, c_DSBH, dy_DTBP, dh_DBP, dc_DBH,
    W_DGF, b_DG, R_DGP, projection_DPH, peepholes_DKH, for_b, for_peepholes, parts,
):  # fmt: skip
    for part in numba.prange(len(parts)):
        d, first, last = parts[part]
        buffers = gates_DTBG[d], net_DTBG[d], dx_DTBF[d], c_DSBH[d], dy_DTBP[d], dh_DBP[d], dc_DBH[d]
        weights = W_DGF[d], R_DGP[d], projection_DPH[d], peepholes_DKH[d]
        _back(past, truncated, *buffers, *weights, for_b[part], for_peepholes[part], first, last)


def _alone_and_parallel(function: Callable) -> tuple[Callable, Callable]:
    return compiled(function), compiled(function, parallel=True)


_all_forward, _all_back = _alone_and_parallel(_forward_of_parts), _alone_and_parallel(_back_of_parts)


@compiled
def _forward(past, x_TBF, nets_TBG, y_SBP, c_SBH, W_GF, bias_G, R_GP, projection_PH, peepholes_KH, first, last):
    """Net inputs become gates; y and c are filled from the second state on. What is empty is not there."""
    together = steps_together(nets_TBG.shape[1], first, last)
    hidden = c_SBH.shape[2]
    reading, seeing, projecting = len(W_GF) > 0, len(peepholes_KH) > 0, len(projection_PH) > 0
    W, R, projection = blocked(W_GF.T), blocked(R_GP.T), blocked(projection_PH.T)
    m_BH = np.empty(c_SBH.shape[1:], np.float32)
    for t in range(len(nets_TBG)):
        if reading and t % together == 0:
            some = slice(t, t + together)
            for net_BG in nets_TBG[some]:
                for b in range(first, last):
                    net_BG[b] = bias_G
            add_products(nets_TBG[some], x_TBF[some], W, first, last)
        add_product(nets_TBG[t], y_SBP[t], R, first, last)
        for b in range(first, last):
            row, c, c_next = nets_TBG[t, b], c_SBH[t, b], c_SBH[t + 1, b]
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
            m = m_BH[b] if projecting else y_SBP[t + 1, b]
            squash_cells(m, c_next)
            multiply(m, m, o)
        if projecting:
            y_SBP[t + 1, first:last] = ZERO
            add_product(y_SBP[t + 1], m_BH, projection, first, last)


@compiled
def _back(
    past, truncated, gates_TBG, errors_TBG, dx_TBF, c_SBH, dy_TBP, dh_BP, dc_BH,
    W_GF, R_GP, projection_PH, peepholes_KH, for_b_G, for_peepholes_KH, first, last,
):  # fmt: skip
    """Fill the errors of net inputs and add to the gradients; dh and dc become those of the first state.

    With a projection dy becomes the errors of the outputs.
    """
    hidden = c_SBH.shape[2]
    reading, seeing, projecting = dx_TBF.shape[2] > 0, len(peepholes_KH) > 0, len(projection_PH) > 0
    together = steps_together(gates_TBG.shape[1], first, last)
    W, R, projection = blocked(W_GF), blocked(R_GP), blocked(projection_PH)
    shown = np.empty(hidden, np.float32)
    dm_BH = np.empty(c_SBH.shape[1:], np.float32)
    for t in range(len(gates_TBG) - 1, -1, -1):
        for b in range(first, last):
            add(dh_BP[b], dy_TBP[t, b])
        if projecting:
            dy_TBP[t, first:last] = dh_BP[first:last]
            dm_BH[first:last] = ZERO
            add_product(dm_BH, dh_BP, projection, first, last)
        for b in range(first, last):
            row, out, c, c_next = gates_TBG[t, b], errors_TBG[t, b], c_SBH[t, b], c_SBH[t + 1, b]
            o, i, g = row[:hidden], row[hidden : 2 * hidden], row[len(row) - hidden :]
            d_o, d_i, d_g = out[:hidden], out[hidden : 2 * hidden], out[len(row) - hidden :]
            f, d_f = row[2 * hidden : 3 * hidden], out[2 * hidden : 3 * hidden]
            dm = dm_BH[b] if projecting else dh_BP[b]
            dc = dc_BH[b]
            squash_cells(shown, c_next)
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
                add_multiple(for_peepholes_KH[0], d_o, c_next)
                add_multiple(for_peepholes_KH[1], d_i, c)
                if past == FORGOTTEN:
                    add_multiple(dc, peepholes_KH[2], d_f)
                    add_multiple(for_peepholes_KH[2], d_f, c)
            if len(for_b_G) > 0:
                add(for_b_G, out)
        dh_BP[first:last] = ZERO
        if not truncated:
            add_product(dh_BP, errors_TBG[t], R, first, last)
        if reading and t % together == 0:
            some = slice(t, t + together)
            dx_TBF[some, first:last] = ZERO
            add_products(dx_TBF[some], errors_TBG[some], W, first, last)


@compiled
def blocked(matrix_KC):
    """The matrix in blocks of COLUMNS columns, each from its first row to its last, zeros beyond the last column."""
    terms, columns = matrix_KC.shape
    blocks_NKC = np.zeros((-(-columns // COLUMNS), terms, COLUMNS), np.float32)
    for column in range(columns):
        n, c = column // COLUMNS, column % COLUMNS
        for k in range(terms):
            blocks_NKC[n, k, c] = matrix_KC[k, column]
    return blocks_NKC


@compiled
def steps_together(batch, first, last):
    """Steps whose inputs make one product: enough for whole tiles, few enough to be at hand when their turn comes."""
    return max(1, 64 // batch) if last - first == batch else 1


@compiled
def add_products(out_TBC, left_TBK, blocks_NKC, first, last):
    """`add_product` of several steps, in one where all items are asked for."""
    steps, batch, columns = out_TBC.shape
    if last - first == batch:
        flat_NK = left_TBK.reshape((steps * batch, left_TBK.shape[2]))
        add_product(out_TBC.reshape((steps * batch, columns)), flat_NK, blocks_NKC, 0, steps * batch)
    else:
        for t in range(steps):
            add_product(out_TBC[t], left_TBK[t], blocks_NKC, first, last)


@compiled
def add_product(out_BC, left_BK, blocks_NKC, first, last):
    """Add to rows `first` to `last` of `out_BC` the product of those of `left_BK` with the matrix in blocks."""
    whole = out_BC.shape[1] // COLUMNS
    for n in range(whole):
        b, column, block_KC = first, n * COLUMNS, blocks_NKC[n]
        if ROWS == 8:
            while b + 8 <= last:
                _add_8_rows(out_BC, b, column, left_BK, block_KC)
                b += 8
        while b + 4 <= last:
            _add_4_rows(out_BC, b, column, left_BK, block_KC)
            b += 4
        if b + 2 <= last:
            _add_2_rows(out_BC, b, column, left_BK, block_KC)
            b += 2
        if b < last:
            _add_1_row(out_BC, b, column, left_BK, block_KC)
    if whole < len(blocks_NKC):
        for b in range(first, last):
            _add_row(out_BC[b, whole * COLUMNS :], left_BK[b], blocks_NKC[whole])


@compiled
def _add_row(out, left, block_KC):
    for k in range(len(block_KC)):
        for j in range(len(out)):
            out[j] += left[k] * block_KC[k, j]


def tile_of(rows: int):
    """A function for kernels that adds to a tile of `rows` rows and COLUMNS columns its part of a product.

    Written in the compiler's own language: the sums have to stay in registers from the first term to the last, which no
    loop over arrays makes it do; it is twice as fast so.
    """

    @intrinsic
    def add_tile(typing, out_BC, row, column, left_BK, block_KC):
        def generate(context, build: ir.IRBuilder, signature, arguments):
            out, left, block = (context.make_array(signature.args[n])(context, build, arguments[n]) for n in (0, 3, 4))
            row, column = arguments[1:3]
            width, terms = (cgutils.unpack_tuple(build, array.shape)[1] for array in (out, left))
            whole = row.type
            vector = ir.VectorType(ir.FloatType(), LANES)

            def vectors(start, index):
                """Where the vectors of a row begin, `index` numbers from `start`."""
                places = (build.add(index, whole(lanes)) for lanes in range(0, COLUMNS, LANES))
                return [build.bitcast(build.gep(start, [place]), vector.as_pointer()) for place in places]

            def spread(number):
                """A vector of the same number."""
                undefined = ir.Constant(vector, ir.Undefined)
                single = build.insert_element(undefined, number, ir.IntType(32)(0))
                return build.shuffle_vector(single, undefined, ir.Constant(ir.VectorType(ir.IntType(32), LANES), None))

            lines = [build.add(row, whole(r)) for r in range(rows)]
            sums = [vectors(out.data, build.add(build.mul(line, width), column)) for line in lines]
            factors = [build.gep(left.data, [build.mul(line, terms)]) for line in lines]
            first_sums = [[build.load(place, align=4) for place in line] for line in sums]
            before, loop, after = build.block, build.append_basic_block(), build.append_basic_block()
            build.branch(loop)

            build.position_at_end(loop)
            k = build.phi(whole)
            running = [[build.phi(vector) for _ in line] for line in sums]
            matrix = [build.load(place, align=4) for place in vectors(block.data, build.mul(k, whole(COLUMNS)))]
            added = []
            for line, factor in zip(running, factors, strict=True):
                x = spread(build.load(build.gep(factor, [k])))
                terms_now = [build.fmul(x, values, flags=["contract"]) for values in matrix]
                added.append([build.fadd(s, term, flags=["contract"]) for s, term in zip(line, terms_now, strict=True)])
            following = build.add(k, whole(1))
            for phi, at_first, then in zip(
                _flat(running, k), _flat(first_sums, whole(0)), _flat(added, following), strict=True
            ):
                phi.add_incoming(at_first, before)
                phi.add_incoming(then, loop)
            build.cbranch(build.icmp_signed("<", following, terms), loop, after)

            build.position_at_end(after)
            for place, value in zip(_flat(sums), _flat(added), strict=True):
                build.store(value, place, align=4)
            return context.get_dummy_value()

        return types.void(out_BC, types.intp, types.intp, left_BK, block_KC), generate

    return add_tile


def _flat(rows: list[list], *others) -> list:
    return [value for row in rows for value in row] + list(others)


_add_8_rows, _add_4_rows, _add_2_rows, _add_1_row = (tile_of(rows) for rows in (8, 4, 2, 1))


@compiled
def add(out, values):
    for j in range(len(out)):
        out[j] += values[j]


@compiled
def add_multiple(out, factor, values):
    for j in range(len(out)):
        out[j] += factor[j] * values[j]


@compiled
def multiply(out, left, right):
    for j in range(len(out)):
        out[j] = left[j] * right[j]


ZERO, HALF, ONE, TWO = (np.float32(value) for value in (0, 0.5, 1, 2))
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
