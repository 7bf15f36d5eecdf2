"""The command `asr label` and its options. Nothing that takes time is imported before it runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from inference.shell import time

if TYPE_CHECKING:
    from asr.search import SearchConfig


def add_parser(
    commands: argparse._SubParsersAction,
    *,
    add_model: Callable[[argparse.ArgumentParser], None],
    add_search: Callable[[argparse.ArgumentParser], None],
    search: Callable[[argparse.Namespace], SearchConfig | None],
) -> None:
    """Add `label` to the commands of `asr`."""
    label = commands.add_parser(
        "label",
        help="make training data of recordings without transcripts, where a model is sure",
        description="Transcribe recordings and write a manifest of those that the model is sure of, ready for `asr "
        "train` beside transcribed ones (pseudo-labels). Kept is what has words, whose mean confidence is high enough, "
        "and what is neither too short nor too long. Calibrate the model first (`asr calibrate`; training does): then "
        "confidence is the share of words that can be expected to be right; words left out do not show in it. What is "
        "heard is kept beside the manifest until this is written (MANIFEST.part): a command that was stopped goes on "
        "where it was when it is given again.",
    )
    label.add_argument(
        "files", nargs="+", metavar="FILE", help="sound file, folder, or quoted pattern such as 'talks/**/*.flac'"
    )
    label.add_argument("--out", required=True, metavar="MANIFEST", help="what is written, .jsonl or .jsonl.gz")
    label.add_argument(
        "--min-confidence", type=float, default=0.9, metavar="C", help="mean of the words, 0 to 1 (default: 0.9)"
    )
    label.add_argument("--shortest", type=time, default=0.5, metavar="TIME", help="least length (default: 0.5s)")
    label.add_argument("--longest", type=time, default=30.0, metavar="TIME", help="greatest length (default: 30s)")
    label.add_argument(
        "--segments",
        choices=("none", "decoder", "silero"),
        default="none",
        help="divide recordings at pauses and judge each part by itself; decoder: where no words are recognised; "
        "silero: and silero-vad hears no voice (default: none)",
    )
    add_model(label)
    add_search(label)
    label.set_defaults(run=lambda parsed: _run(parsed, search(parsed)))


def _run(parsed: argparse.Namespace, search: SearchConfig | None) -> int:
    from inference.installed import TO_TRAIN, require

    require(TO_TRAIN, what="asr label", extra="train")
    from asr.stretches import Segments
    from asr.train_labels import Sureness, label_files

    return label_files(
        parsed.files,
        model=parsed.model,
        out=parsed.out,
        sure=Sureness(parsed.min_confidence, parsed.shortest, parsed.longest),
        search=search,
        segments=None if parsed.segments == "none" else Segments(parsed.segments),
        threads=parsed.threads,
    )
