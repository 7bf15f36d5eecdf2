"""The landmarker's models and clips of people, which several files of tests look at."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from features.landmarks import LandmarkError

if TYPE_CHECKING:
    from features.video import Frame


@pytest.fixture(scope="session")
def landmarker_models() -> Path:
    """The folder of MediaPipe's networks, made on first use."""
    from features.landmarker_models import ensure

    try:
        return ensure()
    except LandmarkError as error:
        if "cannot be fetched" not in str(error):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def clip_frames(shared_data: Path) -> Callable[[str, int, int], list[Frame]]:
    """Frames of a clip: (name, first, last)."""
    pytest.importorskip("av")
    from features.video import open_video

    def frames(name: str, first: int, last: int) -> list[Frame]:
        with open_video(shared_data / "video" / f"{name}.mp4") as video:
            return list(itertools.islice(video, first, last))

    return frames


@pytest.fixture(scope="session")
def short_clip(clip_frames, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six frames of a clip, in all of which there is somebody with a raised hand, as a file."""
    av = pytest.importorskip("av")
    frames = clip_frames("gesture", 36, 42)
    path = tmp_path_factory.mktemp("short") / "short.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, _ = frames[0].image_HWC.shape
        stream.pix_fmt = "yuv420p"
        for image_HWC, _ in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image_HWC, format="rgb24")))
        container.mux(stream.encode())
    return path
