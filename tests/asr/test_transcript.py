"""Segments of a transcript: where they are cut and which text they take."""

from __future__ import annotations

import pytest

from asr.transcript import Transcript, Word


def transcript(text: str, *words: tuple[str, float, float]) -> Transcript:
    return Transcript(tuple(Word(*word, 0.9) for word in words), duration=20.0, text=text)


def test_segments_end_at_pauses() -> None:
    one = transcript("a b c d", ("a", 0.5, 1.0), ("b", 1.5, 2.0), ("c", 3.0, 3.5), ("d", 4.49, 5.0))
    assert [(s.text, s.start, s.end, len(s.words)) for s in one.segments()] == [
        ("a b", 0.5, 2.0, 2),
        ("c d", 3.0, 5.0, 2),
    ]
    assert [s.text for s in one.segments(pause=0.5)] == ["a", "b", "c", "d"]
    assert [s.text for s in one.segments(pause=1.1)] == ["a b c d"]
    assert sum((s.words for s in one.segments()), ()) == one.words


def test_segments_keep_what_the_text_has_between_words() -> None:
    one = transcript("你好世界 再见", ("你好", 0.0, 1.0), ("世界", 1.0, 2.0), ("再见", 5.0, 6.0))
    assert [s.text for s in one.segments()] == ["你好世界", "再见"]


def test_words_that_lie_in_other_words_are_found_in_their_order() -> None:
    one = transcript("ab a b ab", ("ab", 0.0, 1.0), ("a", 3.0, 4.0), ("b", 4.0, 5.0), ("ab", 9.0, 10.0))
    assert [s.text for s in one.segments()] == ["ab", "a b", "ab"]


@pytest.mark.parametrize(
    ("text", "words", "pieces"),
    [
        ("a b", ["a", "b"], [("", "a"), (" ", "b")]),
        ("你好世界", ["你好", "世界"], [("", "你好"), ("", "世界")]),
        ("«a», «b» – c!\n", ["a", "b", "c"], [("", "«a»,"), (" ", "«b» –"), (" ", "c!\n")]),
        ("well-known,\n \tit", ["well", "known", "it"], [("", "well-"), ("", "known,"), ("\n \t", "it")]),
        (" a", ["a"], [("", " a")]),
        ("?", [], []),
    ],
)
def test_punctuation_goes_with_the_word_that_it_touches(text: str, words: list[str], pieces) -> None:
    assert transcript(text, *((word, 0.0, 0.0) for word in words)).pieces() == pieces


def test_segments_have_their_punctuation_and_a_confidence() -> None:
    words = (Word("so", 0.0, 1.0, 0.5), Word("it", 1.0, 2.0, 1.0), Word("is", 5.0, 6.0, 0.25))
    one = Transcript(words, 6.0, "So it? Is…".lower())
    assert [(s.text, s.confidence) for s in one.segments()] == [("so it?", 0.75), ("is…", 0.25)]


def test_no_words_no_segments() -> None:
    assert transcript("").segments() == []


@pytest.mark.parametrize("times", [(2.0, 1.0, 0.5), (-0.1, 1.0, 0.5), (0.0, 1.0, 1.01), (0.0, float("nan"), 0.5)])
def test_a_word_has_sane_times_and_confidence(times: tuple[float, float, float]) -> None:
    with pytest.raises(AssertionError):
        Word("a", *times)


@pytest.mark.parametrize("text", ["", "b a", "a"])
def test_the_text_holds_the_words_in_their_order(text: str) -> None:
    with pytest.raises(AssertionError, match="does not follow in the text"):
        transcript(text, ("a", 0.0, 1.0), ("b", 1.0, 2.0))
