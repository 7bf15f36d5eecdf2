"""Sentences in a row: the rule spelled out word by word, and texts of which a model has only seen single sentences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.beam import BeamDecoder
from inference.fusion import LabelModel
from inference.in_a_row import InARow
from inference.lstm_lm import LstmModel

WORDS = ["one", "two", "three", "four"]


@pytest.fixture(scope="module")
def of_words(lstm_directory) -> LstmModel:
    return LstmModel(lstm_directory(WORDS, seed=4))


@pytest.fixture(scope="module")
def of_letters(lstm_directory) -> LstmModel:
    return LstmModel(lstm_directory(["<space>", "a", "b"], "letter", seed=5))


def walked(model, words: list[int]) -> float:
    state, total = np.array([model.begin()]), 0.0
    for word in words:
        scores, state = model.scores(state, np.array([word]))
        total += float(scores[0])
    return total + model.finish(int(state[0]))


def by_rule(lm: LstmModel, words: list[int], cost: float, space: int | None) -> float:
    """One decision after the other; the sentence so far is read anew each time."""

    def row(sentence: list[int]) -> np.ndarray:
        state = lm.begin()
        for word in sentence:
            state = lm.score(state, word)[1]
        return lm.scores(np.full(len(lm.words), state), np.arange(len(lm.words)))[0]

    sentence, total = [], 0.0
    for word in words:
        on = row(sentence)[word]
        anew = row(sentence)[lm.end] - cost + (row([])[word] if space is None else 0.0)
        if sentence and word != lm.end and (space is None or word == space) and anew > on:
            sentence, total = [word] if space is None else [], total + anew
        else:
            sentence, total = [*sentence, word], total + on
    return total + row(sentence)[lm.end]


@settings(max_examples=30)
@given(words=st.lists(st.integers(0, 5), max_size=10), cost=st.sampled_from([0.0, 0.7, 2.0]))
def test_words_go_on_or_begin_anew(of_words: LstmModel, words: list[int], cost: float) -> None:
    model = InARow(of_words.fork(), end=of_words.end, cost=cost)
    assert walked(model, words) == pytest.approx(by_rule(of_words, words, cost, None), abs=1e-4)


@settings(max_examples=30)
@given(words=st.lists(st.integers(0, 4), max_size=10), cost=st.sampled_from([0.0, 0.7]))
def test_letters_begin_anew_between_words(of_letters: LstmModel, words: list[int], cost: float) -> None:
    space = of_letters.id("<space>")
    model = InARow(of_letters.fork(), end=of_letters.end, space=space, cost=cost)
    assert walked(model, words) == pytest.approx(by_rule(of_letters, words, cost, space), abs=1e-4)


def test_many_pairs_get_what_each_gets_alone(of_words: LstmModel) -> None:
    model = InARow(of_words.fork(), end=of_words.end, cost=0.0)
    rng = np.random.default_rng(0)
    states_K = np.concatenate([[0, model.begin()], model.scores(np.full(20, model.begin()), rng.integers(0, 6, 20))[1]])
    for _ in range(4):
        words_K = rng.integers(0, 6, len(states_K))
        found_K, after_K = model.scores(states_K, words_K)
        for state, word, found, after in zip(states_K, words_K, found_K, after_K, strict=True):
            score, alone = model.scores(np.array([state]), np.array([word]))
            assert (score[0], alone[0]) == (pytest.approx(found, abs=1e-6), after)
        states_K = np.where(rng.random(len(states_K)) < 0.7, after_K, states_K)


def test_where_it_costs_too_much_it_never_begins_anew(of_words: LstmModel) -> None:
    model = InARow(of_words.fork(), end=of_words.end, cost=1e9)
    assert walked(model, [2, 3, 4, 2, 2]) == pytest.approx(
        of_words.log_probability(["one", "two", "three", "one", "one"]), abs=1e-5
    )


def test_a_stream_forgets_and_says_the_same_in_any_pushes(of_words: LstmModel) -> None:
    rng = np.random.default_rng(1)
    scores_TV = rng.normal(0, 2, (150, 5))
    scores_TV[::2, 0] += 8
    scores_TV -= np.logaddexp.reduce(scores_TV, axis=1, keepdims=True)
    model = InARow(of_words, end=of_words.end, cost=0.0)
    decoder = BeamDecoder(beam=6, fusion=LabelModel(model, [of_words.unknown, 2, 3, 4, 5], weight=0.5))
    whole = decoder.push(scores_TV) + decoder.flush()
    found = [one for t in range(0, 150, 7) for one in decoder.push(scores_TV[t : t + 7])]
    assert decoder._settings.fusion._model._model.held < 6 * 18
    assert found + decoder.flush() == whole
