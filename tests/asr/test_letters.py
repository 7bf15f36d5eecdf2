"""What texts are made of, counted and shown."""

from __future__ import annotations

from typing import NamedTuple

from asr.letters import count_pieces, table, unicode_name
from asr.tokens import SPACE, Tokens
from inference.model import BLANK


class Utterance(NamedTuple):
    """What of an item is looked at here."""

    id: str
    text: str


ITEMS = [
    Utterance("u1", "A bad cab"),
    Utterance("u2", "bad!"),
    Utterance("u3", ""),
    Utterance("u4", "the clause in which there is a ß after many other letters and long before all the rest of it"),
    Utterance("u5", "क़िला"),
]
LETTERS = Tokens([BLANK, SPACE, *"abcd"], "char")


def test_letters_are_counted_by_times_and_utterances() -> None:
    found = {seen.piece: (seen.times, seen.utterances, seen.example.id) for seen in count_pieces(ITEMS[:3], LETTERS)}
    assert found == {"a": (4, 2, "u1"), "b": (3, 2, "u1"), "d": (2, 2, "u1"), SPACE: (2, 1, "u1"), "c": (1, 1, "u1")}
    assert [seen.piece for seen in count_pieces(ITEMS[:3], LETTERS)] == ["a", "b", SPACE, "d", "c"]


def test_clusters_are_counted_as_such() -> None:
    tokens = Tokens([BLANK, "ba", "d"], "char")
    assert {seen.piece: seen.times for seen in count_pieces(ITEMS[1:2], tokens)} == {"ba": 1, "d": 1}


def test_a_table_names_each_letter_and_shows_where_it_stands() -> None:
    found = [seen for seen in count_pieces(ITEMS, LETTERS) if seen.piece in "ß\u093c"]
    lines = table(found, LETTERS).splitlines()
    assert lines[0].split() == ["letter", "times", "utterances", "for", "example"]
    sharp = next(line for line in lines if "ß" in line)
    assert "U+00DF LATIN SMALL LETTER SHARP S" in sharp
    assert sharp.endswith("u4          …in which there is a ß after many other le…")
    nukta = next(line for line in lines if "U+093C DEVANAGARI SIGN NUKTA" in line)
    assert nukta.startswith("  ◌\u093c ")
    assert nukta.split()[-2:] == ["u5", "क़िला"]


def test_a_table_is_bounded() -> None:
    found = count_pieces(ITEMS, LETTERS)
    lines = table(found, LETTERS, limit=3).splitlines()
    assert len(lines) == 5
    assert lines[-1] == f"  and {len(found) - 3} more"
    assert len(table(found, LETTERS, limit=len(found)).splitlines()) == 1 + len(found)


def test_words_have_no_names() -> None:
    tokens = Tokens([BLANK, "a"], "word")
    found = [seen for seen in count_pieces(ITEMS[:2], tokens) if seen.piece not in tokens.labels]
    assert table(found, tokens).splitlines() == [
        "  word  times utterances for example",
        "  bad       2          2 u1          a bad cab",
        "  cab       1          1 u1          a bad cab",
    ]


def test_an_example_does_not_begin_with_half_a_letter() -> None:
    text = "कि" * 40 + "ख"
    (seen,) = (seen for seen in count_pieces([Utterance("u", text)], LETTERS) if seen.piece == "ख")
    assert table([seen], LETTERS).splitlines()[1].endswith(f"…{'कि' * 10}ख")
    text = "कि" * 40 + "कख"
    (seen,) = (seen for seen in count_pieces([Utterance("u", text)], LETTERS) if seen.piece == "ख")
    assert table([seen], LETTERS).splitlines()[1].endswith(f"…{'कि' * 9}कख")


def test_names_of_letters() -> None:
    assert unicode_name(SPACE) == "U+0020 SPACE"
    assert unicode_name("\ue000") == "U+E000"
    assert unicode_name("ch") == "U+0063 U+0068"
    assert unicode_name("\U00010428") == "U+10428 DESERET SMALL LETTER LONG I"
