"""The two checkpoints of a run: the last, to go on from, and the best, to keep. Each is whole, or it is not there.

Lightning's own callback remembers the best one by its path, and forgets it when the folder is moved; and it writes to
the folder for temporary files first, from where the move into place is a copy that a crash cuts short.
"""

from __future__ import annotations

import io
import math
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from training.devices import over_all

if TYPE_CHECKING:
    from training.loop import Training

BEST, LAST = "best.ckpt", "last.ckpt"


class CheckpointError(ValueError):
    """A checkpoint that cannot be written or read; the message names it and says what to do."""


class Checkpoints(Checkpoint):
    """At the end of each interval writes `best.ckpt`, if it is the best one so far, and then `last.ckpt`.

    Within an interval `last.ckpt` is written from time to time, between two steps.

    Args:
        folder: Where they go.
        monitor: The logged number that is lowest for the best.
        every_seconds: Time from one writing to the next within an interval; 0 writes at the ends alone.
    """

    def __init__(self, folder: Path, monitor: str, *, every_seconds: float):
        self._folder = folder
        self._monitor = monitor
        self._every_seconds = every_seconds
        self._written = time.monotonic()
        self._best = math.inf

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._written = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: Training,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        # At the end of an interval it is written after the look at the development set.
        if not self._every_seconds or not pl_module.between_steps or trainer.is_last_batch:
            return
        # All devices take part in the writing, so that one clock decides.
        due = trainer.is_global_zero and time.monotonic() - self._written >= self._every_seconds
        if any(over_all([due], pl_module.device)):
            self._save(trainer, LAST)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        now = float(trainer.callback_metrics[self._monitor])
        if now < self._best:
            self._best = now
            self._save(trainer, BEST)
        self._save(trainer, LAST)

    def _save(self, trainer: lightning.Trainer, name: str) -> None:
        trainer.save_checkpoint(self._folder / name)
        self._written = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if (self._folder / BEST).exists():
            self._best = state_dict["best"]


class WholeFiles(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it; says in one line which one is damaged."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        # Into memory first: torch turns a full disk into an error about positions in the file.
        content = io.BytesIO()
        torch.save(checkpoint, content)
        path = Path(path)
        beside = path.with_name(f".partial.{path.name}")
        try:
            with open(beside, "wb") as file:
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise CheckpointError(f"{path}: cannot be written ({error.strerror}); make room and run again") from error

    def load_checkpoint(self, path: str | Path, *arguments: Any, **settings: Any) -> dict[str, Any]:
        return read(path)


def read(path: str | Path) -> dict[str, Any]:
    """What a checkpoint holds, on the CPU. Nothing but tensors and plain values is unpickled.

    Raises:
        CheckpointError: it is not there or damaged.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: is gone; remove the folder {Path(path).parent} to train anew") from error
    except Exception as error:  # torch, its unpickler and zip each have errors of their own for a damaged file
        raise CheckpointError(f"{path}: is damaged; remove the folder {Path(path).parent} to train anew") from error
