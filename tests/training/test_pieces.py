"""A batch divided among devices and in time gives the losses and the weights of the batch in one piece."""

from __future__ import annotations

import copy
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from encoders.blstm import EncoderConfig
from encoders.network import Network
from training.checkpoints import BEST, LAST, read
from training.config import IntermediateConfig, LoopConfig
from training.loop import Training
from training.manifests import Item
from training.pieces import LossSum, StepLoss, no_loss

SMALL = runpy.run_path(str(Path(__file__).with_name("small_words.py")))
run, run_until, network, weights, assert_same, logged = itemgetter(
    "run", "run_until", "network", "weights", "assert_same", "logged"
)(SMALL)
# Two that cannot be aligned, so that pieces count less than they hold.
WORDS = SMALL["WORDS"]
TRAIN = [*SMALL["TRAIN"], Item("hopeless1", "", 0.0, 0.03, "1 2 3 1 2"), Item("hopeless2", "", 0.0, 0.05, "1 1 1 1")]
# The scores of a head, and with them losses, are in single precision all the same.
LOOP: LoopConfig = replace(SMALL["SHORT"], epochs=2, average=0.9, precision="64-true")


def record_losses(patch: Callable, seen: Callable) -> None:
    """The loss of each step over all of its batch, by the number of the step."""
    finish = StepLoss.finish

    def recording(self: StepLoss, *arguments: object) -> LossSum | None:
        found = finish(self, *arguments)
        if found is not None:
            seen((found.mean, found.counted))
        return found

    patch(StepLoss, "finish", recording)


@pytest.fixture
def losses(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, int]]:
    seen: list[tuple[float, int]] = []
    record_losses(monkeypatch.setattr, seen.append)
    return seen


def trained(out: Path, loop: LoopConfig, *, until: int | None = None, **changes: object) -> nn.Module | None:
    """A run whose steps are the same however they are divided; or as much of it as there is until Ctrl-C at a step."""
    changes = {"start": network(dropout=0.0), "train": TRAIN} | changes
    return run(out, loop, **changes) if until is None else run_until(until, out, loop, **changes)


def assert_close(one: nn.Module, other: nn.Module, tolerance: float) -> None:
    for name, value in weights(one).items():
        torch.testing.assert_close(value, weights(other)[name], rtol=0, atol=tolerance)


class Whole(NamedTuple):
    """A run in one piece: its losses, its network, and its folder."""

    losses: list[tuple[float, int]]
    network: nn.Module
    folder: Path


def whole_run(folder: Path, loop: LoopConfig) -> Whole:
    seen: list[tuple[float, int]] = []
    with pytest.MonkeyPatch.context() as patch:
        record_losses(patch.setattr, seen.append)
        return Whole(seen, trained(folder, loop), folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return whole_run(tmp_path_factory.mktemp("whole"), LOOP)


@pytest.mark.parametrize("pieces", [3, 12])
def test_pieces_give_the_losses_and_the_weights_of_the_whole(pieces: int, whole: Whole, tmp_path: Path, losses) -> None:
    """12 are more than any batch has items."""
    divided = trained(tmp_path, replace(LOOP, accumulate=pieces))
    assert [counted for _, counted in losses] == [counted for _, counted in whole.losses]
    assert len({counted for _, counted in losses}) > 2
    np.testing.assert_allclose([loss for loss, _ in losses], [loss for loss, _ in whole.losses], rtol=0, atol=1e-6)
    assert_close(divided, whole.network, 1e-5)
    assert logged(tmp_path) == logged(whole.folder)


def test_pieces_of_the_losses_of_two_layers(tmp_path: Path, losses) -> None:
    """Of the layer below, with its twice as many steps, no loss is of items that are too short for the last one."""
    torch.manual_seed(0)
    shape = EncoderConfig(layers=2, hidden_size=6, dropout=0.0, subsampling=[1, 2])
    pyramid = Network(WORDS + 1, WORDS + 1, shape)
    loop = replace(LOOP, epochs=1)
    changes = {"train": [*TRAIN, Item("for one", "", 0.0, 0.05, "1 2 3 1")], "intermediate": IntermediateConfig(0.5)}
    whole = trained(tmp_path / "whole", loop, start=copy.deepcopy(pyramid), **changes)
    expected = losses.copy()
    losses.clear()
    divided = trained(tmp_path / "divided", replace(loop, accumulate=3), start=copy.deepcopy(pyramid), **changes)
    np.testing.assert_allclose(losses, expected, rtol=0, atol=1e-6)
    assert_close(divided, whole, 1e-5)
    assert "for one: needs 4 frames, has 3" in (tmp_path / "divided" / "train.log").read_text()


def test_a_mean_of_means_would_be_another(whole: Whole, tmp_path: Path, losses, monkeypatch) -> None:
    """So the comparison above would notice."""
    monkeypatch.setattr(StepLoss, "add", lambda self, mean, counted, add=StepLoss.add: add(self, mean, 1))
    trained(tmp_path, replace(LOOP, accumulate=3))
    assert max(abs(one[0] - other[0]) for one, other in zip(losses, whole.losses, strict=True)) > 1e-3


def test_the_gradient_of_pieces_is_that_of_one_mean() -> None:
    weight = nn.Parameter(torch.tensor([2.0, -1.0], dtype=torch.float64))
    items = torch.randn(7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    step = StepLoss(pieces=3, ranks=1)
    for piece in (items[:4], items[4:7], items[:0]):
        losses = (piece @ weight) ** 2
        loss = step.add(losses.mean(), len(losses)) if len(losses) else step.add(no_loss([weight]), 0)
        (loss / 3).backward()  # as Lightning does
        found = step.finish([weight], torch.device("cpu"))
        assert step.begun == (len(piece) > 0)
    (expected,) = torch.autograd.grad(((items @ weight) ** 2).mean(), weight)
    torch.testing.assert_close(weight.grad, expected)
    assert found.counted == 7
    assert found.mean == pytest.approx(float(((items @ weight.detach()) ** 2).mean()))


def test_a_step_in_which_nothing_counts_moves_nothing() -> None:
    weight = nn.Parameter(torch.ones(3))
    step = StepLoss(pieces=2, ranks=1)
    for _ in range(2):
        step.add(no_loss([weight]), 0).backward()
        found = step.finish([weight], torch.device("cpu"))
    assert weight.grad.tolist() == [0.0, 0.0, 0.0]
    assert np.isnan(found.mean)


# --- interrupted within an interval -----------------------------------------------------------------------------------

OFTEN = replace(LOOP, interval_batches=7, checkpoint_minutes=1e-9, epochs=3)


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return whole_run(tmp_path_factory.mktemp("never"), OFTEN)


@pytest.mark.parametrize("before", [1, 3])
@pytest.mark.parametrize("after", [1, 3])
def test_it_goes_on_within_an_interval_also_in_other_pieces(
    before: int, after: int, never_stopped: Whole, tmp_path: Path, losses
) -> None:
    for stop in (4, 10, 11, 14):  # in the middle, again, one step on, and at the first of an interval
        trained(tmp_path, replace(OFTEN, accumulate=before), until=stop)
        assert read(tmp_path / LAST)["global_step"] == stop
        assert len(losses) == stop, "no step is taken twice"
    resumed = trained(tmp_path, replace(OFTEN, accumulate=after))
    np.testing.assert_allclose(losses, never_stopped.losses, rtol=0, atol=1e-6)
    assert_close(resumed, never_stopped.network, 1e-5)
    assert logged(tmp_path) == logged(never_stopped.folder)
    if before == after == 1:
        assert_same(resumed, never_stopped.network)


def test_without_checkpoints_within_an_interval_it_begins_it_anew(tmp_path: Path) -> None:
    trained(tmp_path, replace(OFTEN, checkpoint_minutes=0.0), until=10)
    assert read(tmp_path / LAST)["global_step"] == 7


# --- processes --------------------------------------------------------------------------------------------------------

TWO = {
    "a pass": LOOP,
    "pieces": replace(LOOP, accumulate=2, interval_batches=5),
    "more parts than items": replace(LOOP, accumulate=6),
    "in single precision": replace(LOOP, precision="32-true", average=0.0),
    "resumed": replace(OFTEN, epochs=2),
}


def in_two_processes(out: Path) -> None:
    """What each of two processes does that torchrun started: all runs, and the last of them stopped once."""
    seen: list[tuple[float, int]] = []
    record_losses(setattr, seen.append)
    for name, loop in TWO.items():
        if name == "resumed":
            trained(out / name, loop, until=4)
        ended = trained(out / name, loop)
        rank = os.environ["RANK"]
        torch.save(weights(ended), out / f"{name} {rank}.pt")
        (out / f"{name} {rank}.json").write_text(json.dumps(seen))
        seen.clear()
    trained(out / "left", TWO["resumed"], until=4)


@pytest.mark.slow
def test_two_processes_give_the_losses_of_one(tmp_path: Path, losses) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    ended = subprocess.run([*torchrun, __file__, tmp_path], capture_output=True, text=True, timeout=280)
    assert ended.returncode == 0, ended.stderr
    for name, loop in TWO.items():
        alone = trained(tmp_path / "alone" / name, replace(loop, accumulate=1))
        tolerance = 1e-5 if name == "in single precision" else 1e-6
        for rank in (0, 1):
            found = json.loads((tmp_path / f"{name} {rank}.json").read_text())
            np.testing.assert_allclose(found, losses, rtol=0, atol=tolerance, err_msg=name)
            for key, value in torch.load(tmp_path / f"{name} {rank}.pt").items():
                torch.testing.assert_close(value, weights(alone)[key], rtol=0, atol=10 * tolerance)
        assert logged(tmp_path / name) == logged(tmp_path / "alone" / name)
        one, other = (read(folder / name / BEST)["global_step"] for folder in (tmp_path, tmp_path / "alone"))
        assert one == other
        losses.clear()
    # What two have left in the middle of an interval, one finishes.
    assert read(tmp_path / "left" / LAST)["global_step"] == 4
    assert_close(trained(tmp_path / "left", TWO["resumed"]), alone, 1e-5)
    assert logged(tmp_path / "left") == logged(tmp_path / "alone" / "resumed")


# --- deterministic mode -----------------------------------------------------------------------------------------------


def test_deterministic_mode_lasts_as_long_as_the_run_and_changes_nothing_on_a_processor(tmp_path, monkeypatch) -> None:
    modes = []
    step = Training.training_step

    def asking(self: Training, batch, batch_idx):
        modes.append(torch.are_deterministic_algorithms_enabled())
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Training, "training_step", asking)
    plain = trained(tmp_path / "plain", LOOP)
    assert not any(modes)
    modes.clear()
    assert_same(trained(tmp_path / "deterministic", replace(LOOP, deterministic=True)), plain)
    assert modes
    assert all(modes)
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_deterministic_mode_on_a_gpu_is_the_same_to_the_bit(tmp_path: Path) -> None:
    loop = replace(LOOP, precision="32-true", deterministic=True)
    assert_same(trained(tmp_path / "one", loop), trained(tmp_path / "other", loop))


if __name__ == "__main__":
    in_two_processes(Path(sys.argv[1]))
