"""The commands `asr lm`: models from text and what they predict, and that no mistake ends in a traceback."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from asr.cli import main
from inference.ngram import NgramModel

call = runpy.run_path(str(Path(__file__).resolve().parents[2] / "command_line.py"))["calling"](main, "lm")

TEXT = "The cat sat. The dog sat!\nA cat, a dog\nThe dog saw the cat\n"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_help_names_the_commands_and_their_options(capsys) -> None:
    code, out, err = call(capsys)
    assert (code, err) == (2, "")
    assert re.search(r"^ +make\s+\w", out, re.MULTILINE)
    for command, options in (
        ("make", ["TEXT", "--output", "--order", "--unit", "--vocabulary-size", "--prune", "manifest"]),
        ("mix", ["TEXT", "--dev", "--weights", "--output", "--order", "--vocabulary-size", "--size"]),
        ("perplexity", ["LM", "TEXT", "--unit"]),
    ):
        code, out, err = call(capsys, command, "--help")
        assert (code, err) == (0, "")
        assert out.startswith(f"usage: asr lm {command}")
        assert [option for option in options if option not in out] == []


def test_help_imports_nothing_heavy() -> None:
    program = """if True:
        import sys
        from asr.cli import main
        try:
            main(["lm", *sys.argv[1:]])
        except SystemExit:
            pass
        print(sorted({"torch", "lhotse", "numpy", "rich", "onnxruntime"} & set(sys.modules)), file=sys.stderr)
        """
    for arguments in ([], ["make", "--help"], ["mix", "--help"], ["perplexity", "--help"]):
        ran = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60)
        assert ran.stderr.strip() == "[]", arguments


def test_a_model_of_words_is_made_and_measured(capsys, text: Path, tmp_path: Path) -> None:
    model = tmp_path / "a.arpa"
    code, out, err = call(capsys, "make", text, "--output", model, "--order", 2)
    assert (code, out) == (0, f"{model}\n")
    assert err.splitlines()[0] == "3 sentences, 15 words"
    assert "1-grams; discounts " in err
    assert "(too little text to estimate them: fixed ones)" in err
    assert set(NgramModel.read(model).words) == {"the", "cat", "sat", "dog", "a", "saw", "<s>", "</s>", "<unk>"}
    (tmp_path / "test.txt").write_text("THE CAT\nthe horse sat\n", encoding="utf-8")
    code, out, err = call(capsys, "perplexity", model, tmp_path / "test.txt")
    assert (code, err) == (0, "")
    found = NgramModel.read(model).perplexity([["the", "cat"], ["the", "horse", "sat"]])
    assert out.splitlines() == [
        "2 sentences, 5 words, 1 of them unknown (20.00%)",
        f"perplexity with unknown words     {found.including_unknown:.2f}",
        f"perplexity without unknown words  {found.excluding_unknown:.2f}",
    ]


def test_a_model_of_letters_is_known_by_its_space(capsys, text: Path, tmp_path: Path) -> None:
    model = tmp_path / "a.arpa.gz"
    code, _, err = call(capsys, "make", text, "--output", model, "--order", 4, "--unit", "letter")
    assert code == 0
    assert err.splitlines()[0] == "3 sentences, 53 letters"
    assert "<space>" in NgramModel.read(model).words
    _, out, _ = call(capsys, "perplexity", model, text)
    assert out.startswith("3 sentences, 53 letters, 0 of them unknown")
    _, out, err = call(capsys, "perplexity", model, text, "--unit", "word")
    assert out.startswith("3 sentences, 15 words, 13 of them unknown")


def test_options_reach_the_model(capsys, text: Path, tmp_path: Path) -> None:
    model = tmp_path / "a.arpa"
    options = ["--vocabulary-size", 4, "--prune", "0,0,1", "--output", model]
    code, _, err = call(capsys, "make", text, *options)
    assert code == 0
    assert "of them 20.00% unknown" in err
    assert "\n1 3-grams; " in err  # the dog <unk>, twice
    assert set(NgramModel.read(model).words) == {"the", "cat", "dog", "a", "<s>", "</s>", "<unk>"}


def test_a_compact_model_is_used_as_any_other(capsys, text: Path, tmp_path: Path) -> None:
    arpa, compact, back = (tmp_path / name for name in ("a.arpa", "a.ngram", "b.arpa"))
    call(capsys, "make", text, "--output", arpa)
    code, out, err = call(capsys, "make", text, "--output", compact)
    assert (code, out) == (0, f"{compact}\n")
    assert err.splitlines()[-1].endswith(" MB")
    assert call(capsys, "perplexity", compact, text) == call(capsys, "perplexity", arpa, text)
    assert call(capsys, "generate", compact, "the") == call(capsys, "generate", arpa, "the")
    exact = tmp_path / "c.ngram"
    assert call(capsys, "convert", arpa, exact, "--bits", 32)[:2] == (0, f"{exact}\n")
    assert call(capsys, "perplexity", exact, text) == call(capsys, "perplexity", arpa, text)
    call(capsys, "convert", exact, back)
    call(capsys, "convert", arpa, arpa)
    assert back.read_text() == arpa.read_text()


def test_a_model_is_pruned_until_it_fits(capsys, text: Path, tmp_path: Path) -> None:
    whole, small = tmp_path / "whole.ngram", tmp_path / "small.ngram"
    call(capsys, "make", text, "--output", whole, "--bits", 32)
    room = whole.stat().st_size - 20
    code, _, err = call(capsys, "make", text, "--output", small, "--bits", 32, "--size", room / 1e6)
    assert code == 0
    assert "without what changes the perplexity by less than " in err
    assert small.stat().st_size <= room
    share = err.split("less than ")[1].split()[0]
    by_share = tmp_path / "share.ngram"
    call(capsys, "make", text, "--output", by_share, "--bits", 32, "--prune-entropy", 0.999 * float(share))
    assert by_share.stat().st_size == small.stat().st_size


def test_a_model_in_capitals_is_spoken_of(capsys, text: Path, tmp_path: Path) -> None:
    model = tmp_path / "a.arpa"
    call(capsys, "make", text, "--output", model)
    model.write_text(model.read_text().replace("cat", "CAT"))
    code, _, err = call(capsys, "perplexity", model, text)
    assert code == 0
    assert err == (
        f"asr: 1 words of {model} can never be found, such as CAT: texts are read in small letters and without "
        "punctuation\n"
    )


def test_the_same_texts_make_the_same_file(capsys, text: Path, tmp_path: Path) -> None:
    for name in ("a.arpa.gz", "b.arpa.gz"):
        call(capsys, "make", text, "--output", tmp_path / name)
    assert (tmp_path / "a.arpa.gz").read_bytes() == (tmp_path / "b.arpa.gz").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["make", "absent.txt", "--output", "a.arpa"], "absent.txt: No such file or directory"),
        (["make", "text.txt", "--output", "nowhere/a.arpa"], "nowhere/a.arpa: is no file in a folder that is there"),
        (["make", "text.txt", "--output", "."], "is no file in a folder"),
        (["make", "text.txt", "--output", "text.txt"], "text.txt: is one of the texts"),
        (["make", "text.txt", "--output", "a.arpa", "--order", "11"], "the order is 11; it must be 1 to 10"),
        (["make", "text.txt", "--output", "a.arpa", "--prune", "1"], "the first must be 0"),
        (["make", "empty.txt", "--output", "a.arpa"], "there is not a single word"),
        (["make", "text.txt", "--output", "a.arpa", "--bits", "8"], "--bits goes with a file that ends in .ngram"),
        (["make", "text.txt", "--output", "a.arpa", "--size", "1"], "--size goes with a file that ends in .ngram"),
        (["make", "text.txt", "--output", "a.ngram", "--size", "0"], "give a number of million bytes above 0"),
        (["make", "text.txt", "--output", "a.ngram", "--size", "1e-5"], "the words alone take more room"),
        (["make", "text.txt", "--output", "a.arpa", "--prune-entropy", "-1"], "give a number from 0 on"),
        (["convert", "text.txt", "a.ngram"], "text.txt: has no line"),
        (["convert", "good.arpa", "nowhere/a.ngram"], "nowhere/a.ngram: is no file in a folder"),
        (["convert", "good.arpa", "b.arpa", "--bits", "32"], "--bits goes with a file that ends in .ngram"),
        (["perplexity", "text.txt", "text.txt"], "text.txt: has no line"),
        (["perplexity", "good.arpa", "empty.txt"], "there is no sentence"),
        (["perplexity", "absent.arpa", "text.txt"], "absent.arpa: No such file or directory"),
    ],
)
def test_mistakes_are_one_line(capsys, text: Path, monkeypatch, arguments: list[str], message: str) -> None:
    monkeypatch.chdir(text.parent)
    Path("empty.txt").write_text("...\n\n")
    call(capsys, "make", "text.txt", "--output", "good.arpa")
    code, out, err = call(capsys, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("asr: ")
    assert len(err.splitlines()) == 1
    assert text.read_text() == TEXT
    assert not Path("a.arpa").exists()


@pytest.mark.parametrize("wrong", [["--prune", "0,x"], ["--prune", "0,-1"], ["--order", "two"], ["--unit", "syllable"]])
def test_wrong_options_are_named(capsys, text: Path, wrong: list[str]) -> None:
    code, out, err = call(capsys, "make", text, "--output", "a.arpa", *wrong)
    assert (code, out) == (2, "")
    assert wrong[0] in err


def test_a_pipe_is_read(text: Path, tmp_path: Path) -> None:
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    command = f"{sys.executable} -m asr lm make <(cat '{text}') --output '{tmp_path / 'a.arpa'}'"
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.startswith("3 sentences, 15 words")


@pytest.mark.slow
def test_millions_of_words_take_seconds(capsys, shared_data: Path, tmp_path: Path) -> None:
    model = tmp_path / "books.arpa"
    start = time.process_time()
    code, _, err = call(capsys, "make", shared_data / "books-en.txt.gz", "--output", model)
    made = time.process_time() - start
    assert code == 0
    assert "6,572,493 words" in err
    start = time.process_time()
    assert NgramModel.read(model).order == 3
    read = time.process_time() - start
    assert made < 120
    assert read < 60
