"""Pictures from a camera, through the OpenCV that comes with MediaPipe.

No other OpenCV may be installed beside it: both would own the folder cv2. What OpenCV thinks of a camera that is not
there it writes to the terminal; we say it in one line instead.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from features.quiet import quiet_c_stderr
from features.video_frame import Frame, VideoError, shown


class CameraSource:
    """A camera, opened, with its first picture taken; see `features.video.Video` for the attributes.

    The times are of our own clock, when a picture has come: cameras' own are often missing or wrong.

    Args:
        device: Number of the camera, from 0 on, or another name that OpenCV knows it by.

    Raises:
        VideoError: OpenCV is missing; there is no such camera, it is in use, not permitted, or gives no picture.
    """

    duration = None
    truncated = False
    skipped = 0

    def __init__(self, device: int | str) -> None:
        self.name = f"camera {shown(str(device))}"
        self._cv2 = _opencv()
        with self._quiet():
            self._capture = self._cv2.VideoCapture(device)
        if not self._capture.isOpened():
            raise VideoError(f"{self.name}: {_why_not(device)}")
        first = self._image()
        if first is None:
            self.close()
            raise VideoError(f"{self.name}: gives no picture: end other programs that use it, or choose another camera")
        self._origin = time.perf_counter()
        self._first = Frame(first, 0.0)
        self.size = (first.shape[1], first.shape[0])
        rate = self._capture.get(self._cv2.CAP_PROP_FPS)
        self.rate = float(rate) if 0 < rate < 1000 else None

    def frames(self) -> Iterator[Frame]:
        """The pictures as they come, without an end.

        Raises:
            VideoError: the camera gives no more.
        """
        yield self._first
        last = 0.0
        while (image_HWC := self._image()) is not None:
            # The clocks of some systems stand still for a while.
            last = max(time.perf_counter() - self._origin, last + 1e-6)
            yield Frame(image_HWC, last)
        raise VideoError(f"{self.name}: has stopped, as if unplugged: plug it in and start again")

    def close(self) -> None:
        with self._quiet():
            self._capture.release()

    def _image(self) -> Any:
        with self._quiet():
            taken, image_HWC = self._capture.read()
        # OpenCV turns the channels round thirty times as fast as NumPy.
        return self._cv2.cvtColor(image_HWC, self._cv2.COLOR_BGR2RGB) if taken else None

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        """While in here, neither OpenCV nor the libraries under it write to the terminal."""
        logging = self._cv2.utils.logging
        before = logging.setLogLevel(logging.LOG_LEVEL_SILENT)
        try:
            with quiet_c_stderr():
                yield
        finally:
            logging.setLogLevel(before)


def _opencv() -> Any:
    try:
        import cv2
    except ImportError as error:
        # Imported here: a missing system library is the same matter there.
        from features.mediapipe_tasks import why_no_library

        raise VideoError(why_no_library(error, "a camera needs OpenCV, which comes with MediaPipe")) from None
    return cv2


def _why_not(device: int | str) -> str:
    """What to do about a camera that cannot be opened."""
    if sys.platform == "darwin":
        return (
            "there is no such camera, or it may not be used: plug one in, or allow it in System Settings, Privacy & "
            "Security, Camera"
        )
    if sys.platform != "linux":
        return "there is no such camera, or another program uses it: plug one in, or end the other program"
    place = Path(f"/dev/video{device}" if isinstance(device, int) else device)
    if not place.exists():
        found = _numbers(Path("/dev").glob("video*"))
        choose = f"choose among {', '.join(found)}" if found else "plug one in, or give a video file"
        return f"there is no such camera: {choose}"
    if not os.access(place, os.R_OK | os.W_OK):
        return f"no permission to use {place}: add yourself to its group (often `sudo usermod -aG video $USER`)"
    return "cannot be opened: end other programs that use it, or choose another camera"


def _numbers(places: Iterator[Path]) -> list[str]:
    found = (re.fullmatch(r"video(\d+)", place.name) for place in places)
    key: Callable[[str], int] = int
    return sorted((match[1] for match in found if match), key=key)
