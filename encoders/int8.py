"""Weights as whole numbers of 8 bits with a scale for each output of a product, and the ranges of what they multiply.

A matrix of weights is kept as int8, symmetric about 0, with a float32 scale for each of its outputs (per channel):
weight = scale * integer. Biases, peepholes, convolutions and layer normalisation, which are small, stay float32.

Products of int8 weights and uint8 inputs add two neighbours in 16 bits on processors that have AVX2 or AVX-512 and lack
VNNI, and there 255 * (127 + 127) is cut off. Scales are chosen such that two neighbours of one sign add up to 128 at
most, and 255 * 128 fits: every processor computes the same sums.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

SCALE = ".scale"
LARGEST, LARGEST_PAIR = 127, 128
# Matrices by their names or the last part of these, and the axis along which a product adds.
ADDED_ALONG = {"W": -1, "R": -1, "projection": -1, "head.weight": -2}

PRODUCTS, WEIGHTS = "products", "weights"


class Range(NamedTuple):
    """What inputs of a product lie between; what lies beyond is cut off. Holds 0."""

    low: float
    high: float


# Of what LSTMs put out: a sigmoid times a tanh.
OUTPUTS = Range(-1.0, 1.0)


class Int8(NamedTuple):
    """How a network is computed from int8 weights.

    Attributes:
        kind: `products`: the products themselves are of 8 bits. `weights`: weights become float32 again when the graph
            is opened, and products are float32.
        ranges: Of the inputs of `layer0`, `layer1`, ..., and `head`; for `products`.
    """

    kind: str
    ranges: Mapping[str, Range] = MappingProxyType({})


def quantized(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Named weights with the matrices among them as int8 and, of each, `NAME.scale`: float32, one for each output."""
    stored = {}
    for name, array in weights.items():
        axis = added_along(name)
        if axis is None:
            stored[name] = array
        else:
            stored[name], stored[name + SCALE] = quantize(array, axis)
    return stored


def dequantized(stored: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The float32 weights that `quantized` ones stand for; weights that are float32 all stay as they are."""
    weights = {}
    for name, array in stored.items():
        if name.endswith(SCALE):
            continue
        if array.dtype == np.int8:
            array = array.astype(np.float32) * np.expand_dims(stored[name + SCALE], added_along(name))
        weights[name] = array
    return weights


def added_along(name: str) -> int | None:
    """The axis of a weight along which a product adds, counted from the last; none of what stays float32."""
    return ADDED_ALONG.get(name, ADDED_ALONG.get(name.rpartition(".")[2]))


def quantize(array: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """A matrix as int8, and the scale of each output, such that no sum of two neighbours is cut off.

    Args:
        array: Weights.
        axis: The axis along which a product adds.
    """
    rows = np.moveaxis(array, axis, -1).astype(np.float64)
    scale = np.maximum(np.abs(rows).max(-1) / LARGEST, _largest_pair(rows) / LARGEST_PAIR)
    scale = np.maximum(scale, np.finfo(np.float32).tiny).astype(np.float32)
    while True:
        integers = np.rint(rows / scale[..., None])
        beyond = _largest_pair(integers) / LARGEST_PAIR
        if not (beyond > 1).any():
            assert np.abs(integers).max() <= LARGEST, "weights are finite, and a scale is at least the largest / 127"
            return np.ascontiguousarray(np.moveaxis(integers.astype(np.int8), -1, axis)), scale
        # Rounding took a pair beyond the limit.
        scale = (scale * np.where(beyond > 1, beyond, 1.0)).astype(np.float32)


def _largest_pair(rows: np.ndarray) -> np.ndarray:
    """The largest absolute sum of inputs 2k and 2k + 1 of one sign, for each output."""
    if rows.shape[-1] % 2:
        rows = np.concatenate([rows, np.zeros_like(rows[..., :1])], axis=-1)
    positive, negative = (np.maximum(sign * rows, 0) for sign in (1, -1))
    return np.maximum(*((one[..., 0::2] + one[..., 1::2]).max(-1) for one in (positive, negative)))
