"""The command `asr train`: data, settings and where to start from, to a model directory."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from asr.shipped import find
from inference import model as models
from inference.installed import TO_TRAIN, require

DEV_SHARE = 0.1

DESCRIPTION = """\
Train a recogniser on recordings and their words.

DATA is a folder (a.wav beside a.txt; subfolders are speakers), a table (.tsv with the columns path, text and maybe
speaker) or a lhotse manifest (.jsonl.gz). Run the same command again and it goes on where it stopped.
The settings below can stand in a YAML file (--config) or on the command line; the line wins.
"""


def main(arguments: Sequence[str]) -> int:
    """Parse the command line and train. Returns the exit code."""
    require(TO_TRAIN, what="training", extra="train")
    from asr.train import TrainConfig, train
    from training.config import OUT_OPTION, parse
    from training.manifests import read, split_by_speaker
    from training.run import shell_command

    config, options = parse(
        TrainConfig,
        arguments=list(arguments),
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
    items = read(options.data)
    if options.dev:
        dev = read(options.dev)
        shared = {item.speaker for item in items if item.speaker} & {item.speaker for item in dev}
        if shared:
            print(
                f"asr train: {len(shared)} speakers are in both DATA and --dev, such as {min(shared)}: the development "
                "error will look better than that on new speakers",
                file=sys.stderr,
            )
    else:
        speakers = {item.speaker for item in items}
        if len(speakers) == 1 and "" not in speakers:
            print(
                f"asr train: all is spoken by {speakers.pop()}: the error on unseen utterances will say nothing about "
                "other speakers",
                file=sys.stderr,
            )
        items, dev = split_by_speaker(items, DEV_SHARE, seed=config.loop.seed)
    model = train(
        config,
        train=items,
        dev=dev,
        out=options.out,
        start_from=models.load(find(options["from"])) if options["from"] else None,
        command=shell_command(["asr", "train", *arguments]),
    )
    print(
        f"model: {model.directory}\ntry it: asr transcribe FILE --model {shlex.quote(str(model.directory))}",
        file=sys.stderr,
    )
    print(Path(model.directory))
    return 0
