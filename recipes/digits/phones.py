"""Sentences as phones: what the digits model learns before it learns digits.

Digit sentences of real speakers are few; the other sentences of speechocean762's training part are by the same kind of
speakers, with their phones noted by annotators. Those of Common Voice come from as many microphones and rooms as it has
speakers; flite says which phones their words have. A network that has learned to hear phones in them, and in synthetic
digits, knows more voices and channels than those that say digits.
"""

from __future__ import annotations

import re
import subprocess
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from lhotse import MonoCut
from lhotse.utils import fastcopy

from inference.progress import with_bar
from recipes.corpora import common_voice
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
# flite tells the unstressed "a" of "about" from the "u" of "cut"; speechocean762's annotators do not.
FLITE_TO_ANNOTATED = {"ax": "ah", "pau": ""}
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


def common_voice_cuts(corpus: Path) -> list[MonoCut]:
    """Cuts of Common Voice's validated clips, with the phones that flite gives their sentences as text.

    Args:
        corpus: One language's folder, with `validated.tsv` and `clips`; the sentences are English.
    """
    found = common_voice.utterances(corpus)
    return [
        cut(one.id, one.path, sentence_phones(one.text), speaker=one.speaker)
        for one in with_bar(found, "phones of sentences")
    ]


def sentence_phones(sentence: str) -> str:
    """Phones of an English sentence by flite's dictionary and letter-to-sound rules, in ARPAbet without stress.

    Raises:
        ManifestError: flite is missing or fails.
    """
    # In ASCII: flite reads bytes, and spells what it does not know.
    plain = unicodedata.normalize("NFKD", sentence.replace("\u2019", "'")).encode("ascii", "ignore").decode()
    command = ["flite", "-ps", "-t", f" {plain}", "-o", "none"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ManifestError(
            f"flite gives no phones for {plain!r} ({error}); on Debian: apt-get install flite"
        ) from None
    return " ".join(" ".join(FLITE_TO_ANNOTATED.get(phone, phone) for phone in said.stdout.split()).split())


def as_phones(cuts: Sequence[MonoCut], count: int, *, seed: int) -> list[MonoCut]:
    """`count` drawn cuts of digit words, or all if there are fewer, with phones for text."""
    chosen = np.random.default_rng(seed).permutation(len(cuts))[:count]
    spelled = []
    for one in (cuts[index] for index in sorted(chosen)):
        said = one.supervisions[0]
        text = " ".join(PRONUNCIATIONS[word] for word in said.text.split())
        spelled.append(fastcopy(one, id=f"{one.id}-phones", supervisions=[fastcopy(said, text=text)]))
    return spelled
