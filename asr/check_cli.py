"""The command `asr check`: what a corpus holds, before anything is trained or tested on it."""

from __future__ import annotations

import argparse

from asr.text import FORMS

DATA = (
    "folder (a.wav beside a.txt), table (.tsv: path, text, speaker), manifest (.jsonl.gz), kaldi:DIR (a Kaldi data "
    "directory), or shar:DIR (lhotse Shar)"
)
FORMS_SAID = "plain: small letters without punctuation; written: as they are"


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add `check` to the commands of `asr`."""
    check = commands.add_parser(
        "check", help="say what a corpus holds, and what of it cannot be used", description=_check.__doc__
    )
    check.add_argument("data", metavar="DATA", help=DATA)
    against = check.add_mutually_exclusive_group()
    against.add_argument("--alphabet", metavar="FILE", help="look for letters that are not in it; one on a line")
    against.add_argument("--model", metavar="NAME|DIR", help="look for letters that this model does not have")
    check.add_argument("--unit", choices=("char", "word"), help="what labels stand for (default: char, or the model's)")
    check.add_argument("--form", choices=FORMS, help=f"{FORMS_SAID} (default: plain, or the model's)")
    check.add_argument(
        "--output", metavar="FILE", help="write the alphabet, to be edited and given to asr train --tokens.alphabet"
    )
    check.set_defaults(run=_check)


def _check(parsed: argparse.Namespace) -> int:
    """Say what a corpus holds: utterances, hours, letters with their counts and the rarest of them with examples; and
    what of it cannot be used: letters without a label, utterances too short for their text, recordings that cannot be
    read. The exit code is 1 if there is something of these."""
    from asr.check import CheckError, check_data
    from asr.shipped import find
    from asr.tokens import TokenConfig
    from inference import model as models

    given = {name: getattr(parsed, name) for name in ("unit", "form", "alphabet") if getattr(parsed, name) is not None}
    if parsed.model is None:
        return check_data(parsed.data, config=TokenConfig(**given), output=parsed.output)
    if given:
        raise CheckError(f"--{next(iter(given))} is the model's own; leave it out, or --model")
    return check_data(parsed.data, model=models.load(find(parsed.model)), output=parsed.output)
