"""Dataclasses to YAML to the command line and back: one definition of every setting.

A dataclass's fields and its docstring become the keys of `config.yaml`, the options of the command line and the text of
`--help`. An unknown key is an error.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, NoReturn

from jsonargparse import ArgumentParser, Namespace

from inference.shell import mistyped


@dataclass
class OptimizerConfig:
    """AdamW (Loshchilov and Hutter 2019) with linear warm-up and cosine decay.

    Args:
        learning_rate: Highest learning rate, reached at the end of the warm-up.
        weight_decay: Decoupled weight decay.
        warmup_steps: Steps from 0 to the highest rate; at most a tenth of all steps is used.
        final_rate: Where the decay ends, as a share of the highest rate; 1 keeps the rate.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    warmup_steps: int = 200
    final_rate: float = 0.02

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(f"optimizer.learning_rate is {self.learning_rate}; it must be positive")
        if self.warmup_steps < 0 or not 0 <= self.final_rate <= 1:
            raise ValueError("optimizer.warmup_steps must not be negative, and optimizer.final_rate lies in [0, 1]")


@dataclass
class IntermediateConfig:
    """CTC below the last layer, too (Lee and Watanabe 2021): a loss that lower layers hear from nearby.

    The head scores outputs of lower layers as well, with the same weights; it adds nothing to the model and costs
    nothing in use. The loss in `train.log` is that of all layers, the development loss that of the last alone.

    Args:
        weight: Share of the loss that comes from the lower layers; 0.3 is usual, 0 has none.
        layers: Which layers, counted from 1 and in order; none named is the one in the middle.
    """

    weight: float = 0.0
    layers: list[int] | tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.layers = tuple(self.layers)
        if not 0 <= self.weight < 1:
            raise ValueError(f"intermediate.weight is {self.weight}; it must be at least 0 and less than 1")
        if self.layers and not self.weight:
            raise ValueError("intermediate.layers are named, but intermediate.weight is 0; set it, 0.3 for example")

    def chosen(self, layers: int) -> list[int]:
        """Which of an encoder's layers, counted from 0; none of them without a weight.

        Raises:
            ValueError: the encoder has no such layers below the last one.
        """
        if not self.weight:
            return []
        numbers = list(self.layers) or [layers // 2]
        if numbers != sorted({*numbers}) or numbers[0] < 1 or numbers[-1] >= layers:
            raise ValueError(
                f"intermediate.layers is {numbers}: name layers below the last, each once and in order; the encoder "
                f"has {layers}"
            )
        return [number - 1 for number in numbers]


@dataclass
class ConsistencyConfig:
    """Two views of each item that are to be heard alike: CR-CTC (Yao et al. 2025, Consistency regularization on CTC).

    An utterance is varied once and masked twice, each time elsewhere, and dropout leaves out other units. Both views
    learn their text, and each is drawn to what the other gives frame by frame. A step hears every item twice, so that
    half of the usual `loop.batch_frames` cost as much; masks (`augment.time_masks`) may be more than usual.

    Args:
        weight: Of the divergence between the views beside the loss of their texts; 0.2 is usual, 0 has one view.
        streams: In a batch that streams (`latency.chunk_ms`), hear the first views with full context, so that streams
            are drawn to what whole recordings give (in-place distillation; Yu et al. 2021, Dual-mode ASR).
    """

    weight: float = 0.0
    streams: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"consistency.weight is {self.weight}; it must be a number that is not negative")
        if self.streams and not self.weight:
            raise ValueError("consistency.streams is set, but consistency.weight is 0; set it, 0.2 for example")


OUT_OPTION = {
    "type": str,
    "required": True,
    "metavar": "DIR",
    "help": "folder for checkpoints, logs and, in DIR/model, the model",
}
"""`--out` of a command that trains, among the extras of `parse`."""


@dataclass
class LoopConfig:
    """The run.

    Args:
        epochs: Passes over the training data at most.
        clean_passes: Of these the first ones that see the data as it is, without augmentation: CTC finds out sooner
            where labels are in what is easy (a curriculum; Bengio et al. 2009).
        batch_frames: Frames in a batch at most, padding included, before augmentation changes the speed; a longer item
            is a batch of its own. None is 12,000 or, of a small corpus, so few that a pass has about 30 batches. A
            batch is what a step of the optimizer sees: several devices divide it, so give them larger ones.
        accumulate: Pieces that a device divides its part of a batch into, one after the other, where it has not the
            memory for the whole. The gradient is that of the whole but for rounding, and but for which units dropout
            leaves out.
        interval_batches: Batches between two looks at the development set, with a checkpoint each; none is a whole
            pass.
        keep: Which weights become the model: those of the interval with the least development error, or the last ones;
            `last` is for development data that are too few, or too easy, to choose on.
        patience: Intervals without a better development error after which training stops; 0 never stops early.
        clip_norm: Clip the gradient to this norm; 0 does not.
        clip_value: Clip each component of the gradient to this size; 0 does not. Only one of the two may be set.
        truncate_ms: Truncated backpropagation through time: errors flow back within pieces of so many milliseconds,
            rounded up to whole steps or chunks, and the state goes on from piece to piece; 0 does not cut. For long
            recordings: a step keeps one piece of what the encoder computes, and takes 1.2 to 2.1 times as long. The
            encoder must have one direction, or chunks in all batches (`latency.chunk_ms`, and `latency.full_context`
            0).
        detect_anomaly: Stop at the first NaN, and name the layer that it comes from; slow, so for finding it alone.
        average: Decay of an exponential moving average of the weights, which is what is evaluated and exported; 0 takes
            the weights as they are (Polyak and Juditsky 1992).
        precision: `auto` is bfloat16 or float16 mixed with float32 on a GPU that has it, float32 elsewhere. On a
            processor with instructions for bfloat16 (AVX-512 BF16, AMX) `bf16-mixed` is quicker, too; `16-mixed` is for
            GPUs alone.
        seed: All random draws come from (seed, pass, utterance) and (seed, step).
        workers: Processes that prepare batches; 0 prepares them in the training process.
        cache_mb: Megabytes of decoded recordings that these processes together keep from pass to pass.
        threads: Threads of torch; 0 leaves torch's own choice.
        devices: Devices of each machine to train on: a number or `auto`, which is all GPUs or, without one, a single
            process. How many there are changes the gradient no more than `accumulate` does.
        nodes: Machines that train together. Each is started with the same command and, in the environment, MASTER_ADDR
            and MASTER_PORT of the first machine and its own NODE_RANK; or by torchrun or SLURM, which say all that.
        strategy: `ddp` joins processes even where there is one; `auto` where there are several.
        deterministic: The same run twice is the same to the bit on a GPU, too; slower. On a processor it is so anyway.
        checkpoint_minutes: Minutes after which a checkpoint is written within an interval, too; 0 does not.
    """

    epochs: int = 40
    clean_passes: int = 0
    batch_frames: int | None = None
    accumulate: int = 1
    interval_batches: int | None = None
    keep: Literal["best", "last"] = "best"
    patience: int = 10
    clip_norm: float = 5.0
    clip_value: float = 0.0
    truncate_ms: float = 0.0
    detect_anomaly: bool = False
    average: float = 0.0
    precision: Literal["auto", "32-true", "16-mixed", "bf16-mixed", "64-true"] = "auto"
    seed: int = 0
    workers: int = 1
    cache_mb: int = 500
    threads: int = 0
    devices: int | Literal["auto"] = "auto"
    nodes: int = 1
    strategy: Literal["auto", "ddp"] = "auto"
    deterministic: bool = False
    checkpoint_minutes: float = 15.0

    def __post_init__(self) -> None:
        if self.epochs < 1 or (self.batch_frames is not None and self.batch_frames < 1):
            raise ValueError("loop.epochs and loop.batch_frames must be at least 1")
        for name in ("accumulate", "nodes", "devices"):
            if getattr(self, name) != "auto" and getattr(self, name) < 1:
                raise ValueError(f"loop.{name} is {getattr(self, name)}; it must be at least 1")
        not_negative = (
            "clean_passes",
            "patience",
            "clip_norm",
            "clip_value",
            "truncate_ms",
            "workers",
            "cache_mb",
            "threads",
        )
        for name in (*not_negative, "checkpoint_minutes"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"loop.{name} is {getattr(self, name)}; it must be a number that is not negative")
        if not 0 <= self.seed < 1 << 31:
            raise ValueError(f"loop.seed is {self.seed}; it must be at least 0 and less than {1 << 31}")
        if self.interval_batches is not None and self.interval_batches < 1:
            raise ValueError(f"loop.interval_batches is {self.interval_batches}; it must be at least 1, or left out")
        if self.clip_norm > 0 and self.clip_value > 0:
            raise ValueError(
                f"loop.clip_norm is {self.clip_norm:g} and loop.clip_value {self.clip_value:g}; set one of the two to 0"
            )
        if self.keep == "last" and self.patience:
            raise ValueError("loop.keep is last, so the development error must not end the run: set loop.patience to 0")
        if not 0 <= self.average < 1:
            raise ValueError(f"loop.average is {self.average}; it must be at least 0 and less than 1")


class _Parser(ArgumentParser):
    """Says on one line what is wrong."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:
            super().error(message, ex)  # of a setting within one, which raises
        self.exit(2, mistyped(self.prog, self._as_typed(_in_words(message))))

    def _as_typed(self, message: str) -> str:
        """Names of missing options as they are typed: `--out`, and not `out`."""
        said, colon, missing = message.partition("are required: ")
        typed = {action.dest: action.option_strings[0] for action in self._actions if action.option_strings}
        names = ", ".join(typed.get(name, name) for name in missing.split(", "))
        return f"{said}{colon}{names}" if colon else message


def _in_words(message: str) -> str:
    """What jsonargparse says of a value of the wrong type, without its names for types; any other message as it is."""
    key = ".".join(re.findall(r'Parser key "([^"]+)"', message))
    wrong = re.search(r"Expected an? (?P<kind>.+)\. Got value: (?P<value>.*)", message) or re.search(
        r"Subtypes: \[(?P<kind>.*?)\]\n.*Given value: (?P<value>.*)", message, re.DOTALL
    )
    if not wrong or not key:
        return message
    kind = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", wrong["kind"]).replace("NoneType", "null")
    kind = re.sub(r", (?:typing\.)?Literal\[('[^']*')\]", r" or \1", kind)
    kind = re.sub(r"(?:typing\.)?Literal\[(.*?)\]", r"one of \1", kind)
    kind = kind.replace(", null", " or null")
    hint = ", in brackets as [1,2] is" if re.match("tuple|list", kind) else ""
    return f"{key} is {wrong['value']}; it must be {kind}{hint}"


def parse(
    kind: type,
    *,
    arguments: list[str],
    default_file: str | Path | None = None,
    extras: dict[str, dict[str, Any]] | None = None,
    functions: dict[str, tuple[Callable[..., Any], set[str]]] | None = None,
    **settings: Any,
) -> tuple[Any, Namespace]:
    """Read a dataclass from its defaults, then a YAML file, then the command line; the later wins.

    Args:
        kind: The dataclass; its nested dataclasses become dotted options such as `--loop.epochs`.
        arguments: Command-line arguments; `--config FILE` names a YAML file of settings.
        default_file: A YAML file under the command line, such as a recipe's `config.yaml`.
        extras: Further options by name: the keyword arguments of `ArgumentParser.add_argument`.
        functions: Further options from the keyword arguments of a function: prefix to (function, names to leave out).
        settings: Keyword arguments of the parser, such as `prog` and `description`.

    Returns:
        The dataclass, and a namespace with the extras and the functions' options.
    """
    parser = _Parser(allow_abbrev=False, **settings)
    for name, options in (extras or {}).items():
        parser.add_argument(name, **options)
    for prefix, (function, skip) in (functions or {}).items():
        parser.add_function_arguments(function, prefix, skip=skip)
    parser.add_argument(
        "--config", action="config", help="YAML file of settings; options after it on the line win over it"
    )
    parser.add_class_arguments(kind, as_group=False)
    if default_file is not None:
        arguments = ["--config", str(default_file), *arguments]
    # jsonargparse 4.49 renamed it, 5 has the new name alone.
    instantiate = getattr(parser, "instantiate", None) or parser.instantiate_classes
    made = instantiate(parser.parse_args(arguments))
    return kind(**{field.name: made[field.name] for field in fields(kind)}), made
