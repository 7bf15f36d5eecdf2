"""The command `gestures export`: a model in weights of 8 bits."""

from __future__ import annotations

import argparse


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add `export` to the commands of `gestures`."""
    from gestures.options import add_landmarker
    from inference.shell import add_export

    export = add_export(
        commands,
        data="clips that nothing is tested on: folder (DATA/LABEL/CLIP, videos or landmarks) or manifest (.jsonl.gz)",
    )
    add_landmarker(export)
    export.set_defaults(run=_export)


def _export(parsed: argparse.Namespace) -> int:
    from inference.installed import TO_TRAIN, require

    require(TO_TRAIN, what="gestures export", extra="train")
    from gestures.train_export import export_model

    return export_model(
        parsed.model,
        parsed.dev,
        out=parsed.out,
        kind=parsed.int8,
        landmarker=parsed.landmarker_models,
        mirrored=parsed.mirrored,
    )
