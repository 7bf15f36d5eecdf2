"""Figures of what was recognised: error rates with alignments, confusions of classes, scores of events, intervals.

jiwer finds the alignments (minimal Levenshtein distance), so that the figures compare with those of others. It comes
with the `train` extra and is imported when an alignment is asked for; counts and intervals do without it.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt


class MetricsError(ValueError):
    """A figure cannot be computed from what was given."""


@dataclass(frozen=True, slots=True)
class ErrorCounts:
    """Edits that turn a reference into a hypothesis, and the number of tokens in the reference; counts add up."""

    substitutions: int
    deletions: int
    insertions: int
    reference: int

    @classmethod
    def zero(cls) -> ErrorCounts:
        """The neutral element of addition."""
        return cls(0, 0, 0, 0)

    def __add__(self, other: ErrorCounts) -> ErrorCounts:
        return ErrorCounts(
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.reference + other.reference,
        )

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions together."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors per reference token: 0 is perfect, and insertions can bring it above 1.

        Without any reference tokens it is 0.0 where nothing was inserted and `inf` otherwise: no finite rate would be
        true, and jiwer's choice, the number of insertions, reads like one.
        """
        if self.reference == 0:
            return math.inf if self.errors else 0.0
        return self.errors / self.reference


class Edit(NamedTuple):
    """One column of an alignment: equal `=`, substituted `S`, inserted `I` (no reference) or deleted `D` (no
    hypothesis)."""

    op: Literal["=", "S", "D", "I"]
    reference: str | None
    hypothesis: str | None


Alignment = list[Edit]


def align_tokens(reference: Sequence[str], hypothesis: Sequence[str]) -> tuple[ErrorCounts, Alignment]:
    """Align two sequences of tokens (words, or the characters of a string) with as few edits as possible.

    Tokens are compared as they are, the empty token and white space too. Either side may be empty: all of the other
    is then inserted or deleted. Where several alignments are equally short, jiwer's choice stands.

    Raises `MetricsError` where jiwer is not installed.
    """
    try:
        import jiwer
    except ImportError as error:
        raise MetricsError("error rates need jiwer: pip install 'saywave[train]'") from error

    # jiwer splits strings into words itself; numbers in place of the tokens leave it nothing to interpret.
    numbers: dict[str, int] = {}

    def numbered(tokens: Sequence[str]) -> str:
        return " ".join(str(numbers.setdefault(token, len(numbers))) for token in tokens)

    output = jiwer.process_words(numbered(reference), numbered(hypothesis))
    alignment: Alignment = []
    for chunk in output.alignments[0]:
        ours = reference[chunk.ref_start_idx : chunk.ref_end_idx]
        theirs = hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx]
        match chunk.type:
            case "equal":
                alignment += [Edit("=", *pair) for pair in zip(ours, theirs, strict=True)]
            case "substitute":
                alignment += [Edit("S", *pair) for pair in zip(ours, theirs, strict=True)]
            case "delete":
                alignment += [Edit("D", token, None) for token in ours]
            case "insert":
                alignment += [Edit("I", None, token) for token in theirs]
    counts = ErrorCounts(output.substitutions, output.deletions, output.insertions, len(reference))
    return counts, alignment


def bootstrap_interval(
    counts: Sequence[ErrorCounts],
    *,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
    groups: Sequence[str] | None = None,
) -> tuple[float, float]:
    """Confidence interval of the error rate of a test set, from the counts of its utterances.

    The percentile bootstrap of Bisani & Ney (2004, "Bootstrap estimates for confidence intervals in ASR performance
    evaluation"): as many utterances as there are get drawn with replacement `draws` times, and the interval holds the
    middle `level` of the rates. Errors of one speaker go together, so where `groups` names the speaker of each
    utterance, whole speakers are drawn instead, which is the honest, wider interval for speakers unseen. A draw
    without any reference tokens has no rate and is left out. A single utterance or group gives an interval of no
    width, which says nothing.

    The same counts and `seed` give the same interval. Raises `MetricsError` where there are no reference tokens, where
    `groups` has another length than `counts`, and where `level` or `draws` is out of range.
    """
    if not 0 < level < 1 or draws < 1:
        raise MetricsError(f"cannot draw {draws} times for a level of {level}: give draws >= 1 and 0 < level < 1")
    if groups is not None and len(groups) != len(counts):
        raise MetricsError(f"{len(groups)} groups for {len(counts)} utterances: give one for each")
    units = dict(enumerate(counts))
    if groups is not None:
        units = {}
        for group, count in zip(groups, counts, strict=True):
            units[group] = units.get(group, ErrorCounts.zero()) + count
    errors = np.array([unit.errors for unit in units.values()], dtype=np.int64)
    reference = np.array([unit.reference for unit in units.values()], dtype=np.int64)
    if not reference.sum():
        raise MetricsError("no reference tokens: an error rate over them has no interval")

    rng = np.random.default_rng(seed)
    rates = []
    for _ in range(draws):
        drawn = rng.integers(len(units), size=len(units))
        total = reference[drawn].sum()
        if total:
            rates.append(errors[drawn].sum() / total)
    if not rates:
        raise MetricsError(f"none of {draws} draws had any reference tokens: draw more often")
    low, high = np.quantile(rates, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@dataclass(frozen=True, eq=False)
class Confusion:
    """How often each class was taken for each; confusions of the same classes add up.

    Shares are NaN where nothing is there to take a share of, as the recall of a class without a reference.

    Attributes:
        labels: Names of the V classes.
        counts_VV: (V, V) int64: rows are the reference, columns what was recognised.

    Raises:
        MetricsError: two labels are the same, or the counts have another shape.
    """

    labels: tuple[str, ...]
    counts_VV: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        if len(set(self.labels)) < len(self.labels):
            raise MetricsError(f"the classes are {', '.join(self.labels)}; give each once")
        if self.counts_VV.shape != (len(self.labels), len(self.labels)):
            raise MetricsError(f"counts of shape {self.counts_VV.shape} for {len(self.labels)} classes")

    @classmethod
    def of(cls, labels: Sequence[str], reference: Sequence[str], recognised: Sequence[str]) -> Confusion:
        """Count the pairs of reference and recognised class.

        Raises `MetricsError` where one has no place in `labels`, or where there are more of one side than of the other.
        """
        if len(reference) != len(recognised):
            raise MetricsError(f"{len(reference)} references for {len(recognised)} answers: give one for each")
        numbers = {label: number for number, label in enumerate(labels)}
        if unknown := set(reference).union(recognised).difference(numbers):
            raise MetricsError(f"the class {min(unknown)!r} is none of {', '.join(labels)}")
        counts_VV = np.zeros((len(labels), len(labels)), dtype=np.int64)
        for ours, theirs in zip(reference, recognised, strict=True):
            counts_VV[numbers[ours], numbers[theirs]] += 1
        return cls(tuple(labels), counts_VV)

    def __add__(self, other: Confusion) -> Confusion:
        if self.labels != other.labels:
            raise MetricsError("confusions of other classes, or of another order, do not add up")
        return Confusion(self.labels, self.counts_VV + other.counts_VV)

    @property
    def total(self) -> int:
        """How many were recognised."""
        return int(self.counts_VV.sum())

    @property
    def accuracy(self) -> float:
        """Share that was recognised as what it is."""
        return float(_share(self.counts_VV.trace(), self.counts_VV.sum()))

    @property
    def precision_V(self) -> npt.NDArray[np.float64]:
        """For each class, the share of what was taken for it that is of it."""
        return _share(self.counts_VV.diagonal(), self.counts_VV.sum(axis=0))

    @property
    def recall_V(self) -> npt.NDArray[np.float64]:
        """For each class, the share of it that was recognised."""
        return _share(self.counts_VV.diagonal(), self.counts_VV.sum(axis=1))

    @property
    def f1_V(self) -> npt.NDArray[np.float64]:
        """For each class, the harmonic mean of precision and recall; NaN where it occurs on neither side."""
        return _share(2 * self.counts_VV.diagonal(), self.counts_VV.sum(axis=0) + self.counts_VV.sum(axis=1))

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the classes that occur, each counting the same."""
        f1 = self.f1_V[~np.isnan(self.f1_V)]
        return float(f1.mean()) if len(f1) else math.nan

    def confused(self, limit: int) -> list[tuple[str, str, int]]:
        """The most frequent confusions as (reference, recognised, count), the classes in their order among equals."""
        wrong_VV = self.counts_VV - np.diag(self.counts_VV.diagonal())
        order = np.argsort(-wrong_VV, axis=None, kind="stable")[:limit]
        places = zip(*np.unravel_index(order, wrong_VV.shape), strict=True)
        return [(self.labels[i], self.labels[j], int(wrong_VV[i, j])) for i, j in places if wrong_VV[i, j]]


def _share(part: npt.ArrayLike, whole: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """part / whole, NaN where the whole is 0."""
    whole = np.asarray(whole, dtype=np.float64)
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)


def accuracy_interval(
    correct: Sequence[bool],
    *,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
    groups: Sequence[str] | None = None,
) -> tuple[float, float]:
    """Confidence interval of the accuracy of a test set, from whether each of its clips was recognised.

    Without `groups` it is that of Wilson (1927, "Probable inference, the law of succession, and statistical
    inference"), which has a width also where all were recognised. Clips of one signer are recognised or not together,
    so where `groups` names the signer of each, it is the bootstrap over signers of `bootstrap_interval`. Of few signers
    it is rough, and of one, or where all were recognised, it has no width, which says nothing.

    Raises `MetricsError` as `bootstrap_interval` does; without clips there is no accuracy.
    """
    if not len(correct):
        raise MetricsError("no clips: an accuracy over them has no interval")
    if groups is not None:
        counts = [ErrorCounts(int(not right), 0, 0, 1) for right in correct]
        low, high = bootstrap_interval(counts, level=level, draws=draws, seed=seed, groups=groups)
        return 1 - high, 1 - low
    if not 0 < level < 1:
        raise MetricsError(f"no interval of level {level}: give 0 < level < 1")
    count, share = len(correct), sum(map(bool, correct)) / len(correct)
    z = NormalDist().inv_cdf((1 + level) / 2)
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    # At shares of 0 and 1 the formula gives just these bounds, but for rounding.
    return (max(0.0, middle - half) if share else 0.0), (min(1.0, middle + half) if share < 1 else 1.0)


class TimedEvent(NamedTuple):
    """Something that happens, with its label, from `start` to `end` in seconds.

    `fired` is when a recogniser said so; where that is not known, its start stands for it. A reference needs none.
    """

    label: str
    start: float
    end: float
    fired: float | None = None


@dataclass(frozen=True, slots=True)
class EventCounts:
    """Events of a reference that were found or missed, and those that were found without one; counts add up.

    Shares are NaN where nothing is there to take a share of; without any events the F-score is NaN too.
    """

    hits: int
    misses: int
    false: int

    @classmethod
    def zero(cls) -> EventCounts:
        """The neutral element of addition."""
        return cls(0, 0, 0)

    def __add__(self, other: EventCounts) -> EventCounts:
        return EventCounts(self.hits + other.hits, self.misses + other.misses, self.false + other.false)

    @property
    def precision(self) -> float:
        """Share of the events found that are true."""
        return float(_share(self.hits, self.hits + self.false))

    @property
    def recall(self) -> float:
        """Share of the true events that were found."""
        return float(_share(self.hits, self.hits + self.misses))

    @property
    def f_score(self) -> float:
        """Harmonic mean of the two."""
        return float(_share(2 * self.hits, 2 * self.hits + self.misses + self.false))


@dataclass(frozen=True, slots=True)
class EventScores:
    """What counts as a hit is a matter of taste, so here are both ways to count; scores of streams add up.

    Attributes:
        onset: A hit begins within the tolerance of where the true event begins, as sed_eval's onset collar has it.
        fired: A hit was told from the tolerance before the true event begins to the tolerance after it has ended: what
            matters to who acts on events.
    """

    onset: EventCounts
    fired: EventCounts

    def __add__(self, other: EventScores) -> EventScores:
        return EventScores(self.onset + other.onset, self.fired + other.fired)


def event_scores(reference: Sequence[TimedEvent], found: Sequence[TimedEvent], *, tolerance: float) -> EventScores:
    """Compare events that were found in one stream with the true ones.

    A found event hits at most one true event of its label, and a true one is hit at most once. Pairs are chosen so that
    there are as many hits as there can be.

    Args:
        reference: The true events, in any order.
        found: What was found, in any order.
        tolerance: Seconds.

    Raises:
        MetricsError: the tolerance is negative, or an event has times that are no numbers or ends before it begins.
    """
    if not 0 <= tolerance < math.inf:
        raise MetricsError(f"a tolerance of {tolerance} s: give 0 or more")
    for event in (*reference, *found):
        fired = event.start if event.fired is None else event.fired
        if not (math.isfinite(event.start) and math.isfinite(fired) and event.start <= event.end < math.inf):
            raise MetricsError(f"{event.label} from {event.start} to {event.end} s is no event: check its times")
    onset_hits = fired_hits = 0
    reach = tolerance + 1e-9  # times are sums of frame lengths
    for label in {event.label for event in reference}:
        true = [event for event in reference if event.label == label]
        told = [event for event in found if event.label == label]
        starts = [event.start for event in told]
        onset_hits += _most_pairs([(one.start - reach, one.start + reach) for one in true], starts)
        moments = [event.start if event.fired is None else event.fired for event in told]
        fired_hits += _most_pairs([(one.start - reach, one.end + reach) for one in true], moments)
    onset, fired = (EventCounts(hits, len(reference) - hits, len(found) - hits) for hits in (onset_hits, fired_hits))
    return EventScores(onset, fired)


def _most_pairs(intervals: Sequence[tuple[float, float]], points: Sequence[float]) -> int:
    """Most pairs of an interval and a point in it, each used once.

    From left to right, each point takes the interval that ends first of those open: no other choice gives more pairs
    (Glover 1967, "Maximum matching in a convex bipartite graph").
    """
    waiting = sorted(intervals, reverse=True)
    ends: list[float] = []
    pairs = 0
    for point in sorted(points):
        while waiting and waiting[-1][0] <= point:
            heapq.heappush(ends, waiting.pop()[1])
        while ends and ends[0] < point:
            heapq.heappop(ends)
        if ends:
            heapq.heappop(ends)
            pairs += 1
    return pairs
