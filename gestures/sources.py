"""What gestures are read from: videos and files of landmarks, one by one or by the folder.

A video whose landmarks have been written beside it is not read twice: the landmarks stand for it, as long as they are
not older.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from features import landmark_files
from features.video import SUFFIXES as VIDEO_SUFFIXES


def is_landmarks(path: str | Path) -> bool:
    """Whether it is a file of landmarks by its suffix; everything else is taken for a video."""
    return Path(path).suffix.lower() in landmark_files.SUFFIXES


def videos_in(folder: Path) -> list[Path]:
    """Videos in a folder and below it, by their suffix, sorted; hidden ones are none.

    Raises:
        OSError: the folder cannot be read.
    """
    return _files(folder, VIDEO_SUFFIXES)


def files_in(folder: Path) -> list[Path]:
    """Videos and landmark files in a folder and below it, sorted; without videos whose landmarks stand beside them.

    Raises:
        OSError: the folder cannot be read.
    """
    found = _files(folder, {*VIDEO_SUFFIXES, *landmark_files.SUFFIXES})
    videos = [path for path in found if not is_landmarks(path)]
    names = landmark_names(videos)
    done = {video for video in videos if is_current(video.with_name(names[video]), video)}
    # Of a video that has changed since, the landmarks are those of another one.
    stale = {video.with_name(names[video]) for video in videos} - {video.with_name(names[video]) for video in done}
    return [path for path in found if path not in done and path not in stale]


def looked_for() -> str:
    """The suffixes, for messages."""
    return f"{', '.join(sorted(VIDEO_SUFFIXES))}, and landmarks: {', '.join(landmark_files.SUFFIXES)}"


def landmark_names(videos: Sequence[Path]) -> dict[Path, str]:
    """What the file of each video's landmarks is called: `a.pose` for `a.mp4`.

    Where that would be the name for two videos of a folder, it is `a.mp4.pose`.
    """
    names = {video: f"{video.stem}.pose" for video in videos}
    for _ in range(2):  # a longer name may be the short one of another video
        taken = Counter((video.parent, name.casefold()) for video, name in names.items())
        names = {
            video: f"{video.name}.pose" if taken[video.parent, name.casefold()] > 1 else name
            for video, name in names.items()
        }
    return names


def is_current(landmarks: Path, video: Path) -> bool:
    """Whether the landmarks are there and not older than the video."""
    try:
        return landmarks.stat().st_mtime >= video.stat().st_mtime
    except OSError:
        return False


def _files(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    os.scandir(folder).close()  # rglob passes over a folder that it may not read
    # The Finder of macOS leaves ._a.mp4 beside a.mp4 on foreign disks.
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()
    )
