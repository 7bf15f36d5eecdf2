"""`asr label`: what a model is sure of becomes training data, with the right sound and words, and nothing else does."""

from __future__ import annotations

import json
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from asr.cli import main
from asr.train_labels import Part, Sureness, parts
from asr.transcript import Transcript, Word
from features import audio
from training.manifests import read

# The command, which kills itself once it has heard three recordings.
KILLED = """
import os, signal, sys
from asr.cli import main
from asr.journal import Journal
add, heard = Journal.add, []
def killed(*arguments):
    add(*arguments)
    heard.append(arguments)
    if len(heard) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
Journal.add = killed
main(sys.argv[1:])
"""
call = runpy.run_path(str(Path(__file__).resolve().parents[1] / "command_line.py"))["calling"](main, "label")
RATE = 16000


def word(text: str, start: float, confidence: float = 1.0) -> Word:
    return Word(text, start, start + 0.1, confidence)


def test_words_go_to_the_part_that_they_begin_in() -> None:
    words = (word("a", 0.2, 0.6), word("b", 0.9, 0.4), word("c", 1.0), word("d", 2.9))
    transcript = Transcript(words, 3.0, "a b c d", endpoints=(1.0, 2.0))
    assert parts(transcript) == [(0.0, 1.0, "a b", 0.5), (1.0, 2.0, "c", 1.0), (2.0, 3.0, "d", 1.0)]
    assert parts(Transcript(words, 3.0, "a b c d")) == [(0.0, 3.0, "a b c d", 0.75)]
    assert parts(Transcript((), 3.0, "")) == [(0.0, 3.0, "", 0.0)]


def test_what_is_kept() -> None:
    sure = Sureness(0.8, 1.0, 10.0)
    assert sure.against(Part(2.0, 7.0, "a b", 0.8)) is None
    assert sure.against(Part(2.0, 7.0, "a b", 0.79)) == "of less confidence"
    assert sure.against(Part(2.0, 7.0, "", 0.0)) == "without words"
    for length in (10.1, 0.9):
        assert sure.against(Part(0.0, length, "a", 1.0)) == "not of 1 to 10 s"


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


def test_a_run_that_was_killed_goes_on(capsys, tones: Path, tone_model: Path, tmp_path: Path) -> None:
    """To the manifest of one that was not; with other settings it does not go on."""
    options = [str(tones / "test"), "--model", str(tone_model), "--min-confidence", "0.5"]
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    journal = tmp_path / "out.jsonl.part"
    assert call(capsys, *options, "--out", whole)[0] == 0
    killed = subprocess.run([sys.executable, "-c", KILLED, "label", *options, "--out", out], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    _, *heard = journal.read_text().splitlines()
    assert len(heard) == 3
    # As if it had been killed a little later, and a recording that was heard had changed since.
    changed = Path(json.loads(heard[0])[0][0])
    changed.touch()
    with open(journal, "a") as file:
        file.write(heard[0][:40])
    kept = journal.read_text()
    for more, named in ((["--beam", 8], "(search)"), (["--segments", "decoder"], "(segments)")):
        code, _, err = call(capsys, *options, *more, "--out", out)
        assert code == 2
        assert err.count("\n") == 1
        assert f"{journal}: was begun with other settings {named}; " in err
        assert journal.read_text() == kept
    code, printed, err = call(capsys, *options, "--out", out)
    assert (code, printed) == (0, f"{out}\n")
    assert f"asr: 2 of {len(list((tones / 'test').rglob('*.wav')))} were heard before" in err
    assert out.read_bytes() == whole.read_bytes()
    assert not journal.exists()


def test_what_was_heard_stays_where_nothing_is_kept(capsys, tones: Path, tone_model: Path, tmp_path: Path) -> None:
    """So that another confidence needs no more than judging it."""
    recordings = sorted((tones / "test").rglob("*.wav"))[:2]
    rest = ("--model", tone_model, "--out", tmp_path / "out.jsonl")
    code, _, err = call(capsys, *recordings, *rest, "--shortest", "28s")
    assert code == 2
    assert "nothing is kept" in err
    code, _, err = call(capsys, *recordings, *rest, "--min-confidence", 0)
    assert code == 0
    assert "2 of 2 were heard before" in err
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


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
    (tmp_path / "out.jsonl.part").unlink()  # of the silence, in which nothing was kept
    code, _, err = call(capsys, recording, empty, "--model", tone_model, "--out", out, "--min-confidence", 0)
    assert code == 1
    assert "bad.wav" in err
    assert len(read(out)) == 1
    empty.write_bytes(silent.read_bytes())  # what could not be read is there now
    code, _, err = call(capsys, recording, empty, "--model", tone_model, "--out", out, "--min-confidence", 0)
    assert (code, "1 of 2 were heard before" in err) == (0, True), err
    assert not (tmp_path / "out.jsonl.part").exists()
