"""The compiled steps with R h in bfloat16 round what they should and nothing else: against torch in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from encoders import compiled_kernels as kernels
from encoders import compiled_products as products
from encoders import compiled_steps
from encoders.cells import CELLS, CellOptions
from encoders.layers import FastLstmLayer, run_directions
from encoders.recurrence import steps_of
from encoders.steps import LstmForm, LstmWeights

MEMBERS = [name for name, cell in CELLS.items() if cell.operator == "LSTM"]
F = 6
needs_bfloat16 = pytest.mark.skipif(not products.BFLOAT16, reason="the processor has no products in bfloat16")
Rounding = Callable[[Tensor], Tensor]


def as_bfloat16(values: Tensor) -> Tensor:
    return values.bfloat16().to(values.dtype)


def rounding(*, numbers: bool, errors: bool) -> Rounding:
    """A function that rounds to bfloat16 the numbers that go through it, the errors that come back, or both."""

    class Rounded(torch.autograd.Function):
        @staticmethod
        def forward(ctx, values: Tensor) -> Tensor:
            return as_bfloat16(values) if numbers else values.clone()

        @staticmethod
        def backward(ctx, errors_: Tensor) -> Tensor:
            return as_bfloat16(errors_) if errors else errors_

    return Rounded.apply


def by_definition(rounded: bool, layer: FastLstmLayer, x_TBF: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs and cells step by step; with `rounded`, what is multiplied with W and R is, and W x."""
    both, numbers, errors = (
        rounding(numbers=one and rounded, errors=other and rounded)
        for one, other in ((True, True), (True, False), (False, True))
    )
    own, past = layer.own_weights(), layer.cell.past
    W, R = both(own["W"]), both(own["R"])
    o_sees, i_sees, f_sees = (*own["P"], torch.zeros(()))[:3] if "P" in own else (0.0, 0.0, 0.0)
    ys, cs, h = [], [], numbers(h)
    for x_BF in x_TBF:
        net = errors(numbers(both(x_BF) @ W.T) + h @ R.T) + own["b"]
        o, i, *f, g = net.chunk(4 if past == "forgotten" else 3, dim=-1)
        i, g = torch.sigmoid(i + i_sees * c), torch.tanh(g)
        if past == "forgotten":
            c = torch.sigmoid(f[0] + f_sees * c) * c + i * g
        else:
            c = c + i * (g - c if past == "coupled" else g)
        h = torch.sigmoid(o + o_sees * c) * torch.tanh(c)
        h = numbers(h @ own["projection"].T if "projection" in own else h)
        ys.append(errors(h))
        cs.append(c)
    return torch.stack(ys), torch.stack(cs)


def layers_of(member: str, hidden: int) -> list[FastLstmLayer]:
    torch.manual_seed(3)
    layers = [FastLstmLayer(member, F, hidden, CellOptions()) for _ in range(2)]
    with torch.no_grad():
        for parameter in (parameter for layer in layers for parameter in layer.parameters()):
            parameter.copy_(torch.randn_like(parameter) / max(hidden, F) ** 0.5)
    return layers


def results(layers: list[FastLstmLayer], run, x: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
    """Outputs, cells, and the gradients of a loss in which all of them have a say."""
    drawn = torch.Generator().manual_seed(4)
    for layer in layers:
        layer.to(dtype)
    h, c = (torch.randn(2, x.shape[2], size, generator=drawn).to(dtype) for size in layers[0].state_sizes)
    given = {"x": x.to(dtype), "h": h, "c": c}
    for part in given.values():
        part.requires_grad_()
    y, cells = run(layers, *given.values())
    said = torch.sin(torch.arange(y.numel(), dtype=dtype)).view(y.shape)
    loss = (y.to(dtype) * said).sum() + cells.square().sum()
    given |= {f"{d} {name}": weights for d, layer in enumerate(layers) for name, weights in layer.named_parameters()}
    gradients = torch.autograd.grad(loss, list(given.values()))
    found = {"y": y, "cells": cells} | dict(zip(given, gradients, strict=True))
    return {name: part.detach().double() for name, part in found.items()}


def in_mixed_precision(layers: list[FastLstmLayer], x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, cells = run_directions(layers, x, h, c)
    assert (y.dtype, cells.dtype) == (torch.bfloat16, torch.float32)
    return y, cells


def defined(rounded: bool):
    def run(layers: list[FastLstmLayer], x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        of_layers = [by_definition(rounded, layer, x[d], h[d], c[d]) for d, layer in enumerate(layers)]
        return tuple(torch.stack(parts) for parts in zip(*of_layers, strict=True))

    return run


@needs_bfloat16
@pytest.mark.parametrize(("frames", "batch", "hidden"), [(1, 1, 4), (7, 9, 36), (20, 3, 64)])
@pytest.mark.parametrize("member", MEMBERS)
def test_products_are_rounded_and_nothing_else(member: str, frames: int, batch: int, hidden: int) -> None:
    x = torch.randn(2, frames, batch, F, generator=torch.Generator().manual_seed(1))
    layers = layers_of(member, hidden)
    got = results(layers, in_mixed_precision, x, torch.float32)
    wanted, exact = (results(layers, defined(rounded), x, torch.float64) for rounded in (True, False))
    for name, mine in got.items():
        off, rounded = (float((mine - other[name]).norm() / other[name].norm()) for other in (wanted, exact))
        if name in ("y", "cells", "c") or name[2:] in ("b", "P"):
            assert off < 4e-4 < rounded, name
        else:  # a sum that is rounded itself may be so the other way
            assert off < 4e-3, name


@needs_bfloat16
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("member", MEMBERS)
def test_an_item_has_the_same_bits_in_any_company(member: str, threads: int) -> None:
    x = torch.randn(2, 12, 13, F, generator=torch.Generator().manual_seed(2))
    layers, before = layers_of(member, 40), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            together, _ = run_directions(layers, x)
            for items in ([0], [12], [3, 7], [5, 1, 9, 2, 11]):
                assert run_directions(layers, x[:, :, items])[0].equal(together[:, :, items])
    finally:
        torch.set_num_threads(before)


@needs_bfloat16
@pytest.mark.parametrize(("rows", "terms", "columns"), [(1, 2, 1), (15, 8, 31), (16, 34, 32), (29, 130, 200)])
def test_sums_of_products_are_in_single_precision(rows: int, terms: int, columns: int) -> None:
    drawn = torch.Generator().manual_seed(0)
    left, matrix = (torch.randn(shape, generator=drawn).bfloat16() for shape in ((rows, terms), (terms, columns)))
    out = torch.randn(rows, columns, generator=drawn)
    wanted = out.double() + left.double() @ matrix.double()
    bits = matrix.view(torch.uint16).numpy()
    for blocks in (products.blocked(bits), products.blocked(np.ascontiguousarray(bits.T).T)):
        got = out.clone()
        products.add_product(got.numpy(), left.view(torch.uint16).numpy(), blocks, 0, rows)
        torch.testing.assert_close(got.double(), wanted, rtol=0, atol=1e-5)


def test_numbers_are_rounded_as_torch_does_it() -> None:
    values = (
        torch.randn(100_000, generator=torch.Generator().manual_seed(0))
        * 10.0 ** torch.arange(-37, 38).repeat(1334)[:100_000]
    )
    halves = torch.arange(0x3F80_0000, 0x3F90_0000, 0x8000, dtype=torch.int32).view(torch.float32)
    values = torch.cat([values, halves, torch.tensor([0.0, -0.0, torch.inf, -torch.inf, 3.4e38])])
    bits, back = np.empty(len(values), np.uint16), np.empty(len(values), np.float32)
    kernels.take(bits, values.numpy())
    assert torch.from_numpy(bits).view(torch.bfloat16).equal(values.bfloat16())
    kernels.take(back, bits)
    assert torch.from_numpy(back).equal(values.bfloat16().float())
    kernels.take(bits[:1], np.array([np.nan], np.float32))
    assert torch.from_numpy(bits[:1]).view(torch.bfloat16).isnan()


def test_gates_are_kept_to_five_digits_and_closed_or_open_exactly() -> None:
    gates = np.concatenate([np.linspace(-1, 1, 100_001), [0.999, 1 - 1e-4]]).astype(np.float32)
    kept, back = np.empty(len(gates), np.int16), np.empty_like(gates)
    kernels.take(kept, gates)
    kernels.take(back, kept)
    np.testing.assert_allclose(back, gates, rtol=0, atol=0.51 / 32_767)
    assert back[[0, 50_000, 100_000]].tolist() == [-1, 0, 1]


def test_other_processors_and_odd_sizes_stay_in_single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    def chosen(units: int, products: torch.dtype) -> torch.dtype:
        return steps_of(LstmForm("forgotten"), LstmWeights(None, None, torch.zeros(1, 4, units)), products).dtype

    monkeypatch.setattr(compiled_steps, "BFLOAT16", True)
    assert chosen(2, torch.bfloat16) == torch.bfloat16
    assert [chosen(1, torch.bfloat16), chosen(2, torch.float16), chosen(2, torch.float32)] == [torch.float32] * 3
    monkeypatch.setattr(compiled_steps, "BFLOAT16", False)
    assert chosen(2, torch.bfloat16) == torch.float32
