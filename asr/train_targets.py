"""What recordings are trained towards: their words, by CTC, or one label for each, or the frames that come next.

Here everything that these differ in lies side by side, so that the rest of a training knows one way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from asr.alphabet import make_tokens
from asr.letters import SHOWN, Seen, count_pieces, shown, table
from asr.tokens import TokenConfig, Tokens
from inference.model import BLANK, CLASS, CTC, FORECAST, Model
from training.latency import LatencyConfig
from training.manifests import Item, ManifestError
from training.metrics import ErrorCounts, align_tokens
from training.objectives import ClassObjective, CtcObjective, ForecastObjective, Objective

# Labels that are named before training because so few utterances have them.
RAREST = 5
# What the model directory of a classification says of its labels.
CLASS_UNIT = "class"
# What that of forecasts says of the numbers in the frames of a step.
FORECAST_UNIT = "feature"
AHEAD_MS = 120.0


@dataclass
class HeadConfig:
    """What the scores of a model are.

    Args:
        kind: `ctc` writes down the words of a recording; `class` gives it one of some labels, such as who speaks;
            `forecast` forecasts its sound, for which no words are needed: to train on from, with words.
        smoothing: Share of the target of `class` that is spread over all labels.
        ahead_ms: How far ahead `forecast` looks, in milliseconds, rounded up to whole steps.
    """

    kind: Literal["ctc", "class", "forecast"] = "ctc"
    smoothing: float = 0.0
    ahead_ms: float = AHEAD_MS

    def __post_init__(self) -> None:
        if not 0 <= self.smoothing < 1:
            raise ValueError(f"head.smoothing is {self.smoothing}; it must be at least 0 and less than 1")
        if not 0 < self.ahead_ms < 10_000:
            raise ValueError(f"head.ahead_ms is {self.ahead_ms}; it must be more than 0 and less than 10000")
        if self.kind != FORECAST and self.ahead_ms != AHEAD_MS:
            raise ValueError("head.ahead_ms belongs to head.kind forecast; leave it out")
        if self.kind != CLASS and self.smoothing:
            raise ValueError("head.smoothing belongs to head.kind class; leave it out")


class Target(Protocol):
    """What an item is trained towards.

    Attributes:
        labels: What the scores stand for.
        head, tokens: What the model directory says of the head and of the labels.
        task: What the scores are, for the model card.
        note: What is worth knowing of the labels before training begins.
    """

    labels: tuple[str, ...]
    head: dict
    tokens: dict
    task: str
    note: str

    def __call__(self, text: str, frames: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Labels (L) of an item of so many frames and, where they have places, the frames (L,2) from and to."""
        ...

    def objective(self, subsampling: int) -> Objective:
        """What is minimised, and what the development error counts."""
        ...


class Words:
    """The sequence of a text's labels, wherever they are said.

    Args:
        tokens: Text to labels.
        note: See `Target`.
    """

    def __init__(self, tokens: Tokens, note: str = ""):
        self._tokens = tokens
        self.note = note
        self.labels = tokens.labels
        self.head = {"kind": CTC}
        self.tokens = {"unit": tokens.unit, "form": tokens.form}
        self.task = f"CTC over {tokens.unit} labels"

    def __call__(self, text: str, frames: int) -> tuple[np.ndarray, None]:
        return np.array(self._tokens.encode(text), dtype=np.int64), None

    def objective(self, subsampling: int) -> Objective:
        return CtcObjective(CountWords(self._tokens))


class CountWords:
    """Word errors of labels against labels: what the development error counts."""

    def __init__(self, tokens: Tokens):
        self._tokens = tokens

    def __call__(self, hypothesis: list[int], reference: list[int]) -> ErrorCounts:
        return align_tokens(self._tokens.decode(reference).split(), self._tokens.decode(hypothesis).split())[0]


class Classes:
    """One label for all of a recording, which is the whole of its text.

    Args:
        labels: All labels.
        smoothing: Share of the target that is spread over all of them.
        note: See `Target`.
    """

    def __init__(self, labels: Sequence[str], *, smoothing: float = 0.0, note: str = ""):
        self.labels = tuple(labels)
        self.note = note
        self.head = {"kind": CLASS}
        self.tokens = {"unit": CLASS_UNIT}
        self.task = f"attention pooling, {len(labels)} labels"
        self._numbers = {label: number for number, label in enumerate(self.labels)}
        self._smoothing = smoothing

    def __call__(self, text: str, frames: int) -> tuple[np.ndarray, np.ndarray]:
        return np.array([self._numbers[text]], dtype=np.int64), np.array([[0, frames]], dtype=np.int64)

    def objective(self, subsampling: int) -> Objective:
        return ClassObjective(subsampling=subsampling, smoothing=self._smoothing)


class Forecast:
    """The frames that come next, which need no labels (autoregressive predictive coding; Chung et al. 2019).

    What is forecast must not have been seen. Where one direction reads from the end, it reads chunks as long as the
    forecast looks ahead, without look-ahead of the windows: a chunk ends where the forecasts of its first step begin.

    Args:
        ahead: Steps from the one that a forecast is made at to the one that it is of.
        subsampling: Frames in a step.
        features: Features of a frame.
    """

    def __init__(self, *, ahead: int, subsampling: int, features: int):
        self.labels = tuple(f"{frame}.{feature}" for frame in range(subsampling) for feature in range(features))
        self.head = {"kind": FORECAST, "ahead": ahead}
        self.tokens = {"unit": FORECAST_UNIT}
        self.task = f"forecasts of the {features} features of {subsampling} frames, {ahead} steps ahead"
        self.note = self.task
        self._ahead = ahead

    def __call__(self, text: str, frames: int) -> tuple[np.ndarray, None]:
        return np.zeros(0, dtype=np.int64), None

    def objective(self, subsampling: int) -> Objective:
        return ForecastObjective(ahead=self._ahead)


def latency_of_forecasts(given: LatencyConfig, ahead_ms: float) -> LatencyConfig:
    """Chunks as long as forecasts look ahead, without look-ahead of the windows.

    Raises:
        ValueError: something else is given.
    """
    wanted = LatencyConfig(chunk_ms=(ahead_ms, ahead_ms), lookahead_share=(0.0, 0.0), full_context=0.0)
    if given not in (LatencyConfig(), wanted):
        raise ValueError("latency is given, but forecasts must be made of chunks of head.ahead_ms: leave it out")
    return wanted


def words_of(
    config: TokenConfig, train: Sequence[Item], dev: Sequence[Item], start_from: Model | None
) -> tuple[Words, list[Item], list[Item]]:
    """The labels of the training texts, and the items that they can spell; the others are shown.

    Raises:
        ManifestError: no utterance is left to train or to choose on.
        asr.tokens.TokenError: no labels can be made of the texts, or the alphabet is none.
    """
    tokens = make_tokens([item.text for item in train], config)
    found = count_pieces(train, tokens)
    if start_from is not None and start_from.head["kind"] == CTC:
        before = Tokens.of(start_from)
        if before.form != tokens.form:
            print(f"texts are {tokens.form} here, and those of {start_from.directory} are {before.form} (tokens.form)")
    train = _sayable(train, found, tokens, part="training", config=config)
    dev = _sayable(dev, count_pieces(dev, tokens), tokens, part="development", config=config)
    return Words(tokens, _note(found, tokens)), train, dev


def classes_of(
    config: HeadConfig, train: Sequence[Item], dev: Sequence[Item]
) -> tuple[Classes, list[Item], list[Item]]:
    """The labels of the training items, and the items that have one of them; how many others there are is said.

    Raises:
        ManifestError: an item has no label, or there are not two labels, or nothing is left to choose on.
    """
    for item in (*train, *dev):
        if not item.text or item.text == BLANK or len(item.text.splitlines()) > 1:
            raise ManifestError(f"{item.path}: {item.text!r} is no label; a label is one line of text")
    counts = Counter(item.text for item in train)
    if len(counts) < 2:
        raise ManifestError(f"one label, {', '.join(counts) or 'none at all'}: two at least are needed to tell apart")
    kept = [item for item in dev if item.text in counts]
    if len(kept) < len(dev):
        unknown = sorted({item.text for item in dev} - set(counts))
        print(f"{len(dev) - len(kept)} of {len(dev)} development recordings left out: nothing trains {unknown[0]!r}")
    if not kept:
        raise ManifestError(
            "no development recording has a label that is trained: give more recordings of each, or others to --dev"
        )
    rarest = ", ".join(f"{label} {count}" for label, count in counts.most_common()[: -RAREST - 1 : -1])
    note = f"{len(counts)} labels; the rarest of the training recordings: {rarest}"
    return Classes(sorted(counts), smoothing=config.smoothing, note=note), list(train), kept


def _sayable(
    items: Sequence[Item], found: Sequence[Seen], tokens: Tokens, *, part: str, config: TokenConfig
) -> list[Item]:
    """Items whose text the labels can spell; the letters that are in the way of the others are shown."""
    kept = [item for item in items if not tokens.unknown(item.text)]
    if len(kept) < len(items):
        print(f"{len(items) - len(kept)} of {len(items)} {part} utterances left out, no label for:")
        print(table([seen for seen in found if seen.piece not in tokens.labels], tokens))
        print(_advice(config, part))
    if not kept:
        raise ManifestError(f"no {part} utterance is left: every text holds something that has no label")
    return kept


def _advice(config: TokenConfig, part: str) -> str:
    if config.alphabet is not None:
        return "to learn them, add them to the alphabet; what is a slip, correct in the texts"
    if part == "training":
        return "to learn them, lower tokens.least_count or find more utterances that have them"
    return "to learn them, find training utterances that have them; what is a slip, correct in the texts"


def _note(found: Sequence[Seen], tokens: Tokens) -> str:
    """How many labels there are, the rarest of them, where slips are, and those that the texts do not have at all."""
    heard = [seen for seen in found if seen.piece in tokens.labels]
    rarest = ", ".join(f"{shown(seen.piece)} {seen.times} ({seen.example.id})" for seen in heard[: -RAREST - 1 : -1])
    note = f"{len(tokens.labels) - 1} labels; the rarest in the training texts: {rarest}"
    unheard = sorted({*tokens.labels[1:]} - {seen.piece for seen in heard})
    if unheard:
        more = f" and {len(unheard) - SHOWN} more" if len(unheard) > SHOWN else ""
        named = ", ".join(map(shown, unheard[:SHOWN]))
        note += f"\n{len(unheard)} labels stand in no training utterance and cannot be learnt: {named}{more}"
    return note
