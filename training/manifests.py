"""Which recordings there are, what is in them, and who produced them.

The manifest is a lhotse CutSet (`.jsonl` or `.jsonl.gz`). A plain folder (`a.wav` beside `a.txt`) and a table
(TSV with the columns path, text and, if known, speaker) become one too, so that all of them train alike.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment
from lhotse.audio import AudioSource

from features import audio


class ManifestError(ValueError):
    """Data that cannot be trained or tested on; the message names the file and says what to do."""


@dataclass(frozen=True)
class Item:
    """One utterance or clip: where it lies, how long it is (seconds), what it says, and whose it is.

    `speaker` is the empty string where nobody said whose it is.
    """

    id: str
    path: str
    start: float
    duration: float
    text: str
    speaker: str = ""


def cut(id: str, path: str | Path, text: str, *, speaker: str | None = None) -> MonoCut:
    """A lhotse cut over a whole sound file.

    Raises:
        features.audio.AudioError: the file cannot be read.
    """
    path = Path(path).resolve()
    found = audio.info(path)
    frames = found.frames
    if frames is None:
        samples, _ = audio.read(path)
        frames = len(samples)
    duration = frames / found.rate
    recording = Recording(id, [AudioSource("file", [0], str(path))], found.rate, frames, duration)
    supervision = SupervisionSegment(id, id, 0.0, duration, text=text, speaker=speaker or None)
    return MonoCut(id, 0.0, duration, channel=0, recording=recording, supervisions=[supervision])


def write(path: str | Path, cuts: Iterable[MonoCut]) -> Path:
    """Write a manifest beside its place and rename it. Paths in it are absolute."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".partial.{path.name}")
    CutSet.from_cuts(cuts).to_file(beside)
    beside.replace(path)
    return path


def read(source: str | Path) -> list[Item]:
    """The items of a manifest (`.jsonl`, `.jsonl.gz`), a folder, or a `.tsv`.

    Raises:
        ManifestError: nothing there, or nothing in it.
    """
    source = Path(source)
    if source.is_dir():
        cuts: Iterable[MonoCut] = from_folder(source)
    elif source.suffix == ".tsv" and source.is_file():
        cuts = from_tsv(source)
    elif source.name.endswith((".jsonl", ".jsonl.gz")) and source.is_file():
        cuts = CutSet.from_file(source)
    elif source.exists():
        raise ManifestError(f"{source}: not a folder, a .tsv table or a .jsonl[.gz] manifest")
    else:
        raise ManifestError(f"{source}: no such file or folder")
    items = [_item(one) for one in cuts]
    if not items:
        raise ManifestError(f"{source}: holds no utterances")
    return items


def _item(one: MonoCut) -> Item:
    text = " ".join(s.text for s in one.supervisions if s.text)
    speaker = next((s.speaker for s in one.supervisions if s.speaker), "")
    return Item(one.id, one.recording.sources[0].source, one.start, one.duration, text, speaker)


def from_folder(folder: Path) -> list[MonoCut]:
    """Cuts of every sound file in `folder` that has a `.txt` of the same name beside it.

    In subfolders the name of the first one is the speaker.
    """
    cuts = []
    for transcript in sorted(folder.rglob("*.txt")):
        sound = next((p for p in sorted(transcript.parent.glob(f"{glob_escape(transcript.stem)}.*")) if p.suffix != ".txt"), None)
        if sound is None:
            continue
        inside = sound.relative_to(folder)
        speaker = inside.parts[0] if len(inside.parts) > 1 else None
        text = " ".join(transcript.read_text(encoding="utf-8").split())
        cuts.append(cut(str(inside.with_suffix("")), sound, text, speaker=speaker))
    if not cuts:
        raise ManifestError(f"{folder}: no sound file has a transcript beside it; put the words of a.wav into a.txt")
    return cuts


def from_tsv(table: Path) -> list[MonoCut]:
    """Cuts of a table whose first line names its columns: path (from the table's folder), text, and maybe speaker."""
    with open(table, encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        missing = {"path", "text"} - set(rows.fieldnames or ())
        if missing:
            raise ManifestError(f"{table}: the first line must name the columns path, text[, speaker]; missing: {', '.join(sorted(missing))}")
        return [
            cut(row["path"], table.parent / row["path"], row["text"] or "", speaker=row.get("speaker") or None) for row in rows
        ]


def split_by_speaker(items: Sequence[Item], share: float, *, seed: int = 0) -> tuple[list[Item], list[Item]]:
    """Two parts with no speaker in both; the second holds about `share` of the items.

    Items of unknown speaker are drawn one by one.
    """
    if not 0 < share < 1:
        raise ValueError(f"share is {share}; it must lie between 0 and 1")
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(f"speaker {item.speaker}" if item.speaker else f"item {item.id}", []).append(item)
    names = sorted(groups)
    np.random.default_rng(seed).shuffle(names)
    wanted, second = share * len(items), []
    for name in names:
        if second and len(second) + len(groups[name]) / 2 > wanted:
            continue
        if len(second) + len(groups[name]) < len(items):
            second.extend(groups[name])
    chosen = {item.id for item in second}
    return [item for item in items if item.id not in chosen], [item for item in items if item.id in chosen]


def glob_escape(name: str) -> str:
    """`name` as a glob pattern that matches it alone."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)
