"""Options of `asr` for what a search may write, and what it gives beside the best text."""

from __future__ import annotations

import argparse

from inference.shell import count


def add_lexicon(search: argparse._ArgumentGroup) -> None:
    """`--lexicon` and `--decoder`."""
    search.add_argument(
        "--lexicon",
        metavar="FILE",
        help="write these words and no others: a word a line, if need be with its spelling in the model's labels, as "
        "the dictionaries of Kaldi and CMU have it",
    )
    search.add_argument(
        "--decoder",
        choices=("beam", "flashlight"),
        help="flashlight: flashlight-text's, for KenLM's binary files; takes --lexicon and no hot words, and hears "
        "each utterance to its end (default: beam)",
    )


def add_alternatives(parser: argparse.ArgumentParser) -> None:
    """`--alternatives`."""
    parser.add_argument(
        "--alternatives",
        type=count,
        metavar="N",
        help="in json, up to N texts that each stretch between pauses may be, with scores and shares; uses a beam",
    )
