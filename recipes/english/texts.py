"""Texts for English: what synthesisers are to say, what a language model is made of, and what neither may hold.

A sentence that a model is tested or chosen on would be an unfair hint wherever else it stood: in a book that a language
model is made of, or among what a synthesiser reads aloud. `HeldOut` knows these sentences; every text passes it, and
`check_language_text` looks once more into what was written.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from asr.language.sentences import Pieces
from inference.files import writing
from training.manifests import ManifestError

LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz'")
# Behind these a point ends no sentence, and what they stand for is not always said as a synthesiser says it.
ABBREVIATIONS = frozenset(
    (
        *("mr", "mrs", "ms", "messrs", "mme", "mlle", "dr", "st", "prof", "rev", "hon", "esq", "jr", "sr"),
        *("gen", "col", "capt", "lieut", "lt", "sgt", "maj"),
        *("etc", "vol", "chap", "no", "nos", "fig", "viz", "vs", "co", "inc", "ltd", "bros", "ave"),
    )
)
ROMAN = re.compile(r"[IVXLC]{2,}")
SPEECH_WORDS = (4, 20)  # of a sentence that a synthesiser says
SPEECH_LETTERS = re.compile(r"[A-Za-z][A-Za-z ',;:-]*[.!?]")
ONE_LETTER_WORDS = frozenset("aio")
# A held-out sentence of so many words may not stand within a longer one; shorter ones are anybody's.
LEAST_WITHIN = 4
# Nor may so many words, if they are all of a line, stand within a held-out sentence.
LEAST_PART = 6


class SpokenForm:
    """Text as the words that are said, in small letters from a to z: `form(text) -> words`, or none.

    `asr.text.normalize`, and letters without their accents. None where something else is left, such as digits: who
    knows how they were read.
    """

    def __init__(self) -> None:
        self._pieces = Pieces("word")

    def __call__(self, text: str) -> list[str] | None:
        if not text.isascii():
            marked = unicodedata.normalize("NFKD", text)
            text = "".join(letter for letter in marked if not unicodedata.combining(letter))
        words = self._pieces(text)
        return words if words and LETTERS.issuperset("".join(words)) else None


class HeldOut:
    """Sentences that are tested or chosen on.

    Args:
        sentences: Each as words.
    """

    def __init__(self, sentences: Iterable[Sequence[str]]):
        self._whole = {tuple(words) for words in sentences}
        self._by_beginning: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
        self._parts: dict[tuple[str, ...], list[str]] = {}
        for words in self._whole:
            if len(words) >= LEAST_WITHIN:
                self._by_beginning.setdefault(words[:LEAST_WITHIN], []).append(words)
            for k in range(len(words) - LEAST_PART + 1):
                self._parts.setdefault(words[k : k + LEAST_PART], []).append(f" {' '.join(words)} ")

    @property
    def digest(self) -> str:
        """Tells them from others."""
        return hashlib.sha256("\n".join(sorted(map(" ".join, self._whole))).encode()).hexdigest()

    def touches(self, words: Sequence[str]) -> bool:
        """Whether a sentence is one of them, holds one (of 4 words or more), or is part of one (6 words or more)."""
        words = tuple(words)
        if words in self._whole:
            return True
        for k in range(len(words) - LEAST_WITHIN + 1):
            for held in self._by_beginning.get(words[k : k + LEAST_WITHIN], ()):
                if words[k : k + len(held)] == held:
                    return True
        around = self._parts.get(words[:LEAST_PART], ()) if len(words) >= LEAST_PART else ()
        return any(f" {' '.join(words)} " in held for held in around)


def paragraphs(book: Path) -> Iterator[str]:
    """The lines of a text, also compressed with gzip.

    Raises:
        ManifestError: it is not there, damaged, or no text in UTF-8.
    """
    if not book.is_file():
        raise ManifestError(f"{book}: no such file; give English prose, a paragraph a line, also compressed with gzip")
    try:
        with gzip.open(book, "rb") if book.suffix == ".gz" else open(book, "rb") as file:
            for line in file:
                yield line.decode("utf-8-sig").strip()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ManifestError(f"{book}: damaged ({error}); fetch or make it again") from None
    except UnicodeDecodeError:
        raise ManifestError(f"{book}: is not text in UTF-8; save it so") from None


def sentences_of(paragraph: str) -> list[str]:
    """A paragraph divided behind points, question and exclamation marks that a capital letter follows."""
    found: list[str] = []
    for piece in re.split(r"(?<=[.!?])(?=[\"'”’)\]]*\s+[\"'“‘(\[]*[A-Z])[\"'”’)\]]*\s+", paragraph):
        last = found[-1].rsplit(maxsplit=1)[-1].strip("\"'“‘([.") if found and found[-1].endswith(".") else ""
        if last and (last.lower() in ABBREVIATIONS or (len(last) == 1 and last != "I")):
            found[-1] += f" {piece}"
        elif piece.strip():
            found.append(piece.strip())
    return found


def speakable(sentence: str) -> str | None:
    """The sentence as a synthesiser is to read it, if every synthesiser will read the same words.

    Without quotation marks and brackets. None of one that has less than 4 or more than 20 words, digits, letters other
    than English ones, abbreviations, initials, Roman numbers or words in capitals.
    """
    plain = re.sub(r"\s*(?:--|[—–])\s*", ", ", sentence.replace("’", "'").replace("‘", "'"))
    plain = " ".join(re.sub(r"[\"“”()\[\]]|(?<!\w)'|'(?!\w)", " ", plain).split())
    plain = re.sub(r"\s+([,;:.!?])", r"\1", plain)
    if not SPEECH_LETTERS.fullmatch(plain):
        return None
    words = re.findall(r"[A-Za-z']+", plain)
    if not SPEECH_WORDS[0] <= len(words) <= SPEECH_WORDS[1]:
        return None
    for word in words:
        small = word.lower()
        if small in ABBREVIATIONS or ROMAN.fullmatch(word) or (len(word) > 1 and word.isupper()):
            return None
        if len(word) == 1 and small not in ONE_LETTER_WORDS:
            return None
    return plain


def to_speak(book: Path, held_out: HeldOut) -> list[str]:
    """The sentences of a book that a synthesiser may say, each once, in the order of the book.

    Raises:
        ManifestError: the book cannot be read, or has none.
    """
    form, found = SpokenForm(), {}
    for paragraph in paragraphs(book):
        for sentence in sentences_of(paragraph):
            plain = speakable(sentence)
            words = form(plain) if plain else None
            if words and not held_out.touches(words):
                found.setdefault(tuple(words), plain)
    if not found:
        raise ManifestError(f"{book}: no sentence of {SPEECH_WORDS[0]} to {SPEECH_WORDS[1]} English words; give prose")
    return list(found.values())


def write_language_text(path: Path, *, books: Sequence[Path], transcripts: Iterable[str], held_out: HeldOut) -> Counter:
    """What a language model is made of: sentences of books and the transcripts of training, a line each, normalised.

    Without those that `held_out` touches, and those with words that are no English letters. Transcripts are taken once
    each. Compressed where the name ends in .gz, the same bytes each time.

    Returns:
        How many lines were `written`, and how many were left out as `held out` or as `not spelled`.

    Raises:
        ManifestError: a book cannot be read.
    """
    form, counted = SpokenForm(), Counter()
    read = (one for book in books for paragraph in paragraphs(book) for one in sentences_of(paragraph))
    with writing(path) as file:
        packed = gzip.GzipFile("", "wb", 6, file, mtime=0) if path.suffix == ".gz" else file
        for text in chain(dict.fromkeys(transcripts), read):
            words = form(text)
            kind = "not spelled" if words is None else "held out" if held_out.touches(words) else "written"
            counted[kind] += 1
            if kind == "written":
                packed.write(f"{' '.join(words)}\n".encode())
        if packed is not file:
            packed.close()
    return counted


def check_language_text(path: Path, held_out: HeldOut) -> None:
    """Look through a text that a language model is to be made of.

    Raises:
        ManifestError: a line is, holds or is part of a sentence that is tested or chosen on; or it cannot be read.
    """
    for number, line in enumerate(paragraphs(path), start=1):
        if held_out.touches(line.split()):
            raise ManifestError(
                f"{path}: line {number} has a sentence of a test or development set: {line!r}; make the text again"
            )
