"""fsdd: the Free Spoken Digit Dataset, one digit a clip, its official split (index 0 to 4 tests, the rest trains).

Files are `recordings/{digit}_{speaker}_{index}.wav`. The clips of index 5 to 9 are taken out of the training part to
choose the best weights on. The transcript is the digit's word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from inference.progress import with_bar
from training.manifests import ManifestError, cut, write

RESULT = "accuracy"
DATA_NOTE = "Free Spoken Digit Dataset (Jackson et al.), CC BY-SA 4.0"
NAME = re.compile(r"([0-9])_(.+)_([0-9]+)\.wav")
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class Clip(NamedTuple):
    """One spoken digit."""

    path: Path
    digit: int
    speaker: str
    index: int

    @property
    def part(self) -> str:
        """`test`, `dev` or `train`: the official split, with part of training kept for choosing."""
        return "test" if self.index < 5 else "dev" if self.index < 10 else "train"


def clips(data: Path) -> list[Clip]:
    """All clips of the corpus in the order of their names.

    Raises:
        ManifestError: there are none.
    """
    folder = data / "recordings" if (data / "recordings").is_dir() else data
    named = [(path, NAME.fullmatch(path.name)) for path in sorted(folder.glob("*.wav"))]
    found = [Clip(path, int(name[1]), name[2], int(name[3])) for path, name in named if name]
    if not found:
        raise ManifestError(
            f"{data}: no recordings such as recordings/7_jackson_0.wav; clone the Free Spoken Digit Dataset here"
        )
    return found


def held_out_part(clip: Clip, held_out: str | None) -> str:
    """`train`, `dev` or `test`: the official split, or all clips of the speaker who is held out as the test."""
    if held_out is None:
        return clip.part
    if clip.speaker == held_out:
        return "test"
    return "dev" if clip.part == "dev" else "train"


def check_speaker(found: Sequence[Clip], held_out: str | None) -> None:
    """Raise ManifestError where nobody of that name speaks."""
    speakers = sorted({clip.speaker for clip in found})
    if held_out is not None and held_out not in speakers:
        raise ManifestError(f"prepare.held_out is {held_out!r}; the speakers are {', '.join(speakers)}")


def prepare(data: Path, out: Path, *, held_out: str | None = None) -> None:
    """Write the manifests `train`, `dev` and `test` to `out/manifests`.

    Args:
        data: The corpus.
        out: Where manifests go.
        held_out: Test on all clips of this speaker and train on the other speakers, instead of the official split.
    """
    found = clips(data)
    check_speaker(found, held_out)
    parts: dict[str, list] = {"train": [], "dev": [], "test": []}
    for clip in with_bar(found, "fsdd"):
        parts[held_out_part(clip, held_out)].append(
            cut(clip.path.stem, clip.path, WORDS[clip.digit], speaker=clip.speaker)
        )
    for part, cuts in parts.items():
        write(out / "manifests" / f"{part}.jsonl.gz", cuts)
