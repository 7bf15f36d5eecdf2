"""Every member of the LSTM family: its step against NumPy and torch's cells, its fast layer against its step."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from encoders import compiled_steps
from encoders.blstm import EncoderConfig
from encoders.cells import CELLS, CellOptions, State, check
from encoders.compiled_products import BFLOAT16
from encoders.layers import FastLstmLayer, NativeLayer, RecurrentLayer, make_layer, run_steps

numpy_cells = runpy.run_path(str(Path(__file__).with_name("numpy_cells.py")))
NumpyCell, truncated_gradients = numpy_cells["NumpyCell"], numpy_cells["truncated_gradients"]


def _members() -> dict[str, tuple[str, CellOptions]]:
    members = {name: (name, CellOptions()) for name in CELLS}
    members |= {f"{name}, normalised": (name, CellOptions(layer_norm=True)) for name in CELLS if CELLS[name].normalises}
    return members | {"lstmp, of a size": ("lstmp", CellOptions(projection_size=3))}


MEMBERS = _members()
EACH = pytest.mark.parametrize("member", MEMBERS)
F, H = 3, 4


def layer_of(member: str, dtype: torch.dtype = torch.float64, seed: int = 0) -> RecurrentLayer:
    """A layer with all parameters drawn at random, so that swapped gates and forgotten biases cannot hide."""
    name, options = MEMBERS[member]
    layer = make_layer(name, F, H, options).to(dtype)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(0.6 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return layer


def drawn(layer: RecurrentLayer, batch: int, frames: int, seed: int = 1) -> tuple[torch.Tensor, State]:
    generator = torch.Generator().manual_seed(seed)
    dtype = next(layer.parameters()).dtype
    sizes = ((batch, frames, F), *((batch, size) for size in layer.state_sizes))
    x, *state = (torch.randn(size, generator=generator, dtype=torch.float64).to(dtype) for size in sizes)
    return x, tuple(state)


def gradients(layer: RecurrentLayer, run, x: torch.Tensor, state: State) -> list[torch.Tensor]:
    """Of a loss on which outputs and last state all have a say, in frames, first state and parameters."""
    inputs = [part.clone().requires_grad_() for part in (x, *state)]
    y, last = run(inputs[0], tuple(inputs[1:]))
    weights = torch.sin(torch.arange(y.numel(), dtype=y.dtype)).view(y.shape)
    loss = (weights * y).sum() + sum(part.square().sum() for part in last)
    return list(torch.autograd.grad(loss, (*inputs, *layer.parameters())))


@EACH
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])
def test_step_and_layer_equal_numpy(member: str, dtype: torch.dtype) -> None:
    layer = layer_of(member, dtype)
    x, state = drawn(layer, 3, 9)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    for run in (lambda: layer(x, state), lambda: run_steps(layer, x, state)):
        y, last = run()
        assert y.dtype == dtype
        assert y.shape == (3, 9, layer.output_size)
        assert [part.shape[1] for part in last] == list(layer.state_sizes)
        for item in range(3):
            by_hand = NumpyCell(layer.name, layer.to_onnx())
            wanted, end = by_hand.run(x[item].double().numpy(), [part[item].double().numpy() for part in state])
            np.testing.assert_allclose(y[item].detach(), wanted, rtol=0, atol=tolerance)
            for got, part in zip(last, end, strict=True):
                np.testing.assert_allclose(got[item].detach(), part, rtol=0, atol=tolerance)


def test_errors_of_single_precision_are_as_small_as_those_of_torchs_lstm() -> None:
    """Of gradients after 200 steps, against double precision."""

    def error(name: str) -> float:
        torch.manual_seed(0)
        layer = make_layer(name, 16, 32)
        x = torch.randn(4, 200, 16)
        grads = []
        for dtype in (torch.float32, torch.float64):
            layer.to(dtype).zero_grad()
            layer(x.to(dtype))[0].square().mean().backward()
            grads.append(torch.cat([parameter.grad.flatten().double() for parameter in layer.parameters()]))
        return float((grads[0] - grads[1]).norm() / grads[1].norm())

    torchs = error("lstm")
    assert torchs < 1e-6
    for name in ("peephole", "cifg"):
        assert error(name) < 3 * torchs
    # The cell of 1997 forgets no error of rounding either.
    assert error("lstm_1997") < 1e-4


@pytest.mark.parametrize("name", ["lstm", "lstmp", "cifg", "peephole"])
def test_autocast_rounds_the_products_over_all_frames_and_no_step(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a processor without products in bfloat16; on others see test_bfloat16_steps.py."""
    monkeypatch.setattr(compiled_steps, "BFLOAT16", False)
    layer = layer_of(name, torch.float32)
    x, state = drawn(layer, 3, 200)
    y, (h, c) = layer(x, state)
    wanted = gradients(layer, layer, x, state)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded_y, rounded_state = layer(x, state)
        inside = gradients(layer, layer, x, state)
    # A product rounded to eight bits is off by 2^-9 of its size; two hundred rounded steps would be off by far more.
    for got, exact in zip((rounded_y, *rounded_state, *inside), (y, h, c, *wanted), strict=True):
        assert got.dtype == torch.float32
        assert (got - exact).abs().max() < 0.02 * exact.abs().max()
    assert not rounded_y.equal(y)
    # Where W x is nothing that could be rounded, the steps have the bits that they have without.
    with torch.no_grad():
        for parameter_name, parameter in layer.named_parameters():
            if parameter.ndim == 1:
                assert parameter_name.startswith("b") or "bias" in parameter_name
                parameter.zero_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        silent = layer(torch.zeros_like(x), state)[0]
    assert silent.equal(layer(torch.zeros_like(x), state)[0])


def test_the_way_back_of_a_gru_under_autocast_is_in_single_precision() -> None:
    layer = layer_of("gru", torch.float32)
    x, state = drawn(layer, 3, 9)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = gradients(layer, layer, x, state)
    for got, wanted in zip(inside, gradients(layer, layer, x, state), strict=True):
        assert got.equal(wanted)


def test_the_precision_of_weights_decides_how_an_lstm_is_computed() -> None:
    layer = make_layer("lstm", F, H)
    x = torch.randn(2, 5, F)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(x)[0].equal(layer(x.double())[0])
        assert layer(x.bfloat16())[0].dtype == (torch.bfloat16 if BFLOAT16 else torch.float32)
    assert layer.recurs(x)
    assert not layer.double().recurs(x)


@EACH
def test_no_state_is_a_state_of_zeros(member: str) -> None:
    layer = layer_of(member)
    x, state = drawn(layer, 2, 5)
    y, _ = layer(x)
    assert y.equal(layer(x, tuple(torch.zeros_like(part) for part in state))[0])
    assert not y.equal(layer(x, state)[0])


@EACH
def test_gradients_are_those_of_the_tape(member: str) -> None:
    layer = layer_of(member)
    x, state = drawn(layer, 2, 7)
    fast = gradients(layer, layer, x, state)
    taped = gradients(layer, lambda x, state: run_steps(layer, x, state), x, state)
    for got, wanted in zip(fast, taped, strict=True):
        assert wanted.abs().max() > 0
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)
    for got, again in zip(gradients(layer, layer, x, state), fast, strict=True):
        assert got.equal(again), "twice the same gives the same bits"


@EACH
def test_gradients_are_those_of_finite_differences(member: str) -> None:
    layer = layer_of(member)
    names = [name for name, _ in layer.named_parameters()]
    x, state = drawn(layer, 2, 3)

    def run(x: torch.Tensor, *rest: torch.Tensor) -> tuple[torch.Tensor, ...]:
        weights = dict(zip(names, rest[len(state) :], strict=True))
        y, last = torch.func.functional_call(layer, weights, (x, tuple(rest[: len(state)])))
        return (y, *last)

    inputs = (x, *state, *(parameter.detach() for parameter in layer.parameters()))
    assert torch.autograd.gradcheck(run, tuple(part.clone().requires_grad_() for part in inputs), fast_mode=True)


@EACH
def test_pieces_with_carried_state_are_the_whole_and_its_gradients(member: str) -> None:
    layer = layer_of(member)
    x, state = drawn(layer, 2, 8)

    def in_pieces(x: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        first, state = layer(x[:, :3], state)
        second, state = layer(x[:, 3:], state)
        return torch.cat([first, second], dim=1), state

    torch.testing.assert_close(in_pieces(x, state), layer(x, state), rtol=0, atol=1e-13)
    for got, wanted in zip(gradients(layer, in_pieces, x, state), gradients(layer, layer, x, state), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)


@EACH
def test_weights_come_back_from_the_stored_layout(member: str) -> None:
    layer, other = layer_of(member, seed=1), layer_of(member, seed=2)
    other.from_onnx(layer.to_onnx())
    for got, wanted in zip(other.parameters(), layer.parameters(), strict=True):
        assert got.equal(wanted)
    assert all(array.shape[0] == 1 for array in layer.to_onnx().values())


def test_truncated_gradients_equal_the_papers_own_algorithm() -> None:
    layer = make_layer("lstm_1997", F, H, CellOptions(truncated_gradient=True)).double()
    true = make_layer("lstm_1997", F, H).double()
    true.load_state_dict(layer.state_dict())
    x, _ = drawn(layer, 1, 12)
    dy = torch.randn(1, 12, H, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    y, _ = layer(x)
    y.backward(dy)
    assert y.equal(true(x)[0]), "outputs are the same"
    true(x)[0].backward(dy)
    order = [1, 0, 2]  # i, o, g as stored, of o, i, g
    wanted = truncated_gradients(layer.to_onnx(), x[0].numpy(), dy[0].numpy())
    for got, full, expected in zip(layer.parameters(), true.parameters(), wanted, strict=True):
        parts = torch.cat([got.grad.chunk(3)[k] for k in order])
        np.testing.assert_allclose(parts, expected, rtol=1e-10, atol=1e-12)
        assert not torch.allclose(got.grad, full.grad, rtol=1e-3)


def test_truncated_gradients_equal_a_tape_that_is_cut() -> None:
    layer = make_layer("lstm_1997", F, H, CellOptions(truncated_gradient=True, layer_norm=True)).double()
    x, _ = drawn(layer, 2, 6)
    grads = []
    for run in (layer, lambda x: run_steps(layer, x)):
        layer.zero_grad()
        frames = x.clone().requires_grad_()
        run(frames)[0].square().sum().backward()
        grads.append([frames.grad, *(parameter.grad.clone() for parameter in layer.parameters())])
    for got, wanted in zip(*grads, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("name", "other"), [("lstm", nn.LSTMCell), ("gru_cudnn", nn.GRUCell), ("rnn", nn.RNNCell)])
def test_steps_equal_torchs_cells(name: str, other: type[nn.Module]) -> None:
    layer, cell = layer_of(name), other(F, H).double()
    cell.load_state_dict({key.removesuffix("_l0"): value for key, value in layer.native.state_dict().items()})
    x, state = drawn(layer, 5, 1)
    got, _ = CELLS[name].step(x[:, 0], state, layer.stored())
    wanted = cell(x[:, 0], state if name == "lstm" else state[0])
    torch.testing.assert_close(got, wanted[0] if name == "lstm" else wanted, rtol=0, atol=1e-14)


def test_projection_on_a_cpu_equals_torchs_own_loop() -> None:
    layer = layer_of("lstmp")
    x, (h, c) = drawn(layer, 2, 6)
    y, (last_h, last_c) = layer.native(x, (h[None], c[None]))
    own, last = layer(x, (h, c))
    torch.testing.assert_close((own, *last), (y, last_h[0], last_c[0]), rtol=0, atol=1e-13)


def test_which_is_computed_how() -> None:
    assert {name for name in CELLS if isinstance(make_layer(name, F, H), NativeLayer)} == {
        "rnn", "lstm", "lstmp", "gru_cudnn",
    }  # fmt: skip
    assert isinstance(make_layer("peephole", F, H), FastLstmLayer)
    assert isinstance(make_layer("lstm", F, H, CellOptions(layer_norm=True)), FastLstmLayer)


def test_the_two_grus_are_not_the_same() -> None:
    cho, cudnn = layer_of("gru"), layer_of("gru_cudnn")
    cudnn.from_onnx(cho.to_onnx())
    x, state = drawn(cho, 2, 4)
    assert not torch.allclose(cho(x, state)[0], cudnn(x, state)[0], atol=1e-3)


@pytest.mark.parametrize(("name", "gate", "bias"), [("lstm", 2, 2.5), ("peephole", 2, 2.5), ("lstmp", 2, 2.5),
                                                    ("cifg", 0, -2.5), ("cifg_peephole", 0, -2.5)])  # fmt: skip
def test_the_forget_gate_starts_as_open_as_is_asked_for(name: str, gate: int, bias: float) -> None:
    first, second = np.split(make_layer(name, F, H, CellOptions(forget_bias=2.5)).to_onnx()["B"][0], 2)
    gates = (first + second).reshape(-1, H)
    assert (gates[gate] == bias).all()
    assert not np.delete(gates, gate, axis=0).any()


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        ("perceptron", {}, "perceptron.*known cells: rnn, lstm_1997, lstm, peephole, cifg"),
        ("gru", {"layer_norm": True}, "layer_norm.*gru_cudnn"),
        ("gru_cudnn", {"forget_bias": 2.0}, "forget_bias.*gru_cudnn has no forget gate"),
        ("lstm_1997", {"forget_bias": 2.0}, "no forget gate"),
        ("lstm", {"projection_size": 2}, "projection_size is for cell lstmp"),
        ("lstmp", {"projection_size": 4}, "less than hidden_size"),
        ("lstmp", {"projection_size": -1}, "less than hidden_size"),
        ("lstm", {"truncated_gradient": True}, "truncated_gradient.*lstm_1997"),
    ],
)
def test_what_a_cell_has_not_is_refused_by_name(name: str, options: dict, named: str) -> None:
    for make in (
        lambda: check(name, 4, CellOptions(**options)),
        lambda: EncoderConfig(cell=name, hidden_size=4, **options),
    ):
        with pytest.raises(ValueError, match=named):
            make()


def test_a_projection_needs_two_units() -> None:
    with pytest.raises(ValueError, match="hidden_size must be at least 2"):
        EncoderConfig(cell="lstmp", hidden_size=1)
