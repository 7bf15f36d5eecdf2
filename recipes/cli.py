"""The command `python -m recipes`: which recipes there are, and how a run ends for whoever typed it.

Light on purpose: the list of recipes and a mistyped name need no PyTorch, whose import takes seconds.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
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
        from recipes.run import start

        print(start(name, arguments[1:]))
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


def overview() -> str:
    """How the command is used, and a line on each recipe."""
    lines = [
        "usage: python -m recipes NAME --data FOLDER --out FOLDER [--stages prepare train evaluate] [--seeds 0 1 2] "
        "[--cells all] [SETTING ...]",
        "",
        "Prepares a corpus, trains on it, evaluates the exported model and prints the result. Run again, it goes on "
        "where it stopped.",
        "",
        "recipes:",
    ]
    for name in names():
        heading = (FOLDER / name / "README.md").read_text(encoding="utf-8").splitlines()[0]
        lines.append(f"  {name:18s} {heading.removeprefix(f'# {name}: ')}")
    lines += ["", "`python -m recipes NAME --help` lists every setting."]
    return "\n".join(lines)
