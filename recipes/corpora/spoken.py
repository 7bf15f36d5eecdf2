"""What the loaders of spoken corpora give: recordings with a label, or with what is read in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lhotse import MonoCut

from features import audio
from inference.files import write_text
from inference.progress import with_bar
from training.manifests import cut, write


class Spoken(NamedTuple):
    """One recording: its label, and who speaks, with `female` or `male`."""

    path: Path
    label: str
    speaker: str
    gender: str


class Utterance(NamedTuple):
    """One recording: what is read in it, and by whom."""

    id: str
    path: Path
    text: str
    speaker: str


def cuts(found: Sequence[Utterance], what: str) -> list[MonoCut]:
    """A cut of each, with a bar that says `what` while lengths are read.

    Raises:
        features.audio.AudioError: a recording is missing or cannot be read.
    """
    return [cut(one.id, one.path, one.text, speaker=one.speaker) for one in with_bar(found, what)]


def write_parts(
    parts: Mapping[str, Sequence[Utterance]],
    out: Path,
    what: str,
    *,
    make: Callable[[Sequence[Utterance], str], list[MonoCut]] = cuts,
) -> dict[str, list[MonoCut]]:
    """Write a manifest of each part to `out/manifests`, and what a language model may know to `out/train.txt`.

    That is the texts of `train`, a line each. The cuts of each part come back; `make` makes them, with a bar that says
    `what` and the part.

    Raises:
        features.audio.AudioError: a recording is missing or cannot be read.
    """
    made = {part: make(found, f"{what} {part}") for part, found in parts.items()}
    for part, found in made.items():
        write(out / "manifests" / f"{part}.jsonl.gz", found)
    write_text(out / "train.txt", "".join(f"{one.text}\n" for one in parts["train"]))
    return made


def named(folder: Path, name: re.Pattern[str]) -> list[tuple[Path, re.Match[str]]]:
    """The sound files in a folder and those below it whose stem is such a name, in the order of their names.

    Other encodings than the publisher's will do, such as flac.
    """
    if not folder.is_dir():
        return []
    found = ((path, name.fullmatch(path.stem)) for path in audio.files_in(folder))
    return sorted(((path, match) for path, match in found if match), key=lambda one: (one[0].stem, one[0]))
