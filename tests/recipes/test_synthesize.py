"""The synthetic digits are what their manifest says, the same each time, and made only once."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from features import audio
from recipes.digits import synthesize as module
from recipes.digits.synthesize import DIGITS, plan, synthesize
from recipes.voices import SynthesisError, Utterance, find_voices, speak

needs_programs = pytest.mark.skipif(
    not (shutil.which("flite") and shutil.which("espeak-ng")), reason="flite and espeak-ng are not installed"
)


def rows(manifest: Path) -> list[list[str]]:
    heading, *lines = manifest.read_text(encoding="utf-8").splitlines()
    assert heading == "path\ttext\tspeaker"
    return [line.split("\t") for line in lines]


@needs_programs
def test_manifest_and_clips_agree(tmp_path: Path) -> None:
    manifest = synthesize(tmp_path, isolated=20, strings=20)
    assert manifest == tmp_path / "synthetic" / "manifest.tsv"
    table = rows(manifest)
    texts = [text.split() for _, text, _ in table]
    assert Counter(text[0] for text in texts[:20]) == dict.fromkeys(DIGITS, 2)
    assert all(len(text) == 1 for text in texts[:20])
    assert all(2 <= len(text) <= 5 and set(text) <= set(DIGITS) for text in texts[20:])
    assert len({speaker for *_, speaker in table}) > 10
    for path, text, _ in table:
        about = audio.info(manifest.parent / path)
        assert (about.rate, about.channels) == (16000, 1)
        assert about.duration is not None
        assert 0.2 * len(text.split()) < about.duration < 1.5 * len(text.split()) + 0.5
        samples, _ = audio.read(manifest.parent / path)
        assert 0.02 < np.abs(samples).max() < 1.0


@needs_programs
def test_same_seed_same_clips_and_a_second_run_does_nothing(tmp_path: Path) -> None:
    first = synthesize(tmp_path / "a", isolated=4, strings=4, seed=7)
    second = synthesize(tmp_path / "b", isolated=4, strings=4, seed=7)
    assert first.read_bytes() == second.read_bytes()
    for path, *_ in rows(first):
        assert (first.parent / path).read_bytes() == (second.parent / path).read_bytes()
    before = {path: path.stat().st_mtime_ns for path in first.parent.iterdir()}
    synthesize(tmp_path / "a", isolated=4, strings=4, seed=7)
    assert {path: path.stat().st_mtime_ns for path in first.parent.iterdir()} == before
    assert synthesize(tmp_path / "b", isolated=4, strings=4, seed=8).read_bytes() != first.read_bytes()


@needs_programs
def test_what_is_missing_is_made_again_and_what_is_too_much_goes(tmp_path: Path) -> None:
    manifest = synthesize(tmp_path, isolated=3, strings=3)
    whole = (manifest.parent / "00001.wav").read_bytes()
    (manifest.parent / "00001.wav").unlink()
    synthesize(tmp_path, isolated=3, strings=3)
    assert (manifest.parent / "00001.wav").read_bytes() == whole
    synthesize(tmp_path, isolated=2, strings=0)
    assert sorted(path.name for path in manifest.parent.glob("*.wav")) == ["00000.wav", "00001.wav"]


@needs_programs
def test_every_way_of_speaking_makes_a_sound() -> None:
    voices = find_voices()
    for voice in voices.flite:
        assert len(speak(Utterance(("six",), voice, ("flite", "-voice", voice, "-t", "six."), (0.1, 0.1)))) > 4000
    for digit in DIGITS:
        for phones in module.FLITE_FOREIGN[digit]:
            command = ("flite", "-voice", "slt", "-p", f"pau {phones} pau")
            assert len(speak(Utterance((digit,), "slt", command, (0.1, 0.1)))) > 3000
        for phones in module.ESPEAK_FOREIGN[digit]:
            command = ("espeak-ng", "-v", "en-us", f"[[{phones}]]")
            assert len(speak(Utterance((digit,), "en-us", command, (0.1, 0.1)))) > 3000


@needs_programs
def test_plans_vary_in_voice_pace_and_accent() -> None:
    voices = find_voices()
    plans = [plan(("three", "one"), np.random.default_rng(seed), voices) for seed in range(1000)]
    assert len({utterance.speaker for utterance in plans}) > 200
    by_flite = [utterance for utterance in plans if utterance.command[0] == "flite"]
    assert 0.4 < len(by_flite) / len(plans) < 0.6
    foreign = [u for u in plans if u.command[-1].startswith(("pau ", "[["))]
    assert 0.15 < len(foreign) / len(plans) < 0.25
    assert len({utterance.command for utterance in plans}) > 900


def test_missing_programs_are_named_with_their_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SynthesisError, match="apt-get install flite espeak-ng"):
        synthesize(tmp_path, isolated=1, strings=1)


def test_command_line_names_its_options(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["synthesize", "--help"])
    with pytest.raises(SystemExit) as ended:
        module.main()
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    for option in ("--out", "--isolated", "--strings", "--seed"):
        assert option in shown
