"""Error rates: counts of substitutions, deletions and insertions, the alignments they come from, and intervals.

jiwer finds the alignments (minimal Levenshtein distance), so that the figures compare with those of others. It comes
with the `train` extra and is imported when an alignment is asked for; counts and intervals do without it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np


class MetricsError(ValueError):
    """An error rate cannot be computed from what was given."""


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
