"""Where the results of a command go, one for each input: names that do not clash, in a folder that can be used."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path


class OutputError(ValueError):
    """Results cannot be written there; the message says why and what to do."""


def make_folder(folder: Path) -> None:
    """Make the folder of the results, and those above it.

    Raises:
        OutputError: it is a file, or cannot be written.
        OSError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise OutputError(f"{folder}: is a file; give a folder to --output") from None
    if not os.access(folder, os.W_OK):
        raise OutputError(f"{folder}: cannot be written; give another folder to --output, or change its permissions")


def keep_originals(folder: Path, names: Mapping[str, str], *, what: str) -> None:
    """Refuse to replace a file that stands beside its source: it may be somebody's work and not an earlier result.

    Args:
        folder: Where results go.
        names: Source and name of its result.
        what: What such a file may be, for the message: "the recording, and may be its transcript".
    """
    for source, name in names.items():
        if source != "-" and (folder / name).exists() and Path(source).resolve().parent == folder.resolve():
            raise OutputError(f"{folder / name}: is there already, beside {what}; give another folder to --output")


def output_names(sources: Sequence[str]) -> dict[str, str]:
    """A name for each result: the stem of its source or, where stems clash, the whole name or path.

    Where paths clash too, as `a_b/c` and `a/b/c` do, the later ones are numbered from 2 on.
    """
    names = {source: "stdin" if source == "-" else Path(source).stem for source in sources}
    for rename in (
        lambda path: path.name,
        lambda path: "_".join(path.with_suffix("").parts[-2:]) + path.suffix,
        lambda path: "_".join(path.parts).strip("/_"),
    ):
        taken: dict[str, list[str]] = {}
        for source, name in names.items():
            taken.setdefault(name, []).append(source)
        for clashing in taken.values():
            if len(clashing) > 1:
                names.update({source: rename(Path(source)) for source in clashing})
    taken = set(names.values())
    given: set[str] = set()
    for source, name in names.items():
        if name in given:
            name = next(other for k in count(2) if (other := f"{name}_{k}") not in taken)
            taken.add(name)
            names[source] = name
        given.add(name)
    return names
