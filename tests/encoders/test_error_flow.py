"""The error flow against powers of a known matrix, against autograd through the fast layers, and over every cell."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from encoders.blstm import EncoderConfig
from encoders.cells import CELLS
from encoders.error_flow import error_flow, errors_at, read_through
from encoders.network import Network

F, V = 3, 4


def made(head: str = "ctc", **shape: object) -> Network:
    settings = {"layers": 2, "hidden_size": 6, "subsampling": [2]} | shape
    network = Network(F, V, EncoderConfig(**settings), head=head).double().eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return network


def frames(count: int) -> Tensor:
    return torch.randn(count, F, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@pytest.mark.parametrize("radius", [0.5, 1.0, 1.3])
def test_in_a_plain_network_at_rest_it_is_the_powers_of_the_recurrent_matrix(radius: float) -> None:
    """Where nothing moves, tanh has slope 1: what comes back k steps is R^T to the k-th times what entered."""
    network = made(cell="rnn", layers=1, subsampling=[1])
    matrices = {}
    rng = np.random.default_rng(3)
    for direction, layers in (("forward", network.encoder.forwards), ("backward", network.encoder.backwards)):
        R = rng.standard_normal((6, 6))
        R *= radius / np.abs(np.linalg.eigvals(R)).max()
        arrays = {name: np.zeros_like(array) for name, array in layers[0].to_onnx().items()} | {"R": R[None]}
        layers[0].from_onnx(arrays)
        matrices[direction] = R
    flow = error_flow(network, torch.zeros(20, F, dtype=torch.float64), back=9, errors=3, seed=7)
    generator = torch.Generator().manual_seed(7)
    ahead, behind = network.head.linear.weight.detach().numpy().T.reshape(2, 6, V)
    heads = {"forward": ahead, "backward": behind}
    for direction in ("forward", "backward"):
        R, got = matrices[direction], flow[f"layer0.{direction}"].numpy()
        for series in got:
            error = torch.randn(V, generator=generator, dtype=torch.float64).numpy()
            arrived = heads[direction] @ error / np.linalg.norm(error)
            wanted = [np.linalg.norm(np.linalg.matrix_power(R.T, k) @ arrived) for k in range(10)]
            np.testing.assert_allclose(series, wanted, rtol=1e-10)
        rate = (got[:, 9] / got[:, 0]) ** (1 / 9)
        assert rate.mean() == pytest.approx(radius, abs=0.35 * radius)
    # Without input weights nothing goes on to the frames.
    assert not flow["frames.forward"].any()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("head", ["ctc", "class"])
def test_the_sum_over_errors_is_the_gradient_of_the_fast_layers(cell: str, head: str) -> None:
    """Errors at every step, each alone, add up to what autograd finds for all of them at once, at the frames."""
    network = made(head, cell=cell)
    x_TF = frames(9)
    reading = read_through(network, x_TF)
    error_TV = torch.randn(reading.scores_TV.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    total = torch.zeros_like(x_TF)
    for step in range(len(error_TV)):
        alone = torch.zeros_like(error_TV)
        alone[step] = error_TV[step]
        total += errors_at(reading, alone)["frames"]
    whole = x_TF.clone().requires_grad_()
    encoded, _ = network.encoder(whole[None], torch.tensor([9]))
    scores = network.head.linear(encoded)[0]
    torch.testing.assert_close(reading.scores_TV, scores, rtol=0, atol=1e-12)
    scores.backward(error_TV)
    torch.testing.assert_close(total, whole.grad, rtol=0, atol=1e-12)


def test_convolutions_and_normalised_outputs_are_read_through() -> None:
    network = made(convolution=8, subsampling=[1], output_norm=True)
    x_TF = frames(18).requires_grad_()
    reading = read_through(network, x_TF.detach())
    scores = network.head.linear(network.encoder(x_TF[None], torch.tensor([18]))[0])[0]
    torch.testing.assert_close(reading.scores_TV, scores, rtol=0, atol=1e-12)
    error_TV = torch.randn(scores.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    [wanted] = torch.autograd.grad(scores, x_TF, error_TV)
    torch.testing.assert_close(errors_at(reading, error_TV)["frames"], wanted, rtol=0, atol=1e-12)
    flow = error_flow(network, x_TF.detach(), back=2, errors=2, seed=0)
    assert all(norms.shape == (2, 3) and bool(norms[:, 0].all()) for norms in flow.values())


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru", "cifg"])
def test_errors_at_outputs_are_those_of_outputs_that_are_moved(cell: str) -> None:
    """All that follows from moving h of one layer at one step, by central differences in the next layers and steps."""
    network = made(cell=cell, subsampling=[1])
    x_TF = frames(7)
    reading = read_through(network, x_TF)
    error_TV = torch.zeros_like(reading.scores_TV)
    error_TV[5] = torch.tensor([1.0, -2.0, 0.5, 1.5], dtype=torch.float64)
    found = errors_at(reading, error_TV)["layer0.forward"][2]

    def score(moved: Tensor) -> float:
        """As the encoder computes it, but that h of layer 0 is moved after frame 2."""
        layers = network.layers()
        first, state = layers["layer0.forward"](x_TF[None, :3])
        first = torch.cat([first[:, :2], first[:, 2:] + moved], dim=1)
        rest, _ = layers["layer0.forward"](x_TF[None, 3:], (state[0] + moved, *state[1:]))
        back, _ = layers["layer0.backward"](x_TF[None].flip(1))
        y = torch.cat([torch.cat([first, rest], dim=1), back.flip(1)], dim=-1)
        ahead, back = layers["layer1.forward"](y)[0], layers["layer1.backward"](y.flip(1))[0].flip(1)
        return float((network.head.linear(torch.cat([ahead, back], dim=-1))[0] * error_TV).sum().detach())

    for unit in range(6):
        move = torch.zeros(6, dtype=torch.float64)
        move[unit] = 1e-5
        assert (score(move) - score(-move)) / 2e-5 == pytest.approx(float(found[unit]), abs=1e-7)


def test_directions_are_followed_as_they_read_and_steps_are_those_of_scores() -> None:
    network = made(layers=3, subsampling=[1, 2, 2])
    x_TF = frames(21)  # 6 steps of scores, the last of one frame
    flow = error_flow(network, x_TF, back=3, errors=2, seed=0)
    assert {name: tuple(norms.shape) for name, norms in flow.items()} == {
        f"{part}.{way}": (2, 4) for part in ("frames", "layer0", "layer1", "layer2") for way in ("forward", "backward")
    }
    reading = read_through(network, x_TF)
    generator = torch.Generator().manual_seed(0)
    for direction, steps in (("forward", (3, 5)), ("backward", (2, 0))):
        for number, step in enumerate(steps):
            error_TV = torch.zeros_like(reading.scores_TV)
            drawn = torch.randn(V, generator=generator, dtype=torch.float64)
            error_TV[step] = drawn / drawn.norm()
            arrived = errors_at(reading, error_TV)
            for layer, each in (("layer0", 4), ("layer1", 2), ("layer2", 1)):
                for back in range(4):
                    at = step - back if direction == "forward" else step + back
                    rows = arrived[f"{layer}.{direction}"][each * at : each * (at + 1)]
                    assert flow[f"{layer}.{direction}"][number, back] == pytest.approx(float(rows.norm()), rel=1e-12)
            rows = arrived["frames"][4 * steps[0] : 4 * steps[0] + 4]
            assert number or flow[f"frames.{direction}"][0, 0] == pytest.approx(float(rows.norm()), rel=1e-12)


def test_the_carousel_of_1997_keeps_what_a_plain_network_loses() -> None:
    """Gates held open and nothing else recurrent: what enters the cells comes back from any distance."""
    kept, lost = (made(cell=cell, layers=1, bidirectional=False, subsampling=[1]) for cell in ("lstm_1997", "rnn"))
    with torch.no_grad():
        for network in (kept, lost):
            weights = network.encoder.forwards[0].to_onnx()
            network.encoder.forwards[0].from_onnx({**weights, "R": 0.1 * weights["R"], "B": 0.1 * weights["B"]})
    x_TF = 0.3 * frames(60)
    far = {network: error_flow(network, x_TF, back=50, errors=4)["frames.forward"].mean(0) for network in (kept, lost)}
    assert far[kept][40:].mean() > 0.05 * far[kept][:10].mean()
    assert far[lost][40] < 1e-8 * far[lost][0]


def test_the_truncated_gradient_of_1997_goes_through_the_cells_alone() -> None:
    network = made(cell="lstm_1997", layers=1, bidirectional=False, subsampling=[1], truncated_gradient=True)
    flow = error_flow(network, frames(12), back=6, errors=2)
    assert flow["layer0.forward"][:, 0].all()
    assert not flow["layer0.forward"][:, 1:].any()
    assert flow["frames.forward"].all()
