"""Speech as it comes: samples of any rate in blocks of any size in, partial and final texts with times out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from asr.alternatives import alternatives
from asr.search import Search
from asr.transcript import Alternative, Transcript, Word
from asr.words import WordMaker
from features.audio import Resampler, mono
from inference.ctc import GreedyDecoder
from inference.endpoint import EndpointRules
from inference.model import Model, ModelError
from inference.scorer import Steps, run, through
from inference.session import Activity, Event, LabelSession, Update

CHUNK_SECONDS = 0.4
LOOKAHEAD_SECONDS = 0.2
# A cut is made in the quietest stretch of this length: longer than the silence in a "k" or "t", shorter than a pause.
QUIET_SECONDS = 0.15
QUIET_HOP = 0.01


@dataclass(frozen=True)
class SpeechEvent(Event):
    """An event with the words that its text consists of and, if final and asked for, the texts that it may be."""

    words: tuple[Word, ...] = ()
    alternatives: tuple[Alternative, ...] = ()


class SpeechSession:
    """Transcribes one stream with one model.

    Text that is `stable` and events that are `final` never change. Events are the same however the samples are cut into
    blocks. After an endpoint what follows is recognised as if it came alone.

    Args:
        model: A loaded model directory, trained for streams if the errors are to be few.
        rate: Samples a second of what is pushed.
        chunk: Seconds by which the recogniser advances at a time; rounded up to whole steps of the model.
        lookahead: Seconds that it sees beyond them; rounded up likewise.
        rules: When a segment ends.
        activity: A second judge of silence, such as `asr.vad.SileroVad`; it gets samples at the model's rate.
        search: How the words are looked for in the scores; greedily if not given. Of a beam search less is stable.

    Attributes:
        rate: Samples a second of what is pushed.
        chunk: The chunk in use, in seconds.
        lookahead: The look-ahead in use, in seconds.
        scorer: What scores its windows.

    Raises:
        ModelError: the model normalises by the whole utterance and cannot hear a stream.
        ValueError: chunk or look-ahead is out of range.
    """

    def __init__(
        self,
        model: Model,
        *,
        rate: int | None = None,
        chunk: float = CHUNK_SECONDS,
        lookahead: float = LOOKAHEAD_SECONDS,
        rules: EndpointRules | None = None,
        activity: Activity | None = None,
        search: Search | None = None,
    ):
        extractor = model.extractor
        self.scorer = model.scorer
        self._words = WordMaker.of(model, None if search is None else search.tokens)
        self._tokens = self._words.tokens
        self._model_rate = extractor.rate
        self.rate = extractor.rate if rate is None else rate
        self._model_name = model.name
        self._alternatives = 0 if search is None else search.alternatives
        self._session = label_session(
            model,
            chunk=chunk,
            lookahead=lookahead,
            rules=rules,
            activity=activity,
            complete=self._tokens.whole,
            decoder=GreedyDecoder if search is None else search.decoder,
            hypotheses=search.beam if self._alternatives else 0,
        )
        self.chunk, self.lookahead = (
            model.scorer.frames(seconds, extractor.shift_seconds) * extractor.shift_seconds
            for seconds in (chunk, lookahead)
        )
        self.reset()

    def reset(self) -> None:
        """Forget everything without a word; what is pushed afterwards is a new stream, from time 0."""
        self._session.reset()
        self._resampler = Resampler(self.rate, self._model_rate)
        self._pushed = 0
        self._shown = ("", "")
        # Where the last final word ends: the next one, which may have been said at once, does not begin before.
        self._ended = 0.0

    @property
    def seconds(self) -> float:
        """How much of the stream has been pushed."""
        return self._pushed / self.rate

    def push(self, samples: np.ndarray) -> list[SpeechEvent]:
        """Take the next samples, (S,) or (S, channels), any number of them; the events that they lead to.

        Raises:
            AudioError: they are not finite, or not samples at all. They are left out, the session is as before.
        """
        return run(self.scorer, self.pushing(samples))

    def pushing(self, samples: np.ndarray) -> Steps[SpeechEvent]:
        """The same, event by event, for whoever scores the windows, such as `inference.stream_pool.StreamPool`.

        Samples are taken, or refused, at once; what is made here goes on where the one before has ended.
        """
        samples_S = mono(samples, self.rate, first_frame=self._pushed)
        # A copy: the caller may fill the same array again before it is heard.
        resampled_S = np.array(self._resampler.push(samples_S))
        self._pushed += len(samples_S)
        return through(self._session.pushing(resampled_S), self._events)

    def flush(self) -> list[SpeechEvent]:
        """The stream has ended: the last events. What is pushed afterwards is a new stream, from time 0."""
        return run(self.scorer, self.flushing())

    def flushing(self) -> Steps[SpeechEvent]:
        """The same, event by event, for whoever scores the windows."""
        yield from through(self._session.pushing(self._resampler.flush()), self._events)
        yield from through(self._session.flushing(), self._events)
        self.reset()

    def transcript(self, events: Sequence[SpeechEvent], *, duration: float) -> Transcript:
        """The final events of a stream of so many seconds as one transcript."""
        finals = [event for event in events if event.final]
        words = tuple(word for event in finals for word in event.words)
        lists = tuple((len(event.words), event.alternatives) for event in finals if event.words)
        text = " ".join(word.text for word in words)
        return Transcript(words, duration, text, self._model_name, alternatives=lists if self._alternatives else ())

    def _events(self, update: Update) -> Iterator[SpeechEvent]:
        """The event of an update, if it says anything new."""
        event = self._event(update)
        if not event.final:
            if (event.text, event.stable) != self._shown:
                self._shown = (event.text, event.stable)
                yield event
            return
        shown, self._shown = self._shown, ("", "")
        if event.text:
            yield event
        elif shown[0]:
            # What was shown for the time being has come to nothing.
            yield replace(event, final=False)

    def _event(self, update: Update) -> SpeechEvent:
        origin = update.origin / self._model_rate
        words = tuple(
            self._words.words(
                update.settled + update.tentative,
                begin=origin,
                earliest=max(origin, self._ended),
                # Not how much was pushed, which must not show in an event; but resampling may round up.
                latest=min(update.heard / self._model_rate, self.seconds),
            )
        )
        text = " ".join(word.text for word in words)
        stable = text if update.final else self._tokens.decode(emission.label for emission in update.settled)
        assert text.startswith(stable), "what is stable begins the text"
        if update.final and words:
            self._ended = words[-1].end
        start, end = (words[0].start, words[-1].end) if words else (origin, origin)
        confidence = sum(word.confidence for word in words) / len(words) if words else 0.0
        others = alternatives(update.hypotheses, self._tokens, count=self._alternatives)
        return SpeechEvent(start, end, text, confidence, update.final, stable, words, others)


def label_session(
    model: Model,
    *,
    chunk: float = CHUNK_SECONDS,
    lookahead: float = LOOKAHEAD_SECONDS,
    rules: EndpointRules | None = None,
    activity: Activity | None = None,
    **settings,
) -> LabelSession:
    """A session that hears samples at the model's rate, for labels, and is cut where it is quietest.

    Args:
        model: A model that hears.
        chunk, lookahead: In seconds, rounded up to whole steps.
        rules: When an utterance has ended.
        activity: What else tells silence.
        settings: Others of `inference.session.LabelSession`.

    Raises:
        ModelError: it reads frames that are given, or normalises by the whole utterance.
    """
    extractor = model.extractor
    check_streams(model)
    return LabelSession(
        model.scorer,
        extractor.stream,
        shift=round(extractor.shift_seconds * extractor.rate),
        input_seconds=1 / extractor.rate,
        chunk=model.scorer.frames(chunk, extractor.shift_seconds),
        lookahead=model.scorer.frames(lookahead, extractor.shift_seconds),
        rules=rules or EndpointRules(),
        activity=activity,
        quietest=partial(quietest, rate=extractor.rate),
        **settings,
    )


def check_streams(model: Model) -> None:
    """Refuse a model that cannot hear, or cannot begin before it has heard the end.

    Raises:
        ModelError: it reads frames that are given, or normalises by the whole utterance.
    """
    if not model.extractor.hears:
        raise ModelError(f"{model.directory}: reads frames that are given and cannot hear; transcribe files of them")
    if not model.extractor.streams:
        raise ModelError(
            f"{model.directory}: normalises by the whole utterance and cannot hear a stream; train with "
            "features.normalization global or running"
        )


def quietest(samples_S: np.ndarray, *, rate: int) -> int:
    """The middle of the quietest stretch; of several, as in digital silence, the one in the middle."""
    hop, size = round(QUIET_HOP * rate), round(QUIET_SECONDS / QUIET_HOP)
    hops = len(samples_S) // hop
    if hops < size:
        return len(samples_S) // 2
    power = np.square(samples_S[: hops * hop].reshape(hops, hop), dtype=np.float64).sum(axis=1)
    stretches = np.lib.stride_tricks.sliding_window_view(power, size).sum(axis=1)
    least = np.flatnonzero(stretches == stretches.min())
    return int(least[len(least) // 2]) * hop + size * hop // 2
