"""Which recordings there are, what is in them, and who produced them.

The manifest is a lhotse CutSet (`.jsonl` or `.jsonl.gz`). A plain folder (`a.wav` beside `a.txt`) and a table (TSV with
the columns path, text and, if known, speaker) become one too, so that all of them train alike; Kaldi's data directories
(`training.kaldi`) and lhotse Shar (`training.shar`) are read as they are. A cut is of a sound file or, with the custom
field `frames`, of a file of frames made of sound that is not there, or, with the custom field `landmarks`, of a file of
landmarks, where each supervision is a gesture with its place.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from lhotse import CutSet, MonoCut, Recording, SupervisionSegment
from lhotse.audio import AudioSource

from features import audio
from training import kaldi, shar
from training.cuts import check_channels, items_of, spoken
from training.items import Item, ManifestError, Segment

__all__ = [
    *("Item", "ManifestError", "Segment"),
    *("cut", "cut_of_length", "frames_cut", "from_folder", "from_tsv", "landmark_cut"),
    *("read", "table_of", "write"),
]


def cut(id: str, path: str | Path, text: str, *, speaker: str | None = None, gender: str | None = None) -> MonoCut:
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
    return cut_of_length(id, path, text, rate=found.rate, frames=frames, speaker=speaker, gender=gender)


def cut_of_length(
    id: str,
    path: str | Path,
    text: str,
    *,
    rate: int,
    frames: int,
    speaker: str | None = None,
    gender: str | None = None,
) -> MonoCut:
    """The same where rate (Hz) and length (frames) are known: the file is not opened."""
    duration = frames / rate
    recording = Recording(id, [AudioSource("file", [0], str(path))], rate, frames, duration)
    supervision = SupervisionSegment(id, id, 0.0, duration, text=text, speaker=speaker or None, gender=gender)
    return MonoCut(id, 0.0, duration, channel=0, recording=recording, supervisions=[supervision])


def frames_cut(id: str, path: str | Path, text: str, *, duration: float, speaker: str | None = None) -> MonoCut:
    """A lhotse cut of a whole file of frames (see `features.given`), of a duration in seconds."""
    supervision = SupervisionSegment(id, id, 0.0, duration, text=text, speaker=speaker or None)
    custom = {"frames": str(Path(path).resolve())}
    return MonoCut(id, 0.0, duration, channel=0, supervisions=[supervision], custom=custom)


def landmark_cut(
    id: str, path: str | Path, segments: Sequence[Segment], *, duration: float, start: float = 0.0, signer: str = ""
) -> MonoCut:
    """A lhotse cut of a file of landmarks, from `start` on (seconds), with its gestures in order."""
    supervisions = [
        SupervisionSegment(f"{id}-{k}", id, one.start, one.end - one.start, text=one.label, speaker=signer or None)
        for k, one in enumerate(segments)
    ]
    custom = {"landmarks": str(Path(path).resolve())}
    return MonoCut(id, start, duration, channel=0, supervisions=supervisions, custom=custom)


def write(path: str | Path, cuts: Iterable[MonoCut]) -> Path:
    """Write a manifest beside its place and rename it. Paths in it are absolute."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".partial.{path.name}")
    CutSet.from_cuts(cuts).to_file(beside)
    beside.replace(path)
    return path


def read(
    source: str | Path, *, unreadable: list[str] | None = None, labelled: bool = False, untold: bool = False
) -> list[Item]:
    """The items of a manifest (`.jsonl`, `.jsonl.gz`), a folder, or a `.tsv`; of a Kaldi data directory or of Shar.

    Args:
        source: Where they are listed; `kaldi:DIR` is a Kaldi data directory, `shar:DIR` one of lhotse Shar.
        unreadable: Gets the message of each sound file that a folder or table names and that cannot be read, and these
            are left out; without it, the first one ends the reading.
        labelled: Each item has a label: in a folder the name of the subfolder that the sound lies in, where transcripts
            beside it do not count; elsewhere its text.
        untold: What is said does not count: every sound of a folder is an item, and a table or Kaldi's data directory
            needs no texts.

    Raises:
        ManifestError: nothing there, nothing in it, or something that cannot be used.
        features.audio.AudioError: a sound file cannot be read.
    """
    kind, _, folder = str(source).partition(":")
    source = Path(source)
    if kind == "kaldi" and folder:
        items = kaldi.read(Path(folder).expanduser(), unreadable=unreadable, untold=untold)
    elif kind == "shar" and folder:
        items = shar.read(Path(folder).expanduser())
    elif source.is_dir():
        rows = _labelled_folder(source) if labelled else _untold_folder(source) if untold else _folder(source)
        items = [_item(one) for one in _cuts(rows, unreadable)]
    elif source.suffix == ".tsv" and source.is_file():
        items = [_item(one) for one in _cuts(_table(source, untold=untold), unreadable)]
    elif source.name.endswith((".jsonl", ".jsonl.gz")) and source.is_file():
        items = items_of(source, _item, otherwise="make it anew")
    elif source.exists():
        raise ManifestError(f"{source}: not a folder, a .tsv table or a .jsonl[.gz] manifest")
    else:
        raise ManifestError(f"{source}: no such file or folder")
    if not items and not unreadable:
        raise ManifestError(f"{source}: holds no utterances")
    return items


def from_folder(folder: str | Path) -> list[MonoCut]:
    """Cuts of every sound file in `folder` that has a `.txt` of the same name beside it; of one name, the first file.

    In subfolders the name of the first one is the speaker.
    """
    return list(_cuts(_folder(Path(folder)), None))


def from_tsv(table: str | Path) -> list[MonoCut]:
    """Cuts of a table whose first line names its columns: path (from the table's folder), text, and maybe speaker."""
    return list(_cuts(_table(Path(table)), None))


def _item(one: MonoCut) -> Item:
    """The cut as an item, unless more is to be done to the recording than to read it from one time to another."""
    if isinstance(one, MonoCut) and "landmarks" in (one.custom or {}):
        return _landmark_item(one)
    if isinstance(one, MonoCut) and "frames" in (one.custom or {}):
        return spoken(one, one.custom["frames"])
    if not isinstance(one, MonoCut) or one.recording is None or one.recording.sources[0].type != "file":
        raise ManifestError(f"{one.id}: not a cut from one sound file")
    check_channels(one)
    if any(_kind(transform) != "Resample" for transform in one.recording.transforms or ()):
        raise ManifestError(f"{one.id}: perturbed already; give the recording as it is (to perturb it is a setting)")
    return spoken(one, one.recording.sources[0].source)


def _landmark_item(one: MonoCut) -> Item:
    segments = tuple(sorted(Segment(s.start, s.end, s.text or "") for s in one.supervisions))
    for segment in segments:
        if not segment.label:
            raise ManifestError(f"{one.id}: a gesture has no label")
        if segment.start < -0.1 or segment.end > one.duration + 0.1:
            raise ManifestError(f"{one.id}: {segment.label} from {segment.start:g} to {segment.end:g} s lies outside")
    signer = next((s.speaker for s in one.supervisions if s.speaker), "")
    text = " ".join(segment.label for segment in segments)
    return Item(one.id, one.custom["landmarks"], one.start, one.duration, text, signer, segments)


def _kind(transform: object) -> str:
    return transform["name"] if isinstance(transform, dict) else type(transform).__name__


class _Row(NamedTuple):
    """A sound file and what is said in it."""

    id: str
    path: Path
    text: str
    speaker: str | None


def _cuts(rows: Iterable[_Row], unreadable: list[str] | None) -> Iterator[MonoCut]:
    for row in rows:
        try:
            yield cut(row.id, row.path, row.text, speaker=row.speaker)
        except audio.AudioError as error:
            if unreadable is None:
                raise
            unreadable.append(str(error))


def _folder(folder: Path) -> Iterator[_Row]:
    used: set[Path] = set()
    for sound in audio.files_in(folder):
        transcript = sound.with_suffix(".txt")
        if transcript in used or not transcript.is_file():
            continue
        used.add(transcript)
        inside = sound.relative_to(folder)
        speaker = inside.parts[0] if len(inside.parts) > 1 else None
        yield _Row(str(inside.with_suffix("")), sound, " ".join(_text_of(transcript).split()), speaker)
    if not used:
        raise ManifestError(f"{folder}: no sound file has a transcript beside it; put the words of a.wav into a.txt")


def _labelled_folder(folder: Path) -> Iterator[_Row]:
    """FOLDER/LABEL/SOUND or FOLDER/LABEL/SPEAKER/SOUND."""
    for sound in audio.files_in(folder):
        inside = sound.relative_to(folder)
        if len(inside.parts) == 1:
            raise ManifestError(f"{sound}: belongs into a folder of its label: {folder / 'LABEL' / sound.name}")
        yield _Row(str(inside), sound, inside.parts[0], inside.parts[1] if len(inside.parts) > 2 else None)


def _untold_folder(folder: Path) -> Iterator[_Row]:
    for sound in audio.files_in(folder):
        inside = sound.relative_to(folder)
        yield _Row(str(inside), sound, "", inside.parts[0] if len(inside.parts) > 1 else None)


def _table(table: Path, *, untold: bool = False) -> Iterator[_Row]:
    lines = table_of(_text_of(table))
    missing = {"path", *([] if untold else ["text"])} - set(lines.fieldnames or ())
    if missing:
        raise ManifestError(
            f"{table}: the first line must name the columns path, text[, speaker], with tabs between them; missing: "
            f"{', '.join(sorted(missing))}"
        )
    for line in lines:
        text = "" if untold else line["text"]
        if not line["path"] or text is None:
            raise ManifestError(f"{table}: line {lines.line_num} lacks its {'text' if line['path'] else 'path'}")
        yield _Row(line["path"], table.parent / line["path"], text, line.get("speaker") or None)


def table_of(text: str) -> csv.DictReader:
    """The lines of a table by the names in its first: tabs part its columns, and quotes are signs like any other."""
    return csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE)


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: is not text in UTF-8; save it as such") from error
