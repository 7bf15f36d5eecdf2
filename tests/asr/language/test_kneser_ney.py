"""Estimated models, against the equations of Chen and Goodman (1999) word by word, and against KenLM's lmplz."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.language.kneser_ney import FALLBACK, EstimationError, estimate
from inference import arpa
from inference.ngram import NgramModel

TINY = [line.split() for line in ("a b c", "a b", "c a b a b", "שלום a", "b b b", "c नमस्ते b c a", "a")]


class ByTheEquations:
    """Interpolated modified Kneser-Ney (Chen and Goodman 1999, equations 17 to 26), each sum over the whole text."""

    def __init__(self, sentences: list[list[str]], order: int, prune: list[int]):
        texts = [["<s>", *sentence, "</s>"] for sentence in sentences]
        self.vocabulary = sorted({word for text in texts for word in text} - {"<s>"} | {"<unk>"})
        self.counts = Counter(
            tuple(text[k : k + n]) for text in texts for n in range(1, order + 1) for k in range(len(text) - n + 1)
        )
        self.order, self.prune = order, prune
        self.adjusted = {ngram: self.adjust(ngram) for ngram in self.counts}
        self.discounts = [self.estimate_discounts(n) for n in range(1, order + 1)]

    def adjust(self, ngram: tuple[str, ...]) -> int:
        if ngram == ("<s>",):
            return 0
        if len(ngram) == self.order or ngram[0] == "<s>":
            return self.counts[ngram]
        return sum((word, *ngram) in self.counts for word in ["<s>", *self.vocabulary])  # N1+(. ngram)

    def estimate_discounts(self, length: int) -> tuple[float, ...]:
        adjusted = [times for ngram, times in self.adjusted.items() if len(ngram) == length]
        n = [adjusted.count(times) for times in range(5)]
        if 0 in n[1:4]:
            return FALLBACK
        y = n[1] / (n[1] + 2 * n[2])
        found = tuple(k - (k + 1) * y * n[k + 1] / n[k] if k < 4 else 0 for k in (1, 2, 3))
        return found if all(0 < found[k] <= k + 1 for k in range(3)) else FALLBACK

    def kept(self, ngram: tuple[str, ...]) -> bool:
        return len(ngram) == 1 or self.counts[ngram] > self.prune[len(ngram) - 1]

    def probability(self, context: tuple[str, ...], word: str) -> float:
        shorter = self.probability(context[1:], word) if context else 1 / len(self.vocabulary)
        following = {w: self.adjusted.get((*context, w), 0) for w in self.vocabulary}
        total = sum(following.values())
        if not total:
            return self.probability(context[1:], word)
        own = {}
        for w, times in following.items():
            discount = self.discounts[len(context)][min(times, 3) - 1] if times else 0.0
            own[w] = (times - discount) / total if self.kept((*context, w)) else 0.0
        return own[word] + (1 - sum(own.values())) * shorter


def model_of(folder: Path, sentences: list[list[str]], **settings) -> NgramModel:
    made = estimate(sentences, **settings)
    arpa.write(folder / "made.arpa", made.words, made.levels)
    return NgramModel.read(folder / "made.arpa")


def state_after(model: NgramModel, words: tuple[str, ...]) -> int:
    """The state after words, from the beginning of a sentence where the first is <s>."""
    state = model.begin() if words[:1] == ("<s>",) else 0
    for word in words[words[:1] == ("<s>",) :]:
        state = model.score(state, model.id(word))[1]
    return state


def distribution(model: NgramModel, state: int) -> dict[str, float]:
    """Probability of every word after a state; <s> never comes."""
    return {
        word: float(np.exp(model.score(state, number)[0])) for number, word in enumerate(model.words) if word != "<s>"
    }


@pytest.mark.parametrize(
    ("text", "order", "prune"),
    # Every order with every pruning that it can have, each text with all of both.
    [
        (("tiny", "drawn")[(row + order) % 2], order, prune)
        for row, prune in enumerate([[0], [0, 1], [0, 1, 2]])
        for order in (1, 2, 3, 4, 5, 8)
    ],
)
def test_probabilities_are_those_of_the_equations(tmp_path: Path, text: str, order: int, prune: list[int]) -> None:
    draw = random.Random(order)
    sentences = TINY
    if text == "drawn":  # frequent words and rare ones, so that the discounts can be estimated
        sentences = [[f"w{int(12 * draw.random() ** 3)}" for _ in range(draw.randrange(8))] for _ in range(40)]
    prune = prune[:order]
    expected = ByTheEquations(sentences, order, [*prune, *[prune[-1]] * (order - len(prune))])
    model = model_of(tmp_path, sentences, order=order, prune=prune)
    assert sorted(model.words) == sorted(["<s>", *expected.vocabulary])
    contexts = {()} | {ngram for ngram in expected.counts if len(ngram) < order and ngram[-1] != "</s>"}
    for context in sorted(contexts):
        found = distribution(model, state_after(model, context))
        for word, probability in found.items():
            assert probability == pytest.approx(expected.probability(context, word), rel=2e-5), (context, word)


@given(
    st.lists(st.lists(st.sampled_from("abcdé"), max_size=6), min_size=1, max_size=12).filter(any),
    st.integers(1, 8),
    st.lists(st.integers(0, 2), max_size=3).map(sorted),
    st.none() | st.integers(1, 4),
)
def test_probabilities_after_any_context_sum_to_one(
    tmp_path_factory, sentences: list[list[str]], order: int, prune: list[int], size: int | None
) -> None:
    prune = [0, *prune][:order]
    folder = tmp_path_factory.getbasetemp()
    model = model_of(folder, sentences, order=order, prune=prune, vocabulary_size=size)
    for sentence in sentences[:3]:
        for length in range(len(sentence) + 1):
            found = distribution(model, state_after(model, ("<s>", *sentence[:length])))
            assert sum(found.values()) == pytest.approx(1, abs=1e-5)
            assert min(found.values()) > 0


def golden_text() -> list[list[str]]:
    """Words that are numbers, small ones most often, from the generator of Park and Miller."""
    state, sentences = 1, []
    for _ in range(500):
        sentence = []
        for _ in range(7):
            state = state * 48271 % 2147483647
            sentence.append(f"{int(500 * (state / 2147483647) ** 5):o}")
        sentences.append(sentence)
    return sentences


# Of the files that lmplz (KenLM 0.3.0) made of this text by `lmplz -o 3` and `lmplz -o 3 --prune 0 1 2`: how many
# n-grams, some of them, and the sums of log probabilities (without that of <s>) and of back-off weights, base 10.
LMPLZ = {
    (0,): (
        [457, 2383, 3120],
        """
        -3.150387 <unk> 0
        -1.083997 </s> 0
        -0.95817107 0 -0.38530138
        -2.9980981 625 -0.088583514
        -0.505538 <s>_0 -0.23527011
        -0.7549237 0_0 -0.36541313
        -0.5420191 17_0 -0.07416288
        -2.2792885 2_15 -0.027462114
        -0.5226244 333_1_0
        -2.0413995 0_0_15
        -1.8426789 <s>_0_36
        -1.145322 107_31_655
        """,
        (-8856.205550, -125.840976),
    ),
    (0, 1, 2): (
        [457, 421, 51],
        """
        -3.150387 <unk> 0
        -0.95817107 0 -0.34511697
        -2.9980981 625 0
        -0.49858534 <s>_0 -0.18574244
        -0.7441991 0_0 -0.30476454
        -0.5214819 17_0 0
        -2.024666 0_0_15
        -1.8337505 <s>_0_36
        -1.5963273 0_0_3
        """,
        (-1982.116056, -24.537046),
    ),
}


@pytest.mark.parametrize("prune", list(LMPLZ))
def test_the_model_is_that_of_lmplz(tmp_path: Path, prune: tuple[int, ...]) -> None:
    numbers, some, sums = LMPLZ[prune]
    made = estimate(golden_text(), order=3, prune=prune)
    assert made.fallback == []
    np.testing.assert_allclose(made.discounts[0], [0.26875, 1.43494, 2.29207], rtol=1e-5)
    np.testing.assert_allclose(made.discounts[2], [0.938724, 1.30322, 1.27901], rtol=1e-5)
    assert [len(level.word_G) for level in made.levels] == numbers
    arpa.write(tmp_path / "own.arpa", made.words, made.levels)
    rows = [line.split("\t") for line in (tmp_path / "own.arpa").read_text().splitlines() if "\t" in line]
    found = {row[1]: [float(row[0]), *map(float, row[2:])] for row in rows}
    for line in some.split("\n")[1:-1]:
        probability, ngram, *weight = line.split()
        assert found[ngram.replace("_", " ")] == pytest.approx([float(probability), *map(float, weight)], abs=2e-6), (
            line
        )
    del found["<s>"]
    assert sum(row[0] for row in found.values()) == pytest.approx(sums[0], abs=1e-3)
    begin = [float(row[2]) for row in rows if row[1] == "<s>"]
    assert sum(sum(row[1:]) for row in found.values()) == pytest.approx(sums[1], abs=1e-3)
    assert begin == pytest.approx([-0.39767587 if prune == (0,) else -0.3506624], abs=2e-6)


def test_the_file_is_sorted_and_the_same_whatever_the_order_of_the_words(tmp_path: Path) -> None:
    contents = set()
    for seed in range(3):
        sentences = random.Random(seed).sample(TINY, k=len(TINY))
        made = estimate(iter(sentences), order=3)
        arpa.write(tmp_path / "a.arpa", made.words, made.levels)
        contents.add((tmp_path / "a.arpa").read_bytes())
    assert len(contents) == 1
    words = made.words
    assert words == ("<unk>", "<s>", "</s>", "a", "b", "c", "नमस्ते", "שלום")[:3] + tuple(sorted(words[3:]))
    sections = contents.pop().decode().split("\\2-grams:\n")[1].split("\n\n")[0].splitlines()
    ngrams = [[words.index(word) for word in line.split("\t")[1].split()] for line in sections]
    assert ngrams == sorted(ngrams)


def test_a_small_vocabulary_is_of_the_most_frequent_words(tmp_path: Path) -> None:
    made = estimate(TINY, order=2, vocabulary_size=2)
    assert made.words == ("<unk>", "<s>", "</s>", "a", "b")
    assert (made.num_sentences, made.num_words, made.num_unknown) == (7, 21, 6)
    replaced = [[word if word in "ab" else "<unk>" for word in sentence] for sentence in TINY]
    direct = estimate(replaced, order=2)
    assert direct.words == made.words
    for level, other in zip(made.levels, direct.levels, strict=True):
        for column, other_column in zip(level, other, strict=True):
            np.testing.assert_array_equal(column, other_column)
    # Of words as frequent, those that sort first.
    assert estimate([["b", "a", "c"]], vocabulary_size=2).words[3:] == ("a", "b")
    assert estimate([["b", "a", "c"]], vocabulary_size=9).words[3:] == ("a", "b", "c")


def test_a_single_word_is_enough(tmp_path: Path) -> None:
    model = model_of(tmp_path, [["só"]], order=3)
    found = distribution(model, model.begin())
    assert found["só"] > 0.4
    assert sum(found.values()) == pytest.approx(1)
    assert estimate([["só"]], order=3).fallback == [1, 2, 3]


@pytest.mark.parametrize(
    ("sentences", "settings", "message"),
    [
        ([], {}, "there is not a single word"),
        ([[], []], {}, "there is not a single word"),
        (TINY, {"order": 0}, "the order is 0; it must be 1 to 10"),
        (TINY, {"order": 11}, "the order is 11"),
        (TINY, {"vocabulary_size": 0}, "the vocabulary size is 0"),
        (TINY, {"prune": ()}, "one number for each order"),
        (TINY, {"prune": (0, 0, 0, 1)}, "pruning by 0,0,0,1: give one number for each order, from 1 to 3"),
        (TINY, {"prune": (1,)}, "the first must be 0; choose a vocabulary size"),
        (TINY, {"prune": (0, 2, 1)}, "must not fall"),
        ([["a", "<s>"]], {}, "<s> or </s> is a word"),
    ],
)
def test_what_cannot_be_estimated_is_one_line(sentences: list[list[str]], settings: dict, message: str) -> None:
    with pytest.raises(EstimationError, match=message) as error:
        estimate(sentences, **settings)
    assert "\n" not in str(error.value)
