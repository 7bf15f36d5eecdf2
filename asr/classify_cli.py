"""The command `asr classify` and its options. Nothing that takes time is imported before it runs."""

from __future__ import annotations

import argparse

from inference.shell import count, time

FORMATS = ("txt", "json", "csv", "tsv")


def add_parser(commands: argparse._SubParsersAction) -> None:
    """The command `classify`."""
    parser = commands.add_parser(
        "classify",
        help="name sound files by a model of labels, such as who speaks",
        description="Say which of its labels a model gives to each sound file, and how probable that is. Such a model "
        "is made by `asr train --head.kind class`, or by the recipes speaker and emotion. A file is judged as a whole "
        "unless --window is given.",
    )
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="sound file, folder, quoted pattern such as 'calls/**/*.flac', or - for standard input",
    )
    parser.add_argument("--model", required=True, metavar="DIR", help="model directory")
    parser.add_argument("--top", type=_at_least_one, default=1, metavar="N", help="most probable labels (default: 1)")
    parser.add_argument(
        "--window",
        type=time,
        metavar="TIME",
        help="labels over time, each of this much sound, such as 3s; what the model was trained on should be about as "
        "long (default: one label for all of a file)",
    )
    parser.add_argument(
        "--hop", type=time, metavar="TIME", help="with --window: time from one to the next (default: half of it)"
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="txt: label and probability; json: an object a line; csv, tsv: a table of file, start, end, rank, label "
        "and confidence (default: what --output ends in, or txt)",
    )
    parser.add_argument("--output", metavar="FILE", help="write the labels of all files to FILE instead of printing")
    parser.add_argument("--files-from", metavar="LIST", help="text file with the name of a recording on each line")
    parser.add_argument(
        "--threads", type=count, default=1, metavar="N", help="threads for scoring; 0 takes every core (default: 1)"
    )
    parser.set_defaults(run=_run)


def _at_least_one(text: str) -> int:
    if not count(text):
        raise argparse.ArgumentTypeError("0 labels say nothing; give 1 or more")
    return count(text)


def _run(parsed: argparse.Namespace) -> int:
    from asr.classify import Over, classify_files
    from asr.sources import InputError, listed

    if parsed.hop is not None and parsed.window is None:
        raise InputError("--hop goes with --window; add that, or leave it out")
    if parsed.window is not None and not 0 < (parsed.window if parsed.hop is None else parsed.hop) <= parsed.window:
        raise InputError("--window and --hop must be more than 0, and --hop at most --window")
    return classify_files(
        [*parsed.files, *(listed(parsed.files_from) if parsed.files_from is not None else ())],
        model=parsed.model,
        format=parsed.format,
        top=parsed.top,
        over=None if parsed.window is None else Over(parsed.window, parsed.hop),
        output=parsed.output,
        threads=parsed.threads,
    )
