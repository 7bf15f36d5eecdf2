"""Alphabets of one's own: what a file may say, and that texts are cut into the longest labels that fit."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.alphabet import make_tokens, read_alphabet
from asr.text import normalize
from asr.tokens import SPACE, TokenConfig, TokenError, Tokens
from inference.model import BLANK

LABELS = ["a", "b", "c", "ab", "bc", "abc", "ca"]


def written(folder: Path, text: str) -> TokenConfig:
    path = folder / "alphabet.txt"
    path.write_text(text, encoding="utf-8")
    return TokenConfig(alphabet=str(path))


def test_a_file_has_a_label_a_line(tmp_path: Path) -> None:
    config = written(tmp_path, "\ufeff# Swiss\r\n<space>\n\n a \nch\nü\n'\nक्ष\n\u093e\n\u200d\n")
    assert make_tokens(["z"], config).labels == (BLANK, SPACE, "a", "ch", "ü", "'", "क्ष", "\u093e", "\u200d")
    assert read_alphabet(str(config.alphabet))[0] == SPACE


def test_the_labels_of_a_model_are_an_alphabet(tmp_path: Path) -> None:
    made = Tokens.from_texts(["Don't, C# and #4!"], TokenConfig(form="written"))
    path = tmp_path / "labels.txt"
    path.write_text("\n".join([*made.labels, ""]), encoding="utf-8")
    assert make_tokens([], TokenConfig(alphabet=str(path), form="written")).labels == made.labels


def test_a_list_of_words() -> None:
    tokens = make_tokens([], TokenConfig(unit="word", alphabet=["yes", "no", "דואר"]))
    assert tokens.labels == (BLANK, "yes", "no", "דואר")
    assert tokens.unknown("Yes or no") == ["or"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\nb\na", "'a' stands there twice"),
        ("a\nA", "'A' occurs in no text as it is compared; write 'a' there"),
        ("a\ne\u0301", "'e\u0301' occurs in no text as it is compared; write 'é' there"),
        ("a\n\u200fא", r"'\\u200fא' occurs in no text as it is compared; write 'א' there"),
        ("a\n!", "'!' occurs in no text as it is compared"),
        ("a\n#b", "'#b' occurs in no text as it is compared; a comment has a space behind the #"),
        ("a\nb c", "'b c' occurs in no text: a label has no white space inside; <space> is the one for it"),
        ("a\n<blank>", "<blank> is no letter"),
        ("# only this\n\n", "holds no labels"),
        ("<space>\n", "holds no labels"),
    ],
)
def test_what_is_no_alphabet_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(TokenError, match=rf"alphabet\.txt: .*{said}") as error:
        make_tokens([], written(tmp_path, text))
    assert "\n" not in str(error.value)


def test_other_mistakes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("é".encode("latin-1"))
    with pytest.raises(TokenError, match=r"a\.txt: is not text in UTF-8"):
        read_alphabet(tmp_path / "a.txt")
    with pytest.raises(FileNotFoundError):
        read_alphabet(tmp_path / "absent.txt")
    with pytest.raises(TokenError, match=r"tokens\.alphabet: <space> is no word"):
        make_tokens([], TokenConfig(unit="word", alphabet=[SPACE, "a"]))
    with pytest.raises(TokenError, match="least_count"):
        TokenConfig(alphabet=["a"], least_count=2)


def longest_first(text: str, labels: set[str]) -> list[str]:
    """The definition, by trying all labels at each place."""
    if not text:
        return []
    fits = [label for label in labels if text.startswith(label)]
    piece = max(fits, key=len, default=text[0])
    return [SPACE if piece == " " else piece, *longest_first(text[len(piece) :], labels)]


@given(st.lists(st.sampled_from(LABELS), unique=True, min_size=1), st.text("abcd ", max_size=12))
def test_the_longest_label_that_fits_is_taken_at_each_place(labels: list[str], text: str) -> None:
    tokens = make_tokens([], TokenConfig(alphabet=[SPACE, *labels]))
    pieces = longest_first(normalize(text), set(labels))
    assert tokens.pieces(text) == pieces
    assert set(tokens.unknown(text)) == set(pieces) - {*labels, SPACE}
    if not tokens.unknown(text):
        assert tokens.decode(tokens.encode(text)) == normalize(text)


CLUSTERS = ["क्ष", "त्र", "ch", "sch", "שׁ", "ll", "ng", "\u093c", "'"]


@given(st.text() | st.text("schlng שׁאक्षत्र'’- \u200c\u05b8"), st.sampled_from(["plain", "written"]))
def test_any_text_comes_back_over_its_letters_and_clusters(text: str, form: str) -> None:
    if not normalize(text, form):
        return
    own = Tokens.from_texts([text], TokenConfig(form=form)).labels[1:]
    tokens = make_tokens([], TokenConfig(alphabet=[*own, *(one for one in CLUSTERS if one not in own)], form=form))
    assert tokens.decode(tokens.encode(text)) == normalize(text, form)


def test_reserved_labels_are_not_found_in_texts() -> None:
    tokens = Tokens([BLANK, SPACE, "<unknown>", *"<>abceklnps"], "char", "written")
    assert tokens.pieces("<space> <blank>") == [*"<space>", SPACE, *"<blank>"]
