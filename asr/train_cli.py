"""The command `asr train`: data, settings and where to start from, to a model directory."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from asr.shipped import find
from inference import model as models
from inference.installed import TO_TRAIN, require

if TYPE_CHECKING:
    from training.manifests import Item

DEV_SHARE = 0.1

DESCRIPTION = """\
Train a recogniser on recordings and their words, with --head.kind class on recordings and their labels or, with
--head.kind forecast, on recordings alone, as a beginning to train on from with few words (--from).

DATA (or --data DATA, as recipes have it) is a folder (a.wav beside a.txt; subfolders are speakers), a table (.tsv with
the columns path, text and maybe speaker), a lhotse manifest (.jsonl.gz), kaldi:DIR (a Kaldi data directory) or shar:DIR
(lhotse Shar). Of labels, the folder has a subfolder for each (DATA/happy/a.wav or, where speakers are known,
DATA/happy/anna/a.wav); elsewhere the text is the label. For forecasts every sound of a folder is taken, and tables and
Kaldi data need no texts.
Run the same command again and it goes on where it stopped. With --loop.devices and --loop.nodes, or started by
torchrun, several processes train one model.
The settings below can stand in a YAML file (--config) or on the command line; the line wins.
"""


def main(arguments: Sequence[str]) -> int:
    """Parse the command line and train. Returns the exit code."""
    require(TO_TRAIN, what="training", extra="train")
    from training.devices import one_voice

    with one_voice():
        return _train(arguments)


def _data_in_place(arguments: Sequence[str]) -> list[str]:
    """`--data DATA`, as recipes are told, is DATA."""
    return [argument.removeprefix("--data=") for argument in arguments if argument != "--data"]


def _train(arguments: Sequence[str]) -> int:
    from asr.train import TrainConfig, train
    from training.config import OUT_OPTION, parse
    from training.manifests import read
    from training.run import shell_command

    config, options = parse(
        TrainConfig,
        arguments=_data_in_place(arguments),
        extras={
            "data": {"type": str, "metavar": "DATA", "help": "what to train on"},
            "--out": OUT_OPTION,
            "--dev": {
                "type": str,
                "metavar": "DATA",
                "help": "what to choose the best weights on (default: "
                f"a share of {DEV_SHARE} of DATA, by speaker where speakers are known)",
            },
            "--from": {
                "type": str,
                "metavar": "NAME|DIR",
                "help": "model to train on from; labels that it does not have start fresh",
            },
        },
        prog="asr train",
        description=DESCRIPTION,
    )
    labelled, untold = config.head.kind == models.CLASS, config.head.kind == models.FORECAST
    items = read(options.data, labelled=labelled, untold=untold)
    if options.dev:
        dev = read(options.dev, labelled=labelled, untold=untold)
        _warn_of_shared(items, dev)
    else:
        divide = _divided_by_label if labelled else _divided
        items, dev = divide(items, seed=config.loop.seed)
    model = train(
        config,
        train=items,
        dev=dev,
        out=options.out,
        start_from=models.load(find(options["from"])) if options["from"] else None,
        command=shell_command(["asr", "train", *arguments]),
    )
    folder = shlex.quote(str(model.directory))
    todo = f"asr {'classify' if labelled else 'transcribe'} FILE --model {folder}"
    if untold:
        todo = f"asr train DATA --from {folder} --out DIR"
    print(f"model: {model.directory}\n{'go on' if untold else 'try it'}: {todo}", file=sys.stderr)
    print(Path(model.directory))
    return 0


def _divided(items: Sequence[Item], *, seed: int) -> tuple[list[Item], list[Item]]:
    """What to train and what to choose on, by speaker where speakers are known."""
    from training.splits import split_by_speaker

    _warn_of_one(items)
    return split_by_speaker(items, DEV_SHARE, seed=seed)


def _divided_by_label(items: Sequence[Item], *, seed: int) -> tuple[list[Item], list[Item]]:
    """The same with every label in both parts; where speakers are the labels, they are in both."""
    from training.splits import split_labelled

    _warn_of_one(items)
    items, dev, apart = split_labelled(items, DEV_SHARE, seed=seed)
    if not apart:
        _warn_of_shared(items, dev)
    return items, dev


def _warn_of_one(items: Sequence[Item]) -> None:
    speakers = {item.speaker for item in items}
    if len(speakers) == 1 and "" not in speakers:
        print(
            f"asr train: all is spoken by {speakers.pop()}: the error on unseen utterances will say nothing about "
            "other speakers",
            file=sys.stderr,
        )


def _warn_of_shared(items: Sequence[Item], dev: Sequence[Item]) -> None:
    """Say that speakers are in both parts, unless they are what is to be told apart, or there is but one."""
    known = {item.speaker for item in items if item.speaker and item.speaker != item.text}
    shared = known & {item.speaker for item in dev}
    if shared and len({item.speaker for item in items}) > 1:
        print(
            f"asr train: {len(shared)} speakers are in both training and development data, such as {min(shared)}: the "
            "development error will look better than that on new speakers",
            file=sys.stderr,
        )
