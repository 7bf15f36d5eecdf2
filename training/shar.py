"""lhotse Shar, read as it is: shards of cuts, and beside each an archive of their recordings.

The cuts are read at once, and the recordings when they are needed, out of the archives where they lie. Nothing is
copied: a corpus may be larger than the disk of the machine that trains on it.
"""

from __future__ import annotations

from pathlib import Path

from lhotse import CutSet, MonoCut

from features.archive import Member
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
        try:
            items += [_item(one, str(archive.resolve())) for one in CutSet.from_file(cuts)]
        except ManifestError as error:
            raise ManifestError(f"{cuts}: {error}") from None
        except Exception as error:  # of gzip, json and lhotse, for all that a file can hold
            reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise ManifestError(f"{cuts}: not a lhotse manifest of cuts ({reason}); copy it again") from error
    return items


def _item(one: MonoCut, archive: str) -> Item:
    if not isinstance(one, MonoCut) or one.recording is None:
        raise ManifestError(f"{one.id}: not a cut from one recording")
    if one.recording.num_channels > 1:
        raise ManifestError(f"{one.id}: one of {one.recording.num_channels} channels; write each to a file of its own")
    text = " ".join(s.text for s in one.supervisions if s.text)
    speaker = next((s.speaker for s in one.supervisions if s.speaker), "")
    return Item(one.id, Member(archive, one.id), one.start, one.duration, text, speaker)
