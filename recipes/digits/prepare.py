"""digits: spoken digits by voices that are in no training data; the shipped model comes from here.

It trains on strings joined from the Free Spoken Digit Dataset, on the few sentences of speechocean762's training part
that hold digit words alone, and on synthetic speech. It tests on such sentences of speechocean762's test part, whose
speakers train nowhere, and on strings of FSDD's official test clips, whose six speakers do train.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from lhotse import MonoCut

from recipes.corpora.speechocean762 import read_table, utterances
from recipes.corpora.spoken import Utterance
from recipes.digits.phones import as_phones, common_voice_cuts, phone_cuts
from recipes.digits.synthesize import SynthesisError, synthesize
from recipes.fsdd.prepare import WORDS, check_speaker, clips, held_out_part
from recipes.fsdd_connected.prepare import joined
from training.manifests import ManifestError, cut, from_tsv, write

RESULT = "WER"
DATA_NOTE = (
    "Free Spoken Digit Dataset (Jackson et al.), CC BY-SA 4.0; speechocean762's training part (Zhang et al. 2021), "
    "free for commercial and non-commercial purposes: the phones of all its sentences first, then its digit sentences; "
    "phones of validated clips of Common Voice English, CC0, where they were there; "
    "synthetic speech of flite and espeak-ng, made by this project"
)
DEV_SHARE = 1 / 3  # of the speakers with digit sentences
# Cut off either end of FSDD's clips that train, at most: speakers differ in how tightly theirs were cut.
TRIM_MS = 60.0
PHONE_CLIPS = 1200  # synthetic clips among those whose phones are learned first


def prepare(
    data: Path,
    out: Path,
    *,
    repeat_real: int = 6,
    synthetic: int = 3000,
    all_real: bool = False,
    held_out: str | None = None,
    seed: int = 0,
) -> None:
    """Write sound to `out`, and the manifests `train`, `dev`, `test` and `test_fsdd` to `out/manifests`.

    The manifests `pretrain` and `pretrain_dev` hold sentences with their phones, on which the network starts.

    Args:
        data: Folder that holds `fsdd`, `speechocean762` and, if it is there, `commonvoice-en`, each as its publisher
            lays it out.
        out: Where sound and manifests go; sound that is there already is kept.
        repeat_real: How often each sentence of speechocean762 stands in the training manifest; augmentation makes it
            another one each time.
        synthetic: Clips of synthetic speech, half of them single digits; 0 does without flite and espeak-ng.
        all_real: Train on the sentences of all speakers of speechocean762's training part, and choose the best weights
            on FSDD strings (index 5 to 9) instead of on a third of those speakers. For a last model, once the settings
            are found.
        held_out: Leave this speaker of FSDD out of everything and test on strings of that speaker alone.
        seed: What the split by speaker, the strings and the synthetic clips are drawn from.
    """
    if repeat_real < 1 or synthetic < 0:
        raise ValueError("prepare.repeat_real must be at least 1, and prepare.synthetic must not be negative")
    found = clips(_folder(data, "fsdd"))
    corpus = _folder(data, "speechocean762")
    sentences = digit_sentences(corpus, "train")
    chosen_for_dev = set() if all_real else dev_speakers(sentences, seed=seed)
    check_speaker(found, held_out)
    fsdd = {
        part: [clip for clip in found if held_out_part(clip, held_out) == part] for part in ("train", "dev", "test")
    }
    strings = {part: joined(chosen, part, out, trim_ms=TRIM_MS, seed=seed) for part, chosen in fsdd.items()}
    spoken = _synthetic(out, synthetic, seed=seed)
    real = [sentence for sentence in sentences if sentence.speaker not in chosen_for_dev]
    repeated = [_cut(sentence, f"{sentence.id}-{time}") for sentence in real for time in range(repeat_real)]
    tables = {name: read_table(corpus / "train" / name) for name in ("wav.scp", "utt2spk")}
    phones, phones_dev = phone_cuts(corpus, tables, chosen_for_dev)
    parts = {
        "pretrain": phones + _common_voice(data) + as_phones(spoken, PHONE_CLIPS, seed=seed),
        "pretrain_dev": phones_dev,
        "train": strings["train"] + repeated + spoken,
        "dev": strings["dev"]
        if all_real
        else [_cut(one, one.id) for one in sentences if one.speaker in chosen_for_dev],
    }
    if held_out is None:
        parts["test"] = [_cut(sentence, sentence.id) for sentence in digit_sentences(corpus, "test")]
        parts["test_fsdd"] = strings["test"]
    else:
        parts["test"] = strings["test"]
        (out / "manifests" / "test_fsdd.jsonl.gz").unlink(missing_ok=True)
    for part, cuts in parts.items():
        write(out / "manifests" / f"{part}.jsonl.gz", cuts)


def digit_sentences(corpus: Path, part: str) -> list[Utterance]:
    """The sentences of one part of speechocean762 (`train` or `test`) that hold the words ZERO to NINE alone.

    Raises:
        ManifestError: a table is missing, lacks a line, or no sentence is of digits alone.
    """
    spoken = [one._replace(text=" ".join(one.text.lower().split())) for one in utterances(corpus, part)]
    sentences = [one for one in spoken if one.text and set(one.text.split()) <= set(WORDS)]
    if not sentences:
        raise ManifestError(
            f"{corpus / part / 'text'}: no sentence is made of digit words alone; is this speechocean762?"
        )
    return sentences


def dev_speakers(sentences: Sequence[Utterance], *, seed: int) -> set[str]:
    """A third of the speakers, whom no training manifest then holds."""
    names = sorted({sentence.speaker for sentence in sentences})
    return set(np.random.default_rng(seed).permutation(names)[: round(DEV_SHARE * len(names))].tolist())


def _common_voice(data: Path) -> list[MonoCut]:
    corpus = data / "commonvoice-en"
    if not corpus.is_dir():
        print(f"digits: {corpus} is not there; goes on without it, for a poorer model", file=sys.stderr, flush=True)
        return []
    return common_voice_cuts(corpus)


def _synthetic(out: Path, count: int, *, seed: int) -> list[MonoCut]:
    if not count:
        return []
    try:
        return from_tsv(synthesize(out, isolated=count // 2, strings=count - count // 2, seed=seed))
    except SynthesisError as error:
        if all(shutil.which(program) for program in ("flite", "espeak-ng")):
            raise
        print(f"digits: goes on without synthetic speech, for a poorer model ({error})", file=sys.stderr, flush=True)
        return []


def _cut(sentence: Utterance, id: str) -> MonoCut:
    return cut(id, sentence.path, sentence.text, speaker=sentence.speaker)


def _folder(data: Path, name: str) -> Path:
    if not (data / name).is_dir():
        raise ManifestError(f"{data}: no folder {name}; --data is the folder that holds both fsdd and speechocean762")
    return data / name
