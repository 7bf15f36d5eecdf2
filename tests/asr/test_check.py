"""What a corpus holds, and what of it cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asr.cli import main
from features import audio

RATE = 8000


@pytest.fixture
def corpus(tmp_path: Path, speak) -> Path:
    texts = {"anna/a": "La mi", "anna/b": "mi ñi!", "ben/c": "so so", "ben/d": "..."}
    for name, text in texts.items():
        path = tmp_path / "corpus" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        audio.write(path, speak(["la", "mi"]), RATE)
        path.with_suffix(".txt").write_text(text, encoding="utf-8")
    return tmp_path / "corpus"


def check(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["check", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def test_what_it_holds(corpus: Path, capsys) -> None:
    code, out, err = check(capsys, corpus)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("4 utterances of 0.")
    assert lines[0].endswith(" 2 speakers")
    assert lines[1] == "8 different letters, plain: <space> 3, i 3, m 2, o 2, s 2, a 1, l 1, ñ 1"
    rarest = next(line for line in lines if "ñ  " in line)
    assert " ".join(rarest.split()) == "ñ U+00F1 LATIN SMALL LETTER N WITH TILDE 1 1 anna/b mi ñi"
    assert "1 utterances without words: ben/d" in lines
    assert "no label" not in out


def test_an_alphabet_is_made_corrected_and_trained_with(corpus: Path, tmp_path: Path, capsys) -> None:
    from asr.alphabet import make_tokens
    from asr.tokens import TokenConfig, Tokens

    path = tmp_path / "alphabet.txt"
    assert check(capsys, corpus, "--output", path)[0] == 0
    texts = [file.read_text(encoding="utf-8") for file in corpus.rglob("*.txt")]
    config = TokenConfig(alphabet=str(path))
    assert make_tokens([], config).labels == Tokens.from_texts(texts, TokenConfig()).labels
    assert check(capsys, corpus, "--alphabet", path)[0] == 0
    path.write_text(path.read_text(encoding="utf-8").replace("ñ\n", "x\n"), encoding="utf-8")
    code, out, _ = check(capsys, corpus, "--alphabet", path)
    assert code == 1
    assert "labels that no utterance has: x\n" in out
    assert "1 utterances cannot be used, no label for:\n" in out


def test_against_a_model(corpus: Path, tone_model: Path, capsys) -> None:
    code, out, _ = check(capsys, corpus, "--model", tone_model)
    assert code == 1
    assert "4 different words, plain: mi 2, so 2, la 1, ñi 1" in out
    assert "1 utterances cannot be used, no label for:\n" in out
    code, _, err = check(capsys, corpus, "--model", tone_model, "--form", "written")
    assert (code, err) == (2, "asr: --form is the model's own; leave it out, or --model\n")


def test_the_written_form_and_whole_words(corpus: Path, capsys) -> None:
    assert "L 1" in check(capsys, corpus, "--form", "written")[1]
    assert "4 different words" in check(capsys, corpus, "--unit", "word")[1]


@pytest.mark.parametrize(
    ("text", "fits"), [("ab" * 4, True), ("ab" * 4 + "a", False), ("aabb", True), ("aaaaa", False)]
)
def test_utterances_too_short_for_ctc(tmp_path: Path, capsys, text: str, fits: bool) -> None:
    """0.245 s are 23 frames, 8 steps of 30 ms: one for each label, and one between two that are the same."""
    import torch

    from asr.tokens import TokenConfig, Tokens
    from encoders.heads import frames_needed

    audio.write(tmp_path / "a.wav", np.zeros(1960, np.float32), RATE)
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    targets = torch.tensor([Tokens.from_texts([text], TokenConfig()).encode(text)])
    assert (int(frames_needed(targets, torch.tensor([len(text)]))[0]) <= 8) == fits
    code, out, _ = check(capsys, tmp_path)
    assert code == (0 if fits else 1)
    assert ("1 utterances are too short for their labels at a step of 30 ms: a (" in out) != fits


def test_recordings_that_cannot_be_read_and_ids_that_come_twice(corpus: Path, capsys) -> None:
    (corpus / "anna" / "a.wav").write_bytes(b"no sound")
    code, out, err = check(capsys, corpus)
    assert code == 1
    assert out.startswith("3 utterances")
    assert "1 recordings could not be read:\n" in err
    assert "a.wav" in err
    table = corpus / "t.tsv"
    table.write_text("path\ttext\nben/c.wav\tso\nben/c.wav\tla\n", encoding="utf-8")
    code, out, _ = check(capsys, table)
    assert code == 0
    assert "1 ids are those of several utterances: ben/c.wav" in out


def test_what_cannot_be_looked_at(corpus: Path, tmp_path: Path, capsys) -> None:
    for arguments, said in (
        ([tmp_path / "absent"], "no such file or folder"),
        ([corpus, "--alphabet", tmp_path / "absent.txt"], "absent.txt: No such file or directory"),
        ([corpus, "--output", tmp_path / "absent" / "a.txt"], "no such folder"),
        ([corpus, "--model", "absent"], "absent"),
    ):
        code, out, err = check(capsys, *arguments)
        assert (code, out) == (2, "")
        assert said in err
        assert len(err.splitlines()) == 1
