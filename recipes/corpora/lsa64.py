"""LSA64: 64 signs of Argentinian Sign Language, 10 people, 5 repetitions, 3,200 videos.

Ronchetti et al., "LSA64: An Argentinian Sign Language Dataset", CACIC 2016. Layout: `SSS_PPP_RRR.mp4`, sign, person and
repetition, in one folder (`all`, `all_cut`). There is no official split; the authors test on people who are not in the
training material, and so does this, since with everybody in both parts the figures say little about a new signer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from recipes.corpora import Clip, CorpusError

NAME = re.compile(r"([0-9]{3})_([0-9]{3})_([0-9]{3})\.mp4", re.IGNORECASE)

# By number, from 1. Some copies of the table call number 8 Red, as number 2 is.
SIGNS = (
    *("Opaque", "Red", "Green", "Yellow", "Bright", "Light-blue", "Colors", "Pink"),
    *("Women", "Enemy", "Son", "Man", "Away", "Drawer", "Born", "Learn"),
    *("Call", "Skimmer", "Bitter", "Sweet milk", "Milk", "Water", "Food", "Argentina"),
    *("Uruguay", "Country", "Last name", "Where", "Mock", "Birthday", "Breakfast", "Photo"),
    *("Hungry", "Map", "Coin", "Music", "Ship", "None", "Name", "Patience"),
    *("Perfume", "Deaf", "Trap", "Rice", "Barbecue", "Candy", "Chewing-gum", "Spaghetti"),
    *("Yogurt", "Accept", "Thanks", "Shut down", "Appear", "To land", "Catch", "Help"),
    *("Dance", "Bathe", "Buy", "Copy", "Run", "Realize", "Give", "Find"),
)


def clips(folder: str | Path, *, test_signers: Sequence[str] = ("010",)) -> Iterator[Clip]:
    """Clips in the order of their names; `source` is the video, which is not opened.

    Args:
        folder: Where the videos are, or the folder above.
        test_signers: People of the test part, as in the file names; all others train.

    Raises:
        CorpusError: no videos of such names, a sign that LSA64 does not have, or a test signer without any.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CorpusError(f"{folder}: no such folder; unpack LSA64 and name the folder of its videos")
    named = [(path, NAME.fullmatch(path.name)) for path in _videos(folder)]
    found = [(path, name) for path, name in named if name]
    if not found:
        raise CorpusError(f"{folder}: no videos such as 001_001_001.mp4, in it or in a folder of it; unpack LSA64 here")
    signers = sorted({name[2] for _, name in found})
    missing = sorted(set(test_signers) - set(signers))
    if missing:
        raise CorpusError(f"{folder}: no videos of test signer {missing[0]}; the signers are {', '.join(signers)}")
    seen: dict[str, Path] = {}
    for path, name in found:
        if not 1 <= int(name[1]) <= len(SIGNS):
            raise CorpusError(f"{path}: LSA64 has signs 001 to 0{len(SIGNS)}; move other videos elsewhere")
        if path.stem in seen:
            raise CorpusError(f"{path}: is in {seen[path.stem].parent} too; name one of the folders")
        seen[path.stem] = path
    for path, name in found:
        yield Clip(path.stem, path, SIGNS[int(name[1]) - 1], name[2], "test" if name[2] in test_signers else "train")


def _videos(folder: Path) -> list[Path]:
    """In the folder itself, or where there are none, in those right below."""
    here = [path for path in folder.iterdir() if NAME.fullmatch(path.name)]
    return sorted(here or folder.glob("*/*"), key=lambda path: (path.name, path.parent))
