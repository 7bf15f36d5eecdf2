"""The command `python -m recipes`: which recipes there are, and how a run ends for whoever typed it.

Light on purpose: the list of recipes and a mistyped name need no PyTorch, whose import takes seconds.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from inference.installed import TO_TRAIN, MissingPackagesError, require
from inference.shell import one_line

FOLDER = Path(__file__).parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one recipe; the last line printed is its result. Returns the exit code.

    Raises:
        SystemExit: an option is unknown or has no such value, or `--help` was asked for.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(overview())
        return 0
    name = arguments[0]
    if name not in names():
        print(f"recipes: no recipe is called {name!r}; there are: {', '.join(names())}", file=sys.stderr)
        return 2
    try:
        require(TO_TRAIN, what="training", extra="train")
    except MissingPackagesError as error:
        print(f"recipes: {error}", file=sys.stderr)
        return 2
    try:
        if name in experiments():
            start = importlib.import_module(f"recipes.{name}.experiment").start
        else:
            from recipes.run import start as run

            start = partial(run, name)
        from training.devices import one_voice

        with one_voice():
            print(start(arguments[1:]))
    except (ValueError, OSError) as error:
        print(f"recipes {name}: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"recipes {name}: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def names() -> list[str]:
    """The recipes there are."""
    return sorted(path.parent.name for path in FOLDER.glob("*/config.yaml"))


def experiments() -> set[str]:
    """Those of them that make their own data: `start` of their `experiment.py` is all there is to run."""
    return {path.parent.name for path in FOLDER.glob("*/experiment.py")}


def overview() -> str:
    """How the command is used, and a line on each recipe."""
    lines = [
        "usage: python -m recipes NAME --data FOLDER --out FOLDER [--stages prepare train evaluate] [--seeds 0 1 2] "
        "[--cells all] [SETTING ...]",
        "",
        "Prepares a corpus, trains on it, evaluates the exported model and prints the result. Run again, it goes on "
        "where it stopped. Experiments make their own data: python -m recipes NAME --out FOLDER [OPTION ...]",
        "",
        "recipes:",
        *(titled(name) for name in names() if name not in experiments()),
        "",
        "experiments:",
        *(titled(name) for name in names() if name in experiments()),
    ]
    lines += ["", "`python -m recipes NAME --help` lists every setting."]
    return "\n".join(lines)


def titled(name: str) -> str:
    """The name of a recipe and the title of its README."""
    heading = (FOLDER / name / "README.md").read_text(encoding="utf-8").splitlines()[0]
    return f"  {name:18s} {heading.removeprefix(f'# {name}: ')}"
