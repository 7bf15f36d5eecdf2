"""Confusions and accuracy against scikit-learn and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

from training.metrics import Confusion, ErrorCounts, MetricsError, accuracy_interval, bootstrap_interval

LABELS = ["none", "wave", "a, b", "straße"]
PAIRS = st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1, max_size=30)


@given(PAIRS)
def test_figures_equal_those_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    reference, recognised = (list(side) for side in zip(*pairs, strict=True))
    confusion = Confusion.of(LABELS, reference, recognised)
    assert confusion.counts_VV.tolist() == confusion_matrix(reference, recognised, labels=LABELS).tolist()
    assert confusion.accuracy == pytest.approx(accuracy_score(reference, recognised))
    precision_V, recall_V, f1_V, _ = precision_recall_fscore_support(
        reference, recognised, labels=LABELS, zero_division=np.nan
    )
    np.testing.assert_allclose(confusion.precision_V, precision_V)
    np.testing.assert_allclose(confusion.recall_V, recall_V)
    np.testing.assert_allclose(confusion.f1_V, f1_V)
    # Without labels scikit-learn averages over those that occur.
    assert confusion.macro_f1 == pytest.approx(f1_score(reference, recognised, average="macro"))


@given(PAIRS, PAIRS)
def test_parts_add_up_to_the_whole(first: list[tuple[str, str]], second: list[tuple[str, str]]) -> None:
    parts = [Confusion.of(LABELS, *(list(side) for side in zip(*pairs, strict=True))) for pairs in (first, second)]
    whole = Confusion.of(LABELS, *(list(side) for side in zip(*first, *second, strict=True)))
    assert (parts[0] + parts[1]).counts_VV.tolist() == whole.counts_VV.tolist()
    assert whole.total == len(first) + len(second)


def test_confusions_are_ranked() -> None:
    confusion = Confusion(("a", "b", "c"), np.array([[9, 1, 0], [3, 9, 1], [0, 2, 9]]))
    assert confusion.confused(10) == [("b", "a", 3), ("c", "b", 2), ("a", "b", 1), ("b", "c", 1)]
    assert confusion.confused(1) == [("b", "a", 3)]
    assert Confusion.of(["a"], ["a"], ["a"]).confused(5) == []


def test_nothing_has_no_share() -> None:
    nothing = Confusion.of(["a", "b"], [], [])
    assert math.isnan(nothing.accuracy)
    assert math.isnan(nothing.macro_f1)
    assert nothing.total == 0


def test_classes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(MetricsError, match="'c' is none of a, b"):
        Confusion.of(["a", "b"], ["a"], ["c"])
    with pytest.raises(MetricsError, match="2 references for 1 answers"):
        Confusion.of(["a", "b"], ["a", "a"], ["b"])
    with pytest.raises(MetricsError, match="once"):
        Confusion.of(["a", "a"], ["a"], ["a"])
    with pytest.raises(MetricsError, match="shape"):
        Confusion(("a", "b"), np.zeros((2, 3), dtype=np.int64))
    with pytest.raises(MetricsError, match="another order"):
        Confusion.of(["a", "b"], [], []) + Confusion.of(["b", "a"], [], [])


@given(right=st.integers(0, 40), wrong=st.integers(0, 40), level=st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_interval_equals_that_of_scipy(right: int, wrong: int, level: float) -> None:
    correct = [True] * right + [False] * wrong
    if not correct:
        return
    expected = binomtest(right, right + wrong).proportion_ci(level, method="wilson")
    assert accuracy_interval(correct, level=level) == pytest.approx(tuple(expected), abs=1e-12)


def test_interval_over_signers_is_that_of_the_error_rate() -> None:
    correct = [True, True, False, True, False, False, True, True]
    signers = ["a", "a", "b", "b", "c", "c", "d", "d"]
    counts = [ErrorCounts(int(not right), 0, 0, 1) for right in correct]
    low, high = bootstrap_interval(counts, groups=signers)
    assert accuracy_interval(correct, groups=signers) == (1 - high, 1 - low)
    assert accuracy_interval(correct, groups=signers)[0] < 5 / 8 < accuracy_interval(correct, groups=signers)[1]


def test_no_interval_from_nothing() -> None:
    with pytest.raises(MetricsError, match="no clips"):
        accuracy_interval([])
    with pytest.raises(MetricsError, match="level"):
        accuracy_interval([True], level=95)
    with pytest.raises(MetricsError, match="1 groups for 2"):
        accuracy_interval([True, False], groups=["a"])
