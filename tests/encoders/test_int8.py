"""Weights of 8 bits: how far they are from what they stand for, and sums that no processor cuts off."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders.int8 import dequantized, quantize, quantized


@settings(max_examples=60)
@given(
    outputs=st.integers(1, 6),
    inputs=st.integers(1, 9),
    axis=st.sampled_from([-2, -1]),
    power=st.floats(-6, 6),
    peak=st.floats(1, 100),
    seed=st.integers(0, 999),
)
def test_a_weight_is_within_half_a_scale(outputs, inputs, axis, power, peak, seed) -> None:
    rng = np.random.default_rng(seed)
    rows = (10**power * rng.standard_normal((outputs, inputs))).astype(np.float32)
    rows[0, rng.integers(inputs)] *= peak
    array = np.ascontiguousarray(np.moveaxis(rows, -1, axis))
    integers, scale = quantize(array, axis)
    assert integers.dtype == np.int8
    assert scale.dtype == np.float32
    assert scale.shape == (outputs,)
    back = np.moveaxis(integers, axis, -1) * scale[:, None].astype(np.float64)
    assert (np.abs(back - rows) <= 0.5000001 * scale[:, None]).all()
    # Never coarser than needed: a weight is at the limit, or two neighbours are, but for what rounding took from them.
    whole = np.abs(np.pad(rows.astype(np.float64), [(0, 0), (0, inputs % 2)]))
    signs = np.pad(np.sign(rows), [(0, 0), (0, inputs % 2)])
    together = np.where(signs[:, 0::2] == signs[:, 1::2], whole[:, 0::2] + whole[:, 1::2], 0).max(-1)
    assert (scale <= 1.02 * np.maximum(whole.max(-1) / 127, together / 128)).all()


@pytest.mark.parametrize("value", [1.0, -1.0])
def test_no_sum_of_two_neighbours_leaves_sixteen_bits(value: float) -> None:
    """As `vpmaddubsw` adds: uint8 times int8, two neighbours at a time, cut off at 16 bits."""
    rng = np.random.default_rng(0)
    rows = np.concatenate([np.full((1, 8), value), value * rng.uniform(0.9, 1, (300, 8))]).astype(np.float32)
    integers, _ = quantize(rows, -1)
    pairs = (255 * integers.astype(np.int64)).reshape(len(rows), -1, 2).sum(-1)
    assert np.abs(pairs).max() <= 2**15 - 1
    assert np.abs(pairs).max() > 0.98 * 2**15


@pytest.mark.parametrize("value", [0.0, 1e-44])
def test_rows_of_nothing_have_a_scale(value: float) -> None:
    integers, scale = quantize(np.full((2, 3), value, np.float32), -1)
    assert not integers.any()
    assert (scale > 0).all()


def test_matrices_become_int8_and_all_else_stays() -> None:
    rng = np.random.default_rng(0)
    shapes = {
        "front.first.weight": (2, 1, 3, 3),
        "layer0.forward.W": (1, 12, 5),
        "layer0.forward.R": (1, 12, 3),
        "layer0.forward.B": (1, 24),
        "layer0.norm.weight": (6,),
        "head.weight": (6, 4),
        "head.bias": (4,),
    }
    weights = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    stored = quantized(weights)
    matrices = {"layer0.forward.W", "layer0.forward.R", "head.weight"}
    assert {name for name, array in stored.items() if array.dtype == np.int8} == matrices
    assert {name: stored[f"{name}.scale"].shape for name in matrices} == {
        "layer0.forward.W": (1, 12),
        "layer0.forward.R": (1, 12),
        "head.weight": (4,),
    }
    back = dequantized(stored)
    assert list(back) == list(weights)
    for name, array in weights.items():
        assert back[name].dtype == np.float32
        if name in matrices:
            assert 0 < np.abs(back[name] - array).max() < np.abs(array).max() / 100
        else:
            np.testing.assert_array_equal(back[name], array)
    assert all(dequantized(weights)[name] is array for name, array in weights.items()), "float32 stays as it is"
