"""speechocean762: 5,000 English sentences read by 250 people whose first language is Mandarin, half of them children.

Zhang et al., "speechocean762: An Open-Source Non-Native English Speech Corpus For Pronunciation Assessment",
Interspeech 2021. Layout of OpenSLR 101: `train` and `test`, each with Kaldi's tables `wav.scp`, `text` and `utt2spk`,
whose paths count from the folder above. No speaker is in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recipes.corpora.spoken import Utterance
from training.manifests import ManifestError

GROWN_UP = 16  # years; nobody is 16 to 18
DEV_EVERY = 10  # one of so many speakers of the training part is kept to choose on


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


def ages(corpus: Path, part: str) -> dict[str, int]:
    """Years of each speaker of one part.

    Raises:
        ManifestError: `spk2age` is missing or holds something else.
    """
    path = corpus / part / "spk2age"
    try:
        return {speaker: int(years) for speaker, years in read_table(path).items()}
    except ValueError as error:
        if isinstance(error, ManifestError):
            raise
        raise ManifestError(f"{path}: an age is no number; unpack speechocean762.tar.gz of OpenSLR 101 again") from None


def dev_speakers(years: dict[str, int], *, seed: int) -> set[str]:
    """Of every ten speakers, in the order of their ages, one that is drawn: as many children as the part has."""
    rng = np.random.default_rng(seed)
    by_age = sorted(years, key=lambda name: (years[name], name))
    tens = [by_age[k : k + DEV_EVERY] for k in range(0, len(by_age), DEV_EVERY)]
    drawn = {ten[rng.integers(DEV_EVERY)] for ten in tens if len(ten) == DEV_EVERY}
    return drawn or {by_age[int(rng.integers(len(by_age)))]}


def divided(corpus: Path, *, seed: int = 0) -> dict[str, list[Utterance]]:
    """`train`, `dev` and `test`: the publisher's parts, less the training speakers that `dev_speakers` draws.

    Raises:
        ManifestError: a table is missing or lacks a line, or there is one training speaker alone.
    """
    train, test = utterances(corpus, "train"), utterances(corpus, "test")
    years = ages(corpus, "train")
    unknown = sorted({one.speaker for one in train} - years.keys())
    if unknown:
        raise ManifestError(f"{corpus / 'train' / 'spk2age'}: no line for {unknown[0]}, who is in utt2spk")
    chosen = dev_speakers(years, seed=seed)
    parts = {
        "train": [one for one in train if one.speaker not in chosen],
        "dev": [one for one in train if one.speaker in chosen],
        "test": test,
    }
    if not parts["train"]:
        raise ManifestError(f"{corpus / 'train'}: one speaker alone cannot train and be chosen on; fetch the others")
    return parts


def by_age(found: Sequence[Utterance], years: dict[str, int]) -> dict[str, list[Utterance]]:
    """The utterances of `child` and of `adult`."""
    groups: dict[str, list[Utterance]] = {"child": [], "adult": []}
    for one in found:
        groups["adult" if years[one.speaker] >= GROWN_UP else "child"].append(one)
    return groups
