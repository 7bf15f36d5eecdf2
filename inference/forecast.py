"""What a model of forecasts did not expect: how far the frames that come are from those that it forecast.

A model that has learnt what normal sound, or normal motion, goes on like is surprised by what is none; so the error of
its forecasts is a score of anomaly (Malhotra et al. 2015), found without an example of one. Shapes beside the usual
ones: M steps of frames.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from inference.model import FORECAST, Model, ModelError
from inference.scorer import ScoreStream


class ForecastErrors:
    """The error of each step of a stream, as soon as the step is over.

    Args:
        model: A model of forecasts, as `asr train --head.kind forecast` makes it.

    Raises:
        ModelError: the model makes no forecasts.
    """

    def __init__(self, model: Model):
        if model.head["kind"] != FORECAST:
            raise ModelError(f"{model.directory}: makes no forecasts; train one with `asr train --head.kind forecast`")
        self._scorer, self._ahead = model.scorer, model.head["ahead"]
        self.reset()

    def reset(self) -> None:
        """Forget everything: what follows is a new stream."""
        scorer = self._scorer
        self._scores = ScoreStream(scorer, chunk=self._ahead * scorer.subsampling, lookahead=0)
        # Of the steps whose frames are not all there yet. The first ones nobody has forecast.
        self._forecasts_MV = np.full((self._ahead, scorer.labels), np.nan, dtype=np.float32)
        self._frames_TF = np.zeros((0, scorer.features), dtype=np.float32)

    def push(self, frames_TF: np.ndarray) -> np.ndarray:
        """Take frames; mean absolute errors (M) of the steps that they complete, NaN where nothing was forecast."""
        made = self._scores.push(frames_TF)
        self._forecasts_MV = np.concatenate([self._forecasts_MV, *made])
        self._frames_TF = np.concatenate([self._frames_TF, frames_TF])
        steps = len(self._frames_TF) // self._scorer.subsampling
        frames = steps * self._scorer.subsampling
        came_MV = self._frames_TF[:frames].reshape(steps, self._scorer.labels)
        errors_M = np.abs(self._forecasts_MV[:steps] - came_MV).mean(axis=1)
        self._forecasts_MV, self._frames_TF = self._forecasts_MV[steps:], self._frames_TF[frames:]
        return errors_M


def forecast_errors(model: Model, frames: Iterable[np.ndarray]) -> np.ndarray:
    """Errors (M) of all whole steps of one item that comes in pieces (T,F), NaN for the first, which are not forecast.

    Raises:
        ModelError: the model makes no forecasts.
    """
    stream = ForecastErrors(model)
    return np.concatenate([np.zeros(0, dtype=np.float32), *(stream.push(piece_TF) for piece_TF in frames)])
