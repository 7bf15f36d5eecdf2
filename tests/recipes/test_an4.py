"""an4: the publisher's split kept, its lists checked against each other, and speakers apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from features.given import FramesError, write_sphinx
from recipes.an4.prepare import prepare
from training.manifests import Item, ManifestError, read


def parts(out: Path) -> dict[str, list[Item]]:
    return {part: read(out / "manifests" / f"{part}.jsonl.gz") for part in ("train", "dev", "test")}


@pytest.fixture
def small_an4(tmp_path: Path) -> Path:
    """Twelve speakers of two utterances train and two test, in the layout of the publisher."""
    corpus = tmp_path / "an4"
    (corpus / "etc").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, folder, speakers in (("train", "an4_clstk", 12), ("test", "an4test_clstk", 2)):
        files, texts = [], []
        for speaker in range(speakers):
            for k in range(2):
                name = f"an{k}-{part}{speaker:02}-b"
                file = f"{folder}/{part}{speaker:02}/{name}"
                (corpus / "feat" / file).parent.mkdir(parents=True, exist_ok=True)
                write_sphinx(corpus / "feat" / f"{file}.mfc", rng.standard_normal((30 + k, 13)))
                files.append(file)
                texts.append(f"<s> GO {'FIVE' if k else 'F I V E'} </s> ({name})" if speaker else f"GO ({name})")
        (corpus / "etc" / f"an4_{part}.fileids").write_text("\n".join(files) + "\n")
        (corpus / "etc" / f"an4_{part}.transcription").write_text("\n".join(texts) + "\n")
    return corpus


def test_the_split_is_the_publishers_and_every_tenth_training_speaker_chooses(small_an4: Path, tmp_path: Path) -> None:
    prepare(small_an4, tmp_path / "out")
    found = parts(tmp_path / "out")
    speakers = {part: sorted({item.speaker for item in items}) for part, items in found.items()}
    assert speakers["dev"] == ["train00", "train10"]
    assert speakers["test"] == ["test00", "test01"]
    assert {part: len(items) for part, items in found.items()} == {"train": 20, "dev": 4, "test": 4}
    item = found["train"][1]
    assert (item.id, item.text, item.duration) == ("an1-train01-b", "GO FIVE", 0.31)
    assert (tmp_path / "out" / "train.txt").read_text().splitlines() == [item.text for item in found["train"]]


def test_the_whole_corpus(shared_data: Path, tmp_path: Path) -> None:
    prepare(shared_data / "an4", tmp_path)
    found = parts(tmp_path)
    assert {part: len(items) for part, items in found.items()} == {"train": 850, "dev": 98, "test": 130}
    assert sum(len(item.text.split()) for item in found["test"]) == 773
    people = [{item.speaker for item in items} for items in found.values()]
    assert [len(one) for one in people] == [66, 8, 10]
    assert len(set.union(*people)) == 84
    assert all(item.text and "(" not in item.text for items in found.values() for item in items)


def test_lists_that_do_not_go_together(small_an4: Path, tmp_path: Path) -> None:
    lines = (small_an4 / "etc" / "an4_test.transcription").read_text().splitlines()
    for changed in ([lines[1], lines[0], *lines[2:]], lines[:-1], [*lines, lines[-1]], ["GO", *lines[1:]]):
        (small_an4 / "etc" / "an4_test.transcription").write_text("\n".join(changed) + "\n")
        with pytest.raises(ManifestError, match=r"an4_test\.transcription"):
            prepare(small_an4, tmp_path / "out")


def test_what_is_missing_or_damaged_is_named(small_an4: Path, tmp_path: Path) -> None:
    path = small_an4 / "feat" / "an4_clstk" / "train03" / "an1-train03-b.mfc"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(FramesError, match=r"an1-train03-b\.mfc: not a Sphinx feature file, or cut short"):
        prepare(small_an4, tmp_path / "out")
    path.unlink()
    with pytest.raises(FramesError, match=r"an1-train03-b\.mfc: no such file"):
        prepare(small_an4, tmp_path / "out")
    with pytest.raises(ManifestError, match=r"an4_train\.fileids: no such file; unpack the an4 of CMU Sphinx"):
        prepare(tmp_path, tmp_path / "out")
