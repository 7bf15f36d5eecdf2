"""Strings of spoken digits, which prose hardly has: a model for read English is to read telephone numbers, too.

They are joined from clips of the Free Spoken Digit Dataset as the recipe `digits` joins them. A sixth of its strings
is taken, about what each clip gives once: the model is to learn ten words, not that everything is digits.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from lhotse import MonoCut

from recipes.digits.prepare import TRIM_MS
from recipes.english.texts import HeldOut
from recipes.fsdd.prepare import clips
from recipes.fsdd_connected.prepare import ROUNDS, joined

EVERY = ROUNDS["train"]  # One of so many strings trains, of as many rounds through the clips.


class Strings(NamedTuple):
    """Strings that train, those that test, and how many would train but for their words."""

    train: list[MonoCut]
    test: list[MonoCut]
    touched: int


def strings(corpus: Path, out: Path, held_out: HeldOut, *, seed: int) -> Strings:
    """Strings of FSDD's training clips from index 10 on, and of its official test clips; their sound is in `out`.

    What trains says nothing that is held out. What is tested are other clips of the same six speakers, whose digits may
    follow one another as in training: ten words in chance order are nobody's sentence.

    Args:
        corpus: The corpus.
        out: Where sound goes; strings that are there already are kept.
        held_out: Sentences that nothing which trains may touch.
        seed: What the strings and gaps are drawn from.

    Raises:
        ManifestError: the corpus has no recordings.
        features.audio.AudioError: a recording cannot be read.
    """
    found = clips(corpus)
    chosen = {part: [clip for clip in found if clip.part == part] for part in ("train", "test")}
    taken = joined(chosen["train"], "train", out, trim_ms=TRIM_MS, every=EVERY, seed=seed)
    train = [one for one in taken if not held_out.touches(one.supervisions[0].text.split())]
    return Strings(train, joined(chosen["test"], "test", out, seed=seed), len(taken) - len(train))
