"""fsdd_connected: strings of one to seven digits, made by joining real clips of one speaker; transcripts in words.

The clips are real, their joints are ours: each clip keeps its own ends, and between them lies a drawn gap filled with
noise at the level of the clips' quietest parts. Beside each string a ctm says where its words begin and end. There is
no coarticulation over the joints, so these strings are easier than digits said in one breath. Test strings are made of
the official test clips alone, each used once in every round.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from lhotse import MonoCut

from features import audio
from features.effects import trim
from inference.files import write_text
from inference.progress import with_bar
from recipes.fsdd.prepare import DATA_NOTE as DATA_NOTE
from recipes.fsdd.prepare import WORDS, Clip, check_speaker, clips, held_out_part
from training.manifests import cut, write

RESULT = "WER"
RATE = 8000
LONGEST = 7
SOUNDING_DB = 30
# Rounds through a part's clips; each round joins every clip once.
ROUNDS = {"train": 6, "dev": 2, "test": 4}


def prepare(data: Path, out: Path, *, held_out: str | None = None, trim_ms: float = 0.0, seed: int = 0) -> None:
    """Write strings to `out/audio` and the manifests `train`, `dev` and `test` to `out/manifests`.

    Args:
        data: The Free Spoken Digit Dataset.
        out: Where sound and manifests go; strings that are there already are kept.
        held_out: Test on strings of this speaker and train on the other speakers, instead of the official split.
        trim_ms: Longest stretch that is cut off either end of a clip that trains, drawn for each.
        seed: What the strings and gaps are drawn from.
    """
    found = clips(data)
    check_speaker(found, held_out)
    for part in ROUNDS:
        chosen = [clip for clip in found if held_out_part(clip, held_out) == part]
        write(out / "manifests" / f"{part}.jsonl.gz", joined(chosen, part, out, trim_ms=trim_ms, seed=seed))


def joined(
    chosen: Sequence[Clip], part: str, out: Path, *, trim_ms: float = 0.0, every: int = 1, seed: int
) -> list[MonoCut]:
    """Cuts of strings of these clips, whose sound is in `out/audio/part`; it is made where it is not there already.

    Clips of the part `train` are trimmed at random; the others stay as they were recorded. With `every`, one of so many
    strings is joined, the first and so on, each as it is among all.

    A table beside the sound says which clips each string joins; sound of other clips than it says is made anew.
    """
    drawn = draw_strings(chosen, rounds=ROUNDS[part], rng=np.random.default_rng([seed, list(ROUNDS).index(part)]))
    strings = {
        f"{part}-{string[0].speaker}-{number:05d}": (number, string)
        for number, string in enumerate(drawn)
        if number % every == 0
    }
    clips_of = {name: " ".join(clip.path.stem for clip in string) for name, (_, string) in strings.items()}
    trim_seconds = trim_ms / 1000 if part == "train" else 0.0
    folder = out / "audio" / part
    folder.mkdir(parents=True, exist_ok=True)
    _drop_others(folder, [f"{name}\t{seed}\t{clips}\t{trim_seconds:g}" for name, clips in clips_of.items()])
    cuts = []
    for name, (number, string) in with_bar(list(strings.items()), f"join {part}"):
        path = folder / f"{name}.wav"
        if not (path.exists() and path.with_suffix(".ctm").exists()):
            rng = np.random.default_rng([seed, number, len(part)])
            parts = pieces(string, rng=rng, trim_seconds=trim_seconds)
            audio.write(path, np.concatenate(parts), RATE)
            write_text(path.with_suffix(".ctm"), borders(name, string, parts))
        cuts.append(cut(name, path, " ".join(WORDS[clip.digit] for clip in string), speaker=string[0].speaker))
    return cuts


def _drop_others(folder: Path, rows: list[str]) -> None:
    """Remove sound made by other rows, then note the rows; in this order, so that an interruption does no harm."""
    table = folder / "strings.tsv"
    text = "\n".join(["name\tseed\tclips\ttrim_seconds", *rows]) + "\n"
    before = table.read_text(encoding="utf-8") if table.exists() else ""
    if before == text:
        return
    kept = {row.split("\t")[0] for row in set(rows) & set(before.splitlines())}
    for path in folder.glob("*.wav"):
        if path.stem not in kept:
            path.unlink()
            path.with_suffix(".ctm").unlink(missing_ok=True)
    write_text(table, text)


def draw_strings(found: Sequence[Clip], *, rounds: int, rng: np.random.Generator) -> list[list[Clip]]:
    """Strings of one to seven clips of one speaker; in each round every clip stands in exactly one string."""
    strings = []
    for speaker in sorted({clip.speaker for clip in found}):
        own = [clip for clip in found if clip.speaker == speaker]
        for _ in range(rounds):
            order = [own[index] for index in rng.permutation(len(own))]
            while order:
                length = int(rng.integers(1, LONGEST + 1))
                strings.append(order[:length])
                order = order[length:]
    return strings


def pieces(string: Sequence[Clip], *, rng: np.random.Generator, trim_seconds: float = 0.0) -> list[np.ndarray]:
    """What a string is joined of, in turns: a gap, the first clip, a gap, the second clip, ..., two gaps.

    Up to `trim_seconds` are cut off either end of a clip: each speaker's clips are cut more or less tightly, and a
    network that has learned how tightly takes the next speaker's for other words.
    """
    parts = [audio.read(clip.path, rate=RATE)[0] for clip in string]
    floor = float(np.median([quietest(samples_S) for samples_S in parts]))

    def gap(low: float, high: float) -> np.ndarray:
        return rng.normal(0.0, floor, int(rng.uniform(low, high) * RATE)).astype(np.float32)

    found = [gap(0.1, 0.5)]
    for samples_S in parts:
        if trim_seconds:
            samples_S = trim(samples_S, *rng.uniform(0.0, trim_seconds * RATE, 2))
        # A third of the joints are close, as in fluent speech, the others a short pause.
        found += [samples_S, gap(0.0, 0.04) if rng.random() < 1 / 3 else gap(0.04, 0.35)]
    found.append(gap(0.1, 0.4))
    return found


def borders(name: str, string: Sequence[Clip], parts: Sequence[np.ndarray]) -> str:
    """Where each word of a string is said, as a ctm: where its clip, one of the `pieces`, begins and ends to sound."""
    begins = np.cumsum([0, *map(len, parts)]).tolist()
    lines = []
    for clip, begin, samples_S in zip(string, begins[1::2], parts[1::2], strict=False):  # the last gap is no clip
        first, behind = ((begin + at) / RATE for at in sounding(samples_S))
        lines.append(f"{name} 1 {first:.4f} {behind - first:.4f} {WORDS[clip.digit]}\n")
    return "".join(lines)


def sounding(samples_S: np.ndarray, *, hop: int = 80) -> tuple[int, int]:
    """From which sample to which a clip sounds: from its first to its last 10 ms within 30 dB of its loudest.

    One of FSDD's speakers left a tenth of a second of room before each word, others none.
    """
    if len(samples_S) < hop:
        return 0, len(samples_S)
    power = np.square(samples_S[: len(samples_S) // hop * hop].reshape(-1, hop)).mean(1)
    loud = np.flatnonzero(power >= power.max() * 10 ** (-SOUNDING_DB / 10))
    return int(loud[0]) * hop, (int(loud[-1]) + 1) * hop


def quietest(samples_S: np.ndarray, *, window: int = 160) -> float:
    """Root mean square of the quietest 20 ms, the level of a clip's background."""
    if len(samples_S) < window:
        return float(np.sqrt(np.mean(np.square(samples_S)))) if len(samples_S) else 0.0
    usable = samples_S[: len(samples_S) // window * window].reshape(-1, window)
    return float(np.sqrt(np.square(usable).mean(1)).min())
