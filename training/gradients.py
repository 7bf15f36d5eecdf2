"""How long the gradient is, before it is clipped: of all weights at each step, and of each layer and direction.

A norm that grows from interval to interval, or is clipped at most steps, says that the learning rate is too high; a
layer whose norm is far below that of the others learns nothing.
"""

from __future__ import annotations

from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from training.config import LoopConfig

NORM, CLIPPED = "gradient_norm", "clipped"


class GradientNorms(Callback):
    """Measures each step's gradient as the optimizer would get it: of all devices, unscaled, not yet clipped.

    At the end of an interval its mean norm is logged, and the share of steps at which it was clipped; every so many
    steps (`log_every_n_steps`) the norms of the parts go to TensorBoard. Steps that mixed precision in float16 leaves
    out, because their gradient is not finite, do not count.

    Args:
        loop: What is clipped.
    """

    def __init__(self, loop: LoopConfig):
        self._clip_norm = loop.clip_norm
        self._clip_value = loop.clip_value
        # Of the interval: steps, their norms added up, and how many were clipped.
        self._sums = torch.zeros(3)

    def state_dict(self) -> dict[str, Any]:
        return {"sums": self._sums}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._sums = state_dict["sums"]

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._sums = torch.zeros(3)

    def on_before_optimizer_step(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        norm = gradient_norm(pl_module.network)
        if self._clip_value:
            clipped = gradient_norm(pl_module.network, torch.inf) > self._clip_value
        else:
            clipped = norm > (self._clip_norm or torch.inf)
        counts = torch.stack([torch.ones_like(norm), norm, clipped.to(norm.dtype)])
        self._sums = self._sums.to(counts.device) + torch.where(norm.isfinite(), counts, 0)
        if trainer.global_step % trainer.log_every_n_steps == 0:
            parts = {f"gradient/{name}": gradient_norm(part) for name, part in pl_module.network.parts().items()}
            for logger in trainer.loggers:
                logger.log_metrics({"gradient/all": norm, **parts}, step=trainer.global_step)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        steps, norms, clipped = self._sums.tolist()
        pl_module.log_dict({NORM: norms / max(steps, 1), CLIPPED: clipped / max(steps, 1)})


def gradient_norm(module: nn.Module, order: float = 2.0) -> Tensor:
    """Norm of the gradients of a module's weights together; of infinite order, the largest of their numbers."""
    return get_total_norm([weight.grad for weight in module.parameters() if weight.grad is not None], order)
