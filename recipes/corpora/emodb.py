"""EMO-DB: ten German sentences in seven emotions by ten actors, about 535 recordings.

Burkhardt, Paeschke, Rolfes, Sendlmeier and Weiss, "A Database of German Emotional Speech", Interspeech 2005. Layout:
`wav/{speaker}{sentence}{emotion}{version}.wav`, as 03a01Fa.wav: speaker 03, sentence a01, F for Freude, version a.
Emotions are the first letters of their German names. There is no official split.
"""

from __future__ import annotations

import re
from pathlib import Path

from recipes.corpora.spoken import Spoken, named
from training.manifests import ManifestError

EMOTIONS = {
    "W": "anger",  # Wut
    "L": "boredom",  # Langeweile
    "E": "disgust",  # Ekel
    "A": "fear",  # Angst
    "F": "happiness",  # Freude
    "T": "sadness",  # Trauer
    "N": "neutral",
}
GENDERS = {
    **dict.fromkeys(("03", "10", "11", "12", "15"), "male"),
    **dict.fromkeys(("08", "09", "13", "14", "16"), "female"),
}
DEV_SPEAKERS = ("12", "14")
TEST_SPEAKERS = ("15", "16")
NAME = re.compile(r"(?P<speaker>\d\d)[ab]\d\d(?P<emotion>[A-Z])[a-z]")


def files(folder: Path) -> list[tuple[Path, re.Match[str]]]:
    """The recordings by their names."""
    return named(folder, NAME)


def recordings(folder: Path) -> list[Spoken]:
    """All recordings, in the order of their names.

    Raises:
        ManifestError: one is of a speaker or an emotion that EMO-DB does not have, or is there twice.
    """
    seen: dict[str, Path] = {}
    found = []
    for path, name in files(folder):
        if name["emotion"] not in EMOTIONS or name["speaker"] not in GENDERS:
            raise ManifestError(
                f"{path}: EMO-DB has the emotions {', '.join(EMOTIONS)} and the speakers {', '.join(sorted(GENDERS))}; "
                "move other files elsewhere"
            )
        if path.stem in seen:
            raise ManifestError(f"{path}: is in {seen[path.stem].parent} too; give one of the folders")
        seen[path.stem] = path
        found.append(Spoken(path, EMOTIONS[name["emotion"]], name["speaker"], GENDERS[name["speaker"]]))
    return found
