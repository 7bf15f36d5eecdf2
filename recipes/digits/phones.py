"""Sentences as phones: what the digits model learns before it learns digits.

Digit sentences of real speakers are few; the other sentences of speechocean762's training part are by the same kind of
speakers, with their phones noted by annotators. A network that has learned to hear phones in them, and in synthetic
digits, knows more voices than those that say digits.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from lhotse import MonoCut
from lhotse.utils import fastcopy

from training.manifests import ManifestError, cut

# ARPAbet without stress, as in the corpus's lexicon.
PRONUNCIATIONS = {
    "zero": "z ih r ow",
    "one": "w ah n",
    "two": "t uw",
    "three": "th r iy",
    "four": "f ao r",
    "five": "f ay v",
    "six": "s ih k s",
    "seven": "s eh v ah n",
    "eight": "ey t",
    "nine": "n ay n",
}
# Sentences on which the phone error is measured after each pass.
DEV_SENTENCES = 150


def phone_cuts(
    corpus: Path, tables: dict[str, dict[str, str]], dev_speakers: set[str]
) -> tuple[list[MonoCut], list[MonoCut]]:
    """Cuts of all sentences of the training part with their annotated phones as text: to train on, and to choose on.

    Args:
        corpus: speechocean762, with its `text-phone`.
        tables: `wav.scp` and `utt2spk` of the training part.
        dev_speakers: Speakers of whom nothing is trained on.
    """
    published = corpus / "resource" / "text-phone"
    phones = annotated_phones(published if published.is_file() else corpus / "text-phone")
    train, dev = [], []
    for id, path in tables["wav.scp"].items():
        if not phones.get(id):
            continue
        speaker = tables["utt2spk"][id]
        one = cut(id, corpus / path, phones[id], speaker=speaker)
        (dev if speaker in dev_speakers else train).append(one)
    # Without dev speakers, every twentieth sentence is chosen on.
    if not dev:
        dev, train = train[::20], [one for number, one in enumerate(train) if number % 20]
    return train, dev[:DEV_SENTENCES]


def annotated_phones(path: Path) -> dict[str, str]:
    """Phones of each utterance, in small letters, without stress and without marks of their place in the word.

    Lines are `UTTERANCE.WORD PHONE PHONE ...`, such as `000010011.0 W_B IY0_E`.
    """
    if not path.is_file():
        raise ManifestError(f"{path}: missing; unpack speechocean762.tar.gz of OpenSLR 101 here")
    words: dict[str, dict[int, str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        key, *phones = line.split()
        id, _, number = key.rpartition(".")
        plain = [re.sub(r"\d*(_[BIES])?$", "", phone).lower() for phone in phones if not phone.startswith("<")]
        words.setdefault(id, {})[int(number)] = " ".join(plain)
    return {id: " ".join(said[number] for number in sorted(said) if said[number]) for id, said in words.items()}


def as_phones(cuts: Sequence[MonoCut], count: int, *, seed: int) -> list[MonoCut]:
    """`count` drawn cuts of digit words, or all if there are fewer, with phones for text."""
    chosen = np.random.default_rng(seed).permutation(len(cuts))[:count]
    spelled = []
    for one in (cuts[index] for index in sorted(chosen)):
        said = one.supervisions[0]
        text = " ".join(PRONUNCIATIONS[word] for word in said.text.split())
        spelled.append(fastcopy(one, id=f"{one.id}-phones", supervisions=[fastcopy(said, text=text)]))
    return spelled
