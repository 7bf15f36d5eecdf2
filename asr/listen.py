"""Words while they are spoken: what `asr listen` and `asr transcribe --streaming` do."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asr.confidence.doubt import Doubt
from asr.display import Display, display_for, stamp
from asr.latency import LatencyLog
from asr.recognizer import Recognizer
from asr.search import SearchConfig
from asr.shipped import find
from asr.stream import SpeechEvent, SpeechSession
from asr.vad import SileroVad
from features.microphone import Block, Microphone, devices
from features.pcm import raw_blocks
from features.recording import Recording
from inference.endpoint import EndpointRules
from inference.model import Model

# Longest block of a file or a pipe, in seconds: what a block waits for is added to every delay.
BLOCK_SECONDS = 0.02
# Seconds of sound waiting to be recognised that are worth a warning, and between two warnings.
BEHIND_SECONDS = 1.0
WARN_EVERY = 5.0


class Pipe(NamedTuple):
    """What comes through standard input: samples a second, their type (see `features.pcm.TYPES`), channels."""

    rate: int = 16000
    dtype: str = "int16"
    channels: int = 1


class ListenError(ValueError):
    """Listening cannot begin; the message says what to do."""


def listen(
    blocks: Iterable[Block],
    session: SpeechSession,
    display: Display,
    *,
    record: Recording | None = None,
    clock: Callable[[], float] | None = None,
    stop: Interrupt | None = None,
    log: LatencyLog | None = None,
) -> LatencyLog:
    """Recognise block after block until there are no more, or until `stop` is asked for.

    Args:
        blocks: Where the sound comes from.
        session: What recognises it.
        display: What shows it.
        record: Where the sound is kept.
        clock: Seconds since the first sample, for latencies; the position in the stream if not given.
        stop: Ends the listening after the block at hand.
        log: Where it is noted what was shown when; a new one if not given.
    """
    log = LatencyLog() if log is None else log
    warned_behind = warned_lost = -WARN_EVERY
    waiting = 0.0

    def hear(recognise: Callable[[], list[SpeechEvent]]) -> None:
        started = time.perf_counter()
        events = recognise()
        log.compute += time.perf_counter() - started
        log.note(events, now=clock() if clock else log.heard)
        display.events(events)

    try:
        for block in stop.watch(blocks) if stop else blocks:
            if record is not None:
                record.write(block.samples_S)
            log.losses += block.overflowed
            if block.overflowed and log.heard - warned_lost >= WARN_EVERY:
                warned_lost = log.heard
                display.warn(
                    f"sound was lost before {log.heard:.1f} s, {log.losses} times so far: the machine was too busy to "
                    "fetch it"
                )
            if block.waiting > BEHIND_SECONDS and log.heard - warned_behind >= WARN_EVERY:
                warned_behind = log.heard
                display.warn(
                    f"{block.waiting:.1f} s behind: this machine is too slow or too busy; a longer --chunk costs less"
                )
            waiting = block.waiting
            log.heard += len(block.samples_S) / session.rate
            display.level(block.samples_S, log.heard)
            hear(partial(session.push, block.samples_S))
    finally:
        # What was said before a microphone was unplugged, or a disk was full, is told all the same.
        hear(session.flush)
    if stop and stop.asked and waiting > BEHIND_SECONDS:
        display.warn(f"the last {waiting:.1f} s before Ctrl-C were left out: the machine was that far behind")
    return log


def paced(blocks: Iterable[np.ndarray], *, rate: int, clock: Callable[[], float]) -> Iterator[Block]:
    """Blocks of a recording as a microphone would give them: each when its last sample would have been spoken."""
    position = 0
    for samples_S in blocks:
        position += len(samples_S)
        late = clock() - position / rate
        if late < 0:
            time.sleep(-late)
        yield Block(samples_S, waiting=max(late, 0.0))


class Stopwatch:
    """Seconds since it was first read."""

    def __init__(self) -> None:
        self._began: float | None = None

    def __call__(self) -> float:
        now = time.perf_counter()
        if self._began is None:
            self._began = now
        return now - self._began


class Interrupt:
    """Ctrl-C as a wish to stop. It ends the waiting for a block, not the work on one; a second one ends the program.

    A source that can be closed is closed, and what it has captured until then is still heard.
    """

    def __init__(self) -> None:
        self.asked = False
        self._waiting = False
        self._close: Callable[[], None] | None = None

    def __enter__(self) -> Interrupt:
        self._before = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *exception: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _on_signal(self, *_: object) -> None:
        again, self.asked = self.asked, True
        if again or (self._waiting and self._close is None):
            raise KeyboardInterrupt
        if self._close is not None:
            self._close()

    def watch(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """The blocks, until Ctrl-C."""
        # Generators have a `close`, which cannot be called while they wait.
        self._close = None if isinstance(blocks, Generator) else getattr(blocks, "close", None)
        remaining = iter(blocks)
        while not self.asked or self._close is not None:
            try:
                self._waiting = True
                block = next(remaining, None)
            except KeyboardInterrupt:
                if self._close is not None:
                    raise
                return
            finally:
                self._waiting = False
            if block is None:
                return
            yield block


def listen_live(
    *,
    model: str,
    threads: int = 1,
    chunk: float,
    lookahead: float,
    rules: EndpointRules,
    silero: bool = False,
    device: str | None = None,
    pipe: Pipe | None = None,
    record: str | None = None,
    output: str | None = None,
    every_event: bool = False,
    search: SearchConfig | None = None,
    doubt: Doubt | None = None,
) -> int:
    """Listen to a microphone, or to raw samples on standard input, until it ends or Ctrl-C; returns the exit code."""
    if record is not None and record == output:
        raise ListenError(f"{record}: cannot be both --record and --output; give two names")
    for path in filter(None, (record, output)):
        if Path(path).exists():
            raise ListenError(f"{path}: is there already; give another name, or remove it")
        if not Path(path).parent.is_dir():
            raise ListenError(f"{path}: there is no such folder; make it, or give another name")
    recognizer, searching = Recognizer.with_search(find(model), search, threads=threads)
    with ExitStack() as open_things:
        source = open_things.enter_context(Microphone(device)) if pipe is None else PipeSource(pipe)
        session = SpeechSession(
            recognizer.model,
            rate=source.rate,
            chunk=chunk,
            lookahead=lookahead,
            rules=rules,
            activity=SileroVad(recognizer.model.extractor.rate) if silero else None,
            search=searching,
        )
        # Line by line, and never over a file that has come up meanwhile.
        file = open_things.enter_context(open(output, "x", encoding="utf-8", newline="\n")) if output else None
        try:
            recording = open_things.enter_context(Recording(record, source.rate)) if record else None
        except ValueError:
            # Else the same command, mended, would be refused because of it.
            if output:
                Path(output).unlink()
            raise
        display = open_things.enter_context(display_for(file=file, every_event=every_event, doubt=doubt))
        warn_of_latency(recognizer.model, session, display)
        what = source.device.name if pipe is None else "standard input"
        print(
            f"listening to {what} with model {recognizer.model.name}, chunk {1000 * session.chunk:.0f} ms, look-ahead "
            f"{1000 * session.lookahead:.0f} ms; Ctrl-C ends",
            file=sys.stderr,
        )
        stop = open_things.enter_context(Interrupt())
        log = listen(source, session, display, record=recording, stop=stop, log=LatencyLog(keep_words=False))
    summary = f"{stamp(log.heard)} heard, {display.words} words"
    if log.heard:
        summary += f", computing {100 * log.compute / log.heard:.1f} % of the time"
    if log.losses:
        summary += f"; sound was lost {log.losses} times"
    print(summary, file=sys.stderr)
    return 0


def list_devices() -> int:
    """Print the microphones there are, the default one marked; returns the exit code."""
    known = devices()
    if not known:
        raise ListenError("no microphone was found; plug one in, or hear another program through --stdin")
    for device in known:
        mark = "*" if device.default else " "
        print(
            f"{mark} {device.index:2d}  {device.name} ({device.channels} channels, {device.rate:g} Hz, {device.host})"
        )
    return 0


def warn_of_latency(model: Model, session: SpeechSession, display: Display) -> None:
    """Say so where a model was not trained to hear streams, or with no chunk as short as this."""
    if model.latency is None:
        display.warn(
            f"model {model.name} was trained with full context alone and makes more errors on a stream; "
            "train one with --latency.chunk_ms '[100,1600]'"
        )
    elif 1000 * session.chunk < (shortest := model.latency["chunk_ms"][0]) - 0.5:
        display.warn(
            f"model {model.name} was trained with chunks of {shortest:g} ms and more; it makes more errors with "
            f"{1000 * session.chunk:.0f} ms"
        )


class PipeSource:
    """Raw samples on standard input as blocks to listen to."""

    def __init__(self, pipe: Pipe):
        if sys.stdin is None or sys.stdin.isatty():
            raise ListenError(
                "standard input: nothing is piped in; use it as in `arecord -t raw -f S16_LE -r 16000 | asr listen "
                "--stdin`"
            )
        self.rate = pipe.rate
        self._blocks = raw_blocks(
            sys.stdin.buffer, rate=pipe.rate, dtype=pipe.dtype, channels=pipe.channels, block_seconds=BLOCK_SECONDS
        )

    def __iter__(self) -> Iterator[Block]:
        return (Block(samples_S) for samples_S in self._blocks)
