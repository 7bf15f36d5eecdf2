"""Gestures as they are made: landmarks of any frame rate, in any groups of frames, in; events with times out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from features.landmarks import Landmarks
from features.normalize import LandmarkExtractor
from gestures.spotting import NONE, SpotRules, Spotter
from inference.beam import BeamDecoder
from inference.ctc import Emission, GreedyDecoder
from inference.decoding import Decoder
from inference.model import CLASS, Model, ModelError
from inference.pooling import PoolStream, in_steps
from inference.scorer import ScoreStream, Steps, run, through
from inference.session import Event

CHUNK_SECONDS = 0.2
LOOKAHEAD_SECONDS = 0.1


class GestureSession:
    """Recognises the gestures of one stream with one model.

    A model with the label `none` spots: the last moments are judged every hop, and `gestures.spotting` makes events of
    the probabilities. A model of sequences (CTC) gives an event for each sign once its label has gone by. Either way
    a final event never changes, and events are the same however the frames are grouped.

    Args:
        model: A loaded model directory, trained for streams if it is to be right.
        chunk: Seconds by which the recogniser advances at a time; rounded up to whole steps of the model.
        lookahead: Seconds that it sees beyond them; rounded up likewise.
        rules: When a gesture counts as made, for a model that spots: all rules, or some by name, such as
            `{"enter": 0.8}`, in the place of the model's own.
        beam: Hypotheses of the beam search, for a model of sequences; it makes fewer mistakes, but tells a sign only
            when all hypotheses agree, which is mostly at the end. With 0 the search is greedy.

    Attributes:
        chunk: The chunk in use, in seconds.
        lookahead: The look-ahead in use, in seconds.
        scorer: What scores its windows.
        delay: Seconds from a frame to when it is judged at the latest: chunk, look-ahead, the repair of gaps, and the
            hop to the next judgement. With a beam what is judged may be told later.

    Raises:
        ModelError: the model does not read landmarks, or knows gestures but not what is none.
        ValueError: chunk or look-ahead is out of range.
    """

    def __init__(
        self,
        model: Model,
        *,
        chunk: float = CHUNK_SECONDS,
        lookahead: float = LOOKAHEAD_SECONDS,
        rules: SpotRules | Mapping[str, float] | None = None,
        beam: int = 0,
    ):
        extractor = landmark_extractor(model)
        self.scorer = model.scorer
        self.seconds = 0.0
        """How much of the stream has been pushed."""
        chunk_frames, lookahead_frames = (
            model.scorer.frames(seconds, extractor.shift_seconds) for seconds in (chunk, lookahead)
        )
        self.chunk, self.lookahead = (count * extractor.shift_seconds for count in (chunk_frames, lookahead_frames))
        self.delay = self.chunk + self.lookahead + extractor.delay_seconds
        self._extractor = extractor
        self._resampler = extractor.resampler()
        scores = ScoreStream(model.scorer, chunk=chunk_frames, lookahead=lookahead_frames)
        if model.head["kind"] == CLASS:
            self.delay += (in_steps(model.head, model.step_seconds)[1] - 1) * model.step_seconds
            self._way: _Spotting | _Sequence = _Spotting(model, extractor, scores, rules_of(model, rules))
        else:
            self._way = _Sequence(model, extractor, scores, beam)

    def reset(self) -> None:
        """Forget everything without a word; what is pushed afterwards is a new stream."""
        self._resampler = self._extractor.resampler()
        self.seconds = 0.0
        self._way.reset()

    def push(self, landmarks: Landmarks) -> list[Event]:
        """Take the next frames, any number of them; the events that they lead to.

        Raises:
            LandmarkError: time goes backwards.
        """
        return run(self.scorer, self.pushing(landmarks))

    def pushing(self, landmarks: Landmarks) -> Steps[Event]:
        """The same, event by event, for whoever scores the windows, such as `inference.stream_pool.StreamPool`.

        Frames are taken, or refused, at once; what is made here goes on where the one before has ended.
        """
        points_TKC = self._resampler.push(landmarks)
        start = self._resampler.start
        if start is not None:
            self._way.start = start
            if len(landmarks):
                self.seconds = float(landmarks.time_T[-1]) - start
        return self._way.pushing(points_TKC)

    def flush(self) -> list[Event]:
        """The stream has ended: the last events. What is pushed afterwards is a new stream."""
        return run(self.scorer, self.flushing())

    def flushing(self) -> Steps[Event]:
        """The same, event by event, for whoever scores the windows."""
        yield from self._way.pushing(self._resampler.flush())
        yield from self._way.flushing()
        self.reset()


def landmark_extractor(model: Model) -> LandmarkExtractor:
    """The extractor of a model that reads landmarks.

    Raises:
        ModelError: it reads sound.
    """
    if not isinstance(model.extractor, LandmarkExtractor):
        raise ModelError(f"{model.directory}: recognises speech, not gestures; use `asr transcribe`")
    return model.extractor


def rules_of(model: Model, given: SpotRules | Mapping[str, float] | None = None) -> SpotRules:
    """The spotting rules to go by: those that the model was trained with, but for the ones given.

    Raises:
        ModelError: the model's own are damaged.
        SpotError: a rule that was given is out of range, or they do not go together.
    """
    if isinstance(given, SpotRules):
        return given
    try:
        own = SpotRules(**model.head.get("rules", {}))
    except (TypeError, ValueError) as error:
        raise ModelError(f"{model.directory}: head.rules cannot be ({error}); fetch the model anew") from error
    return replace(own, **(given or {}))


class _Spotting:
    """Points to probabilities of the last moments, to events."""

    def __init__(self, model: Model, extractor: LandmarkExtractor, scores: ScoreStream, rules: SpotRules):
        if model.labels[0] != NONE:
            raise ModelError(
                f"{model.directory}: knows gestures but not what is none, so it can name clips, not watch a stream; "
                "train with --head.none true and --join.share 0.8"
            )
        step = model.step_seconds
        window, hop = in_steps(model.head, step)
        self._step = step
        self._extractor = extractor
        self._scores = scores
        self._pool = PoolStream(labels=len(model.labels), window=window, hop=hop)
        self._spotter = Spotter(rules, model.labels)
        self.reset()

    def reset(self) -> None:
        self.start = 0.0
        self._frames = self._extractor.stream()
        self._scores.reset()
        self._pool.reset()
        self._spotter.reset()

    def pushing(self, points_TKC: np.ndarray) -> Steps[Event]:
        yield from through(self._scores.pushing(self._frames.push(points_TKC)), self._judge)

    def flushing(self) -> Steps[Event]:
        yield from through(self._scores.pushing(self._frames.flush()), self._judge)
        yield from through(self._scores.flushing(), self._judge)
        yield from self._spotter.flush()

    def _judge(self, evidence_TE: np.ndarray) -> list[Event]:
        ends_N, probabilities_NV = self._pool.push(evidence_TE)
        return self._spotter.push(self.start + ends_N * self._step, probabilities_NV)


class _Sequence:
    """Points to a sequence of signs, each an event of its own, by CTC.

    There are no endpoints: while a long sign is made its label may be long in coming, and a cut would go through it.
    """

    def __init__(self, model: Model, extractor: LandmarkExtractor, scores: ScoreStream, beam: int):
        self._labels = model.labels
        self._step = model.step_seconds
        self._extractor = extractor
        self._scores = scores
        self._beam = beam
        self.reset()

    def reset(self) -> None:
        self.start = 0.0
        self._frames = self._extractor.stream()
        self._scores.reset()
        self._decoder: Decoder = BeamDecoder(beam=self._beam) if self._beam else GreedyDecoder()

    def pushing(self, points_TKC: np.ndarray) -> Steps[Event]:
        yield from through(self._scores.pushing(self._frames.push(points_TKC)), self._read)

    def flushing(self) -> Steps[Event]:
        yield from through(self._scores.pushing(self._frames.flush()), self._read)
        yield from through(self._scores.flushing(), self._read)
        yield from self._events(self._decoder.flush())

    def _read(self, scores_TV: np.ndarray) -> list[Event]:
        return self._events(self._decoder.push(scores_TV))

    def _events(self, emissions: Sequence[Emission]) -> list[Event]:
        events = []
        for one in emissions:
            label = self._labels[one.label]
            begin, end = (self.start + step * self._step for step in (one.start, one.end))
            events.append(Event(begin, end, label, one.score, True, label))
        return events
