"""Synthetic digits for a recogniser that must hold on voices it never heard: flite and espeak-ng speak them.

A corpus of six speakers teaches six speakers. Two synthesisers with some 600 combinations of voice and accent, varied
in pace and pitch and at times with a foreign accent, are poorer in sound and much richer in kind. Half of the clips
are single digits, half are strings of two to five said in one breath, which joined recordings never have.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jsonargparse import CLI

from features import audio
from inference.files import write_text
from inference.progress import with_bar
from recipes.fsdd.prepare import WORDS as DIGITS
from recipes.voices import (
    KEPT_SILENCE_SECONDS,
    RATE,
    SynthesisError,
    Utterance,
    Voices,
    espeak_manner,
    find_voices,
    flite_manner,
    speak,
)

LONGEST_STRING = 5
FLITE_SHARE = 0.5  # flite has few voices, but they are made of people's speech; espeak-ng has many that are computed
FOREIGN_SHARE = 0.2  # of the clips are said as people do who speak English as a second language
# Ways in which learners of English say the digits: th as s, t or f, voiced ends unvoiced, v as w, short vowels long.
FLITE_FOREIGN = {
    "zero": ("z iy r ow", "z eh r ow", "s iy r ow", "z iy l ow", "z ih er ow"),
    "one": ("w aa n", "w ao n", "w ah ng", "w eh n"),
    "two": ("t uh", "t y uw", "t uw"),
    "three": ("s r iy", "t r iy", "f r iy", "s w iy", "th r ih"),
    "four": ("f ao", "f ow r", "f ow"),
    "five": ("f ay f", "f ay", "f ay w"),
    "six": ("s iy k s", "s ih k ax s", "s iy k", "s eh k s"),
    "seven": ("s eh w ax n", "s eh f ax n", "s eh v eh n", "s eh b ax n", "s ey v ax n"),
    "eight": ("eh t", "ey t ax", "ey", "ey ch"),
    "nine": ("n ay ng", "n ay", "n aa n", "l ay n"),
}
ESPEAK_FOREIGN = {
    "zero": ("z'i:roU", "z'EroU", "s'i:roU", "z'i:loU", "z'Iro"),
    "one": ("w'0n", "w'O:n", "w'VN", "w'En"),
    "two": ("t'U", "tj'u:", "t'u:"),
    "three": ("sr'i:", "tr'i:", "fr'i:", "sw'i:", "Tr'I"),
    "four": ("f'O:", "f'oUr", "f'oU"),
    "five": ("f'aIf", "f'aI", "f'aIw"),
    "six": ("s'i:ks", "s'Ik@s", "s'i:k", "s'Eks"),
    "seven": ("s'Ew@n", "s'Ef@n", "s'EvEn", "s'Eb@n", "s'eIv@n"),
    "eight": ("'Et", "'eIt@", "'eI", "'eItS"),
    "nine": ("n'aIN", "n'aI", "n'A:n", "l'aIn"),
}


def synthesize(out: Path, *, isolated: int = 1500, strings: int = 1500, seed: int = 0) -> Path:
    """Speak digits into OUT/synthetic and return its manifest.

    The manifest is a table with a heading and the columns path (relative to the manifest), text and speaker, parted by
    tabs. Clips are WAV, 16 kHz, 16 bit, named by number. The same arguments and the same programs give the same clips;
    where they are there already, nothing is done.

    Args:
        out: Folder to write into.
        isolated: Number of clips of a single digit, all digits equally often.
        strings: Number of clips of 2 to 5 digits.
        seed: Seed of all that is drawn.

    Raises:
        SynthesisError: flite or espeak-ng is missing or fails.
    """
    folder = Path(out) / "synthetic"
    manifest, settings = folder / "manifest.tsv", {"isolated": isolated, "strings": strings, "seed": seed}
    if _complete(folder, settings):
        return manifest
    voices = find_voices()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.json").unlink(missing_ok=True)
    rows = ["path\ttext\tspeaker"]
    for number in with_bar(range(isolated + strings), "speaking digits"):
        rng = np.random.default_rng((seed, number))
        if number < isolated:
            words: tuple[str, ...] = (DIGITS[number % len(DIGITS)],)
        else:
            words = tuple(DIGITS[i] for i in rng.integers(len(DIGITS), size=rng.integers(2, LONGEST_STRING + 1)))
        utterance = plan(words, rng, voices)
        name = f"{number:05d}.wav"
        audio.write(folder / name, speak(utterance), RATE)
        rows.append(f"{name}\t{' '.join(utterance.words)}\t{utterance.speaker}")
    for stale in folder.glob("[0-9]*.wav"):  # of a larger run
        if int(stale.stem) >= isolated + strings:
            stale.unlink()
    write_text(manifest, "\n".join(rows) + "\n")
    write_text(folder / "settings.json", json.dumps(settings) + "\n")  # last: its presence means that all is there
    return manifest


def plan(words: Sequence[str], rng: np.random.Generator, voices: Voices) -> Utterance:
    """Draw who says the words and how."""
    margins = tuple(float(m) for m in rng.uniform(*KEPT_SILENCE_SECONDS, size=2))
    foreign = rng.random() < FOREIGN_SHARE
    if rng.random() < FLITE_SHARE:
        speaker, command = flite_manner(voices, rng)
        if foreign:
            command += ["-p", " ".join(["pau", *(str(rng.choice(FLITE_FOREIGN[w])) for w in words), "pau"])]
        else:
            command += ["-t", " ".join(words) + str(rng.choice([".", ",", "?"]))]
        return Utterance(tuple(words), speaker, tuple(command), margins)
    speaker, command = espeak_manner(voices, rng)
    text = " ".join(words) + str(rng.choice([".", ",", "?"]))
    command.append("[[" + " ".join(str(rng.choice(ESPEAK_FOREIGN[w])) for w in words) + "]]" if foreign else text)
    return Utterance(tuple(words), speaker, tuple(command), margins)


def _complete(folder: Path, settings: dict[str, int]) -> bool:
    try:
        made = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
        rows = (folder / "manifest.tsv").read_text(encoding="utf-8").splitlines()[1:]
    except (OSError, ValueError):
        return False
    return made == settings and all((folder / row.split("\t")[0]).is_file() for row in rows)


def main() -> None:
    try:
        print(CLI(synthesize, as_positional=False))
    except SynthesisError as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
