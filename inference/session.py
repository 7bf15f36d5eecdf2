"""A stream as it comes: `push`, `flush`, `reset`, and what is recognised so far.

Speech and gestures have the same protocol, `Session`, and the same events. `LabelSession` is what is common to sessions
that divide a stream by silences: inputs become frames, scores and emissions in pieces of any size, and `asr.stream`
turns emissions into events with text.

Whatever the pushes, the updates are the same: they come once a window. The cost of a push depends on the push alone;
what is held is one window, and the little before it that an endpoint may go back into. An endpoint within a window has
the rest of that window heard again, so a chunk should be no longer than the pauses that are expected.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from features.framing import FrameStream
from inference.beam import Hypothesis
from inference.ctc import Emission, GreedyDecoder
from inference.decoding import Decoder, Decoding
from inference.endpoint import Endpointer, EndpointRules, Pause
from inference.scorer import Answer, Asked, Scorer, ScoreStream, Steps, run
from inference.utterances import following

# An endpoint cuts the input in the silence that it was noticed by, but no further back than this: seconds.
CUT_WITHIN = 1.0
# ... and so long after what was recognised last, whose label may stand where the sound has only begun.
CUT_AFTER = 0.1


@dataclass(frozen=True)
class Event:
    """Something recognised on a stream; times are seconds of the stream.

    Attributes:
        start: Where it begins.
        end: Where it ends, as far as it is known.
        text: What it is, as far as it is known.
        confidence: Mean over its parts, in [0, 1].
        final: Whether the segment is over. A final event never changes.
        stable: The beginning of `text` that will not change any more; all of it in a final event.
    """

    start: float
    end: float
    text: str
    confidence: float
    final: bool
    stable: str


class Session(Protocol):
    """What sessions of speech and of gestures offer."""

    def push(self, inputs: np.ndarray) -> Sequence[Event]:
        """Take what comes next, of any length; the events that it leads to."""
        ...

    def flush(self) -> Sequence[Event]:
        """The stream has ended: the last events. What is pushed afterwards is a new stream, from time 0."""
        ...

    def reset(self) -> None:
        """Forget everything without a word: what is pushed afterwards is a new stream, from time 0."""
        ...


class Activity(Protocol):
    """A judge of silence beside the decoder, such as a detector of voices. Inputs are counted over the whole stream."""

    def push(self, inputs: np.ndarray, /) -> None: ...

    def silent(self, first: int, count: int, step: int) -> list[bool]: ...

    def let_go(self, before: int) -> None: ...

    def reset(self) -> None: ...


@dataclass(frozen=True)
class Update:
    """What is known of the current segment after one window, or at its end.

    Attributes:
        origin: Input with which the segment's step 0 begins, counted over the whole stream.
        settled: Emissions that will not change any more, in steps from the origin.
        tentative: Emissions that follow them for now, from the look-ahead; a later update may say otherwise.
        final: Whether nothing will be added.
        heard: The input, counted likewise, before which everything lies that it is based on; at an endpoint that is
            where the next segment begins.
        hypotheses: What an endpoint's segment may be, the best labelling first, if that was asked for; where a segment
            was so long that its beginning became final before, these go on from there.
    """

    origin: int
    settled: tuple[Emission, ...]
    tentative: tuple[Emission, ...]
    final: bool
    heard: int
    hypotheses: tuple[Hypothesis, ...] = ()


class LabelSession:
    """Inputs to emissions, with endpoints.

    Args:
        scorer: The model.
        features: Makes a fresh stream from inputs to frames, for each segment anew.
        shift: Inputs from one frame to the next.
        input_seconds: Time between two inputs.
        chunk: N_c in frames.
        lookahead: N_r in frames.
        rules: When a segment is over.
        complete: How many of these emissions, from the first on, no later one can add to; all of them if not given.
        activity: Where it hears something, the decoder's silence is none; the decoder alone decides if not given.
        quietest: Where among these inputs to cut, as an index; in the middle if not given.
        decoder: Makes a fresh decoder, for each segment anew; greedy if not given.
        hypotheses: Labellings of each segment that are given with its last update; more than 0 take a decoder that has
            them, such as `inference.beam.BeamDecoder`.
    """

    def __init__(
        self,
        scorer: Scorer,
        features: Callable[[], FrameStream],
        *,
        shift: int,
        input_seconds: float,
        chunk: int,
        lookahead: int,
        rules: EndpointRules,
        complete: Callable[[Sequence[Emission]], int] = len,
        activity: Activity | None = None,
        quietest: Callable[[np.ndarray], int] = lambda inputs: len(inputs) // 2,
        decoder: Callable[[], Decoder] = GreedyDecoder,
        hypotheses: int = 0,
    ):
        self._scorer = scorer
        self._new_features = features
        self._chunk = chunk
        self._piece = chunk * shift
        self._step = shift * scorer.subsampling
        self._cut_within, self._cut_after = (round(seconds / input_seconds) for seconds in (CUT_WITHIN, CUT_AFTER))
        self._complete = complete
        self._quietest = quietest
        self._new_decoder = decoder
        self._hypotheses = hypotheses
        self._activity = activity
        self._scores = ScoreStream(scorer, chunk=chunk, lookahead=lookahead)
        self._endpointer = Endpointer(rules, step_seconds=self._step * input_seconds)
        self.reset()

    def reset(self) -> None:
        """Forget everything: what follows is a new stream."""
        if self._activity is not None:
            self._activity.reset()
        self._begin(0)

    @property
    def origin(self) -> int:
        """Input with which the segment at hand begins."""
        return self._origin

    @property
    def kept_from(self) -> int:
        """Input before which no endpoint will come any more."""
        return self._held_from

    def push(self, inputs: np.ndarray) -> list[Update]:
        """Take inputs (S, ...) and return an update for each window that they complete and each segment they end."""
        return run(self._scorer, self.pushing(inputs))

    def pushing(self, inputs: np.ndarray) -> Steps[Update]:
        """The same, update by update, for whoever scores and decodes; it ends before anything else is pushed."""
        if self._activity is not None:
            self._activity.push(inputs)
        yield from self._take(inputs)

    def _take(self, inputs: np.ndarray) -> Steps[Update]:
        pending = deque([inputs])
        while pending:
            inputs = pending.popleft()
            piece, rest = inputs[: self._piece], inputs[self._piece :]
            if len(rest):
                pending.appendleft(rest)
            if len(piece):
                # A copy: the caller may fill the same array again.
                self._held.append(np.array(piece))
                again = yield from self._hear(self._features.push(piece))
                pending.extendleft(reversed(again))

    def flush(self) -> list[Update]:
        """The last updates of the stream; then the session is fresh."""
        return run(self._scorer, self.flushing())

    def flushing(self) -> Steps[Update]:
        """The same, update by update, for whoever scores and decodes."""
        while again := (yield from self._hear(self._features.flush(), end=True)):
            for inputs in again:
                yield from self._take(inputs)
        last = self._last()
        # Even of nothing: it takes back what was a guess.
        if self._endpointer.steps:
            heard = self._held_from + sum(map(len, self._held))
            yield replace(last, heard=heard)
        self.reset()

    def _last(self) -> Update:
        """All that is known of the segment at its end."""
        found: tuple[Hypothesis, ...] = ()
        if self._hypotheses:
            found = following([one.label for one in self._settled], self._decoder.hypotheses(self._hypotheses))
        self._settled += self._decoder.flush()
        return Update(self._origin, tuple(self._settled), (), final=True, heard=self._scored(), hypotheses=found)

    def _begin(self, origin: int) -> None:
        self._origin = origin
        self._held: deque[np.ndarray] = deque()
        self._held_from = origin
        self._features = self._new_features()
        self._scores.reset()
        self._decoder = self._new_decoder()
        self._endpointer.reset()
        self._settled: list[Emission] = []

    def _hear(self, frames_TF: np.ndarray, *, end: bool = False) -> Generator[Asked | Update, Answer, list[np.ndarray]]:
        """Score frames and note what they say. Where an endpoint is found: the inputs after it, to be heard anew.

        Windows come one at a time, so that each is looked at together with its own look-ahead. Those that the end of
        the stream cuts short are the last.
        """
        for start in range(0, len(frames_TF), self._chunk):
            self._scores.hold(frames_TF[start : start + self._chunk])
            while self._scores.full:
                cut = yield from self._window(last=False)
                if cut is not None:
                    return self._cut(cut)
        while end and self._scores.left:
            cut = yield from self._window(last=True)
            if cut is not None:
                return self._cut(cut)
        return []

    def _window(self, *, last: bool) -> Generator[Asked | Update, Answer, int | None]:
        """The next window; where an endpoint is found, the input to cut at."""
        scores_TV = self._scores.take((yield self._scores.window()))
        updates: list[Update] = []
        cut = yield from self._note(scores_TV, updates, last=last)
        yield from updates
        return cut

    def _note(
        self, scores_TV: np.ndarray, updates: list[Update], *, last: bool
    ) -> Generator[Decoding, list[Emission], int | None]:
        """Decode one window; where an endpoint is found, the input to cut at.

        At the very end there is no look-ahead to guess from, and the final update comes next.
        """
        steps_before = self._endpointer.steps
        pause = self._endpointer.observe(self._silent(scores_TV, steps_before))
        if pause is not None:
            self._settled += yield Decoding(self._decoder, scores_TV[: pause.end - steps_before])
            cut = self._place(pause)
            updates.append(replace(self._last(), heard=cut))
            return cut
        self._settled += yield Decoding(self._decoder, scores_TV)
        if self._endpointer.overdue and (whole := self._complete(self._settled)):
            updates.append(Update(self._origin, tuple(self._settled[:whole]), (), final=True, heard=self._scored()))
            del self._settled[:whole]
            self._endpointer.made_final()
        self._let_go()
        if last:
            return None
        sure = self._decoder.sure()
        ahead_TV = self._scores.ahead_TV
        ahead = yield Decoding(self._decoder, ahead_TV, peek=True)
        settled = (*self._settled, *sure)
        heard = self._scored() + len(ahead_TV) * self._step
        updates.append(Update(self._origin, settled, tuple(ahead[len(sure) :]), final=False, heard=heard))
        return None

    def _silent(self, scores_TV: np.ndarray, first_step: int) -> list[bool]:
        """Which steps are silent: blank and, where there is a second judge, silent to it as well."""
        blank = (scores_TV.argmax(axis=1) == 0).tolist()
        if self._activity is None:
            return blank
        quiet = self._activity.silent(self._origin + first_step * self._step, len(blank), self._step)
        return [one and other for one, other in zip(blank, quiet, strict=True)]

    def _scored(self) -> int:
        """The input before which everything has been scored."""
        return self._origin + self._endpointer.steps * self._step

    def _let_go(self) -> None:
        """Forget the inputs that no endpoint will go back into."""
        while self._held and self._held_from + len(self._held[0]) <= self._scored() - self._cut_within:
            self._held_from += len(self._held.popleft())
        if self._activity is not None:
            self._activity.let_go(self._held_from)

    def _place(self, pause: Pause) -> int:
        """The input within the pause that a new segment should begin with."""
        begin, end = (self._origin + step * self._step for step in pause)
        first = max(begin + min(self._cut_after, (end - begin) // 4), end - self._cut_within)
        held = np.concatenate(list(self._held))
        held_from = self._held_from
        # A pause of one input that begins the segment has no middle.
        cut = max(first + self._quietest(held[first - held_from : end - held_from]), self._origin + 1)
        assert self._origin < cut <= end, "an endpoint goes forward"
        return cut

    def _cut(self, cut: int) -> list[np.ndarray]:
        """Begin a new segment at this input; the inputs that it begins with."""
        held, held_from = np.concatenate(list(self._held)), self._held_from
        self._begin(cut)
        return [held[cut - held_from :]]
