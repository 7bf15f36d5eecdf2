"""Error counts against an edit distance of our own and against jiwer on strings; intervals against theory."""

from __future__ import annotations

import math
import subprocess
import sys

import jiwer
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from training.metrics import ErrorCounts, MetricsError, align_tokens, bootstrap_interval

TOKENS = st.lists(st.sampled_from(["a", "b", "c", " ", "", "1", "ß"]), max_size=8)


def distance(reference: list[str], hypothesis: list[str]) -> int:
    """Levenshtein distance by the textbook recurrence."""
    row = list(range(len(hypothesis) + 1))
    for i, ours in enumerate(reference, start=1):
        above, row = row, [i]
        for j, theirs in enumerate(hypothesis, start=1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (ours != theirs)))
    return row[-1]


@settings(deadline=None)
@given(reference=TOKENS, hypothesis=TOKENS)
@example(reference=[], hypothesis=[])
@example(reference=[], hypothesis=["a", "b"])
@example(reference=["a", ""], hypothesis=[])
def test_alignment_is_the_shortest_and_tells_the_counts(reference: list[str], hypothesis: list[str]) -> None:
    counts, alignment = align_tokens(reference, hypothesis)
    assert counts.errors == distance(reference, hypothesis)
    assert counts.reference == len(reference)
    assert [edit.reference for edit in alignment if edit.op != "I"] == reference
    assert [edit.hypothesis for edit in alignment if edit.op != "D"] == hypothesis
    assert all((edit.reference is None) == (edit.op == "I") for edit in alignment)
    assert all((edit.hypothesis is None) == (edit.op == "D") for edit in alignment)
    assert all((edit.reference == edit.hypothesis) == (edit.op == "=") for edit in alignment)
    ops = [edit.op for edit in alignment]
    assert (counts.substitutions, counts.deletions, counts.insertions) == tuple(ops.count(op) for op in "SDI")


def test_counts_and_rates_equal_those_of_jiwer_on_text() -> None:
    references = ["one two two three", "the cat sat on the mat", "नमस्ते दुनिया", "nothing"]
    hypotheses = ["one too three four", "cat sat at the the mat mat", "नमस्ते", "nothing"]
    words = [align_tokens(r.split(), h.split())[0] for r, h in zip(references, hypotheses, strict=True)]
    characters = [align_tokens(r, h)[0] for r, h in zip(references, hypotheses, strict=True)]
    assert sum(words, ErrorCounts.zero()).rate == pytest.approx(jiwer.wer(references, hypotheses))
    assert sum(characters, ErrorCounts.zero()).rate == pytest.approx(jiwer.cer(references, hypotheses))


def test_alignment_by_hand() -> None:
    reference, hypothesis = "one two three four five six", "one too four five six seven"
    counts, alignment = align_tokens(reference.split(), hypothesis.split())
    assert counts == ErrorCounts(substitutions=1, deletions=1, insertions=1, reference=6)
    assert counts.rate == 0.5
    assert alignment[0] == ("=", "one", "one")
    assert {edit.op for edit in alignment[1:3]} == {"S", "D"}  # "too" may stand for "two" or for "three"
    assert alignment[3:] == [
        ("=", "four", "four"),
        ("=", "five", "five"),
        ("=", "six", "six"),
        ("I", None, "seven"),
    ]


def test_rate_without_a_reference() -> None:
    assert ErrorCounts.zero().rate == 0.0
    assert align_tokens([], ["a"])[0].rate == math.inf
    assert align_tokens(["a"], [])[0].rate == 1.0
    assert align_tokens(["a"], ["b", "c", "d"])[0].rate == 3.0


def test_interval_has_the_width_that_theory_gives() -> None:
    # One word in each of n utterances: the rate is binomial, its standard error sqrt(p (1 - p) / n).
    rng = np.random.default_rng(4)
    counts = [ErrorCounts(int(wrong), 0, 0, 1) for wrong in rng.random(2000) < 0.2]
    rate = sum(counts, ErrorCounts.zero()).rate
    low, high = bootstrap_interval(counts, draws=4000)
    half = 1.96 * math.sqrt(rate * (1 - rate) / len(counts))
    assert (low, high) == pytest.approx((rate - half, rate + half), abs=0.1 * half)
    narrow = bootstrap_interval(counts, level=0.5, draws=4000)
    assert narrow[1] - narrow[0] == pytest.approx(2 * half * 0.6745 / 1.96, rel=0.1)


def test_interval_over_speakers_is_wider_where_they_differ() -> None:
    speakers = [f"speaker{i}" for i in range(20) for _ in range(50)]
    counts = [ErrorCounts(int(i % 2 == 0) * 2, 0, 0, 10) for i in range(20) for _ in range(50)]
    over_utterances = bootstrap_interval(counts)
    over_speakers = bootstrap_interval(counts, groups=speakers)
    theory = 2 * 1.96 * 0.1 / math.sqrt(20)  # each speaker's rate is 0 or 0.2, as by a fair coin
    assert over_speakers[1] - over_speakers[0] == pytest.approx(theory, rel=0.15)
    assert over_utterances[1] - over_utterances[0] == pytest.approx(theory / math.sqrt(50), rel=0.15)
    # The names say only who belongs together.
    assert bootstrap_interval(counts, groups=[name.upper() for name in speakers]) == over_speakers


def test_utterances_of_a_group_are_added_up() -> None:
    counts = [ErrorCounts(1, 0, 0, 10), ErrorCounts(0, 0, 9, 10), ErrorCounts(0, 2, 0, 20)]
    # Drawn are twice one of the two groups (rates 10 / 20 and 2 / 20) or both.
    low, high = bootstrap_interval(counts, groups=["a", "a", "b"])
    assert (low, high) == (0.1, 0.5)


def test_interval_is_the_same_each_time_and_follows_the_seed() -> None:
    counts = [ErrorCounts(i % 3, 0, i % 2, 5) for i in range(30)]
    assert bootstrap_interval(counts) == bootstrap_interval(counts)
    assert bootstrap_interval(counts) != bootstrap_interval(counts, seed=1)


def test_interval_of_a_perfect_result_and_of_one_utterance() -> None:
    assert bootstrap_interval([ErrorCounts(0, 0, 0, 3)] * 9) == (0.0, 0.0)
    assert bootstrap_interval([ErrorCounts(1, 0, 0, 4)]) == (0.25, 0.25)


def test_draws_of_silence_alone_do_not_spoil_the_interval() -> None:
    # A quarter of the draws of these two hold the silent one alone, whose rate is infinite.
    low, high = bootstrap_interval([ErrorCounts(0, 0, 2, 0), ErrorCounts(0, 1, 0, 10)])
    assert low == 0.1
    assert high == 0.3


@pytest.mark.parametrize(
    ("counts", "options", "message"),
    [
        ([], {}, "no reference tokens"),
        ([ErrorCounts(0, 0, 2, 0)], {}, "no reference tokens"),
        ([ErrorCounts(0, 0, 2, 4)], {"groups": ["a", "b"]}, "2 groups for 1 utterances"),
        ([ErrorCounts(0, 0, 2, 4)], {"level": 95.0}, "0 < level < 1"),
        ([ErrorCounts(0, 0, 2, 4)], {"draws": 0}, "draws >= 1"),
    ],
)
def test_no_interval_from_nothing(counts: list[ErrorCounts], options: dict, message: str) -> None:
    with pytest.raises(MetricsError, match=message):
        bootstrap_interval(counts, **options)


def test_without_jiwer_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jiwer", None)
    with pytest.raises(MetricsError, match=r"pip install 'saywave\[train\]'"):
        align_tokens(["a"], ["b"])


def test_importing_the_metrics_loads_neither_torch_nor_jiwer() -> None:
    code = (
        "import sys, training.metrics; print([name for name in ('torch', 'jiwer', 'lightning') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
