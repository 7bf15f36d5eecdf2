"""How well a recogniser did on a test set: error rates with intervals, and where the errors are.

Reference and hypothesis are compared as `asr.text.normalize` writes them, in the form of the model's own texts unless
another is asked for. Words are what stands between its spaces.
Characters are its code points, the single spaces between words among them, as jiwer and ESPnet count them: a word cut
in two is an error of characters, too, and a letter with its vowel sign counts as two (a reader of Devanagari may count
one; by code points the figures compare with those of others, and a wrong sign is not a whole wrong letter). Labels of
several letters count by their letters. Where a script puts no spaces between words, the character error rate is the one
to read.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from asr.columns import columns, width
from asr.confidence.reliability import Judged, Reliability
from asr.text import PLAIN, STATED, normalize
from inference.markdown import escaped, table
from training.metrics import Alignment, ErrorCounts, align_tokens, bootstrap_interval

LEVEL = 0.95
CHARACTERS = "Characters are code points; the single spaces between words count."


class ReportError(ValueError):
    """There is nothing to evaluate."""


class Pair(NamedTuple):
    """What was said and what was recognised in one utterance; without a known speaker, `speaker` is None.

    `judged` are the recognised words with their confidences, where these are known.
    """

    id: str
    speaker: str | None
    reference: str
    hypothesis: str
    judged: tuple[Judged, ...] = ()


@dataclass(frozen=True, slots=True)
class EvaluatedUtterance:
    """One utterance with its errors. The texts are as they were given; the alignment shows them as compared."""

    id: str
    speaker: str | None
    reference: str
    hypothesis: str
    word_errors: ErrorCounts
    word_alignment: Alignment
    char_errors: ErrorCounts
    judged: tuple[Judged, ...] = ()


class SpeakerResult(NamedTuple):
    """What one speaker's utterances come to."""

    speaker: str | None
    utterances: int
    words: ErrorCounts
    characters: ErrorCounts


def evaluate_pairs(pairs: Iterable[Pair], *, form: str = PLAIN) -> Report:
    """Compare what was recognised with what was said, utterance by utterance, in a form of `asr.text.normalize`.

    Raises `ReportError` where there are no pairs, and `training.metrics.MetricsError` where jiwer is not installed.
    """
    report = Report(tuple(_evaluated(pair, form) for pair in pairs), form)
    if not report.utterances:
        raise ReportError("no utterances to evaluate: give at least one with its reference text")
    return report


def _evaluated(pair: Pair, form: str) -> EvaluatedUtterance:
    ours, theirs = normalize(pair.reference, form), normalize(pair.hypothesis, form)
    word_errors, word_alignment = align_tokens(ours.split(), theirs.split())
    char_errors, _ = align_tokens(ours, theirs)
    return EvaluatedUtterance(
        pair.id,
        pair.speaker or None,
        pair.reference,
        pair.hypothesis,
        word_errors,
        word_alignment,
        char_errors,
        pair.judged,
    )


@dataclass(frozen=True)
class Report:
    """The figures of a test set, computed from its utterances when asked for; `form` is what they were compared in."""

    utterances: tuple[EvaluatedUtterance, ...]
    form: str = PLAIN

    @cached_property
    def words(self) -> ErrorCounts:
        """Errors of words in all utterances; its `rate` is the WER."""
        return sum((one.word_errors for one in self.utterances), ErrorCounts.zero())

    @cached_property
    def characters(self) -> ErrorCounts:
        """Errors of characters in all utterances; its `rate` is the CER."""
        return sum((one.char_errors for one in self.utterances), ErrorCounts.zero())

    @cached_property
    def judged(self) -> tuple[Judged, ...]:
        """The recognised words of all utterances with their confidences."""
        return tuple(word for one in self.utterances for word in one.judged)

    @cached_property
    def speakers(self) -> list[SpeakerResult]:
        """Results by speaker, in the order of their names; utterances without one come last, as speaker None."""
        groups: dict[str | None, list[EvaluatedUtterance]] = {}
        for one in self.utterances:
            groups.setdefault(one.speaker, []).append(one)
        return [
            SpeakerResult(
                name,
                len(groups[name]),
                sum((one.word_errors for one in groups[name]), ErrorCounts.zero()),
                sum((one.char_errors for one in groups[name]), ErrorCounts.zero()),
            )
            for name in sorted(groups, key=lambda name: (name is None, name or ""))
        ]

    @property
    def drawn(self) -> str:
        """What the bootstrap draws: `speakers` where there are two and each utterance has one, else `utterances`.

        Speakers are the honest choice, since errors of one speaker go together, but of a single speaker every draw is
        the same.
        """
        known = all(one.speaker is not None for one in self.utterances)
        return "speakers" if known and len(self.speakers) > 1 else "utterances"

    @cached_property
    def word_interval(self) -> tuple[float, float] | None:
        """95 % bootstrap interval of the WER; None where there is one utterance or no reference word."""
        return self._interval(lambda one: one.word_errors)

    @cached_property
    def char_interval(self) -> tuple[float, float] | None:
        """95 % bootstrap interval of the CER; None where there is one utterance or no reference character."""
        return self._interval(lambda one: one.char_errors)

    def _interval(self, errors_of: Callable[[EvaluatedUtterance], ErrorCounts]) -> tuple[float, float] | None:
        counts = [errors_of(one) for one in self.utterances]
        if len(counts) < 2 or not any(count.reference for count in counts):
            return None
        groups = [one.speaker or "" for one in self.utterances] if self.drawn == "speakers" else None
        return bootstrap_interval(counts, level=LEVEL, groups=groups)

    def confusions(self, limit: int) -> list[tuple[str | None, str | None, int]]:
        """The most frequent word errors as (reference, hypothesis, count).

        A deleted word has the hypothesis None, an inserted one the reference None.
        """
        counts = Counter(edit[1:] for one in self.utterances for edit in one.word_alignment if edit.op != "=")
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0][0] or "", item[0][1] or ""))
        return [(reference, hypothesis, count) for (reference, hypothesis), count in ranked[:limit]]

    def worst(self, limit: int) -> list[EvaluatedUtterance]:
        """Utterances with the most word errors; among equals, those with the highest rate come first."""
        wrong = [one for one in self.utterances if one.word_errors.errors]
        return sorted(wrong, key=lambda one: (-one.word_errors.errors, -one.word_errors.rate, one.id))[:limit]

    def summary(self) -> str:
        """The totals in three lines of plain text, and one on confidences where they are known."""
        wrong = sum(one.word_errors.errors > 0 for one in self.utterances)
        return "\n".join(
            [
                _total("WER", self.words, self.word_interval, "words"),
                _total("CER", self.characters, self.char_interval, "characters"),
                f"{wrong} of {len(self.utterances)} utterances have errors; {self._interval_note()}"
                + ("" if self.form == PLAIN else f"; compared as {self.form}"),
                *([Reliability(self.judged).summary()] if self.judged else []),
            ]
        )

    def to_markdown(self, *, title: str = "Evaluation", confusions: int = 20, worst: int = 10) -> str:
        """The whole report: totals, speakers, the `confusions` most frequent errors, the `worst` utterances aligned."""
        wrong = sum(one.word_errors.errors > 0 for one in self.utterances)
        parts = [
            f"# {escaped(title)}",
            f"{len(self.utterances)} utterances, {wrong} of them with errors. {STATED[self.form]} {CHARACTERS}",
            table(
                ["", "rate", "95 % interval", "substitutions", "deletions", "insertions", "in the reference"],
                [
                    _total_row("words (WER)", self.words, self.word_interval),
                    _total_row("characters (CER)", self.characters, self.char_interval),
                ],
            ),
            self._interval_note().capitalize() + ".",
        ]
        if self.judged:
            parts += ["## Confidence", Reliability(self.judged).to_markdown()]
        if any(result.speaker is not None for result in self.speakers):
            parts += ["## Speakers", table(*self._speaker_rows())]
        if self.words.errors:
            rows = [
                [escaped(reference or "(inserted)"), escaped(hypothesis or "(deleted)"), str(count)]
                for reference, hypothesis, count in self.confusions(confusions)
            ]
            parts += ["## Most frequent errors", table(["reference", "hypothesis", "times"], rows, text_columns=2)]
            parts.append("## Worst utterances")
            for one in self.worst(worst):
                errors = one.word_errors
                parts.append(
                    f"Utterance {escaped(one.id)}: {errors.substitutions} substituted, {errors.deletions} deleted, "
                    f"{errors.insertions} inserted; {errors.reference} in the reference"
                )
                parts.append(f"```text\n{aligned(one.word_alignment)}\n```")  # no line of it begins with backticks
        return "\n\n".join(parts) + "\n"

    def _interval_note(self) -> str:
        if self.word_interval is None:
            return "no interval: it takes two utterances with words in the reference"
        count = len(self.speakers) if self.drawn == "speakers" else len(self.utterances)
        return f"95 % intervals by bootstrap over {count} {self.drawn}"

    def _speaker_rows(self) -> tuple[list[str], list[list[str]]]:
        header = ["speaker", "utterances", "words", "WER", "substitutions", "deletions", "insertions", "CER"]
        rows = [
            [
                "(not stated)" if result.speaker is None else escaped(result.speaker),
                str(result.utterances),
                str(result.words.reference),
                _percent(result.words),
                *_edits(result.words),
                _percent(result.characters),
            ]
            for result in self.speakers
        ]
        return header, rows


def aligned(alignment: Alignment) -> str:
    """An alignment as three rows: the reference, the hypothesis, and S, D or I below what is wrong."""

    def shown(token: str | None, other: str | None) -> str:
        return "*" * width(other or "") if token is None else token

    return columns(
        {
            "reference": [shown(edit.reference, edit.hypothesis) for edit in alignment],
            "hypothesis": [shown(edit.hypothesis, edit.reference) for edit in alignment],
            "": ["" if edit.op == "=" else edit.op for edit in alignment],
        }
    )


def _percent(counts: ErrorCounts) -> str:
    return f"{100 * counts.rate:.2f} %" if math.isfinite(counts.rate) else "undefined"


def _range(interval: tuple[float, float] | None) -> str:
    return "none" if interval is None else f"{100 * interval[0]:.2f} to {100 * interval[1]:.2f} %"


def _edits(counts: ErrorCounts) -> list[str]:
    return [str(counts.substitutions), str(counts.deletions), str(counts.insertions)]


def _total(name: str, counts: ErrorCounts, interval: tuple[float, float] | None, unit: str) -> str:
    return (
        f"{name} {_percent(counts)} (95 % interval: {_range(interval)}): {counts.substitutions} substitutions, "
        f"{counts.deletions} deletions, {counts.insertions} insertions in {counts.reference} {unit}"
    )


def _total_row(name: str, counts: ErrorCounts, interval: tuple[float, float] | None) -> list[str]:
    return [name, _percent(counts), _range(interval), *_edits(counts), str(counts.reference)]
