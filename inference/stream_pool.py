"""Many streams through one model, scored as batches and decoded together: what a server of streams sits on.

Sessions of speech and of gestures say which windows they want scored (`inference.scorer.Steps`), and those of speech
what of that they want decoded; the pool gathers both of all its streams. Each stream hears to the bit what it would
hear alone: in float32 a row of a batch is computed as if it were the only one, in 8 bits ranges are fixed
(`encoders.int8_nodes`), and so is a beam beside others (`inference.crowd`). Streams whose search is one object, such as
`Recognizer.search` makes it, are searched together; with a language model that is an LSTM, or with several, each is
searched alone.

    pool = StreamPool(recognizer.model.scorer)
    stream = pool.open(recognizer.stream(rate=16000))
    stream.accept(samples)          # as they come, from any thread
    pool.step()                     # a batch of the windows that are full, the oldest first
    events = stream.read()          # partial and final texts
    stream.finish()                 # no more samples; `stream.done` once all has been scored
    stream.close()                  # or leave at once

Memory is bounded: by how many streams there are, by how much of each waits to be scored, and by how many of its events
nobody has read. A stream whose events nobody reads is not stepped, so what is sent to it waits, and in the end is
refused. An error of one stream ends that stream alone.

Threads: everything may be called from any thread. Streams share one lock, which is held while features are computed and
scores are decoded, and is free while a batch is scored; steps come one after the other. So sessions may share what
they decode with, such as a language model, and more threads than one that accepts and one that steps gain little.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from itertools import islice
from types import TracebackType
from typing import Any, Protocol

import numpy as np

from inference.decoding import Decoding, decode
from inference.scorer import Answer, Asked, Scored, Scorer, Steps, Window
from inference.session import Event

STREAMS = 256
BATCH = 32
BACKLOG_SECONDS = 30.0
# Events of a stream that wait to be read. They come a few a second.
UNREAD = 1000
# Blocks of a stream that wait to be scored: each takes memory, however short it is.
BLOCKS = 10_000


class PoolError(ValueError):
    """What cannot be done with a pool or a stream as it is; the message says why."""


class BacklogError(PoolError):
    """Too much of a stream waits to be scored. Nothing was taken; the same may be accepted after some steps."""


class PooledSession(Protocol):
    """What a pool asks of a session: `asr.stream.SpeechSession` and `gestures.stream.GestureSession` offer it."""

    scorer: Scorer

    @property
    def seconds(self) -> float:
        """How much has been pushed."""
        ...

    def pushing(self, inputs: Any, /) -> Steps[Event]:
        """What these inputs lead to; they are checked and copied at once."""
        ...

    def flushing(self) -> Steps[Event]:
        """What the end of the stream leads to."""
        ...


class StreamPool:
    """Scores the windows of many streams together.

    Args:
        scorer: The model that all sessions use.
        streams: How many may be open at once.
        batch: Windows that one step scores at most. More take less time each, and longer all together.
        backlog: Seconds of a stream that may wait to be scored; a block that comes before they are reached is taken
            whole, so no more is held than these and one block.
    """

    def __init__(self, scorer: Scorer, *, streams: int = STREAMS, batch: int = BATCH, backlog: float = BACKLOG_SECONDS):
        for name, value in (("streams", streams), ("batch", batch)):
            if value < 1 or value != int(value):
                raise PoolError(f"{name} is {value}; it must be a whole number from 1 on")
        if not backlog > 0:
            raise PoolError(f"backlog is {backlog:g} s; it must be above 0")
        self.streams, self.batch, self.backlog = streams, batch, backlog
        self._scorer = scorer
        self._lock = threading.Condition()
        self._stepping = threading.Lock()
        self._open: list[PooledStream] = []
        # Windows that are full and whose they are, the oldest first.
        self._full: dict[PooledStream, Window] = {}
        # What is to be decoded, also after an interrupted step.
        self._undecoded: dict[PooledStream, Decoding] = {}

    def __len__(self) -> int:
        """Streams that are open."""
        return len(self._open)

    def open(self, session: PooledSession) -> PooledStream:
        """A stream through a fresh session, which belongs to the pool from now on.

        Raises:
            PoolError: as many streams as there may be are open, or the session is of another model or in use.
        """
        with self._lock:
            if session.scorer is not self._scorer:
                raise PoolError("the session is of another model; make it of the one that the pool was made of")
            if session.seconds or any(stream._session is session for stream in self._open):
                raise PoolError("the session is in use already; each stream takes a fresh one")
            if len(self._open) >= self.streams:
                raise PoolError(f"{self.streams} streams are open, and no more may be; try again later")
            stream = PooledStream(self, session)
            self._open.append(stream)
            return stream

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until a window is full, for so many seconds at most; whether one is."""
        with self._lock:
            return self._lock.wait_for(lambda: bool(self._full), timeout)

    def step(self) -> list[PooledStream]:
        """Score and decode up to `batch` full windows, the oldest and those that came next; whose they are.

        Windows of one batch advance by the same chunk. A stream has one window in a batch, and with its next one goes
        behind all others, so a backlog of one stream keeps nobody waiting. Where nothing is full, nothing is done.
        """
        with self._stepping:
            batch: list[tuple[PooledStream, Window]] = []
            try:
                with self._lock:
                    batch = self._oldest()
                found = self._score(batch)
                with self._lock:
                    for (stream, _), scored in zip(batch, found, strict=True):
                        stream._receive(scored)
                    self._decode()
            except BaseException:  # such as Ctrl-C, after which one may go on
                with self._lock:
                    self._put_back(batch)
                raise
            return [stream for stream, _ in batch]

    def _oldest(self) -> list[tuple[PooledStream, Window]]:
        chunk = next(iter(self._full.values())).chunk if self._full else 0
        batch = list(islice((one for one in self._full.items() if one[1].chunk == chunk), self.batch))
        for stream, _ in batch:
            del self._full[stream]
        return batch

    def _put_back(self, batch: Sequence[tuple[PooledStream, Window]]) -> None:
        """What was to be scored, and is still waited for, is the oldest again."""
        self._full = {stream: window for stream, window in batch if stream._asked is window} | self._full
        self._lock.notify_all()

    def _score(self, batch: Sequence[tuple[PooledStream, Window]]) -> Sequence[Scored | Exception]:
        """Scores of each window. If they cannot be computed together, each is tried alone: one may be at fault."""
        if not batch:
            return []
        try:
            return self._together([window for _, window in batch])
        except Exception as error:  # the model is somebody else's code, and one stream must not end the others
            if len(batch) == 1:
                return [error]
            return [scored for one in batch for scored in self._score([one])]

    def _together(self, windows: Sequence[Window]) -> list[Scored]:
        frames_BTF, lengths_B = self._scorer.padded([window.frames_TF for window in windows])
        axes = self._scorer.stream_axes
        parts = zip(*(window.state for window in windows), strict=True)
        state = tuple(np.concatenate(part, axis=axis) for part, axis in zip(parts, axes, strict=True))
        scored = self._scorer(frames_BTF, lengths_B, chunk=windows[0].chunk, state=state)
        return [_row(scored, b, axes) for b in range(len(windows))]

    def _decode(self) -> None:
        """Decode together what streams want decoded, until each waits for something else."""
        while self._undecoded:
            some = self._undecoded
            try:
                self._undecoded = {}
                for stream, emissions in zip(some, decode(list(some.values())), strict=True):
                    stream._receive(emissions)
            except BaseException:  # such as Ctrl-C: what has been decoded and not received would be decoded twice
                for stream, wanted in list(some.items()):
                    if stream._asked is wanted:
                        stream._interrupted()
                raise

    def _leave(self, stream: PooledStream) -> None:
        self._full.pop(stream, None)
        self._undecoded.pop(stream, None)
        if stream in self._open:
            self._open.remove(stream)


def _row(scored: Scored, b: int, axes: Sequence[int]) -> Scored:
    """What one window of a batch would get alone; copies, since a stream that waits must not hold those of others."""
    lengths_1 = scored.lengths_B[b : b + 1].copy()
    scores_1TV = scored.scores_BTV[b : b + 1, : lengths_1[0]].copy()
    state = tuple(part.take([b], axis) for part, axis in zip(scored.state, axes, strict=True))
    return Scored(scores_1TV, lengths_1, state)


class PooledStream:
    """One stream of a pool, made by `StreamPool.open`. With `with` it is closed at the end."""

    def __init__(self, pool: StreamPool, session: PooledSession):
        self._pool, self._session = pool, session
        # What is to be heard, and how many seconds of the stream have been heard after it.
        self._waiting: deque[tuple[Steps[Event], float]] = deque()
        self._heard = self._pushed = 0.0
        self._events: list[Event] = []
        self._error: Exception | None = None
        self._raised: TracebackType | None = None
        self._finished = False
        # The window whose scores it waits for, or the scores whose emissions it waits for.
        self._asked: Asked | None = None
        self.done = False
        """Whether it has left the pool: nothing will come that cannot be read already."""

    @property
    def waiting(self) -> float:
        """Seconds that were accepted and are not scored yet; a block that is begun counts as a whole."""
        return self._pushed - self._heard

    def accept(self, inputs: Any) -> None:
        """Take what comes next, any amount of it: samples, or landmarks, as the session takes them.

        Raises:
            BacklogError: so much waits that nothing was taken; try again after some steps.
            PoolError: the stream has been finished or closed.
            ValueError: the session refuses these inputs; they are left out, and the stream is as before.
            Exception: what has ended the stream, if something has.
        """
        with self._pool._lock:
            self._check()
            if self.waiting >= self._pool.backlog or len(self._waiting) >= BLOCKS:
                waiting = f"{self.waiting:.1f} s in {len(self._waiting)} blocks wait to be scored"
                most = f"{self._pool.backlog:g} s in {BLOCKS} may"
                raise BacklogError(f"{waiting}, and {most}; step the pool, read this stream, try again")
            steps = self._session.pushing(inputs)
            self._pushed = self._session.seconds
            self._waiting.append((steps, self._pushed))
            self._hear()

    def finish(self) -> None:
        """Nothing more will be accepted: what is left is scored by further steps, and then the stream leaves.

        Raises:
            PoolError: the stream has been finished or closed.
            Exception: what has ended the stream, if something has.
        """
        with self._pool._lock:
            self._check()
            self._finished = True
            self._waiting.append((self._session.flushing(), self._pushed))
            self._hear()

    def read(self) -> list[Event]:
        """The events since the last call.

        Raises:
            Exception: what has ended the stream, once the events before it have been read.
        """
        with self._pool._lock:
            events, self._events = self._events, []
            if not events:
                self._raise_error()
            self._hear()
            return events

    def close(self) -> None:
        """Leave now, whatever has not been scored yet. Events can still be read."""
        with self._pool._lock:
            if not self.done:
                self._end()

    def __enter__(self) -> PooledStream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self.close()

    def _raise_error(self) -> None:
        """Raise what has ended the stream, as it was raised: each time it is, it would get longer otherwise."""
        if self._error is not None:
            raise self._error.with_traceback(self._raised)

    def _check(self) -> None:
        self._raise_error()
        if self.done or self._finished:
            raise PoolError("the stream has been finished or closed; open another one")

    def _hear(self) -> None:
        """Go on alone, and decode what no step does: what was interrupted, or waited for a reader."""
        self._go_on()
        self._pool._decode()

    def _receive(self, answer: Answer | Exception) -> None:
        """The answer to what was asked for."""
        self._asked = None
        if self.done:
            return
        if isinstance(answer, Exception):
            self._fail(answer)
        else:
            self._go_on(answer)

    def _go_on(self, answer: Answer = None) -> None:
        """Hear what waits, up to where a window is full, something is to be decoded or too many events wait."""
        while self._waiting and self._asked is None and len(self._events) < UNREAD:
            steps, heard = self._waiting[0]
            try:
                found = steps.send(answer)
            except StopIteration:
                self._waiting.popleft()
                self._heard = heard
                answer = None
                continue
            except Exception as error:  # of whatever kind: it ends this stream and no other
                return self._fail(error)
            except BaseException:  # such as Ctrl-C, where it was: it cannot go on from there
                self._interrupted()
                raise
            answer = None
            if isinstance(found, Window):
                self._ask(found)
            elif isinstance(found, Decoding):
                self._asked = self._pool._undecoded[self] = found
            else:
                self._events.append(found)
        if self._finished and not self._waiting and not self.done:
            self._end()

    def _ask(self, window: Window) -> None:
        if not np.isfinite(window.frames_TF).all():
            return self._fail(PoolError("frames are not finite; the stream ends here"))
        self._asked = self._pool._full[self] = window
        self._pool._lock.notify_all()

    def _interrupted(self) -> None:
        self._fail(PoolError("the stream was interrupted while it was heard, and ends here; open another one"))

    def _fail(self, error: Exception) -> None:
        self._error, self._raised = error, error.__traceback__
        self._end()

    def _end(self) -> None:
        self.done, self._asked = True, None
        self._waiting.clear()
        self._heard = self._pushed
        self._pool._leave(self)
