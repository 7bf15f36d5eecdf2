"""librispeech: a thousand hours of read English, 100 or 960 of them to train on; the official parts.

The best weights are chosen on dev-clean; test-clean and test-other are tested apart. Headers are read by several
processes, chapter by chapter, and what has been read is noted at once: an interrupted preparation goes on there.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Literal

from lhotse import CutSet, MonoCut

from inference.progress import with_bar
from recipes.librispeech.chapters import Chapter, Utterance, read_chapters
from training.manifests import ManifestError, cut_of_length

RESULT = "WER"
DATA_NOTE = "LibriSpeech (Panayotov et al. 2015), OpenSLR 12, CC BY 4.0"
# Utterances of the parts as published.
PUBLISHED = {
    "train-clean-100": 28539,
    "train-clean-360": 104014,
    "train-other-500": 148688,
    "dev-clean": 2703,
    "dev-other": 2864,
    "test-clean": 2620,
    "test-other": 2939,
}
TRAIN = {"100": ("train-clean-100",), "960": ("train-clean-100", "train-clean-360", "train-other-500")}
NAMED = 5  # of the files with a fault


def prepare(
    data: Path, out: Path, *, size: Literal["100", "960"] = "100", dev_other: bool = False, processes: int = 0
) -> None:
    """Write the manifests `train`, `dev`, `test_clean` and `test_other` to `out/manifests`.

    Args:
        data: The folder LibriSpeech, or the one it was unpacked into.
        out: Where manifests go; those of single parts, in `out/manifests/parts`, are not made again.
        size: Hours to train on: `100` is train-clean-100, `960` all three training parts.
        dev_other: Choose the best weights on dev-clean and dev-other together, not on dev-clean alone.
        processes: Processes that read the headers of recordings; 0 is one for each core, 8 at most.

    Raises:
        ManifestError: a part is missing or empty, or holds recordings that cannot be read.
    """
    if processes < 0:
        raise ValueError(f"prepare.processes is {processes}; it must be 0 or more")
    manifests = {
        "train": TRAIN[size],
        "dev": ("dev-clean", "dev-other") if dev_other else ("dev-clean",),
        "test_clean": ("test-clean",),
        "test_other": ("test-other",),
    }
    corpus = _corpus(data, [part for parts in manifests.values() for part in parts])
    for name, parts in manifests.items():
        made = [prepare_part(corpus / part, out / "manifests" / "parts", processes=processes) for part in parts]
        _join(made, out / "manifests" / f"{name}.jsonl.gz")


def prepare_part(folder: Path, out: Path, *, processes: int) -> Path:
    """Write the manifest of one part, such as train-clean-100, to `out`; returns its path."""
    manifest, journal = out / f"{folder.name}.jsonl.gz", out / f".partial.{folder.name}.jsonl"
    if _is_of(manifest, folder):
        return manifest
    out.mkdir(parents=True, exist_ok=True)
    read = _resume(journal, folder)
    folders = sorted(path for path in folder.glob("*/*") if path.is_dir())
    left = [path for path in folders if f"{path.parent.name}/{path.name}" not in read]
    damaged = []
    with closing(read_chapters(left, processes=processes)) as chapters, open(journal, "a", encoding="utf-8") as file:
        for chapter in with_bar(chapters, folder.name, total=len(left)):
            damaged += chapter.damaged
            if not chapter.damaged:
                file.write(json.dumps(chapter) + "\n")
                file.flush()
    if damaged:
        raise ManifestError(f"{_some(damaged)}; unpack {folder.name}.tar.gz of OpenSLR 12 again, then run this again")
    _write(manifest, journal, folder)
    journal.unlink()
    return manifest


def _corpus(data: Path, parts: Sequence[str]) -> Path:
    """The folder that holds the parts."""
    corpus = data / "LibriSpeech" if (data / "LibriSpeech").is_dir() else data
    missing = [part for part in parts if not (corpus / part).is_dir()]
    if missing:
        archives = ", ".join(f"{part}.tar.gz" for part in missing)
        raise ManifestError(
            f"{corpus}: no folder {', '.join(missing)}; unpack {archives} of OpenSLR 12 in {corpus.parent}"
        )
    return corpus.resolve()


def _header(folder: Path) -> str:
    return json.dumps({"folder": str(folder)}) + "\n"


def _resume(journal: Path, folder: Path) -> set[str]:
    """Names of the chapters that a journal holds; begins it, or cuts off what was not written to its end."""
    names, end = set(), 0
    if journal.exists():
        with open(journal, "rb") as file:
            if file.readline() == _header(folder).encode():
                end = file.tell()
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    names.add(Chapter(*json.loads(line)).name)
                    end += len(line)
    if end:
        os.truncate(journal, end)
    else:
        journal.write_text(_header(folder), encoding="utf-8")
    return names


def _write(manifest: Path, journal: Path, folder: Path) -> None:
    """Write the manifest of a journal, ordered by chapter, and say what is in it and what is not."""
    places, seconds, utterances = {}, 0.0, 0
    without_sound: list[str] = []
    without_transcript: list[str] = []
    beside = manifest.with_name(f".partial.{manifest.name}")
    with open(journal, "rb") as file:
        place = len(file.readline())
        for line in file:
            places[Chapter(*json.loads(line)).name] = place
            place += len(line)
        with CutSet.open_writer(beside) as writer:
            for name in sorted(places):
                file.seek(places[name])
                chapter = Chapter(*json.loads(file.readline()))
                without_sound += chapter.without_sound
                without_transcript += chapter.without_transcript
                for utterance in (Utterance(*fields) for fields in chapter.utterances):
                    cut = _cut(utterance, folder / name)
                    writer.write(cut)
                    seconds += cut.duration
                    utterances += 1
    part = folder.name
    if not utterances:
        beside.unlink()
        journal.unlink()
        raise ManifestError(f"{folder}: holds no recording with a transcript; unpack {part}.tar.gz of OpenSLR 12 again")
    beside.replace(manifest)
    complete = utterances == PUBLISHED[part]
    published = "" if complete else f" (as published it has {PUBLISHED[part]:,})"
    _say(f"{part}: {utterances:,} utterances, {seconds / 3600:.1f} h{published}")
    for names, what in (
        (without_sound, "transcripts without a recording"),
        (without_transcript, "recordings without a transcript"),
    ):
        if names:
            _say(f"{part}: {len(names):,} {what} were left out: {_some(names)}")
    if not complete:
        _say(f"{part}: to make this manifest again once the corpus is whole, remove {manifest}")


def _cut(utterance: Utterance, folder: Path) -> MonoCut:
    id, rate, frames, text = utterance
    return cut_of_length(id, folder / f"{id}.flac", text, rate=rate, frames=frames, speaker=folder.parent.name)


def _is_of(manifest: Path, folder: Path) -> bool:
    """Whether there is a manifest, and of recordings in this folder: paths in it are absolute."""
    if not manifest.exists():
        return False
    return any(
        Path(cut.recording.sources[0].source).is_relative_to(folder) for cut in islice(CutSet.from_file(manifest), 1)
    )


def _join(parts: Sequence[Path], manifest: Path) -> None:
    """One manifest after another; what gzip wrote can be joined as it is."""
    beside = manifest.with_name(f".partial.{manifest.name}")
    with open(beside, "wb") as joined:
        for part in parts:
            with open(part, "rb") as file:
                shutil.copyfileobj(file, joined)
    beside.replace(manifest)


def _some(names: Sequence[str]) -> str:
    rest = f"; and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return "; ".join(names[:NAMED]) + rest


def _say(line: str) -> None:
    print(f"librispeech: {line}", file=sys.stderr, flush=True)
