"""Calibrating from end to end: borders beside recordings, the command, and what it makes of a model."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import asr
from asr.borders import Border, BordersError, beside
from asr.cli import main
from asr.confidence.calibrate import calibrate_trained
from asr.confidence.calibration import Calibration, Logistic, Times
from asr.confidence.reliability import Reliability, judge
from asr.formats import WRITERS, Options
from asr.transcript import Transcript, Word
from features import audio
from inference.model import load
from inference.model_changes import store_calibration
from training.manifests import read

WORDS = (Word("one", 0.25, 0.5, 1.0), Word("two", 0.5, 1.25, 1.0))
BORDERS = [Border("one", 0.25, 0.5), Border("two", 0.5, 1.25)]


@pytest.mark.parametrize(("format", "name"), [("ctm", "a.ctm"), ("textgrid", "a.TextGrid")])
def test_borders_are_read_as_they_are_written(tmp_path: Path, format: str, name: str) -> None:
    assert beside(tmp_path / "a.wav") is None
    (tmp_path / name).write_text(WRITERS[format](Transcript(WORDS, 2.0, "one two"), Options("a")))
    assert beside(tmp_path / "a.wav") == BORDERS


@pytest.mark.parametrize("text", ["a 1 0.1", "a 1 x 0.2 one", "a 1 -1 0.2 one", "a 1 0 nan one"])
def test_a_damaged_file_with_borders_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.ctm").write_text(f";; a comment\na 1 0.0 0.1 fine\n{text}\n")
    with pytest.raises(BordersError, match=r"a\.ctm: not a ctm with the times of words"):
        beside(tmp_path / "a.wav")
    (tmp_path / "b.TextGrid").write_text("what is this")
    with pytest.raises(BordersError, match=r"b\.TextGrid: not a TextGrid"):
        beside(tmp_path / "b.wav")


def with_borders(folder: Path, count: int, speak) -> Path:
    """Recordings of tones, and where these are: silence of a drawn length before, then each tone and its pause."""
    rng = np.random.default_rng(5)
    folder.mkdir()
    for k in range(count):
        words = rng.choice(["la", "mi", "so"], size=4).tolist()
        pieces, now, lines = [], 0.0, []
        for number, word in enumerate(words):
            # One tone in a recording of its own: 0.1 s of pause, the tone, 0.1 s of pause.
            samples = speak([word], seed=100 * k + number, pause=0.1)
            pieces.append(samples)
            lines.append(f"u{k} 1 {now + 0.1:.4f} {len(samples) / 8000 - 0.2:.4f} {word}\n")
            now += len(samples) / 8000
        audio.write(folder / f"u{k}.wav", np.concatenate(pieces), 8000)
        (folder / f"u{k}.txt").write_text(" ".join(words))
        (folder / f"u{k}.ctm").write_text("".join(lines))
    return folder


def test_the_command_brings_words_to_their_borders_twice_alike(tone_model: Path, tmp_path: Path, speak, capsys) -> None:
    dev = with_borders(tmp_path / "dev", 20, speak)
    models = [Path(shutil.copytree(tone_model, tmp_path / name)) for name in ("one", "two")]
    for model in models:
        assert main(["calibrate", str(model), str(dev)]) == 0
    out = capsys.readouterr().out
    assert "20 recordings" in out
    assert "held-out mean error of starts and ends" in out
    assert (models[0] / "config.yaml").read_bytes() == (models[1] / "config.yaml").read_bytes()
    calibration = Calibration.of(load(models[0]))
    assert calibration.times is not None
    errors = {}
    for name, model in (("before", tone_model), ("after", models[0])):
        recognizer, lags = asr.load(str(model)), []
        for path in sorted(dev.glob("*.wav")):
            words, borders = recognizer.transcribe(path).words, beside(path)
            if [word.text for word in words] == [border.text for border in borders]:
                lags += [
                    (abs(word.start - border.start), abs(word.end - border.end))
                    for word, border in zip(words, borders, strict=True)
                ]
        assert len(lags) >= 40
        errors[name] = np.mean(lags, axis=0)
    assert (errors["after"] < errors["before"]).all()
    assert errors["after"][0] < 0.03


def test_confidences_become_the_share_of_right_words(tone_model: Path, tmp_path: Path, speak, capsys) -> None:
    """Of words that the model is sure of, each third is said to be another: its scores promise too much."""
    data, model = with_borders(tmp_path / "dev", 30, speak), Path(shutil.copytree(tone_model, tmp_path / "model"))
    for k, path in enumerate(sorted(data.glob("*.txt"))):
        if k % 3 == 0:
            path.write_text(" ".join({"la": "mi", "mi": "so", "so": "la"}[word] for word in path.read_text().split()))
    assert main(["calibrate", str(model), str(data)]) == 0
    assert load(model).calibration["confidence"]["kind"] in ("logistic", "isotonic")
    recognizer = asr.load(str(model))
    judged = [
        word
        for path in sorted(data.glob("*.wav"))
        for word in judge(recognizer.transcribe(path).words, path.with_suffix(".txt").read_text())
    ]
    reliability = Reliability(tuple(judged))
    assert 0.5 < reliability.right < 0.8
    assert reliability.confidence == pytest.approx(reliability.right, abs=0.03)
    before = Reliability(tuple(word._replace(confidence=0.98) for word in judged))
    assert reliability.ece() < before.ece() / 3
    assert capsys.readouterr().out.count("ECE") == 2


def test_too_few_words_leave_the_model_as_it_was(tone_model: Path, tmp_path: Path, speak, capsys) -> None:
    model = Path(shutil.copytree(tone_model, tmp_path / "model"))
    data = with_borders(tmp_path / "few", 3, speak)
    assert main(["calibrate", str(model), str(data)]) == 2
    assert "few: 12 recognised words are too few" in capsys.readouterr().err
    assert (model / "config.yaml").read_bytes() == (tone_model / "config.yaml").read_bytes()


def test_an_unreadable_recording_is_listed_and_the_others_are_used(tone_model, tmp_path, speak, capsys) -> None:
    model = Path(shutil.copytree(tone_model, tmp_path / "model"))
    data = with_borders(tmp_path / "data", 15, speak)
    (data / "broken.wav").write_text("no sound")
    (data / "broken.txt").write_text("la")
    assert main(["calibrate", str(model), str(data)]) == 1
    assert "broken.wav" in capsys.readouterr().err
    assert load(model).calibration["times"]


def test_evaluate_plots_and_reports_reliability(tone_model: Path, tones: Path, tmp_path: Path, capsys) -> None:
    plot, report = tmp_path / "plot.svg", tmp_path / "report.md"
    command = ["evaluate", str(tones / "test"), "--model", str(tone_model)]
    assert main([*command, "--reliability", str(plot), "--output", str(report)]) == 0
    assert "ECE" in capsys.readouterr().out
    assert "<svg" in plot.read_text()
    assert "## Confidence" in report.read_text()
    assert main([*command, "--reliability", str(tmp_path / "gone" / "plot.png")]) == 2
    assert "there is no such folder; make it" in capsys.readouterr().err


def test_training_calibrates_at_its_end_or_says_why_not(tone_model: Path, tmp_path: Path, speak, capsys) -> None:
    model = Path(shutil.copytree(tone_model, tmp_path / "model"))
    items = read(with_borders(tmp_path / "dev", 16, speak))
    calibrate_trained(model, items[:3])
    assert "not calibrated: 12 recognised words are too few" in capsys.readouterr().out
    assert load(model).calibration is None
    calibrate_trained(model, items)
    assert set(load(model).calibration) == {"times"}, "no word is wrong, so nothing is known of wrong ones"
    assert "confidence: stays as it is; 0 words" in capsys.readouterr().out
    Path(items[0].path).with_suffix(".ctm").write_text("damaged")
    calibrate_trained(model, items)
    assert "not a ctm" in capsys.readouterr().out


def test_a_model_that_recognises_nothing_yet_is_told(tone_model: Path, tmp_path: Path, speak, capsys) -> None:
    model = Path(shutil.copytree(tone_model, tmp_path / "model"))
    items = read(with_borders(tmp_path / "dev", 3, speak))
    for item in items:
        audio.write(item.path, np.zeros(8000, np.float32), 8000)
    calibrate_trained(model, items)
    out = capsys.readouterr().out
    assert "recognises no word of the development set: it has learnt too little; train it longer" in out
    assert load(model).calibration is None


def test_what_cannot_be_fitted_anew_stays_as_it_was(tone_model: Path, tmp_path: Path, speak, capsys) -> None:
    """No word is wrong here, and no borders are known: neither confidences nor times are taken away."""
    model = Path(shutil.copytree(tone_model, tmp_path / "model"))
    before = Calibration(Logistic(-0.4, {"mean": 0.7}), Times(-0.05, 0.11, {"la": -0.02}))
    store_calibration(model, before.stored())
    data = with_borders(tmp_path / "dev", 16, speak)
    for path in data.glob("*.ctm"):
        path.unlink()
    assert main(["calibrate", str(model), str(data)]) == 0
    assert Calibration.of(load(model)) == before
    said = capsys.readouterr().out
    assert "confidence: stays as it is" in said
    card = (model / "README.md").read_text()
    assert card.startswith((tone_model / "README.md").read_text())
    assert card.endswith(f"## Calibration\n\nFitted on dev, with the greedy search:\n\n```text\n{said}```\n")
    assert main(["calibrate", str(model), str(data), "--beam", "4"]) == 0
    assert (model / "README.md").read_text() == card.replace("the greedy search", "a beam of 4"), "one section"
    store_calibration(model, {})
    assert (model / "README.md").read_bytes() == (tone_model / "README.md").read_bytes()
    assert "times: stay as they are" in said
