"""What normalisation folds together and what must survive it, script by script."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asr.text import FORMS, _normalized, normalize


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        (" \t\n\u00a0\u3000", ""),
        ("Hello,  World!\n", "hello world"),
        ("one\ttwo\u00a0three\u3000four\u200bfive", "one two three four five"),
        ("...", ""),
        ("yes—no/maybe… so", "yes no maybe so"),
        ("well-known snake_case", "well known snake case"),
        ("50 % of 3,5 € + 1", "50 of 3 5 € + 1"),
        ("the U.S.A. at 9 a.m.", "the usa at 9 am"),
        ("end.", "end"),
    ],
)
def test_space_and_punctuation(text: str, expected: str) -> None:
    assert normalize(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't", "don't"),
        ("don’t d‘accord don´t don`t", "don't d'accord don't don't"),
        ("'quoted' ’tis the dogs' rock 'n' roll", "quoted tis the dogs rock n roll"),
        ("п’ять п\u02bcять", "п'ять п'ять"),
        ("o\u02bbzbek", "o'zbek"),
        ("\u02bbokina", "\u02bbokina"),  # a letter of Hawaiian, here not between letters
        ("a''b", "a b"),
        ("l'été aujourd’hui", "l'été aujourd'hui"),
        ("90's", "90's"),
        ("कि'क", "कि'क"),
    ],
)
def test_apostrophes(text: str, expected: str) -> None:
    assert normalize(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Straße STRAẞE", "straße straße"),
        ("Maße Masse", "maße masse"),
        ("İstanbul istanbul i\u0307stanbul", "istanbul istanbul istanbul"),
        ("ısı ISI", "ısı isi"),
        ("ΟΔΟΣ οδός", "οδος οδός"),
        ("Cafe\u0301", "café"),
        ("हिन्दी में, क्या है।", "हिन्दी में क्या है"),
        ("\u0958लम", unicodedata.normalize("NFC", "\u0958लम")),  # nukta: composed and apart are one
        ("שָׁלוֹם עֲלֵיכֶם!", unicodedata.normalize("NFC", "שָׁלוֹם עֲלֵיכֶם")),
        ('צה״ל צה"ל בית־ספר', "צהל צהל בית ספר"),
        ("ג׳ירפה ג'ירפה", "ג'ירפה ג'ירפה"),
        ("می\u200cخواهم؟", "می\u200cخواهم"),
        ("col·lecció", "collecció"),
        ("Ինչու՞ ի՞նչ", "ինչու ինչ"),
        ("你好，世界。", "你好 世界"),
        ("สวัสดี", "สวัสดี"),
        ("\u1100.\u1161", "\uac00"),  # what comes together when a mark goes is composed
        ("tiếng Việt", "tiếng việt"),
        ("hyphen\u00adated \ufeffmark \u200fבית\u200e", "hyphenated mark בית"),
        ("x̣̌", "x̣̌"),
    ],
)
def test_scripts(text: str, expected: str) -> None:
    assert normalize(text) == expected


@pytest.mark.parametrize("sign", ["\u093f", "\u094d", "\u05b8", "\u0301", "\u0e34", "\u0bcd", "\u064e", "\u20dd"])
def test_combining_marks_of_all_kinds_survive(sign: str) -> None:
    assert unicodedata.category(sign) in ("Mn", "Mc", "Me")
    assert sign in unicodedata.normalize("NFD", normalize(f"ab{sign}c, b{sign}"))


@given(st.text() | st.text("aàiI\u0307\u0323İıßΣς'’.\u02bc\u00ad \"-א״א가"))
@example("A.ʻ0")
@example("İ\u0307")
def test_twice_changes_nothing_and_the_form_holds(text: str) -> None:
    once = normalize(text)
    assert normalize(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert once == " ".join(once.split())
    assert all(letter == "'" or not unicodedata.category(letter).startswith("P") for letter in once)


@given(st.text())
def test_composed_and_decomposed_text_are_one(text: str) -> None:
    assert normalize(unicodedata.normalize("NFD", text)) == normalize(unicodedata.normalize("NFC", text))


# What stands for other letters, or for none.
FOLDED = "".join(
    map(chr, (0x34F, 0x640, 0x7FA, *range(0xFB00, 0xFFF0), *range(0x180B, 0x1810), *range(0xE0100, 0xE01F0)))
)


@given(st.text(st.characters(categories=["L", "M", "N"], exclude_characters=FOLDED)))
def test_nothing_of_a_word_is_lost(text: str) -> None:
    small = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower().replace("i\u0307", "i"))
    assert normalize(text).replace("'", "\u02bc") == small.replace("\u02bb", "\u02bc")
    assert normalize(text, "written") == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("１２３ ＡＢＣ ｶﾞｷﾞ", "123 abc ガギ"),
        ("ﬁne ﬂow", "fine flow"),
        ("ﷲ ﻣﺮﺣﺒﺎ", "الله مرحبا"),
        ("x² ½ ﹪ ①", "x² ½ ①"),  # other compatible forms are letters of their own
        ("\ufb2aלום", "שׁלום"),
        ("มํา ำ", "มํา ำ"),  # of Thai, NFKC would cut the vowel in two
    ],
)
def test_shapes_of_letters_are_the_letters(text: str, expected: str) -> None:
    assert normalize(text) == unicodedata.normalize("NFC", expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("مـــرحبا", "مرحبا"),
        ("क्\u200dष क्\u200cष", "क्\u200dष क्\u200cष"),
        ("क्\u200d \u200cक्ष\u200c", "क् क्ष"),
        ("می\u200c\u200cخواهم", "می\u200cخواهم"),
        ("a\u0000b\u0007", "a b"),
        ("☺\ufe0f a\u034f", "☺ a"),
    ],
)
def test_what_nobody_sees(text: str, expected: str) -> None:
    assert normalize(text) == normalize(text, "written") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Don’t — STOP,\tDr. Müller! ", "Don’t — STOP, Dr. Mu\u0308ller!"),
        ("बैठ\u093cो।", "बैठ\u093cो।"),
        ('צה"ל בית־ספר\u200f', 'צה"ל בית־ספר'),
        ("İI ΟΔΟΣ ẞ", "İI ΟΔΟΣ ẞ"),
        ("Ｓａｙ １", "Say 1"),
    ],
)
def test_as_written_case_and_punctuation_stay(text: str, expected: str) -> None:
    assert normalize(text, "written") == unicodedata.normalize("NFC", expected)


@given(st.text() | st.text("aI\u0307İΣ'.\u00ad \"-א\u200c\u200d\u0640\ufe0fﬁＡ"))
def test_the_written_form_holds_and_the_plain_one_follows_from_it(text: str) -> None:
    once = normalize(text, "written")
    assert normalize(once, "written") == once
    assert unicodedata.is_normalized("NFC", once)
    assert normalize(once) == normalize(text)


@given(text=st.text(alphabet="az09' -.Q\n", max_size=8), form=st.sampled_from(FORMS))
def test_what_is_told_at_once_to_be_as_it_is_compared_is(text: str, form: str) -> None:
    assert normalize(text, form) == _normalized(text, form)
