"""The Triton kernels in Triton's interpreter, on a CPU, against the torch form; on a GPU, as they are used."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys

import pytest
import torch

from encoders import recurrence
from encoders.cells import CellOptions
from encoders.layers import FastLstmLayer, run_directions
from encoders.torch_steps import TorchSteps

# Neither items nor units fill whole tiles.
D, T, B, F, H = 2, 3, 19, 5, 37
MEMBERS = {
    "forget gate": ("lstm", CellOptions()),
    "1997, truncated": ("lstm_1997", CellOptions(truncated_gradient=True)),
    "peephole": ("peephole", CellOptions()),
    "coupled, peephole": ("cifg_peephole", CellOptions()),
}


def results(member: str, device: str = "cpu", dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    """Outputs, last cells and all gradients, of two layers at once from a state."""
    name, options = MEMBERS[member]
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(device, dtype)

    layers = [FastLstmLayer(name, F, H, options).to(device, dtype) for _ in range(D)]
    with torch.no_grad():
        for layer in layers:
            for parameter in layer.parameters():
                parameter.copy_(0.4 * drawn(*parameter.shape))
    x, h, c = (part.requires_grad_() for part in (drawn(D, T, B, F), drawn(D, B, H), drawn(D, B, H)))
    y, last = run_directions(layers, x, h, c)
    parameters = [parameter for layer in layers for parameter in layer.parameters()]
    loss = y.square().sum() + (y * torch.sin(y)).sum() + last.square().sum()
    return [y, last, *torch.autograd.grad(loss, (x, h, c, *parameters))]


def errors_of_kernels() -> dict[str, float]:
    """Largest difference between the kernels and the torch form, as a share of the largest number, of each member."""
    fused = importlib.import_module("encoders.fused_steps")
    found, choose = {}, recurrence.steps_of
    for member in MEMBERS:
        recurrence.steps_of = lambda form, w, products: TorchSteps(form, w)
        wanted = results(member)
        recurrence.steps_of = lambda form, w, products: fused.FusedSteps(form, w)
        got = results(member)
        recurrence.steps_of = choose
        found[member] = max(
            float((one - other).detach().abs().max()) / max(float(other.detach().abs().max()), 1.0)
            for one, other in zip(got, wanted, strict=True)
        )
    return found


def test_kernels_equal_the_torch_form() -> None:
    """In a process of its own: Triton's own functions choose the interpreter when they are imported."""
    pytest.importorskip("triton")
    run = subprocess.run(
        [sys.executable, __file__],
        env={**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    errors = json.loads(run.stdout)
    assert errors.keys() == MEMBERS.keys()
    assert max(errors.values()) < 3e-6
    assert min(errors.values()) > 0, "the kernels have run: their tanh is not torch's to the last bit"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("member", MEMBERS)
def test_on_a_gpu(member: str) -> None:
    for got, expected in zip(results(member, "cuda"), results(member, dtype=torch.float64), strict=True):
        scale = max(float(expected.detach().abs().max()), 1.0)
        torch.testing.assert_close(got.cpu().double(), expected, rtol=0, atol=1e-5 * scale)


if __name__ == "__main__":
    print(json.dumps(errors_of_kernels()))
