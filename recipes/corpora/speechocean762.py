"""speechocean762: 5,000 English sentences read by 250 people whose first language is Mandarin, half of them children.

Zhang et al., "speechocean762: An Open-Source Non-Native English Speech Corpus For Pronunciation Assessment",
Interspeech 2021. Layout of OpenSLR 101: `train` and `test`, each with Kaldi's tables `wav.scp`, `text` and `utt2spk`,
whose paths count from the folder above. No speaker is in both.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from training.manifests import ManifestError


class Utterance(NamedTuple):
    """One recording: what is read in it, and by whom."""

    id: str
    path: Path
    text: str
    speaker: str


def utterances(corpus: Path, part: str) -> list[Utterance]:
    """All of one part (`train` or `test`), in the order of its texts.

    Raises:
        ManifestError: a table is missing, or lacks a line.
    """
    folder = corpus / part
    text, speakers, paths = (read_table(folder / name) for name in ("text", "utt2spk", "wav.scp"))
    for id in text:
        for name, table in (("utt2spk", speakers), ("wav.scp", paths)):
            if id not in table:
                raise ManifestError(f"{folder / name}: no line for {id}, which {folder / 'text'} has")
    return [Utterance(id, corpus / paths[id], words, speakers[id]) for id, words in text.items()]


def read_table(path: Path) -> dict[str, str]:
    """The lines of a Kaldi table, by their first word.

    Raises:
        ManifestError: it is not there.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise ManifestError(f"{path}: missing; unpack speechocean762.tar.gz of OpenSLR 101 here") from None
    rows = [line.split(maxsplit=1) for line in lines if line.strip()]
    return {row[0]: row[1].strip() if len(row) > 1 else "" for row in rows}
