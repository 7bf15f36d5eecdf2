"""The processes that train together, one a device: how many there are, and what they tell each other."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch

from training.config import LoopConfig


def placement(loop: LoopConfig) -> dict[str, int | str]:
    """The devices, as Lightning wants to hear of them: those for which torchrun started processes, if it did.

    Raises:
        ValueError: the settings say otherwise.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_torchelastic_launched()):
        return {"devices": loop.devices, "num_nodes": loop.nodes}
    here, all_of_them = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    if loop.devices not in ("auto", here) or loop.nodes not in (1, all_of_them // here):
        raise ValueError(
            f"loop.devices is {loop.devices} and loop.nodes {loop.nodes}, but torchrun started {here} processes here "
            f"and {all_of_them} in all: leave both out"
        )
    return {"devices": here, "num_nodes": all_of_them // here}


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
        torch.distributed.barrier()
