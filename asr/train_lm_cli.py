"""The command `asr lm train`: texts and settings to the directory of an LSTM language model."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence

DESCRIPTION = """\
Train an LSTM language model on texts.

TEXT is a text file with a sentence a line (also .gz), a manifest (.jsonl, .jsonl.gz), a table (.tsv with a column text),
or a folder of .txt files; several are read one after the other. Texts are compared as everywhere here: in small letters
and without punctuation. Run the same command again and it goes on where it stopped. The perplexity on development text
is shown after each pass, and the best weights are kept. The model comes into DIR/model.
The settings below can stand in a YAML file (--config) or on the command line; the line wins.
"""


class MissingPackagesError(ValueError):
    """Training needs packages that are not installed."""


def main(arguments: Sequence[str]) -> int:
    """Parse the command line and train. Returns the exit code."""
    missing = [name for name in ("torch", "lightning", "lhotse", "onnx") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingPackagesError(f"training needs {', '.join(missing)}: pip install 'saywave[train]'")
    from asr import sentences
    from asr.train_lm import DEV_MOST, DEV_SHARE, TrainLanguageConfig, train
    from training.config import parse
    from training.run import shell_command

    config, options = parse(
        TrainLanguageConfig,
        arguments=list(arguments),
        extras={
            "texts": {"type": str, "nargs": "+", "metavar": "TEXT", "help": "what to train on"},
            "--out": {
                "type": str,
                "required": True,
                "metavar": "DIR",
                "help": "folder for checkpoints, logs and, in DIR/model, the model",
            },
            "--dev": {
                "type": str,
                "metavar": "TEXT",
                "help": "what to choose the best weights on (default: "
                f"a share of {DEV_SHARE} of the sentences, {DEV_MOST} at most)",
            },
        },
        prog="asr lm train",
        description=DESCRIPTION,
    )
    unit = config.text.unit
    model = train(
        config,
        train=sentences.read(options.texts, unit),
        dev=None if options.dev is None else sentences.read([options.dev], unit),
        out=options.out,
        command=shell_command(["asr", "lm", "train", *arguments]),
    )
    print(f"model: {model.directory}\ntry it: asr lm generate {model.directory}", file=sys.stderr)
    print(model.directory)
    return 0
