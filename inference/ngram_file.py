"""Compact files of n-gram models: small, checked, and read in hundredths of a second (ARPA files take many seconds).

All numbers are little-endian. A file begins with 8 bytes that say what it is, the version of the format, the CRC-32 of
all other bytes, and how many bytes there are. Then come the order, the bits of a logarithm, and the counts; then,
each filled up to 8 bytes:

    words        the vocabulary in UTF-8, each ended by a line feed
    1-grams      logarithms of their probabilities, and of their back-off weights: always float32, as they are few
    tables       with 8 bits, of each further order the 256 values that its logarithms have, and its back-off weights
    last words   of the n-grams of all orders: 16 bits, or 32 where there are more than 65,536 words
    logarithms   of the probabilities from the second order on: places in the tables, or float32
    children     of each context as many ones as there are n-grams that go on with it, and a zero (Jacobson 1989)
    weighted     of each context from the second order on, whether its back-off weight is another than 1
    weights      of those alone: places in the tables, or float32

So an n-gram of the highest order takes 3 bytes and a bit, one below it 3 bytes and 3 bits, and a byte more if it has a
back-off weight. The tables are found by Lloyd's method (1982), which ends at a local least of the mean square of what
is lost; how little 8 bits lose is shown by Whittaker and Raj (2001). KenLM's quantised files, of bins of as many
elements each, are for KenLM alone.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from inference.arpa import BEGIN, END, HIGHEST_ORDER, UNKNOWN, Level, NgramError
from inference.files import writing
from inference.ngram_tree import Tree

ENDING = ".ngram"
MAGIC = b"SWNGRAM\n"
VERSION = 1
QUANTISED, EXACT = 8, 32  # bits of a logarithm
VALUES = 1 << QUANTISED
START = struct.Struct("<8sIIQ")  # what it is, version, sum, bytes
SHAPE = struct.Struct("<IIQ")  # order, bits, bytes of the words
ROUNDS = 200  # of Lloyd's, which end earlier on all but the largest models


class _Shape(NamedTuple):
    """What a file holds: the bytes of its words, the n-grams of each order, and how many of them have a weight."""

    bits: int
    text: int
    counts: tuple[int, ...]
    weighted: tuple[int, ...]  # of the orders between the first and the highest

    def parts(self) -> list[tuple[str, int]]:
        """Type and number of elements of each part."""
        words, total, below = self.counts[0], sum(self.counts[1:]), sum(self.counts[1:-1])
        order, value = len(self.counts), "<f4" if self.bits == EXACT else "u1"
        tables = VALUES * (order - 1 + len(self.weighted)) if self.bits == QUANTISED else 0
        return [
            ("u1", self.text),
            ("<f4", words),
            ("<f4", words if order > 1 else 0),
            ("<f4", tables),
            ("<u2" if words <= 1 << 16 else "<u4", words + total),
            (value, total),
            ("u1", -(-(total + words + below) // 8) if order > 1 else 0),
            ("u1", -(-below // 8)),
            (value, sum(self.weighted)),
        ]

    def head(self) -> bytes:
        return SHAPE.pack(len(self.counts), self.bits, self.text) + struct.pack(
            f"<{len(self.counts) + len(self.weighted)}Q", *self.counts, *self.weighted
        )

    def bytes(self) -> int:
        start = START.size + len(self.head())
        return start + sum(_filled(np.dtype(kind).itemsize * number) for kind, number in self.parts())


def _filled(size: int) -> int:
    return -(-size // 8) * 8


def is_compact(path: str | Path) -> bool:
    """Whether a file says of itself that it is one of these.

    Raises:
        OSError: it cannot be opened.
    """
    with open(path, "rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def size(words: Sequence[str], counts: Sequence[int], weighted: Sequence[int], *, bits: int = QUANTISED) -> int:
    """How many bytes a file has.

    Args:
        words: The vocabulary.
        counts: The number of n-grams of each order.
        weighted: How many of them have a back-off weight, of the orders between the first and the highest.
        bits: 8 or 32, of a logarithm.
    """
    return _Shape(bits, len(_text(words)), tuple(counts), tuple(weighted)).bytes()


def write(path: str | Path, words: Sequence[str], levels: Sequence[Level], *, bits: int = QUANTISED) -> None:
    """Write a model: complete, or not at all; the same model is the same bytes.

    Args:
        path: The file.
        words: The vocabulary.
        levels: The n-grams of each order.
        bits: 32 keeps logarithms as they are, 8 takes for each the nearest of 256 values of its order.

    Raises:
        OSError: the folder does not exist or cannot be written, or the disk is full.
    """
    assert bits in (QUANTISED, EXACT)
    tree, text = Tree.of(levels), _text(words)
    starts = [0, *accumulate(tree.counts)]
    upper = [slice(*border) for border in pairwise(starts[1:])]
    weights = [tree.backoff_C[1:][one] for one in upper[:-1]]
    weighted = [np.flatnonzero(weight) for weight in weights]
    columns = [tree.log_prob_G[one] for one in upper] + [w[here] for w, here in zip(weights, weighted, strict=True)]
    tables: list[np.ndarray] = []
    if bits == QUANTISED:
        pairs = [_quantised(column) for column in columns]
        tables, columns = [table for table, _ in pairs], [codes for _, codes in pairs]
    shape = _Shape(bits, len(text), tree.counts, tuple(map(len, weighted)))
    children = np.ones(int(tree.first_C[-1] - tree.first_C[1]) + len(tree.first_C) - 2, bool)
    children[tree.first_C[2:] - tree.first_C[1] + np.arange(len(tree.first_C) - 2)] = False
    arrays = [
        np.frombuffer(text, np.uint8),
        tree.log_prob_G[: starts[1]],
        tree.backoff_C[1 : 1 + starts[1]],
        *([np.concatenate(tables)] if tables else [np.zeros(0)]),
        tree.word_G,
        *([np.concatenate(columns[: len(upper)])] if upper else [np.zeros(0)]),
        np.packbits(children),
        np.packbits(np.concatenate([weight != 0 for weight in weights]) if weights else np.zeros(0, bool)),
        *([np.concatenate(columns[len(upper) :])] if weights else [np.zeros(0)]),
    ]
    body = [shape.head()]
    for (kind, number), array in zip(shape.parts(), arrays, strict=True):
        assert len(array) == number
        content = array.astype(kind).tobytes()
        body += [content, bytes(_filled(len(content)) - len(content))]
    start = START.pack(MAGIC, VERSION, 0, shape.bytes())
    checksum = _checksum(start, *body)
    with writing(path) as file:
        file.write(START.pack(MAGIC, VERSION, checksum, shape.bytes()))
        file.writelines(body)


def read(path: str | Path) -> tuple[tuple[str, ...], Tree]:
    """Words and n-grams of a file, which is mapped into memory.

    Raises:
        NgramError: it is something else, damaged, cut short, or of a version that this program does not know.
        OSError: it cannot be opened.
    """
    with open(path, "rb") as file:
        length = file.seek(0, 2)
        if length < START.size:
            raise NgramError(f"{path}: was cut short after {length} bytes; fetch or make it again")
        mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    magic, version, checksum, expected = START.unpack_from(mapped)
    if magic != MAGIC:
        raise NgramError(f"{path}: is no compact file of n-grams; make one with `asr lm convert`")
    if length < expected:
        raise NgramError(f"{path}: was cut short after {length} of {expected} bytes; fetch or make it again")
    if length > expected or checksum != _checksum(mapped[: START.size], mapped[START.size :]):
        raise NgramError(f"{path}: is damaged (its checksum is another one); fetch or make it again")
    if version != VERSION:
        raise NgramError(f"{path}: is of format {version}, and this program knows format {VERSION}: upgrade saywave")
    try:
        return _read(mapped)
    except (ValueError, IndexError, KeyError, OverflowError, struct.error) as error:
        raise NgramError(f"{path}: is not what `asr lm` writes ({error}); make it again") from None


def _read(mapped: memoryview) -> tuple[tuple[str, ...], Tree]:
    order, bits, text = SHAPE.unpack_from(mapped, START.size)
    if not 1 <= order <= HIGHEST_ORDER or bits not in (QUANTISED, EXACT):
        raise ValueError(f"order {order}, {bits} bits")
    between = max(order - 2, 0)
    numbers = struct.unpack_from(f"<{order + between}Q", mapped, START.size + SHAPE.size)
    shape = _Shape(bits, text, numbers[:order], numbers[order:])
    if shape.bytes() != len(mapped):
        raise ValueError("its counts are those of another")
    offset, arrays = START.size + len(shape.head()), []
    for kind, number in shape.parts():
        arrays.append(np.frombuffer(mapped, kind, number, offset).astype(np.dtype(kind).newbyteorder("="), copy=False))
        offset += _filled(arrays[-1].nbytes)
    texts, log_prob_V, backoff_V, tables, word_G, log_prob_G, children, weighted, weights = arrays
    words = tuple(texts.tobytes().decode().split("\n")[:-1])
    special = {BEGIN, END, UNKNOWN, UNKNOWN.upper()}.intersection(words)
    if len(words) != shape.counts[0] or not {BEGIN, END} < special:
        raise ValueError("its words are those of another")
    if int(word_G.max()) >= len(words) or not np.array_equal(word_G[: len(words)], np.arange(len(words))):
        raise ValueError("a word that it does not have")
    values = tables.reshape(-1, VALUES)
    backoff_C = np.zeros(1 + sum(shape.counts[:-1]), np.float32)
    backoff_C[1 : 1 + len(backoff_V)] = backoff_V
    # Places take half the time of a mask.
    between = np.flatnonzero(np.unpackbits(weighted, count=sum(shape.counts[1:-1])).view(bool))
    if len(between) != sum(shape.weighted):
        raise ValueError("its weights are those of another")
    backoff_C[1 + len(words) :][between] = _values(weights, values[order - 1 :], shape.weighted)
    log_prob_G = _values(log_prob_G, values[: order - 1], shape.counts[1:], after=log_prob_V)
    return words, Tree(shape.counts, _firsts(children, shape.counts), word_G, log_prob_G, backoff_C)


def _values(
    codes: np.ndarray, tables: np.ndarray, counts: Sequence[int], *, after: np.ndarray | Sequence[float] = ()
) -> np.ndarray:
    """The logarithms themselves, after those of the first order."""
    values = np.empty(len(after) + len(codes), np.float32)
    values[: len(after)] = after
    rest = values[len(after) :]
    if codes.dtype != np.uint8:
        rest[:] = codes
        return values
    start = 0
    for table, count in zip(tables, counts, strict=True):
        np.take(table, codes[start : start + count], out=rest[start : start + count], mode="clip")
        start += count
    return values


def _firsts(children: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """The place of the first child of each context, as `Tree` has it."""
    words, contexts, total = counts[0], sum(counts[:-1]), sum(counts)
    first_C = np.zeros(contexts + 2, np.int32)
    first_C[1] = words
    if len(counts) > 1:
        ends = np.flatnonzero(np.unpackbits(~children, count=contexts + total - words).view(bool))
        if len(ends) != contexts:
            raise ValueError("its children are those of another")
        first_C[2:] = ends
        first_C[2:] -= np.arange(-words, contexts - words, dtype=np.int32)
    starts = [0, *accumulate(counts)]
    if any(first_C[1 + start] != end for start, end in pairwise(starts)):
        raise ValueError("its children are those of another")
    return first_C


def _quantised(column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """256 values, and for each element the place of one of them, such that the mean square of what is lost is small.

    Values start as the means of as many elements each, and move to the means of the elements that they are nearest to,
    until nothing changes (Lloyd 1982).
    """
    values, codes = np.unique(column, return_inverse=True)
    if len(values) > VALUES:
        ordered = np.sort(column.astype(np.float64))
        sums = np.append(0.0, np.cumsum(ordered))
        borders = np.linspace(0, len(ordered), VALUES + 1).astype(np.int64)
        for _ in range(ROUNDS):
            borders = np.unique(borders)
            values = np.diff(sums[borders]) / np.diff(borders)
            middles = (values[1:] + values[:-1]) / 2
            moved = np.concatenate([[0], np.searchsorted(ordered, middles), [len(ordered)]])
            if np.array_equal(moved, borders):
                break
            borders = moved
        codes = np.searchsorted(middles, column)
    table = np.zeros(VALUES, np.float32)
    table[: len(values)] = values
    return table, codes.astype(np.uint8)


def _text(words: Sequence[str]) -> bytes:
    return "".join(f"{word}\n" for word in words).encode()


def _checksum(start: bytes | memoryview, *rest: bytes | memoryview) -> int:
    """CRC-32 of all bytes but its own."""
    checksum = zlib.crc32(start[16:], zlib.crc32(start[:12]))
    for part in rest:
        checksum = zlib.crc32(part, checksum)
    return checksum
