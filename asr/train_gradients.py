"""The work of `asr gradients`: how far back errors reach in models that hear, over recordings."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from asr.shipped import find
from asr.sources import expand
from encoders.frames import stacked_length
from features.extractor import FeatureExtractor
from inference import model as models
from inference.shell import listed, one_line
from training.flow_report import Flow, measure, plot
from training.run import network_of

# A tape of each step is kept: of a longer recording the first half minute is taken.
LONGEST_SECONDS = 30.0
# Errors sent back through each direction of each recording.
ERRORS = 8
# Fewer steps back say nothing of a rate.
LEAST_STEPS = 2


class GradientsError(ValueError):
    """Nothing to measure; the message says why."""


def report(
    files: Sequence[str],
    *,
    names: Sequence[str],
    fresh: bool = False,
    back: float | None = None,
    picture: str | Path | None = None,
) -> int:
    """Print the error flow of models over recordings as tables, and plot it.

    Args:
        files: Sound files, folders, patterns.
        names: Names of shipped models, or model directories.
        fresh: Also of each model before any training, its weights drawn anew.
        back: Seconds that errors are followed back; if not given, half of the shortest recording.
        picture: Where the plot goes, if anywhere.

    Returns:
        The exit code: 1 if recordings could not be read.

    Raises:
        GradientsError: no recording can be measured, or a model reads no sound.
    """
    if back is not None and back >= LONGEST_SECONDS:
        raise GradientsError(f"--back is {back:g} s; give less than the {LONGEST_SECONDS:g} s heard of each recording")
    # Matrices are small here, and so many that threads would only wait for each other.
    torch.set_num_threads(1)
    opened = {name: models.load(find(name)) for name in names}
    failed: list[str] = []
    found = expand(files, failed)
    # By file: a recording that one model cannot follow is none for the others either.
    left_out: dict[str, str] = {}
    flows: list[Flow] = []
    for name, model in opened.items():
        recordings = _read(model, found, left_out)
        if not recordings:
            raise GradientsError(f"no recording could be read; the first: {[*failed, *left_out.values()][0]}")
        steps_back = _steps_back(model, recordings, back)
        followed = [frames_TF for frames_TF in recordings.values() if _steps(model, frames_TF) > steps_back]
        for file, frames_TF in recordings.items():
            if _steps(model, frames_TF) <= steps_back:
                left_out.setdefault(file, f"{file}: is no longer than {steps_back * model.step_seconds:.2f} s")
        for untrained in (False, True)[: 1 + fresh]:
            torch.manual_seed(0)
            flow = measure(
                f"{name}, before training" if untrained else name,
                network_of(model, fresh=untrained),
                followed,
                step_seconds=model.step_seconds,
                back=steps_back,
                errors=ERRORS,
            )
            print(("\n" if flows else "") + flow.to_markdown(), flush=True)
            flows.append(flow)
    if picture is not None:
        plot(flows, picture)
        print(f"plot: {picture}", file=sys.stderr)
    return listed("asr", [*failed, *left_out.values()], "recordings could not be read, or are too short")


def _read(model: models.Model, files: Sequence[str], left_out: dict[str, str]) -> dict[str, np.ndarray]:
    """Frames (T,F) by file; in `left_out` why others cannot be read."""
    if not isinstance(model.extractor, FeatureExtractor):
        raise GradientsError(f"{model.directory}: reads landmarks, not sound; name a model that `asr train` made")
    frames = {}
    for file in files:
        try:
            frames[file] = model.extractor(model.extractor.read(file, duration=LONGEST_SECONDS))
        except (ValueError, OSError) as error:
            left_out.setdefault(file, one_line(error))
    return frames


def _steps_back(model: models.Model, recordings: dict[str, np.ndarray], back: float | None) -> int:
    """Steps that errors are followed back, fewer than the longest recording has."""
    steps = [_steps(model, frames_TF) for frames_TF in recordings.values()]
    wanted = max(LEAST_STEPS, min(steps) // 2) if back is None else round(back / model.step_seconds)
    if wanted < LEAST_STEPS:
        least = f"{1000 * LEAST_STEPS * model.step_seconds:.0f}ms"
        raise GradientsError(f"--back is {back:g} s; of {model.directory} give at least {least}, which are two steps")
    if max(steps) <= wanted:
        longest = f"the longest recording lasts {max(steps) * model.step_seconds:.2f} s"
        raise GradientsError(
            f"{longest}, too short to follow errors {wanted * model.step_seconds:.2f} s back; give longer ones"
            + ("" if back is None else ", or a lower --back")
        )
    return wanted


def _steps(model: models.Model, frames_TF: np.ndarray) -> int:
    return stacked_length(len(frames_TF), model.subsampling)
