"""The form in which texts are compared and labels are made: what is a difference between two texts, and what is not.

This one function stands before everything: texts that labels are made of, hot words, texts of language models, and both
sides of a comparison. A model stores the form that it was trained in (`tokens.form`), and all that is done with it
follows.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal, get_args

Form = Literal["plain", "written"]
FORMS: tuple[str, ...] = get_args(Form)
PLAIN, WRITTEN = FORMS
STATED = {
    PLAIN: "Compared in Unicode NFC and small letters, without punctuation other than apostrophes inside words, white "
    "space folded.",
    WRITTEN: "Compared as written, case and punctuation too, in Unicode NFC, white space folded.",
}

# Written by different keyboards for the same apostrophe: typographic ones, the modifier letters of Ukrainian, Uzbek
# and Hawaiian, the Armenian one, the Hebrew geresh, and accents typed in its place.
APOSTROPHES = frozenset("'’‘\u02bc\u02bb\u055a\u05f3´`")
# Marks that are written inside a word and leave it one word (Unicode Standard Annex 29 sees no border there): the stops
# of abbreviations, the Catalan point, Hebrew gershayim, and the Armenian marks for stress, call and question.
INSIDE_WORDS = frozenset(".·\u2027\u05f4\u055b\u055c\u055e")
JOINERS = re.compile("[\u200c\u200d]+")  # invisible, and part of the spelling in Persian and in Indic scripts
ZERO_WIDTH_SPACE = "\u200b"  # what separates words in Khmer and Thai
# What only makes a word longer on the line: Arabic tatweel and its like in N'Ko and Mongolian.
STRETCHES = frozenset("\u0640\u07fa\u180a")
# Letters once more for their width or shape: ligatures and Arabic shapes, as PDFs have them; wide and narrow letters.
SHAPES = re.compile("[\ufb00-\ufdff\ufe70-\uffef]+")
# Marks that nobody sees, besides the category Cf: a joiner of marks, and what chooses between shapes of a letter.
UNSEEN_MARKS = re.compile("[\u034f\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]+")

# Texts that are as they are compared, told apart at a twentieth of the cost: most words that are not typed by hand.
AS_THEY_ARE = {
    PLAIN: re.compile("[a-z0-9]+(?:[' ][a-z0-9]+)*"),
    WRITTEN: re.compile("[!-~]+(?: [!-~]+)*"),
}


def normalize(text: str, form: str = PLAIN) -> str:
    """The text as it is compared: in the form `plain`, for most uses, or `written`, where case and punctuation count.

    In both:

    - Unicode NFC. Letters that Unicode has once more for their shape are the ordinary ones: full-width １ is 1,
      half-width ｶ is カ, the ligature ﬁ is fi. Other compatible letters are not folded: ² is not 2.
    - White space of every kind is one space between words, and none at the ends.
    - Letters, digits, symbols and combining marks of every script stay. So a vowel sign, a nukta, Hebrew niqqud and
      Arabic harakat count where they are written, and the digits १ and 1 are two. Control characters are
      white space. What nobody sees goes (soft hyphens, marks of direction, selectors of variants), tatweel goes, and of
      the joiners those that are not between two letters.

    In the form `plain` besides:

    - Small letters, not Unicode's case folding: the result is also what models learn to write, so ß and the final ς
      must stay. İ becomes i and I becomes i, as they must where the language is not known (Turkish in capitals
      therefore differs from Turkish in small letters); ı stays.
    - Apostrophes inside a word stay, all as '. A stop, a Catalan point, gershayim or an Armenian mark inside a word is
      taken out of it (U.S.A. is usa). All other punctuation (the categories P of Unicode: hyphens, maqaf, danda ...)
      becomes a space: well-known is two words, and 3.5 too. Symbols (categories S, such as + or €) stay.

    Normalising twice changes nothing more. No number is spelled out, and no word is replaced by another.
    """
    assert form in FORMS, form
    if AS_THEY_ARE[form].fullmatch(text):
        return text
    return _normalized(text, form)


def _normalized(text: str, form: str) -> str:
    seen = _seen(text)
    if form == WRITTEN:
        return seen
    small = re.sub("i\u0307+", "i", seen.lower())  # lower() leaves İ a dot too many
    framed = f" {unicodedata.normalize('NFC', small)} "
    kept = (_without_punctuation(*triple) for triple in zip(framed, framed[1:], framed[2:], strict=False))
    return unicodedata.normalize("NFC", " ".join("".join(kept).split()))


def _seen(text: str) -> str:
    """What both forms have in common."""
    text = SHAPES.sub(lambda shapes: unicodedata.normalize("NFKC", shapes[0]), text)
    visible = UNSEEN_MARKS.sub("", "".join(map(_without_formatting, text)))
    joined = JOINERS.sub(_between_letters, visible)
    return unicodedata.normalize("NFC", " ".join(joined.split()))


def _without_formatting(letter: str) -> str:
    if letter == ZERO_WIDTH_SPACE:
        return " "
    category = unicodedata.category(letter)
    if category == "Cc":
        return " "
    return "" if letter in STRETCHES or (category == "Cf" and not JOINERS.match(letter)) else letter


def _between_letters(joiners: re.Match[str]) -> str:
    """One joiner of several, and none at the edge of a word."""
    framed, (start, end) = joiners.string, joiners.span()
    sides = framed[max(start - 1, 0) : start], framed[end : end + 1]
    return joiners[0][0] if all(side and unicodedata.category(side)[0] in "LMN" for side in sides) else ""


def _without_punctuation(before: str, letter: str, after: str) -> str:
    if letter in APOSTROPHES:
        if _is_of(before, "LMN") and _is_of(after, "LMN"):
            return "'"
        return letter if unicodedata.category(letter) == "Lm" else " "
    if letter in INSIDE_WORDS and _is_of(before, "L") and _is_of(after, "L"):
        return ""
    if letter == '"' and _is_hebrew(before) and _is_hebrew(after):
        return ""  # typed for gershayim
    return " " if unicodedata.category(letter).startswith("P") else letter


def _is_of(letter: str, categories: str) -> bool:
    return letter not in APOSTROPHES and unicodedata.category(letter)[0] in categories


def _is_hebrew(letter: str) -> bool:
    return "\u05d0" <= letter <= "\u05ea"
