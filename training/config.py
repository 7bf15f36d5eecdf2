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
        batch_frames: Frames in a batch at most, padding included, before augmentation changes the speed; a longer item
            is a batch of its own. None is 12,000 or, of a small corpus, so few that a pass has about 30 batches.
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
        precision: `auto` is bfloat16 or float16 mixed with float32 on a GPU that has it, float32 elsewhere.
        seed: All random draws come from (seed, pass, utterance) and (seed, step).
        workers: Processes that prepare batches; 0 prepares them in the training process.
        cache_mb: Megabytes of decoded recordings that these processes together keep from pass to pass.
        threads: Threads of torch; 0 leaves torch's own choice.
        devices: Devices to train on: a number or `auto`.
        strategy: How Lightning spreads the work over several devices, such as `auto` or `ddp`.
    """

    epochs: int = 40
    batch_frames: int | None = None
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
    devices: int | str = "auto"
    strategy: str = "auto"

    def __post_init__(self) -> None:
        if self.epochs < 1 or (self.batch_frames is not None and self.batch_frames < 1):
            raise ValueError("loop.epochs and loop.batch_frames must be at least 1")
        for name in ("patience", "clip_norm", "clip_value", "truncate_ms", "workers", "cache_mb", "threads"):
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
        self.exit(2, mistyped(self.prog, _in_words(message)))


def _in_words(message: str) -> str:
    """What jsonargparse says of a value of the wrong type, without its names for types; any other message as it is."""
    key = ".".join(re.findall(r'Parser key "([^"]+)"', message))
    wrong = re.search(r"Expected an? (?P<kind>.+)\. Got value: (?P<value>.*)", message) or re.search(
        r"Subtypes: \[(?P<kind>.*)\]\n.*Given value: (?P<value>.*)", message, re.DOTALL
    )
    if not wrong or not key:
        return message
    kind = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", wrong["kind"]).replace("NoneType", "null")
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
