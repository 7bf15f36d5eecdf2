"""Maps and offsets against other implementations, and which of them are chosen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from asr.confidence.calibration import Calibration
from asr.confidence.fitting import (
    AS_IT_IS,
    MAPS,
    Lag,
    Sample,
    choose,
    choose_times,
    common_times,
    enough,
    fewest,
    folds,
    isotonic,
    logistic,
    pool_adjacent,
    times_of_labels,
)


def drawn(count: int, *, slope: float, bias: float, seed: int = 0) -> list[Sample]:
    """Words whose scores have these log odds, and are right with the probability of a line through them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(2, 2, count)
    right = rng.random(count) < 1 / (1 + np.exp(-(slope * logits + bias)))
    least = logits - rng.exponential(1, count)
    return [
        Sample({"mean": m, "least": n, "labels": float(k % 3)}, bool(r), f"speaker{k % 12}")
        for k, (m, n, r) in enumerate(zip(logits.tolist(), least.tolist(), right.tolist(), strict=True))
    ]


def test_logistic_is_that_of_scikit_learn() -> None:
    samples = drawn(400, slope=0.4, bias=-1.0)
    names = ("mean", "least", "labels")
    x = [[one.evidence[name] for name in names] for one in samples]
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(x, [one.right for one in samples])
    ours = logistic(samples, names, prior=0.0)
    assert [*ours.weights.values(), ours.bias] == pytest.approx([*theirs.coef_[0], theirs.intercept_[0]], abs=1e-4)
    said = [ours(one.evidence) for one in samples]
    assert said == pytest.approx(theirs.predict_proba(x)[:, 1].tolist(), abs=1e-5)


def test_scores_that_divide_right_and_wrong_cleanly_ask_for_no_infinite_weights() -> None:
    samples = [Sample({"mean": x, "least": x, "labels": 0.0}, x > 0, str(x)) for x in (-3.0, -2.0, -1.0, 1.0, 2.0, 9.2)]
    for fit in MAPS.values():
        said = [fit(samples)(one.evidence) for one in samples]
        assert all(0 < p < 1 for p in said)
        assert said == sorted(said)
    everything_right = [one._replace(right=True) for one in samples]
    assert all(0.3 < MAPS["Platt"](everything_right)(one.evidence) < 1 for one in samples[2:])


@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=40))
def test_isotonic_is_that_of_scikit_learn(pairs: list[tuple[int, bool]]) -> None:
    x, y = (np.array(values, dtype=float) for values in zip(*pairs, strict=True))
    places, fitted = pool_adjacent(x, y)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(x, y)
    assert fitted == pytest.approx(theirs.predict(places))
    ours = isotonic([Sample({"mean": a}, bool(b), "") for a, b in pairs])
    between = np.linspace(-1, 9, 41)
    room = 1 / (len(pairs) + 2)
    # What is clipped is clipped before the lines are drawn, so a line to 0 or 1 differs by as much at most.
    assert [ours({"mean": one}) for one in between] == pytest.approx(theirs.predict(between), abs=room + 1e-9)


@pytest.mark.parametrize(
    ("slope", "bias", "expected"), [(1.0, 0.0, {AS_IT_IS}), (0.3, 0.0, {"temperature"}), (0.5, -1.5, {"Platt"})]
)
def test_the_map_is_chosen_that_the_words_were_made_with(slope: float, bias: float, expected: set[str]) -> None:
    chosen, losses = choose(drawn(3000, slope=slope, bias=bias))
    assert chosen in expected, losses
    assert losses[chosen] == min(losses.values())


def test_choosing_is_deterministic_and_does_not_depend_on_the_order_of_words() -> None:
    samples = drawn(300, slope=0.5, bias=-1.0)
    chosen, losses = choose(samples)
    assert choose(list(samples)) == (chosen, losses)
    backwards = choose(samples[::-1])
    assert backwards[0] == chosen
    assert backwards[1] == pytest.approx(losses)


@given(st.lists(st.sampled_from("abcdefghijklmnop"), min_size=1, max_size=60))
def test_folds_keep_groups_together_and_are_alike_in_size(groups: list[str]) -> None:
    of = folds(groups)
    assert len({(group, fold) for group, fold in zip(groups, of, strict=True)}) == len(set(groups))
    sizes = np.bincount([of[groups.index(group)] for group in set(groups)])
    assert sizes.max() - sizes.min() <= 1


def lags(offsets: dict[str, tuple[float, float]], count: int, *, spread: float = 0.01, seed: int = 0) -> list[Lag]:
    rng = np.random.default_rng(seed)
    return [
        Lag(start + rng.normal(0, spread), end + rng.normal(0, spread), label, label, f"g{k % 7}")
        for k in range(count)
        for label, (start, end) in offsets.items()
    ]


def test_offsets_are_medians_and_those_of_labels_where_they_differ() -> None:
    alike = lags({"a": (0.05, -0.2), "b": (0.05, -0.2)}, 40)
    common = common_times(alike)
    assert common.start == pytest.approx(-np.median([lag.start for lag in alike]), abs=1e-4)
    assert common.shifts("a", "b") == pytest.approx((-0.05, 0.2), abs=0.005)
    differ = lags({"a": (0.05, -0.2), "b": (0.15, -0.4)}, 40) + lags({"rare": (0.9, 0.9)}, 3)
    way, errors = choose_times(differ)
    assert way == "by label", errors
    times = times_of_labels(differ)
    assert times.shifts("a", "b") == pytest.approx((-0.05, 0.4), abs=0.005)
    assert times.shifts("rare", "rare") == (times.start, times.end), "too few for an offset of its own"


def test_offsets_that_do_not_help_are_not_taken() -> None:
    around_zero = lags({"a": (0.0, 0.0), "b": (0.0, 0.0)}, 3, spread=0.1)
    way, errors = choose_times(around_zero)
    assert errors[way][0] == min(start for start, _ in errors.values())


def test_too_little_is_said_to_be_so() -> None:
    samples = drawn(60, slope=1.0, bias=0.0)
    assert enough(samples) is None
    assert "49 recognised words" in enough(samples[:49])
    assert "one recording" in enough([one._replace(group="x") for one in samples])
    assert fewest([one._replace(right=k < 3) for k, one in enumerate(samples)]) == 3
    assert fewest([one._replace(right=k >= 4) for k, one in enumerate(samples)]) == 4


@pytest.mark.parametrize("name", list(MAPS))
def test_a_map_is_stored_and_says_the_same(name: str) -> None:
    samples = drawn(200, slope=0.5, bias=-1.0)
    calibration = Calibration(MAPS[name](samples), times_of_labels(lags({"a": (0.1, -0.3)}, 20)))
    again = Calibration.of(_Stored(calibration.stored()))
    assert again == calibration
    assert [again.confidence(one.evidence) for one in samples] == [
        calibration.confidence(one.evidence) for one in samples
    ]


class _Stored:
    """All of a model that a calibration is read from."""

    directory = None

    def __init__(self, calibration: dict):
        self.calibration = calibration
