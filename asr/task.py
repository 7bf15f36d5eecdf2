"""What is done with one of many recordings, wherever it is done: hear it, and write down or return its transcript."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asr.confidence.doubt import Doubt
from asr.formats import WRITERS, Options, suffix, to_json_line
from asr.recognizer import Recognizer
from asr.scoring import Counted, scores, scores_of_frames
from asr.search import Search, SearchConfig
from asr.shipped import find
from asr.stream import SpeechEvent, SpeechSession
from asr.stretches import Segments
from asr.subtitles import SubtitleRules
from asr.together import Begun, begin, by_length, most_frames
from asr.transcript import Transcript
from features import audio
from inference.endpoint import EndpointRules
from inference.files import write_text
from inference.workers import Failure, Outcome, attempt


class Streaming(NamedTuple):
    """How files are heard as streams: seconds of chunk and look-ahead, and whether at the pace of a microphone."""

    chunk: float
    lookahead: float
    realtime: bool
    rules: EndpointRules
    silero: bool = False


@dataclass(frozen=True)
class Settings:
    """What is the same for all recordings; can be sent to another process.

    Args:
        model: Shipped model or model directory.
        formats: Some of `asr.formats.WRITERS`; one of them if there is no `output`.
        output: Folder for the transcripts; they are returned if not given.
        threads: Threads for scoring.
        search: How the words are looked for in the scores; greedily if not given.
        streaming: How the files are heard as streams; none hears them with full context.
        segments: How long recordings are divided; they are not if not given.
        rules: What subtitles must be like.
        doubt: Which words are marked or left out.
        mark: Of the files that are being written; see `inference.files.writing`.
    """

    model: str
    formats: tuple[str, ...] = ("txt",)
    output: str | None = None
    threads: int = 1
    search: SearchConfig | None = None
    streaming: Streaming | None = None
    segments: Segments | None = None
    rules: SubtitleRules = field(default_factory=SubtitleRules)
    doubt: Doubt = field(default_factory=Doubt)
    mark: str | None = None

    def results(self, name: str) -> list[Path]:
        """The files that hold the transcript of the recording of this name."""
        return [Path(self.output or "") / (name + suffix(format)) for format in self.formats]


class Recording(NamedTuple):
    """One recording: its file, what it is called for its user, the name of its transcript, and whether it has fellows.

    `file` may be an absolute path, where `source` is what was typed.
    """

    file: str
    source: str
    name: str
    several: bool = False

    def __str__(self) -> str:
        return self.source


class Heard(NamedTuple):
    """What is to be shown of a recording: on standard output, and on standard error."""

    printed: str = ""
    report: str = ""


class Transcriber:
    """Does it, with a model that is loaded once.

    Raises:
        inference.model.ModelError: no such model, or a damaged one.
        asr.search.SearchError, inference.ngram.NgramError: the search does not go with it.
    """

    def __init__(self, settings: Settings):
        self._settings = settings
        directory = find(settings.model)
        self._recognizer, self._search = Recognizer.with_search(directory, settings.search, threads=settings.threads)

    def __call__(self, recording: Recording, heard: Callable[[float], None]) -> Heard:
        """Transcribe one recording.

        Args:
            recording: It.
            heard: Called with how many seconds of it have been heard so far.

        Raises:
            features.audio.AudioError: it cannot be read.
            OSError: the transcript cannot be written.
        """
        settings, progress, report = self._settings, adding(heard), ""
        if settings.streaming is None:
            transcript = self._recognizer.transcribe(
                recording.file, search=self._search, segments=settings.segments, progress=progress
            )
        else:
            transcript, report = hear(
                self._recognizer, recording, settings.streaming, search=self._search, progress=progress
            )
        return self._written(recording, transcript, report)

    def begin(self, recording: Recording) -> Begun | Failure:
        """Read a recording, or the first half minute of a long one; other threads may do so."""
        return attempt(lambda one, _: begin(self._recognizer.model, one.file), recording, lambda _: None)

    def waits(self, begun: Begun | Failure) -> bool:
        """Whether it was read as a whole, or could not be read; not, if all but its beginning is still to be heard."""
        return isinstance(begun, Failure) or begun.frames_TF is not None

    def end(
        self, begun: Sequence[tuple[Recording, Begun | Failure]], tell: Callable[[Recording, float], None]
    ) -> Iterator[Outcome]:
        """Transcribe what was begun, neither as streams nor in segments; short recordings are scored as batches."""
        short: list[tuple[Recording, Begun]] = []
        for recording, one in begun:
            if isinstance(one, Failure):
                yield Outcome(recording, one)
            elif one.frames_TF is not None:
                short.append((recording, one))
            else:
                yield Outcome(recording, attempt(partial(self._long, one), recording, partial(tell, recording)))
        lengths = [len(one.frames_TF) for _, one in short]
        for numbers in by_length(lengths, most=most_frames(self._recognizer.model)):
            batch = [short[number] for number in numbers]
            for (recording, one), pieces in zip(batch, self._scores([one for _, one in batch]), strict=True):
                work = partial(self._short, one, pieces)
                yield Outcome(recording, attempt(work, recording, partial(tell, recording)))

    def _scores(self, batch: Sequence[Begun]) -> list[Iterable[np.ndarray]]:
        """Scores of short recordings, each in pieces; one by one, later, where there is no memory for all."""
        model = self._recognizer.model
        try:
            return [[scores_TV] for scores_TV in model.scorer.together([one.frames_TF for one in batch])]
        except MemoryError:
            return [scores_of_frames(model, [one.frames_TF]) for one in batch]

    def _short(
        self, begun: Begun, pieces: Iterable[np.ndarray], recording: Recording, heard: Callable[[float], None]
    ) -> Heard:
        transcript = self._recognizer.transcribe_scores(pieces, begun.heard, search=self._search)
        heard(transcript.duration)
        return self._written(recording, transcript)

    def _long(self, begun: Begun, recording: Recording, heard: Callable[[float], None]) -> Heard:
        model = self._recognizer.model
        blocks = Counted(begun.heard, rate=model.extractor.rate, progress=adding(heard))
        transcript = self._recognizer.transcribe_scores(scores(model, blocks), blocks, search=self._search)
        return self._written(recording, transcript)

    def _written(self, recording: Recording, transcript: Transcript, report: str = "") -> Heard:
        settings = self._settings
        transcript = settings.doubt.kept(transcript)
        options = Options(
            recording=as_text(recording.name), rules=settings.rules, doubtful_below=settings.doubt.marks_below
        )
        if settings.output is None:
            return Heard(printed(transcript, settings.formats[0], options, recording), report)
        # All of them are made before the first is written.
        texts = [WRITERS[format](transcript, options) for format in settings.formats]
        for path, text in zip(settings.results(recording.name), texts, strict=True):
            write_text(path, text, mark=settings.mark)
        return Heard(report=report)


def adding(tell: Callable[[float], None]) -> Callable[[float], None]:
    """A function of parts that tells their sum so far."""
    total = 0.0

    def add(part: float) -> None:
        nonlocal total
        total += part
        tell(total)

    return add


def printed(transcript: Transcript, format: str, options: Options, recording: Recording) -> str:
    """What standard output gets; the file is named where it is one of several."""
    text = WRITERS[format](transcript, options)
    if not recording.several:
        return text
    source = as_text(recording.source)
    if format == "json":
        return to_json_line(transcript, source, options)
    return "".join(f"{source}: {line}\n" for line in text.splitlines()) if format == "txt" else text


def as_text(name: str) -> str:
    """The name of a file, which may hold bytes that are no text, such that it can be printed."""
    return name.encode("utf-8", "replace").decode("utf-8")


def hear(
    recognizer: Recognizer,
    recording: Recording,
    streaming: Streaming,
    *,
    search: Search,
    progress: Callable[[float], None],
) -> tuple[Transcript, str]:
    """Transcribe a file as if it were a live stream; also a report on how long words took to be shown."""
    from asr.listen import BLOCK_SECONDS, Stopwatch, listen, paced, warn_of_latency
    from asr.vad import SileroVad
    from features.microphone import Block

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
    blocks = audio.blocks(recording.file, rate=rate, block_seconds=BLOCK_SECONDS)
    heard = paced(blocks, rate=rate, clock=clock) if clock else (Block(samples_S) for samples_S in blocks)
    collected = Collected(progress)
    warn_of_latency(recognizer.model, session, collected)
    log = listen(heard, session, collected, clock=clock)
    report = f"{as_text(recording.source)}: {log.report(chunk=session.chunk, lookahead=session.lookahead)}\n"
    return session.transcript(collected.all, duration=log.heard), report


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
