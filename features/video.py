"""Pictures with their times, wherever they come from: a video file, a network stream, or a camera.

`open_video` hides which of them it is. A file gives every frame, however long each takes, the next ones being decoded
meanwhile; a camera and a live stream give the newest one, so that who is slow misses frames but never falls behind. A
file may be played as a camera would deliver it, so whatever is done with a camera can be tried on a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from features.video_file import SUFFIXES, FileSource, is_address
from features.video_frame import Frame, Source, VideoError
from features.video_reader import Reader

__all__ = ["SUFFIXES", "Frame", "Video", "VideoError", "open_video"]

# Seconds without a picture after which a camera or a live stream counts as gone.
SILENT_AFTER = 10.0


def open_video(source: str | int | Path, *, realtime: bool = False) -> Video:
    """Open pictures of any kind.

    Args:
        source: Path of a video file; address of a stream (rtsp://, http://, ...); or a camera: its number, also as a
            string, or its place, such as /dev/video0. A file whose name is a number is given as a `Path`.
        realtime: Play a file as a camera would deliver it, at its own pace. Cameras always do.

    Raises:
        VideoError: with one line that names the source: PyAV or OpenCV is missing; the file is missing, a folder,
            empty, a text file, without pictures, cut short where it must not be; no such camera, in use, or not
            permitted; no answer from the address.
    """
    camera = _camera(source)
    if camera is not None:
        from features.camera import CameraSource

        return Video(CameraSource(camera), live=True)
    assert not isinstance(source, int)
    opened = FileSource(source)
    live = opened.duration is None and isinstance(source, str) and is_address(source)
    return Video(opened, live=live, paced=realtime and not live)


class Video:
    """Pictures of an opened source: use it in a `with` statement, and iterate over it, once, for `Frame`s.

    The times of the frames begin at 0 and rise strictly. They are those of the file, also where its frame rate varies;
    a frame without one follows the one before at the nominal rate. Of a camera they are those of our own clock.

    Of a file that was cut short, or is damaged, come the frames that can be decoded, and no error: see `problem`.

    Attributes:
        name: How messages name the source.
        size: Width and height in pixels of the first frame, upright. Others may differ.
        rate: Nominal frames a second, None if the source does not say.
        duration: Length in seconds that the file says it has, None for a camera or a live stream.
        live: Whether it is a camera or a live stream, which does not end by itself.
        dropped: Frames that nobody has taken in time, so far: of a camera, a live stream, and with `realtime`.

    Raises:
        VideoError: While iterating, after the frames so far: the camera has been unplugged, the stream broken off, or
            nothing has come for ten seconds.
    """

    def __init__(
        self, source: Source, *, live: bool = False, paced: bool = False, patience: float = SILENT_AFTER
    ) -> None:
        self._source = source
        self.name, self.size, self.rate, self.duration = source.name, source.size, source.rate, source.duration
        self.live = live
        self._reader = Reader(source, newest=live or paced, paced=paced, patience=patience if live else None)
        self._end = 0.0
        self._closed = False

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        if self._closed:
            raise StopIteration
        frame = next(self._reader)
        self._end = frame.time
        return frame

    @property
    def dropped(self) -> int:
        return self._reader.dropped

    @property
    def truncated(self) -> bool:
        """Whether the file has been cut short, as far as is known: read to the end first."""
        return self._source.truncated

    @property
    def problem(self) -> str | None:
        """One line on what of the file was not there or could not be decoded; None if all is well so far."""
        if self.truncated:
            return f"{self.name}: is cut short, and ends after {self._end:.1f} s: copy or record it again"
        if self._source.skipped:
            return f"{self.name}: is damaged in {self._source.skipped} places, which are left out: copy it again"
        return None

    def close(self) -> None:
        """Let the source go. Closing twice is no mistake."""
        if not self._closed:
            self._closed = True
            self._reader.close()


def _camera(source: str | int | Path) -> int | str | None:
    """How OpenCV knows the camera that is meant; None if it is no camera."""
    if isinstance(source, int):
        if source < 0:
            raise VideoError(f"camera {source}: cameras are counted from 0 on")
        return source
    if isinstance(source, str) and source.strip().isdecimal():
        return int(source)
    if is_address(str(source)) or not Path(source).is_char_device():
        return None
    number = re.fullmatch(r"/dev/video(\d+)", str(source))
    return int(number[1]) if number else str(source)
