"""The command line: what it prints, what it answers with, and that no mistake ends in a traceback."""

from __future__ import annotations

import importlib.metadata
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from asr import shipped
from asr.cli import main

call = runpy.run_path(str(Path(__file__).resolve().parents[1] / "command_line.py"))["calling"](main)

COMMANDS = ("transcribe", "align", "evaluate", "check", "train", "lm", "doctor")
RATE = 8000


# --- help -------------------------------------------------------------------------------------------------------------


def test_it_says_which_version_it_is(capsys) -> None:
    code, out, err = call(capsys, "--version")
    assert (code, err) == (0, "")
    assert out == f"asr (saywave) {importlib.metadata.version('saywave')}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["-h"]])
def test_help_names_every_command(capsys, arguments: list[str]) -> None:
    code, out, err = call(capsys, *arguments)
    assert (code, err) == (0, "")
    assert out.startswith("usage: asr")
    for command in COMMANDS:
        assert re.search(rf"^ +{command}\s+\w", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("transcribe", ["FILE", "--model", "--format", "--output", "--threads", "--beam", "--lm", "--hot-word"]),
        ("evaluate", ["DATA", "--model", "--output", "--threads", "--beam", "--form"]),
        ("check", ["DATA", "--alphabet", "--model", "--form", "--output"]),
        (
            "train",
            ["data", "--out", "--dev", "--from", "--config", "--loop.epochs", "--encoder.layers", "--tokens.unit"],
        ),
        ("doctor", ["usage"]),
    ],
)
def test_help_of_a_command_names_its_options(capsys, command: str, options: list[str]) -> None:
    code, out, err = call(capsys, command, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: asr {command}")
    for option in options:
        assert option in out


def test_help_of_training_explains_every_setting(capsys) -> None:
    _, out, _ = call(capsys, "train", "--help")
    unexplained = [
        line for line in re.findall(r"^  --\S+ .*(?:\n {6,}.*)*", out, re.MULTILINE) if len(line.split()) < 4
    ]
    assert unexplained == []


def test_help_imports_nothing_heavy() -> None:
    program = """if True:
        import sys
        from asr.cli import main
        try:
            main(sys.argv[1:])
        except SystemExit:
            pass
        heavy = {"torch", "lightning", "lhotse", "onnxruntime", "numpy", "soundfile", "soxr", "yaml", "rich"}
        print(sorted(heavy & set(sys.modules)), file=sys.stderr)
        """
    for arguments in (["--help"], ["transcribe", "--help"], ["evaluate", "--help"], []):
        ran = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60)
        assert ran.stderr.strip() == "[]", arguments


def test_no_command_and_a_wrong_one(capsys) -> None:
    code, out, _ = call(capsys)
    assert code == 2
    assert out.startswith("usage: asr")
    code, _, err = call(capsys, "transcrive", "a.wav")
    assert code == 2
    assert "transcrive" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["transcribe", "a.wav", "--format", "doc"], "asr transcribe: argument --format: invalid choice: 'doc'"),
        (["transcribe"], "asr transcribe: name sound files or folders as FILE, or a list of them"),
        (["train", "data"], "asr train: the following arguments are required: --out"),
        (["train", "data", "--out", "o", "--bogus", "3"], "asr train: unrecognized arguments: --bogus 3"),
        (["train", "data", "--out", "o", "--loop.epochs", "x"], "asr train: loop.epochs is x; it must be int"),
        (["train", "data", "--out", "o", "--features.fbank.bins", "x"], "asr train: features.fbank.bins is x; it must"),
        (
            ["train", "data", "--out", "o", "--latency.chunk_ms", "400"],
            "asr train: latency.chunk_ms is 400; it must be tuple[float, float] or null, in brackets as [1,2] is",
        ),
    ],
)
def test_a_mistyped_command_is_told_on_one_line(capsys, arguments: list[str], said: str) -> None:
    code, out, err = call(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(said)
    assert err.endswith(f"; see asr {arguments[0]} --help\n")
    assert err.count("\n") == 1


# --- evaluate ---------------------------------------------------------------------------------------------------------


def test_evaluating_counts_errors_and_writes_a_report(capsys, tones: Path, tone_model: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(tones / "test", tmp_path / "test"))
    code, out, err = call(capsys, "evaluate", data, "--model", tone_model)
    assert code == 0
    assert out.startswith("WER 0.00 %")
    words = sum(len(path.read_text().split()) for path in data.rglob("*.txt"))
    assert f"in {words} words" in out
    wrong = data / "speaker0" / "u0.txt"
    wrong.write_text(wrong.read_text() + " la")
    report = tmp_path / "report.md"
    code, out, err = call(capsys, "evaluate", data, "--model", tone_model, "--output", report)
    assert code == 0
    assert "0 substitutions, 1 deletions, 0 insertions" in out
    assert str(report) in err
    assert "speaker0/u0" in report.read_text()


def test_evaluating_goes_on_without_what_cannot_be_read(capsys, tones: Path, tone_model: Path, tmp_path: Path) -> None:
    """One is no sound, which shows at once, and one is cut short, which shows when it is read."""
    data = Path(shutil.copytree(tones / "test", tmp_path / "test"))
    (data / "speaker1" / "u1.wav").write_text("text")
    cut = data / "speaker2" / "u2.wav"
    cut.write_bytes(cut.read_bytes()[:700])
    code, out, err = call(capsys, "evaluate", data, "--model", tone_model)
    assert code == 1
    assert out.startswith("WER 0.00 %")
    assert "2 recordings could not be read and are not counted" in err
    assert str(data / "speaker1" / "u1.wav") in err
    assert str(cut) in err


def test_evaluating_where_nothing_can_be_read(capsys, tmp_path: Path, tone_model: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.wav").write_text("text")
        (tmp_path / f"{name}.txt").write_text("la")
    code, out, err = call(capsys, "evaluate", tmp_path, "--model", tone_model)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert "no recording could be read" in err
    code, _, err = call(capsys, "evaluate", tmp_path / "nowhere", "--model", tone_model)
    assert code == 2
    assert "no such file or folder" in err


# --- the shipped models -----------------------------------------------------------------------------------------------


def test_models_are_found_by_name_and_by_path(tone_model: Path, tmp_path: Path, monkeypatch) -> None:
    shutil.copytree(tone_model, tmp_path / "tones")
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    assert shipped.names() == ["tones"]
    assert shipped.find("tones") == tmp_path / "tones"
    assert shipped.find(str(tone_model)) == tone_model
    with pytest.raises(ValueError, match=r"digits: neither a shipped model \(tones\)"):
        shipped.find("digits")
