"""How a command ends for whoever typed it: what every command line here has in common."""

from __future__ import annotations

import argparse
import atexit
import gc
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NoReturn

# How a model is computed from weights of 8 bits: see `encoders.int8`.
INT8_KINDS = ("products", "weights")


class CommandParser(argparse.ArgumentParser):
    """Says what is wrong with a command on one line, as of every other mistake, with no screenful of options."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, mistyped(self.prog, message))


class Version(argparse.Action):
    """`--version`: which Saywave this is; asked of the installation only when somebody wants to know."""

    def __init__(self, option_strings: Sequence[str], dest: str):
        super().__init__(option_strings, dest, nargs=0, help="which version this is")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from inference.installed import version

        print(f"{parser.prog} (saywave) {version('saywave')}")
        parser.exit()


def mistyped(program: str, message: str) -> str:
    """The line about a command that cannot be, and where to read how it can."""
    return f"{program}: {' '.join(message.split())}; see {program} --help\n"


def guarded(program: str, run: Callable[[], int]) -> int:
    """The exit code of `run`; users' mistakes become one line and exit code 2.

    A reader that has gone away is no mistake, and neither is Ctrl-C.
    """
    _end_at_once()
    try:
        return run()
    except BrokenPipeError:
        # Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        print(f"{program}: stopped", file=sys.stderr)
        return 130
    except (ValueError, OSError) as error:
        print(f"{program}: {one_line(error)}", file=sys.stderr)
        return 2


@cache
def _end_at_once() -> None:
    """As it ends Python looks for cycles among all objects, several times, to free what ends anyway: not here."""
    atexit.register(gc.freeze)


def one_line(error: BaseException) -> str:
    """The message of an error on one line."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def ended(program: str, failed: Sequence[str], *, asked: int) -> int:
    """Say which of the files asked for failed, on standard error, a line each.

    Returns:
        0 if none did, 2 if the only file did, 1 if some of several did.
    """
    if asked == 1:
        for line in failed:
            print(f"{program}: {line}", file=sys.stderr)
        return 2 if failed else 0
    return listed(program, failed, f"of {asked} files failed")


def listed(program: str, failed: Sequence[str], what: str) -> int:
    """Say what failed, on standard error: a line with how many and `what` they are, then a line for each.

    Returns:
        The exit code: 0 if there are none, else 1.
    """
    if failed:
        print(f"{program}: {len(failed)} {what}:", file=sys.stderr)
        for line in failed:
            print(f"  {line}", file=sys.stderr)
    return 1 if failed else 0


def count(text: str) -> int:
    """The value of an option: a whole number that is not negative."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def time(text: str) -> float:
    """The value of an option: a time such as 400ms or 0.4s, in seconds."""
    from inference.times import seconds

    try:
        return seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_model(parser: argparse.ArgumentParser, *, shipped: Sequence[str], default: str) -> None:
    """The options `--model` and `--threads`.

    Args:
        parser: Where they are added.
        shipped: Names of the models that come with the program.
        default: Which of them is meant where none is named.
    """
    parser.add_argument(
        "--model",
        default=default,
        metavar="NAME|DIR",
        help=f"shipped model ({', '.join(shipped) or 'none'}) or model directory (default: {default})",
    )
    parser.add_argument(
        "--threads", type=count, default=1, metavar="N", help="threads for scoring; 0 takes every core (default: 1)"
    )


def add_export(commands: argparse._SubParsersAction, *, data: str) -> argparse.ArgumentParser:
    """The command `export`: the model, `--int8`, `--dev` and `--out`; `data` says what `--dev` may be."""
    parser = commands.add_parser(
        "export",
        help="make a model small and fast, in weights of 8 bits",
        description="Write a model directory with weights of 8 bits, a quarter of the size, and say how many more "
        "errors it makes on development data; the model card says so too. It is used, evaluated and trained on from "
        "like any other.",
    )
    parser.add_argument(
        "model",
        metavar="DIR",
        help="model directory in float32, which stays as it is (the models that ship have weights of 8 bits already)",
    )
    parser.add_argument(
        "--int8",
        nargs="?",
        type=_int8_kind,
        const=INT8_KINDS[0],
        required=True,
        metavar="products|weights",
        help="products: what the LSTMs and the head multiply has 8 bits, which is up to three times as fast, the more "
        "so the larger the model; weights: they are multiplied in float32, for cells that have no such products "
        "(default: products)",
    )
    parser.add_argument("--dev", metavar="DATA", required=True, help=data)
    parser.add_argument("--out", metavar="DIR", required=True, help="the model directory to make")
    return parser


def _int8_kind(text: str) -> str:
    if text not in INT8_KINDS:
        raise argparse.ArgumentTypeError(f"{text!r} is neither products nor weights; a model is named before --int8")
    return text


def typed(program: str) -> str:
    """How a command of this installation, such as `asr`, can be typed here."""
    beside = Path(sys.executable).with_name(program)
    if not beside.is_file():
        return f"{shown(Path(sys.executable))} -m {program}"
    found = shutil.which(program)
    return program if found is not None and Path(found) == beside else shown(beside)


def shown(path: Path) -> str:
    """A path from the current folder where it lies below it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
