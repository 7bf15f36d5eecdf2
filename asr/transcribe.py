"""Many files to transcripts: what `asr transcribe` does, with progress, and without one bad file stopping the rest."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

import asr
from asr.doubt import Doubt
from asr.formats import WRITERS, Options, suffix, to_json_line, write
from asr.listen import BLOCK_SECONDS, Stopwatch, listen, paced, warn_of_latency
from asr.recognizer import Recognizer
from asr.search import Search, SearchConfig
from asr.stream import SpeechEvent, SpeechSession
from asr.subtitles import SubtitleRules
from asr.transcript import Transcript
from asr.vad import SileroVad
from features import audio
from features.microphone import Block
from inference.endpoint import EndpointRules
from inference.outputs import keep_originals, make_folder, output_names
from inference.shell import ended, one_line


class InputError(ValueError):
    """Nothing to transcribe; the message says what was looked for."""


class Streaming(NamedTuple):
    """How files are heard as streams: seconds of chunk and look-ahead, and whether at the pace of a microphone."""

    chunk: float
    lookahead: float
    realtime: bool
    rules: EndpointRules
    silero: bool = False


def transcribe_files(
    files: Sequence[str],
    *,
    model: str,
    formats: Sequence[str] = ("txt",),
    output: str | None = None,
    threads: int = 1,
    search: SearchConfig | None = None,
    streaming: Streaming | None = None,
    rules: SubtitleRules | None = None,
    doubt: Doubt | None = None,
) -> int:
    """Transcribe files and folders, to standard output or to `output/NAME.FORMAT` for each of the formats.

    Args:
        files: Sound files, folders of them, and `-` for standard input.
        model: Shipped model or model directory.
        formats: Some of `asr.formats.WRITERS`; one of them if there is no `output`.
        output: Folder for the transcripts.
        threads: Threads for scoring.
        search: How the words are looked for in the scores; greedily if not given.
        streaming: How the files are heard as streams; none hears them with full context.
        rules: What subtitles must be like.
        doubt: Which words are marked or left out; none if not given.

    Returns:
        0 if all went well, 2 if the only file failed, 1 if some of several did; those are listed on standard error.

    Raises:
        InputError: there is nothing to transcribe, or it cannot go to standard output together.
    """
    doubt = doubt or Doubt()
    failed: list[str] = []
    sources = expand(files, failed)
    if not sources:
        raise InputError("; ".join(failed))
    asked = len(sources) + len(failed)
    names = output_names(sources)
    if output is None:
        _check_printable(formats, len(sources))
    else:
        make_folder(Path(output))
        for format in formats:
            keep_originals(
                Path(output),
                {source: names[source] + suffix(format) for source in sources},
                what="the recording, and may be its transcript",
            )
    recognizer = asr.load(model, threads=threads)
    found_by = Search(recognizer.tokens, search)
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
                advance = partial(progress.advance, task)
                if streaming is None:
                    transcript = recognizer.transcribe(source, search=found_by, progress=advance)
                else:
                    transcript = hear(recognizer, source, streaming, search=found_by, progress=advance)
                transcript = doubt.kept(transcript)
                options = Options(
                    recording=_as_text(names[source]),
                    rules=rules or SubtitleRules(),
                    doubtful_below=doubt.marks_below,
                )
                if output is None:
                    several = _as_text(source) if len(sources) > 1 else None
                    print(_printed(transcript, formats[0], options, several), end="", flush=True)
                    continue
                for format in formats:
                    write(transcript, Path(output) / (names[source] + suffix(format)), format, options)
            except (ValueError, OSError) as error:
                if isinstance(error, BrokenPipeError):
                    raise
                failed.append(one_line(error))
    return ended("asr", failed, asked=asked)


def _check_printable(formats: Sequence[str], sources: int) -> None:
    """Refuse what one stream of text cannot hold."""
    if len(formats) > 1:
        raise InputError(f"{', '.join(formats)} do not go to one output together; give a folder to --output")
    if sources > 1 and formats[0] not in ("txt", "json", "ctm"):
        raise InputError(f"{sources} files do not make one {formats[0]} file; give a folder to --output")


def _printed(transcript: Transcript, format: str, options: Options, file: str | None) -> str:
    """What standard output gets; `file` is named where it is one of several."""
    if file is not None and format == "json":
        return to_json_line(transcript, file, options)
    named = f"{file}: " if file is not None and format == "txt" else ""
    return named + WRITERS[format](transcript, options)


def _as_text(name: str) -> str:
    """The name of a file, which may hold bytes that are no text, such that it can be printed."""
    return name.encode("utf-8", "replace").decode("utf-8")


def hear(
    recognizer: Recognizer, source: str, streaming: Streaming, *, search: Search, progress: Callable[[float], None]
) -> Transcript:
    """Transcribe a file as if it were a live stream, and report on standard error how long words took to be shown."""
    rate = recognizer.model.extractor.rate
    session = SpeechSession(
        recognizer.model,
        chunk=streaming.chunk,
        lookahead=streaming.lookahead,
        rules=streaming.rules,
        activity=SileroVad(rate) if streaming.silero else None,
        search=search,
    )
    clock = Stopwatch() if streaming.realtime else None
    blocks = audio.blocks(source, rate=rate, block_seconds=BLOCK_SECONDS)
    heard = paced(blocks, rate=rate, clock=clock) if clock else (Block(samples_S) for samples_S in blocks)
    collected = Collected(progress)
    warn_of_latency(recognizer.model, session, collected)
    log = listen(heard, session, collected, clock=clock)
    print(f"{source}: {log.report(chunk=session.chunk, lookahead=session.lookahead)}", file=sys.stderr)
    return session.transcript(collected.all, duration=log.heard)


class Collected:
    """A display that keeps the events, shows nothing and warns on standard error."""

    def __init__(self, progress: Callable[[float], None]):
        self.all: list[SpeechEvent] = []
        self._progress = progress
        self._seconds = 0.0

    def events(self, events: list[SpeechEvent]) -> None:
        self.all += [event for event in events if event.final]

    def level(self, samples_S: np.ndarray, seconds: float) -> None:
        self._progress(seconds - self._seconds)
        self._seconds = seconds

    def warn(self, line: str) -> None:
        print(f"asr: {line}", file=sys.stderr)


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


def _seconds(source: str) -> float:
    """Length for the progress bar; a file that cannot be read has none, and fails in its turn."""
    if not Path(source).is_file():
        return 0.0  # opening a pipe would use it up
    try:
        return audio.info(source).duration or 0.0
    except ValueError:
        return 0.0
