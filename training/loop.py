"""The run: steps, intervals, checkpoints, early stop, and resuming as if never interrupted.

An interval is a pass over the data or a fixed number of batches. At its end the development error is measured, the last
and the best checkpoint are written and a line goes to `train.log`. A run that finds its own `last.ckpt` goes on from
there; since every draw comes from (seed, step) or (seed, pass, item), its losses are those of the uninterrupted run.
"""

from __future__ import annotations

import copy
import logging
import math
import signal
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, RichProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn

from encoders.frames import NotFiniteError
from encoders.windows import Latency
from training.checkpoints import BEST, LAST, Checkpoints, WholeFiles, read
from training.config import IntermediateConfig, LoopConfig, OptimizerConfig
from training.data import Batch, Buckets, Load, Trainable, fitting_batch, loader
from training.gradients import CLIPPED, NORM, GradientNorms
from training.latency import Latencies, LatencyConfig, piece_frames
from training.metrics import ErrorCounts
from training.objectives import LossOfLayers, Objective

# Weight of the development loss beside the error, less than any one error can weigh.
TIE_BREAK = 1e-6


class Network(Protocol):
    """What is trained: a module of torch from frames (or tokens) and lengths to scores and theirs.

    `subsampling` is how many frames make a step of scores, and `parts` names its layers, to measure their gradients.
    Networks of recordings can be truncated, too. The networks are `encoders.network.Network` and
    `encoders.language.LanguageNetwork`.
    """

    subsampling: int

    def __call__(
        self, frames_BTF: Tensor, lengths_B: Tensor, latency: Latency | None = None
    ) -> tuple[Tensor, Tensor]: ...

    def parts(self) -> Mapping[str, nn.Module]: ...


AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)


class DivergedError(ValueError):
    """The loss is no longer a number; the message names the items of the step."""


class Training(lightning.LightningModule):
    """What Lightning needs to know about training a network.

    Args:
        network: What is trained, a `Network`.
        objective: What is minimised, and what the development error counts.
        optimizer: Settings of the optimizer.
        loop: Settings of the run.
        steps: Optimizer steps of the whole run, over which the learning rate rises and falls.
        latencies: How much of the future each batch sees.
        truncate: Frames within which errors flow back; none does not cut.
        intermediate: Layers below the last that are scored in training, too; none if not given.
    """

    def __init__(
        self,
        network: nn.Module,
        objective: Objective,
        optimizer: OptimizerConfig,
        loop: LoopConfig,
        steps: int,
        latencies: Latencies,
        truncate: int | None = None,
        intermediate: IntermediateConfig | None = None,
    ):
        super().__init__()
        self.network = network
        self.averaged = copy.deepcopy(network).requires_grad_(False) if loop.average else None
        self._objective = objective
        self._optimizer = optimizer
        self._loop = loop
        self._steps = steps
        self._latencies = latencies
        self._truncation = {} if truncate is None else {"truncate": truncate}
        self._loss = LossOfLayers(objective, intermediate)
        self._dev_errors = ErrorCounts.zero()
        self.left_out: dict[str, str] = {}
        # Whether nothing at all was recognised at the last look at the development set.
        self.says_nothing = False

    @property
    def evaluated(self) -> nn.Module:
        """The network that is measured and exported: the averaged one if there is one."""
        return self.network if self.averaged is None else self.averaged

    def configure_optimizers(self) -> dict:
        settings = self._optimizer
        optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        warmup = min(settings.warmup_steps, self._steps // 10)

        def rate(step: int) -> float:
            if step < warmup:
                return (step + 1) / warmup
            progress = min((step - warmup) / max(self._steps - warmup, 1), 1.0)
            return settings.final_rate + (1 - settings.final_rate) * 0.5 * (1 + math.cos(math.pi * progress))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_before_batch_transfer(self, batch: Batch | ValueError, dataloader_idx: int) -> Batch:
        if isinstance(batch, ValueError):
            raise batch
        return batch

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        # Dropout draws from torch's generator: tie it to the step, not to what was drawn before.
        torch.manual_seed((self._loop.seed << 32) + self.global_step)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        latency = self._latencies.draw(self.global_step)
        try:
            result = self._loss(self.network, batch, latency, **self._truncation)
        except NotFiniteError as error:
            raise DivergedError(f"step {self.global_step}: {error}, which is {batch.ids[error.item]}") from error
        self.left_out.update(result.left_out)
        if not bool(torch.isfinite(result.loss)):
            raise DivergedError(
                f"the loss is {result.loss.item()} at step {self.global_step}, in {', '.join(batch.ids[:5])}: lower "
                "optimizer.learning_rate or loop.clip_norm"
            )
        settings = {"on_step": True, "on_epoch": True, "batch_size": result.counted, "sync_dist": True}
        self.log("loss", result.loss, prog_bar=True, **settings)
        return result.loss

    def on_train_batch_end(self, outputs: object, batch: Batch, batch_idx: int) -> None:
        if self.averaged is None:
            return
        # Early weights are forgotten sooner: the average starts from scratch, not from the first weights.
        decay = min(self._loop.average, (1 + self.global_step) / (10 + self.global_step))
        for average, current in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
            average.lerp_(current.detach(), 1 - decay)

    def shown(self, metrics: Mapping[str, Tensor]) -> str:
        """What is said of the development data."""
        if self._objective.choose_by == "loss":
            return self._objective.shown(float(metrics["dev_loss"]))
        return f"dev error {100 * float(metrics['dev_error']):.2f} %"

    def on_validation_epoch_start(self) -> None:
        self._dev_errors = ErrorCounts.zero()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        for latency in self._latencies.measured():
            scores, lengths = self.evaluated(batch.frames_BTF, batch.lengths_B, latency)
            result = self._objective.loss(scores, lengths, batch)
            self.log("dev_loss", result.loss, batch_size=result.counted, sync_dist=True)
            self._dev_errors += self._objective.errors(scores, lengths, batch)

    def on_validation_epoch_end(self) -> None:
        found = self._dev_errors
        counts = torch.tensor([found.errors, found.reference, found.deletions], device=self.device)
        errors, reference, deletions = self.all_gather(counts).reshape(-1, 3).sum(0).tolist()
        self.says_nothing = errors == deletions == reference > 0
        error = errors / max(reference, 1)
        self.log("dev_error", error, prog_bar=True)
        # Small development sets tie often, at no errors above all: then the lower loss decides. Where no item can be
        # aligned there is none.
        loss = float(self.trainer.callback_metrics["dev_loss"])
        if self._objective.choose_by == "loss":
            self.log("dev_choice", loss)
            return
        self.log("dev_choice", error + TIE_BREAK * (min(loss, 1 / TIE_BREAK) if math.isfinite(loss) else 1 / TIE_BREAK))


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
            f"loss {float(metrics['loss_epoch']):.4f}  "
            f"dev loss {float(metrics['dev_loss']):.4f}  {module.shown(metrics)}  "
            f"rate {rate:.2e}  {gradient}  {time.monotonic() - self._started:.0f} s"
        )
        fresh = [text for name, text in module.left_out.items() if name not in self._named]
        self._named.update(module.left_out)
        if fresh:
            shown = "; ".join(fresh[:5]) + (f"; and {len(fresh) - 5} more" if len(fresh) > 5 else "")
            self.say(f"  {len(fresh)} items are too short for their labels and were left out: {shown}")


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


def fit(
    network: AnyNetwork,
    train: Sequence[Trainable],
    dev: Sequence[Trainable],
    load: Load,
    *,
    frame_seconds: float,
    objective: Objective,
    optimizer: OptimizerConfig,
    loop: LoopConfig,
    latency: LatencyConfig,
    intermediate: IntermediateConfig | None = None,
    out: Path,
) -> AnyNetwork:
    """Train `network` and return it with the weights of the best interval, or of the last if `loop.keep` says so.

    Args:
        network: Fresh, or with the weights to start from; a `Network`.
        train: Items to train on.
        dev: Items on whose error the best interval is chosen; no speaker of theirs should be in `train`. Where the last
            one is kept, any to watch.
        load: Makes an example of an item.
        frame_seconds: Time between two frames, to count a batch's frames; 1 for texts, whose frames are tokens.
        objective: What is minimised, and what the development error counts.
        optimizer: Settings of the optimizer.
        loop: Settings of the run.
        latency: Latencies to train at.
        intermediate: Layers below the last that are scored in training, too, of a network with `at_layers`; none if not
            given.
        out: Folder for checkpoints, `train.log` and TensorBoard's files. A run that stopped there goes on.
    """
    _quieten()
    out.mkdir(parents=True, exist_ok=True)
    if loop.threads:
        torch.set_num_threads(loop.threads)
    interactive = sys.stdout.isatty()
    log = TextLog(out / "train.log", echo=not interactive)
    callbacks: list[Callback] = [GradientNorms(loop), log, Checkpoints(out, "dev_choice")]
    if loop.patience:
        callbacks.append(Patience("dev_choice", patience=loop.patience, mode="min", check_on_train_epoch_end=True))
    if interactive:
        callbacks.append(Bar(leave=True))
    trainer = lightning.Trainer(
        accelerator="auto",
        devices=loop.devices,
        strategy=loop.strategy,
        precision=_precision(loop.precision),
        max_epochs=-1,
        gradient_clip_val=loop.clip_norm or loop.clip_value or None,
        gradient_clip_algorithm="value" if loop.clip_value else "norm",
        detect_anomaly=loop.detect_anomaly,
        callbacks=callbacks,
        plugins=[WholeFiles()],
        logger=TensorBoardLogger(out, name="", version="tensorboard"),
        default_root_dir=out,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=interactive,
    )

    batch_frames = loop.batch_frames or fitting_batch([item.duration for item in train], frame_seconds)

    def buckets(items: Sequence[Trainable], **settings: object) -> Buckets:
        durations = [item.duration for item in items]
        rank, ranks = trainer.global_rank, trainer.world_size
        return Buckets(durations, batch_frames * frame_seconds, seed=loop.seed, rank=rank, ranks=ranks, **settings)

    plan = buckets(train, interval=loop.interval_batches)
    steps = loop.epochs * plan.batches_a_pass
    trainer.fit_loop.max_epochs = math.ceil(steps / plan.interval)
    trainer.log_every_n_steps = max(1, min(10, plan.interval))
    resume = out / LAST
    if resume.exists():
        # Workers begin on their first batches before Lightning tells the sampler which interval it is.
        plan.set_epoch(read(resume)["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"])
        if trainer.is_global_zero:
            log.say(f"going on from {resume}")
    latencies = Latencies(
        latency,
        frame_seconds=frame_seconds,
        subsampling=network.subsampling,
        seed=loop.seed,
    )
    truncate = piece_frames(loop.truncate_ms, frame_seconds=frame_seconds, subsampling=network.subsampling)
    module = Training(network, objective, optimizer, loop, steps, latencies, truncate, intermediate)
    on_interrupt = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(
            module,
            loader(train, load, plan, seed=loop.seed, workers=loop.workers),
            loader(dev, load, buckets(dev, shuffle=False), seed=loop.seed, workers=min(loop.workers, 1)),
            ckpt_path=resume if resume.exists() else None,
        )
    except torch.OutOfMemoryError as error:
        raise ValueError(f"out of memory ({str(error).splitlines()[0]}): lower loop.batch_frames") from error
    except RuntimeError as error:
        # What oneDNN says of an LSTM in bfloat16 on a processor without AVX-512.
        if "primitive descriptor" not in str(error):
            raise
        raise ValueError(
            f"loop.precision is {loop.precision}, which this processor cannot do: choose 32-true"
        ) from error
    except SystemExit:
        # Lightning ends the program on Ctrl-C and shuts its ears to the next one; what to do is for the caller to say.
        if not trainer.interrupted:
            raise
        signal.signal(signal.SIGINT, on_interrupt)
        raise KeyboardInterrupt from None
    finally:
        # An error that comes out of the development data leaves the training data's workers running.
        trainer.fit_loop.teardown()
    module.load_state_dict(read(out / (BEST if loop.keep == "best" else LAST))["state_dict"])
    return module.evaluated.cpu().eval()


def first_process() -> bool:
    """Whether this process is the one of those that trained together that writes down what came of it."""
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    return not together or torch.distributed.get_rank() == 0


def wait_for_all() -> None:
    """Until all processes that trained together have come here."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()


def _precision(wanted: str) -> str:
    if wanted != "auto":
        return wanted
    if not torch.cuda.is_available():
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"


def _quieten() -> None:
    """Keep back what Lightning says about its own settings; warnings about ours still show."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*Checkpoint directory.*exists and is not empty.*",
        ".*isinstance.treespec.*",
        ".*LeafSpec.*",
        ".*sync_dist.*",
    ):
        warnings.filterwarnings("ignore", message=message)
