"""The command `asr lm mix`: texts and development text to one file, and no mistake ends in a traceback."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import pytest

from asr.cli import main
from inference.ngram import NgramModel

call = runpy.run_path(str(Path(__file__).resolve().parents[2] / "command_line.py"))["calling"](main, "lm")


@pytest.fixture
def texts(tmp_path: Path) -> list[Path]:
    """Prose, a manifest of transcripts, and development text that is like the transcripts."""
    book, said, dev = tmp_path / "book.txt", tmp_path / "said.jsonl", tmp_path / "dev.txt"
    book.write_text("It was the best of times.\nIt was the worst of times!\n" * 20 + "The bear was white.\n")
    said.write_text("".join(json.dumps({"text": text}) + "\n" for text in ("we call it bear", "call the bear")))
    dev.write_text("We call the bear.\nIt was the worst bear.\n")
    return [book, said, dev]


def test_texts_are_mixed_by_development_text_and_by_given_weights(capsys, texts: list[Path], tmp_path: Path) -> None:
    book, said, dev = texts
    output = tmp_path / "mixed.ngram"
    code, out, err = call(capsys, "mix", book, said, "--dev", dev, "--output", output, "--bits", 32)
    assert (code, out) == (0, f"{output}\n")
    found = re.findall(r"(\S+): weight ([\d.]+); ([\d,]+) sentences, ([\d,]+) words; alone perplexity ([\d.]+)\n", err)
    assert [(name, sentences, words) for name, _, sentences, words, _ in found] == [
        (str(book), "41", "244"),
        (str(said), "2", "7"),
    ]
    weights, perplexities = [float(row[1]) for row in found], [float(row[4]) for row in found]
    assert sum(weights) == pytest.approx(1, abs=2e-4)
    assert weights[1] > 0.3
    mixed = float(re.search(r"mixed: perplexity ([\d.]+) of", err)[1])
    assert mixed <= min(perplexities)
    again = tmp_path / "again.ngram"
    shown = ",".join(f"{weight:.4f}" for weight in weights)
    assert call(capsys, "mix", book, said, "--weights", shown, "--output", again, "--bits", 32)[0] == 0
    sentence = ["we", "call", "the", "bear"]
    first, second = (NgramModel.read(path).log_probability(sentence) for path in (output, again))
    assert first == pytest.approx(second, abs=1e-3)
    together = tmp_path / "together.ngram"
    assert call(capsys, "make", book, said, "--output", together)[0] == 0
    assert first > NgramModel.read(together).log_probability(sentence)


def test_letters_are_mixed_as_a_recogniser_has_them(capsys, texts: list[Path], tmp_path: Path) -> None:
    book, said, dev = texts
    output = tmp_path / "letters.arpa"
    options = ("--unit", "letter", "--order", 5, "--for", "digits")
    code, _, err = call(capsys, "mix", book, said, "--dev", dev, "--output", output, *options)
    assert code == 0
    made = float(re.search(r"mixed: perplexity ([\d.]+) of .*, without unknown letters", err)[1])
    code, out, _ = call(capsys, "perplexity", output, dev, "--for", "digits")
    assert code == 0
    assert float(re.search(r"perplexity without unknown letters\s+([\d.]+)", out)[1]) == pytest.approx(made, abs=0.01)


def test_the_same_texts_make_the_same_bytes(capsys, texts: list[Path], tmp_path: Path) -> None:
    book, said, dev = texts
    for name in ("one.ngram", "two.ngram"):
        arguments = ("mix", book, said, "--dev", dev, "--output", tmp_path / name, "--size", 0.01, "--order", 4)
        assert call(capsys, *arguments)[0] == 0
    assert (tmp_path / "one.ngram").read_bytes() == (tmp_path / "two.ngram").read_bytes()
    assert (tmp_path / "one.ngram").stat().st_size <= 10_000


def test_mistakes_are_named_in_one_line(capsys, texts: list[Path], tmp_path: Path) -> None:
    book, said, dev = texts
    before = book.read_bytes()
    out = tmp_path / "out.ngram"
    for arguments, named in (
        ((book, "--weights", "1", "--output", out), "two or more"),
        ((book, said, "--weights", "1,-1", "--output", out), "one above 0"),
        ((book, said, "--weights", "1,2,3", "--output", out), "2 texts"),
        ((book, said, "--dev", said, "--output", out), "said.jsonl: is one of the texts"),
        ((book, said, "--dev", dev, "--output", book), "book.txt: is one of the texts"),
        ((book, said, "--dev", dev, "--output", dev), "dev.txt: is one of the texts"),
        ((book, tmp_path / "none.txt", "--dev", dev, "--output", out), "none.txt"),
        ((book, said, "--dev", dev, "--output", out, "--size", "0.0001"), "more room"),
        ((book, said, "--dev", dev, "--output", tmp_path / "out.arpa", "--size", "1"), "ends in .ngram"),
    ):
        code, stdout, err = call(capsys, "mix", *arguments)
        assert (code, stdout) == (2, "")
        assert len(err.strip().splitlines()) == 1
        assert named in err
    for given, named in (((), "--weights"), (("--weights", "a,b"), "'a,b' is not numbers with commas")):
        code, stdout, err = call(capsys, "mix", book, said, *given, "--output", out)
        assert (code, stdout) == (2, "")
        assert len(err.strip().splitlines()) == 1
        assert named in err
    assert book.read_bytes() == before
    assert not out.exists()
