"""A window that shows pictures and takes keys, through the OpenCV that comes with MediaPipe.

Whoever has no display gets one line that says so: Qt, which draws OpenCV's windows on Linux, would end the whole
process without asking. So a window is opened in a process of its own first.

PyAV brings another copy of a library of X that Qt uses. Where PyAV is loaded before OpenCV, the first window hangs for
ever and cannot even be interrupted (PyAV-Org/PyAV#978). So the window comes before the video that it is to show.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from features.quiet import quiet_c_stderr
from gestures.draw import Image, opencv

QUIT = "q"
"""The key that closing the window counts as."""

# What other keys are called: the arguments of `Surface.show`'s callers are letters and these.
_NAMES = {27: "esc", 32: "space", 13: "enter", 10: "enter"}

# A window begins no larger than this.
WIDEST, HIGHEST = 1280, 720

# The first window of a process takes a second; a display that is asleep far away takes longer.
_PATIENCE = 30.0

# Events are not looked at, so the window is hardly ever seen.
_TRY = """
import sys
import cv2
cv2.namedWindow("saywave", cv2.WINDOW_NORMAL | cv2.WINDOW_GUI_NORMAL)
cv2.moveWindow("saywave", -4000, -4000)
print("opened", flush=True)
sys.stdin.read()
"""


class ScreenError(ValueError):
    """No window can be opened; the message says what to do."""


class Surface(Protocol):
    """Where pictures are shown and keys come from: a window or, in a test, a list."""

    def show(self, image_HWC: Image) -> str:
        """Show an RGB image (H, W, 3) uint8; the key that was pressed since, such as `k` or `space`, or nothing."""
        ...


class Screen:
    """A window, which can be resized. Use it in a `with` statement, and open the video in it.

    Args:
        title: What stands above it.

    Raises:
        ScreenError: there is no display, this OpenCV has no windows, or PyAV was loaded before OpenCV.
        LandmarkError: OpenCV is missing.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        if sys.platform == "linux" and "av" in sys.modules and "cv2" not in sys.modules:
            raise ScreenError("PyAV was loaded before OpenCV, and a window would hang: import cv2 first, or --headless")
        self._cv2 = opencv()
        if self._cv2.currentUIFramework() == "":
            raise ScreenError(
                "this OpenCV is built without windows (opencv-python-headless?): install opencv-contrib-python in its "
                "place, or add --headless"
            )
        with _tried_display(), quiet_c_stderr():
            # Qt complains of fonts that it does not need, and of other things that nobody can help.
            os.environ.setdefault("QT_LOGGING_RULES", "*.warning=false")
            flags = self._cv2.WINDOW_NORMAL | self._cv2.WINDOW_KEEPRATIO | self._cv2.WINDOW_GUI_NORMAL
            self._cv2.namedWindow(title, flags)
        self._shown = False

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def show(self, image_HWC: Image) -> str:
        """Show an RGB image; the key that was pressed since, `q` once the window has been closed, or nothing."""
        if not self._shown:
            height, width, _ = image_HWC.shape
            factor = min(1.0, WIDEST / width, HIGHEST / height)
            self._cv2.resizeWindow(self._title, round(factor * width), round(factor * height))
            self._shown = True
        elif self._cv2.getWindowProperty(self._title, self._cv2.WND_PROP_VISIBLE) < 1:
            return QUIT
        self._cv2.imshow(self._title, self._cv2.cvtColor(image_HWC, self._cv2.COLOR_RGB2BGR))
        code = self._cv2.waitKey(1)
        if code < 0:
            return ""
        return _NAMES.get(code & 0xFF, chr(code & 0xFF).lower())

    def close(self) -> None:
        """Close the window. Closing twice is no mistake."""
        self._cv2.destroyAllWindows()
        self._cv2.waitKey(1)  # without it nothing is done about the wish


@contextmanager
def _tried_display() -> Iterator[None]:
    """Raise unless a window can be opened here; on other systems than Linux there always is a display.

    The process that has tried keeps its window while we open ours: a bare X server begins anew once it has no window
    left, and whoever comes in that moment is turned away.
    """
    if sys.platform != "linux":
        yield
        return
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise ScreenError("there is no display for a window (DISPLAY is not set): add --headless")
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([sys.executable, "-P", "-c", _TRY], text=True, errors="replace", **pipes) as tries:
        late = threading.Timer(_PATIENCE, tries.kill)
        late.start()
        try:
            assert tries.stdout is not None
            if not tries.stdout.readline():
                raise ScreenError(f"no window can be opened ({_why_not(tries.communicate()[1])}): add --headless")
            yield
        finally:
            late.cancel()
            tries.kill()


def _why_not(said: str) -> str:
    """What ended the process that tried, in its own words: Qt says first what is wrong, Python says it last."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    qt = next((line for line in lines if line.startswith("qt.")), None)
    return (qt or (lines[-1] if lines else f"the display has not answered for {_PATIENCE:g} s"))[:150]
