"""A model and landmarks, or a video, become gestures: the name of a clip, or those of a recording with their times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from features.landmarks import LandmarkError, Landmarks
from gestures.recognition import Gesture, Recognition
from gestures.spotting import NONE, SpotRules
from gestures.stream import GestureSession, landmark_extractor
from inference import model as models
from inference.model import CLASS
from inference.pooling import pool

# A recording no longer than the chunk is seen with full context, a longer one in windows with the look-ahead beyond.
WHOLE_CHUNK_SECONDS, WHOLE_LOOKAHEAD_SECONDS = 30.0, 3.0
BEAM = 16


@dataclass(frozen=True)
class Answer:
    """What a clip is.

    Attributes:
        label: The most probable label, or `none` where it is not probable enough.
        confidence: Probability of the most probable label, in [0, 1].
        probabilities: Of every label of the model.
    """

    label: str
    confidence: float
    probabilities: dict[str, float]


class Recognizer:
    """Recognises gestures with one model.

    Args:
        model: A loaded model directory of gestures.

    Raises:
        ModelError: the model reads sound.
    """

    def __init__(self, model: models.Model):
        self.model = model
        self._extractor = landmark_extractor(model)

    @classmethod
    def open(cls, directory: str | Path, *, threads: int = 1) -> Recognizer:
        """Load the model directory and check that it is a whole one."""
        model = models.load(directory, threads=threads)
        _ = model.scorer
        return cls(model)

    @property
    def spots(self) -> bool:
        """Whether the model knows what is no gesture, so that it can watch a stream; or reads sequences."""
        return self.model.head["kind"] != CLASS or self.model.labels[0] == NONE

    def classify(self, landmarks: Landmarks, *, threshold: float | None = None) -> Answer:
        """Name a clip that is one gesture from end to end.

        Args:
            landmarks: The clip, with a frame at least.
            threshold: Least probability of an answer; below it the answer is `none`. The model's own if not given.

        Raises:
            LandmarkError: there is no frame.
            ModelError: the model reads sequences (CTC); use `recognize`.
        """
        if self.model.head["kind"] != CLASS:
            raise models.ModelError(f"{self.model.directory}: reads sequences of signs, it does not name clips")
        if not len(landmarks):
            raise LandmarkError("a clip without a frame has no name")
        evidence_TE = self.model.scorer.full(self._extractor(landmarks))
        probabilities_V = pool(evidence_TE)
        best = int(np.argmax(probabilities_V))
        least = self.model.head.get("threshold", 0.0) if threshold is None else threshold
        label = self.model.labels[best] if probabilities_V[best] >= least else NONE
        return Answer(
            label, float(probabilities_V[best]), dict(zip(self.model.labels, probabilities_V.tolist(), strict=True))
        )

    def recognize(
        self,
        landmarks: Landmarks,
        *,
        chunk: float = WHOLE_CHUNK_SECONDS,
        lookahead: float = WHOLE_LOOKAHEAD_SECONDS,
        rules: SpotRules | Mapping[str, float] | None = None,
        beam: int = BEAM,
        source: str = "",
    ) -> Recognition:
        """The gestures of a recording with their times in seconds.

        Args:
            landmarks: The recording; no frames have no gestures.
            chunk: Seconds by which the recogniser advances; with those of a stream (and its beam), the gestures are the
                stream's.
            lookahead: Seconds that it sees beyond them.
            rules: When a gesture counts as made, for a model that spots; the model's own where not given.
            beam: Hypotheses of the beam search, for a model of sequences; 0 is greedy.
            source: Name of the recording.

        Raises:
            ModelError: the model knows gestures but not what is none; use `classify`.
        """
        session = self.stream(chunk=chunk, lookahead=lookahead, rules=rules, beam=beam)
        events = [*session.push(landmarks), *session.flush()]
        gestures = tuple(Gesture(one.text, one.start, one.end, one.confidence) for one in events if one.final)
        return Recognition(gestures, landmarks.duration, self.model.name, source)

    def stream(self, **settings) -> GestureSession:
        """A session that watches one stream of landmarks; `gestures.stream.GestureSession` says with which settings."""
        return GestureSession(self.model, **settings)
