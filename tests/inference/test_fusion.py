"""Language models in a beam search against the reading of finished texts, and against the search of every labelling."""

from __future__ import annotations

import itertools
import math
import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference import remembering
from inference.beam import prefix_beam
from inference.fusion import LabelModel, WithHotWords, WordModel
from inference.hotwords import HotWords
from inference.in_a_row import InARow
from inference.spellings import Spelled, SpellingTree

gain = runpy.run_path(str(Path(__file__).with_name("fusion_gain.py")))["gain"]

SPACE = 1
# <unk>, </s> and five words over the letters 2, 3, 4; one is the beginning of another.
SPELLINGS = [None, None, (2,), (2, 3), (3, 3, 2), (4,), (4, 2, 2)]
UNKNOWN, END = 0, 1


class Bigrams:
    """A language model in a table; the state is one more than the last word, 0 is without context."""

    def __init__(self, seed: int, words: int = len(SPELLINGS)):
        table = np.random.default_rng(seed).normal(0, 2, (words + 1, words))
        self.table = table - np.logaddexp.reduce(table, axis=1, keepdims=True)

    def begin(self) -> int:
        return END + 1

    def scores(self, states_K: np.ndarray, words_K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.table[states_K, words_K], np.asarray(words_K) + 1

    def finish(self, state: int) -> float:
        return float(self.table[state, END])

    def of(self, words: list[int]) -> float:
        return math.fsum(self.table[before + 1, word] for before, word in itertools.pairwise([END, *words, END]))


def words_of(labels: tuple[int, ...]) -> list[int]:
    spelled = [tuple(group) for space, group in itertools.groupby(labels, lambda label: label == SPACE) if not space]
    return [SPELLINGS.index(word) if word in SPELLINGS else UNKNOWN for word in spelled]


def spelled(model: Bigrams, **settings) -> WordModel:
    tree = SpellingTree(Spelled.of(SPELLINGS), labels=5)
    return WordModel(model, tree, unknown=UNKNOWN, space=SPACE, weight=0.7, bonus=1.1, **settings)


def expected(model: Bigrams, labels: tuple[int, ...], *, unknown_bonus: float) -> float:
    words = words_of(labels)
    return 0.7 * model.of(words) + 1.1 * len(words) + unknown_bonus * words.count(UNKNOWN)


TEXT = st.lists(st.integers(1, 4), max_size=14).map(tuple)


@given(text=TEXT, seed=st.integers(0, 20), unknown_bonus=st.sampled_from([-5.0, 0.0, 2.0]))
def test_a_text_gains_what_the_language_model_says_of_its_words(text, seed: int, unknown_bonus: float) -> None:
    model = Bigrams(seed)
    found = gain(spelled(model, unknown_bonus=unknown_bonus), text)
    assert found == pytest.approx(expected(model, text, unknown_bonus=unknown_bonus), abs=1e-9)


@given(text=TEXT, seed=st.integers(0, 20))
def test_hot_words_add_theirs(text, seed: int) -> None:
    model, hot = Bigrams(seed), HotWords({(2, 3): 3.0, (4, SPACE, 2): 1.5}, labels=5, space=SPACE)
    assert gain(WithHotWords(spelled(model), hot), text) == pytest.approx(
        expected(model, text, unknown_bonus=-5.0) + gain(hot, text), abs=1e-9
    )


@given(text=TEXT, seed=st.integers(0, 20))
def test_labels_that_are_what_the_language_model_is_of(text, seed: int) -> None:
    model = Bigrams(seed)
    words_V = [0, 2, 3, 4, 5]
    assert gain(LabelModel(model, words_V, weight=0.7, bonus=1.1), text) == pytest.approx(
        0.7 * model.of([words_V[label] for label in text]) + 1.1 * len(text), abs=1e-9
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_wide_search_finds_the_best_of_all_labellings(seed: int) -> None:
    scores_TV = np.random.default_rng(seed).normal(0, 1.5, (6, 5))
    scores_TV -= np.logaddexp.reduce(scores_TV, axis=1, keepdims=True)
    model = Bigrams(seed)
    fusion = WithHotWords(spelled(model), HotWords({(2, 3): 3.0}, labels=5, space=SPACE))
    mass: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(5), repeat=6):
        labels = tuple(label for label, _ in itertools.groupby(path) if label)
        mass[labels] = mass.get(labels, 0.0) + math.exp(sum(scores_TV[t, v] for t, v in enumerate(path)))
    totals = {labels: math.log(p) + gain(fusion, labels) for labels, p in mass.items()}
    best = max(totals, key=totals.get)
    found = prefix_beam(scores_TV, beam=4000, prune=math.inf, fusion=fusion)[0]
    assert found.labels == best
    assert found.score == pytest.approx(totals[best], abs=1e-9)


@pytest.mark.parametrize("unknown_bonus", [-5.0, 3.0])
def test_no_gain_is_larger_than_it_says(unknown_bonus: float) -> None:
    model, hot = Bigrams(0), HotWords({(2, 3): 3.0, (3, 4): -2.0}, labels=5, space=SPACE)
    fusion = WithHotWords(spelled(model, unknown_bonus=unknown_bonus), hot)
    labelled = LabelModel(model, [0, 2, 3, 4, 5], weight=0.7, bonus=1.0, unknown=0, unknown_bonus=unknown_bonus)
    for one, words in ((fusion, 400), (labelled, 300)):
        state = np.array([one.begin()])
        for label in np.random.default_rng(0).integers(1, 5, words):
            gains, state = one.extend(state, np.array([label]))
            assert gains[0] <= one.most()[label] + 1e-12


def test_labels_that_it_does_not_know_can_cost_more() -> None:
    model = Bigrams(0)
    plain = gain(LabelModel(model, [0, 2, UNKNOWN, 4, 5], weight=0.7), (1, 2, 3))
    assert gain(
        LabelModel(model, [0, 2, UNKNOWN, 4, 5], weight=0.7, unknown=UNKNOWN, unknown_bonus=-9.0), (1, 2, 3)
    ) == (pytest.approx(plain - 9.0))


def test_of_words_that_are_spelled_alike_the_likeliest_is_meant() -> None:
    for likeliest in (2, 3, 4):
        model = Bigrams(3)
        model.table[0, 2:5] = -5.0
        model.table[0, likeliest] = -0.3
        tree = SpellingTree(Spelled.of([None, None, (2, 3), (2, 3), (2, 3), (4,), (4, 2)]), labels=5)
        fusion = WordModel(model, tree, unknown=UNKNOWN, space=SPACE, weight=1.0)
        assert gain(fusion, (2, 3)) == pytest.approx(model.of([likeliest]))


def test_a_closed_vocabulary_writes_no_other_words() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        scores_TV = rng.normal(0, 3, (40, 5))
        scores_TV -= np.logaddexp.reduce(scores_TV, axis=1, keepdims=True)
        found = prefix_beam(scores_TV, beam=16, fusion=spelled(Bigrams(1), unknown_bonus=-1000.0))[0]
        assert UNKNOWN not in words_of(found.labels)
        assert words_of(found.labels)


def test_what_has_nothing_to_forget_is_one_and_the_same_in_all_searches() -> None:
    model, hot = Bigrams(0), HotWords({(2, 3): 3.0}, labels=5, space=SPACE)
    in_a_row = InARow(model, end=END)
    fusions = [spelled(in_a_row), LabelModel(in_a_row, range(5), weight=0.5), WithHotWords(spelled(in_a_row), hot), hot]
    assert all(remembering.fork(fusion) is fusion for fusion in fusions)
