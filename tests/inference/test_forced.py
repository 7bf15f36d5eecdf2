"""Alignment of words that may be left out, against every path of every choice of words."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.ctc import AlignmentError, Emission, align
from inference.forced import align_words


def draw(seed: int, frames: int, size: int) -> np.ndarray:
    scores_TV = 2.0 * np.random.default_rng(seed).standard_normal((frames, size))
    return scores_TV - np.logaddexp.reduce(scores_TV, axis=1, keepdims=True)


def best_of_all(scores_TV: np.ndarray, words: list[list[int]], prices: list[float]) -> float:
    """Score of the best path, found by trying every path with every choice of words."""
    frames, size = scores_TV.shape
    best = -np.inf
    for path in itertools.product(range(size), repeat=frames):
        runs = [(label, len(list(group))) for label, group in itertools.groupby(path)]
        spoken, blank_before = [], []
        for k, (label, _) in enumerate(runs):
            if label:
                spoken.append(label)
                blank_before.append(k > 0 and runs[k - 1][0] == 0)
        for kept in itertools.product([False, True], repeat=len(words)):
            chosen = [k for k, keep in enumerate(kept) if keep]
            if [label for k in chosen for label in words[k]] != spoken:
                continue
            # After words that were left out, and some that were not, a path goes on from a blank.
            place, possible = 0, True
            for before, k in zip([None, *chosen], chosen, strict=False):
                if before is not None and k > before + 1:
                    possible &= blank_before[place]
                place += len(words[k])
            if possible:
                price = sum(one for one, keep in zip(prices, kept, strict=True) if not keep)
                best = max(best, sum(scores_TV[t, label] for t, label in enumerate(path)) - price)
    return best


def score_of(scores_TV: np.ndarray, found: list[list[Emission] | None], prices: list[float]) -> float:
    path = [0] * len(scores_TV)
    for one in itertools.chain.from_iterable(word for word in found if word is not None):
        assert path[one.start : one.end] == [0] * (one.end - one.start)
        path[one.start : one.end] = [one.label] * (one.end - one.start)
    price = sum(one for one, word in zip(prices, found, strict=True) if word is None)
    return sum(scores_TV[t, label] for t, label in enumerate(path)) - price


@given(
    seed=st.integers(0, 10_000),
    frames=st.integers(0, 5),
    words=st.lists(st.lists(st.integers(1, 2), min_size=1, max_size=2), min_size=1, max_size=4),
    price=st.sampled_from([0.5, 3.0, 30.0]),
)
def test_it_is_the_best_of_all_paths_and_all_choices(seed: int, frames: int, words, price: float) -> None:
    scores_TV = draw(seed, frames, 3)
    prices = [price + 0.1 * k for k in range(len(words))]
    found = align_words(scores_TV, words, prices)
    assert [[one.label for one in word] for word in found if word is not None] == [
        word for word, kept in zip(words, found, strict=True) if kept is not None
    ]
    assert score_of(scores_TV, found, prices) == pytest.approx(best_of_all(scores_TV, words, prices), abs=1e-9)


def test_where_nothing_is_left_out_it_is_the_alignment() -> None:
    scores_TV = draw(1, 80, 6)
    words = [[1, 2], [3], [3, 4], [5, 1, 1]]
    found = align_words(scores_TV, words, [1e6] * 4)
    assert list(itertools.chain(*found)) == align(scores_TV, list(itertools.chain(*words)))


def test_a_word_that_is_not_said_leaves_its_neighbours_where_they_are() -> None:
    scores_TV = np.full((40, 6), -14.0)
    scores_TV[:, 0] = 0.0
    for t, label in ((5, 1), (6, 2), (15, 3), (25, 4), (30, 5)):
        scores_TV[t, 0], scores_TV[t, label] = -14.0, 0.0
    said = [[1, 2], [3], [4, 5]]
    places = align_words(scores_TV, said, [6.0] * 3)
    for extra in range(4):
        words = [*said[:extra], [2, 4], *said[extra:]]
        found = align_words(scores_TV, words, [6.0] * 4)
        assert found[extra] is None
        assert [word for k, word in enumerate(found) if k != extra] == places
    several = align_words(scores_TV, [[2], [1, 2], [5], [5], [3], [4, 5], [1]], [6.0] * 7)
    assert [word is None for word in several] == [True, False, True, True, False, False, True]


def test_nothing_said_leaves_everything_out() -> None:
    silence_TV = np.log(np.full((10, 4), [0.97, 0.01, 0.01, 0.01]))
    assert align_words(silence_TV, [[1], [2, 3]], [2.0, 2.0]) == [None, None]
    assert align_words(silence_TV[:0], [[1], [2, 3]], [2.0, 2.0]) == [None, None]
    assert align_words(silence_TV, [], []) == []


@pytest.mark.parametrize("word", [[], [0], [4], [-1]])
def test_words_that_cannot_be_said(word: list[int]) -> None:
    with pytest.raises(AlignmentError, match="labels from 0 to 3 are needed, not the blank"):
        align_words(draw(0, 5, 4), [[1], word], [1.0, 1.0])
