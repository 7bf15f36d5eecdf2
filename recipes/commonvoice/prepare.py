"""commonvoice: sentences that volunteers read into their own microphones, one language of Common Voice.

The publisher's `train`, `dev` and `test` where they are there; else the validated clips, divided by speaker.
"""

from __future__ import annotations

from pathlib import Path

from recipes.corpora import common_voice
from recipes.corpora.spoken import write_parts

RESULT = "WER"
DATA_NOTE = "Common Voice (Ardila et al. 2020), CC0"


def prepare(data: Path, out: Path, *, seed: int = 0) -> None:
    """Write the manifests `train`, `dev` and `test` to `out/manifests`, and the texts of training to `out/train.txt`.

    Args:
        data: One language's folder, with its tables and `clips`.
        out: Where manifests go.
        seed: What the speakers are drawn from who are chosen and tested on, where the publisher has not divided them.

    Raises:
        ManifestError: a table is missing or damaged, or there are too few speakers to divide.
        features.audio.AudioError: a clip is missing or cannot be read.
    """
    write_parts(common_voice.divided(data, seed=seed), out, "commonvoice")
