"""emotion: how somebody speaks, on RAVDESS or EMO-DB, tested on people who are in no training data.

Which of the two it is, the names of the files say. Gender is kept in the manifests. Both corpora are of actors who say
the same few sentences in every emotion, so that words say next to nothing of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from inference.progress import with_bar
from recipes.corpora import emodb, ravdess
from recipes.corpora.spoken import Spoken
from training.manifests import ManifestError, cut, write

RESULT = ("accuracy", "macro F1")
DATA_NOTE = (
    "RAVDESS (Livingstone and Russo 2018), CC BY-NC-SA 4.0, or EMO-DB (Burkhardt et al. 2005), on "
    "its publisher's terms; the command says which"
)
CORPORA = (ravdess, emodb)


def prepare(
    data: Path, out: Path, *, test_speakers: tuple[str, ...] | None = None, dev_speakers: tuple[str, ...] | None = None
) -> None:
    """Write the manifests `train`, `dev` and `test` to `out/manifests`; the label of a recording is its emotion.

    Args:
        data: The corpus: the folder that the speech archive of RAVDESS (Actor_01, ...) or EMO-DB (wav) was unpacked to.
        out: Where manifests go.
        test_speakers: Who tests, as the names of the files have them: by default 21 to 24 of RAVDESS, and 15 and 16 of
            EMO-DB, as many women as men.
        dev_speakers: Who chooses the best weights: by default 17 to 20, and 12 and 14. All others train.

    Raises:
        ManifestError: it is neither corpus, a speaker is not in it or is to do two things, or nobody is left to train.
        features.audio.AudioError: a recording cannot be read.
    """
    corpus = next((corpus for corpus in CORPORA if corpus.files(data)), None)
    if corpus is None:
        raise ManifestError(
            f"{data}: neither recordings such as Actor_01/03-01-01-01-01-01-01.wav of RAVDESS nor such as "
            "wav/03a01Fa.wav of EMO-DB; unpack one of them here"
        )
    found = corpus.recordings(data)
    test = corpus.TEST_SPEAKERS if test_speakers is None else test_speakers
    dev = corpus.DEV_SPEAKERS if dev_speakers is None else dev_speakers
    for part, chosen in divided(found, test=test, dev=dev).items():
        cuts = [
            cut(one.path.stem, one.path, one.label, speaker=one.speaker, gender=one.gender)
            for one in with_bar(chosen, f"emotion {part}")
        ]
        write(out / "manifests" / f"{part}.jsonl.gz", cuts)


def divided(found: Sequence[Spoken], *, test: Sequence[str], dev: Sequence[str]) -> dict[str, list[Spoken]]:
    """The recordings of each part, by who speaks.

    Raises:
        ManifestError: there is no such speaker, one is in two parts, or a part has nobody.
    """
    speakers = sorted({one.speaker for one in found})
    for name, chosen in (("test_speakers", test), ("dev_speakers", dev)):
        absent = sorted(set(chosen) - set(speakers))
        if absent or not chosen:
            what = f"has {absent[0]!r}" if absent else "is empty"
            raise ManifestError(f"prepare.{name} {what}; the speakers are {', '.join(speakers)}")
    if both := sorted(set(test) & set(dev)):
        raise ManifestError(f"prepare.test_speakers and prepare.dev_speakers both have {both[0]!r}; leave one out")
    if not set(speakers) - {*test, *dev}:
        raise ManifestError("prepare.test_speakers and prepare.dev_speakers leave nobody to train on; leave some out")
    parts: dict[str, list[Spoken]] = {"train": [], "dev": [], "test": []}
    for one in found:
        parts["test" if one.speaker in test else "dev" if one.speaker in dev else "train"].append(one)
    return parts
