"""The form in which texts are compared and labels are made: what is a difference between two texts, and what is not."""

from __future__ import annotations

import re
import unicodedata

# Written by different keyboards for the same apostrophe: typographic ones, the modifier letters of Ukrainian, Uzbek
# and Hawaiian, the Armenian one, the Hebrew geresh, and accents typed in its place.
APOSTROPHES = frozenset("'’‘\u02bc\u02bb\u055a\u05f3＇´`")
# Marks that are written inside a word and leave it one word (Unicode Standard Annex 29 sees no border there): the stops
# of abbreviations, the Catalan point, Hebrew gershayim, and the Armenian marks for stress, call and question.
INSIDE_WORDS = frozenset(".·\u2027\u05f4\u055b\u055c\u055e")
JOINERS = frozenset("\u200c\u200d")  # invisible, and part of the spelling in Persian and in Indic scripts
ZERO_WIDTH_SPACE = "\u200b"  # what separates words in Khmer and Thai


def normalize(text: str) -> str:
    """The text as it is compared: NFC, in small letters, without punctuation, words separated by single spaces.

    - Case is folded by writing small letters, not by Unicode's case folding: the result is also what models learn to
      write, so ß and the final ς must stay. İ becomes i and I becomes i, as they must where the language is not known
      (Turkish in capitals therefore differs from Turkish in small letters); ı stays.
    - Apostrophes inside a word stay, all as '. A stop, a Catalan point, gershayim or an Armenian mark inside a word is
      taken out of it (U.S.A. is usa). All other punctuation (the categories P of Unicode) becomes a space: well-known
      is two words. Symbols (categories S, such as + or €) stay.
    - Letters, digits and combining marks of every script stay. Invisible formatting goes, but for the joiners that
      belong to the spelling.

    Normalising twice changes nothing more.
    """
    visible = "".join(_without_formatting(letter) for letter in text)
    small = re.sub("i\u0307+", "i", unicodedata.normalize("NFC", visible).lower())  # lower() leaves İ a dot too many
    framed = f" {unicodedata.normalize('NFC', small)} "
    kept = (_without_punctuation(*triple) for triple in zip(framed, framed[1:], framed[2:], strict=False))
    return unicodedata.normalize("NFC", " ".join("".join(kept).split()))


def _without_formatting(letter: str) -> str:
    if letter == ZERO_WIDTH_SPACE:
        return " "
    return "" if unicodedata.category(letter) == "Cf" and letter not in JOINERS else letter


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
