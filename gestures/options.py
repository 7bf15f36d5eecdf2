"""Options that several commands have, and what they mean. What takes time is imported when it is used."""

from __future__ import annotations

import argparse

from inference import shell
from inference.shell import time

# Options of spotting; where one is not given, the model has its own.
SHARES = {"enter": "enter", "exit": "exit", "margin": "margin"}
TIMES = {"hold": "hold_ms", "cooldown": "cooldown_ms"}


def share(text: str) -> float:
    """A number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value


def add_model(parser: argparse.ArgumentParser) -> None:
    """`--model` and `--threads`."""
    from gestures.shipped import DEFAULT, names

    shell.add_model(parser, shipped=names(), default=DEFAULT)


def add_landmarker(parser: argparse.ArgumentParser) -> None:
    """`--landmarker-models` and `--mirrored`."""
    parser.add_argument(
        "--landmarker-models",
        metavar="DIR",
        help="folder with the official hand_landmarker.task and pose_landmarker.task (default: made on first use)",
    )
    parser.add_argument(
        "--mirrored", action="store_true", help="the videos are mirrored, as the selfie view of a phone is"
    )


def add_spotting(parser: argparse.ArgumentParser) -> None:
    """Latency and the rules of spotting: `--chunk`, `--lookahead`, `--enter`, `--exit`, `--hold` ..."""
    group = parser.add_argument_group(
        "spotting", "times such as 200ms or 0.2s, probabilities P from 0 to 1; each model has its own settings"
    )
    group.add_argument("--chunk", type=time, metavar="TIME", help="how much is recognised at a time")
    group.add_argument("--lookahead", type=time, metavar="TIME", help="how much is seen beyond that first")
    group.add_argument("--enter", type=share, metavar="P", help="probability that makes a gesture")
    group.add_argument("--exit", type=share, metavar="P", help="... below which it has ended")
    group.add_argument("--margin", type=share, metavar="P", help="... that it is ahead of all others")
    group.add_argument("--hold", type=time, metavar="TIME", help="how long it must be so")
    group.add_argument("--cooldown", type=time, metavar="TIME", help="how long nothing follows it")


def spot_rules(parsed: argparse.Namespace) -> dict[str, float] | None:
    """The rules of spotting that were given, named as in `gestures.spotting.SpotRules`; none where none was given."""
    given = {rule: getattr(parsed, name) for name, rule in SHARES.items() if getattr(parsed, name) is not None}
    given |= {rule: 1000 * getattr(parsed, name) for name, rule in TIMES.items() if getattr(parsed, name) is not None}
    return given or None
