"""The command `asr`: a thin shell over the library.

Subcommands import what they need when they run, so that `asr --help` answers at once.
Exit codes: 0, all is done; 1, some of several files failed; 2, nothing could be done, and the one line on standard
error says why.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

EXAMPLES = """\
examples:
  asr transcribe talk.flac                        the words, on standard output
  asr transcribe recordings/ --output texts/      a folder; texts/NAME.txt for each recording
  asr transcribe a.wav b.mp3 --format json        words with times and confidence
  cat a.wav | asr transcribe -                    from standard input
  asr train my_data/ --out my_model               a model of your own (a.wav beside a.txt)
  asr evaluate my_test/ --model my_model/model    word and character error rates, with a report
  asr doctor                                      what is installed, what is missing for what
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == ["train"]:
        from asr.train_cli import main as train_main

        return guarded(lambda: train_main(arguments[1:]))
    parsed = _parser().parse_args(arguments)
    if parsed.command is None:
        _parser().print_help()
        return 2
    return guarded(lambda: parsed.run(parsed))


def guarded(run) -> int:
    """Users' mistakes become one line and exit code 2; a reader that has gone away is no mistake."""
    try:
        return run()
    except BrokenPipeError:
        # Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        print("asr: stopped", file=sys.stderr)
        return 130
    except (ValueError, OSError) as error:
        print(f"asr: {one_line(error)}", file=sys.stderr)
        return 2


def one_line(error: BaseException) -> str:
    """The message of an error on one line."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="asr",
        description="Turn speech into text, and train models that do.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    from asr.formats import WRITERS

    transcribe = commands.add_parser(
        "transcribe", help="write down what is said in sound files", description=_transcribe.__doc__
    )
    transcribe.add_argument("files", nargs="+", metavar="FILE", help="sound file, folder, or - for standard input")
    _add_model(transcribe)
    transcribe.add_argument(
        "--format",
        choices=tuple(WRITERS),
        default="txt",
        help="txt: the words; json: with times and confidence (default: txt)",
    )
    transcribe.add_argument("--output", metavar="DIR", help="write DIR/NAME.FORMAT for each file instead of printing")
    transcribe.set_defaults(run=_transcribe)

    evaluate = commands.add_parser(
        "evaluate", help="count the errors of a model on recordings with known words", description=_evaluate.__doc__
    )
    evaluate.add_argument(
        "data", help="folder (a.wav beside a.txt), table (.tsv: path, text, speaker), or manifest (.jsonl.gz)"
    )
    _add_model(evaluate)
    evaluate.add_argument("--output", metavar="FILE", help="write a Markdown report with the worst utterances, aligned")
    evaluate.set_defaults(run=_evaluate)

    commands.add_parser(
        "train", help="train a model on recordings and their words (see `asr train --help`)", add_help=False
    )

    doctor = commands.add_parser(
        "doctor", help="say what is installed and what is missing for what", description=_doctor.__doc__
    )
    doctor.set_defaults(run=_doctor)
    return parser


def _count(text: str) -> int:
    """A whole number that is not negative."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def _add_model(parser: argparse.ArgumentParser) -> None:
    from asr.shipped import DEFAULT, names

    shipped = ", ".join(names()) or "none"
    parser.add_argument(
        "--model",
        default=DEFAULT,
        metavar="NAME|DIR",
        help=f"shipped model ({shipped}) or model directory (default: {DEFAULT})",
    )
    parser.add_argument(
        "--threads", type=_count, default=1, metavar="N", help="threads for scoring; 0 takes every core (default: 1)"
    )
    parser.add_argument(
        "--beam",
        type=_count,
        default=0,
        metavar="N",
        help="hypotheses kept by the beam search; 0 decodes greedily (default: 0)",
    )


def _transcribe(parsed: argparse.Namespace) -> int:
    """Write down what is said in sound files. A folder stands for all sound files in it."""
    from asr.transcribe import transcribe_files

    return transcribe_files(
        parsed.files,
        model=parsed.model,
        format=parsed.format,
        output=parsed.output,
        threads=parsed.threads,
        beam=parsed.beam,
    )


def _evaluate(parsed: argparse.Namespace) -> int:
    """Transcribe recordings whose words are known and count substituted, deleted and inserted words and characters."""
    from asr.evaluate import evaluate_data

    return evaluate_data(
        parsed.data, model=parsed.model, output=parsed.output, threads=parsed.threads, beam=parsed.beam
    )


def _doctor(parsed: argparse.Namespace) -> int:
    """Say what is installed and what is missing for what."""
    from asr.doctor import report

    print(report())
    return 0
