"""The command `gestures`: a thin shell over the library.

Subcommands import what they need when they run, so that `gestures --help` answers at once.
Exit codes: 0, all is done; 1, some of several files failed; 2, nothing could be done, and the one line on standard
error says why.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gestures.options import add_landmarker, add_model, add_spotting, share, spot_rules
from inference.shell import CommandParser, Version, count, guarded

if TYPE_CHECKING:
    from gestures.recognize import Watching

EXAMPLES = """\
examples:
  gestures watch                                  the webcam, and what is recognised while you move
  gestures watch --camera clip.mp4                the same on a video, as if it were a camera
  gestures recognize clip.mp4                     the gestures in a video, with their times
  gestures recognize clips/ --clip                name each clip of a folder
  gestures recognize talk.mp4 --format eaf --output notes/    for ELAN; also json, csv and srt

a model of your own, from nothing:
  gestures record wave --signer anna              ten clips of a gesture into clips/wave/; the same for each other ...
  gestures record none --signer anna              ... and for what is none: idle hands, scratching, drinking
  gestures train clips --out my_model             learns them; videos become landmarks first, once
  gestures evaluate test_clips --model my_model/model    how good it is on clips that it has not seen
  gestures watch --model my_model/model           your gestures, live
  gestures export my_model/model --int8 --dev dev_clips --out small    in weights of 8 bits: small and fast

  gestures extract videos/                        landmark files of many videos; where it stopped it goes on
  gestures doctor                                 what is installed, what is missing for what
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == ["train"]:
        from gestures.train_cli import main as train_main

        return guarded("gestures", lambda: train_main(arguments[1:]))
    parsed = _parser().parse_args(arguments)
    if parsed.command is None:
        _parser().print_help()
        return 2
    return guarded("gestures", lambda: parsed.run(parsed))


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="gestures",
        description="Recognise gestures and signs in videos, live or not, and train models that do.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=Version)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    _add_recognize(commands)

    from gestures import record, watch
    from gestures.export_cli import add_parser as add_export

    for name, module, what in (
        ("watch", watch, "say what is recognised while it is done, before a camera"),
        ("record", record, "record clips of a gesture, to train on"),
    ):
        live = commands.add_parser(name, help=what, description=module.run.__doc__)
        module.add_arguments(live)
        live.set_defaults(run=module.run)

    commands.add_parser(
        "train", help="train a model on a folder of clips (see `gestures train --help`)", add_help=False
    )

    evaluate = commands.add_parser(
        "evaluate", help="measure a model on clips whose gestures are known", description=_evaluate.__doc__
    )
    evaluate.add_argument("data", help="folder (DATA/LABEL/CLIP, videos or landmarks) or manifest (.jsonl.gz)")
    add_model(evaluate)
    evaluate.add_argument("--output", metavar="DIR|FILE.md", help="write a Markdown report, and pictures beside it")
    _add_jobs(evaluate)
    add_landmarker(evaluate)
    add_spotting(evaluate)
    evaluate.set_defaults(run=_evaluate)

    add_export(commands)

    extract = commands.add_parser(
        "extract", help="find the landmarks of many videos and write them to files", description=_extract.__doc__
    )
    extract.add_argument("folder", metavar="FOLDER", help="folder of videos, those below it included, or one video")
    extract.add_argument("--output", metavar="DIR", help="write DIR/.../NAME.pose (default: beside each video)")
    _add_jobs(extract)
    add_landmarker(extract)
    extract.set_defaults(run=_extract)

    doctor = commands.add_parser(
        "doctor", help="say what is installed and what is missing for what", description=_doctor.__doc__
    )
    doctor.set_defaults(run=_doctor)
    return parser


def _add_recognize(commands: argparse._SubParsersAction) -> None:
    from gestures.formats import WRITERS

    recognize = commands.add_parser(
        "recognize", help="write down the gestures in videos or landmark files", description=_recognize.__doc__
    )
    recognize.add_argument("files", nargs="+", metavar="FILE", help="video, landmark file (.pose, .npz), or folder")
    add_model(recognize)
    recognize.add_argument(
        "--format",
        choices=("txt", *WRITERS),
        default="txt",
        help="txt: a line for each gesture; json, csv; srt: subtitles; eaf: for ELAN (default: txt)",
    )
    recognize.add_argument("--output", metavar="DIR", help="write DIR/NAME.FORMAT for each file instead of printing")
    recognize.add_argument(
        "--clip", action="store_true", help="each file is one gesture from end to end: name it, without times"
    )
    recognize.add_argument(
        "--threshold", type=share, metavar="P", help="with --clip: least probability of a name (default: the model's)"
    )
    add_landmarker(recognize)
    add_spotting(recognize)
    recognize.set_defaults(run=_recognize)


def _add_jobs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--jobs", type=count, metavar="N", help="videos that are read at the same time (default: one for each core)"
    )


def _watching(parsed: argparse.Namespace) -> Watching | None:
    """How gestures are looked for in a recording; none where nothing was said of it."""
    from gestures.recognize import InputError, Watching
    from gestures.stream import LOOKAHEAD_SECONDS

    rules = spot_rules(parsed)
    if parsed.lookahead is not None and parsed.chunk is None:
        raise InputError("--lookahead goes with --chunk; add it, or leave both out for full context")
    if parsed.chunk == 0:
        raise InputError("--chunk must be more than 0")
    if parsed.chunk is not None:
        return Watching(parsed.chunk, LOOKAHEAD_SECONDS if parsed.lookahead is None else parsed.lookahead, rules)
    return None if rules is None else Watching(rules=rules)


def _recognize(parsed: argparse.Namespace) -> int:
    """Write down the gestures in videos or landmark files. A folder stands for all that are in it."""
    from gestures.recognize import InputError, recognize_files

    watching = _watching(parsed)
    if parsed.clip and watching is not None:
        raise InputError("--clip names whole clips, and the options of spotting are for recordings; choose one")
    return recognize_files(
        parsed.files,
        model=parsed.model,
        format=parsed.format,
        output=parsed.output,
        threads=parsed.threads,
        clip=parsed.clip,
        threshold=parsed.threshold,
        watching=watching,
        models=parsed.landmarker_models,
        mirrored=parsed.mirrored,
    )


def _evaluate(parsed: argparse.Namespace) -> int:
    """Recognise clips whose gestures are known: accuracy, each class, and what is taken for what."""
    from gestures.evaluate_cli import evaluate_data

    return evaluate_data(
        parsed.data,
        model=parsed.model,
        output=parsed.output,
        threads=parsed.threads,
        jobs=parsed.jobs,
        models=parsed.landmarker_models,
        mirrored=parsed.mirrored,
        watching=_watching(parsed),
    )


def _extract(parsed: argparse.Namespace) -> int:
    """Find the landmarks of all videos of a folder. Those that have been found are not found again."""
    from gestures.extract import extract_folder

    return extract_folder(
        parsed.folder,
        output=parsed.output,
        jobs=parsed.jobs,
        models=parsed.landmarker_models,
        mirrored=parsed.mirrored,
    )


def _doctor(parsed: argparse.Namespace) -> int:
    """Say what is installed and what is missing for what."""
    from gestures.doctor import report

    print(report())
    return 0
