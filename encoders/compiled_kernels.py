"""Steps of the LSTM family compiled by Numba: loops over time with everything in them, for `encoders.compiled_steps`.

All that is compiled is in this file: what Numba keeps of a function it makes anew when the function's file changes, and
no other. Gates and shapes are those of `encoders.steps`; besides, N blocks of C columns of a matrix with K rows. What
a member lacks, peepholes or a projection, is an array without rows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

from encoders.kernel_cache import kept

PASTS = {"kept": 0, "forgotten": 1, "coupled": 2}  # what becomes of a cell's past, to the kernels
KEPT, FORGOTTEN, COUPLED = PASTS.values()
# A product is computed in tiles of as many rows and columns as the registers of the processor can hold sums of.
LANES, ROWS = (16, 8) if "+avx512f" in get_host_cpu_features() else (8, 4)
COLUMNS = 2 * LANES


def compiled(function: Callable) -> Callable:
    """`function` compiled when it is first called, and kept.

    `contract` alone lets a product and a sum be one instruction. Sums keep their order: `_exp` depends on it.
    """
    return kept(function, nogil=True, error_model="numpy", fastmath={"contract"})


@compiled
def forward(past, x_TBF, nets_TBG, y_SBP, c_SBH, W_GF, bias_G, R_GP, projection_PH, peepholes_KH, first, last):
    """Net inputs become gates; y and c are filled from the second state on. What is empty is not there."""
    reading, projecting = len(W_GF) > 0, len(projection_PH) > 0
    W, R, projection = blocked(W_GF.T), blocked(R_GP.T), blocked(projection_PH.T)
    together = steps_together(nets_TBG.shape[1], first, last)
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
            m = m_BH[b] if projecting else y_SBP[t + 1, b]
            _step(past, nets_TBG[t, b], c_SBH[t, b], c_SBH[t + 1, b], m, peepholes_KH)
        if projecting:
            y_SBP[t + 1, first:last] = ZERO
            add_product(y_SBP[t + 1], m_BH, projection, first, last)


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
    dm_BH = np.empty(c_SBH.shape[1:], np.float32)
    for t in range(len(gates_TBG) - 1, -1, -1):
        for b in range(first, last):
            add(dh_BP[b], dy_TBP[t, b])
            if len(dc_TBH) > 0:
                add(dc_BH[b], dc_TBH[t, b])
        if projecting:
            dy_TBP[t, first:last] = dh_BP[first:last]
            dm_BH[first:last] = ZERO
            add_product(dm_BH, dh_BP, projection, first, last)
        for b in range(first, last):
            dm, errors = dm_BH[b] if projecting else dh_BP[b], errors_TBG[t, b]
            squash_cells(shown, c_SBH[t + 1, b])
            _step_back(past, gates_TBG[t, b], errors, c_SBH[t, b], shown, dm, dc_BH[b], peepholes_KH)
            add_gradients(past, errors, c_SBH[t, b], c_SBH[t + 1, b], for_b_G, for_peepholes_KH)
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
    if left_BK.shape[1] == 0:
        return  # tiles begin with their first term
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
