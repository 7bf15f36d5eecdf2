"""Miniatures of corpora of read English in their publishers' layouts, for `runpy.run_path`: noise instead of speech."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

AGES = {"train": range(6, 26), "test": (7, 8, 30)}


def write_sound(path: Path, seconds: float = 0.1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(round(16000 * seconds)), 16000)


def write_learners(folder: Path, sentences: Sequence[str]) -> Path:
    """speechocean762: twenty training speakers from 6 to 25 years and three others to test, who read all sentences."""
    for part, years in AGES.items():
        read, by_age = [], []
        for number, age in enumerate(years):
            speaker = f"{number:04d}" if part == "train" else f"9{number:03d}"
            by_age.append(f"{speaker}\t{age}")
            read += [(speaker, f"{speaker}{place:05d}", words.upper()) for place, words in enumerate(sentences)]
        write_part(folder / part, read)
        (folder / part / "spk2age").write_text("\n".join(by_age) + "\n")
    return folder


def write_part(part: Path, read: Sequence[tuple[str, str, str]], *, seconds: float = 0.1) -> None:
    """A part of speechocean762, but for the ages: recordings as (speaker, id, words)."""
    tables: dict[str, list[str]] = {"text": [], "wav.scp": [], "utt2spk": []}
    for speaker, id, words in read:
        path = f"WAVE/SPEAKER{speaker}/{id}.WAV"
        write_sound(part.parent / path, seconds)
        tables["text"].append(f"{id}\t{words}")
        tables["wav.scp"].append(f"{id}\t{path}")
        tables["utt2spk"].append(f"{id} {speaker}")
    part.mkdir()
    for name, rows in tables.items():
        (part / name).write_text("\n".join(rows) + "\n")


def write_volunteers(folder: Path, clips: Sequence[tuple[str, str]], *, table: str = "validated") -> Path:
    """Common Voice: clips as (client, sentence)."""
    rows = ["client_id\tpath\tsentence_id\tsentence\tup_votes"]
    for number, (client, sentence) in enumerate(clips):
        name = f"common_voice_en_{table}{number}.flac"
        write_sound(folder / "clips" / name)
        rows.append(f"{client}\t{name}\t0\t{sentence}\t2")
    (folder / f"{table}.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder
