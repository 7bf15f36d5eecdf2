"""Kaldi data directories, read as they are: `wav.scp`, `text`, and where they are there `segments` and `utt2spk`.

A line of `wav.scp` may be a command whose output is the sound. No command is run: those that do nothing but decode a
file (`flac -c -d`, `sph2pipe`, `sox FILE -t wav -`, `ffmpeg -i FILE -f wav -`, `cat`) stand for that file.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable
from pathlib import Path

from features import audio
from inference.files import read_text
from training.items import Item, ManifestError

# What the commands may be told beside the name of the file: what changes nothing of the sound but its rate, and mixes
# its channels down, as reading it for a model does anyway. Of some options the value is the next word.
HARMLESS = {
    "cat": set(),
    "flac": {*("-c", "-d", "-s", "-f"), *("-cd", "-dc", "-cds", "-dcs"), "--stdout", "--decode", "--silent"},
    # Not -c, which takes one channel of several.
    "sph2pipe": {*("-f wav", "-f rif", "-f sph"), "-p"},
    "sox": {*("-t wav", "-t flac", "-t mp3", "-t sph", "-t ogg"), *("-b 16", "-c 1", "-e signed"), "-", "-G", "-V1"},
    "ffmpeg": {
        *("-f wav", "-acodec pcm_s16le", "-c:a pcm_s16le", "-ac 1", "-ab 16", "-v 0", "-loglevel quiet"),
        *("-y", "-vn", "-nostdin", "-hide_banner", "-", "pipe:1"),
        *(f"-ar {rate}" for rate in (8000, 16000, 22050, 24000, 32000, 44100, 48000)),
    },
}
HARMLESS["sox"] |= {f"-r {rate}" for rate in ("8k", "16k", "8000", "16000", "22050", "44100", "48000")}
# Several lines of the same trouble are counted, and so many of them named.
NAMED = 3


def read(folder: Path, *, unreadable: list[str] | None = None, untold: bool = False) -> list[Item]:
    """The utterances of a Kaldi data directory, in the order of `segments` or, without it, of `wav.scp`.

    Names of files that are not absolute are looked for from the current folder, as Kaldi does, then from the data
    directory and the folders above it.

    Args:
        folder: The data directory.
        unreadable: Gets the message of each recording that had to be opened for its length and cannot be read, and what
            is said in it is left out; without it, the first one ends the reading.
        untold: What is said does not count: `text` is not read, and every text is empty.

    Raises:
        ManifestError: a file is missing or has a line that is none of its kind; an utterance has no text, or its
            recording is not there.
        features.audio.AudioError: a recording cannot be read.
    """
    if not folder.is_dir():
        raise ManifestError(f"{folder}: no such folder")
    recordings = _table(folder / "wav.scp")
    texts = None if untold else _table(folder / "text", may_be_empty=True)
    speakers = _table(folder / "utt2spk") if (folder / "utt2spk").exists() else {}
    lengths = _lengths(folder)
    paths: dict[str, str] = {}
    items = []
    stretches = _stretches(folder, recordings)
    if texts is not None:
        _all_there(folder / "text", [id for id, *_ in stretches], texts, "has no text for")
    for id, recording, start, end in stretches:
        if recording not in paths:
            paths[recording] = _path(folder, recording, recordings[recording])
        if math.isinf(end):
            try:
                end = lengths(recording, paths[recording])
            except audio.AudioError as error:
                if unreadable is None:
                    raise
                unreadable.append(str(error))
                continue
        if not end > start:
            raise ManifestError(f"{folder}: {id} ends at {end:g} s, before it starts at {start:g} s")
        text = "" if texts is None else " ".join(texts[id].split())
        items.append(Item(id, paths[recording], start, end - start, text, speakers.get(id, "")))
    return items


def _stretches(folder: Path, recordings: dict[str, str]) -> list[tuple[str, str, float, float]]:
    """Of each utterance its id, its recording, and from where to where it goes, infinity being the recording's end."""
    if (folder / "segments").exists():
        stretches = [_segment(folder / "segments", id, rest) for id, rest in _table(folder / "segments").items()]
    else:
        stretches = [(id, id, 0.0, math.inf) for id in recordings]
    _all_there(folder / "wav.scp", [recording for _, recording, *_ in stretches], recordings, "has no recording")
    return stretches


def _all_there(file: Path, wanted: list[str], there: dict[str, str], says: str) -> None:
    missing = [name for name in wanted if name not in there]
    if missing:
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        raise ManifestError(
            f"{file}: {says} {', '.join(missing[:NAMED])}{more}; add them, or remove them with Kaldi's "
            "utils/fix_data_dir.sh"
        )


def _segment(file: Path, id: str, rest: str) -> tuple[str, str, float, float]:
    try:
        recording, start, end = rest.split()
        times = float(start), float(end)
    except ValueError:
        raise ManifestError(f"{file}: {id}: a line has utterance, recording, start and end in seconds") from None
    if not (0 <= times[0] < math.inf) or math.isnan(times[1]):
        raise ManifestError(f"{file}: {id}: from {start} to {end} s is no part of a recording")
    # -1 is the end of the recording.
    return id, recording, times[0], math.inf if times[1] == -1 else times[1]


def _table(file: Path, *, may_be_empty: bool = False) -> dict[str, str]:
    """A file whose lines are a name and what belongs to it."""
    if not file.is_file():
        raise ManifestError(f"{file}: no such file; a Kaldi data directory has wav.scp and text")
    found: dict[str, str] = {}
    for number, line in enumerate(read_text(file, error=ManifestError).split("\n"), start=1):
        if not line.strip():
            continue
        name, *rest = line.split(maxsplit=1)
        if name in found:
            raise ManifestError(f"{file}: line {number}: {name} is there twice")
        if not rest and not may_be_empty:
            raise ManifestError(f"{file}: line {number}: {name} has nothing beside it")
        found[name] = rest[0].strip() if rest else ""
    return found


def _lengths(folder: Path) -> Callable[[str, str], float]:
    """How long a recording is, in seconds: as `reco2dur` or `utt2dur` says, else as its file does."""
    known: dict[str, str] = {}
    # Where there are segments, utt2dur is of these.
    names = ["reco2dur"] if (folder / "segments").exists() else ["reco2dur", "utt2dur"]
    for name in names:
        if (folder / name).exists():
            known |= _table(folder / name)

    def length(recording: str, path: str) -> float:
        if recording in known:
            try:
                return float(known[recording])
            except ValueError:
                raise ManifestError(f"{folder}: {recording} has the duration {known[recording]!r}") from None
        found = audio.info(path)
        if found.duration is not None:
            return found.duration
        samples, rate = audio.read(path)
        return len(samples) / rate

    return length


def _path(folder: Path, recording: str, said: str) -> str:
    """The sound file that a line of `wav.scp` stands for."""
    name = _decoded_by(folder, recording, said) if said.endswith("|") else said
    for base in (Path(), folder, *folder.resolve().parents):
        if (base / name).is_file():
            return str((base / name).resolve())
    raise ManifestError(f"{folder / 'wav.scp'}: {recording}: there is no file {name}")


def _decoded_by(folder: Path, recording: str, said: str) -> str:
    """The file that a command does nothing but decode."""
    try:
        program, *words = shlex.split(said.removesuffix("|"))
    except ValueError:
        program, words = "", []
    program = Path(program).name
    files, position = [], 0
    while position < len(words):
        word, pair = words[position], " ".join(words[position : position + 2])
        if pair in HARMLESS.get(program, ()):
            position += 2
        elif word in HARMLESS.get(program, ()) or (program == "ffmpeg" and word == "-i"):
            position += 1
        else:
            files.append(word)
            position += 1
    if program not in HARMLESS or len(files) != 1 or files[0].startswith("-"):
        raise ManifestError(
            f"{folder / 'wav.scp'}: {recording}: is made by a command that does more than decode a file ({said}); "
            "write its output to a file, and name that"
        )
    return files[0]
