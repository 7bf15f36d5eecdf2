"""A model and a recording become a label: who speaks, in what mood, what is heard; of all of it, or over time.

Memory is bounded: the steps of a recording are pooled as they come, and are not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asr.scoring import scores
from features import audio
from features.extractor import FeatureExtractor
from inference import model as models
from inference.pooling import PoolStream, RunningPool


class ClassifyError(ValueError):
    """A recording that has no label; the message says why."""


@dataclass(frozen=True)
class Classification:
    """What a stretch of a recording is.

    Attributes:
        start, end: The stretch, in seconds.
        probabilities: Of every label of the model; they add up to 1.
    """

    start: float
    end: float
    probabilities: dict[str, float]

    @property
    def label(self) -> str:
        """The most probable label."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def confidence(self) -> float:
        """Its probability."""
        return self.probabilities[self.label]

    def ranked(self, count: int) -> list[tuple[str, float]]:
        """The most probable labels with their probabilities, so many at most."""
        return sorted(self.probabilities.items(), key=lambda one: -one[1])[:count]


class Classifier:
    """Names recordings with one model.

    Args:
        model: A loaded model directory of `asr train --head.kind class`.

    Raises:
        ModelError: the model reads landmarks, or writes words.
    """

    def __init__(self, model: models.Model):
        if not isinstance(model.extractor, FeatureExtractor):
            raise models.ModelError(f"{model.directory}: names gestures, not recordings; use `gestures recognize`")
        if model.head["kind"] == models.FORECAST:
            raise models.ModelError(f"{model.directory}: {models.FORECASTS}")
        if model.head["kind"] != models.CLASS:
            raise models.ModelError(f"{model.directory}: writes down words and gives no labels; use `asr transcribe`")
        self.model = model

    @classmethod
    def open(cls, directory: str | Path, *, threads: int = 1) -> Classifier:
        """Load the model directory and check that it is a whole one."""
        made = cls(models.load(directory, threads=threads))
        _ = made.model.scorer
        return made

    def classify(
        self,
        source: audio.Source,
        *,
        start: float = 0.0,
        duration: float | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> Classification:
        """The label of a recording as a whole.

        Args:
            source: A file, `-` for standard input, an open file, or (samples, rate); for a model of given frames, a
                file of these.
            start: Where to begin, in seconds; times count from there.
            duration: How much to read; none reads to the end.
            progress: Called with the seconds of each block that has been read.

        Raises:
            ClassifyError: it is shorter than one frame.
            features.audio.AudioError: it cannot be read.
            features.given.FramesError: the frames cannot be read.
        """
        heard = _Heard(self.model, source, start, duration, progress)
        pool = RunningPool()
        for evidence_TE in heard.evidence():
            pool.push(evidence_TE)
        heard.check(pool.steps)
        return self._classification(0.0, heard.seconds, pool.probabilities())

    def over_time(
        self,
        source: audio.Source,
        *,
        window: float,
        hop: float | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> list[Classification]:
        """The labels of a recording over time, of the last `window` seconds at every `hop`, and at the end.

        At the beginning stretches are as long as what there is. A window sees nothing of the rest but through the
        encoder, which has read it with context, as always.

        Args:
            source: As of :meth:`classify`.
            window: How much is judged together, in seconds; rounded to whole steps of the model.
            hop: Time from one judgement to the next; half a window if not given.
            progress: As of :meth:`classify`.

        Raises:
            ClassifyError: it is shorter than one frame; window or hop is not above 0.
            features.audio.AudioError: it cannot be read.
            features.given.FramesError: the frames cannot be read.
        """
        hop = window / 2 if hop is None else hop
        if not 0 < hop <= window:
            raise ClassifyError(f"a window of {window:g} s every {hop:g} s: both are above 0, the hop at most a window")
        step = self.model.step_seconds
        steps, hops = (max(1, round(seconds / step)) for seconds in (window, hop))
        heard = _Heard(self.model, source, 0.0, None, progress)
        pool = PoolStream(labels=len(self.model.labels), window=steps, hop=hops)
        judged, taken = [], 0
        for evidence_TE in heard.evidence():
            taken += len(evidence_TE)
            judged.append(pool.push(evidence_TE))
        judged.append(pool.flush())
        heard.check(taken)
        return [
            # The last step may begin before the recording ends and end after it; the last window ends with it.
            self._classification(
                max(0, end - steps) * step, heard.seconds if end == taken else end * step, probabilities_V
            )
            for pooled in judged
            for end, probabilities_V in zip(pooled.ends.tolist(), pooled.probabilities_NV, strict=True)
        ]

    def _classification(self, start: float, end: float, probabilities_V: np.ndarray) -> Classification:
        return Classification(start, end, dict(zip(self.model.labels, probabilities_V.tolist(), strict=True)))


class _Heard:
    """A recording on its way through a model, and how much of it there was."""

    def __init__(
        self,
        model: models.Model,
        source: audio.Source,
        start: float,
        duration: float | None,
        progress: Callable[[float], None] | None,
    ):
        self._model, self._source = model, source
        self._start, self._duration = start, duration
        self._progress = progress
        self._heard = 0

    @property
    def seconds(self) -> float:
        return self._heard / self._model.extractor.rate

    def evidence(self) -> Iterator[np.ndarray]:
        """Evidence for each label, and energies (T,V+1), in pieces."""
        return scores(self._model, self._blocks())

    def check(self, steps: int) -> None:
        """Raise ClassifyError where nothing came that could be judged."""
        if not steps:
            named = f"{self._source}: " if isinstance(self._source, str | Path) else ""
            raise ClassifyError(f"{named}too short to have a label ({self.seconds:.3f} s); give a longer recording")

    def _blocks(self) -> Iterator[np.ndarray]:
        extractor = self._model.extractor
        for samples_S in extractor.blocks(self._source, start=self._start, duration=self._duration):
            self._heard += len(samples_S)
            if self._progress is not None:
                self._progress(len(samples_S) / extractor.rate)
            yield samples_S
