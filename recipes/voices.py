"""Synthesisers that speak for recipes: flite, espeak-ng and, where it is installed, festival.

Here is what they have and how they are run; what they say, and in how many ways, is for each recipe. They are programs
of Debian, called one clip at a time, and the same command makes the same sound.

Shapes: S samples.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from features import audio

RATE = 16000  # of what is spoken, in Hz
KEPT_SILENCE_SECONDS = (0.05, 0.2)  # before and after the words
SILENCE_DB = -50.0  # below the loudest 10 ms; the /f/ of "five" lies above

FLITE_VOICES = ("kal16", "awb", "rms", "slt")  # kal is the speaker of kal16, at half the rate
FLITE_PITCH_HZ = {"kal16": (80, 180), "slt": (130, 270)}
ESPEAK_ACCENTS = (
    "en-us",
    "en-us-nyc",
    "en-gb",
    "en-gb-x-rp",
    "en-gb-scotland",
    "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
    "en-029",
)
# Of what espeak-ng calls variants, those that are no person's voice.
ESPEAK_UNWANTED = re.compile("robo|whisper|croak|demonic|ricishay|storm|tweaky|anxious|announcer|fast|^Mr$", re.I)
# kal is flite's, too; there it is another synthesiser.
FESTIVAL_VOICES = ("kal_diphone", "ked_diphone", "rab_diphone", "cmu_us_slt_arctic_hts")


class SynthesisError(ValueError):
    """Nothing can be spoken; the message says what to install or which program failed."""


@dataclass(frozen=True)
class Voices:
    """What can speak: voices of flite and festival, and accents and variants of espeak-ng, which combine freely."""

    flite: list[str]
    espeak_accents: list[str]
    espeak_variants: list[str]
    festival: tuple[str, ...] = ()


@dataclass(frozen=True)
class Utterance:
    """One clip to be made: the words, whose voice says them (`speaker`), and the command, less its output file.

    festival reads what it is to say from a file: `said`.
    """

    words: tuple[str, ...]
    speaker: str
    command: tuple[str, ...]
    margins: tuple[float, float]  # silence kept before and after, in seconds
    said: str = ""


def flite_manner(voices: Voices, rng: np.random.Generator) -> tuple[str, list[str]]:
    """A voice of flite at a pace and a pitch of its own: who speaks, and the command, less what is said."""
    voice = str(rng.choice(voices.flite))
    command = ["flite", "-voice", voice, "--setf", f"duration_stretch={rng.uniform(0.75, 1.4):.2f}"]
    if voice in FLITE_PITCH_HZ:
        command += ["--setf", f"int_f0_target_mean={rng.uniform(*FLITE_PITCH_HZ[voice]):.0f}"]
    elif voice == "awb":
        command += ["--setf", f"f0_shift={rng.uniform(0.8, 1.3):.2f}"]
    return f"flite-{voice}", command


def espeak_manner(voices: Voices, rng: np.random.Generator) -> tuple[str, list[str]]:
    """An accent and a variant of espeak-ng at a pace and a pitch of its own, as `flite_manner` gives them."""
    voice = f"{rng.choice(voices.espeak_accents)}+{rng.choice(voices.espeak_variants)}"
    pitch, words_a_minute = rng.integers(25, 86), rng.integers(110, 221)
    # At the default amplitude of 100 some variants are clipped.
    command = ["espeak-ng", "-v", voice, "-a", "40", "-p", str(pitch), "-s", str(words_a_minute)]
    return f"espeak-{voice}", command


def festival_manner(voices: Voices, rng: np.random.Generator) -> tuple[str, list[str]]:
    """A voice of festival at a pace and, if it is of diphones, a pitch of its own, as `flite_manner` gives them."""
    voice = str(rng.choice(voices.festival))
    settings = [f"(voice_{voice})", f"(Parameter.set 'Duration_Stretch {rng.uniform(0.75, 1.4):.2f})"]
    if voice.endswith("_diphone"):
        mean, spread = rng.uniform(80, 180), rng.uniform(8, 25)
        settings.append(
            f"(set! int_lr_params '((target_f0_mean {mean:.0f}) (target_f0_std {spread:.0f})"
            " (model_f0_mean 170) (model_f0_std 34)))"
        )
    return f"festival-{voice}", ["text2wave", "-eval", f"(begin {' '.join(settings)})"]


def speak(utterance: Utterance) -> np.ndarray:
    """Run the synthesiser: (S,) samples at `RATE`, trimmed.

    Raises:
        SynthesisError: it fails, or writes nothing.
    """
    program, *arguments = utterance.command
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spoken.wav"
        if utterance.said:
            text = Path(folder) / "said.txt"
            text.write_text(utterance.said + "\n", encoding="ascii")
            arguments.append(str(text))
        _run([program, "-w" if program == "espeak-ng" else "-o", str(path), *arguments])
        try:
            samples_S = audio.read(path, rate=RATE)[0] if path.is_file() else np.zeros(0)
        except audio.AudioError:  # a file without a heading
            samples_S = np.zeros(0)
    if not len(samples_S):
        raise SynthesisError(f"{' '.join(utterance.command)!r} wrote no sound: try that command by hand")
    return trim(samples_S, RATE, margins=utterance.margins)


def trim(samples_S: np.ndarray, rate: int, *, margins: tuple[float, float]) -> np.ndarray:
    """Cut silence before and after the words down to the margins, in seconds; where there is less, leave it so."""
    hop = rate // 100
    blocks = len(samples_S) // hop
    if not blocks:
        return samples_S
    power = np.mean(np.square(samples_S[: blocks * hop].reshape(blocks, hop), dtype=np.float64), axis=1)
    loud = np.flatnonzero(power > power.max() * 10.0 ** (SILENCE_DB / 10.0))
    if not len(loud):
        return samples_S
    start = int(loud[0]) * hop - round(margins[0] * rate)
    end = (int(loud[-1]) + 1) * hop + round(margins[1] * rate)
    return samples_S[max(0, start) : end]


def find_voices() -> Voices:
    """Ask the programs what they have, and keep what is wanted; festival's voices are those that are there, if any.

    Raises:
        SynthesisError: flite or espeak-ng is missing, or has no voice.
    """
    missing = [program for program in ("flite", "espeak-ng") if shutil.which(program) is None]
    if missing:
        raise SynthesisError(f"not installed: {', '.join(missing)}; on Debian: apt-get install flite espeak-ng")
    flite = set(_run(["flite", "-lv"]).split())
    accents = set(_run(["espeak-ng", "--voices=en"]).split())
    variants = re.findall(r"!v/(\S+)", _run(["espeak-ng", "--voices=variant"]))
    voices = Voices(
        [voice for voice in FLITE_VOICES if voice in flite],
        [accent for accent in ESPEAK_ACCENTS if accent in accents],
        sorted(variant for variant in variants if not ESPEAK_UNWANTED.search(variant)),
        _festival_voices(),
    )
    if not (voices.flite and voices.espeak_accents and voices.espeak_variants):
        raise SynthesisError("flite or espeak-ng lists none of its usual voices; on Debian: apt-get install both")
    return voices


def _festival_voices() -> tuple[str, ...]:
    if shutil.which("festival") is None or shutil.which("text2wave") is None:
        return ()
    # Where it has no voice it names those that it looked for, on the same stream.
    told = _run(["festival", "-b", '(mapcar (lambda (name) (format t "voice:%s\\n" name)) (voice.list))'])
    there = set(re.findall(r"^voice:(\S+)", told, re.MULTILINE))
    return tuple(voice for voice in FESTIVAL_VOICES if voice in there)


def _run(command: Sequence[str]) -> str:
    result = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if result.returncode:
        reason = result.stderr.strip().splitlines()[-1:] or [f"exit code {result.returncode}"]
        raise SynthesisError(f"{' '.join(command)!r} failed: {reason[0]}")
    return result.stdout
