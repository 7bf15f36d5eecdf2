"""The processes that train together, one a device: how they are started, and what they tell each other."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import timedelta

import lightning
import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException

from training.config import LoopConfig

# How long processes wait for what one of them does alone after the training, such as calibrating on a processor. The
# usual limit of some minutes is for collective operations, where a longer silence means that somebody is dead.
PATIENCE = timedelta(days=1)


def trainer_on_devices(loop: LoopConfig, **settings: object) -> lightning.Trainer:
    """A trainer with these settings on the devices that `loop` asks for.

    Raises:
        ValueError: there are no such devices, or nobody said how the machines find each other.
    """
    try:
        trainer = lightning.Trainer(accelerator="auto", strategy=loop.strategy, **placement(loop), **settings)
    except MisconfigurationException as error:
        raise ValueError(f"loop.devices is {loop.devices}, but they cannot be used: {error}") from error
    environment = getattr(trainer.strategy, "cluster_environment", None)
    if loop.nodes > 1 and isinstance(environment, LightningEnvironment):
        missing = [name for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK") if name not in os.environ]
        if missing:
            raise ValueError(
                f"loop.nodes is {loop.nodes}, but how the machines find each other is not said: start the command on "
                f"each with torchrun, or set {', '.join(missing)} in the environment"
            )
    return trainer


def placement(loop: LoopConfig) -> dict[str, int | str]:
    """The devices, as Lightning wants to hear of them: those for which torchrun started processes, if it did.

    Raises:
        ValueError: the settings say otherwise.
    """
    if not started_by_torchrun():
        return {"devices": loop.devices, "num_nodes": loop.nodes}
    here, all_of_them = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    if loop.devices not in ("auto", here) or loop.nodes not in (1, all_of_them // here):
        raise ValueError(
            f"loop.devices is {loop.devices} and loop.nodes {loop.nodes}, but torchrun started {here} processes here "
            f"and {all_of_them} in all: leave both out"
        )
    return {"devices": here, "num_nodes": all_of_them // here}


def started_by_torchrun() -> bool:
    """Whether torchrun started this process, and with it the others that it trains together with."""
    return torch.distributed.is_available() and torch.distributed.is_torchelastic_launched()


def started_to_join() -> bool:
    """Whether this process was started to train together with a first one, which it is not.

    It holds from the start on, when the processes have not found each other yet.
    """
    return any(int(os.environ.get(name, "0")) > 0 for name in ("RANK", "LOCAL_RANK", "NODE_RANK"))


@contextlib.contextmanager
def one_voice() -> Iterator[None]:
    """What is printed in here is printed once, however many processes come here to train together.

    What is said on standard error before a process exits in here, as of a mistyped option, is said all the same.
    """
    if not started_to_join():
        yield
        return
    with tempfile.TemporaryFile("w+", encoding="utf-8") as kept, open(os.devnull, "w", encoding="utf-8") as nowhere:
        try:
            with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(kept):
                yield
        except SystemExit:
            kept.seek(0)
            sys.stderr.write(kept.read())
            raise


def together() -> bool:
    """Whether there are several processes, which have found each other."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def over_all(numbers: Sequence[float], device: torch.device) -> list[float]:
    """The numbers added up over all processes."""
    if not together():
        return list(numbers)
    sums = torch.tensor(numbers, dtype=torch.float64, device=device)
    torch.distributed.all_reduce(sums)
    return sums.tolist()


def named_by_all(lines: dict[str, str]) -> dict[str, str]:
    """The lines of all processes, each under its name."""
    if not together():
        return lines
    found: list[dict[str, str]] = [{}] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(found, lines)
    return {name: line for one in found for name, line in one.items()}


def first_process() -> bool:
    """Whether this process is the one of those that trained together that writes down what came of it."""
    return not together() or torch.distributed.get_rank() == 0


def wait_for_all() -> None:
    """Until all processes that trained together have come here."""
    if together():
        torch.distributed.barrier(torch.distributed.new_group(backend="gloo", timeout=PATIENCE))
