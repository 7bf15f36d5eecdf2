"""Videos made of pictures that say which one they are and which way up.

This file is no package's part: take it with `runpy.run_path`.
"""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from features.video import Video, VideoError, open_video

av = pytest.importorskip("av")

WIDTH, HEIGHT = 100, 64  # rows of 100 pixels are padded by FFmpeg
RED, BLUE = (220, 20, 20), (20, 20, 220)


def picture(number: int) -> np.ndarray:
    """Red at the top left, blue at the bottom left, and a brightness in the middle that says which one it is."""
    image_HWC = np.full((HEIGHT, WIDTH, 3), 20 + 10 * (number % 20), np.uint8)
    image_HWC[:24, :32] = RED
    image_HWC[-24:, :32] = BLUE
    return image_HWC


def number_of(image_HWC: np.ndarray) -> int:
    height, width, _ = image_HWC.shape
    return round(
        (float(image_HWC[height // 2 - 4 : height // 2 + 4, width // 2 - 4 : width // 2 + 4].mean()) - 20) / 10
    )


def write(path: Path, times: list[int], *, codec: str = "mpeg4", pixel: Fraction | None = None, **options: str) -> Path:
    """A video of one picture at each of these milliseconds."""
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.gop_size = 4
        stream.codec_context.bit_rate = 1_000_000
        if pixel is not None:
            stream.sample_aspect_ratio = pixel
        for number, milliseconds in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            frame.pts, frame.time_base = milliseconds, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def read(source: str | Path, **options: bool) -> tuple[list[int], list[float], Video]:
    """Numbers and times of the pictures, and the video, closed."""
    with open_video(source, **options) as video:
        frames = [(number_of(image_HWC), time) for image_HWC, time in video]
    return [number for number, _ in frames], [time for _, time in frames], video


def error_of(source: object) -> str:
    with pytest.raises(VideoError) as raised:
        open_video(source)
    message = str(raised.value)
    assert "\n" not in message
    return message


STEADY = list(range(0, 800, 40))


@pytest.fixture(scope="module")
def steady(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("video") / "steady.mp4", STEADY, movflags="faststart")


def ask(program: str, *arguments: str) -> str:
    """What a program prints, with nothing on standard error."""
    command = [sys.executable, "-P", "-c", program, *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout
