"""What is found in a folder: videos, landmarks, and never both of one clip."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gestures.sources import files_in, is_current, is_landmarks, landmark_names, videos_in


def touch(folder: Path, *names: str, age: float = 0.0) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        time = path.stat().st_mtime - age
        os.utime(path, (time, time))


def inside(folder: Path, paths: list[Path]) -> list[str]:
    return [str(path.relative_to(folder)) for path in paths]


def test_suffixes_in_any_case_and_below_and_nothing_hidden(tmp_path: Path) -> None:
    touch(
        tmp_path, "b.MP4", "a.mov", "c/d.webm", "c/e.pose", "f.NPZ", ".hidden.mp4", "c/._d.webm", "notes.txt", "g.avi.x"
    )
    (tmp_path / "folder.mp4").mkdir()
    assert inside(tmp_path, files_in(tmp_path)) == ["a.mov", "b.MP4", "c/d.webm", "c/e.pose", "f.NPZ"]
    assert inside(tmp_path, videos_in(tmp_path)) == ["a.mov", "b.MP4", "c/d.webm"]
    assert [is_landmarks(name) for name in ("a.pose", "a.POSE", "a.npz", "a.mp4", "a")] == [True] * 3 + [False] * 2


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    for find in (files_in, videos_in):
        with pytest.raises(OSError, match="nowhere"):
            find(tmp_path / "nowhere")


def test_landmarks_stand_for_their_video_unless_it_is_newer(tmp_path: Path) -> None:
    touch(tmp_path, "old.mp4", "same/a.mp4", age=10)
    touch(tmp_path, "old.pose", "alone.pose", "new.mp4", "same/a.mov", "same/a.mp4.pose")
    touch(tmp_path, "new.pose", age=10)
    assert inside(tmp_path, files_in(tmp_path)) == [
        "alone.pose",
        "new.mp4",
        "old.pose",
        "same/a.mov",
        "same/a.mp4.pose",
    ]
    assert not is_current(tmp_path / "nowhere.pose", tmp_path / "old.mp4")


@pytest.mark.parametrize(
    ("videos", "names"),
    [
        (["a.mp4", "b.mp4"], ["a.pose", "b.pose"]),
        (["x/a.mp4", "y/a.mp4"], ["a.pose", "a.pose"]),
        (["a.mp4", "a.mov"], ["a.mp4.pose", "a.mov.pose"]),
        (["a.mp4", "A.mov"], ["a.mp4.pose", "A.mov.pose"]),
        (["a.mp4", "a.mov", "a.mp4.avi"], ["a.mp4.pose", "a.mov.pose", "a.mp4.avi.pose"]),
    ],
)
def test_names_of_landmarks_do_not_clash_in_a_folder(videos: list[str], names: list[str]) -> None:
    assert list(landmark_names([Path(video) for video in videos]).values()) == names
