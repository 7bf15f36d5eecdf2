"""The command `asr lm train`: texts and settings to the directory of an LSTM language model."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence

from inference.installed import TO_TRAIN, require

DESCRIPTION = """\
Train an LSTM language model on texts.

TEXT is a text file with a sentence a line (also .gz), a manifest (.jsonl, .jsonl.gz), a table (.tsv with a column
text), or a folder of .txt files; several are read one after the other. Texts are compared as everywhere here: in small
letters and without punctuation. Run the same command again and it goes on where it stopped. The perplexity on
development text is shown after each pass, and the best weights are kept. The model comes into DIR/model.
With much text, take fewer passes in larger batches: --loop.epochs 5 --loop.batch_frames 4000.
The settings below can stand in a YAML file (--config) or on the command line; the line wins.
"""


def main(arguments: Sequence[str]) -> int:
    """Parse the command line and train. Returns the exit code."""
    require(TO_TRAIN, what="training", extra="train")
    from training.devices import one_voice

    with one_voice():
        return _train(arguments)


def _train(arguments: Sequence[str]) -> int:
    from asr.language import sentences
    from asr.language.train import DEV_MOST, DEV_SHARE, TrainLanguageConfig, train
    from asr.shipped import find
    from asr.tokens import Tokens
    from inference import model as models
    from training.config import OUT_OPTION, parse
    from training.run import shell_command

    config, options = parse(
        TrainLanguageConfig,
        arguments=list(arguments),
        extras={
            "texts": {"type": str, "nargs": "+", "metavar": "TEXT", "help": "what to train on"},
            "--out": OUT_OPTION,
            "--dev": {
                "type": str,
                "metavar": "TEXT",
                "help": "what to choose the best weights on (default: "
                f"a share of {DEV_SHARE} of the sentences, {DEV_MOST} at most)",
            },
            "--for": {
                "type": str,
                "metavar": "NAME|DIR",
                "help": "recogniser that it is for: texts are taken in the form that this writes, letters are its "
                "labels (default: small letters without punctuation, each character a letter)",
            },
        },
        prog="asr lm train",
        description=DESCRIPTION,
    )
    unit, recognizer = config.text.unit, options["for"]
    tokens = None if recognizer is None else Tokens.of(models.load(find(recognizer)))
    model = train(
        config,
        train=sentences.read(options.texts, unit, tokens=tokens),
        dev=None if options.dev is None else sentences.read([options.dev], unit, tokens=tokens),
        out=options.out,
        command=shell_command(["asr", "lm", "train", *arguments]),
    )
    print(f"model: {model.directory}\ntry it: asr lm generate {shlex.quote(str(model.directory))}", file=sys.stderr)
    print(model.directory)
    return 0
