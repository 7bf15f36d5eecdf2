"""hand_points: tracks are put together again as they were, and nothing that trains is tested on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from features import landmark_files
from recipes.hand_points.prepare import FPS, LABELS, WRIST, divided, gesture, prepare, stitched, table
from training.manifests import ManifestError, read


def test_windows_that_overlap_are_one_track() -> None:
    rng = np.random.default_rng(0)
    tracks = [np.cumsum(rng.standard_normal((length, 2)), axis=0) for length in (16, 40, 17)]
    windows = [track[k : k + 16] - track[k] for track in tracks for k in range(len(track) - 15)]
    found = stitched(np.array(windows))
    assert [len(track) for track in found] == [16, 40, 17]
    for track, one in zip(tracks, found, strict=True):
        np.testing.assert_allclose(one, track - track[0], atol=1e-9)


def test_parts_share_nothing(small_hand_points: Path) -> None:
    parts = divided(small_hand_points)
    for kind in ("hands", "tracks"):
        for label in getattr(parts[0], kind):
            rows = [{row.tobytes() for one in getattr(part, kind)[label] for row in one[1:]} for part in parts]
            assert all(rows)
            assert not rows[0] & rows[1] | rows[0] & rows[2] | rows[1] & rows[2]


@pytest.mark.parametrize("label", LABELS)
def test_a_clip_is_real_hands_along_a_real_track(small_hand_points: Path, label: str) -> None:
    material = divided(small_hand_points)[0]
    hand_TKC = gesture(material, label, np.random.default_rng(3))
    shape = label if label in ("open", "close") else "point"
    # Sizes apart, each frame is a hand of the corpus: the same in all ratios of lengths from the wrist.
    lengths_TK = np.linalg.norm(hand_TKC - hand_TKC[:, WRIST : WRIST + 1], axis=2)
    hands_NKC = np.concatenate(material.hands[shape])
    known_NK = np.linalg.norm(hands_NKC - hands_NKC[:, WRIST : WRIST + 1], axis=2)
    ratios_TK, known_NK = (one / one.max(axis=1, keepdims=True) for one in (lengths_TK, known_NK))
    assert np.abs(ratios_TK[:, None] - known_NK[None]).max(axis=2).min(axis=1).max() < 1e-6


def test_streams_say_where_gestures_are(small_hand_points: Path, tmp_path: Path) -> None:
    prepare(small_hand_points, tmp_path, streams=6, test_streams=2, clips=2)
    counts = {part: len(read(tmp_path / "manifests" / f"{part}.jsonl.gz")) for part in ("train", "dev")}
    assert counts == {"train": 6, "dev": 1}
    clips = read(tmp_path / "manifests" / "test_clips.jsonl.gz")
    assert Counter(item.text for item in clips) == dict.fromkeys(LABELS, 2)
    for item in read(tmp_path / "manifests" / "test_streams.jsonl.gz"):
        assert sorted(one.label for one in item.segments) == sorted(LABELS)
        landmarks = landmark_files.read(item.path)
        present_T = landmarks.presence_TK.all(axis=1)
        for one in item.segments:
            first, last = round(one.start * FPS), round(one.end * FPS)
            assert present_T[first:last].all()
        assert not present_T[: round(item.segments[0].start * FPS)].any()


def test_what_is_missing_or_damaged_is_named(small_hand_points: Path, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"keypoint\.csv: no such file"):
        prepare(tmp_path, tmp_path / "out")
    (tmp_path / "keypoint.csv").write_text("0,one,two\n")
    with pytest.raises(ManifestError, match=r"keypoint\.csv: not a table of numbers"):
        prepare(tmp_path, tmp_path / "out")
    (tmp_path / "keypoint.csv").write_text("0,1,2\n")
    with pytest.raises(ManifestError, match=r"keypoint\.csv: 3 columns, not 43"):
        prepare(tmp_path, tmp_path / "out")


def test_the_real_corpus_is_as_described(shared_data: Path) -> None:
    shapes, _ = table(shared_data / "hand-points" / "keypoint.csv", 42)
    motions, windows_NTC = table(shared_data / "hand-points" / "point_history.csv", 32)
    assert np.bincount(shapes).tolist() == [1522, 1572, 1356]
    tracks = [track for motion in range(4) for track in stitched(windows_NTC[motions == motion])]
    assert sum(len(track) - 15 for track in tracks) == len(windows_NTC)
    assert max(map(len, tracks)) > 5 * FPS
