"""The ARPA format: damage is one line that names the file and the line, and what is written is what is read."""

from __future__ import annotations

import gzip
import math
import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inference import arpa
from inference.arpa import NgramError
from inference.ngram import NgramModel

LINES = """\
made by hand

\\data\\
ngram 1=5
ngram 2=3
ngram 3=1

\\1-grams:
-99\t<s>\t-0.5
-1\t</s>
-2 <unk> 0
-0.7\tनमस्ते\t-0.25
-0.9\tb\t-0.125

\\2-grams:
-0.3\t<s> नमस्ते\t-0.2
-0.4\tनमस्ते b
-0.2\tb </s>

\\3-grams:
-0.1\t<s> नमस्ते b

\\end\\
""".splitlines()


def file_of(folder: Path, lines: list[str]) -> Path:
    path = folder / "a.arpa"
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path


def test_what_is_read(tmp_path: Path) -> None:
    words, levels = arpa.read(file_of(tmp_path, LINES))
    assert words == ("<s>", "</s>", "<unk>", "नमस्ते", "b")
    ngrams = [[(), *zip(level.parent_G.tolist(), level.word_G.tolist(), strict=True)][1:] for level in levels]
    assert ngrams == [[(0, k) for k in range(5)], [(0, 3), (3, 4), (4, 1)], [(0, 4)]]
    log10 = math.log(10)
    np.testing.assert_allclose(levels[0].log_prob_G / log10, [-99, -1, -2, -0.7, -0.9], rtol=1e-6)
    np.testing.assert_allclose(levels[0].backoff_G / log10, [-0.5, 0, 0, -0.25, -0.125], rtol=1e-6)
    np.testing.assert_allclose(levels[1].backoff_G / log10, [-0.2, 0, 0], rtol=1e-6)


@pytest.mark.parametrize("end", ["\r\n", "\n \n", " \n"])
def test_line_ends_of_other_systems_are_read(tmp_path: Path, end: str) -> None:
    path = tmp_path / "a.arpa"
    inner = end if end != "\n \n" else "\n"
    path.write_bytes((inner.join(LINES) + end).encode())
    assert len(arpa.read(path)[0]) == 5


@pytest.mark.parametrize("space", ["\u00a0", "\u3000", "\u2028", "\x85", "\u200b", "\x1c"])
def test_only_blanks_of_ascii_separate(tmp_path: Path, space: str) -> None:
    word = f"c{space}d"
    path = file_of(tmp_path, [line.replace("b", word) if line[:1] == "-" else line for line in LINES])
    assert word in arpa.read(path)[0]


def changed(number: int, line: str | None) -> list[str]:
    """The lines with one replaced, or left out; counted from 1."""
    return [*LINES[: number - 1], *([] if line is None else [line]), *LINES[number:]]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], r"has no line \\data\\: not a language model in the ARPA format"),
        (["the cat sat on the mat"] * 100, r"has no line \\data\\"),
        (LINES[:3], r"line 3: the file ends here, and \\end\\ is missing"),
        (LINES[:10], "line 10: the file ends here, after 2 of 5 1-grams: it was cut short"),
        (LINES[:-1], r"line 22: the file ends here, and \\end\\ is missing"),
        (changed(4, "ngram 1=6"), "line 14: here the 1-grams end, and there are fewer"),
        (changed(4, "ngram 1=4"), r"line 13: here should stand \\2-grams:"),
        (changed(5, "ngram 2=2"), r"line 18: here should stand \\3-grams:"),
        (changed(5, "ngram 2=999999999999"), "line 19: here the 2-grams end, and there are fewer"),
        (changed(6, "ngram 3=2"), "line 22: here the 3-grams end, and there are fewer"),
        (changed(5, None), "line 5: here should stand `ngram 2=`"),
        (changed(4, "ngram 1=-5"), "line 4: here should stand `ngram 1=`"),
        (changed(4, "ngram 1=" + "9" * 5000), "line 4: here should stand `ngram 1=`"),
        (changed(4, "\\1-grams:"), "line 4: the model is of order 0"),
        (changed(6, "\n".join(f"ngram {n}=1" for n in range(3, 12))), "line 16: the model is of order 11"),
        (changed(9, "nan\t<s>\t-0.5"), "line 9: 'nan' is no log probability"),
        (changed(12, "-0.7\tनमस्ते\tNaN"), "line 12: 'NaN' is no log probability"),
        (changed(12, "-0.7\tनमस्ते\tinf"), "line 12: 'inf' is no log probability"),
        (changed(17, "0.4\tनमस्ते b"), "line 17: '0.4' is no log probability"),
        (changed(17, "-0,4\tनमस्ते b"), "line 17: '-0,4' is no number"),
        (changed(17, "-0.4\tनमस्ते c"), "line 17: 'c' is not among the 1-grams"),
        (changed(17, "-0.4\tनमस्ते"), "line 17: 2 fields; a 2-gram here has a log probability, a back-off weight and 2"),
        (changed(21, "-0.1\t<s> नमस्ते b\t0"), "line 21: 5 fields; a 3-gram here has a log probability and 3 words"),
        (changed(21, "-0.1\tb b b"), "line 21: all its words but the last are no n-gram of this model"),
        (changed(12, "-0.7\tनमस्ते"), "line 12: longer n-grams begin so, and no back-off weight stands here"),
        (changed(16, "-0.3\t<s> नमस्ते"), "line 16: longer n-grams begin so, and no back-off weight stands here"),
        (changed(13, "-0.9\tनमस्ते\t0"), "line 13: 'नमस्ते' stands here a second time"),
        (changed(18, "-0.4\tनमस्ते b"), "line 18: this n-gram stands here a second time"),
        (changed(9, "-99\t<S>\t-0.5"), "has no <s> among its 1-grams"),
        (changed(10, "-1\t</S>"), "has no </s> among its 1-grams"),
        (changed(14, "-5\tc"), r"line 14: here should stand \\2-grams:"),
    ],
)
def test_damage_is_one_line_that_names_the_place(tmp_path: Path, lines: list[str], message: str) -> None:
    path = file_of(tmp_path, lines)
    with pytest.raises(NgramError) as error:
        arpa.read(path)
    assert re.search(message, str(error.value)), error.value
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_damage_far_into_a_long_file_is_found_at_its_line(tmp_path: Path) -> None:
    words = ["<s>", "</s>", "<unk>", *(f"w{k}" for k in range(30_000))]
    lines = ["\\data\\", f"ngram 1={len(words)}", "", "\\1-grams:", *(f"-1\t{word}" for word in words), "", "\\end\\"]
    assert arpa.read(file_of(tmp_path, lines))[0] == tuple(words)
    for line, message in (
        ("-1\tw5", "'w5' stands here a second time"),
        ("-1", "1 fields"),
        ("x\ty", "'x' is no number"),
    ):
        with pytest.raises(NgramError, match=f"line 25005: {message}"):
            arpa.read(file_of(tmp_path, [*lines[:25_004], line, *lines[25_005:]]))


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.arpa"
    path.write_bytes(b"mmap lm http://kheafield.com/code format version 5\n\0" + bytes(1000))
    with pytest.raises(NgramError, match="KenLM's binary format, which KenLM alone reads; give the ARPA file"):
        arpa.read(path)
    path.write_bytes("\n".join([*LINES, ""]).encode("utf-16"))
    with pytest.raises(NgramError, match="not a language model in the ARPA format"):
        arpa.read(path)
    path.write_bytes("\n".join(LINES).replace("b", "é").encode("latin-1", errors="replace"))
    with pytest.raises(NgramError, match=r"line 13: .* is not in UTF-8; convert the file"):
        arpa.read(path)
    with pytest.raises(FileNotFoundError):
        arpa.read(tmp_path / "absent.arpa")


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.arpa.gz"
    packed = gzip.compress("\n".join([*LINES, ""]).encode())
    for damaged in (packed[: len(packed) // 2], packed[:-6], packed[:-8] + b"\0\0\0\0" + packed[-4:], packed[:3]):
        path.write_bytes(damaged)
        with pytest.raises(NgramError, match=r"a\.arpa\.gz: damaged after line \d+ .*fetch or make the file again"):
            NgramModel.read(path)


ORIGINAL = "\n".join([*LINES, ""]).encode()


@given(st.integers(0, len(ORIGINAL)), st.integers(0, 12), st.binary(max_size=6))
@example(0, 0, b"\x1f\x8b")
def test_no_damage_is_anything_but_one_line(tmp_path_factory, start: int, length: int, instead: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.arpa"
    path.write_bytes(ORIGINAL[:start] + instead + ORIGINAL[start + length :])
    try:
        model = NgramModel.read(path)
    except NgramError as error:
        complaint = str(error)
    else:
        complaint = ""
    assert "\n" not in complaint
    if complaint:
        return
    state = model.begin()
    for word in ("नमस्ते", "b", "?", "नमस्ते"):
        score, state = model.score(state, model.id(word))
        assert math.isfinite(score)


@pytest.mark.parametrize("name", ["b.arpa", "b.arpa.gz"])
def test_what_is_written_is_what_is_read(tmp_path: Path, name: str) -> None:
    words, levels = arpa.read(file_of(tmp_path, LINES))
    arpa.write(tmp_path / name, words, levels)
    once = (tmp_path / name).read_bytes()
    arpa.write(tmp_path / name, *arpa.read(tmp_path / name))
    assert (tmp_path / name).read_bytes() == once
    again, levels_again = arpa.read(tmp_path / name)
    assert again == words
    for level, other in zip(levels, levels_again, strict=True):
        for column, other_column in zip(level, other, strict=True):
            np.testing.assert_allclose(column, other_column, rtol=1e-6)
    assert sorted(os.listdir(tmp_path)) == ["a.arpa", name]
    text = (gzip.decompress(once) if name.endswith(".gz") else once).decode()
    assert "\n-0.1\t<s> नमस्ते b\n" in text


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    words, levels = arpa.read(file_of(tmp_path, LINES))
    old = (tmp_path / "a.arpa").read_bytes()
    with pytest.raises(UnicodeEncodeError):
        arpa.write(tmp_path / "a.arpa", [*words[:-1], "\ud800"], levels)
    assert (tmp_path / "a.arpa").read_bytes() == old
    assert os.listdir(tmp_path) == ["a.arpa"]
    with pytest.raises(FileNotFoundError, match="nowhere"):
        arpa.write(tmp_path / "nowhere" / "a.arpa", words, levels)
