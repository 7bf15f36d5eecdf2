"""The compiled steps of the LSTM family against its definition in double precision, whatever sizes and threads."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from encoders import compiled_kernels as kernels
from encoders import compiled_products as products
from encoders.cells import CELLS, CellOptions
from encoders.compiled_steps import CompiledSteps, divided
from encoders.layers import FastLstmLayer, run_directions, states_by_step
from encoders.recurrence import steps_of
from encoders.steps import LstmForm, LstmWeights
from encoders.torch_steps import TorchSteps

MEMBERS = {name: (name, CellOptions()) for name, cell in CELLS.items() if cell.operator == "LSTM"} | {
    "lstm_1997, truncated": ("lstm_1997", CellOptions(truncated_gradient=True)),
    "lstmp, of a size": ("lstmp", CellOptions(projection_size=3)),
}
F = 6
SIZES = [(1, 1, 1, 4), (2, 9, 1, 5), (2, 5, 3, 16), (1, 7, 9, 37), (2, 30, 11, 64), (1, 3, 70, 8), (2, 3, 0, 4)]
# Each member in all sizes; and each member, and each size, with all numbers of threads.
GRID = [
    pytest.param(member, *sizes, 1 + (row + column) % 3, id=f"{member}, {sizes}, {1 + (row + column) % 3} threads")
    for row, member in enumerate(MEMBERS)
    for column, sizes in enumerate(SIZES)
]


@pytest.fixture(params=[1, 2, 3], ids=lambda count: f"{count} threads")
def threads(request: pytest.FixtureRequest):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def layers_of(member: str, directions: int, hidden: int) -> list[FastLstmLayer]:
    name, options = MEMBERS[member]
    torch.manual_seed(3)
    layers = [FastLstmLayer(name, F, hidden, options) for _ in range(directions)]
    with torch.no_grad():
        for layer in layers:
            for parameter in layer.parameters():
                parameter.copy_(torch.randn_like(parameter) / max(hidden, F) ** 0.5)
    return layers


def results(layers: list[FastLstmLayer], run, x_DTBF: torch.Tensor, dtype: torch.dtype) -> list[torch.Tensor]:
    """Outputs, cells, and the gradients of a loss in which all of them have a say, in everything given."""
    directions, _, batch, _ = x_DTBF.shape
    for layer in layers:
        layer.to(dtype)
    generator = torch.Generator().manual_seed(4)
    h, c = (
        torch.randn(directions, batch, size, generator=generator).to(dtype).requires_grad_()
        for size in layers[0].state_sizes
    )
    x_DTBF = x_DTBF.to(dtype).requires_grad_()
    y, cells = run(layers, x_DTBF, h, c)
    loss = (y * torch.sin(torch.arange(y.numel(), dtype=dtype)).view(y.shape)).sum() + cells.square().sum()
    parameters = [parameter for layer in layers for parameter in layer.parameters()]
    found = [y, cells, *torch.autograd.grad(loss, (x_DTBF, h, c, *parameters), allow_unused=True)]
    return [part.detach().double() for part in found if part is not None]


def by_definition(layers: list[FastLstmLayer], x: torch.Tensor, h: torch.Tensor, c: torch.Tensor):
    of_layers = [states_by_step(layer, x[d].transpose(0, 1), (h[d], c[d])) for d, layer in enumerate(layers)]
    return tuple(torch.stack([torch.stack([state[k] for state in states]) for states in of_layers]) for k in (0, 1))


@pytest.mark.parametrize(("member", "directions", "frames", "batch", "hidden", "threads"), GRID, indirect=["threads"])
def test_results_are_those_of_the_definition(
    member: str, directions: int, frames: int, batch: int, hidden: int, threads: int
) -> None:
    x = torch.randn(directions, frames, batch, F, generator=torch.Generator().manual_seed(1))
    layers = layers_of(member, directions, hidden)
    got = results(layers, run_directions, x, torch.float32)
    wanted = results(layers, by_definition, x, torch.float64)
    # The truncated gradient says nothing to the first h: there the definition has no number, and the kernels a zero.
    if MEMBERS[member][1].truncated_gradient:
        assert not got.pop(3).any()
    for mine, exact in zip(got, wanted, strict=True):
        largest = float(exact.abs().max()) if exact.numel() else 0.0
        torch.testing.assert_close(mine, exact, rtol=0, atol=3e-6 * max(1.0, largest))


@pytest.mark.parametrize("member", MEMBERS)
def test_an_item_has_the_same_bits_in_any_company(member: str, threads: int) -> None:
    x = torch.randn(2, 12, 13, F, generator=torch.Generator().manual_seed(2))
    layers = layers_of(member, 2, 40)
    with torch.no_grad():
        together, _ = run_directions(layers, x)
        for items in ([0], [12], [3, 7], [5, 1, 9, 2, 11]):
            assert run_directions(layers, x[:, :, items])[0].equal(together[:, :, items])


def test_a_nan_stays_with_its_item() -> None:
    x = torch.randn(2, 6, 4, F)
    layers = layers_of("peephole", 2, 20)
    with torch.no_grad():
        clean, _ = run_directions(layers, x)
        x[0, 2, 1, 3] = torch.nan
        y, _ = run_directions(layers, x)
    assert y[0, 2:, 1].isnan().all()
    y[0, 2:, 1] = clean[0, 2:, 1]
    assert y.equal(clean)


def test_numbers_beyond_all_bounds_saturate() -> None:
    x = torch.tensor([-torch.inf, -3e38, -200.0, 200.0, 3e38, torch.inf]).numpy()
    logistic = x.copy()
    kernels.squash(logistic)
    np.testing.assert_allclose(logistic, [0, 0, 0, 1, 1, 1], atol=1e-37)
    tanh = np.empty_like(x)
    kernels.squash_cells(tanh, x)
    np.testing.assert_array_equal(tanh, [-1, -1, -1, 1, 1, 1])


def test_the_functions_are_right_to_single_precision() -> None:
    x = np.concatenate([np.linspace(-90, 90, 400_001), np.logspace(-30, 0, 1001)]).astype(np.float32)
    exact = x.astype(np.float64)
    logistic = x.copy()
    kernels.squash(logistic)
    np.testing.assert_allclose(logistic, 1 / (1 + np.exp(-exact)), rtol=3e-7, atol=2e-38)
    tanh = np.empty_like(x)
    kernels.squash_cells(tanh, x)
    np.testing.assert_allclose(tanh, np.tanh(exact), rtol=4e-7, atol=0)


@pytest.mark.parametrize(
    ("rows", "terms", "columns"), [(1, 1, 1), (15, 7, 31), (16, 33, 32), (29, 130, 200), (8, 64, 96), (9, 0, 64)]
)
def test_products_add_to_the_rows_asked_for(rows: int, terms: int, columns: int) -> None:
    draw = np.random.default_rng(0)
    left, matrix, out = (
        draw.standard_normal(shape, np.float32) for shape in ((rows, terms), (terms, columns), (rows, columns))
    )
    wanted = out.astype(np.float64)
    first, last = rows // 3, rows
    wanted[first:last] += left[first:last].astype(np.float64) @ matrix
    products.add_product(out, left, products.blocked(matrix), first, last)
    np.testing.assert_allclose(out, wanted, rtol=0, atol=1e-5 * terms**0.5)
    wanted[first:last] += left[first:last].astype(np.float64) @ matrix
    products.add_product(out, left, products.blocked(np.ascontiguousarray(matrix.T).T), first, last)
    np.testing.assert_allclose(out, wanted, rtol=0, atol=1e-5 * terms**0.5)


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("batch", [0, 1, 2, 7, 16, 33])
def test_every_item_is_in_one_part(directions: int, batch: int, threads: int) -> None:
    counted = np.zeros((directions, batch), int)
    parts = divided(directions, batch)
    for part in parts:
        assert part.first < part.last
        counted[part.direction, part.first : part.last] += 1
    assert (counted == 1).all()
    assert len(parts) <= max(directions, threads)


def test_a_second_way_back_finds_what_the_first_found() -> None:
    layers = layers_of("peephole", 2, 12)
    y, _ = run_directions(layers, torch.randn(2, 5, 4, F))
    once, twice = (torch.autograd.grad(y.sum(), layers[0].R, retain_graph=True)[0] for _ in range(2))
    assert once.equal(twice)


def test_the_compiled_steps_are_for_single_precision_without_layer_normalisation() -> None:
    plain = LstmWeights(None, None, torch.zeros(1, 4, 1))
    form = LstmForm("forgotten")
    assert isinstance(steps_of(form, plain, torch.float32), CompiledSteps)
    double, normalised = torch.zeros(1, 4, 1, dtype=torch.float64), torch.ones(1, 4)
    assert isinstance(steps_of(form, plain._replace(R_DGP=double), torch.float64), TorchSteps)
    assert isinstance(steps_of(form, plain._replace(gain_DG=normalised), torch.float32), TorchSteps)


def test_where_nothing_can_be_kept_it_is_compiled_all_the_same(tmp_path) -> None:
    """As in a container whose file system is for reading alone."""
    code = (
        "import numba.core.caching as c\n"
        "c.CacheImpl._locator_classes = []\n"
        "from encoders.compiled_kernels import squash\n"
        "import numpy as np\n"
        "x = np.zeros(1, np.float32); squash(x); print(x[0])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.strip() == "0.5", run.stderr
