"""natops and what is joined of it: who goes where, what the numbers mean, and a run from corpus to figure."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from features import landmark_files
from features.landmarks import Landmarks
from recipes.cli import main
from recipes.natops.prepare import LABELS, POINTS, all_clips, clips, groups, held_out, prepare
from recipes.signs_joined import prepare as signs_joined
from recipes.signs_joined.prepare import prepare as prepare_joined
from training.manifests import ManifestError, read

TINY = [
    "--encoder.layers=1",
    "--encoder.hidden_size=8",
    "--encoder.subsampling=[1]",
    "--loop.epochs=1",
    "--loop.workers=0",
    "--loop.threads=1",
]


def manifest(out: Path, part: str):
    return read(out / "manifests" / f"{part}.jsonl.gz")


def test_the_official_split(small_natops: Path, tmp_path: Path) -> None:
    prepare(small_natops, tmp_path)
    counts = {part: Counter(item.text for item in manifest(tmp_path, part)) for part in ("train", "dev", "test")}
    assert counts == {part: dict.fromkeys(LABELS, many) for part, many in (("train", 12), ("dev", 2), ("test", 2))}
    assert set(manifest(tmp_path, "dev")) < set(manifest(tmp_path, "train"))


def test_a_group_that_is_held_out_does_not_train(shared_data: Path, tmp_path: Path) -> None:
    labelled = all_clips(shared_data / "natops", "TRAIN")
    away = [held_out(labelled, group) for group in range(1, 6)]
    assert all({labelled[k][1] for k in group} == set(LABELS) for group in away)
    sizes = [len(group) for group in away]
    assert sizes == sorted(sizes)
    assert 175 <= sum(sizes) == len(set.union(*away)) <= 180
    prepare(shared_data / "natops", tmp_path, held_out_group=4)
    train, dev = (set(manifest(tmp_path, part)) for part in ("train", "dev"))
    assert not train & dev
    assert len(train | dev) == 180
    assert {item.id for item in dev} == {f"train-{k:03d}" for k in away[3]}
    with pytest.raises(ManifestError, match=r"prepare\.held_out_group is 6; give 1 to 5"):
        prepare(shared_data / "natops", tmp_path, held_out_group=6)


def test_groups_are_of_like_bodies() -> None:
    """Five people whose arms hang elsewhere, whatever they signal, and one clip that is like nobody's."""
    rng = np.random.default_rng(0)
    people = [k for k, clips in enumerate((5, 6, 8, 10, 12)) for _ in range(clips)]
    bodies_PKC = rng.normal(0, 1, (5, len(POINTS), 3))
    places_NKC = [bodies_PKC[person] + 0.02 * rng.standard_normal((len(POINTS), 3)) for person in people]
    labelled = [
        (Landmarks(np.tile(place_KC, (4, 1, 1)), np.ones((4, len(POINTS))), np.arange(4) / 20, POINTS), "all_clear")
        for place_KC in (*places_NKC, np.full((len(POINTS), 3), 9.0))
    ]
    assert groups(labelled).tolist() == [person + 1 for person in people] + [0]


def test_coordinates_are_those_of_the_file_with_y_downwards(small_natops: Path, tmp_path: Path) -> None:
    prepare(small_natops, tmp_path)
    line = (small_natops / "NATOPS_TEST.ts").read_text().splitlines()[5]
    values_DT = np.array([part.split(",") for part in line.split(":")[:-1]], dtype=np.float32)
    item = manifest(tmp_path, "test")[2]
    landmarks = landmark_files.read(item.path)
    assert (item.text, landmarks.points) == (LABELS[2], POINTS)
    elbow_TC = landmarks.select(["right_elbow"]).coordinates_TKC[:, 0]
    np.testing.assert_allclose(elbow_TC, (values_DT[9:12] * np.array([[1], [-1], [1]])).T, rtol=1e-6)


def test_the_real_corpus_is_whole(shared_data: Path) -> None:
    for part in ("TRAIN", "TEST"):
        found = list(clips(shared_data / "natops" / f"NATOPS_{part}.ts"))
        assert Counter(label for _, label in found) == dict.fromkeys(LABELS, 30)
        assert {len(landmarks) for landmarks, _ in found} == {51}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text.replace("@data", "data"), "no line says @data"),
        (lambda text: text.replace(":2.0", ":7.0"), r"line 5 is not a clip of NATOPS"),
        (lambda text: text[:-30], r"line \d+ "),
        (lambda text: text.rstrip().rpartition("\n")[0], "has 71 clips, not 72"),
        (None, "no such file; unpack NATOPS"),
    ],
)
def test_damage_is_told_by_file_and_line(small_natops: Path, tmp_path: Path, damage, said: str) -> None:
    for path in small_natops.glob("*.ts"):
        if damage is not None:
            (tmp_path / path.name).write_text(damage(path.read_text()))
    with pytest.raises(ManifestError, match=rf"NATOPS_TRAIN\.ts: {said}"):
        prepare(tmp_path, tmp_path / "out")


def test_each_test_clip_stands_in_one_stream(small_natops: Path, tmp_path: Path) -> None:
    prepare_joined(small_natops, tmp_path)
    streams = manifest(tmp_path, "test_streams")
    assert Counter(one.label for item in streams for one in item.segments) == dict.fromkeys(LABELS, 2)
    real = [landmarks for landmarks, _ in clips(small_natops / "NATOPS_TEST.ts")]
    for item in streams:
        landmarks = landmark_files.read(item.path)
        for one in item.segments:
            inside = landmarks.between(one.start - 1e-6, one.end - 1e-6)
            same = [k for k, clip in enumerate(real) if np.array_equal(clip.coordinates_TKC, inside.coordinates_TKC)]
            assert len(same) == 1
    idle = manifest(tmp_path, "test_none")
    assert sum(item.duration for item in idle) >= 600
    assert all(item.segments == () for item in idle)


def test_streams_are_the_same_each_time(small_natops: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(signs_joined, "NONE_SECONDS", 120.0)
    for folder in ("a", "b"):
        prepare_joined(small_natops, tmp_path / folder)
    for path in (tmp_path / "a" / "landmarks").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / "landmarks" / path.name).read_bytes()


def test_from_corpus_to_figure(small_natops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["natops", "--data", str(small_natops), "--out", str(tmp_path), *TINY, "--seeds", "0", "1"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("test accuracy 0.")
    assert "mean of 2 seeds" in last
    assert "accuracy" in (tmp_path / "seed0" / "model" / "README.md").read_text()
    assert "## Confusion matrix" in (tmp_path / "seed1" / "test.md").read_text()


@pytest.mark.parametrize("kind", ["ctc", "class"])
def test_streams_from_corpus_to_figures(small_natops: Path, tmp_path: Path, capsys, monkeypatch, kind: str) -> None:
    """Both ways to read a stream; the streams are cut down, since what is tested is the way."""
    monkeypatch.setattr(signs_joined, "NONE_SECONDS", 60.0)
    spotting = Path(__file__).resolve().parents[2] / "recipes" / "signs_joined" / "spotting.yaml"
    settings = ["--config", str(spotting), "--head.window_ms=400"] if kind == "class" else []
    arguments = ["signs_joined", "--data", str(small_natops), "--out", str(tmp_path), *settings, *TINY]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("test streams label error rate ") for line in lines)
    assert any(line.startswith("test streams event F ") for line in lines)
    assert any(line.startswith("test none false events ") for line in lines)
