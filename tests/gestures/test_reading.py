"""Files of landmarks are read once, as far as there is room to keep them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from features import landmark_files
from gestures.reading import ReadClips
from training.manifests import Item, Segment


@pytest.fixture
def two(clip: Callable, tmp_path: Path) -> list[Item]:
    found = []
    for name in ("one", "two"):
        landmarks = clip("wave", seed=len(found))
        landmark_files.write(tmp_path / f"{name}.npz", landmarks)
        place = Segment(0.0, landmarks.duration, "wave")
        found.append(Item(name, str(tmp_path / f"{name}.npz"), 0.0, landmarks.duration, "wave", segments=(place,)))
    return found


@pytest.mark.parametrize(("cache_mb", "reads"), [(500, 2), (0, 4)])
def test_what_is_kept(two: list[Item], monkeypatch: pytest.MonkeyPatch, cache_mb: int, reads: int) -> None:
    read = landmark_files.read
    counted = []
    monkeypatch.setattr(landmark_files, "read", lambda path: counted.append(path) or read(path))
    clips = ReadClips(cache_mb)
    for item in (two[0], two[0], two[1], two[1], two[0], two[1]):
        assert len(clips(item)) == len(read(item.path))
    assert len(counted) == reads
