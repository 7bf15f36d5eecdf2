"""What the loaders of spoken corpora with labels give."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from features import audio


class Spoken(NamedTuple):
    """One recording: its label, and who speaks, with `female` or `male`."""

    path: Path
    label: str
    speaker: str
    gender: str


def named(folder: Path, name: re.Pattern[str]) -> list[tuple[Path, re.Match[str]]]:
    """The sound files in a folder and those below it whose stem is such a name, in the order of their names.

    Other encodings than the publisher's will do, such as flac.
    """
    if not folder.is_dir():
        return []
    found = ((path, name.fullmatch(path.stem)) for path in audio.files_in(folder))
    return sorted(((path, match) for path, match in found if match), key=lambda one: (one[0].stem, one[0]))
