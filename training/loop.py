"""The run: steps, intervals, checkpoints, early stop, and resuming as if never interrupted.

An interval is a pass over the data or a fixed number of batches. At its end the development error is measured, the last
and the best checkpoint are written and a line goes to `train.log`. A run that finds its own `last.ckpt` goes on from
there; since every draw comes from (seed, step) or (seed, pass, item), its losses are those of the uninterrupted run.
"""

from __future__ import annotations

import copy
import errno
import logging
import math
import signal
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn

from encoders.frames import NotFiniteError
from encoders.windows import Latency
from training.callbacks import Bar, Patience, TextLog
from training.checkpoints import BEST, LAST, CheckpointError, Checkpoints, WholeFiles, read
from training.config import ConsistencyConfig, IntermediateConfig, LoopConfig, OptimizerConfig
from training.data import Batch, Buckets, Load, Trainable, fitting_batch, loader
from training.devices import named_by_all, over_all, trainer_on_devices
from training.gradients import GradientNorms
from training.kernels import keep_few_kernels
from training.latency import Latencies, LatencyConfig, piece_frames
from training.metrics import ErrorCounts
from training.objectives import Loss, LossOfLayers, Objective
from training.pieces import LossSum, StepLoss, count_pieces_anew, no_loss, steps_done

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
        consistency: How much two views of an item may differ; items have one if not given.
        ranks: Devices that train together.

    Attributes:
        interval_loss: Mean loss of the interval so far, over all that was counted.
        left_out: What the losses could not count, a line for each id.
        says_nothing: Whether nothing at all was recognised at the last look at the development set.
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
        consistency: ConsistencyConfig | None = None,
        ranks: int = 1,
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
        self._loss = LossOfLayers(objective, intermediate, consistency)
        self._step = StepLoss(loop.accumulate, ranks)
        self._ranks = ranks
        self._interval = LossSum()
        self._dev_loss = LossSum()
        self._dev_errors = ErrorCounts.zero()
        self.left_out: dict[str, str] = {}
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

    def on_train_epoch_start(self) -> None:
        self._interval = LossSum()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        # Dropout draws from torch's generator: tie it to the piece of the step, not to what was drawn before.
        piece = self.global_step * self._loop.accumulate + batch_idx % self._loop.accumulate
        seed = (self._loop.seed << 32) + piece * self._ranks + self.global_rank
        if self.device.type == "cpu":
            # `manual_seed` also writes down, for each kind of device that is not there, where it was called: 2 ms.
            torch.default_generator.manual_seed(seed)
        else:
            torch.manual_seed(seed)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        if not batch.ids:
            return self._step.add(no_loss(self.network.parameters()).to(self.device), 0)
        found = self._training_loss(batch)
        self.left_out.update(found.left_out)
        return self._step.add(found.loss, found.counted)

    def _training_loss(self, batch: Batch) -> Loss:
        latency = self._latencies.draw(self.global_step)
        try:
            found = self._loss(self.network, batch, latency, **self._truncation)
        except NotFiniteError as error:
            raise DivergedError(f"step {self.global_step}: {error}, which is {batch.ids[error.item]}") from error
        if not bool(torch.isfinite(found.loss)):
            raise DivergedError(
                f"the loss is {found.loss.item()} at step {self.global_step}, in {', '.join(batch.ids[:5])}: lower "
                "optimizer.learning_rate or loop.clip_norm"
            )
        return found

    def on_after_backward(self) -> None:
        found = self._step.finish(self.network.parameters(), self.device)
        if found is not None:
            self._interval += found
            self.log("loss_step", found.mean, on_step=True, on_epoch=False)

    def optimizer_step(self, *arguments: object, **settings: object) -> None:
        super().optimizer_step(*arguments, **settings)
        if self.averaged is None:
            return
        # Early weights are forgotten sooner: the average starts from scratch, not from the first weights.
        steps = self.global_step + 1
        decay = min(self._loop.average, (1 + steps) / (10 + steps))
        for average, current in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
            average.lerp_(current.detach(), 1 - decay)

    @property
    def between_steps(self) -> bool:
        """Whether no part of the next step is done, so that a run can go on from here."""
        return not self._step.begun

    @property
    def interval_loss(self) -> float:
        return self._interval.mean

    def on_train_epoch_end(self) -> None:
        self.log("loss_epoch", self.interval_loss)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["accumulate"] = self._loop.accumulate
        checkpoint["interval_loss"] = [self._interval.total, self._interval.counted]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._interval = LossSum(*checkpoint.get("interval_loss", ()))
        count_pieces_anew(checkpoint, self._loop.accumulate)

    def shown(self, metrics: Mapping[str, Tensor]) -> str:
        """What is said of the development data."""
        if self._objective.choose_by == "loss":
            return self._objective.shown(float(metrics["dev_loss"]))
        return f"dev error {100 * float(metrics['dev_error']):.2f} %"

    def on_validation_epoch_start(self) -> None:
        self._dev_errors, self._dev_loss = ErrorCounts.zero(), LossSum()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        if not batch.ids:
            return
        for latency in self._latencies.measured():
            scores, lengths = self.evaluated(batch.frames_BTF, batch.lengths_B, latency)
            found = self._objective.loss(scores, lengths, batch)
            self._dev_loss += LossSum(float(found.loss) * found.counted, found.counted)
            self._dev_errors += self._objective.errors(scores, lengths, batch)

    def on_validation_epoch_end(self) -> None:
        self.left_out = named_by_all(self.left_out)
        found, seen = self._dev_errors, self._dev_loss
        here = [found.errors, found.reference, found.deletions, seen.total, seen.counted]
        errors, reference, deletions, total, counted = over_all(here, self.device)
        self.says_nothing = errors == deletions == reference > 0
        error = errors / max(reference, 1)
        # Where no item can be aligned there is none.
        loss = LossSum(total, int(counted)).mean
        self.log("dev_loss", loss)
        self.log("dev_error", error, prog_bar=True)
        if self._objective.choose_by == "loss":
            self.log("dev_choice", loss)
            return
        # Small development sets tie often, at no errors above all: then the lower loss decides.
        self.log("dev_choice", error + TIE_BREAK * (min(loss, 1 / TIE_BREAK) if math.isfinite(loss) else 1 / TIE_BREAK))


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
    consistency: ConsistencyConfig | None = None,
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
        consistency: How much two views of an item may differ, of which `load` then makes both; one if not given.
        out: Folder for checkpoints, `train.log` and TensorBoard's files. A run that stopped there goes on.
    """
    _quieten()
    deterministic = torch.are_deterministic_algorithms_enabled()  # as it is to be again after the run
    out.mkdir(parents=True, exist_ok=True)
    if loop.threads:
        torch.set_num_threads(loop.threads)
    interactive = sys.stdout.isatty()
    log = TextLog(out / "train.log", echo=not interactive)
    checkpoints = Checkpoints(out, "dev_choice", every_seconds=60 * loop.checkpoint_minutes)
    callbacks: list[Callback] = [GradientNorms(loop), log, checkpoints]
    if loop.patience:
        callbacks.append(Patience("dev_choice", patience=loop.patience, mode="min", check_on_train_epoch_end=True))
    if interactive:
        callbacks.append(Bar(leave=True))
    precision = _precision(loop.precision)
    if precision == "bf16-mixed":
        keep_few_kernels()
    trainer = trainer_on_devices(
        loop,
        precision=precision,
        deterministic=loop.deterministic,
        accumulate_grad_batches=loop.accumulate,
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
        settings |= {"seed": loop.seed, "rank": rank, "ranks": ranks, "pieces": loop.accumulate}
        return Buckets(durations, batch_frames * frame_seconds, **settings)

    plan = buckets(train, interval=loop.interval_batches)
    steps = loop.epochs * plan.batches_a_pass
    trainer.fit_loop.max_epochs = math.ceil(steps / plan.interval)
    trainer.log_every_n_steps = max(1, min(10, plan.interval))
    resume = out / LAST
    if resume.exists():
        # Workers begin on their first batches before Lightning tells the sampler which interval it is.
        plan.resume(*steps_done(read(resume)))
        if trainer.is_global_zero:
            log.say(f"going on from {resume}")
    latencies = Latencies(
        latency,
        frame_seconds=frame_seconds,
        subsampling=network.subsampling,
        seed=loop.seed,
    )
    truncate = piece_frames(loop.truncate_ms, frame_seconds=frame_seconds, subsampling=network.subsampling)
    module = Training(
        network, objective, optimizer, loop, steps, latencies, truncate, intermediate, consistency, trainer.world_size
    )
    if loop.precision == "64-true":
        # Lightning would do it after it has read the checkpoint, whose weights then lost half of their digits.
        module.double()
    on_interrupt = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(
            module,
            loader(train, load, plan, seed=loop.seed, workers=loop.workers, clean_passes=loop.clean_passes),
            loader(dev, load, buckets(dev, shuffle=False), seed=loop.seed, workers=min(loop.workers, 1)),
            ckpt_path=resume if resume.exists() else None,
        )
    except torch.OutOfMemoryError as error:
        raise ValueError(f"out of memory ({str(error).splitlines()[0]}): raise loop.accumulate") from error
    except OSError as error:
        # Logs are written to the same disk as checkpoints are, and do not say what could not be written.
        if error.errno != errno.ENOSPC:
            raise
        raise CheckpointError(f"{out}: cannot be written ({error.strerror}); make room and run again") from error
    except SystemExit:
        # Lightning ends the program on Ctrl-C and shuts its ears to the next one; what to do is for the caller to say.
        if not trainer.interrupted:
            raise
        signal.signal(signal.SIGINT, on_interrupt)
        raise KeyboardInterrupt from None
    finally:
        # An error that comes out of the development data leaves the training data's workers running.
        trainer.fit_loop.teardown()
        torch.use_deterministic_algorithms(deterministic)
    module.load_state_dict(read(out / (BEST if loop.keep == "best" else LAST))["state_dict"])
    return module.evaluated.cpu().eval()


def _precision(wanted: str) -> str:
    if wanted == "16-mixed" and not torch.cuda.is_available():
        raise ValueError("loop.precision is 16-mixed, which needs a GPU, and there is none: give bf16-mixed, or auto")
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
        ".*your dataloader is not resumable.*",  # that is for `Buckets.resume` to do
    ):
        warnings.filterwarnings("ignore", message=message)
