"""The ARPA format of back-off n-gram models: read with every line checked, and written.

The format is that of ngram-format(5) of SRILM: base-10 logarithms, the n-grams of each order with their back-off
weights. In memory a model is a tree of arrays, one `Level` an order, with some 20 bytes an n-gram.
"""

from __future__ import annotations

import gzip
import io
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from inference.files import writing

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
HIGHEST_ORDER = 10  # KenLM, unless it is compiled for more, reads up to 6
LN10 = math.log(10)
FLOOR_LOG10 = -100.0  # of an unknown word where a model has no <unk>, as in KenLM, and of whatever is less probable
BINARY = b"mmap lm http://kheafield.com/code"  # how binary files of KenLM begin
LINES_AT_ONCE = 10_000  # more are no faster
LONGEST_HEADER_LINE = 1 << 16


class NgramError(ValueError):
    """A language model that cannot be used; the message names the file and, where one is wrong, the line."""


class Level(NamedTuple):
    """The G n-grams of one order, sorted by context and last word.

    `parent_G` is the place of all words but the last among the n-grams one order below (0 in the first order),
    `word_G` the number of the last word. Natural logarithms of the probability and of the back-off weight, which is 0
    in the highest order.
    """

    parent_G: np.ndarray
    word_G: np.ndarray
    log_prob_G: np.ndarray
    backoff_G: np.ndarray


def read(path: str | Path) -> tuple[tuple[str, ...], list[Level]]:
    """Words and levels of a file in the ARPA format, plain or compressed with gzip.

    Where the file has no <unk>, it becomes the last word, with `FLOOR_LOG10`, and so does a probability of 0 (-inf).
    Back-off weights may be missing where no longer n-gram begins.

    Raises:
        NgramError: it is something else, or damaged.
        OSError: it cannot be opened.
    """
    path = Path(path)
    with open(path, "rb") as file:
        source = file
        if file.peek(2)[:2] == b"\x1f\x8b":
            source = io.BufferedReader(gzip.GzipFile(fileobj=file))
        reader = _Reader(path, source)
        try:
            return reader.read()
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise NgramError(
                f"{path}: damaged after line {reader.number} ({error}); fetch or make the file again"
            ) from None


class _Reader:
    def __init__(self, path: Path, file: io.BufferedReader):
        self.path = path
        self.file = file
        self.number = 0  # of the line read last
        self.words: dict[bytes, int] = {}

    def read(self) -> tuple[tuple[str, ...], list[Level]]:
        if self.file.peek(len(BINARY)).startswith(BINARY):
            raise NgramError(
                f"{self.path}: KenLM's binary format, which KenLM alone reads; give the ARPA file that it was made of"
            )
        counts, title = self.header()
        keys: list[np.ndarray] = []  # of each order: place of the context times number of words, plus last word
        levels: list[Level] = []
        lacking, lines = np.zeros(1, bool), np.zeros(1, int)
        for order, count in enumerate(counts, start=1):
            if title != b"\\%d-grams:" % order:
                raise self.error(f"here should stand \\{order}-grams:, as the counts above say")
            start = self.number + 1
            ids, log_prob_G, backoff_G, missing_G = self.section(order, count, highest=order == len(counts))
            if order == 1:
                self.check_words()
            parent_G = self.places(ids[:, :-1], keys, start)
            key_G = parent_G * len(self.words) + ids[:, -1]
            sorting_G = np.argsort(key_G, kind="stable")
            key_G = key_G[sorting_G]
            twice = sorting_G[1:][key_G[1:] == key_G[:-1]]
            if twice.size:
                raise self.error("this n-gram stands here a second time", start + int(twice.min()))
            # The contexts that these n-grams have, and what they lack, by the lines where they stand.
            unweighted = lines[np.unique(parent_G[lacking[parent_G]])] if order > 1 else lines[:0]
            if unweighted.size:
                raise self.error("longer n-grams begin so, and no back-off weight stands here", int(unweighted.min()))
            lacking, lines = missing_G[sorting_G], start + sorting_G
            keys.append(key_G)
            level = (parent_G[sorting_G].astype(np.int32), ids[sorting_G, -1])
            levels.append(Level(*level, log_prob_G[sorting_G], backoff_G[sorting_G]))
            title = self.title()
        if title != b"\\end\\":
            raise self.error("here should stand \\end\\, as the counts above say")
        return self.with_unknown(levels)

    def error(self, what: str, number: int | None = None) -> NgramError:
        return NgramError(f"{self.path}: line {self.number if number is None else number}: {what}")

    def title(self) -> bytes:
        """The next line that is not blank."""
        while line := self.file.readline(LONGEST_HEADER_LINE):
            self.number += 1
            if line := line.strip():
                return line
        raise self.error("the file ends here, and \\end\\ is missing: it was cut short; fetch or make it again")

    def header(self) -> tuple[list[int], bytes]:
        """How many n-grams of each order there are, and the title of the first section."""
        while line := self.file.readline(LONGEST_HEADER_LINE):
            self.number += 1
            if line.strip() == b"\\data\\":
                break
        else:
            raise NgramError(f"{self.path}: has no line \\data\\: not a language model in the ARPA format")
        counts: list[int] = []
        while not (line := self.title()).startswith(b"\\"):
            found = re.fullmatch(rb"ngram\s+(\d{1,2})\s*=\s*(\d{1,12})", line)
            if not found or int(found[1]) != len(counts) + 1:
                raise self.error(f"here should stand `ngram {len(counts) + 1}=` and how many there are")
            counts.append(int(found[2]))
        if not 1 <= len(counts) <= HIGHEST_ORDER:
            raise self.error(f"the model is of order {len(counts)}; orders from 1 to {HIGHEST_ORDER} can be read")
        return counts, line

    def section(self, order: int, count: int, *, highest: bool) -> tuple[np.ndarray, ...]:
        """Word numbers (count, order), log probabilities, back-off weights, and where those are missing."""
        parts = []
        for done in range(0, count, LINES_AT_ONCE):
            wanted = min(LINES_AT_ONCE, count - done)
            lines = list(islice(self.file, wanted))
            parts.append(self.parsed(lines, order, highest))
            self.number += len(lines)
            if len(lines) < wanted:
                raise self.error(
                    f"the file ends here, after {done + len(lines)} of {count} {order}-grams: it was cut short; "
                    "fetch or make it again"
                )
        if not parts:
            nothing = np.zeros(0, np.float32)
            return np.zeros((0, order), np.int32), nothing, nothing, np.zeros(0, bool)
        return tuple(np.concatenate(column) for column in zip(*parts, strict=True))

    def parsed(self, lines: list[bytes], order: int, highest: bool) -> tuple[np.ndarray, ...]:
        """The same for the lines that come next."""
        known = len(self.words)
        width = order + 1 if highest else order + 2
        rows = [line.split() for line in lines]
        length = np.array([*map(len, rows)], np.int64)
        missing = length == order + 1
        if not highest and missing.any():
            rows = [[*row, b"0"] if lacks else row for row, lacks in zip(rows, missing.tolist(), strict=True)]
            length[missing] = width
        if (length != width).any():
            raise self.blamed(rows, order, width, known)
        columns = list(zip(*rows, strict=True)) or [()] * width
        if order == 1:
            self.words.update(zip(columns[1], range(known, known + len(rows)), strict=True))
            if len(self.words) != known + len(rows):
                raise self.blamed(rows, order, width, known)
        try:
            log_prob = np.array([float(text) for text in columns[0]])
            backoff = np.zeros(len(rows)) if highest else np.array([float(text) for text in columns[-1]])
            ids = np.array([[self.words[word] for word in column] for column in columns[1 : order + 1]], np.int32).T
        except (ValueError, KeyError):
            raise self.blamed(rows, order, width, known) from None
        wrong = np.flatnonzero(~(log_prob <= 1e-6) | ~(backoff < np.inf))  # also where either is no number
        if wrong.size:
            row = rows[wrong[0]]
            shown = row[0] if not log_prob[wrong[0]] <= 1e-6 else row[-1]
            raise self.error(f"{_shown(shown)} is no log probability", self.number + 1 + int(wrong[0]))
        log_prob, backoff = (np.maximum(column, FLOOR_LOG10) for column in (np.minimum(log_prob, 0), backoff))
        return ids, (log_prob * LN10).astype(np.float32), (backoff * LN10).astype(np.float32), missing

    def blamed(self, rows: list[list[bytes]], order: int, width: int, known: int) -> NgramError:
        """What is wrong with the first line that is, where the lines before brought `known` words."""
        seen = set(islice(self.words, known))
        for number, row in enumerate(rows, start=self.number + 1):
            if not row or row[0].startswith(b"\\"):
                return self.error(f"here the {order}-grams end, and there are fewer than the counts above say", number)
            if len(row) != width:
                fields = "a log probability and" if width == order + 1 else "a log probability, a back-off weight and"
                return self.error(f"{len(row)} fields; a {order}-gram here has {fields} {order} words", number)
            for text in row[:1] + row[order + 1 :]:
                try:
                    float(text)
                except ValueError:
                    return self.error(f"{_shown(text)} is no number", number)
            for word in row[1 : order + 1]:
                if order == 1 and word in seen:
                    return self.error(f"{_shown(word)} stands here a second time", number)
                if order > 1 and word not in seen:
                    return self.error(f"{_shown(word)} is not among the 1-grams", number)
                seen.add(word)
        raise AssertionError("a line was found wrong that is right")

    def places(self, context_GN: np.ndarray, keys: list[np.ndarray], start: int) -> np.ndarray:
        """Where each context stands in the level below, as int64; `start` is the line of the first."""
        place_G = np.zeros(len(context_GN), np.int64)
        for level_keys, word_G in zip(keys, context_GN.T, strict=True):
            key_G = place_G * len(self.words) + word_G
            place_G = np.searchsorted(level_keys, key_G)
            there_G = place_G < len(level_keys)
            there_G[there_G] = level_keys[place_G[there_G]] == key_G[there_G]
            if not there_G.all():
                number = start + int(np.flatnonzero(~there_G)[0])
                raise self.error("all its words but the last are no n-gram of this model", number)
        return place_G

    def check_words(self) -> None:
        first = self.number + 1 - len(self.words)
        for number, word in enumerate(self.words, start=first):
            try:
                word.decode()
            except UnicodeDecodeError:
                raise self.error(f"{_shown(word)} is not in UTF-8; convert the file", number) from None
        for marker in (BEGIN, END):
            if marker.encode() not in self.words:
                raise NgramError(f"{self.path}: has no {marker} among its 1-grams; make it with sentence borders")

    def with_unknown(self, levels: list[Level]) -> tuple[tuple[str, ...], list[Level]]:
        words = tuple(word.decode() for word in self.words)
        if UNKNOWN in words or UNKNOWN.upper() in words:
            return words, levels
        parent_G, word_G, log_prob_G, backoff_G = levels[0]
        levels[0] = Level(
            np.append(parent_G, np.int32(0)),
            np.append(word_G, np.int32(len(words))),
            np.append(log_prob_G, np.float32(FLOOR_LOG10 * LN10)),
            np.append(backoff_G, np.float32(0)),
        )
        return (*words, UNKNOWN), levels


def _shown(text: bytes) -> str:
    return repr(text[:60].decode(errors="replace"))


def write(path: str | Path, words: Sequence[str], levels: Sequence[Level]) -> None:
    """Write a model, compressed where the name ends in `.gz`: complete, or not at all.

    Logarithms have 7 digits. The n-grams come in the order of the levels; the same model is the same bytes.

    Raises:
        OSError: the folder does not exist or cannot be written, or the disk is full.
    """
    with writing(path) as file:
        if not str(path).endswith(".gz"):
            _write(file, words, levels)
            return
        # Without the time and the name that gzip would put in.
        with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6, mtime=0) as packed:
            _write(packed, words, levels)


def _write(file: BinaryIO, words: Sequence[str], levels: Sequence[Level]) -> None:
    file.write(b"\\data\\\n")
    for order, level in enumerate(levels, start=1):
        file.write(b"ngram %d=%d\n" % (order, len(level.word_G)))
    texts = [""]
    for order, level in enumerate(levels, start=1):
        file.write(b"\n\\%d-grams:\n" % order)
        highest = order == len(levels)
        here: list[str] = []
        for part in _parts(level):
            last = [words[word] for word in part.word_G.tolist()]
            joined = (
                last
                if order == 1
                else [f"{texts[parent]} {word}" for parent, word in zip(part.parent_G.tolist(), last, strict=True)]
            )
            values = zip((part.log_prob_G / LN10).tolist(), joined, (part.backoff_G / LN10).tolist(), strict=True)
            if highest:
                file.write("".join([f"{prob:.7g}\t{text}\n" for prob, text, _ in values]).encode())
            else:
                file.write("".join([f"{prob:.7g}\t{text}\t{weight:.7g}\n" for prob, text, weight in values]).encode())
                here += joined
        texts = here
    file.write(b"\n\\end\\\n")


def _parts(level: Level) -> Iterator[Level]:
    for start in range(0, len(level.word_G), LINES_AT_ONCE):
        yield Level(*(column[start : start + LINES_AT_ONCE] for column in level))
