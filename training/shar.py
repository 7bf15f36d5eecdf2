"""lhotse Shar, read as it is: shards of cuts, and beside each an archive of their recordings.

The cuts are read at once, and the recordings when they are needed, out of the archives where they lie. Nothing is
copied: a corpus may be larger than the disk of the machine that trains on it.
"""

from __future__ import annotations

from pathlib import Path

from lhotse import MonoCut
from lhotse.cut import Cut

from features.archive import Member
from training.cuts import check_channels, items_of, spoken
from training.items import Item, ManifestError


def read(folder: Path) -> list[Item]:
    """The utterances of a Shar folder in the order of its shards: of `cuts.000000.jsonl.gz`, `recording.000000.tar`.

    Raises:
        ManifestError: a shard is missing or damaged, or a cut is not of one channel of one recording.
    """
    if not folder.is_dir():
        raise ManifestError(f"{folder}: no such folder")
    shards = sorted(path for path in folder.glob("cuts.*") if ".jsonl" in path.name)
    if not shards:
        raise ManifestError(f"{folder}: has no shards of lhotse Shar (cuts.000000.jsonl.gz)")
    items = []
    for cuts in shards:
        number = cuts.name.removeprefix("cuts.").partition("jsonl")[0]
        archive = folder / f"recording.{number}tar"
        if not archive.is_file():
            raise ManifestError(f"{archive}: no such file, but there is {cuts.name}; copy it there")
        items += _items(cuts, str(archive.resolve()))
    return items


def _items(cuts: Path, archive: str) -> list[Item]:
    def item(one: Cut) -> Item:
        if not isinstance(one, MonoCut) or one.recording is None:
            raise ManifestError(f"{one.id}: not a cut from one recording")
        check_channels(one)
        return spoken(one, Member(archive, one.id))

    return items_of(cuts, item, otherwise="copy it again")
