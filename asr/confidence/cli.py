"""The options of confidences: `asr calibrate`, and which words `asr transcribe` and `asr listen` doubt."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from inference.shell import count

if TYPE_CHECKING:
    from asr.confidence.doubt import Doubt
    from asr.search import SearchConfig


def add_calibrate(
    commands: argparse._SubParsersAction,
    *,
    add_search: Callable[[argparse.ArgumentParser], None],
    search: Callable[[argparse.Namespace], SearchConfig],
) -> None:
    """The command `calibrate`, with the options of a search that `asr.cli` has."""

    def run(parsed: argparse.Namespace) -> int:
        from asr.confidence.calibrate import calibrate_model

        return calibrate_model(parsed.model, parsed.data, threads=parsed.threads, search=search(parsed))

    parser = commands.add_parser(
        "calibrate",
        help="make confidences probabilities, and times those of the sound, by recordings with known words",
        description="Hold recognised words against what was said, and store with the model how its scores become "
        "probabilities. Give the options of the search that it will be used with. Training does this at its end, on "
        "its development set.",
    )
    parser.add_argument(
        "model", metavar="DIR", help="model directory, which will be changed; of a shipped model, a copy"
    )
    parser.add_argument(
        "data",
        metavar="DATA",
        help="recordings that are not tested on, as of asr evaluate; with NAME.ctm or NAME.TextGrid beside the sound, "
        "times of words are corrected too",
    )
    add_search(parser)
    parser.add_argument(
        "--threads", type=count, default=1, metavar="N", help="threads for scoring; 0 takes every core (default: 1)"
    )
    parser.set_defaults(run=run)


def add_doubt(parser: argparse.ArgumentParser) -> None:
    """The options `--min-confidence` and `--below`."""
    parser.add_argument(
        "--min-confidence",
        type=float,
        metavar="P",
        help="words that are right with less than this probability, from 0 to 1, are doubtful (default: none)",
    )
    parser.add_argument(
        "--below",
        choices=("mark", "drop"),
        help="mark doubtful words as [word?], in json as doubtful, or drop them; ctm has their confidence (default: "
        "mark)",
    )


def doubt_of(parsed: argparse.Namespace) -> Doubt:
    """What these options say.

    Raises:
        DoubtError: they are out of range, or one is missing.
    """
    from asr.confidence.doubt import MARK, Doubt, DoubtError

    if parsed.min_confidence is None:
        if parsed.below is not None:
            raise DoubtError("--below goes with --min-confidence; add that, or leave it out")
        return Doubt()
    return Doubt(parsed.min_confidence, parsed.below or MARK)
