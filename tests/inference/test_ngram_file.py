"""Compact files of n-gram models, against the ARPA files that they are made of, and whatever may happen to files."""

from __future__ import annotations

import runpy
import zlib
from pathlib import Path

import numpy as np
import pytest

from inference import arpa, ngram_file
from inference.arpa import Level, NgramError
from inference.ngram import NgramModel
from inference.ngram_file import EXACT, QUANTISED

beside = runpy.run_path(str(Path(__file__).with_name("test_ngram.py")))
random_model, written, sentences, WORDS = (beside[name] for name in ("random_model", "written", "sentences", "WORDS"))


def bigrams(words: int, followers: int, seed: int = 0) -> tuple[list[str], list[Level]]:
    """A model of order 2 with many different logarithms."""
    draw, count = np.random.default_rng(seed), words * followers
    vocabulary = ["<unk>", "<s>", "</s>", *(f"w{k}" for k in range(words - 3))]
    parent_G = np.repeat(np.arange(words, dtype=np.int32), followers)
    word_G = np.concatenate([np.sort(draw.choice(words, followers, replace=False)) for _ in range(words)])
    first = Level(np.zeros(words, np.int32), np.arange(words, dtype=np.int32), *draw.normal(-5, 2, (2, words)))
    return vocabulary, [first, Level(parent_G, word_G.astype(np.int32), draw.normal(-4, 2, count), np.zeros(count))]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    ngram_file.write(tmp_path / "a.ngram", *arpa.read(written(tmp_path / "a.arpa", random_model(3, 3))))
    return tmp_path / "a.ngram"


@pytest.mark.parametrize("bits", [EXACT, QUANTISED])
@pytest.mark.parametrize(("order", "unknown"), [(1, True), (2, False), (3, True), (4, False), (6, True)])
def test_a_model_is_the_same_in_either_format(tmp_path: Path, order: int, unknown: bool, bits: int) -> None:
    """Of few n-grams 256 values keep every logarithm; what was pruned and has no suffixes is there too."""
    path = written(tmp_path / "a.arpa", random_model(order, order, unknown=unknown), weightless=True)
    words, levels = arpa.read(path)
    compact = tmp_path / "a.ngram"
    ngram_file.write(compact, words, levels, bits=bits)
    one, other = NgramModel.read(path), NgramModel.read(compact)
    assert (one.words, one.order, one.unknown, one.begin()) == (other.words, other.order, other.unknown, other.begin())
    for sentence in sentences(order, 60, [*WORDS, "?"]):
        state = same = one.begin()
        for word in sentence:
            (score, state), (other_score, same) = one.score(state, one.id(word)), other.score(same, other.id(word))
            assert (score, state) == (other_score, same)
        assert one.finish(state) == other.finish(same)
    weighted = [int(np.count_nonzero(level.backoff_G)) for level in levels[1:-1]]
    counts = [len(level.word_G) for level in levels]
    assert ngram_file.size(words, counts, weighted, bits=bits) == compact.stat().st_size

    # And back again.
    back, tree = ngram_file.read(compact)
    ngram_file.write(tmp_path / "b.ngram", back, tree.levels(), bits=bits)
    assert (tmp_path / "b.ngram").read_bytes() == compact.read_bytes()
    arpa.write(tmp_path / "b.arpa", back, tree.levels())
    arpa.write(tmp_path / "c.arpa", words, levels)
    assert (tmp_path / "b.arpa").read_bytes() == (tmp_path / "c.arpa").read_bytes()


def test_eight_bits_are_the_nearest_of_values_that_lose_little(tmp_path: Path) -> None:
    words, levels = bigrams(200, 40)
    ngram_file.write(tmp_path / "a.ngram", words, levels)
    kept = ngram_file.read(tmp_path / "a.ngram")[1].levels()
    exact, near = levels[1].log_prob_G, kept[1].log_prob_G.astype(float)
    values = np.unique(near)
    assert len(values) <= 256
    nearest = np.abs(exact[:, None] - values).min(axis=1)
    np.testing.assert_allclose(np.abs(exact - near), nearest, atol=1e-6)
    # Of as many elements each, as KenLM has them.
    ordered = np.sort(exact)
    parts = [part - part.mean() for part in np.array_split(ordered, 256)]
    assert np.square(exact - near).mean() < 0.5 * np.square(np.concatenate(parts)).mean()
    np.testing.assert_array_equal(kept[0].log_prob_G, levels[0].log_prob_G.astype(np.float32))
    np.testing.assert_array_equal(kept[0].backoff_G, levels[0].backoff_G.astype(np.float32))


def test_a_large_n_gram_takes_three_bytes_and_some_bits(tmp_path: Path) -> None:
    words, levels = bigrams(1000, 40)
    ngram_file.write(tmp_path / "a.ngram", words, levels)
    vocabulary = ngram_file.size(words, [1000], [])
    assert 3.1 < ((tmp_path / "a.ngram").stat().st_size - vocabulary) / 40_000 < 3.35


def test_a_vocabulary_beyond_16_bits(tmp_path: Path) -> None:
    size, draw = 70_000, np.random.default_rng(1)
    every = np.arange(size, dtype=np.int32)
    levels = [
        Level(np.zeros(size, np.int32), every, *draw.normal(-5, 2, (2, size))),
        Level(every, draw.permutation(every), draw.normal(-5, 2, size), np.zeros(size)),
    ]
    ngram_file.write(tmp_path / "a.ngram", ["<unk>", "<s>", "</s>", *map(str, range(size - 3))], levels, bits=EXACT)
    kept = ngram_file.read(tmp_path / "a.ngram")[1].levels()
    for one, other in zip(levels, kept, strict=True):
        np.testing.assert_array_equal(one.word_G, other.word_G)
        np.testing.assert_array_equal(one.parent_G, other.parent_G)


def test_damage_is_one_line(file: Path) -> None:
    whole = file.read_bytes()
    for place in range(0, len(whole), 37):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        with pytest.raises(NgramError) as raised:
            NgramModel.read(file)
        assert str(file) in str(raised.value)
        assert "\n" not in str(raised.value)
    for length in [*range(0, len(whole), 59), len(whole) - 1]:
        file.write_bytes(whole[:length])
        with pytest.raises(NgramError, match="cut short" if length >= 8 else r"no line .data"):
            NgramModel.read(file)
    file.write_bytes(whole + b"\0")
    with pytest.raises(NgramError, match="damaged"):
        NgramModel.read(file)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (8, 2, "format 2, and this program knows format 1: upgrade"),
        (24, 11, "order 11"),
        (28, 9, "9 bits"),
        (40, 7, "of another"),
    ],
)
def test_what_another_program_wrote_is_refused(file: Path, place: int, value: int, message: str) -> None:
    """With a right checksum."""
    content = bytearray(file.read_bytes())
    content[place] = value
    content[12:16] = zlib.crc32(content[16:], zlib.crc32(content[:12])).to_bytes(4, "little")
    file.write_bytes(content)
    with pytest.raises(NgramError, match=message):
        NgramModel.read(file)


def test_whatever_is_in_a_file_it_is_a_model_or_refused(file: Path) -> None:
    whole, draw = file.read_bytes(), np.random.default_rng(0)
    for _ in range(200):
        content = bytearray(whole)
        for place in draw.integers(24, len(whole), 3):
            content[place] = draw.integers(256)
        content[12:16] = zlib.crc32(content[16:], zlib.crc32(content[:12])).to_bytes(4, "little")
        file.write_bytes(content)
        try:
            model = NgramModel.read(file)
        except NgramError:
            continue
        model.perplexity(sentences(0, 3, WORDS))
