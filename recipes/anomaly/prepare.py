"""anomaly: what is unlike speech, found by forecasts that have heard nothing but one man's speech.

The recordings are those of yesno, in its split, without their words. Each test recording is altered in one stretch, in
a different way for each test part. Beside it lies a ctm that says where, and of another stretch, drawn by the same
rule, that it is as usual: words are harder to forecast than silence, and what is altered is held against its like.
Nothing altered is trained or chosen on.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from features import audio
from inference.files import write_text
from inference.progress import with_bar
from recipes.of_forecasts import ALTERED, USUAL
from recipes.yesno.prepare import DATA_NOTE
from recipes.yesno.prepare import prepare as prepare_yesno
from training.manifests import ManifestError, cut, read, write

__all__ = ["DATA_NOTE", "KIND", "RESULT", "prepare"]

RESULT = "AUC"
KIND = "forecasts"
RATE = 8000
SECONDS = 0.4
"""How long what is altered lasts."""
TRIED = 5
"""Places drawn for a stretch; the loudest is taken, since silence that is reversed is silence."""
APART = 0.3
"""Seconds between the two stretches, at least."""

Alter = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def with_noise(samples_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """White noise, as loud as what it is added to."""
    return samples_S + level(samples_S) * rng.standard_normal(len(samples_S))


def with_beep(samples_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A tone of 500 to 2500 Hz, as loud as what it is added to."""
    time_S = np.arange(len(samples_S)) / RATE
    return samples_S + np.sqrt(2) * level(samples_S) * np.sin(2 * np.pi * rng.uniform(500, 2500) * time_S)


def with_gap(samples_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Nothing at all, as where a line is interrupted."""
    return np.zeros_like(samples_S)


def backwards(samples_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same sound from its end to its beginning."""
    return samples_S[::-1]


def as_it_is(samples_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Not altered at all: what the figure is where there is nothing to find."""
    return samples_S


ALTERATIONS: dict[str, Alter] = {
    "noise": with_noise,
    "beep": with_beep,
    "gap": with_gap,
    "backwards": backwards,
    "nothing": as_it_is,
}


def level(samples_S: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(samples_S, dtype=np.float64)))) if len(samples_S) else 0.0


def stretches(samples_S: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """First samples of two stretches that are drawn by one rule and lie apart.

    Raises:
        ManifestError: the recording is too short for two.
    """
    length, apart = round(SECONDS * RATE), round((SECONDS + APART) * RATE)
    room = len(samples_S) - length + 1
    if room < 2 * apart:
        raise ManifestError(f"a recording of {len(samples_S) / RATE:.2f} s is too short to be altered")

    def loudest() -> int:
        places = rng.integers(0, room, TRIED).tolist()
        return max(places, key=lambda place: level(samples_S[place : place + length]))

    while True:
        one, other = loudest(), loudest()
        if abs(one - other) >= apart:
            return one, other


def altered(samples_S: np.ndarray, alter: Alter, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, int]]:
    """The recording with one stretch altered, and first samples of that and of one that is as usual."""
    begin, usual = stretches(samples_S, rng)
    end = begin + round(SECONDS * RATE)
    changed_S = samples_S.copy()
    changed_S[begin:end] = np.clip(alter(samples_S[begin:end], rng), -1, 1)
    return changed_S, {ALTERED: begin, USUAL: usual}


def prepare(data: Path, out: Path, *, seed: int = 0) -> None:
    """Write the manifests `train`, `dev` and a `test_` for each alteration to `out/manifests`, and what is altered.

    Args:
        data: Folder with the recordings of yesno, in subfolders or not.
        out: Where manifests and altered recordings go.
        seed: What is altered where comes from it.

    Raises:
        ManifestError: the recordings are not all there, or one is too short.
    """
    prepare_yesno(data, out)
    manifests = out / "manifests"
    plain = manifests / "test.jsonl.gz"
    items = read(plain)
    for number, (name, alter) in enumerate(ALTERATIONS.items()):
        cuts = []
        for index, item in enumerate(with_bar(items, name)):
            path = out / "audio" / name / f"{item.id}.wav"
            rng = np.random.default_rng([seed, number, index])
            samples_S, found = altered(audio.read(item.path, rate=RATE)[0], alter, rng)
            path.parent.mkdir(parents=True, exist_ok=True)
            audio.write(path, samples_S, RATE)
            lines = (f"{item.id} 1 {begin / RATE:.4f} {SECONDS} {what}\n" for what, begin in found.items())
            write_text(path.with_suffix(".ctm"), "".join(lines))
            cuts.append(cut(item.id, path, "", speaker=item.speaker))
        write(manifests / f"test_{name}.jsonl.gz", cuts)
    plain.unlink()
