"""Texts to labels and back, in any script, and words with their times."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.text import normalize
from asr.tokens import SPACE, TokenConfig, TokenError, Tokens
from asr.words import WordMaker
from inference.ctc import Emission
from inference.model import BLANK

TEXTS = {
    "latin": ["Hello, World!", "it's cold"],
    "devanagari": ["नमस्ते दुनिया", "हिन्दी में"],
    "hebrew": ["שלום עולם", "שָׁלוֹם"],
    "arabic": ["السَّلامُ عليكم"],
    "tamil": ["வணக்கம் உலகம்"],
    "han": ["你好 世界"],
    "thai": ["สวัสดี"],
    "decomposed": ["cafe\u0301", "A\u030angstro\u0308m"],
    "outside the basic plane": ["𐐷𐐲𐑌", "𝔸 😀"],
}
SCRIPTS = pytest.mark.parametrize("script", TEXTS)
UNITS = pytest.mark.parametrize("unit", ["char", "word"])


@SCRIPTS
@UNITS
def test_every_text_comes_back_as_it_is_compared(script: str, unit: str) -> None:
    tokens = Tokens.from_texts(TEXTS[script], TokenConfig(unit=unit))
    assert tokens.labels[0] == BLANK
    assert len(set(tokens.labels)) == len(tokens.labels)
    for text in TEXTS[script]:
        assert tokens.unknown(text) == []
        labels = tokens.encode(text)
        assert 0 not in labels
        assert tokens.decode(labels) == normalize(text)
        assert len(labels) == len(normalize(text) if unit == "char" else normalize(text).split())


@given(st.lists(st.text(max_size=30), min_size=1, max_size=5), st.sampled_from(["char", "word"]))
def test_any_text_comes_back(texts: list[str], unit: str) -> None:
    if not any(map(normalize, texts)):
        with pytest.raises(TokenError, match="empty"):
            Tokens.from_texts(texts, TokenConfig(unit=unit))
        return
    tokens = Tokens.from_texts(texts, TokenConfig(unit=unit))
    for text in texts:
        assert tokens.decode(tokens.encode(text)) == normalize(text)


def test_labels_are_in_one_order_whatever_the_order_of_the_texts() -> None:
    one = Tokens.from_texts(["b a", "c"], TokenConfig())
    assert one.labels == Tokens.from_texts(["c", "b a"], TokenConfig()).labels == (BLANK, SPACE, "a", "b", "c")


def test_what_is_rare_gets_no_label() -> None:
    texts = ["one two", "two three", "two three"]
    assert Tokens.from_texts(texts, TokenConfig(unit="word", least_count=2)).labels == (BLANK, "three", "two")
    with pytest.raises(TokenError, match="empty"):
        Tokens.from_texts(texts, TokenConfig(unit="word", least_count=4))


@pytest.mark.parametrize(
    ("unit", "text", "unknown"),
    [
        ("char", "xyz नx", ["x", "y", "z", "न"]),
        ("char", "bad", []),
        ("word", "a dab of bad", ["dab", "of"]),
        ("word", "", []),
    ],
)
def test_what_has_no_label_is_shown_once(unit: str, text: str, unknown: list[str]) -> None:
    tokens = Tokens.from_texts(["a bad cab"], TokenConfig(unit=unit))
    assert tokens.unknown(text) == unknown
    if unknown:
        with pytest.raises(TokenError) as caught:
            tokens.encode(text)
        assert all(repr(piece) in str(caught.value) for piece in unknown)
        assert len(str(caught.value).splitlines()) == 1


def test_letters_of_labels_cannot_be_mistaken_for_the_blank_or_the_space() -> None:
    spelled = Tokens.from_texts([f"{BLANK} {SPACE}"], TokenConfig())
    assert spelled.decode(spelled.encode(f"{BLANK} {SPACE}")) == normalize(f"{BLANK} {SPACE}")
    for word in (BLANK, SPACE):
        with pytest.raises(TokenError, match=word):
            Tokens.from_texts([f"one {word} two"], TokenConfig(unit="word"))


def test_an_unknown_unit_is_refused() -> None:
    with pytest.raises(TokenError, match="syllable"):
        Tokens([BLANK, "a"], "syllable")


def emissions(*triples: tuple[int, int, int, float]) -> list[Emission]:
    return [Emission(*one) for one in triples]


def test_words_of_characters_begin_and_end_at_spaces() -> None:
    tokens = Tokens([BLANK, SPACE, "न", "म", "ो"], "char")
    seen = emissions((1, 0, 1, 0.9), (2, 2, 4, 0.8), (3, 5, 6, 0.6), (1, 7, 8, 0.9), (1, 9, 10, 0.9), (4, 12, 14, 0.5))
    words = WordMaker(tokens, step_seconds=0.5).words(seen)
    assert [(word.text, word.start, word.end) for word in words] == [("नम", 1.0, 3.0), ("ो", 6.0, 7.0)]
    assert [word.confidence for word in words] == pytest.approx([0.7, 0.5])
    assert " ".join(word.text for word in words) == tokens.decode(one.label for one in seen)


def test_words_that_are_labels_stand_alone_also_when_repeated() -> None:
    tokens = Tokens([BLANK, "one", "two"], "word")
    words = WordMaker(tokens, step_seconds=0.03).words(emissions((2, 0, 1, 1.0), (2, 3, 5, 0.5), (1, 5, 6, 0.25)))
    assert [(word.text, word.start, word.end) for word in words] == [
        ("two", 0.0, pytest.approx(0.03)),
        ("two", pytest.approx(0.09), pytest.approx(0.15)),
        ("one", pytest.approx(0.15), pytest.approx(0.18)),
    ]
    assert [word.confidence for word in words] == [1.0, 0.5, 0.25]


@UNITS
def test_no_emissions_are_no_words(unit: str) -> None:
    tokens = Tokens([BLANK, SPACE, "a"], unit)
    assert WordMaker(tokens, step_seconds=0.03).words([]) == []
    assert tokens.decode([]) == ""
    if unit == "char":
        assert WordMaker(tokens, step_seconds=0.03).words(emissions((1, 0, 1, 1.0), (1, 2, 3, 1.0))) == []
        assert tokens.decode([1, 2, 1, 1, 2, 1]) == "a a"


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3), st.floats(0, 1)), max_size=20))
def test_words_are_the_text_in_order_and_their_numbers_are_sound(drawn: list[tuple[int, int, float]]) -> None:
    tokens, seen, frame = Tokens([BLANK, SPACE, "a", "b", "ç"], "char"), [], 0
    for label, length, score in drawn:
        seen.append(Emission(label, frame, frame + length, score))
        frame += length
    words = WordMaker(tokens, step_seconds=0.01).words(seen)
    assert " ".join(word.text for word in words) == tokens.decode(one.label for one in seen)
    times = [time for word in words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert all(0 <= word.confidence <= 1 for word in words)


@SCRIPTS
@UNITS
@given(data=st.data())
def test_many_words_are_encoded_as_one_by_one(script: str, unit: str, data: st.DataObject) -> None:
    tokens = Tokens.from_texts(TEXTS[script], TokenConfig(unit=unit))
    known = [word for text in TEXTS[script] for word in normalize(text).split()]
    words = data.draw(st.lists(st.sampled_from(known) | st.text("aé-'. \u05d1😀", max_size=4), max_size=5))

    def alone(word: str) -> list[int]:
        try:
            labels = tokens.encode(word)
        except TokenError:
            return []
        return [] if tokens.space in labels else labels

    labels_L, length_W = tokens.encode_each(words)
    assert [one.tolist() for one in np.split(labels_L, np.cumsum(length_W))[:-1]] == [alone(word) for word in words]
    assert len(labels_L) == length_W.sum()
