"""The command `asr train`: data and settings to a model, and mistakes in either on one line."""

from __future__ import annotations

import re
import runpy
import shutil
from pathlib import Path

import pytest

from asr.cli import main
from features import audio

call = runpy.run_path(str(Path(__file__).resolve().parents[1] / "command_line.py"))["calling"](main)
RATE = 8000

SMALL = [
    "--features.fbank.rate=8000",
    "--features.fbank.bins=12",
    "--encoder.layers=1",
    "--encoder.hidden_size=8",
    "--loop.epochs=2",
    "--loop.workers=0",
]


def test_training_from_a_folder_to_a_model(capsys, tones: Path, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("tokens: {unit: word}\nloop: {epochs: 9, batch_frames: 3000}\n")
    arguments = ["train", tones / "train", "--out", tmp_path / "run", "--config", tmp_path / "own.yaml", *SMALL]
    code, out, err = call(capsys, *arguments)
    model = tmp_path / "run" / "model"
    assert code == 0
    assert out.splitlines()[-1] == str(model)
    assert f"asr transcribe FILE --model {model}" in err
    assert "asr train" in (model / "README.md").read_text()
    assert len(re.findall("^interval", (tmp_path / "run" / "run" / "train.log").read_text(), re.MULTILINE)) == 2
    assert call(capsys, "transcribe", tones / "test" / "speaker0" / "u0.wav", "--model", model)[0] == 0
    code, out, _ = call(capsys, "train", "--data", *arguments[1:])
    assert code == 0
    assert "already trained" in out
    code, _, err = call(capsys, *arguments, "--loop.epochs", 3)
    assert code == 2
    assert "holds a run with other settings (loop.epochs 2, now 3); give another" in err


def test_training_from_a_table_with_development_data_from_a_model(
    capsys, tones: Path, tone_model: Path, tmp_path
) -> None:
    rows = ["path\ttext\tspeaker"]
    rows += [
        f"{p.with_suffix('.wav')}\t{p.read_text()}\t{p.parent.name}" for p in sorted((tones / "train").rglob("*.txt"))
    ]
    (tmp_path / "data.tsv").write_text("\n".join(rows) + "\n")
    arguments = ["--dev", tones / "dev", "--from", tone_model, "--tokens.unit", "word", *SMALL[-2:]]
    code, out, _ = call(capsys, "train", tmp_path / "data.tsv", "--out", tmp_path / "run", *arguments)
    assert code == 0
    model = Path(out.splitlines()[-1])
    card = (model / "README.md").read_text()
    assert "96 utterances" in card
    assert "16 utterances" in card
    assert re.search(r"Trained on from: trained/model\n", card)
    code, out, _ = call(capsys, "evaluate", tones / "test", "--model", model)
    assert (code, out.splitlines()[0][:10]) == (0, "WER 0.00 %")


def test_training_on_one_speaker_says_what_the_error_is_worth(capsys, tones: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(tones / "train" / "speaker0", data / "anna")
    code, _, err = call(capsys, "train", data, "--out", tmp_path / "run", *SMALL)
    assert code == 0
    assert "all is spoken by anna" in err


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (["--loop.epoks", "3"], "epoks"),
        (["--colour", "red"], "colour"),
        (["--loop.epochs", "0"], "loop.epochs"),
        (["--loop.epochs", "many"], "loop.epochs"),
        (["--encoder.cell", "gru9"], "gru9"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
        (["--dev", "nowhere"], "nowhere: no such file or folder"),
        (["--from", "nowhere"], "nowhere: neither a shipped model"),
        (["--augment.noise", "nowhere", "--augment.noise_probability", "1"], "nowhere"),
    ],
)
def test_training_with_wrong_settings_names_them(
    capsys, tones: Path, tmp_path: Path, wrong: list[str], named: str
) -> None:
    code, out, err = call(capsys, "train", tones / "train", "--out", tmp_path / "run", *SMALL, *wrong)
    assert (code, out) == (2, "")
    assert named in err


def test_an_unknown_key_in_a_file_of_settings_is_named(capsys, tones: Path, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("loop:\n  epochs: 3\n  epoks: 4\n")
    code, out, err = call(
        capsys, "train", tones / "train", "--out", tmp_path / "run", "--config", tmp_path / "own.yaml"
    )
    assert (code, out) == (2, "")
    assert "epoks" in err


@pytest.mark.parametrize("content", ["nothing", "one utterance", "no words"])
def test_training_on_too_little_is_one_line(capsys, tmp_path: Path, speak, content: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    if content != "nothing":
        for name in ("a",) if content == "one utterance" else ("a", "b", "c"):
            audio.write(data / f"{name}.wav", speak(["la"]), RATE)
            (data / f"{name}.txt").write_text("la" if content == "one utterance" else "")
    code, out, err = call(capsys, "train", data, "--out", tmp_path / "run", *SMALL)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith("asr: ")
