"""an4: CMU's Census corpus, people who spell names and addresses and give numbers and dates, as cepstra without sound.

The publisher's copy for Sphinx: `feat/{an4,an4test}_clstk/SPEAKER/ID.mfc` and, in `etc`, transcripts with the id in
brackets behind each. Training and test set are the publisher's, and no speaker is in both; of the training speakers
every tenth is taken out to choose the best weights on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from features import given
from features.given import GivenConfig
from inference.files import write_text
from inference.progress import with_bar
from training.manifests import ManifestError, frames_cut, write

RESULT = "WER"
DATA_NOTE = "CMU AN4 (Census), as MFCC for CMU Sphinx; free to use with its notice, Carnegie Mellon University"
DEV_EVERY = 10
FRAMES = GivenConfig(num_features=13, shift_ms=10)
LINE = re.compile(r"(?:<s> )?(?P<text>.*?)(?: </s>)? \((?P<id>[^()]+)\)")


class Utterance(NamedTuple):
    """What was said, and the file of its frames."""

    id: str
    path: Path
    text: str
    speaker: str


def utterances(data: Path, part: str) -> Iterator[Utterance]:
    """Those of `train` or `test`, in the publisher's order.

    Raises:
        ManifestError: the corpus is not there, or its lists do not go together.
    """
    lists = [data / "etc" / f"an4_{part}.{kind}" for kind in ("fileids", "transcription")]
    for file in lists:
        if not file.is_file():
            raise ManifestError(f"{file}: no such file; unpack the an4 of CMU Sphinx (with feat and etc) and give it")
    files, texts = (file.read_text(encoding="utf-8").split("\n") for file in lists)
    for file, line in zip_longest(filter(None, files), filter(None, texts), fillvalue=""):
        found = LINE.fullmatch(line.strip())
        path = data / "feat" / f"{file.strip()}.mfc"
        if found is None or found["id"] != path.stem:
            raise ManifestError(f"{lists[1]}: {line.strip()!r} is not the transcript of {file.strip() or 'any file'}")
        yield Utterance(path.stem, path, found["text"], path.parent.name)


def prepare(data: Path, out: Path) -> None:
    """Write the manifests `train`, `dev` and `test` to `out/manifests`, and the texts of training to `out/train.txt`.

    Args:
        data: The corpus.
        out: Where manifests go.

    Raises:
        ManifestError: something of the corpus is missing.
        features.given.FramesError: frames cannot be read.
    """
    found = {part: list(utterances(data, part)) for part in ("train", "test")}
    speakers = sorted({one.speaker for one in found["train"]})
    choosing = set(speakers[::DEV_EVERY])
    parts = {
        "train": [one for one in found["train"] if one.speaker not in choosing],
        "dev": [one for one in found["train"] if one.speaker in choosing],
        "test": found["test"],
    }
    for part, chosen in parts.items():
        cuts = []
        for one in with_bar(chosen, f"an4 {part}"):
            seconds = len(given.read(one.path, FRAMES)) * FRAMES.shift_ms / 1000
            cuts.append(frames_cut(one.id, one.path, one.text, duration=seconds, speaker=one.speaker))
        write(out / "manifests" / f"{part}.jsonl.gz", cuts)
    # What a language model may know: the words of the same utterances.
    write_text(out / "train.txt", "".join(f"{one.text}\n" for one in parts["train"]))
