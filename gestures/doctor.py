"""What is installed and what is missing for what: the text of `gestures doctor`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from features import landmarker_models
from features.landmarks import LandmarkError
from features.mediapipe_tasks import LATEST, OLDEST, mediapipe, missing_packages
from features.video import VideoError, open_video
from gestures.shipped import FOLDER, names
from inference.installed import TRAINING, Needs, model_lines, need_lines, program_line, torch_lines, version

NEEDS: Needs = {
    "recognize landmark files": (
        [("numpy", "numpy"), ("onnxruntime", "onnxruntime"), ("yaml", "PyYAML")],
        "saywave",
    ),
    "read videos": ([("av", "av")], "saywave[video]"),
    "evaluate": ([("jiwer", "jiwer"), ("lhotse", "lhotse"), ("matplotlib", "matplotlib")], "saywave[train]"),
    "train": (TRAINING, "saywave[train]"),
}

# Numbers of cameras that are tried where the system does not list them.
CAMERAS_TRIED = 2


def report() -> str:
    """One line for the program, one for each thing that it can do, and for each camera and model."""
    lines = [program_line(), "", *need_lines(NEEDS), *_landmarker_lines(), *torch_lines(), ""]
    return "\n".join([*lines, *_camera_lines(), *model_lines(names(), FOLDER)])


def _landmarker_lines() -> list[str]:
    """MediaPipe, what it needs of the system, and its models."""
    lines = []
    packages = missing_packages()
    if packages:
        lines.append(f"missing  system libraries of MediaPipe: apt-get install {' '.join(packages)}")
    elif sys.platform == "linux":
        lines.append("ok       system libraries of MediaPipe")
    oldest, latest = (".".join(map(str, release)) for release in (OLDEST, LATEST))
    try:
        mediapipe()
        lines.append(f"ok       landmarks of videos: mediapipe {version('mediapipe')} ({oldest} to {latest} are used)")
    except LandmarkError as error:
        there = importlib.util.find_spec("mediapipe") is not None
        lines.append(f"{'broken ' if there else 'missing'}  landmarks of videos: {error}")
    folder = landmarker_models.cache_folder()
    if all((folder / name).is_file() for name in (landmarker_models.HAND, landmarker_models.POSE)):
        return [*lines, f"ok       landmark models: {folder}"]
    return [*lines, f"missing  landmark models: made on first use, with pip and a network, in {folder}"]


def _camera_lines() -> list[str]:
    """Each camera that gives a picture, and each that does not, with the reason."""
    if not importlib.util.find_spec("cv2"):
        return ["missing  cameras: opencv, which comes with mediapipe; pip install 'saywave[video]'"]
    lines = []
    for number in _cameras():
        try:
            with open_video(number) as video:
                rate = f", {video.rate:g} frames a second" if video.rate else ""
                lines.append(f"ok       camera {number}: {video.size[0]} x {video.size[1]}{rate}")
        except VideoError as error:
            if sys.platform == "linux":
                lines.append(f"broken   {error}")
    return lines or ["missing  camera: none was found: plug one in, or give a video file instead"]


def _cameras() -> list[int]:
    """Numbers of cameras there may be."""
    if sys.platform != "linux":
        return list(range(CAMERAS_TRIED))
    numbers = (place.name.removeprefix("video") for place in Path("/dev").glob("video*"))
    return sorted(int(number) for number in numbers if number.isdecimal() and not _is_metadata(number))


def _is_metadata(number: str) -> bool:
    """Linux gives many cameras a second device, which has no pictures."""
    index = Path(f"/sys/class/video4linux/video{number}/index")
    return index.is_file() and index.read_text().strip() != "0"
