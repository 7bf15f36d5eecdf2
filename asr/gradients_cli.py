"""The command `asr gradients`: how far back a network can learn from its errors."""

from __future__ import annotations

import argparse

from inference.shell import time


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add `gradients` to the commands of `asr`."""
    from asr.shipped import DEFAULT, names

    gradients = commands.add_parser(
        "gradients", help="show how far back in time errors reach in a network", description=_gradients.__doc__
    )
    gradients.add_argument("files", nargs="+", metavar="FILE", help="sound file, folder or quoted pattern; a few do")
    gradients.add_argument(
        "--model",
        action="append",
        metavar="NAME|DIR",
        help=f"shipped model ({', '.join(names()) or 'none'}) or model directory; several are compared "
        f"(default: {DEFAULT})",
    )
    gradients.add_argument(
        "--fresh", action="store_true", help="show each as it was before any training, too, its weights drawn anew"
    )
    gradients.add_argument(
        "--back", type=time, metavar="TIME", help="follow errors so far back, such as 1s (default: half the shortest)"
    )
    gradients.add_argument("--plot", metavar="FILE", help="plot it (.png, .svg or .pdf)")
    gradients.set_defaults(run=_gradients)


def _gradients(parsed: argparse.Namespace) -> int:
    """Show how much of an error comes back through time, layer by layer and direction by direction: in a plain
    recurrent network it fades exponentially (the vanishing gradient), in an LSTM it need not. Errors of length 1 enter
    at the scores of single steps; the tables have the norm of what arrives earlier, or later where a direction reads
    from the end. Of each recording at most 30 s are heard."""
    from asr.confidence.reliability import check_plot
    from asr.shipped import DEFAULT
    from inference.installed import require

    require(("torch", "onnx"), what="asr gradients", extra="train")
    if parsed.plot is not None:
        check_plot(parsed.plot)
    from asr.train_gradients import report

    return report(
        parsed.files, names=parsed.model or [DEFAULT], fresh=parsed.fresh, back=parsed.back, picture=parsed.plot
    )
