"""Emotion recipe: who is in which part, by the names of the two corpora; miniatures of tones stand for the actors."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from lhotse import CutSet

from recipes.cli import main
from recipes.corpora import emodb, ravdess
from recipes.emotion.prepare import prepare
from training.manifests import Item, ManifestError, read

TINY = ["--loop.epochs=1", "--encoder.layers=1", "--encoder.hidden_size=8", "--loop.workers=0", "--loop.threads=1"]


def tone(path: Path, pitch: float, rate: int = 16000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.2 * np.sin(2 * np.pi * pitch * np.arange(rate // 5) / rate), rate)


@pytest.fixture(scope="module")
def small_ravdess(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 actors, eight emotions, one recording of each; a song and a film are among them."""
    folder = tmp_path_factory.mktemp("ravdess")
    for actor, emotion in itertools.product(range(1, 25), range(1, 9)):
        name = f"03-01-{emotion:02d}-01-01-01-{actor:02d}.wav"
        tone(folder / f"Actor_{actor:02d}" / name, 200.0 * emotion, rate=48000)
    tone(folder / "Actor_01" / "03-02-03-01-01-01-01.wav", 100.0)
    tone(folder / "Actor_01" / "01-01-03-01-01-01-01.wav", 100.0)
    return folder


@pytest.fixture(scope="module")
def small_emodb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten speakers, seven emotions, one recording of each."""
    folder = tmp_path_factory.mktemp("emodb")
    for speaker, (number, letter) in itertools.product(emodb.GENDERS, enumerate("WLEAFTN", start=1)):
        tone(folder / "wav" / f"{speaker}a01{letter}a.wav", 200.0 * number)
    (folder / "erklaerung.txt").write_text("what the letters mean")
    return folder


def parts(out: Path) -> dict[str, list[Item]]:
    return {part: read(out / "manifests" / f"{part}.jsonl.gz") for part in ("train", "dev", "test")}


def genders(out: Path, part: str) -> dict[str, str]:
    cuts = CutSet.from_file(out / "manifests" / f"{part}.jsonl.gz")
    return {one.supervisions[0].speaker: one.supervisions[0].gender for one in cuts}


def test_ravdess_tests_on_four_actors_who_train_nowhere(small_ravdess: Path, tmp_path: Path) -> None:
    prepare(small_ravdess, tmp_path)
    found = parts(tmp_path)
    speakers = {part: {item.speaker for item in items} for part, items in found.items()}
    assert speakers["test"] == {"21", "22", "23", "24"}
    assert speakers["dev"] == {"17", "18", "19", "20"}
    assert speakers["train"] == {f"{k:02d}" for k in range(1, 17)}
    for part, items in found.items():
        assert Counter(item.text for item in items) == dict.fromkeys(ravdess.EMOTIONS, len(speakers[part]))
    assert next(item for item in found["test"] if item.id == "03-01-06-01-01-01-22").text == "fearful"
    assert genders(tmp_path, "test") == {"21": "male", "22": "female", "23": "male", "24": "female"}


def test_emodb_tests_on_a_man_and_a_woman_who_train_nowhere(small_emodb: Path, tmp_path: Path) -> None:
    prepare(small_emodb, tmp_path)
    found = parts(tmp_path)
    assert {part: len({item.speaker for item in items}) for part, items in found.items()} == {
        "train": 6,
        "dev": 2,
        "test": 2,
    }
    assert genders(tmp_path, "test") == {"15": "male", "16": "female"}
    assert genders(tmp_path, "dev") == {"12": "male", "14": "female"}
    assert set(genders(tmp_path, "train").values()) == {"male", "female"}
    of = {item.id: item.text for items in found.values() for item in items}
    assert (of["03a01Fa"], of["16a01Wa"], of["12a01Ta"]) == ("happiness", "anger", "sadness")
    for items in found.values():
        assert {item.text for item in items} == set(emodb.EMOTIONS.values())


def test_any_speakers_can_be_left_out(small_emodb: Path, tmp_path: Path) -> None:
    prepare(small_emodb, tmp_path, test_speakers=("03",), dev_speakers=("08", "09"))
    assert {part: {item.speaker for item in items} for part, items in parts(tmp_path).items()} == {
        "train": {"10", "11", "12", "13", "14", "15", "16"},
        "dev": {"08", "09"},
        "test": {"03"},
    }


@pytest.mark.parametrize(
    ("test", "dev", "why"),
    [
        (("99",), None, r"prepare\.test_speakers has '99'; the speakers are 03, 08"),
        (None, (), r"prepare\.dev_speakers is empty"),
        (("12",), None, r"both have '12'"),
        (tuple(emodb.GENDERS)[2:], tuple(emodb.GENDERS)[:2], "leave nobody to train on"),
    ],
)
def test_speakers_that_cannot_be(small_emodb: Path, tmp_path: Path, test, dev, why: str) -> None:
    with pytest.raises(ManifestError, match=why):
        prepare(small_emodb, tmp_path, test_speakers=test, dev_speakers=dev)


def test_other_folders_and_files_are_refused_by_name(small_ravdess: Path, small_emodb, tmp_path: Path) -> None:
    for folder in (tmp_path / "absent", tmp_path):
        with pytest.raises(ManifestError, match=r"neither recordings such as Actor_01/.* nor such as wav/03a01Fa\.wav"):
            prepare(folder, tmp_path / "out")
    for corpus, name, why in (
        (ravdess, "Actor_25/03-01-01-01-01-01-25.wav", "RAVDESS has emotions 01 to 08 and actors 01 to 24"),
        (ravdess, "Actor_01/03-01-09-01-01-01-01.wav", "RAVDESS has emotions 01 to 08"),
        (emodb, "wav/04a01Fa.wav", "EMO-DB has the emotions W, L, E, A, F, T, N and the speakers 03, 08"),
        (emodb, "wav/03a01Xa.wav", "EMO-DB has the emotions"),
    ):
        folder = tmp_path / name.replace("/", "_")
        tone(folder / name, 300.0)
        with pytest.raises(ManifestError, match=f"{Path(name).name}: {why}"):
            corpus.recordings(folder)
    for corpus, name in ((ravdess, "03-01-01-01-01-01-01.wav"), (emodb, "03a01Fa.wav")):
        folder = tmp_path / f"twice_{name}"
        for place in ("a", "b"):
            tone(folder / place / name, 300.0)
        with pytest.raises(ManifestError, match=r"is in .*a too; give one of the folders"):
            corpus.recordings(folder)


def test_the_recipe_runs_and_reports_both_figures(small_emodb: Path, tmp_path: Path, capsys) -> None:
    arguments = ["emotion", "--data", str(small_emodb), "--out", str(tmp_path / "out"), *TINY]
    assert main([*arguments, "--prepare.test_speakers", "['15', '16']"]) == 0
    accuracy, macro = capsys.readouterr().out.splitlines()[-2:]
    assert accuracy.startswith("test accuracy 0.")
    assert macro.startswith("test macro F1 0.")
    labels = (tmp_path / "out" / "model" / "labels.txt").read_text().splitlines()
    assert labels == sorted(emodb.EMOTIONS.values())
