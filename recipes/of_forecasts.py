"""How a recipe of forecasts is trained and measured: do they tell what is altered in a recording from what is not?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from asr.borders import Border, beside
from asr.train import TrainConfig, train
from inference import model as models
from inference.forecast import forecast_errors
from inference.markdown import table
from recipes.measured import Measured
from training.manifests import Item, ManifestError, read

__all__ = ["TrainConfig", "measure", "train"]

AUC = "AUC"
ALTERED, USUAL = "altered", "usual"  # what a ctm calls a stretch
SCORES = (AUC, "AUC of no change", "AUC of the mean")
"""By the error of the forecasts; of the forecast that nothing changes from the last step that the network had heard by
then; and of the mean, which looks at no past."""


def measure(model: Path, manifest: Path, *, beam: int | None = None) -> Measured:
    """Score the steps of recordings, of each of which a ctm says what is altered and what is to be held against it.

    The figure is the area under the receiver operating characteristic: the probability that an altered step scores
    higher than a usual one. Steps are left out that have no forecast, and those soon after an altered stretch, whose
    forecasts were made in it.

    Args:
        model: The model directory.
        manifest: What it is measured on.
        beam: There is nothing to search in forecasts.

    Raises:
        ManifestError: a beam is asked for, or it is not known what is altered in a recording.
    """
    if beam is not None:
        raise ManifestError("--beam is for words and signs; leave it out of a recipe of forecasts")
    loaded = models.load(model)
    items = read(manifest)
    strange: list[np.ndarray] = []
    usual: list[np.ndarray] = []
    for item in items:
        scores_3M = scored(loaded, item)
        of_steps = altered_steps(
            scores_3M.shape[1], _borders(item), ahead=loaded.head["ahead"], step_seconds=loaded.step_seconds
        )
        strange.append(scores_3M[:, of_steps == 1])
        usual.append(scores_3M[:, of_steps == 0])
    strange_3M, usual_3M = np.concatenate(strange, axis=1), np.concatenate(usual, axis=1)
    if not strange_3M.size or not usual_3M.size:
        raise ManifestError(f"{manifest}: no step is {ALTERED}, or none {USUAL}; run the stage prepare again")
    figures = {name: area_under_roc(*pair) for name, *pair in zip(SCORES, strange_3M, usual_3M, strict=True)}
    steps = f"{strange_3M.shape[1]} altered steps, {usual_3M.shape[1]} usual ones, {len(items)} recordings"
    summary = f"AUC {figures[AUC]:.4f}: {steps}"
    rows = [[name, f"{value:.4f}"] for name, value in figures.items()]
    return Measured(summary, f"# {manifest.name}\n\n{steps}.\n\n{table(['', 'share'], rows)}\n", figures)


def scored(model: models.Model, item: Item) -> np.ndarray:
    """Scores (3,M) of the steps of a recording, NaN where there is no forecast; in the order of `SCORES`."""
    frames_TF = model.extractor(model.extractor.read(item.path, start=item.start, duration=item.duration))
    errors_M = forecast_errors(model, [frames_TF])
    came_MV = frames_TF[: len(errors_M) * model.subsampling].reshape(len(errors_M), -1)
    ahead = model.head["ahead"]
    still_M = np.full_like(errors_M, np.nan)
    heard_M = last_heard(len(errors_M), ahead=ahead, chunks=model.encoder["bidirectional"])
    still_M[ahead:] = np.abs(came_MV[ahead:] - came_MV[heard_M]).mean(axis=1)
    mean_M = np.where(np.isnan(errors_M), np.nan, np.abs(came_MV).mean(axis=1))
    return np.stack([errors_M, still_M, mean_M])


def last_heard(steps: int, *, ahead: int, chunks: bool) -> np.ndarray:
    """The last step that was heard before the forecast of each step from `ahead` on (M - ahead).

    That is the step that the forecast was made at or, where the network reads chunks of `ahead` steps from both sides,
    the last one of the chunk before.
    """
    of_M = np.arange(ahead, steps)
    return of_M // ahead * ahead - 1 if chunks else of_M - ahead


def altered_steps(steps: int, borders: Sequence[Border], *, ahead: int, step_seconds: float) -> np.ndarray:
    """Of each step (M): 1 altered, even in part, 0 usual, even in part, -1 to be left out."""
    found_M = np.full(steps, -1)
    for border in sorted(borders, key=lambda border: border.text, reverse=True):  # what is altered comes last, and wins
        first, behind = int(border.start / step_seconds), int(np.ceil(border.end / step_seconds))
        found_M[first:behind] = border.text == ALTERED
        if border.text == ALTERED:
            found_M[behind : behind + ahead] = -1
    found_M[:ahead] = -1
    return found_M


def area_under_roc(strange_M: np.ndarray, usual_M: np.ndarray) -> float:
    """Probability that a strange one scores higher than a usual one; a tie is half of one (Mann and Whitney 1947)."""
    usual_M = np.sort(usual_M)
    below = np.searchsorted(usual_M, strange_M, side="left") + np.searchsorted(usual_M, strange_M, side="right")
    return float(below.mean() / (2 * len(usual_M)))


def _borders(item: Item) -> list[Border]:
    found = beside(item.path)
    if not found:
        raise ManifestError(f"{item.path}: no ctm beside it says what is altered; run the stage prepare again")
    return found
