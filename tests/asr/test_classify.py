"""The command `asr classify`: each format, many files, labels over time, and what cannot be named."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from asr.classifier import Classifier
from asr.classify import FORMATS
from asr.classify_cli import FORMATS as NAMED
from asr.cli import main
from features import audio

RATE = 8000


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return code, said.out, said.err


@pytest.fixture(scope="module")
def words(speak, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recording of each word, named after it."""
    folder = tmp_path_factory.mktemp("words")
    for number, word in enumerate(("la", "mi", "so")):
        audio.write(folder / f"{word}.wav", speak([word], seed=500 + number), RATE)
    return folder


def test_each_file_gets_its_label(words: Path, named_model: Path, capsys) -> None:
    code, out, err = call(capsys, "classify", words, "--model", named_model)
    assert (code, err) == (0, "")
    lines = [line.rsplit(" ", 2) for line in out.splitlines()]
    assert [(source, label) for source, label, _ in lines] == [
        (f"{words / word}.wav:", word) for word in ("la", "mi", "so")
    ]
    assert all(0.5 < float(confidence) <= 1 for *_, confidence in lines)
    code, alone, _ = call(capsys, "classify", words / "mi.wav", "--model", named_model)
    assert (code, f"{words / 'mi.wav'}: {alone}") == (0, out.splitlines(keepends=True)[1])


def test_labels_are_those_of_python(words: Path, named_model: Path, capsys) -> None:
    expected = Classifier.open(named_model).classify(words / "la.wav")
    _, out, _ = call(capsys, "classify", words / "la.wav", "--model", named_model, "--top", 9, "--format", "json")
    [line] = map(json.loads, out.splitlines())
    assert (line["file"], line["start"], line["end"]) == (str(words / "la.wav"), 0.0, round(expected.end, 3))
    assert [one["label"] for one in line["labels"]] == [label for label, _ in expected.ranked(9)]
    shares = [one["confidence"] for one in line["labels"]]
    assert shares == pytest.approx([share for _, share in expected.ranked(9)], abs=1e-4)
    assert len(shares) == 3


@pytest.mark.parametrize(("format", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_tables_have_a_row_for_each_label(named_model: Path, words: Path, capsys, tmp_path, format, delimiter) -> None:
    hard = tmp_path / 'a, "b".wav'
    hard.write_bytes((words / "so.wav").read_bytes())
    arguments = ("classify", hard, words / "la.wav", "--model", named_model, "--top", 2)
    _, printed, _ = call(capsys, *arguments, "--format", format)
    rows = list(csv.DictReader(io.StringIO(printed), delimiter=delimiter))
    assert [(row["file"], row["rank"]) for row in rows] == [
        (str(path), rank) for path in (hard, words / "la.wav") for rank in "12"
    ]
    assert [row["label"] for row in rows[::2]] == ["so", "la"]
    assert all(float(row["end"]) > float(row["start"]) == 0 for row in rows)
    # The ending of the file says the format, and what is written is what is printed.
    code, out, _ = call(capsys, *arguments, "--output", tmp_path / f"labels.{format}")
    assert (code, out) == (0, "")
    assert (tmp_path / f"labels.{format}").read_text() == printed


def test_labels_over_time(words: Path, named_model: Path, speak, tmp_path: Path, capsys) -> None:
    pieces = [speak([word] * 4, seed=k, pause=0.05) for k, word in enumerate(("mi", "so"))]
    path = tmp_path / "both.wav"
    audio.write(path, np.concatenate(pieces), RATE)
    change = len(pieces[0]) / RATE
    code, out, _ = call(
        capsys, "classify", path, "--model", named_model, "--window", "400ms", "--hop", "0.2s", "--format", "json"
    )
    found = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert found[-1]["end"] == pytest.approx(sum(map(len, pieces)) / RATE, abs=1e-3)
    before = {one["labels"][0]["label"] for one in found if one["end"] <= change}
    after = {one["labels"][0]["label"] for one in found if one["start"] >= change}
    assert (before, after) == ({"mi"}, {"so"})
    _, text, _ = call(capsys, "classify", path, "--model", named_model, "--window", "400ms", "--hop", "0.2s")
    assert [line.split()[:3] for line in text.splitlines()] == [
        [f"{one['start']:.2f}", f"{one['end']:.2f}", one["labels"][0]["label"]] for one in found
    ]


def test_what_cannot_be_named_is_listed_and_the_others_are_named(words: Path, named_model, tmp_path, capsys) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    audio.write(folder / "short.wav", np.zeros(40, np.float32), RATE)
    (folder / "text.wav").write_text("no sound")
    (folder / "good.wav").write_bytes((words / "la.wav").read_bytes())
    code, out, err = call(capsys, "classify", folder, folder / "absent.wav", "--model", named_model)
    assert code == 1
    assert out.startswith(f"{folder / 'good.wav'}: la ")
    assert len(out.splitlines()) == 1
    first, *failed = err.splitlines()
    assert first == "asr: 3 of 4 files failed:"
    assert [line.split(":")[0].strip() for line in failed] == [
        str(folder / name) for name in ("short.wav", "text.wav", "absent.wav")
    ]
    assert "too short to have a label" in failed[0]
    code, out, err = call(capsys, "classify", folder / "short.wav", "--model", named_model)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1


def test_nothing_is_written_where_nothing_could_be_named(named_model: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "text.wav").write_text("no sound")
    code, _, _ = call(capsys, "classify", tmp_path, "--model", named_model, "--output", tmp_path / "labels.csv")
    assert code == 2
    assert not (tmp_path / "labels.csv").exists()


def test_lists_and_patterns_stand_for_files(words: Path, named_model: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "list.txt").write_text(f"{words / 'so.wav'}\n")
    pattern = os.path.join(words, "[lm]*.wav")
    code, out, _ = call(capsys, "classify", pattern, "--files-from", tmp_path / "list.txt", "--model", named_model)
    assert code == 0
    assert [line.rsplit(" ", 2)[1] for line in out.splitlines()] == ["la", "mi", "so"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--hop", "1s"], "--hop goes with --window"),
        (["--window", "1s", "--hop", "2s"], "--hop at most --window"),
        (["--window", "0s"], "must be more than 0"),
        (["--output", "absent/labels.csv"], "absent: no such folder"),
    ],
)
def test_options_that_cannot_be_are_one_line(words, named_model, capsys, arguments: list[str], why: str) -> None:
    code, out, err = call(capsys, "classify", words, "--model", named_model, *arguments)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert why in err


def test_a_recording_is_not_written_over(words: Path, named_model: Path, tmp_path: Path, capsys) -> None:
    sound = tmp_path / "la.wav"
    sound.write_bytes((words / "la.wav").read_bytes())
    code, _, err = call(capsys, "classify", sound, "--model", named_model, "--output", sound)
    assert (code, err) == (2, f"asr: {sound}: is one of the recordings; give another file to --output\n")
    assert sound.read_bytes() == (words / "la.wav").read_bytes()


def test_standard_input_has_a_label(words: Path, named_model: Path) -> None:
    command = [sys.executable, "-m", "asr", "classify", "-", "--model", str(named_model), "--format", "json"]
    done = subprocess.run(command, input=(words / "so.wav").read_bytes(), capture_output=True, check=True)
    found = json.loads(done.stdout)
    assert (found["file"], found["labels"][0]["label"]) == ("-", "so")


@pytest.mark.parametrize("mistyped", [["a.wav"], ["--model", "m"], ["a.wav", "--model", "m", "--top", "0"]])
def test_what_is_mistyped_is_one_line(mistyped: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["classify", *mistyped])
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_models_of_words_and_of_labels_name_each_others_command(words, named_model, tone_model, capsys) -> None:
    code, _, err = call(capsys, "classify", words, "--model", tone_model)
    assert (code, len(err.splitlines())) == (2, 1)
    assert "writes down words and gives no labels; use `asr transcribe`" in err
    file, text = words / "la.wav", words / "la.txt"
    text.write_text("la")
    for command in (
        ["transcribe", file, "--model", named_model],
        ["transcribe", words, "--model", named_model, "--jobs", "2"],
        ["align", file, text, "--model", named_model],
        ["listen", "--stdin", "--model", named_model],
        ["calibrate", named_model, words],
        ["check", words, "--model", named_model],
    ):
        code, out, err = call(capsys, *command)
        assert (code, out, len(err.splitlines())) == (2, "", 1), command
        assert "writes no words; use `asr classify`" in err, command


def test_formats_of_the_command_are_those_there_are() -> None:
    assert tuple(FORMATS) == NAMED


def test_a_bar_is_on_standard_error_alone(words: Path, named_model: Path, on_terminal, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "asr", "classify", str(words), "--model", str(named_model)]
    code, shown = on_terminal(command, tmp_path / "out.txt")
    assert code == 0
    assert b"files" in shown
    assert len((tmp_path / "out.txt").read_text().splitlines()) == 3
