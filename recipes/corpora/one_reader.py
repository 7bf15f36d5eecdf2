"""Corpora of one reader each, without a division of their own: LJ Speech, and the CMU Arctic prompts read by Kathleen.

LJ Speech (Keith Ito 2017): `metadata.csv` with lines `ID|as written|as spoken`, and `wavs/ID.wav`. Kathleen: a table
`metadata.tsv` with the columns `path` and `sentence`, and `audio`; many sentences were read more than once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from asr.text import normalize
from features import audio
from inference.files import read_text
from recipes.corpora.spoken import Utterance
from training.manifests import ManifestError, table_of


def lj_speech(corpus: Path) -> list[Utterance]:
    """What is there of LJ Speech, numbers and abbreviations spelled out; sound may be in other formats than wav.

    Raises:
        ManifestError: the table is missing or has other lines, or there is no recording.
    """
    table = corpus / "metadata.csv"
    recordings = {path.stem: path for path in audio.files_in(corpus / "wavs")} if (corpus / "wavs").is_dir() else {}
    if not table.is_file() or not recordings:
        raise ManifestError(f"{corpus}: no metadata.csv with wavs beside it; unpack LJSpeech-1.1.tar.bz2 here")
    found = []
    for number, line in enumerate(read_text(table, error=ManifestError).splitlines(), start=1):
        fields = line.split("|")
        if len(fields) != 3:
            raise ManifestError(f"{table}: line {number} is not ID|text|text; unpack LJSpeech-1.1.tar.bz2 again")
        if fields[0] in recordings:
            found.append(Utterance(fields[0], recordings[fields[0]], fields[2], "ljspeech"))
    if not found:
        raise ManifestError(f"{table}: names no recording in {corpus / 'wavs'}; unpack LJSpeech-1.1.tar.bz2 again")
    return found


def kathleen(corpus: Path) -> list[Utterance]:
    """Every take of every prompt.

    Raises:
        ManifestError: the table is missing, or lacks a column.
    """
    table = corpus / "metadata.tsv"
    if not table.is_file():
        raise ManifestError(f"{table}: missing; give the folder that holds metadata.tsv and audio")
    lines = table_of(read_text(table, error=ManifestError))
    if not {"path", "sentence"} <= set(lines.fieldnames or ()):
        raise ManifestError(f"{table}: the first line must name the columns path and sentence, with a tab between them")
    found = []
    for line in lines:
        if not (line["path"] and line["sentence"]):
            raise ManifestError(f"{table}: line {lines.line_num} is cut short; fetch it again")
        name = f"kathleen-{Path(line['path']).stem}"
        found.append(Utterance(name, corpus / "audio" / line["path"], line["sentence"], "kathleen"))
    return found


def first_takes(found: Sequence[Utterance], most: int) -> list[Utterance]:
    """Without the readings of a sentence by the same reader that come after the first so many.

    Sentences are the same where their words are, in the form of `asr.text.normalize`.
    """
    read: Counter[tuple[str, str]] = Counter()
    kept = []
    for one in found:
        sentence = (one.speaker, normalize(one.text))
        read[sentence] += 1
        if read[sentence] <= most:
            kept.append(one)
    return kept
