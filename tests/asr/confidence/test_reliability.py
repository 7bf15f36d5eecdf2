"""Errors of calibration by hand, by brute force and by scikit-learn; reports and plots of them."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, roc_auc_score

from asr.confidence.reliability import Judged, Reliability, ReliabilityError, judge
from asr.report import Pair, evaluate_pairs
from asr.transcript import Word

JUDGED = st.lists(st.builds(Judged, st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


def test_by_hand() -> None:
    """Two bins: 0.2 and 0.4, one of them right; 0.6, 0.9 and 0.9, two of them right."""
    words = [Judged(0.2, False), Judged(0.4, True), Judged(0.6, False), Judged(0.9, True), Judged(0.9, True)]
    reliability = Reliability(tuple(words))
    assert reliability.ece(2) == pytest.approx(2 / 5 * abs(0.5 - 0.3) + 3 / 5 * abs(2 / 3 - 0.8))
    # Of equal mass: 0.2, 0.4, 0.6 with one right, and 0.9, 0.9 with both.
    assert reliability.ece_by_mass(2) == pytest.approx(3 / 5 * abs(1 / 3 - 0.4) + 2 / 5 * abs(1 - 0.9))
    assert reliability.brier == pytest.approx((0.04 + 0.36 + 0.36 + 0.01 + 0.01) / 5)
    assert reliability.auc == pytest.approx(5 / 6)
    assert (reliability.right, reliability.confidence) == (pytest.approx(0.6), pytest.approx(0.6))


@given(JUDGED, st.integers(1, 20))
def test_the_error_in_bins_of_equal_width_by_brute_force(words: list[Judged], bins: int) -> None:
    error = Fraction(0)
    for number in range(bins):
        # Products in floats, as the bins are defined by them: 0.1 * 10 is 1.
        of = [w for w in words if number < w.confidence * bins <= number + 1 or (number == 0 and w.confidence == 0)]
        error += abs(sum(Fraction(w.confidence) for w in of) - sum(w.right for w in of)) / len(words)
    assert Reliability(tuple(words)).ece(bins) == pytest.approx(float(error), abs=1e-9)


@given(JUDGED, st.integers(1, 20))
def test_each_word_is_in_one_bin_and_the_error_never_exceeds_that_of_single_words(words, bins: int) -> None:
    reliability = Reliability(tuple(words))
    for divided in (reliability.by_width(bins), reliability.by_mass(bins)):
        assert sum(one.words for one in divided) == len(words)
        assert sum(one.words * one.right for one in divided) == pytest.approx(sum(word.right for word in words))
    sizes = [one.words for one in reliability.by_mass(bins)]
    assert max(sizes) - min(sizes) <= 1
    alone = sum(abs(word.confidence - word.right) for word in words) / len(words)
    whole = abs(reliability.confidence - reliability.right)
    for error in (reliability.ece(bins), reliability.ece_by_mass(bins)):
        assert whole - 1e-9 <= error <= alone + 1e-9


@given(JUDGED)
def test_brier_score_and_area_are_those_of_scikit_learn(words: list[Judged]) -> None:
    reliability = Reliability(tuple(words))
    said, right = zip(*words, strict=True)
    assert reliability.brier == pytest.approx(brier_score_loss(right, said, pos_label=True))
    if len(set(right)) == 2:
        assert reliability.auc == pytest.approx(roc_auc_score(right, said))
    else:
        assert reliability.auc is None


def test_substituted_and_inserted_words_are_wrong() -> None:
    words = [Word(text, k, k + 0.5, 0.1 * k) for k, text in enumerate(("One,", "too", "three", "four", "five"))]
    assert judge(words, "one two three five six") == [
        Judged(0.0, True),
        Judged(0.1, False),
        Judged(0.2, True),
        Judged(pytest.approx(0.3), False),
        Judged(0.4, True),
    ]
    assert judge([], "one") == []
    assert [word.right for word in judge(words, "")] == [False] * 5


def test_no_words_have_no_reliability() -> None:
    with pytest.raises(ReliabilityError, match="no word was recognised"):
        Reliability(())


def test_the_report_has_it_where_confidences_are_known(tmp_path: Path) -> None:
    judged = tuple(Judged(0.9, k > 0) for k in range(10))
    report = evaluate_pairs([Pair("a", None, "x", "x", judged), Pair("b", None, "x", "y", (Judged(0.5, False),))])
    expected = Reliability((*judged, Judged(0.5, False)))
    assert expected.summary() in report.summary()
    assert f"ECE {expected.ece():.3f}" in report.to_markdown()
    assert "| 0.87 to 0.93 | 10 | 90.0 % | 90.0 % |" in report.to_markdown()
    unknown = evaluate_pairs([Pair("a", None, "x", "x"), Pair("b", None, "x", "y")])
    assert "ECE" not in unknown.summary() + unknown.to_markdown()


def test_the_plot_is_a_picture(tmp_path: Path) -> None:
    reliability = Reliability((Judged(0.9, True), Judged(0.2, False)))
    reliability.plot(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ReliabilityError, match=r"plot\.txt: no picture can be of this kind"):
        reliability.plot(tmp_path / "plot.txt")
    assert not math.isnan(reliability.ece())
