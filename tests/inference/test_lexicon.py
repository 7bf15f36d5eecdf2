"""Search through a lexicon, against all paths of all sequences of its words."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.beam import BeamDecoder, prefix_beam
from inference.hotwords import HotWords
from inference.lexicon import LexiconModel, Spellings

SPACE = 1
# Word 1 is spelled in two ways, 2 and 3 are spelled alike, 0 begins 1, and 0 0 sounds as 4.
SPELLINGS = [(0, (2,)), (1, (2, 3)), (1, (3, 3)), (2, (3, 2)), (3, (3, 2)), (4, (2, 2))]
WORDS, END = 5, 5


class Bigrams:
    """A language model in a table; the state is the last word, 0 (of five) stands for being without context too."""

    def __init__(self, seed: int):
        table = np.random.default_rng(seed).normal(0, 1.5, (WORDS + 1, WORDS + 1))
        self.table = table - np.logaddexp.reduce(table, axis=1, keepdims=True)

    def begin(self) -> int:
        return 0

    def scores(self, states_K: np.ndarray, words_K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.table[states_K, words_K], np.asarray(words_K) + 1

    def finish(self, state: int) -> float:
        return float(self.table[state, END])

    def of(self, words: tuple[int, ...]) -> float:
        states = [0, *(word + 1 for word in words)]
        return math.fsum(self.table[state, word] for state, word in zip(states, [*words, END], strict=True))


def draw(seed: int, frames: int) -> np.ndarray:
    scores_TV = 2 * np.random.default_rng(seed).standard_normal((frames, 4))
    return scores_TV - np.logaddexp.reduce(scores_TV, axis=1, keepdims=True)


def labellings(scores_TV: np.ndarray) -> dict[tuple[int, ...], float]:
    mass: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(scores_TV.shape[1]), repeat=len(scores_TV)):
        labels = tuple(label for label, _ in itertools.groupby(path) if label)
        mass[labels] = mass.get(labels, 0.0) + math.exp(sum(scores_TV[t, v] for t, v in enumerate(path)))
    return mass


def readings(labels: tuple[int, ...], *, space: bool) -> list[tuple[int, ...]]:
    """All ways to read labels as words; once for each way in which they are spelled."""
    if space:
        spelled = [tuple(group) for is_space, group in itertools.groupby(labels, lambda v: v == SPACE) if not is_space]
        ways = [[word for word, spelling in SPELLINGS if spelling == one] for one in spelled]
        return [tuple(words) for words in itertools.product(*ways)]
    if not labels:
        return [()]
    return [
        (word, *rest)
        for word, spelling in SPELLINGS
        if labels[: len(spelling)] == spelling
        for rest in readings(labels[len(spelling) :], space=False)
    ]


@pytest.mark.parametrize("space", [True, False])
@pytest.mark.parametrize("with_model", [True, False])
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), frames=st.integers(0, 6), hot=st.booleans())
def test_a_wide_search_is_that_of_all_readings(
    space: bool, with_model: bool, seed: int, frames: int, hot: bool
) -> None:
    scores_TV, tree, model = draw(seed, frames), Spellings(SPELLINGS, labels=4), Bigrams(seed)
    if not space:
        scores_TV[:, SPACE] = -40.0
    bonus_W = np.random.default_rng(seed).normal(0, 1, WORDS)
    phrases = {(3,): 2.0, (0, 1): 1.5}
    fusion = LexiconModel(
        tree,
        model=model if with_model else None,
        numbers_W=range(WORDS),
        bonus_W=bonus_W,
        weight=0.7,
        space=SPACE if space else None,
        hot_words=HotWords(phrases, labels=WORDS, space=None) if hot else None,
    )
    expected: dict[tuple[tuple[int, ...], tuple[int, ...]], float] = {}
    for labels, probability in labellings(scores_TV).items():
        for words in readings(labels, space=space):
            gain = sum(bonus_W[list(words)]) + (0.7 * model.of(words) if with_model else 0.0)
            if hot:
                gain += 2.0 * words.count(3) + 1.5 * list(itertools.pairwise(words)).count((0, 1))
            expected[labels, words] = math.log(probability) + gain
    decoder = BeamDecoder(beam=5000, prune=math.inf, fusion=fusion, sounds=tree.sounds)
    decoder.push(scores_TV)
    found = {}
    for one in decoder.hypotheses(5000):
        words = tuple(word for word, _ in tree.read(one.labels) if word is not None)
        labels = tuple(tree.sounds[list(one.labels)].tolist())
        if one.score > -300:  # not one that ends within a word
            assert (labels, words) not in found or not space
            found[labels, words] = max(one.score, found.get((labels, words), -math.inf))
    possible = {key: score for key, score in expected.items() if score > -30}
    assert {key: score for key, score in found.items() if score > -30} == pytest.approx(possible, abs=1e-9)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), pieces=st.lists(st.integers(1, 40), min_size=1, max_size=5), space=st.booleans())
def test_any_pushes_equal_the_whole(seed: int, pieces: list[int], space: bool) -> None:
    scores_TV, tree = draw(seed, 120), Spellings(SPELLINGS, labels=4)
    fusion = LexiconModel(
        tree, model=Bigrams(seed), numbers_W=range(WORDS), bonus_W=[1.0] * WORDS, space=SPACE if space else None
    )
    decoder = BeamDecoder(beam=8, fusion=fusion, sounds=tree.sounds)
    whole = decoder.push(scores_TV) + decoder.flush()
    found, at = [], 0
    for piece in itertools.cycle(pieces):
        found += decoder.push(scores_TV[at : at + piece])
        at += piece
        if at >= len(scores_TV):
            break
    assert found + decoder.flush() == whole
    best = prefix_beam(scores_TV, beam=8, fusion=fusion, sounds=tree.sounds)[0]
    assert tuple(one.label for one in whole) == best.labels
    read = tree.read(best.labels)
    assert read[-1][0] is not None or tree.sounds[best.labels[-1]] == SPACE
    assert all(a.end <= b.start for a, b in itertools.pairwise(whole))


def test_no_gain_is_larger_than_it_says() -> None:
    tree = Spellings(SPELLINGS, labels=4)
    hot = HotWords({(3,): 2.0, (0, 1): 1.5}, labels=WORDS, space=None)
    for space in (SPACE, None):
        fusion = LexiconModel(
            tree, model=Bigrams(1), numbers_W=range(WORDS), bonus_W=range(WORDS), space=space, hot_words=hot
        )
        symbols = np.arange(len(tree.sounds))
        states = np.array([fusion.begin()])
        for _ in range(6):
            pairs = np.repeat(states, len(symbols)), np.tile(symbols, len(states))
            gains, following = fusion.extend(*pairs)
            assert (gains <= fusion.most()[pairs[1]] + 1e-12).all()
            states = np.unique(following[gains > -math.inf])
            assert len(states) > 1
