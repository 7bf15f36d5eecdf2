"""Pruning by relative entropy, against the relative entropy of whole distributions."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.language import entropy
from asr.language.kneser_ney import EstimationError, estimate
from inference import ngram_file
from inference.ngram import NgramModel

Ngram = tuple[str, ...]


def text(seed: int, sentences: int = 60, words: int = 8) -> list[list[str]]:
    draw = random.Random(seed)
    return [[f"w{int(words * draw.random() ** 3)}" for _ in range(draw.randrange(1, 8))] for _ in range(sentences)]


def ngrams(made) -> dict[Ngram, tuple[float, float]]:
    """Probability and back-off weight of each n-gram."""
    found, before = {}, [()]
    for level in made.levels:
        here = [
            (*before[parent], made.words[word])
            for parent, word in zip(level.parent_G.tolist(), level.word_G.tolist(), strict=True)
        ]
        found.update(zip(here, zip(np.exp(level.log_prob_G), np.exp(level.backoff_G), strict=True), strict=True))
        before = here
    return found


def probability(model: dict[Ngram, tuple[float, float]], context: Ngram, word: str) -> float:
    if (*context, word) in model:
        return model[*context, word][0]
    return model.get(context, (0, 1.0))[1] * probability(model, context[1:], word)


def expected_weight(model: dict[Ngram, tuple[float, float]], sentences: list[list[str]], ngram: Ngram) -> float:
    """exp(D(p || p')) - 1 of the models with and without an n-gram, over all words after its context."""
    context, vocabulary = ngram[:-1], [one for (one,) in (n for n in model if len(n) == 1) if one != "<s>"]
    texts = [["<s>", *sentence, "</s>"] for sentence in sentences]
    times = sum(tuple(one[k : k + len(context)]) == context for one in texts for k in range(len(one) - len(context)))
    share = times / sum(len(one) - 1 for one in texts)
    without = {other: values for other, values in model.items() if other != ngram}
    explicit = [word for word in vocabulary if (*context, word) in without]
    left = 1 - sum(model[*context, word][0] for word in explicit)
    left /= 1 - sum(probability(model, context[1:], word) for word in explicit)
    without[context] = (model[context][0], left)
    before = {word: probability(model, context, word) for word in vocabulary}
    assert sum(before.values()) == pytest.approx(1)
    assert sum(probability(without, context, word) for word in vocabulary) == pytest.approx(1)
    return math.expm1(share * sum(p * math.log(p / probability(without, context, word)) for word, p in before.items()))


@pytest.mark.parametrize("prune", [(0,), (0, 0, 1)])
def test_an_n_gram_weighs_the_relative_entropy_of_what_is_without_it(monkeypatch, prune: tuple[int, ...]) -> None:
    seen = []
    real = entropy.weights
    monkeypatch.setattr(entropy, "weights", lambda orders: seen.append(real(orders)) or seen[-1])
    sentences = text(1)
    model = ngrams(made := estimate(sentences, order=3, prune=prune))
    estimate(sentences, order=3, prune=prune, prune_entropy=1e-30)
    own = {ngram: expected_weight(model, sentences, ngram) for ngram in model if len(ngram) > 1 and ngram[-1] != "<s>"}
    for level, weight_G in zip(made.levels[1:], seen[0][1:], strict=True):
        assert np.count_nonzero(weight_G) == len(level.word_G)
    of_trigrams = [own[ngram] for ngram in model if len(ngram) == 3]
    np.testing.assert_allclose(seen[0][2][seen[0][2] > 0], of_trigrams, rtol=1e-6)
    # One that others begin with stays with the heaviest of them.
    of_bigrams = [
        max([own[ngram], *(own[longer] for longer in model if len(longer) == 3 and longer[:2] == ngram)])
        for ngram in model
        if len(ngram) == 2
    ]
    np.testing.assert_allclose(seen[0][1], of_bigrams, rtol=1e-6)


@given(
    seed=st.integers(0, 1000),
    words=st.integers(1, 8),
    order=st.integers(2, 5),
    share=st.floats(-6, -1),
    cut=st.integers(0, 1),
)
def test_what_is_left_sums_to_one_and_is_as_probable_as_before(
    seed: int, words: int, order: int, share: float, cut: int
) -> None:
    sentences = text(seed, 20, words)  # of few words every one follows on every context
    settings = {"order": order, "prune": (0, cut)}
    whole, pruned = (estimate(sentences, **settings, prune_entropy=threshold) for threshold in (0.0, 10**share))
    before, after = ngrams(whole), ngrams(pruned)
    assert set(after) <= set(before)
    assert all(after[ngram][0] == before[ngram][0] for ngram in after)
    model = NgramModel(pruned.words, pruned.levels)
    others = [number for number, word in enumerate(model.words) if word != "<s>"]
    for sentence in sentences[:8]:
        state = model.begin()
        for word in sentence:
            assert sum(math.exp(model.score(state, number)[0]) for number in others) == pytest.approx(1, abs=2e-5)
            state = model.score(state, model.id(word))[1]


def test_a_higher_threshold_leaves_fewer() -> None:
    counts = [
        sum(len(level.word_G) for level in estimate(text(2), prune_entropy=share).levels)
        for share in (0.0, 1e-4, 1e-3, 1.0)
    ]
    assert counts == sorted(set(counts), reverse=True)


@pytest.mark.parametrize("bits", [8, 32])
@pytest.mark.parametrize("order", [2, 3, 4])
def test_as_many_stay_as_fit(tmp_path: Path, order: int, bits: int) -> None:
    sentences = text(3, 500, 60)
    whole = estimate(sentences, order=order)
    ngram_file.write(tmp_path / "whole.ngram", whole.words, whole.levels, bits=bits)
    room = (tmp_path / "whole.ngram").stat().st_size * 3 // 4
    made = estimate(
        sentences, order=order, fits=lambda words: lambda *counts: ngram_file.size(words, *counts, bits=bits) <= room
    )
    ngram_file.write(tmp_path / "made.ngram", made.words, made.levels, bits=bits)
    size = (tmp_path / "made.ngram").stat().st_size
    assert size <= room
    assert sum(len(level.word_G) for level in made.levels[1:]) > 0
    # With what weighs least of what was left in it would be too large.
    tighter = estimate(sentences, order=order, prune_entropy=made.threshold * (1 - 1e-9))
    assert [len(level.word_G) for level in tighter.levels] == [len(level.word_G) for level in made.levels]
    more = estimate(sentences, order=order, prune_entropy=made.threshold * 0.98)
    ngram_file.write(tmp_path / "more.ngram", more.words, more.levels, bits=bits)
    assert size < (tmp_path / "more.ngram").stat().st_size


def test_what_cannot_be() -> None:
    for share in (-1.0, math.nan, math.inf):
        with pytest.raises(EstimationError, match="give a number from 0 on"):
            estimate(text(1), prune_entropy=share)
    with pytest.raises(EstimationError, match="the words alone take more room"):
        estimate(text(1), fits=lambda words: lambda *counts: False)
    bare = estimate(text(1), fits=lambda words: lambda counts, weighted: sum(counts[1:]) == 0)
    assert [len(level.word_G) for level in bare.levels[1:]] == [0, 0]
    assert NgramModel(bare.words, bare.levels).order == 3
