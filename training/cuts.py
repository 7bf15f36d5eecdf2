"""Cuts of lhotse as items: what manifests and Shar have in common."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lhotse import CutSet, MonoCut
from lhotse.cut import Cut

from features.archive import Member
from training.items import Item, ManifestError


def items_of(path: Path, item_of: Callable[[Cut], Item], *, otherwise: str) -> list[Item]:
    """The items that `item_of` makes of the cuts in a file (`.jsonl`, `.jsonl.gz`).

    Raises:
        ManifestError: a cut cannot be used, or the file holds no cuts; `otherwise` is what to do then.
    """
    try:
        return [item_of(one) for one in CutSet.from_file(path)]
    except ManifestError as error:
        raise ManifestError(f"{path}: {error}") from None
    except Exception as error:  # of gzip, json and lhotse, for all that a file can hold
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ManifestError(f"{path}: not a lhotse manifest of cuts ({reason}); {otherwise}") from error


def spoken(one: MonoCut, path: str | Member) -> Item:
    """The item of a cut whose sound, or frames, lie there."""
    text = " ".join(s.text for s in one.supervisions if s.text)
    speaker = next((s.speaker for s in one.supervisions if s.speaker), "")
    return Item(one.id, path, one.start, one.duration, text, speaker)


def check_channels(one: MonoCut) -> None:
    """Refuse a cut of a recording with several channels.

    Raises:
        ManifestError: it is of one.
    """
    if one.recording.num_channels > 1:
        raise ManifestError(f"{one.id}: one of {one.recording.num_channels} channels; write each to a file of its own")
