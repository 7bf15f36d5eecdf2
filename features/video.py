"""Pictures with their times, wherever they come from: a video file, a network stream, or a camera.

`open_video` hides which of them it is. A file gives every frame, however long each takes; a camera and a live stream
give the newest one, so that who is slow misses frames but never falls behind. A file may be played as a camera would
deliver it, so whatever is done with a camera can be tried on a file.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from features.video_file import SUFFIXES, FileSource, is_address
from features.video_frame import Frame, Source, VideoError

__all__ = ["SUFFIXES", "Frame", "Video", "VideoError", "open_video"]

# Seconds without a picture after which a camera or a live stream counts as gone.
SILENT_AFTER = 10.0

# Seconds that closing waits for a camera that does not answer.
_CLOSING = 2.0


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
        self._newest = _Newest(source, paced=paced, patience=patience if live else None) if live or paced else None
        self._frames: Iterator[Frame] = source.frames() if self._newest is None else self._newest
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
        frame = next(self._frames)
        self._end = frame.time
        return frame

    @property
    def dropped(self) -> int:
        return 0 if self._newest is None else self._newest.dropped

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
            if self._newest is None:
                self._source.close()
            else:
                self._newest.close()


class _Newest:
    """Reads a source in a thread of its own and keeps only the newest frame.

    Args:
        paced: Hand out each frame when its time has come, counted from the first call of `next`.
        patience: Seconds without a frame after which the source counts as gone; None waits for ever.
    """

    def __init__(self, source: Source, *, paced: bool, patience: float | None) -> None:
        self._source, self._paced, self._patience = source, paced, patience
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._frame: Frame | None = None
        self._error: Exception | None = None
        self._ended = False
        self.dropped = 0
        # A daemon: a camera that hangs must not keep the program from ending.
        self._thread = threading.Thread(target=self._read, name=source.name, daemon=True)
        self._started = False

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        if not self._started:
            self._started = True
            self._thread.start()
        waited = 0.0
        with self._changed:
            while self._frame is None and not self._ended:
                if self._patience is not None and waited >= self._patience:
                    raise VideoError(
                        f"{self._source.name}: no picture has come for {self._patience:g} s: "
                        "check that it is connected, and start again"
                    )
                # Short waits: on Windows a long one would not see Ctrl-C. They are counted, and no clock is asked,
                # because that goes on while the process is suspended.
                self._changed.wait(0.1)
                waited += 0.1
            frame, self._frame = self._frame, None
        if frame is not None:
            return frame
        if self._error is not None:
            raise self._error
        raise StopIteration

    def close(self) -> None:
        """Stop reading. The thread closes the source, since nobody else may while it reads."""
        self._stop.set()
        if self._started:
            self._thread.join(_CLOSING)
        else:
            self._source.close()

    def _read(self) -> None:
        try:
            begun = time.monotonic()
            for frame in self._source.frames():
                if self._paced:
                    self._stop.wait(max(0.0, begun + frame.time - time.monotonic()))
                if self._stop.is_set():
                    break
                with self._changed:
                    self.dropped += self._frame is not None
                    self._frame = frame
                    self._changed.notify()
        except Exception as error:  # of whatever kind: it is raised again where the frames are taken
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify()
            self._source.close()


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
