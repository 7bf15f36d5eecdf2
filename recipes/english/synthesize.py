"""Synthetic English: sentences of books or made up, spoken by flite, espeak-ng and, where it is installed, festival.

The recordings that may be had freely hold few words and few ways to follow one another; books hold many. Synthesisers
say them in voices that nobody mistakes for people, but with the right sounds, in every pace and pitch.

Clip number n depends on the seed, n and the texts alone. So a run that was stopped goes on where it was, and one that
asks for more hours begins with the clips of the smaller one.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np
from jsonargparse import CLI
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

from features import audio
from inference.files import write_text
from inference.progress import bar
from recipes.english.generated import Generated
from recipes.english.texts import HeldOut, SpokenForm, to_speak
from recipes.voices import (
    KEPT_SILENCE_SECONDS,
    RATE,
    SynthesisError,
    Utterance,
    Voices,
    espeak_manner,
    festival_manner,
    find_voices,
    flite_manner,
    speak,
)
from training.manifests import ManifestError

SHARES = {"flite": 0.35, "espeak": 0.4, "festival": 0.25}  # of the clips; without festival the others share its part
AT_ONCE = 64  # clips that are planned before the hours are counted again


class Clip(NamedTuple):
    """One clip that is made: its number, its length in seconds, who speaks, and the words.

    One that could not be spoken has no length and no sound, and its text says why.
    """

    number: int
    seconds: float
    speaker: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.number:06d}.wav"


def synthesize(
    out: Path,
    sentences: Sequence[str],
    *,
    hours: float,
    seed: int = 0,
    processes: int = 0,
    generated: Generated | None = None,
) -> Path:
    """Speak sentences into OUT/synthetic until there are so many hours, and return the manifest.

    The manifest is a table with a heading and the columns path (relative to it), text and speaker, parted by tabs.
    Clips are WAV, 16 kHz, 16 bit, 115 MB an hour. What is there of the same sentences, seed and voices is kept. A clip
    that its synthesiser cannot speak is left out, and how many are is said.

    Args:
        out: Folder to write into.
        sentences: What is said, in an order drawn by the seed; when all have been said, they are said again.
        hours: Sound wanted.
        seed: Seed of all that is drawn.
        processes: Synthesisers that run at once; 0 is one for each core.
        generated: Draws sentences for a share of the clips; the others stay as they are without it.

    Raises:
        SynthesisError: flite or espeak-ng is missing, or `AT_ONCE` clips in a row cannot be spoken.
    """
    voices = find_voices()
    folder = Path(out) / "synthetic"
    texts = hashlib.sha256("\n".join(sentences).encode()).hexdigest()
    noted = {"seed": seed, "texts": texts, "voices": asdict(voices)}
    if generated is not None:
        noted["generated"] = [generated.share, generated.digest]
    settings = json.dumps(noted)
    clips, missing = _resume(folder, settings), 3600.0 * hours
    order = np.random.default_rng(seed).permutation(len(sentences))
    form = SpokenForm()

    def make(number: int) -> Clip:
        sentence = generated(seed, number) if generated is not None else None
        sentence = sentence or sentences[order[number % len(order)]]
        utterance = plan(sentence, form(sentence) or [], np.random.default_rng((seed, number)), voices)
        try:
            samples_S = speak(utterance)
        except SynthesisError as error:
            return Clip(number, 0.0, utterance.speaker, str(error))
        clip = Clip(number, len(samples_S) / RATE, utterance.speaker, " ".join(utterance.words))
        audio.write(folder / clip.name, samples_S, RATE)
        return clip

    kept: list[Clip] = []
    unspoken: list[Clip] = []
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[made]}"), TimeRemainingColumn())
    with (
        bar(*columns) as progress,
        open(folder / "clips.jsonl", "a", encoding="utf-8") as journal,
        closing(_all_clips(clips, make, journal, processes or os.cpu_count() or 1)) as all_clips,
    ):
        task = progress.add_task("speaking", total=missing, made="")
        for clip in all_clips:
            if not clip.seconds:
                unspoken.append(clip)
                continue
            kept.append(clip)
            missing -= clip.seconds
            made = f"{hours - max(0.0, missing) / 3600:.2f}/{hours:g} h"
            progress.update(task, advance=clip.seconds, made=made)
            if missing <= 0:
                break
    if unspoken:
        said = f"{len(unspoken):,} clips could not be spoken and are left out; the first: {unspoken[0].text}"
        print(f"english: {said}", file=sys.stderr, flush=True)
    rows = ["path\ttext\tspeaker", *(f"{clip.name}\t{clip.text}\t{clip.speaker}" for clip in kept)]
    write_text(folder / "manifest.tsv", "\n".join(rows) + "\n")
    return folder / "manifest.tsv"


def plan(sentence: str, words: Sequence[str], rng: np.random.Generator, voices: Voices) -> Utterance:
    """Draw who says the sentence, which is made of these words, and how."""
    margins = tuple(float(m) for m in rng.uniform(*KEPT_SILENCE_SECONDS, size=2))
    programs = [program for program in SHARES if program != "festival" or voices.festival]
    shares = np.array([SHARES[program] for program in programs])
    program = str(rng.choice(programs, p=shares / shares.sum()))
    if program == "festival":
        speaker, command = festival_manner(voices, rng)
        return Utterance(tuple(words), speaker, tuple(command), margins, said=sentence)
    speaker, command = (flite_manner if program == "flite" else espeak_manner)(voices, rng)
    command += ["-t", sentence] if program == "flite" else [sentence]
    return Utterance(tuple(words), speaker, tuple(command), margins)


def _all_clips(made: Sequence[Clip], make: Callable[[int], Clip], journal: TextIO, processes: int) -> Iterator[Clip]:
    """Those that are there, then ever new ones, which the journal gets in their order.

    Those that cannot be spoken it gets once a later one can: where none can, the fault is not in the sentences. They
    are tried again when the run goes on, as a synthesiser may have been stopped.
    """
    for clip in made:
        yield clip if clip.seconds else make(clip.number)
    first = len(made)
    waiting: list[Clip] = []
    with ThreadPoolExecutor(processes) as pool:  # what is waited for are other programs
        try:
            while True:
                for clip in pool.map(make, range(first, first + AT_ONCE)):
                    waiting.append(clip)
                    if clip.seconds:
                        noted = (one if one.seconds else one._replace(text="") for one in waiting)
                        journal.write("".join(json.dumps(one) + "\n" for one in noted))
                        journal.flush()
                        yield from waiting
                        waiting.clear()
                    elif len(waiting) == AT_ONCE:
                        raise SynthesisError(f"{AT_ONCE} clips in a row could not be spoken; the last: {clip.text}")
                first += AT_ONCE
        finally:
            pool.shutdown(cancel_futures=True)


def _resume(folder: Path, settings: str) -> list[Clip]:
    """The clips of the same settings that are there from the first on without a gap; else begins anew."""
    folder.mkdir(parents=True, exist_ok=True)
    noted, journal = folder / "settings.json", folder / "clips.jsonl"
    clips: list[Clip] = []
    if noted.is_file() and noted.read_text(encoding="utf-8") == settings and journal.is_file():
        for line in journal.read_text(encoding="utf-8").splitlines(keepends=True):
            if not line.endswith("\n"):
                break  # of a run that was killed
            clip = Clip(*json.loads(line))
            if clip.number != len(clips) or (clip.seconds and not (folder / clip.name).is_file()):
                break
            clips.append(clip)
    for stale in folder.glob("[0-9]*.wav"):
        if int(stale.stem) >= len(clips):
            stale.unlink()
    write_text(journal, "".join(json.dumps(clip) + "\n" for clip in clips))
    write_text(noted, settings)
    return clips


def speak_book(texts: Path, out: Path, *, hours: float = 20.0, seed: int = 0, processes: int = 0) -> Path:
    """Speak sentences of a text into OUT/synthetic until there are so many hours; none is held out for a test.

    Args:
        texts: English prose, a paragraph a line, also compressed with gzip.
        out: Folder to write into.
        hours: Sound wanted.
        seed: Seed of all that is drawn.
        processes: Synthesisers that run at once; 0 is one for each core.
    """
    return synthesize(out, to_speak(texts, HeldOut([])), hours=hours, seed=seed, processes=processes)


def main() -> None:
    try:
        print(CLI(speak_book, as_positional=False))
    except (SynthesisError, ManifestError) as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
