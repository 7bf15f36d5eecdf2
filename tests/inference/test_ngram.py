"""Language models at work, against KenLM (as flashlight-text contains it) and against back-off as it is defined."""

from __future__ import annotations

import gzip
import math
import random
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from inference.ngram import NgramError, NgramModel

WORDS = ["a", "b", "नमस्ते", "שלום", "it's"]
LN10 = math.log(10)


def random_model(
    seed: int, order: int, *, unknown: bool = True, suffixes: bool = False
) -> dict[tuple[str, ...], list[float]]:
    """n-grams with a log probability and a back-off weight (base 10), as a pruned model has them.

    Each context is there, but each suffix only where asked for; some weights are 0, and some contexts have no longer
    n-gram.
    """
    draw = random.Random(seed)
    here = [("<s>",), ("</s>",), *((word,) for word in WORDS), *([("<unk>",)] if unknown else [])]
    model = {}
    for length in range(1, order + 1):
        for ngram in here:
            model[ngram] = [round(-4 * draw.random(), 5), draw.choice([0.0, round(draw.uniform(-1.5, 0.3), 5)])]
        longer = [(*ngram, word) for ngram in here for word in ["</s>", *WORDS] if ngram[-1] != "</s>"]
        if suffixes:
            longer = [ngram for ngram in longer if ngram[1:] in model]
        here = [ngram for ngram in longer if draw.random() < (0.5 if length < 3 else 0.25)] or longer[:1]
    return model


def written(path: Path, model: dict[tuple[str, ...], list[float]], *, weightless: bool = False) -> Path:
    """The model in the ARPA format, with n-grams in no order; `weightless` leaves out back-off weights where it may."""
    order = max(map(len, model))
    contexts = {ngram[:-1] for ngram in model}
    lines = ["\\data\\", *(f"ngram {n}={sum(len(g) == n for g in model)}" for n in range(1, order + 1))]
    for length in range(1, order + 1):
        lines += ["", f"\\{length}-grams:"]
        for ngram in random.Random(0).sample(sorted(g for g in model if len(g) == length), k=sum(
            len(g) == length for g in model
        )):  # fmt: skip
            probability, weight = model[ngram]
            bare = length == order or (weightless and weight == 0 and ngram not in contexts)
            lines.append(f"{probability}\t{' '.join(ngram)}" + ("" if bare else f"\t{weight}"))
    path.write_text("\n".join([*lines, "", "\\end\\", ""]), encoding="utf-8")
    return path


def by_definition(model: dict[tuple[str, ...], list[float]], context: tuple[str, ...], word: str) -> float:
    """log10 p(word | context), with the longest n-gram there is."""
    if (*context, word) in model:
        return model[*context, word][0]
    return model.get(context, [0, 0.0])[1] + by_definition(model, context[1:], word)


def scored(model: NgramModel, words: tuple[str, ...]) -> tuple[list[float], int]:
    """log10 of each word after those before it, and the state at the end."""
    state, scores = model.begin(), []
    for word in words:
        score, state = model.score(state, model.id(word))
        scores.append(score / LN10)
    return scores, state


def sentences(seed: int, count: int, words: list[str]) -> list[tuple[str, ...]]:
    draw = random.Random(seed)
    return [tuple(draw.choices(words, k=draw.randrange(12))) for _ in range(count)]


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5, 6, 10])
def test_scores_are_those_of_the_definition(tmp_path: Path, order: int) -> None:
    ngrams = random_model(order, order)
    model = NgramModel.read(written(tmp_path / "a.arpa", ngrams, weightless=True))
    assert model.order == order
    for sentence in sentences(order, 100, WORDS):
        history = ("<s>", *sentence)
        expected = [
            by_definition(ngrams, history[max(0, k - order + 1) : k], history[k]) for k in range(1, len(history))
        ]
        scores, state = scored(model, sentence)
        np.testing.assert_allclose(scores, expected, atol=1e-5)
        end = by_definition(ngrams, history[max(0, len(history) - order + 1) :] if order > 1 else (), "</s>")
        assert model.finish(state) / LN10 == pytest.approx(end, abs=1e-5)


@pytest.mark.parametrize("unknown", [True, False])
@pytest.mark.parametrize("order", [2, 3, 5, 6])
def test_scores_are_those_of_kenlm(tmp_path: Path, order: int, unknown: bool) -> None:
    decoder = pytest.importorskip("flashlight.lib.text.decoder", reason="flashlight-text is not installed")
    from flashlight.lib.text.dictionary import Dictionary

    vocabulary = [*WORDS, "never-seen"]
    path = written(tmp_path / "a.arpa", random_model(10 + order, order, unknown=unknown, suffixes=True))
    kenlm, model = decoder.KenLM(str(path), Dictionary(vocabulary)), NgramModel.read(path)
    for sentence in sentences(order, 100, vocabulary):
        theirs, expected = kenlm.start(False), []
        for word in sentence:
            theirs, score = kenlm.score(theirs, vocabulary.index(word))
            expected.append(score)
        scores, state = scored(model, sentence)
        np.testing.assert_allclose(scores, expected, atol=1e-4)
        assert model.finish(state) / LN10 == pytest.approx(kenlm.finish(theirs)[1], abs=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_states_are_equal_exactly_where_no_continuation_tells_them_apart(tmp_path: Path, seed: int) -> None:
    order = 3
    model = NgramModel.read(written(tmp_path / "a.arpa", random_model(seed, order)))
    probes = [("</s>",), *product(WORDS, ["</s>", *WORDS])]
    futures: dict[int, set[tuple[float, ...]]] = {}
    for length in range(4):
        for history in product(WORDS, repeat=length):
            state = scored(model, history)[1]
            future = []
            for words in probes:
                at = state
                for word in words:
                    score, at = model.score(at, model.id(word))
                    future.append(round(score, 3))
            futures.setdefault(state, set()).add(tuple(future))
    assert all(len(future) == 1 for future in futures.values())
    assert len({future for (future,) in futures.values()}) == len(futures)
    assert 5 < len(futures) < 1 + 5 + 25 + 125  # some are merged, not all


def test_many_at_once_are_those_one_by_one(tmp_path: Path) -> None:
    model = NgramModel.read(written(tmp_path / "a.arpa", random_model(7, 4)))
    states = [scored(model, sentence)[1] for sentence in sentences(7, 300, [*WORDS, "?"])]
    words = [model.id(random.Random(k).choice([*WORDS, "?", "</s>"])) for k in range(300)]
    log_prob_K, after_K = model.scores(np.array(states), np.array(words))
    one_by_one = [model.score(*pair) for pair in zip(states, words, strict=True)]
    np.testing.assert_allclose(log_prob_K, [score for score, _ in one_by_one], rtol=1e-6)
    assert after_K.tolist() == [state for _, state in one_by_one]
    assert [len(column) for column in model.scores(np.array([], int), np.array([], int))] == [0, 0]


def test_words_and_their_numbers(tmp_path: Path) -> None:
    model = NgramModel.read(written(tmp_path / "a.arpa", random_model(1, 2, unknown=False)))
    assert sorted(model.words) == sorted(["<s>", "</s>", "<unk>", *WORDS])
    assert [model.words[model.id(word)] for word in WORDS] == WORDS
    assert model.words[model.id("নতুন")] == model.words[model.unknown] == "<unk>"
    # What KenLM gives a word that a model does not know, which has no <unk> either; back-off weights come on top.
    assert model.score(0, model.unknown)[0] == pytest.approx(-100 * LN10)


def test_the_unknown_word_in_capitals_is_the_unknown_word(tmp_path: Path) -> None:
    ngrams = random_model(1, 1)
    ngrams["<UNK>",] = ngrams.pop(("<unk>",))
    model = NgramModel.read(written(tmp_path / "a.arpa", ngrams))
    assert model.words[model.id("?")] == "<UNK>"
    assert len(model.words) == 3 + len(WORDS)


def test_perplexity_is_that_of_the_scores(tmp_path: Path) -> None:
    ngrams = random_model(3, 2)
    model = NgramModel.read(written(tmp_path / "a.arpa", ngrams))
    found = model.perplexity([["a", "?", "b"], []])
    known = by_definition(ngrams, ("<s>",), "a") + by_definition(ngrams, ("<unk>",), "b")
    known += by_definition(ngrams, ("b",), "</s>") + by_definition(ngrams, ("<s>",), "</s>")
    unknown = by_definition(ngrams, ("a",), "<unk>")
    assert (found.sentences, found.words, found.unknown) == (2, 3, 1)
    assert found.including_unknown == pytest.approx(10 ** (-(known + unknown) / 5), rel=1e-5)
    assert found.excluding_unknown == pytest.approx(10 ** (-known / 4), rel=1e-5)
    assert found.unknown_rate == pytest.approx(1 / 3)
    with pytest.raises(NgramError, match="no sentence"):
        model.perplexity([])


def test_a_compressed_model_is_the_same(tmp_path: Path) -> None:
    plain = written(tmp_path / "a.arpa", random_model(5, 3))
    packed = tmp_path / "b.arpa.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    one, other = NgramModel.read(plain), NgramModel.read(packed)
    for sentence in sentences(5, 20, WORDS):
        assert scored(one, sentence) == scored(other, sentence)
