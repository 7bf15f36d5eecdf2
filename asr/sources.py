"""Which recordings are meant: files, folders, patterns, lists, and what of it is finished already."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from features import audio, given
from inference.shell import one_line


class InputError(ValueError):
    """Nothing to transcribe; the message says what was looked for."""


def expand(files: Sequence[str], failed: list[str]) -> list[str]:
    """Folders and patterns replaced by the sound files in them, in order; each file once.

    A name with `*`, `?` or `[` that is no file is a pattern, in which `**` stands for any folders. Those that stand for
    no sound file go to `failed`, with the reason.
    """
    found: dict[str, None] = {}
    for name in files:
        try:
            inside = _inside(name)
        except OSError as error:
            failed.append(one_line(error))
            continue
        if not inside:
            what = "no sound files in this folder" if Path(name).is_dir() else "no sound files match"
            failed.append(f"{name}: {what} (looked for {', '.join(sorted(audio.SUFFIXES))})")
        found.update(dict.fromkeys(inside))
    return list(found)


def _inside(name: str) -> list[str]:
    if name == "-":
        return [name]
    if Path(name).is_dir():
        return _sounds(name)
    if not glob.has_magic(name) or Path(name).exists():
        return [name]
    return [sound for match in sorted(glob.glob(name, recursive=True)) for sound in _sounds(match)]


def _sounds(match: str) -> list[str]:
    if Path(match).is_dir():
        return [str(path) for path in audio.files_in(Path(match))]
    return [match] if Path(match).suffix.lower() in (*audio.SUFFIXES, *given.SUFFIXES) else []


def listed(path: str) -> list[str]:
    """Names from a text file with one on each line; `-` is standard input.

    Raises:
        InputError: it is no text, or has no names.
        OSError: it cannot be read.
    """
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8", errors="surrogateescape")
    except UnicodeDecodeError:
        raise InputError("standard input: is not a list of files") from None
    if "\0" in text:
        raise InputError(f"{path}: is not a list of files: give a text file with the name of a recording on each line")
    names = [line for line in text.splitlines() if line.strip()]
    if not names:
        raise InputError(f"{path}: names no files")
    return names


def is_finished(source: str, results: Iterable[Path], *, made_from: Iterable[Path]) -> bool:
    """Whether all the results are there, and newer than the recording and what else they are made from.

    Results take their names when they are complete, so one that is there is whole.
    """
    try:
        made = min(result.stat().st_mtime_ns for result in results)
        return source != "-" and all(made > path.stat().st_mtime_ns for path in (Path(source), *made_from))
    except OSError:
        return False


def seconds(source: str) -> float:
    """Length for the progress bar; a file that cannot be read has none, and fails in its turn."""
    if not Path(source).is_file():
        return 0.0  # opening a pipe would use it up
    try:
        return audio.info(source).duration or 0.0
    except (ValueError, OSError):
        return 0.0
