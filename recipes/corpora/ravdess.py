"""RAVDESS: two sentences in eight emotions by 24 actors, 60 recordings of speech each.

Livingstone and Russo, "The Ryerson Audio-Visual Database of Emotional Speech and Song", PLOS ONE 13(5), 2018. Layout
of the speech archive: `Actor_{actor}/{modality}-{channel}-{emotion}-{intensity}-{statement}-{repetition}-{actor}.wav`,
two digits each. Actors with odd numbers are men, with even ones women. Sung recordings (channel 02) and films
(modalities 01 and 02) are passed over. There is no official split.
"""

from __future__ import annotations

import re
from pathlib import Path

from recipes.corpora.spoken import Spoken, named
from training.manifests import ManifestError

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")  # from 01 on
DEV_SPEAKERS = ("17", "18", "19", "20")
TEST_SPEAKERS = ("21", "22", "23", "24")
NAME = re.compile(r"03-01-(?P<emotion>\d\d)-\d\d-\d\d-\d\d-(?P<actor>\d\d)")


def files(folder: Path) -> list[tuple[Path, re.Match[str]]]:
    """The recordings of speech by their names."""
    return named(folder, NAME)


def recordings(folder: Path) -> list[Spoken]:
    """All recordings of speech, in the order of their names.

    Raises:
        ManifestError: one has a number that RAVDESS does not have, or is there twice.
    """
    seen: dict[str, Path] = {}
    found = []
    for path, name in files(folder):
        emotion, actor = int(name["emotion"]), int(name["actor"])
        if not (1 <= emotion <= len(EMOTIONS) and 1 <= actor <= 24):
            raise ManifestError(
                f"{path}: RAVDESS has emotions 01 to 08 and actors 01 to 24; move other files elsewhere"
            )
        if path.stem in seen:
            # Some copies hold everything once more in a folder of their own.
            raise ManifestError(f"{path}: is in {seen[path.stem].parent} too; give one of the folders")
        seen[path.stem] = path
        found.append(Spoken(path, EMOTIONS[emotion - 1], name["actor"], "male" if actor % 2 else "female"))
    return found
