"""`asr label`: what a model is sure of becomes training data, with the right sound and words, and nothing else does."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from asr.cli import main
from asr.train_labels import Sureness, parts
from asr.transcript import Transcript, Word
from features import audio
from training.manifests import read

call = runpy.run_path(str(Path(__file__).resolve().parents[1] / "command_line.py"))["calling"](main, "label")
RATE = 16000


def word(text: str, start: float, confidence: float = 1.0) -> Word:
    return Word(text, start, start + 0.1, confidence)


def test_words_go_to_the_part_that_they_begin_in() -> None:
    words = (word("a", 0.2), word("b", 0.9), word("c", 1.0), word("d", 2.9))
    transcript = Transcript(words, 3.0, "a b c d", endpoints=(1.0, 2.0))
    found = [(start, end, [one.text for one in said]) for start, end, said in parts(transcript)]
    assert found == [(0.0, 1.0, ["a", "b"]), (1.0, 2.0, ["c"]), (2.0, 3.0, ["d"])]
    assert [(start, end) for start, end, _ in parts(Transcript(words, 3.0, "a b c d"))] == [(0.0, 3.0)]


def test_what_is_kept() -> None:
    sure = Sureness(0.8, 1.0, 10.0)
    assert sure.against([word("a", 0, 1.0), word("b", 1, 0.6)], 5.0) is None
    assert sure.against([word("a", 0, 1.0), word("b", 1, 0.59)], 5.0) == "of less confidence"
    assert sure.against([], 5.0) == "without words"
    assert sure.against([word("a", 0)], 10.1) == sure.against([word("a", 0)], 0.9) == "not of 1 to 10 s"


def test_recordings_become_a_manifest_of_what_is_recognised(
    capsys, tones: Path, tone_model: Path, tone_recognizer, tmp_path: Path
) -> None:
    out = tmp_path / "labels.jsonl.gz"
    code, printed, err = call(capsys, tones / "test", "--model", tone_model, "--out", out, "--min-confidence", 0.9)
    assert (code, printed) == (0, f"{out}\n")
    items = read(out)
    said = {str(path.resolve()): tone_recognizer.transcribe(path) for path in (tones / "test").rglob("*.wav")}
    sure = {path: one for path, one in said.items() if one.words and one.confidence >= 0.9 and one.duration >= 0.5}
    assert {item.path: item.text for item in items} == {path: one.text for path, one in sure.items()}
    assert f"kept {len(sure)} of {len(said)}, " in err
    assert sure
    for item in items:
        assert (item.start, item.duration) == (0, pytest.approx(sure[item.path].duration))
    everything = tmp_path / "all.jsonl"
    call(capsys, tones / "test", "--model", tone_model, "--out", everything, "--min-confidence", 0, "--shortest", "0s")
    assert len(read(everything)) == sum(bool(one.words) for one in said.values())


def test_parts_between_pauses_have_their_sound_and_words(
    capsys, tones: Path, tone_model: Path, tone_recognizer, tmp_path: Path
) -> None:
    pieces = [audio.read(path)[0] for path in sorted((tones / "test").rglob("*.wav"))[:3]]
    silence = np.zeros(2 * RATE, np.float32)
    long, out = tmp_path / "long.wav", tmp_path / "labels.jsonl"
    audio.write(long, np.concatenate([part for piece in pieces for part in (piece, silence)]), RATE)
    options = ("--model", tone_model, "--out", out, "--min-confidence", 0, "--segments", "decoder")
    assert call(capsys, long, *options)[0] == 0
    items = read(out)
    assert len(items) == 3
    assert [item.id for item in items] == sorted({item.id for item in items})
    whole, _ = audio.read(long)
    for item in items:
        first, behind = round(item.start * RATE), round((item.start + item.duration) * RATE)
        assert tone_recognizer.transcribe((whole[first:behind], RATE)).text == item.text
    confidences = [json.loads(line)["supervisions"][0]["custom"]["confidence"] for line in out.read_text().splitlines()]
    assert all(0 < one <= 1 for one in confidences)


def test_mistakes_are_named_in_one_line(capsys, tones: Path, tone_model: Path, tmp_path: Path) -> None:
    recording = next((tones / "test").rglob("*.wav"))
    out, empty, silent = tmp_path / "out.jsonl", tmp_path / "bad.wav", tmp_path / "silent.wav"
    empty.write_bytes(b"no sound")
    audio.write(silent, np.zeros(RATE, np.float32), RATE)
    for files, given, named in (
        ([recording], {"--out": tmp_path / "out.txt"}, "ends in .jsonl"),
        ([recording], {"--out": tmp_path / "none" / "out.jsonl"}, "folder that is there"),
        ([recording], {"--min-confidence": 1.5}, "from 0 to 1"),
        ([recording], {"--shortest": "2s", "--longest": "1s"}, "more than --shortest"),
        (["-"], {}, "cannot be read again"),
        ([empty], {}, "bad.wav"),
        ([silent], {}, "nothing is kept"),
    ):
        options = {"--model": tone_model, "--out": out, **given}
        code, printed, err = call(capsys, *files, *(part for pair in options.items() for part in pair))
        assert (code, printed) == (2, ""), named
        assert named in err.strip().splitlines()[-1]
        assert not out.exists()
    code, _, err = call(capsys, recording, empty, "--model", tone_model, "--out", out, "--min-confidence", 0)
    assert code == 1
    assert "bad.wav" in err
    assert len(read(out)) == 1
