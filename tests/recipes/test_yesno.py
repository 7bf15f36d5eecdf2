"""yesno's split is lhotse's, less the recordings that the best weights are chosen on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from recipes.yesno.prepare import prepare
from training.manifests import Item, ManifestError, read


def parts(out: Path) -> dict[str, list[Item]]:
    return {part: read(out / "manifests" / f"{part}.jsonl.gz") for part in ("train", "dev", "test")}


def test_split_is_that_of_lhotse(shared_data: Path, tmp_path: Path) -> None:
    from lhotse.recipes.yesno import prepare_yesno

    theirs = prepare_yesno(shared_data / "yesno" / "waves_yesno")
    prepare(shared_data / "yesno", tmp_path)
    ours = parts(tmp_path)
    for name, items in (("train", ours["train"] + ours["dev"]), ("test", ours["test"])):
        expected = {s.id: (s.text.lower(), s.duration) for s in theirs[name]["supervisions"]}
        assert {item.id: (item.text, item.duration) for item in items} == expected
    assert {part: len(items) for part, items in ours.items()} == {"train": 25, "dev": 5, "test": 30}
    assert sum(len(item.text.split()) for item in ours["test"]) == 240


def test_words_stand_in_the_file_name(small_yesno: Path, tmp_path: Path) -> None:
    prepare(small_yesno, tmp_path)
    for items in parts(tmp_path).values():
        for item in items:
            assert item.text == item.id.replace("_", " ").replace("0", "no").replace("1", "yes")
            assert (Path(item.path).name, item.speaker) == (f"{item.id}.wav", "one")


def test_split_goes_by_name_wherever_the_recordings_lie(small_yesno: Path, tmp_path: Path) -> None:
    prepare(small_yesno, tmp_path / "a")
    scattered = tmp_path / "corpus"
    for number, path in enumerate(sorted(small_yesno.rglob("*.wav"))):
        (scattered / str(number % 3)).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, scattered / str(number % 3))
    (scattered / "0_1_0.wav").write_bytes(b"not one of them")
    prepare(scattered, tmp_path / "b")
    for part, items in parts(tmp_path / "a").items():
        assert [item.id for item in items] == [item.id for item in parts(tmp_path / "b")[part]]


def test_a_recording_too_few_would_shift_the_split(small_yesno: Path, tmp_path: Path) -> None:
    corpus = shutil.copytree(small_yesno, tmp_path / "corpus")
    next(corpus.rglob("*.wav")).unlink()
    with pytest.raises(ManifestError, match=r"corpus: 59 recordings .* not 60; unpack waves_yesno\.tar\.gz"):
        prepare(corpus, tmp_path / "out")
    with pytest.raises(ManifestError, match=r"absent: 0 recordings"):
        prepare(tmp_path / "absent", tmp_path / "out")
