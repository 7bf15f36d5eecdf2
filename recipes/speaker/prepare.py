"""speaker: who speaks, one of a closed set of people, on the Free Spoken Digit Dataset or on speechocean762.

Which of the two it is, the folder's layout says. Utterances are divided, not speakers, since the speakers are the
classes: every speaker is in all parts, and no utterance is in two.

Of FSDD the official split is kept (index 0 to 4 tests; of the rest, 5 to 9 choose). Everybody says each digit equally
often, so that words say nothing of the speaker. Of speechocean762 all 250 speakers of both its parts are taken, 20
sentences each, of which 3 are drawn to test and 3 to choose. A sentence that two people read is in one part alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from inference.progress import with_bar
from recipes.corpora.speechocean762 import utterances
from recipes.corpora.spoken import Utterance
from recipes.fsdd.prepare import clips
from training.manifests import ManifestError, cut, write

RESULT = "accuracy"
DATA_NOTE = (
    "Free Spoken Digit Dataset (Jackson et al.), CC BY-SA 4.0, or speechocean762 (Zhang et al. 2021), free for "
    "commercial and non-commercial purposes; the command says which"
)
PARTS = ("train", "test")  # speechocean762's own, which are of different speakers
HELD_OUT = 3  # utterances of each speaker of speechocean762 to test on, and as many to choose on


def prepare(data: Path, out: Path, *, seed: int = 0) -> None:
    """Write the manifests `train`, `dev` and `test` to `out/manifests`; the label of an utterance is its speaker.

    Args:
        data: The corpus: a clone of the Free Spoken Digit Dataset, or speechocean762 unpacked.
        out: Where manifests go.
        seed: What the utterances of speechocean762 are drawn from that test and choose.

    Raises:
        ManifestError: it is neither corpus, or a part of it is missing.
        features.audio.AudioError: a recording cannot be read.
    """
    for part, chosen in divide(data, seed=seed).items():
        cuts = [cut(one.id, one.path, one.speaker, speaker=one.speaker) for one in with_bar(chosen, f"speaker {part}")]
        write(out / "manifests" / f"{part}.jsonl.gz", cuts)


def divide(data: Path, *, seed: int) -> dict[str, list[Utterance]]:
    """The recordings of `train`, `dev` and `test`, of whichever corpus is there.

    Raises:
        ManifestError: it is neither corpus, or a part of it is missing.
    """
    if (data / "train" / "wav.scp").is_file():
        return divided([one for part in PARTS for one in utterances(data, part)], seed=seed)
    return digits(data)


def digits(data: Path) -> dict[str, list[Utterance]]:
    """The parts of FSDD.

    Raises:
        ManifestError: there are no recordings of that name.
    """
    try:
        found = clips(data)
    except ManifestError:
        raise ManifestError(
            f"{data}: neither recordings/7_jackson_0.wav and the like, as the Free Spoken Digit Dataset has them, nor "
            "train/wav.scp of speechocean762; give the folder of one of the two"
        ) from None
    parts: dict[str, list[Utterance]] = {"train": [], "dev": [], "test": []}
    for clip in found:
        parts[clip.part].append(Utterance(clip.path.stem, clip.path, str(clip.digit), clip.speaker))
    return parts


def divided(found: Sequence[Utterance], *, seed: int) -> dict[str, list[Utterance]]:
    """Of each speaker so many utterances to test and to choose on, drawn; the others train.

    Sentences are drawn, and one that several people read goes to one part with all of them.
    """
    read: dict[str, list[Utterance]] = {}
    for one in found:
        read.setdefault(one.text, []).append(one)
    texts = sorted(read)
    parts: dict[str, list[Utterance]] = {"train": [], "dev": [], "test": []}
    held: Counter[tuple[str, str]] = Counter()
    for text in (texts[k] for k in np.random.default_rng(seed).permutation(len(texts))):
        readers = read[text]
        room = (part for part in ("test", "dev") if all(held[part, one.speaker] < HELD_OUT for one in readers))
        part = next(room, "train")
        parts[part] += readers
        held.update((part, one.speaker) for one in readers)
    return {part: sorted(chosen) for part, chosen in parts.items()}
