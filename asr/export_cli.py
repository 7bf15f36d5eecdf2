"""The command `asr export`: a model in weights of 8 bits."""

from __future__ import annotations

import argparse


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add `export` to the commands of `asr`."""
    from asr.check_cli import DATA
    from inference.shell import add_export

    export = add_export(commands, data=f"recordings that nothing is tested on; {DATA}")
    export.set_defaults(run=_export)


def _export(parsed: argparse.Namespace) -> int:
    from inference.installed import TO_TRAIN, require

    require(TO_TRAIN, what="asr export", extra="train")
    from asr.train_export import export_model

    return export_model(parsed.model, parsed.dev, out=parsed.out, kind=parsed.int8)
