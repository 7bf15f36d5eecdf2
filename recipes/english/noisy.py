"""Noise that is divided as speakers are: some recordings to train with, others to test in, never the same.

Clips that were cut from one recording (ESC's `4-149294-A` and `4-149294-B`) go to one side together.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from features import audio
from features.effects import add_noise, within_full_scale
from inference.progress import with_bar
from recipes.corpora.spoken import Utterance
from training.manifests import ManifestError

TEST_SHARE = 0.2  # of the recordings
SNR_DB = (5.0, 15.0)  # of the noisy test: a busy room, well audible
RATE = 16000


def divided(folder: Path, *, seed: int) -> dict[str, list[Path]]:
    """The sound files in a folder and those below it, for `train` and `test`.

    Raises:
        ManifestError: there are fewer than two recordings.
    """
    paths = audio.files_in(folder) if folder.is_dir() else []
    recordings = sorted({_recording(path) for path in paths})
    if len(recordings) < 2:
        raise ManifestError(f"{folder}: {len(recordings)} recordings of noise cannot be divided; name a folder of more")
    drawn = np.random.default_rng(seed).permutation(recordings)
    test = set(drawn[: max(1, round(TEST_SHARE * len(recordings)))].tolist())
    return {
        "train": [path for path in paths if _recording(path) not in test],
        "test": [path for path in paths if _recording(path) in test],
    }


def copy_training_noise(paths: Sequence[Path], out: Path) -> None:
    """Put the noises to train with into a folder of their own, numbered, and remove what else was there."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for number, path in enumerate(paths):
        shutil.copyfile(path, out / f"{number:04d}-{path.name}")


def in_noise(found: Sequence[Utterance], noises: Sequence[Path], out: Path, *, seed: int) -> list[Utterance]:
    """The utterances with noise in them, written to `out`: for each one recording of noise and a ratio from `SNR_DB`.

    The same arguments give the same files.
    """
    out.mkdir(parents=True, exist_ok=True)
    heard = {path: audio.read(path, rate=RATE)[0] for path in noises}
    noisy = []
    for number, one in enumerate(with_bar(found, "noisy test")):
        rng = np.random.default_rng((seed, number))
        noise_S = heard[noises[rng.integers(len(noises))]]
        samples_S, _ = audio.read(one.path, rate=RATE)
        path = out / f"{one.id}.wav"
        audio.write(path, within_full_scale(add_noise(samples_S, noise_S, rng.uniform(*SNR_DB), rng)), RATE)
        noisy.append(one._replace(id=f"{one.id}-noisy", path=path))
    return noisy


def _recording(path: Path) -> str:
    """What a clip was cut from: its name up to the last hyphen."""
    return path.stem.rpartition("-")[0] or path.stem
