"""Products of matrices for kernels that Numba compiles, of numbers in single precision or in bfloat16.

Sums are in single precision. Numbers in bfloat16 are whole ones of 16 bits to Numba, which has no such type. Shapes: B
rows, C columns, K terms of a product, N blocks of columns.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic, overload

from encoders.kernel_cache import kept

# A product is computed in tiles of as many rows and columns as the registers of the processor can hold sums of.
LANES, ROWS = (16, 8) if "+avx512f" in get_host_cpu_features() else (8, 4)
COLUMNS = 2 * LANES
# Whether the processor has an instruction that adds two products in bfloat16 to a sum in single precision.
BFLOAT16 = "+avx512bf16" in get_host_cpu_features()
PAIRS = "llvm.x86.avx512bf16.dpbf16ps.512"
# `contract` alone lets a product and a sum be one instruction. Sums keep their order, on which kernels depend.
OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}


def compiled(function: Callable) -> Callable:
    """`function` compiled when it is first called, and kept."""
    return kept(function, **OPTIONS)


def factors(rows_BK):
    """Rows as tiles read them: as they are or, of an even number in bfloat16, as pairs of 32 bits."""


@overload(factors)
def _factors(rows_BK):
    if rows_BK.dtype == types.float32:
        return lambda rows_BK: rows_BK
    return lambda rows_BK: rows_BK.view(np.uint32)


@compiled
def blocked(matrix_KC):
    """The matrix in blocks of COLUMNS columns, each from its first row to its last, zeros beyond the last column.

    In bfloat16 each two rows are one, of the pairs that their columns make.
    """
    terms, columns = matrix_KC.shape
    at_once = 4 // matrix_KC.itemsize
    blocks_NKC = np.zeros((-(-columns // COLUMNS), terms // at_once, at_once * COLUMNS), matrix_KC.dtype)
    for column in range(columns):
        n, c = column // COLUMNS, column % COLUMNS
        for k in range(terms):
            blocks_NKC[n, k // at_once, at_once * c + k % at_once] = matrix_KC[k, column]
    return factors(blocks_NKC)


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
    factors_BK = factors(left_BK)
    whole = out_BC.shape[1] // COLUMNS
    for n in range(whole):
        _add_rows(out_BC, n * COLUMNS, factors_BK, blocks_NKC[n], first, last)
    if whole < len(blocks_NKC):
        rest_BC = out_BC[:, whole * COLUMNS :]
        wide_BC = np.zeros((len(out_BC), COLUMNS), np.float32)
        wide_BC[first:last, : rest_BC.shape[1]] = rest_BC[first:last]
        _add_rows(wide_BC, 0, factors_BK, blocks_NKC[whole], first, last)
        rest_BC[first:last] = wide_BC[first:last, : rest_BC.shape[1]]


@compiled
def _add_rows(out_BC, column, left_BK, block_KC, b, last):
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
            vector, pairs = (ir.VectorType(kind, LANES) for kind in (ir.FloatType(), ir.IntType(32)))

            def vectors(start, index):
                """Where the vectors of a row begin, `index` numbers from `start`."""
                places = (build.add(index, whole(lanes)) for lanes in range(0, COLUMNS, LANES))
                place_type = ir.VectorType(start.type.pointee, LANES).as_pointer()
                return [build.bitcast(build.gep(start, [place]), place_type) for place in places]

            def spread(number):
                """A vector of the same number."""
                undefined = ir.Constant(ir.VectorType(number.type, LANES), ir.Undefined)
                single = build.insert_element(undefined, number, ir.IntType(32)(0))
                return build.shuffle_vector(single, undefined, ir.Constant(pairs, None))

            def plus_product(total, x, values):
                """Products and their sums in single precision; of pairs in bfloat16, both products of each."""
                if block_KC.dtype == types.float32:
                    return build.fadd(total, build.fmul(x, values, flags=["contract"]), flags=["contract"])
                kind = ir.FunctionType(vector, [vector, pairs, pairs])
                return build.call(build.module.declare_intrinsic(PAIRS, (), kind), [total, x, values])

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
                added.append([plus_product(total, x, values) for total, values in zip(line, matrix, strict=True)])
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
