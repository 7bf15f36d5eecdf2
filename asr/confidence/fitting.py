"""How a calibration is found: maps from scores to probabilities, offsets of times, and which of them to trust.

Several maps are fitted, from none to isotonic, and the one is kept under which words that it was not fitted on are
likeliest. More freedom is only worth having where there is data for it, and whether there is, the held-out words know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from asr.confidence.calibration import Isotonic, Logistic, Times

AS_IT_IS = "as it is"
FOLDS = 10
# Weights are drawn towards those that leave scores as they are, by so much per squared difference (a Gaussian prior of
# variance 1): without it, scores that divide right and wrong words cleanly would ask for infinite ones.
PRIOR = 1.0
# Words with a label that it takes for an offset of its own.
LEAST_OF_LABEL = 10
STEPS = 50  # of Newton's method; it converges in fewer than ten


class Sample(NamedTuple):
    """A recognised word: its evidence (see `asr.confidence.calibration`), whether it is right, and whose it is."""

    evidence: dict[str, float]
    right: bool
    group: str


class Lag(NamedTuple):
    """Seconds by which the raw start and end of a word lie behind the true ones, and its first and last label."""

    start: float
    end: float
    first: str
    last: str
    group: str


Map = Callable[[dict[str, float]], float]


def as_it_is(samples: Sequence[Sample]) -> Logistic:
    """The mean score, whatever the samples are."""
    return Logistic(0.0, {"mean": 1.0})


def temperature(samples: Sequence[Sample]) -> Logistic:
    """One weight for the log odds of the mean score (Guo et al. 2017)."""
    return logistic(samples, ("mean",), bias=False)


def platt(samples: Sequence[Sample]) -> Logistic:
    """A weight and a bias (Platt 1999)."""
    return logistic(samples, ("mean",))


def several(samples: Sequence[Sample]) -> Logistic:
    """Weights for the mean score, the least one and the number of labels, and a bias."""
    return logistic(samples, ("mean", "least", "labels"))


def logistic(samples: Sequence[Sample], names: Sequence[str], *, bias: bool = True, prior: float = PRIOR) -> Logistic:
    """Logistic regression by Newton's method, drawn by `prior` towards leaving the mean score as it is."""
    x_NF = np.array([[one.evidence[name] for name in names] + [1.0] * bias for one in samples])
    y_N = np.array([one.right for one in samples], dtype=np.float64)
    centre_F = np.array([float(name == "mean") for name in names] + [0.0] * bias)
    w_F = centre_F.copy()
    cost = _cost(w_F, centre_F, x_NF, y_N, prior)
    for _ in range(STEPS):
        p_N = _sigmoid(x_NF @ w_F)
        gradient_F = x_NF.T @ (p_N - y_N) + prior * (w_F - centre_F)
        curvature_FF = (x_NF * (p_N * (1 - p_N))[:, None]).T @ x_NF + (prior + 1e-12) * np.eye(len(w_F))
        step_F = np.linalg.solve(curvature_FF, gradient_F)
        # Far from the optimum a whole step may lead further away.
        while (new := _cost(w_F - step_F, centre_F, x_NF, y_N, prior)) > cost + 1e-12:
            step_F /= 2
        w_F, cost = w_F - step_F, new
        if np.abs(step_F).max() < 1e-10:
            break
    weights = dict(zip(names, w_F.tolist(), strict=False))
    return Logistic(float(w_F[-1]) if bias else 0.0, weights)


def _sigmoid(logits_N: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0.0, -logits_N))


def _cost(w_F: np.ndarray, centre_F: np.ndarray, x_NF: np.ndarray, y_N: np.ndarray, prior: float) -> float:
    logits_N = x_NF @ w_F
    loss = np.logaddexp(0.0, -logits_N) @ y_N + np.logaddexp(0.0, logits_N) @ (1 - y_N)
    return float(loss + prior / 2 * np.square(w_F - centre_F).sum())


def isotonic(samples: Sequence[Sample]) -> Isotonic:
    """The rising map of the mean score with the least squared error, kept off 0 and 1, which no count proves."""
    logits_N = np.array([one.evidence["mean"] for one in samples])
    steps, fitted = pool_adjacent(logits_N, np.array([one.right for one in samples], dtype=np.float64))
    room = 1 / (len(samples) + 2)
    return Isotonic(steps.tolist(), np.clip(fitted, room, 1 - room).tolist())


def pool_adjacent(x_N: np.ndarray, y_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct x in order and the rising values of least squared error there (Ayer et al. 1955).

    Neighbours that do not rise are pooled, from the first on.
    """
    places, inverse, counts = np.unique(x_N, return_inverse=True, return_counts=True)
    means = np.bincount(inverse, weights=y_N) / counts
    blocks: list[list[float]] = []  # mean, weight, how many places
    for mean, weight in zip(means.tolist(), counts.tolist(), strict=True):
        blocks.append([mean, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            later, earlier = blocks.pop(), blocks.pop()
            total = earlier[1] + later[1]
            blocks.append([(earlier[0] * earlier[1] + later[0] * later[1]) / total, total, earlier[2] + later[2]])
    return places, np.repeat([block[0] for block in blocks], [block[2] for block in blocks])


MAPS: dict[str, Callable[[Sequence[Sample]], Logistic | Isotonic]] = {
    AS_IT_IS: as_it_is,
    "temperature": temperature,
    "Platt": platt,
    "several": several,
    "isotonic": isotonic,
}


def folds(groups: Sequence[str]) -> np.ndarray:
    """The fold of each, groups kept together; the same groups give the same folds."""
    names = sorted(set(groups))
    order = np.random.default_rng(0).permutation(len(names))
    of = {names[k]: place % FOLDS for place, k in enumerate(order.tolist())}
    return np.array([of[group] for group in groups])


def held_out(samples: Sequence[Sample], fit: Callable[[Sequence[Sample]], Map]) -> np.ndarray:
    """The probability (N) of each sample by a map that was fitted on the other folds."""
    fold_N = folds([one.group for one in samples])
    probability_N = np.zeros(len(samples))
    for fold in set(fold_N.tolist()):
        mapped = fit([one for one, of in zip(samples, fold_N, strict=True) if of != fold])
        for k in np.flatnonzero(fold_N == fold):
            probability_N[k] = mapped(samples[k].evidence)
    return probability_N


def log_loss(samples: Sequence[Sample], probability_N: np.ndarray) -> float:
    """Mean negative log likelihood, in nats a word."""
    right_N = np.array([one.right for one in samples])
    return float(-np.log(np.where(right_N, probability_N, 1 - probability_N)).mean())


def choose(samples: Sequence[Sample]) -> tuple[str, dict[str, float]]:
    """The map with the least held-out log loss, and the loss of each; of equals the simpler one."""
    losses = {name: log_loss(samples, held_out(samples, fit)) for name, fit in MAPS.items()}
    return min(losses, key=lambda name: round(losses[name], 6)), losses


def common_times(lags: Sequence[Lag]) -> Times:
    """One offset for all starts and one for all ends: medians, which have the least mean absolute error."""
    return Times(_offset([lag.start for lag in lags]), _offset([lag.end for lag in lags]))


def times_of_labels(lags: Sequence[Lag]) -> Times:
    """Offsets of their own for first and last labels that are there often enough, the common ones for the others."""
    common = common_times(lags)
    starts, ends = (
        {
            label: _offset([getattr(lag, time) for lag in lags if getattr(lag, side) == label])
            for label in sorted({getattr(lag, side) for lag in lags})
            if sum(getattr(lag, side) == label for lag in lags) >= LEAST_OF_LABEL
        }
        for time, side in (("start", "first"), ("end", "last"))
    )
    return Times(common.start, common.end, starts, ends)


def _offset(lags: Sequence[float]) -> float:
    return -round(float(np.median(lags)), 4)


TIMES: dict[str, Callable[[Sequence[Lag]], Times]] = {
    "as they are": lambda lags: Times(),
    "one offset": common_times,
    "by label": times_of_labels,
}


def time_errors(lags: Sequence[Lag], fit: Callable[[Sequence[Lag]], Times]) -> tuple[float, float]:
    """Mean absolute error of starts and of ends in seconds, each by offsets that were fitted on the other folds."""
    fold_N = folds([lag.group for lag in lags])
    errors = []
    for fold in sorted(set(fold_N.tolist())):
        times = fit([lag for lag, of in zip(lags, fold_N, strict=True) if of != fold])
        for lag in (lag for lag, of in zip(lags, fold_N, strict=True) if of == fold):
            start, end = times.shifts(lag.first, lag.last)
            errors.append((abs(lag.start + start), abs(lag.end + end)))
    return tuple(np.mean(errors, axis=0).tolist())


def choose_times(lags: Sequence[Lag]) -> tuple[str, dict[str, tuple[float, float]]]:
    """The offsets with the least held-out error of starts, and the errors of each; of equals the simpler ones."""
    errors = {name: time_errors(lags, fit) for name, fit in TIMES.items()}
    return min(errors, key=lambda name: round(errors[name][0], 6)), errors


def enough(samples: Sequence[Sample]) -> str | None:
    """Why these words do not make a calibration; none if they do."""
    if len(samples) < 50:
        return f"{len(samples)} recognised words are too few to calibrate on, at least 50 are needed"
    if len({one.group for one in samples}) < 2:
        return "the words are of one recording, at least 2 are needed"
    return None


def fewest(samples: Sequence[Sample]) -> int:
    """How many words there are of right or of wrong ones, of which there are fewer."""
    right = sum(one.right for one in samples)
    return min(right, len(samples) - right)
