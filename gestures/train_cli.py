"""The command `gestures train`: clips, settings and where to start from, to a model directory."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gestures.clips import Clips, enough, load
from gestures.shipped import find
from gestures.spotting import NONE
from inference import model as models
from inference.installed import TO_TRAIN, require

if TYPE_CHECKING:
    from training.manifests import Item

DEV_SHARE = 0.2

DESCRIPTION = """\
Train a recogniser of gestures on clips.

DATA is a folder with a subfolder for each gesture (DATA/wave/anna_1.mp4, videos or landmark files) or a lhotse manifest
(.jsonl.gz). Landmarks of videos go to OUT/landmarks; DATA is left as it is. Clips in DATA/none show what is no gesture:
with them the model learns to spot gestures on a stream, for `gestures watch`; without them, to name clips.
If all clips are named SIGNER_NUMBER, those of some signers are kept out of training, and the best weights are chosen on
them. Run the same command again and it goes on where it stopped.
The settings below can stand in a YAML file (--config) or on the command line; the line wins.
"""


class TrainOptionError(ValueError):
    """Options that cannot be; the message says which."""


def main(arguments: Sequence[str]) -> int:
    """Parse the command line and train. Returns the exit code."""
    require(TO_TRAIN, what="training", extra="train")
    from training.devices import one_voice

    with one_voice():
        return _train(arguments)


def _train(arguments: Sequence[str]) -> int:
    from gestures.train import train
    from gestures.train_defaults import ClipTraining, SpotTraining
    from training.config import parse
    from training.run import shell_command

    settings = {"extras": EXTRAS, "prog": "gestures train", "description": DESCRIPTION}
    config, options = parse(ClipTraining, arguments=list(arguments), **settings)
    out = Path(options.out)
    if Path(options.data).is_dir() and out.resolve().is_relative_to(Path(options.data).resolve()):
        raise TrainOptionError(f"{out}: lies in the folder of the clips; give an --out beside it")
    finding = {"jobs": options.jobs, "models": options.landmarker_models, "mirrored": options.mirrored}
    clips = load(options.data, out / "landmarks", **finding)
    _tell(clips, options.data)
    enough(clips.items, source=options.data)
    if NONE in clips.labels and config.head.kind == models.CLASS:
        config, options = parse(SpotTraining, arguments=list(arguments), **settings)
    if options.dev:
        dev_clips = load(options.dev, out / "landmarks-dev", **finding)
        _tell(dev_clips, options.dev)
        clips.failed += dev_clips.failed
        items, dev = clips.items, dev_clips.items
        _warn_of_shared(items, dev)
    else:
        items, dev = _divided(clips, seed=config.loop.seed)
    model = train(
        config,
        train=items,
        dev=dev,
        out=out,
        start_from=models.load(find(options["from"])) if options["from"] else None,
        command=shell_command(["gestures", "train", *arguments]),
    )
    _say_what_next(model)
    print(Path(model.directory))
    return 1 if clips.failed else 0


EXTRAS: dict[str, dict] = {
    "data": {"type": str, "metavar": "DATA", "help": "what to train on"},
    "--out": {
        "type": str,
        "required": True,
        "metavar": "DIR",
        "help": "folder for landmarks, checkpoints, logs and, in DIR/model, the model",
    },
    "--dev": {
        "type": str,
        "metavar": "DATA",
        "help": "what to choose the best weights on (default: "
        f"a share of {DEV_SHARE} of DATA, by signer where names say who they are)",
    },
    "--from": {
        "type": str,
        "metavar": "NAME|DIR",
        "help": "model to train on from; labels that it does not have start fresh",
    },
    "--jobs": {
        "type": int,
        "metavar": "N",
        "help": "videos whose landmarks are found at the same time (default: one for each core)",
    },
    "--landmarker-models": {
        "type": str,
        "metavar": "DIR",
        "help": "folder with the official hand_landmarker.task and pose_landmarker.task (default: made on first use)",
    },
    "--mirrored": {
        "action": "store_true",
        "help": "the videos are mirrored, as the selfie view of a phone is",
    },
}


def _tell(clips: Clips, source: str) -> None:
    """What was found, and what was not."""
    print(f"{source}: {clips.summary()}", file=sys.stderr)
    for what, lines in (("are damaged, and what could be read is used", clips.notes), ("are left out", clips.failed)):
        if lines:
            print(f"gestures train: {len(lines)} clips {what}:", file=sys.stderr)
        for line in lines:
            print(f"  {line}", file=sys.stderr)


def _divided(clips: Clips, *, seed: int) -> tuple[list[Item], list[Item]]:
    """The clips to train and to choose on, and on standard error what the error on the latter is worth."""
    from training.splits import split_labelled

    items, dev, apart = split_labelled(clips.items, DEV_SHARE, seed=seed, optional=[NONE])
    signers = sorted({item.speaker for item in dev})
    if apart:
        print(f"chosen on {len(dev)} clips of {', '.join(signers)}, who are not trained on", file=sys.stderr)
    elif len(clips.signers) > 1:
        line = "no division by signers has every gesture in both parts; clips of the same people are in both"
        print(f"gestures train: {line}: the error will look better than that on others", file=sys.stderr)
    elif clips.signers:
        line = f"all clips are of {signers[0]}: the error on unseen clips will say nothing about other people"
        print(f"gestures train: {line}", file=sys.stderr)
    return items, dev


def _warn_of_shared(items: Sequence[Item], dev: Sequence[Item]) -> None:
    shared = {item.speaker for item in items if item.speaker} & {item.speaker for item in dev}
    if shared:
        print(
            f"gestures train: {len(shared)} signers are in both DATA and --dev, such as {min(shared)}: the development "
            "error will look better than that on new signers",
            file=sys.stderr,
        )


def _say_what_next(model: models.Model) -> None:
    lines = [f"model: {model.directory}"]
    if model.head["kind"] != models.CLASS or model.labels[0] == NONE:
        lines += [
            f"try it: gestures watch --model {model.directory}",
            f"or:     gestures recognize FILE --model {model.directory}",
        ]
    else:
        lines += [
            f"try it: gestures recognize FILE --model {model.directory}",
            "to watch a camera it must know what is no gesture: add clips of that (gestures record none), and train "
            "into another --out",
        ]
    lines.append(f"on clips of other people: gestures evaluate CLIPS --model {model.directory}")
    print("\n".join(lines), file=sys.stderr)
