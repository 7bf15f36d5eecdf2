"""Sentences for language models, from what texts come in: plain text, transcripts of manifests and tables, folders."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Literal

from asr.tokens import SPACE, Tokens
from inference.arpa import BEGIN, END
from inference.model import BLANK

Unit = Literal["word", "letter"]
MANIFESTS = (".jsonl", ".jsonl.gz")
TABLES = (".tsv", ".tsv.gz")
REMEMBERED = 1_000_000  # words whose normal form is kept


class SentenceError(ValueError):
    """Text that cannot be read; the message names the file and, where one is wrong, the line."""


class Pieces:
    """Sentences as sequences of words, or of letters with <space> between words, as `asr.tokens` makes labels of them.

    The same as normalising each sentence with `asr.text.normalize`, ten times as fast: what a word becomes depends on
    nothing beyond the white space around it, and most words come again.

    Args:
        unit: What a sentence consists of.
        tokens: The model whose form of texts, and whose labels as letters, these are to be.
    """

    def __init__(self, unit: Unit, tokens: Tokens | None = None):
        self.unit = unit
        self._tokens = tokens or Tokens([BLANK], "char")
        self._known: dict[str, list[str]] = {}

    def __call__(self, sentence: str) -> list[str]:
        pieces: list[str] = []
        for written in sentence.split():
            known = self._known.get(written)
            if known is None:
                known = self._known[written] = self._normalized(written)
                if len(self._known) > REMEMBERED:
                    self._known.clear()
            pieces += known
        return pieces if self.unit == "word" else pieces[1:]

    def _normalized(self, written: str) -> list[str]:
        words = self._tokens.normalize(written).split()
        if self.unit == "word":
            return words
        return [piece for word in words for piece in (SPACE, *self._tokens.pieces(word))]


def read(
    sources: Sequence[str | Path],
    unit: Unit = "word",
    *,
    tokens: Tokens | None = None,
    progress: Callable[[int], None] = lambda size: None,
) -> Iterator[list[str]]:
    """The sentences of files and folders, normalised; those without a word are left out.

    A file has a sentence a line, also compressed with gzip. Of a lhotse manifest (`.jsonl`, `.jsonl.gz`) and of a table
    (`.tsv`, `.tsv.gz`, a column `text`) it is the transcripts. A folder stands for all `.txt` files in and below it.

    Args:
        sources: Files and folders.
        unit: What a sentence consists of.
        tokens: The model whose form of texts, and whose labels as letters, these are to be.
        progress: Is told how many bytes of the files have been read since it was last.

    Raises:
        SentenceError: something there is no text in UTF-8, or not what its name says, or holds <s> or </s>.
        OSError: a file cannot be opened.
    """
    pieces = Pieces(unit, tokens)
    for path in files(sources):
        with open(path, "rb") as file:
            told = 0
            for number, text in _texts(path, file):
                sentence = pieces(text)
                if BEGIN in sentence or END in sentence:
                    raise SentenceError(
                        f"{path}: line {number}: {BEGIN} and {END} are no words; take them out (a line is a sentence)"
                    )
                if sentence:
                    yield sentence
                if number % 1000 == 0 and file.seekable():
                    here = file.tell()
                    progress(here - told)
                    told = here


def files(sources: Iterable[str | Path]) -> list[Path]:
    """Folders replaced by the `.txt` files in them, in order.

    Raises:
        SentenceError: a folder has none.
    """
    found: list[Path] = []
    for source in map(Path, sources):
        if not source.is_dir():
            found.append(source)
            continue
        inside = sorted(path for path in source.rglob("*.txt") if path.is_file())
        if not inside:
            raise SentenceError(f"{source}: no .txt files in this folder")
        found += inside
    return found


def _texts(path: Path, file: io.BufferedReader) -> Iterator[tuple[int, str]]:
    """The sentences of a file as they are written, with their lines."""
    try:
        lines = enumerate(_lines(path, file), start=1)
        if path.name.endswith(TABLES):
            yield from _table(path, (line for _, line in lines))
            return
        if not path.name.endswith(MANIFESTS):
            yield from lines
            return
        for number, line in lines:
            try:
                said = _transcript(line)
            except (ValueError, LookupError, TypeError, AttributeError):
                raise SentenceError(
                    f"{path}: line {number}: not of a lhotse manifest with texts (plain text has another ending)"
                ) from None
            yield number, said
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SentenceError(f"{path}: damaged ({error}); fetch or make the file again") from None


def _lines(path: Path, file: io.BufferedReader) -> Iterator[str]:
    packed = file.peek(2)[:2] == b"\x1f\x8b"
    source: IO[bytes] = io.BufferedReader(gzip.GzipFile(fileobj=file)) if packed else file
    for number, line in enumerate(source, start=1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise SentenceError(f"{path}: line {number}: is not text in UTF-8; save it as such") from None


def _transcript(line: str) -> str:
    """What is said in a cut or a supervision of lhotse."""
    if not line.strip():
        return ""
    entry = json.loads(line)
    if "supervisions" not in entry:
        return entry["text"] + ""
    return " ".join(supervision.get("text") or "" for supervision in entry["supervisions"])


def _table(path: Path, lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    if "text" not in (rows.fieldnames or ()):
        raise SentenceError(f"{path}: the first line must name the columns, with tabs between them, one of them text")
    try:
        for row in rows:
            if row["text"] is None:
                raise SentenceError(f"{path}: line {rows.line_num}: lacks its text")
            yield rows.line_num, row["text"]
    except csv.Error as error:
        raise SentenceError(f"{path}: after line {rows.line_num}: {error}") from None
