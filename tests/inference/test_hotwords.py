"""Hot words against a reading of the finished text: what is boosted, and that nothing else is."""

from __future__ import annotations

import itertools
import math
import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.beam import prefix_beam
from inference.hotwords import HotWords

gain = runpy.run_path(str(Path(__file__).with_name("fusion_gain.py")))["gain"]

SPACE = 1
LETTERS = st.integers(2, 4)
WORD = st.lists(LETTERS, min_size=1, max_size=4)
PHRASE = st.lists(WORD, min_size=1, max_size=3).map(
    lambda words: tuple(itertools.chain(*([*word, SPACE] for word in words)))[:-1]
)


def occurrences(phrase: tuple[int, ...], text: tuple[int, ...], *, space: int | None) -> int:
    """How often a phrase stands in a text as whole words, found by looking everywhere."""
    if space is not None:  # two spaces are one
        text = tuple(label for k, label in enumerate(text) if label != space or k == 0 or text[k - 1] != space)
    found = 0
    for start in range(len(text) - len(phrase) + 1):
        end = start + len(phrase)
        begins = space is None or start == 0 or text[start - 1] == space
        ends = space is None or end == len(text) or text[end] == space
        found += begins and ends and text[start:end] == phrase
    return found


@given(
    phrases=st.dictionaries(PHRASE, st.floats(-5, 5), min_size=1, max_size=6),
    text=st.lists(st.integers(1, 4), max_size=14).map(tuple),
    spliced=st.booleans(),
    at=st.integers(0, 14),
)
def test_a_text_gains_the_boosts_of_the_phrases_in_it(phrases, text, spliced: bool, at: int) -> None:
    if spliced:
        text = (*text[:at], *next(iter(phrases)), *text[at:])
    fusion = HotWords(phrases, labels=5, space=SPACE)
    expected = math.fsum(boost * occurrences(phrase, text, space=SPACE) for phrase, boost in phrases.items())
    assert gain(fusion, text) == pytest.approx(expected, abs=1e-9)


@given(
    phrases=st.dictionaries(
        st.lists(st.integers(1, 3), min_size=1, max_size=3).map(tuple), st.floats(-5, 5), min_size=1
    ),
    text=st.lists(st.integers(1, 3), max_size=12).map(tuple),
)
def test_labels_that_are_words(phrases, text) -> None:
    fusion = HotWords(phrases, labels=4, space=None)
    expected = math.fsum(boost * occurrences(phrase, text, space=None) for phrase, boost in phrases.items())
    assert gain(fusion, text) == pytest.approx(expected, abs=1e-9)


@given(
    phrases=st.dictionaries(PHRASE, st.floats(-5, 5), min_size=1, max_size=6),
    space=st.sampled_from([SPACE, None]),
)
def test_with_and_without_a_table_it_does_the_same_and_no_gain_is_larger_than_it_says(phrases, space) -> None:
    tabulated = HotWords(phrases, labels=6, space=space)
    looked_up = HotWords(phrases, labels=6, space=space)
    looked_up._table = None
    pairs = np.divmod(np.arange(tabulated.states * 6), 6)
    gains, following = tabulated.extend(*pairs)
    for one, other in zip((gains, following), looked_up.extend(*pairs), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (gains <= tabulated.most()[pairs[1]] + 1e-12).all()


def test_many_phrases_take_the_memory_of_their_letters() -> None:
    rng = np.random.default_rng(0)
    phrases = {tuple(rng.integers(2, 5000, 8).tolist()): 1.0 for _ in range(4000)}
    fusion = HotWords(phrases, labels=5000, space=SPACE)
    assert fusion.states > 20_000
    assert sum(array.nbytes for array in vars(fusion._arcs).values() if isinstance(array, np.ndarray)) < 2_000_000
    for phrase in list(phrases)[:5]:
        assert gain(fusion, phrase) == pytest.approx(1.0)


def test_a_phrase_is_lent_its_boost_while_it_is_spelled() -> None:
    fusion = HotWords({(2, 3, 4, 2): 8.0}, labels=5, space=SPACE)
    state, lent = np.array([0]), []
    for label in (2, 3, 4, 2, 3):
        gains, state = fusion.extend(state, np.array([label]))
        lent.append(float(gains[0]))
    assert lent == [2.0, 2.0, 2.0, 2.0, -8.0]  # the last letter makes another word of it


def test_a_search_finds_the_hot_word_and_leaves_its_neighbours_alone() -> None:
    """Two letters nearly tie in the first word and in the second; only the first choice makes a hot word."""
    scores_TV = np.full((9, 5), -12.0)
    for t, (best, other) in enumerate([(2, None), (3, 4), (SPACE, None), (0, None), (2, None), (3, 4), (2, None)]):
        scores_TV[t, best] = 0.0
        if other is not None:
            scores_TV[t, other] = -2.0
    scores_TV[7:, 0] = 0.0
    scores_TV -= np.logaddexp.reduce(scores_TV, axis=1, keepdims=True)
    plain = prefix_beam(scores_TV)[0].labels
    assert plain == (2, 3, SPACE, 2, 3, 2)
    hot = HotWords({(2, 4): 5.0}, labels=5, space=SPACE)
    assert prefix_beam(scores_TV, fusion=hot)[0].labels == (2, 4, SPACE, 2, 3, 2)


@pytest.mark.parametrize("phrase", [(), (SPACE, 2), (2, SPACE)])
def test_what_is_no_phrase_is_refused(phrase: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="a phrase is empty, or begins or ends between words"):
        HotWords({phrase: 1.0}, labels=5, space=SPACE)
