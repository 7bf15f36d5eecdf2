"""english: read English by anybody, learners and children too; the shipped model `english` comes from here.

It trains on the training parts of speechocean762 and Common Voice, on LJ Speech, on Kathleen's Arctic prompts and on
strings of FSDD's digits as far as they are there, and on sentences of books that synthesisers speak. It tests on
speechocean762's official test part, on speakers of Common Voice who are in nothing else, and on strings of FSDD's
official test clips.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from lhotse import MonoCut
from lhotse.utils import fastcopy

from asr.text import normalize
from recipes.corpora import common_voice, one_reader, speechocean762
from recipes.corpora.spoken import Utterance, cuts
from recipes.english import digits, noisy
from recipes.english.generated import Generated
from recipes.english.synthesize import synthesize
from recipes.english.texts import (
    HeldOut,
    SpokenForm,
    check_language_text,
    paragraphs,
    to_speak,
    write_language_text,
)
from recipes.voices import SynthesisError
from training.manifests import ManifestError, from_tsv, write

RESULT = "WER"
DATA_NOTE = (
    "speechocean762's training part (Zhang et al. 2021), free for commercial and non-commercial purposes; validated "
    "clips of Common Voice English, CC0; LJ Speech (Ito 2017), public domain; the CMU Arctic prompts read by Kathleen, "
    "CC0; strings joined from the Free Spoken Digit Dataset (Jackson et al.), CC BY-SA 4.0; each as far as it was "
    "there; synthetic speech of flite, espeak-ng and festival, made by this project"
)
PARTS = ("train", "dev", "test")
# Read by one person each, who trains: folders, of which the first that is there is taken, and what reads them.
ONE_READER: tuple[tuple[tuple[str, ...], Callable[[Path], list[Utterance]]], ...] = (
    (("kathleen",), one_reader.kathleen),
    (("LJSpeech-1.1", "ljspeech-part"), one_reader.lj_speech),
)
BOOKS = "books-en.txt.gz"


def prepare(
    data: Path,
    out: Path,
    *,
    hours: float = 20.0,
    generated: float = 0.0,
    takes: int = 0,
    repeat_real: int = 1,
    noise: str | None = None,
    seed: int = 0,
) -> None:
    """Write the manifests `train`, `dev` and of three tests to `out/manifests`, and `out/language.txt.gz`.

    The tests are `test` of speechocean762 and, where their corpora are there, `test_commonvoice` and `test_digits`. In
    `out/manifests/groups` are children and adults of the test apart, the two corpora of `dev` apart, and, with
    `noise`, the test in noise. `language.txt.gz` is what a language model may be made of: books and the transcripts of
    training, and no sentence that is tested or chosen on; `transcripts.txt.gz` has the transcripts of it alone, which
    `asr lm mix` gives the weight that they deserve. Strings of digits are drawn, not written: they are in neither.

    Args:
        data: Folder that holds `speechocean762` and, as far as they are there, `commonvoice-en`, `kathleen`,
            `ljspeech-part` or `LJSpeech-1.1`, `fsdd`, and `books-en.txt.gz`, each as its publisher lays it out.
        out: Where sound and manifests go; synthetic speech that is there already is kept.
        hours: Hours of synthetic speech; 0 does without.
        generated: Share of its clips whose sentences are drawn from n-grams of the transcripts of training, not from
            books.
        takes: Readings of one sentence by Kathleen or in LJ Speech that train at most, the first ones; 0 takes all.
        repeat_real: How often each recording of a person stands in the training manifest; augmentation makes it another
            one each time. Strings of digits stand there once.
        noise: Folder of noises. A fifth of its recordings are put into the test; the others are copied to
            `out/noise`, for `--augment.noise`.
        seed: What speakers, noises, strings of digits and all that is synthetic are drawn from.

    Raises:
        ManifestError: speechocean762 is missing, or something of a corpus that is there.
        SynthesisError: the synthesisers are there, and many clips in a row cannot be spoken.
        features.audio.AudioError: a recording cannot be read.
    """
    if repeat_real < 1:
        raise ValueError(f"prepare.repeat_real is {repeat_real}: give 1 or more")
    if not 0 <= hours < 100_000:
        raise ValueError(f"prepare.hours is {hours}: give 0 to 100000")
    if not 0 <= generated <= 1:
        raise ValueError(f"prepare.generated is {generated}: give a share of the synthetic clips from 0 to 1")
    if generated and not (hours and (data / BOOKS).exists()):
        raise ValueError(
            f"prepare.generated is {generated}, but no clips are synthetic without {data / BOOKS} and prepare.hours: "
            "give both, or leave it out"
        )
    if takes < 0:
        raise ValueError(f"prepare.takes is {takes}: give how many readings of a sentence train, or 0 for all")
    noises = noisy.divided(Path(noise), seed=seed) if noise is not None else None
    out.mkdir(parents=True, exist_ok=True)
    learners = speechocean762.divided(_folder(data, "speechocean762"), seed=seed)
    volunteers = _optional(data, "commonvoice-en", lambda corpus: common_voice.divided(corpus, seed=seed))
    volunteers = volunteers or {part: [] for part in PARTS}
    held_out = _held_out([*learners["dev"], *learners["test"], *volunteers["dev"], *volunteers["test"]])
    readers = [one for names, read in ONE_READER for one in _optional(data, _first(data, names), read) or []]
    readers = one_reader.first_takes(readers, takes) if takes else readers
    trained = _trained(learners["train"], [*volunteers["train"], *readers], held_out)
    strings = _digits(data, out, held_out, seed=seed)
    books = [data / BOOKS] if _optional(data, BOOKS, lambda book: book) else []
    language = out / "language.txt.gz"
    counted = write_language_text(language, books=books, transcripts=(one.text for one in trained), held_out=held_out)
    transcripts = out / "transcripts.txt.gz"
    write_language_text(transcripts, books=[], transcripts=(one.text for one in trained), held_out=held_out)
    for text in (language, transcripts):
        check_language_text(text, held_out)
    _say(
        f"{language.name}: {counted['written']:,} sentences; left out: {counted['held out']:,} of a test or "
        f"development set, {counted['not spelled']:,} that are not all letters"
    )
    made_up = Generated(list(paragraphs(transcripts)), held_out, share=generated) if generated else None
    spoken = _synthetic(books, out, held_out, hours=hours, seed=seed, generated=made_up)
    manifests = out / "manifests"
    real = _repeated(cuts(trained, "english train"), repeat_real)
    write(manifests / "train.jsonl.gz", [*real, *strings.train, *spoken])
    tests = {"speechocean762": learners["test"], "commonvoice": volunteers["test"]}
    in_noise = _noisy(tests, noises, out, seed=seed)
    _write_held_out(manifests, learners, volunteers, in_noise, speechocean762.ages(data / "speechocean762", "test"))
    _write_or_remove(manifests / "test_digits.jsonl.gz", strings.test)


def _write_held_out(
    manifests: Path,
    learners: dict[str, list[Utterance]],
    volunteers: dict[str, list[Utterance]],
    in_noise: dict[str, list[MonoCut]],
    years: dict[str, int],
) -> None:
    """What is chosen and tested on, and its groups; `years` are those of the learners of the test."""
    dev = {
        "dev_speechocean762": cuts(learners["dev"], "english dev"),
        "dev_commonvoice": cuts(volunteers["dev"], "english dev"),
    }
    write(manifests / "dev.jsonl.gz", [one for made in dev.values() for one in made])
    test = cuts(learners["test"], "english test")
    write(manifests / "test.jsonl.gz", test)
    _write_or_remove(manifests / "test_commonvoice.jsonl.gz", cuts(volunteers["test"], "english test"))
    ages = {
        name: {one.id for one in members} for name, members in speechocean762.by_age(learners["test"], years).items()
    }
    by_age = {name: [one for one in test if one.id in ids] for name, ids in ages.items()}
    for name, made in (dev | by_age | in_noise).items():
        _write_or_remove(manifests / "groups" / f"{name}.jsonl.gz", made)


def _held_out(found: Sequence[Utterance]) -> HeldOut:
    form = SpokenForm()
    return HeldOut(form(one.text) or normalize(one.text).split() for one in found)


def _trained(official: Sequence[Utterance], others: Sequence[Utterance], held_out: HeldOut) -> list[Utterance]:
    """What trains, as spoken words: of the official part all, of the others what `held_out` does not touch.

    Sentences go with all their takes, since they go by their words.
    """
    form, trained = SpokenForm(), []
    counted = {"are also tested or chosen on": 0, "have words that are not all letters": 0}
    for one, is_official in [*((one, True) for one in official), *((one, False) for one in others)]:
        words = form(one.text)
        if words is None:
            counted["have words that are not all letters"] += 1
        elif not is_official and held_out.touches(words):
            counted["are also tested or chosen on"] += 1
        else:
            trained.append(one._replace(text=" ".join(words)))
    for why, count in counted.items():
        if count:
            _say(f"{count:,} training recordings are left out, whose sentences {why}")
    return trained


def _digits(data: Path, out: Path, held_out: HeldOut, *, seed: int) -> digits.Strings:
    strings = _optional(data, "fsdd", lambda corpus: digits.strings(corpus, out / "digits", held_out, seed=seed))
    if strings is None:
        return digits.Strings([], [], 0)
    if strings.touched:
        _say(f"{strings.touched:,} strings of digits are left out, whose words are also tested or chosen on")
    return strings


def _synthetic(
    books: Sequence[Path], out: Path, held_out: HeldOut, *, hours: float, seed: int, generated: Generated | None
) -> list[MonoCut]:
    if not hours or not books:
        return []
    try:
        sentences = to_speak(books[0], held_out)
        return from_tsv(synthesize(out, sentences, hours=hours, seed=seed, generated=generated))
    except SynthesisError as error:
        if generated is not None or all(shutil.which(program) for program in ("flite", "espeak-ng")):
            raise
        _say(f"goes on without synthetic speech, for a poorer model ({error})")
        return []


def _noisy(
    tests: dict[str, list[Utterance]], noises: dict[str, list[Path]] | None, out: Path, *, seed: int
) -> dict[str, list[MonoCut]]:
    """The test sets in noise by their names, `noisy_` before them; empty without noises."""
    if noises is None:
        return {f"noisy_{name}": [] for name in tests}
    noisy.copy_training_noise(noises["train"], out / "noise")
    made = {name: noisy.in_noise(found, noises["test"], out / "noisy", seed=seed) for name, found in tests.items()}
    return {f"noisy_{name}": cuts(found, f"english noisy {name}") for name, found in made.items()}


def _repeated(made: Sequence[MonoCut], times: int) -> list[MonoCut]:
    return [fastcopy(one, id=f"{one.id}-{time}") if time else one for one in made for time in range(times)]


def _write_or_remove(manifest: Path, made: Sequence[MonoCut]) -> None:
    """A manifest of something that is not there this time would be one of before."""
    if made:
        write(manifest, made)
    else:
        manifest.unlink(missing_ok=True)


def _folder(data: Path, name: str) -> Path:
    if not (data / name).is_dir():
        raise ManifestError(
            f"{data}: no folder {name}; --data is the folder that holds it, and other corpora beside it"
        )
    return data / name


def _first(data: Path, names: Sequence[str]) -> str:
    """The first of these that is there, or else the first."""
    return next((name for name in names if (data / name).exists()), names[0])


def _optional(data: Path, name: str, read: Callable):
    """What is read of a corpus, or none where it is not there, which is said."""
    if not (data / name).exists():
        _say(f"{data / name} is not there; goes on without it, for a poorer model")
        return None
    return read(data / name)


def _say(line: str) -> None:
    print(f"english: {line}", file=sys.stderr, flush=True)
