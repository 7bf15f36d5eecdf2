"""Texts for English: sentences end where they end, only what is read alike is said, no test sentence gets through."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.text import normalize
from recipes.english.texts import (
    LEAST_PART,
    LEAST_WITHIN,
    HeldOut,
    SpokenForm,
    check_language_text,
    sentences_of,
    speakable,
    to_speak,
    write_language_text,
)
from training.manifests import ManifestError


@pytest.mark.parametrize(
    ("paragraph", "sentences"),
    [
        ("He came. She went! Why? Nobody knows.", ["He came.", "She went!", "Why?", "Nobody knows."]),
        ('"Come in," said Mr. Brown. "Sit down."', ['"Come in," said Mr. Brown.', '"Sit down.']),
        ("J. B. Smith met Dr. Lee. They ate.", ["J. B. Smith met Dr. Lee.", "They ate."]),
        ("It cost 3.5 pounds. so he said", ["It cost 3.5 pounds. so he said"]),
        ("It was I. Then it rained.", ["It was I.", "Then it rained."]),
        ("no end", ["no end"]),
        ("", []),
    ],
)
def test_sentences_end_where_they_end(paragraph: str, sentences: list[str]) -> None:
    found = sentences_of(paragraph)
    assert [one.rstrip('"') for one in found] == [one.rstrip('"') for one in sentences]


@given(st.lists(st.sampled_from(["Mr.", "He", "went", "home.", '"No!"', "I.", "(Why?)", "St.", "and", "X."])))
def test_no_word_is_lost_between_sentences(pieces: list[str]) -> None:
    paragraph = " ".join(pieces)
    assert normalize(" ".join(sentences_of(paragraph))) == normalize(paragraph)


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("“It’s a well-known fact,” he said.", "It's a well-known fact, he said."),
        ("She came--and he went (at last).", "She came, and he went at last."),
        ("'Tis so, my good friend.", "Tis so, my good friend."),
        ("Too short indeed.", None),
        ("There were 12 of them there.", None),
        ("Mr. Brown was not at home.", None),
        ("The café was closed that day.", None),
        ("King Henry VIII was not amused.", None),
        ("He did NOT say so then.", None),
        ("Plan b was not so good.", None),
        ("It has no end at all", None),
        (" ".join(["word"] * 21) + ".", None),
    ],
)
def test_only_what_every_synthesiser_reads_alike_is_said(sentence: str, said: str | None) -> None:
    assert speakable(sentence) == said


def test_spoken_form_is_letters_alone() -> None:
    form = SpokenForm()
    assert form("Café  “Zoë’s”, U.S.A.!") == ["cafe", "zoe's", "usa"]
    assert form("Room 12") is None
    assert form("Привет") is None
    assert form("...") is None


words_of = st.lists(st.sampled_from("abcd"), min_size=1, max_size=9)


@given(st.lists(words_of, max_size=4), words_of)
def test_what_touches_a_held_out_sentence_by_plain_search(held: list[list[str]], line: list[str]) -> None:
    def within(short: list[str], long: list[str]) -> bool:
        return any(long[k : k + len(short)] == short for k in range(len(long) - len(short) + 1))

    wanted = any(
        line == one
        or (len(one) >= LEAST_WITHIN and within(one, line))
        or (len(line) >= LEAST_PART and within(line, one))
        for one in held
    )
    assert HeldOut(held).touches(line) == wanted


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.txt.gz"
    paragraphs = (
        "It was a dark and stormy night. The rain fell in torrents!",
        "“Mark likes a very big cake,” said nobody. The rain fell in torrents!",
        "And then we say that mark likes a very big cake today. There were 40 thieves in the cave.",
    )
    path.write_bytes(gzip.compress("\n".join(paragraphs).encode()))
    return path


HELD = HeldOut(map(str.split, ("mark likes a very big cake", "it was a dark and stormy night in june")))


def test_nothing_held_out_is_spoken(book: Path) -> None:
    assert to_speak(book, HELD) == ["The rain fell in torrents!"]
    everything = to_speak(book, HeldOut([]))
    assert len(everything) == 4
    assert len(set(everything)) == 4


@pytest.mark.parametrize("name", ["language.txt", "language.txt.gz"])
def test_language_text_holds_books_and_transcripts_and_nothing_held_out(book: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    transcripts = ["CATS SLEEP", "Mark likes a very big cake", "cats sleep", "CATS SLEEP"]
    counted = write_language_text(path, books=[book], transcripts=transcripts, held_out=HELD)
    content = path.read_bytes()
    lines = (gzip.decompress(content) if name.endswith(".gz") else content).decode().splitlines()
    assert lines == ["cats sleep", "cats sleep", "the rain fell in torrents", "the rain fell in torrents"]
    assert counted == {"written": 4, "held out": 4, "not spelled": 1}
    check_language_text(path, HELD)
    write_language_text(path, books=[book], transcripts=transcripts, held_out=HELD)
    assert path.read_bytes() == content
    with pytest.raises(ManifestError, match=f"{name}: line 3 has a sentence of a test or development set"):
        check_language_text(path, HeldOut([lines[2].split()]))


def test_texts_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"absent\.txt: no such file"):
        to_speak(tmp_path / "absent.txt", HELD)
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"a line\n" * 100)[:-9])
    with pytest.raises(ManifestError, match=r"cut\.gz: damaged"):
        to_speak(tmp_path / "cut.gz", HELD)
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(ManifestError, match=r"latin\.txt: is not text in UTF-8"):
        to_speak(tmp_path / "latin.txt", HELD)
    (tmp_path / "numbers.txt").write_text("1 2 3\n")
    with pytest.raises(ManifestError, match=r"numbers\.txt: no sentence of 4 to 20"):
        to_speak(tmp_path / "numbers.txt", HELD)
