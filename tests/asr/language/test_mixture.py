"""Mixed models, against the weighted mean of the models themselves, word by word."""

from __future__ import annotations

import itertools
import math
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.language.kneser_ney import EstimationError, estimate
from asr.language.mixture import Mixture, _left, best_weights, mix
from asr.language.models import write
from inference import ngram_file
from inference.ngram import NgramModel

Texts = list[list[list[str]]]


def text(seed: int, sentences: int = 40, words: str = "abcdef") -> list[list[str]]:
    draw = random.Random(seed)
    return [
        [words[int(len(words) * draw.random() ** 2)] for _ in range(draw.randrange(1, 7))] for _ in range(sentences)
    ]


def alone(sentences: list[list[str]], order: int) -> tuple[NgramModel, set[tuple[str, ...]]]:
    """The model of one text and its n-grams; where texts have the same words, so do their models."""
    made = estimate(sentences, order=order)
    names, found = [()], set()
    for level in made.levels:
        names = [
            (*names[parent], made.words[word])
            for parent, word in zip(level.parent_G.tolist(), level.word_G.tolist(), strict=True)
        ]
        found |= set(names)
    return NgramModel(made.words, made.levels), found


def log_probability(model: NgramModel, context: tuple[str, ...], word: str) -> float:
    begins = context[:1] == ("<s>",)
    state = model.begin() if begins else 0
    for before in context[begins:]:
        state = model.score(state, model.id(before))[1]
    return model.score(state, model.id(word))[0]


def model_of(mixed: Mixture) -> NgramModel:
    return NgramModel(mixed.words, mixed.levels)


def contexts(vocabulary: set[str], length: int) -> list[tuple[str, ...]]:
    inner = [one for n in range(length + 1) for one in itertools.product(sorted(vocabulary), repeat=n)]
    return inner + [("<s>", *one) for one in inner if len(one) < length]


@pytest.mark.parametrize("order", [1, 2, 3])
@given(seed=st.integers(0, 10_000), weight=st.floats(0.01, 0.99))
def test_an_n_gram_that_any_text_has_gets_the_mean_and_all_sum_to_1(order: int, seed: int, weight: float) -> None:
    words = "abcd"
    texts = [[list(words), *text(seed + number, 12, words)] for number in range(2)]
    vocabulary = {*words, "</s>", "<unk>"}
    (one, its), (other, others) = (alone(sentences, order) for sentences in texts)
    mixed = model_of(mix(texts, weights=[weight, 1 - weight], order=order))
    assert set(mixed.words) == vocabulary | {"<s>"}
    for context in contexts(set(words), order - 1):
        for word in vocabulary:
            if (*context, word) in its | others:
                mean = weight * math.exp(log_probability(one, context, word))
                mean += (1 - weight) * math.exp(log_probability(other, context, word))
                assert math.exp(log_probability(mixed, context, word)) == pytest.approx(mean, rel=1e-5)
        total = sum(math.exp(log_probability(mixed, context, word)) for word in vocabulary)
        assert total == pytest.approx(1, abs=1e-5)


def test_the_same_text_twice_is_the_model_of_it() -> None:
    sentences = text(3, 80)
    made = estimate(sentences, order=3)
    mixed = mix([sentences, sentences], weights=[3, 1], order=3)
    assert mixed.words == made.words
    for ours, theirs in zip(mixed.levels, made.levels, strict=True):
        np.testing.assert_array_equal(ours.parent_G, theirs.parent_G)
        np.testing.assert_array_equal(ours.word_G, theirs.word_G)
        np.testing.assert_allclose(ours.log_prob_G, theirs.log_prob_G, rtol=1e-9)
        np.testing.assert_allclose(ours.backoff_G, theirs.backoff_G, rtol=1e-9, atol=1e-12)


def test_other_readers_find_the_mean_in_the_file(tmp_path: Path) -> None:
    decoder = pytest.importorskip("flashlight.lib.text.decoder")
    from flashlight.lib.text.dictionary import Dictionary

    texts, weights = [[list("abcd"), *text(seed, 30, "abcd")] for seed in (1, 2, 3)], (0.5, 0.3, 0.2)
    models, ngrams = zip(*(alone(sentences, 3) for sentences in texts), strict=True)
    mixed = mix(texts, weights=weights)
    write(tmp_path / "mixed.arpa", mixed.words, mixed.levels)
    words = ["a", "b", "c", "d"]
    kenlm = decoder.KenLM(str(tmp_path / "mixed.arpa"), Dictionary(words))
    for context in contexts(set(words), 2):
        state = kenlm.start(context[:1] != ("<s>",))
        for word in context[context[:1] == ("<s>",) :]:
            state, _ = kenlm.score(state, words.index(word))
        for word in words:
            if (*context, word) in set().union(*ngrams):
                mean = np.dot(weights, [math.exp(log_probability(model, context, word)) for model in models])
                assert kenlm.score(state, words.index(word))[1] == pytest.approx(math.log10(mean), abs=1e-4)


def test_words_that_nothing_leaves_room_for_disturb_no_sum() -> None:
    left_MC, open_MC = np.array([[1e-3, 1e-6], [1e-3, 2e-6]]), np.array([[-1e-16, 1e-5], [1e-16, 1e-5]])
    np.testing.assert_allclose(_left(np.array([0.5, 0.5]), left_MC, open_MC), [1e-3, 1.5e-6])


def test_words_of_one_text_alone_are_known_and_the_rare_ones_go() -> None:
    texts = [[["a", "b"]] * 50 + [["rare", "a"]] * 2, [["b", "c"], ["c"]]]
    assert {"a", "b", "c", "rare"} < set(mix(texts, weights=[1, 1]).words)
    fewer = mix(texts, weights=[1, 1], vocabulary_size=3)
    # c is counted twice as rare is, of a text that is 25 times as short.
    assert fewer.words == ("<unk>", "<s>", "</s>", "a", "b", "c")
    assert [(part.num_sentences, part.num_words, part.num_unknown) for part in fewer.parts] == [(52, 104, 2), (2, 3, 0)]
    model = model_of(fewer)
    for context in contexts({"a", "b", "c", "<unk>"}, 2):
        total = sum(math.exp(log_probability(model, context, word)) for word in ["a", "b", "c", "<unk>", "</s>"])
        assert total == pytest.approx(1, abs=1e-5)


@given(st.lists(st.lists(st.floats(-12, -0.01), min_size=3, max_size=3), min_size=1, max_size=30))
def test_no_other_weights_make_the_text_likelier(rows: list[list[float]]) -> None:
    log_prob_MD = np.array(rows).T
    found_M = best_weights(log_prob_MD)
    assert found_M.sum() == pytest.approx(1)
    assert (found_M >= 0).all()
    steps = np.linspace(0, 1, 21)
    tried = [(a, b * (1 - a), (1 - a) * (1 - b)) for a in steps for b in steps]
    likelihoods = np.log(np.array(tried) @ np.exp(log_prob_MD)).mean(axis=1)
    assert np.log(found_M @ np.exp(log_prob_MD)).mean() >= likelihoods.max() - 1e-6


def test_weights_and_perplexities_are_those_of_the_development_text() -> None:
    texts = [[list("abcdef"), *text(1, 200)], [list("abcdef"), *text(2, 30, "fedcba")]]
    dev = [*text(5, 40, "fedcba"), ["a", "new", "b"]]
    mixed = mix(texts, dev=dev)
    models = [alone(sentences, 3)[0] for sentences in texts]
    assert mixed.parts[1].weight > 0.6
    for part, model in zip(mixed.parts, models, strict=True):
        assert part.perplexity == pytest.approx(model.perplexity(dev).excluding_unknown)
    whole = model_of(mixed).perplexity(dev)
    assert (whole.unknown, whole.sentences) == (1, 41)
    assert mixed.perplexity == pytest.approx(whole.excluding_unknown)
    assert mixed.perplexity < min(part.perplexity for part in mixed.parts)
    pruned = mix(texts, dev=dev, prune_entropy=1e-3)
    assert pruned.perplexity == pytest.approx(model_of(pruned).perplexity(dev).excluding_unknown)
    assert pruned.perplexity != pytest.approx(mixed.perplexity, rel=1e-3)
    again = mix(texts, weights=[part.weight for part in mixed.parts])
    assert all(
        np.array_equal(a, b) for x, y in zip(mixed.levels, again.levels, strict=True) for a, b in zip(x, y, strict=True)
    )


def test_what_is_left_out_makes_it_fit_and_all_sum_to_1() -> None:
    texts = [text(1, 300, "abcdefghij"), text(2, 60, "jihgfedcba")]
    whole = mix(texts, weights=[1, 1])
    most = ngram_file.size(whole.words, [len(level.word_G) for level in whole.levels], [0]) // 2 + 2048
    mixed = mix(texts, weights=[1, 1], fits=lambda words: lambda *counts: ngram_file.size(words, *counts) <= most)
    assert mixed.threshold > 0
    assert 0 < len(mixed.levels[2].word_G) < len(whole.levels[2].word_G)
    model = model_of(mixed)
    for context in contexts(set("abcdefghij"), 2):
        total = sum(math.exp(log_probability(model, context, word)) for word in [*"abcdefghij", "<unk>", "</s>"])
        assert total == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("texts", "settings", "said"),
    [
        ([[["a"]]], {"weights": [1]}, "two or more"),
        ([[["a"]], [["b"]]], {"weights": [1]}, "one above 0 for each of the 2 texts"),
        ([[["a"]], [["b"]]], {"weights": [1, 0]}, "one above 0"),
        ([[["a"]], [["b"]]], {"weights": [1, math.nan]}, "one above 0"),
        ([[["a"]], [[]]], {"weights": [1, 1]}, "not a single word in text 2"),
        ([[["a"]], [["</s>"]]], {"weights": [1, 1]}, "</s> is a word"),
        ([[["a"]], [["b"]]], {"dev": []}, "no word that the texts have"),
        ([[["a"]], [["b"]]], {"dev": [["c"], ["<unk>"]]}, "no word that the texts have"),
        ([[["a"]], [["b"]]], {"weights": [1, 1], "order": 11}, "the order is 11"),
    ],
)
def test_what_cannot_be_mixed_is_refused(texts: Texts, settings: dict, said: str) -> None:
    with pytest.raises(EstimationError, match=said):
        mix(texts, **settings)
