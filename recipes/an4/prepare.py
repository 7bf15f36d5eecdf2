"""an4: CMU's Census corpus, people who spell names and addresses and give numbers and dates.

Without more it is the cepstra of the copy for Sphinx, `feat/{an4,an4test}_clstk/SPEAKER/ID.mfc`; with
`--config recipes/an4/sound.yaml` the recordings of the publisher's other archives, `wav/.../ID.sph` or `ID.raw`. The
transcripts in `etc`, with the id in brackets behind each, are the same, and so are the parts. Training and test set are
the publisher's, and no speaker is in both; of the training speakers every tenth is taken out to choose the best weights
on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Literal

from lhotse import MonoCut

from features import given
from features.given import GivenConfig
from inference.progress import with_bar
from recipes.an4 import sound
from recipes.corpora.spoken import Utterance, write_parts
from training.manifests import ManifestError, frames_cut

RESULT = "WER"
DATA_NOTE = "CMU AN4 (Census); free to use with its notice, Carnegie Mellon University"
DEV_EVERY = 10
FRAMES = GivenConfig(num_features=13, shift_ms=10)
LINE = re.compile(r"(?:<s> )?(?P<text>.*?)(?: </s>)? \((?P<id>[^()]+)\)")

Source = Literal["cepstra", "sound"]


def utterances(data: Path, part: str, *, source: Source = "cepstra") -> Iterator[Utterance]:
    """Those of `train` or `test`, in the publisher's order, with the file of each; of cepstra it may be missing.

    Raises:
        ManifestError: the corpus is not there, its lists do not go together, or a recording is missing.
    """
    lists = [data / "etc" / f"an4_{part}.{kind}" for kind in ("fileids", "transcription")]
    for file in lists:
        if not file.is_file():
            raise ManifestError(f"{file}: no such file; unpack the an4 of CMU Sphinx, with etc and feat or wav")
    files, texts = (file.read_text(encoding="utf-8").split("\n") for file in lists)
    recordings = sound.recordings(data / "wav") if source == "sound" else None
    for file, line in zip_longest(filter(None, files), filter(None, texts), fillvalue=""):
        name, found = file.strip(), LINE.fullmatch(line.strip())
        if found is None or found["id"] != name.rpartition("/")[2]:
            raise ManifestError(f"{lists[1]}: {line.strip()!r} is not the transcript of {name or 'any file'}")
        if recordings is not None and name not in recordings:
            raise ManifestError(f"{data / 'wav' / name}: no .sph or .raw of it, which {lists[0].name} names")
        path = data / "feat" / f"{name}.mfc" if recordings is None else recordings[name]
        yield Utterance(found["id"], path, found["text"], path.parent.name)


def divided(data: Path, *, source: Source = "cepstra") -> dict[str, list[Utterance]]:
    """`train`, `dev` and `test`: the publisher's parts, less every tenth training speaker.

    Raises:
        ManifestError: see `utterances`.
    """
    found = {part: list(utterances(data, part, source=source)) for part in ("train", "test")}
    choosing = set(sorted({one.speaker for one in found["train"]})[::DEV_EVERY])
    return {
        "train": [one for one in found["train"] if one.speaker not in choosing],
        "dev": [one for one in found["train"] if one.speaker in choosing],
        "test": found["test"],
    }


def prepare(data: Path, out: Path, *, source: Source = "cepstra") -> None:
    """Write the manifests `train`, `dev` and `test` to `out/manifests`, and the texts of training to `out/train.txt`.

    Recordings without a header are written to `out/wav`, as wav.

    Args:
        data: The corpus, or the folder that it was unpacked into.
        out: Where manifests go.
        source: What is read: the `cepstra` of `feat`, or the `sound` of `wav`, for which `recipes/an4/sound.yaml` has
            settings.

    Raises:
        ManifestError: something of the corpus is missing.
        features.given.FramesError: frames cannot be read.
        features.audio.AudioError: a recording cannot be read.
    """
    data = data if (data / "etc").is_dir() or not (data / "an4" / "etc").is_dir() else data / "an4"
    if source == "cepstra" and not (data / "feat").exists() and (data / "wav").is_dir():
        settings = Path(__file__).with_name("sound.yaml")
        raise ManifestError(f"{data}: holds sound and no cepstra (feat); add --config {settings}")
    parts = divided(data, source=source)
    if source == "cepstra":
        write_parts(parts, out, "an4", make=_frames)
    else:
        folders = data / "wav", out / "wav"
        readable = {part: [sound.with_header(one, *folders) for one in found] for part, found in parts.items()}
        write_parts(readable, out, "an4")


def _frames(found: Sequence[Utterance], what: str) -> list[MonoCut]:
    made = []
    for one in with_bar(found, what):
        seconds = len(given.read(one.path, FRAMES)) * FRAMES.shift_ms / 1000
        made.append(frames_cut(one.id, one.path, one.text, duration=seconds, speaker=one.speaker))
    return made
