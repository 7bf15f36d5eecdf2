"""Processes that train together: who they are told to be, who speaks, and devices that are not there."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
from lightning.fabric.utilities.rank_zero import rank_zero_only

from training.config import LoopConfig
from training.devices import one_voice, placement, started_to_join, trainer_on_devices

LOOP = LoopConfig()
QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


@pytest.fixture(autouse=True)
def nobody_started_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(rank_zero_only, "rank", 0)  # which a trainer sets, for all that is trained afterwards


def test_torchrun_says_how_many_processes_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert placement(replace(LOOP, devices=2, nodes=3)) == {"devices": 2, "num_nodes": 3}
    for name, value in {"TORCHELASTIC_RUN_ID": "1", "LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "8"}.items():
        monkeypatch.setenv(name, value)
    assert placement(LOOP) == {"devices": 4, "num_nodes": 2}
    assert placement(replace(LOOP, devices=4, nodes=2)) == {"devices": 4, "num_nodes": 2}
    with pytest.raises(ValueError, match=r"loop.devices is 3 .* torchrun started 4 processes here and 8 in all"):
        placement(replace(LOOP, devices=3))


@pytest.mark.parametrize(
    ("environment", "joins"),
    [
        *[({}, False), ({"RANK": "0", "LOCAL_RANK": "0"}, False), ({"RANK": "4", "LOCAL_RANK": "0"}, True)],
        *[({"LOCAL_RANK": "1"}, True), ({"NODE_RANK": "1"}, True), ({"NODE_RANK": "0", "LOCAL_RANK": "0"}, False)],
    ],
)
def test_of_processes_that_train_together_one_prints(environment: dict, joins: bool, monkeypatch, capsys) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert started_to_join() == joins
    with one_voice():
        print("labels")
        print("a note", file=sys.stderr)
    print("after")
    said = capsys.readouterr()
    assert said.out == ("after\n" if joins else "labels\nafter\n")
    assert said.err == ("" if joins else "a note\n")


@pytest.mark.parametrize("rank", ["0", "1"])
def test_every_process_says_why_it_exits(rank: str, monkeypatch, capsys) -> None:
    """A machine may lack what the first one has."""
    monkeypatch.setenv("RANK", rank)

    def exits() -> None:
        with one_voice():
            print("labels")
            print("no such file", file=sys.stderr)
            sys.exit(2)

    with pytest.raises(SystemExit):
        exits()
    said = capsys.readouterr()
    assert said.err == "no such file\n"
    assert said.out == ("labels\n" if rank == "0" else "")


def test_machines_that_cannot_find_each_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would wait for the others for half an hour."""
    two = replace(LOOP, nodes=2)
    with pytest.raises(ValueError, match=r"start the command on each with torchrun, or set MASTER_ADDR, MASTER_PORT"):
        trainer_on_devices(two, **QUIET)
    for name, value in {"MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="or set NODE_RANK in the environment"):
        trainer_on_devices(two, **QUIET)
    monkeypatch.setenv("NODE_RANK", "1")
    assert trainer_on_devices(two, **QUIET).world_size == 2


def test_devices_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of one GPU, which need not be this one: Lightning asks for it before it is used."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("lightning.fabric.accelerators.cuda.num_cuda_devices", lambda: 1)
    monkeypatch.setattr("lightning.pytorch.accelerators.cuda.num_cuda_devices", lambda: 1)
    with pytest.raises(ValueError, match=r"^loop.devices is 3, but they cannot be used: .*"):
        trainer_on_devices(replace(LOOP, devices=3), **QUIET)


@pytest.mark.parametrize("setting", [{"devices": 0}, {"devices": -1}, {"nodes": 0}, {"accumulate": 0}])
def test_numbers_that_cannot_be_are_refused(setting: dict) -> None:
    with pytest.raises(ValueError, match=rf"loop.{next(iter(setting))} is .*; it must be at least 1"):
        replace(LOOP, **setting)
