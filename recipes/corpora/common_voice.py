"""Common Voice: sentences that volunteers read into their own microphones, in the layout of one language's archive.

Ardila et al., "Common Voice: A Massively-Multilingual Speech Corpus", LREC 2020. Layout: `clips/` and tables
(`validated.tsv`; `train.tsv`, `dev.tsv` and `test.tsv` where the publisher divides it) with the columns `client_id`,
`path` and `sentence`. The same client is the same person, as far as the publisher knows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from inference.files import read_text
from recipes.corpora.spoken import Utterance
from training.manifests import ManifestError, table_of

COLUMNS = ("client_id", "path", "sentence")
OFFICIAL = ("train", "dev", "test")
HELD_OUT_SHARE = 0.1  # of the clips in the development set, and as many in the test set
BUSY_SHARE = 0.02  # who has read more of the clips than that trains: one voice would be a fifth of a test set


def utterances(corpus: Path, table: str = "validated") -> list[Utterance]:
    """The clips of one table, in its order; ids and speakers begin with `commonvoice-`.

    Raises:
        ManifestError: the table is missing, lacks a column, or has a line that is cut short.
    """
    path = corpus / f"{table}.tsv"
    if not path.is_file():
        raise ManifestError(f"{path}: missing; unpack the archive of Common Voice here")
    lines = table_of(read_text(path, error=ManifestError))
    missing = set(COLUMNS) - set(lines.fieldnames or ())
    if missing:
        raise ManifestError(f"{path}: no column {', '.join(sorted(missing))}; unpack the archive of Common Voice again")
    found = []
    for line in lines:
        if not (line["client_id"] and line["path"] and line["sentence"]):
            raise ManifestError(f"{path}: line {lines.line_num} is cut short; unpack the archive of Common Voice again")
        id = f"commonvoice-{Path(line['path']).stem}"
        found.append(
            Utterance(id, corpus / "clips" / line["path"], line["sentence"], f"commonvoice-{line['client_id']}")
        )
    return found


def divided(corpus: Path, *, seed: int = 0) -> dict[str, list[Utterance]]:
    """`train`, `dev` and `test`, no speaker in two: the publisher's, or else `validated` divided by `divide`.

    Raises:
        ManifestError: a table cannot be used, or there are too few speakers.
    """
    if all((corpus / f"{part}.tsv").is_file() for part in OFFICIAL):
        return {part: utterances(corpus, part) for part in OFFICIAL}
    try:
        return divide(utterances(corpus), seed=seed)
    except ManifestError as error:
        raise ManifestError(f"{corpus}: {error}") from None


def divide(found: Sequence[Utterance], *, seed: int) -> dict[str, list[Utterance]]:
    """`train`, `dev` and `test` by speaker: a tenth of the utterances each for the last two, of many who said little.

    Raises:
        ManifestError: there are too few speakers.
    """
    said = Counter(one.speaker for one in found)
    few = sorted(name for name, count in said.items() if count <= max(1, BUSY_SHARE * len(found)))
    wanted = HELD_OUT_SHARE * len(found)
    part_of: dict[str, str] = {}
    sizes = {"dev": 0, "test": 0}
    for name in np.random.default_rng(seed).permutation(few).tolist():
        part = min(sizes, key=lambda part: sizes[part])
        if sizes[part] >= wanted:
            break
        part_of[name] = part
        sizes[part] += said[name]
    if not all(sizes.values()) or len(part_of) == len(said):
        raise ManifestError(f"{len(said)} speakers are too few to keep some for choosing and testing; fetch more clips")
    parts: dict[str, list[Utterance]] = {part: [] for part in OFFICIAL}
    for one in found:
        parts[part_of.get(one.speaker, "train")].append(one)
    return parts
