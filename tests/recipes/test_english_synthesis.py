"""Synthetic sentences: what the manifest says is there, the same each time, however often it was stopped."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from features import audio
from recipes.english import synthesize as module
from recipes.english.synthesize import SHARES, plan, synthesize
from recipes.voices import SynthesisError, Voices, find_voices

SENTENCES = ["It rains.", "Why not?", "She's gone home.", "We know it, too."]
SHORT = 8 / 3600  # hours

pytestmark = pytest.mark.skipif(
    not (shutil.which("flite") and shutil.which("espeak-ng")), reason="flite and espeak-ng are not installed"
)


@pytest.fixture(scope="module", autouse=True)
def few_at_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "AT_ONCE", 3)
        yield


def rows(manifest: Path) -> list[list[str]]:
    heading, *lines = manifest.read_text(encoding="utf-8").splitlines()
    assert heading == "path\ttext\tspeaker"
    return [line.split("\t") for line in lines]


def contents(folder: Path) -> dict[str, bytes]:
    return {path: (folder / path).read_bytes() for path, *_ in rows(folder / "manifest.tsv")}


@pytest.fixture(scope="module")
def whole(few_at_once: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthesize(tmp_path_factory.mktemp("whole"), SENTENCES, hours=SHORT, seed=3, processes=2).parent


def test_there_is_as_much_as_was_wanted_and_it_says_the_sentences(whole: Path) -> None:
    table = rows(whole / "manifest.tsv")
    seconds = [audio.info(whole / path).duration or 0 for path, *_ in table]
    assert sum(seconds[:-1]) < 8 <= sum(seconds)
    assert all(audio.info(whole / path).rate == 16000 for path, *_ in table)
    assert [text for _, text, _ in table[:4]] != ["it rains", "why not", "she's gone home", "we know it too"]
    for first in range(0, len(table) - 3, 4):  # each of them before any comes again
        assert {text for _, text, _ in table[first : first + 4]} == {
            "it rains",
            "why not",
            "she's gone home",
            "we know it too",
        }
    assert len({speaker for *_, speaker in table}) > len(table) // 2


def test_a_run_that_is_stopped_goes_on_to_the_same_end(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speak, spoken = module.speak, []

    def stopped(utterance):
        if len(spoken) == 4:
            raise KeyboardInterrupt
        spoken.append(utterance)
        return speak(utterance)

    monkeypatch.setattr(module, "speak", stopped)
    with pytest.raises(KeyboardInterrupt):
        synthesize(tmp_path, SENTENCES, hours=SHORT, seed=3, processes=1)
    journal = tmp_path / "synthetic" / "clips.jsonl"
    assert journal.read_text().count("\n") >= 3
    assert not (tmp_path / "synthetic" / "manifest.tsv").exists()
    with open(journal, "a") as file:
        file.write('[4, 1.0, "nob')
    monkeypatch.setattr(module, "speak", speak)
    assert contents(synthesize(tmp_path, SENTENCES, hours=SHORT, seed=3).parent) == contents(whole)


def test_more_hours_begin_with_those_that_are_there_and_a_lost_clip_is_made_again(whole: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "synthetic"))
    before = contents(folder)
    (folder / "000001.wav").unlink()
    synthesize(tmp_path, SENTENCES, hours=2 * SHORT, seed=3)
    after = contents(folder)
    assert len(after) > len(before)
    assert before.items() <= after.items()
    times = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.wav")}
    synthesize(tmp_path, SENTENCES, hours=SHORT, seed=3)
    assert contents(folder) == before
    assert times.items() >= {path.name: path.stat().st_mtime_ns for path in folder.glob("*.wav")}.items()


def test_a_sentence_that_cannot_be_spoken_is_left_out(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    speak = module.speak

    def choosy(utterance):
        if "not" in utterance.words:
            raise SynthesisError("'flite' failed: why not")
        return speak(utterance)

    monkeypatch.setattr(module, "speak", choosy)
    expected = {path: rest for path, *rest in rows(whole / "manifest.tsv") if rest[0] != "why not"}
    for _ in range(2):  # made, and then found there
        table = {path: rest for path, *rest in rows(synthesize(tmp_path, SENTENCES, hours=SHORT, seed=3))}
        assert expected.items() <= table.items()
        assert "why not" not in {text for text, _ in table.values()}
        assert (
            "clips could not be spoken and are left out; the first: 'flite' failed: why not" in capsys.readouterr().err
        )
    assert sum(audio.info(tmp_path / "synthetic" / path).duration for path in table) >= 8
    monkeypatch.undo()  # what it was for the moment is said now
    assert rows(synthesize(tmp_path, SENTENCES, hours=SHORT, seed=3)) == rows(whole / "manifest.tsv")


def test_synthesisers_that_say_nothing_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mute(utterance):
        raise SynthesisError("'flite' failed: no disk")

    with monkeypatch.context() as patch:
        patch.setattr(module, "speak", mute)
        with pytest.raises(SynthesisError, match=r"^3 clips in a row could not be spoken; .* no disk$"):
            synthesize(tmp_path, SENTENCES, hours=SHORT, seed=3)
    assert len(rows(synthesize(tmp_path, SENTENCES, hours=SHORT / 4, seed=3))) >= 1


def test_other_texts_or_another_seed_begin_anew(whole: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "synthetic"))
    before = contents(folder)
    synthesize(tmp_path, SENTENCES, hours=SHORT / 4, seed=4)
    assert contents(folder)["000000.wav"] != before["000000.wav"]
    assert len(list(folder.glob("*.wav"))) < len(before)
    synthesize(tmp_path, SENTENCES[:1], hours=SHORT / 4, seed=4)
    assert {text for _, text, _ in rows(folder / "manifest.tsv")} == {"it rains"}


def test_every_synthesiser_has_its_share() -> None:
    voices = find_voices()
    without = Voices(voices.flite, voices.espeak_accents, voices.espeak_variants)
    with_it = Voices(voices.flite, voices.espeak_accents, voices.espeak_variants, ("kal_diphone",))
    for there in (without, with_it):
        plans = [plan("It rains.", ["it", "rains"], np.random.default_rng(seed), there) for seed in range(1000)]
        share = {name: np.mean([one.speaker.startswith(name) for one in plans]) for name in SHARES}
        total = sum(part for name, part in SHARES.items() if name != "festival" or there.festival)
        for name, part in SHARES.items():
            expected = part / total if name != "festival" or there.festival else 0
            assert share[name] == pytest.approx(expected, abs=0.05)
        assert len({one.command for one in plans}) > 900


def test_missing_programs_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SynthesisError, match="apt-get install flite espeak-ng"):
        synthesize(tmp_path, SENTENCES, hours=SHORT)
