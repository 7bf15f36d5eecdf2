"""What scores and spikes are corrected by, so that confidences are probabilities and times are those of the sound.

A network is surer, or less sure, than it is right, and CTC puts a label where it is recognised and not where its sound
begins. Both errors are much the same from one recording to the next, so they are measured once, on recordings with
known words (`asr.confidence.calibrate`), and kept with the model. Here they are taken out, word by word and with
nothing but the emissions, so that a stream and a file say the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from inference.ctc import Emission
from inference.model import Model, ModelError

# Scores nearer to 0 or 1 count as this near: in float32 they are no longer told apart.
NEAREST = 1e-4
EVIDENCE = ("mean", "least", "labels")


def evidence(group: Sequence[Emission]) -> dict[str, float]:
    """What the emissions of one word say of it: the log odds of their mean score and of the least, and how many.

    The last is the log of their number.
    """
    scores = [one.score for one in group]
    return {
        "mean": log_odds(sum(scores) / len(scores)),
        "least": log_odds(min(scores)),
        "labels": math.log(len(scores)),
    }


def log_odds(probability: float) -> float:
    """Log of p / (1 - p), finite."""
    p = min(max(probability, NEAREST), 1 - NEAREST)
    return math.log(p / (1 - p))


@dataclass(frozen=True)
class Logistic:
    """Platt scaling (Platt 1999): the probability is the logistic function of a weighted sum of the evidence.

    With the weight of `mean` alone and no bias it is temperature scaling (Guo et al. 2017, section 4.2).
    """

    bias: float
    weights: Mapping[str, float]

    def __call__(self, said: Mapping[str, float]) -> float:
        logit = self.bias + sum(weight * said[name] for name, weight in self.weights.items())
        # Of large negative numbers the other form would overflow.
        return 1 / (1 + math.exp(-logit)) if logit > 0 else math.exp(logit) / (1 + math.exp(logit))


@dataclass(frozen=True)
class Isotonic:
    """A probability that rises with the mean score in steps (Zadrozny & Elkan 2002), straight lines between them."""

    logits: Sequence[float]
    probabilities: Sequence[float]

    def __call__(self, said: Mapping[str, float]) -> float:
        return float(np.interp(said["mean"], self.logits, self.probabilities))


@dataclass(frozen=True)
class Times:
    """Seconds to add to start and end of a word; of some first and last labels they are known better."""

    start: float = 0.0
    end: float = 0.0
    starts: Mapping[str, float] = field(default_factory=dict)
    ends: Mapping[str, float] = field(default_factory=dict)

    def shifts(self, first: str, last: str) -> tuple[float, float]:
        """What to add to start and end of a word from its first to its last label."""
        return self.starts.get(first, self.start), self.ends.get(last, self.end)


@dataclass(frozen=True)
class Calibration:
    """What is known of a model's confidences and of its times; what is not known stays as it is."""

    confidence: Logistic | Isotonic | None = None
    times: Times | None = None

    @classmethod
    def of(cls, model: Model) -> Calibration:
        """The one that the model's config.yaml holds, or one that changes nothing.

        Raises:
            ModelError: what it holds is none.
        """
        stored = model.calibration or {}
        try:
            return cls(_confidence(stored.get("confidence")), _times(stored.get("times")))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(
                f"{model.directory / 'config.yaml'}: calibration cannot be used ({error}); run `asr calibrate` anew"
            ) from None

    def stored(self) -> dict:
        """As `of` reads it."""
        kept: dict = {}
        if isinstance(self.confidence, Logistic):
            weights = {name: float(weight) for name, weight in self.confidence.weights.items()}
            kept["confidence"] = {"kind": "logistic", "bias": float(self.confidence.bias), "weights": weights}
        elif self.confidence is not None:
            logits, probabilities = (
                [*map(float, of)] for of in (self.confidence.logits, self.confidence.probabilities)
            )
            kept["confidence"] = {"kind": "isotonic", "logits": logits, "probabilities": probabilities}
        if self.times is not None:
            kept["times"] = {"start": self.times.start, "end": self.times.end}
            kept["times"] |= {"starts": dict(self.times.starts), "ends": dict(self.times.ends)}
        return kept

    def probability(self, group: Sequence[Emission]) -> float:
        """How probable it is that the word of these emissions is right; their mean score where that is not known."""
        if self.confidence is None:
            return sum(one.score for one in group) / len(group)
        return min(max(self.confidence(evidence(group)), 0.0), 1.0)


def _confidence(stored: dict | None) -> Logistic | Isotonic | None:
    if stored is None:
        return None
    if stored["kind"] == "logistic":
        weights = {name: _number(weight) for name, weight in stored["weights"].items()}
        if unknown := set(weights) - set(EVIDENCE):
            raise ValueError(f"unknown evidence {', '.join(map(str, sorted(unknown)))}")
        return Logistic(_number(stored["bias"]), weights)
    if stored["kind"] == "isotonic":
        logits, probabilities = ([_number(one) for one in stored[key]] for key in ("logits", "probabilities"))
        rising = logits == sorted(logits) and probabilities == sorted(probabilities)
        if not rising or len(logits) != len(probabilities) or not logits or not 0 <= probabilities[0] <= 1:
            raise ValueError("the steps do not rise from 0 to 1")
        return Isotonic(logits, probabilities)
    raise ValueError(f"kind is {stored['kind']!r}")


def _times(stored: dict | None) -> Times | None:
    if stored is None:
        return None
    starts, ends = ({str(k): _number(v) for k, v in stored.get(key, {}).items()} for key in ("starts", "ends"))
    return Times(_number(stored["start"]), _number(stored["end"]), starts, ends)


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a number")
    return float(value)
