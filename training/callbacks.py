"""What goes along with a run: when it stops, and what of it is shown on the screen and kept in `train.log`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import lightning
from lightning.pytorch.callbacks import Callback, EarlyStopping, RichProgressBar

from training.gradients import CLIPPED, NORM

if TYPE_CHECKING:
    from training.loop import Training


class Patience(EarlyStopping):
    """Stops the run when the development error no longer falls; a run that had stopped stays so when it is resumed.

    It begins when something is recognised: CTC says nothing but blanks at first, and on little data for many passes.
    """

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Training) -> None:
        if not pl_module.says_nothing:
            super().on_train_epoch_end(trainer, pl_module)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        trainer.should_stop = trainer.should_stop or self.wait_count >= self.patience


class TextLog(Callback):
    """A line for each interval, in `train.log`, and on the screen where there is no progress bar."""

    def __init__(self, path: Path, *, echo: bool):
        self._path = path
        self._echo = echo
        self._started = time.monotonic()
        self._named: set[str] = set()

    def say(self, line: str) -> None:
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(line + "\n")
        if self._echo:
            print(line, flush=True)

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Training) -> None:
        if not trainer.is_global_zero:
            return
        metrics = trainer.callback_metrics
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        gradient = f"gradient {float(metrics[NORM]):.3g}, {100 * float(metrics[CLIPPED]):.0f} % of steps clipped"
        self.say(
            f"interval {trainer.current_epoch + 1:3d}  step {trainer.global_step:6d}  "
            f"loss {module.interval_loss:.4f}  "
            f"dev loss {float(metrics['dev_loss']):.4f}  {module.shown(metrics)}  "
            f"rate {rate:.2e}  {gradient}  {time.monotonic() - self._started:.0f} s"
        )
        fresh = [text for name, text in module.left_out.items() if name not in self._named]
        self._named.update(module.left_out)
        if fresh:
            shown = "; ".join(fresh[:5]) + (f"; and {len(fresh) - 5} more" if len(fresh) > 5 else "")
            self.say(f"  {len(fresh)} items are too short and were left out: {shown}")


class Bar(RichProgressBar):
    """Lightning's progress bar with the two figures that matter."""

    def get_metrics(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> dict[str, str]:
        metrics = trainer.callback_metrics
        shown = {}
        if "loss_step" in metrics:
            shown["loss"] = f"{float(metrics['loss_step']):.3f}"
        if "dev_error" in metrics:
            shown["dev"] = pl_module.shown(metrics)
        return shown
