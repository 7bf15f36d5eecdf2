"""signs_joined: signal after signal, streams made by joining real clips of NATOPS, with rest in between.

To train, clips are joined anew in every pass (`join` in config.yaml). Development and test streams are made here, once
and for all: each test clip stands in one of them. `test_none` is ten minutes without a signal: rest, and signals that
are begun and broken off before a fifth of them is made.

With config.yaml a sequence of signs is read by CTC; with `--config recipes/signs_joined/spotting.yaml` they are spotted
one by one. Streams, figures and the rest are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from lhotse import MonoCut

from features.landmarks import Landmarks
from gestures.joining import join_clips
from recipes.landmark_clips import write_clip
from recipes.natops.prepare import DATA_NOTE, all_clips, held_out
from training.manifests import Segment, write

__all__ = ["DATA_NOTE", "KIND", "RESULT", "prepare"]

KIND = "gestures"
RESULT = ("label error rate", "event F", "false events")
PAUSE_SECONDS = (0.3, 2.0)
NONE_SECONDS = 600.0
NONE_STREAM_SECONDS = 60.0
BEGUN = 0.2


def prepare(data: Path, out: Path, *, signs: int = 6, dev_rounds: int = 3, held_out_group: int = 0) -> None:
    """Write the landmarks to `out/landmarks` and the manifests to `out/manifests`.

    These are `train`, of clips; `dev` and `test_streams`, of joined clips; and `test_none`.

    Args:
        data: Folder with the two `.ts` files of NATOPS.
        out: Where landmarks and manifests go.
        signs: Clips in a stream.
        dev_rounds: How often each development clip stands in a stream.
        held_out_group: 1 to 5: which group of like bodies the development streams are made of, as in natops; 0 makes
            them of a sixth of the clips, of whoever they are.

    Raises:
        ManifestError: a file is missing or damaged, or there is no such group.
    """
    folder = out / "landmarks"
    folder.mkdir(parents=True, exist_ok=True)
    train = all_clips(data, "TRAIN")
    test = all_clips(data, "TEST")
    dev = held_out(train, held_out_group)
    cuts = [
        write_clip(folder / f"train-{number:03d}.npz", landmarks, label)
        for number, (landmarks, label) in enumerate(train)
        if number not in dev
    ]
    manifests = out / "manifests"
    write(manifests / "train.jsonl.gz", cuts)
    rounds = [one for number in range(dev_rounds) for one in _order([train[k] for k in sorted(dev)], number)]
    write(manifests / "dev.jsonl.gz", _streams("dev", rounds, folder, signs))
    write(manifests / "test_streams.jsonl.gz", _streams("test", _order(test, 0), folder, signs))
    write(manifests / "test_none.jsonl.gz", _idle([landmarks for landmarks, _ in test], folder))


def _order(labelled: list[tuple[Landmarks, str]], number: int) -> list[tuple[Landmarks, str]]:
    return [labelled[int(k)] for k in np.random.default_rng([1, number]).permutation(len(labelled))]


def _streams(name: str, labelled: Sequence[tuple[Landmarks, str]], folder: Path, signs: int) -> list[MonoCut]:
    """Streams of so many clips each, in this order."""
    cuts = []
    for number, first in enumerate(range(0, len(labelled), signs)):
        rng = np.random.default_rng([2, number])
        some = labelled[first : first + signs]
        pauses = rng.uniform(*PAUSE_SECONDS, size=len(some) + 1)
        landmarks, places = join_clips([clip for clip, _ in some], pauses, rng)
        segments = [Segment(start, end, label) for (start, end), (_, label) in zip(places, some, strict=True)]
        cuts.append(write_clip(folder / f"{name}-stream-{number:02d}.npz", landmarks, segments))
    return cuts


def _idle(material: Sequence[Landmarks], folder: Path) -> list[MonoCut]:
    """Streams in which signals are begun, broken off and taken back, and which are rest otherwise."""
    cuts = []
    for number in range(round(NONE_SECONDS / NONE_STREAM_SECONDS)):
        rng = np.random.default_rng([3, number])
        pieces, pauses, seconds = [], [1.0], 1.0
        while seconds < NONE_STREAM_SECONDS:
            pieces.append(_broken_off(material[rng.integers(len(material))]))
            pauses.append(rng.uniform(0.5, 4.0))
            seconds += pieces[-1].duration + pauses[-1]
        landmarks, _ = join_clips(pieces, pauses, rng)
        cuts.append(write_clip(folder / f"none-{number:02d}.npz", landmarks, []))
    return cuts


def _broken_off(clip: Landmarks) -> Landmarks:
    """The beginning of a clip, there and back."""
    there = clip[: max(2, round(BEGUN * len(clip)))]
    step = clip.duration / len(clip)
    coordinates_TKC = np.concatenate([there.coordinates_TKC, there.coordinates_TKC[::-1]])
    presence_TK = np.concatenate([there.presence_TK, there.presence_TK[::-1]])
    return there.with_frames(coordinates_TKC, presence_TK, np.arange(len(presence_TK)) * step)
