"""speechocean762: English sentences read by 250 people whose first language is Mandarin, half of them children.

The publisher's two parts, whose speakers differ. Of every ten training speakers, in the order of their ages, one is
kept to choose the best weights on.
"""

from __future__ import annotations

from pathlib import Path

from recipes.corpora import speechocean762
from recipes.corpora.spoken import write_parts
from training.manifests import write

RESULT = "WER"
DATA_NOTE = "speechocean762 (Zhang et al. 2021), OpenSLR 101, free for commercial and non-commercial purposes"


def prepare(data: Path, out: Path, *, seed: int = 0) -> None:
    """Write the manifests `train`, `dev` and `test` to `out/manifests`, and the texts of training to `out/train.txt`.

    The test sentences of children (up to 15 years) and of adults are in `out/manifests/groups` once more.

    Args:
        data: speechocean762, as it is unpacked.
        out: Where manifests go.
        seed: What the speakers are drawn from who are chosen on.

    Raises:
        ManifestError: a table is missing or lacks a line.
        features.audio.AudioError: a recording cannot be read.
    """
    parts = speechocean762.divided(data, seed=seed)
    years = speechocean762.ages(data, "test")
    made = write_parts(parts, out, "speechocean762")
    for group, members in speechocean762.by_age(parts["test"], years).items():
        ids = {one.id for one in members}
        write(out / "manifests" / "groups" / f"{group}.jsonl.gz", [one for one in made["test"] if one.id in ids])
