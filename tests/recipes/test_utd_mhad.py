"""utd_mhad: odd people train, even ones test, and whoever is asked for is left out to choose on."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from features import landmark_files
from recipes.utd_mhad.prepare import LABELS, POINTS, prepare
from training.manifests import ManifestError, read


def test_nobody_is_on_two_sides(small_utd_mhad: Path, tmp_path: Path) -> None:
    prepare(small_utd_mhad, tmp_path, dev_subjects=(7,))
    parts = {part: read(tmp_path / "manifests" / f"{part}.jsonl.gz") for part in ("train", "dev", "test")}
    signers = {part: sorted({item.speaker for item in items}) for part, items in parts.items()}
    assert signers == {"train": ["s1", "s3", "s5"], "dev": ["s7"], "test": ["s2", "s4", "s6", "s8"]}
    assert sum(map(len, parts.values())) == 861
    assert {item.text for item in parts["train"]} == set(LABELS)


def test_all_four_train_unless_asked(small_utd_mhad: Path, tmp_path: Path) -> None:
    prepare(small_utd_mhad, tmp_path)
    train, dev, test = (read(tmp_path / "manifests" / f"{part}.jsonl.gz") for part in ("train", "dev", "test"))
    assert {item.speaker for item in train} == {item.speaker for item in dev} == {"s1", "s3", "s5", "s7"}
    assert len(train) + len(test) == 861
    assert set(dev) < set(train)
    assert len(dev) == 4 * len(LABELS)


def test_labels_and_joints_are_the_publishers(shared_data: Path, tmp_path: Path) -> None:
    order = (shared_data / "utd-mhad" / "Skeleton_joint_order.txt").read_text()
    named = [line.split(".")[1].strip(" ;.") for line in order.splitlines() if line[:1].isdigit()]
    assert tuple(named) == POINTS
    prepare(shared_data / "utd-mhad", tmp_path, dev_subjects=(1, 3))
    item = next(i for i in read(tmp_path / "manifests" / "test.jsonl.gz") if i.id == "a24_s2_t1")
    landmarks = landmark_files.read(item.path)
    head_TC, foot_TC = (landmarks.select([name]).coordinates_TKC[:, 0] for name in ("head", "left_foot"))
    assert (head_TC[:, 1] < foot_TC[:, 1]).all(), "y counts downwards"
    # Who sits and stands up has the head rise.
    assert item.text == "sit_to_stand"
    assert head_TC[-1, 1] < head_TC[0, 1] - 0.2


@pytest.mark.parametrize("wrong", [(2,), (1, 3, 5, 7)])
def test_someone_must_be_left_to_train_on(small_utd_mhad: Path, tmp_path: Path, wrong: tuple[int, ...]) -> None:
    with pytest.raises(ManifestError, match=r"prepare\.dev_subjects"):
        prepare(small_utd_mhad, tmp_path, dev_subjects=wrong)


def test_what_is_missing_or_damaged_is_named(small_utd_mhad: Path, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"absent: 0 files such as a1_s1_t1_skeleton\.mat, not 861"):
        prepare(tmp_path / "absent", tmp_path / "out")
    corpus = shutil.copytree(small_utd_mhad, tmp_path / "corpus")
    (corpus / "Skeleton" / "a1_s1_t1_skeleton.mat").write_bytes(b"no matrix")
    with pytest.raises(ManifestError, match=r"a1_s1_t1_skeleton\.mat: holds no skeleton"):
        prepare(corpus, tmp_path / "out")
    from scipy.io import savemat

    savemat(corpus / "Skeleton" / "a1_s1_t1_skeleton.mat", {"d_skel": np.ones((19, 3, 5))})
    with pytest.raises(ManifestError, match=r"d_skel has shape \(19, 3, 5\)"):
        prepare(corpus, tmp_path / "out")
