"""Many files to transcripts: what `asr transcribe` does, with progress, and without one bad file stopping the rest."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

import asr
from asr.cli import one_line
from asr.formats import WRITERS, write
from features import audio


class InputError(ValueError):
    """Nothing to transcribe; the message says what was looked for."""


def transcribe_files(
    files: Sequence[str], *, model: str, format: str = "txt", output: str | None = None, threads: int = 1, beam: int = 0
) -> int:
    """Transcribe files and folders, to standard output or to `output/NAME.FORMAT`.

    Returns:
        0 if all went well, 2 if the only file failed, 1 if some of several did; those are listed on standard error.
    """
    failed: list[str] = []
    sources = expand(files, failed)
    if not sources:
        raise InputError("; ".join(failed))
    asked = len(sources) + len(failed)
    names = output_names(sources)
    if output is not None:
        _check_output(Path(output), {source: f"{names[source]}.{format}" for source in sources})
    recognizer = asr.load(model, threads=threads)
    console = Console(stderr=True)
    # Only the bar needs lengths, and asking for them opens every file.
    seconds = {source: _seconds(source) for source in sources} if console.is_terminal else {}
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} s of sound"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task("transcribe", total=sum(seconds.values()) or None)
        for source in sources:
            progress.update(task, description=Path(source).name)
            try:
                transcript = recognizer.transcribe(
                    source, beam=beam, progress=lambda heard: progress.advance(task, heard)
                )
                if output is not None:
                    write(transcript, Path(output) / f"{names[source]}.{format}", format)
                else:
                    if len(sources) > 1 and format == "txt":
                        print(f"{source}: ", end="")
                    print(WRITERS[format](transcript).rstrip("\n"), flush=True)
            except (ValueError, OSError) as error:
                if isinstance(error, BrokenPipeError):
                    raise
                failed.append(one_line(error))
    if asked == 1:
        for line in failed:
            print(f"asr: {line}", file=sys.stderr)
        return 2 if failed else 0
    if failed:
        print(f"asr: {len(failed)} of {asked} files failed:", file=sys.stderr)
        for line in failed:
            print(f"  {line}", file=sys.stderr)
    return 1 if failed else 0


def expand(files: Sequence[str], failed: list[str]) -> list[str]:
    """Folders replaced by the sound files in them, in order; each file once. Folders without any go to `failed`."""
    found: dict[str, None] = {}
    for name in files:
        try:
            inside = (
                [str(path) for path in audio.files_in(Path(name))] if name != "-" and Path(name).is_dir() else [name]
            )
        except OSError as error:
            failed.append(one_line(error))
            continue
        if not inside:
            failed.append(f"{name}: no sound files in this folder (looked for {', '.join(sorted(audio.SUFFIXES))})")
        found.update(dict.fromkeys(inside))
    return list(found)


def _check_output(folder: Path, names: dict[str, str]) -> None:
    """Make the output folder and refuse what would only fail, or do harm, once the work is done.

    Raises:
        InputError: it is a file, cannot be written, or a transcript of ours would replace a text beside its recording.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InputError(f"{folder}: is a file; give a folder to --output") from None
    if not os.access(folder, os.W_OK):
        raise InputError(f"{folder}: cannot be written; give another folder to --output, or change its permissions")
    for source, name in names.items():
        if source != "-" and (folder / name).exists() and Path(source).resolve().parent == folder.resolve():
            raise InputError(
                f"{folder / name}: is there already, beside the recording, and may be its transcript; "
                "give another folder to --output"
            )


def output_names(sources: Sequence[str]) -> dict[str, str]:
    """A name for each transcript: the stem of its source or, where stems clash, the whole name or path."""
    names = {source: "stdin" if source == "-" else Path(source).stem for source in sources}
    for rename in (
        lambda path: path.name,
        lambda path: "_".join(path.with_suffix("").parts[-2:]) + path.suffix,
        lambda path: "_".join(path.parts).strip("/_"),
    ):
        taken: dict[str, list[str]] = {}
        for source, name in names.items():
            taken.setdefault(name, []).append(source)
        for clashing in taken.values():
            if len(clashing) > 1:
                names.update({source: rename(Path(source)) for source in clashing})
    return names


def _seconds(source: str) -> float:
    """Length for the progress bar; a file that cannot be read has none, and fails in its turn."""
    if not Path(source).is_file():
        return 0.0  # opening a pipe would use it up
    try:
        return audio.info(source).duration or 0.0
    except ValueError:
        return 0.0
