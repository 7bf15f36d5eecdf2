"""The product of a step: few rows, one matrix that stays the same for a whole sequence.

On a CPU in single precision oneDNN's product with a matrix packed beforehand is a quarter faster than that of torch's
BLAS, and is what torch's own LSTM runs on. torch keeps it for its compiler, under names that begin with an underscore,
so where these are missing or refuse, the BLAS does the work.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

AddTo = Callable[[Tensor, Tensor, Tensor], object]


def prepared(matrix_GP: Tensor, rows: int) -> AddTo:
    """A function of (out, given, h) that fills `out` (B,G) with given + h M^T; `out` may be `given`.

    Args:
        matrix_GP: M.
        rows: How many rows h has, B.
    """
    if matrix_GP.device.type == "cpu" and matrix_GP.dtype == torch.float32 and packs():
        packed = torch.ops.mkldnn._reorder_linear_weight(matrix_GP.contiguous(), rows)
        linear = torch.ops.mkldnn._linear_pointwise.default
        return lambda out, given, h: torch.add(given, linear(h, packed, None, "none", [], ""), out=out)
    transposed_PG = matrix_GP.t()
    return lambda out, given, h: torch.addmm(given, h, transposed_PG, out=out)


@cache
def packs() -> bool:
    """Whether this torch multiplies by packed matrices, and rightly."""
    if not torch.backends.mkldnn.is_available():
        return False
    h, matrix = torch.arange(6.0).view(2, 3), torch.arange(12.0).view(4, 3)
    try:
        packed = torch.ops.mkldnn._reorder_linear_weight(matrix, 2)
        product = torch.ops.mkldnn._linear_pointwise.default(h, packed, None, "none", [], "")
    except (AttributeError, NotImplementedError, RuntimeError):
        return False
    return product.equal(h @ matrix.t())
