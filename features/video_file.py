"""Pictures from files and network streams, through PyAV.

The times are those that the file gives its frames, so a variable frame rate stays one. Phones store pictures lying on
their side and say how to turn them; some cameras store pixels that are not square: both are put right here, and
nowhere else.
"""

from __future__ import annotations

import os
import re
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from features.video_container import cut_short
from features.video_frame import Frame, VideoError, shown

# FFmpeg would also open playlists, which name further files and addresses: of a file, only these are ever opened.
_DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,asf,flv,mpeg,mpegts,mpegvideo,ogg,gif,ivf,h264,hevc,m4v,mjpeg"
SUFFIXES = frozenset(
    {".mp4", ".mov", ".m4v", ".3gp", ".webm", ".mkv", ".avi", ".wmv", ".flv", ".mpg", ".mpeg", ".ts", ".ogv", ".gif"}
)
"""By which video files are found in a folder; a file that is named itself is judged by its content."""

# Seconds that a network stream may take to answer, and be silent.
_PATIENCE = 10.0

# Pixels further from square than this are a mistake in the header.
_ODDEST_PIXEL = 8


def is_address(source: str) -> bool:
    """Whether a source names a network stream, such as rtsp://HOST/PATH."""
    return re.match(r"[a-z][a-z0-9+.-]+://", source, re.IGNORECASE) is not None


class FileSource:
    """A video file, or a network stream; see `features.video.Video` for the attributes.

    Raises:
        VideoError: PyAV is missing; the source is missing, empty, no video, damaged, without a picture, or silent.
    """

    def __init__(self, source: str | Path) -> None:
        av = _pyav()
        self._address = isinstance(source, str) and is_address(source)
        self.name = shown(_without_password(str(source)))
        self.truncated = not self._address and _check_file(Path(source), self.name)
        self.skipped = 0
        options = {} if self._address else {"format_whitelist": _DEMUXERS}
        timeout = _PATIENCE if self._address else None
        self._errors = (av.FFmpegError, ValueError, OverflowError)
        try:
            # The prefix keeps a colon in a file's name from being taken for a protocol.
            place = str(source) if self._address else f"file:{os.fspath(source)}"
            self._container = av.open(place, options=options, timeout=timeout, metadata_errors="replace")
        except self._errors as error:
            raise self._no_video(source, error) from None
        try:
            self._begin()
        except BaseException:
            self._container.close()
            raise

    def frames(self) -> Iterator[Frame]:
        """The frames, one at a time."""
        if self._first is not None:
            first, self._first = self._first, None
            yield first
        yield from self._decoded

    def close(self) -> None:
        self._decoded.close()
        self._container.close()

    def _begin(self) -> None:
        streams = [stream for stream in self._container.streams.video if not _is_cover(stream)]
        if not streams:
            sound = " (only sound)" if self._container.streams.audio else ""
            raise VideoError(f"{self.name}: has no pictures{sound}: give a video file")
        self._stream = streams[0]
        if self._stream.codec_context is None:
            raise VideoError(f"{self.name}: has pictures in an unknown codec: export it again as mp4")
        self._stream.thread_type = "AUTO"
        # One for all frames: a frame's own would start threads of its own, and leave them to the garbage collector.
        self._reformatter = _pyav().video.reformatter.VideoReformatter()
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.rate = float(rate) if rate else None
        self._decoded = self._decode()
        self._first: Frame | None = next(self._decoded, None)
        if self._first is None:
            damaged = self.truncated or self.skipped or self._stream.frames
            why = "is cut short or damaged before its first picture" if damaged else "holds not a single picture"
            raise VideoError(f"{self.name}: {why}: copy or record it again")
        height, width, _ = self._first.image_HWC.shape
        self.size = (width, height)
        self.duration = self._duration()

    def _duration(self) -> float | None:
        if self._stream.duration is not None and self._stream.time_base is not None:
            return float(self._stream.duration * self._stream.time_base)
        if self._container.duration is not None:
            return self._container.duration / 1_000_000
        return None

    def _decode(self) -> Iterator[Frame]:
        period = 1.0 / self.rate if self.rate else 0.04
        origin, last = 0.0, -period
        for frame in self._pictures():
            given = None if frame.time is None else float(frame.time)
            if last < 0:
                origin = given or 0.0
            # A frame whose time is missing, or is not after the one before, follows at the nominal rate.
            time = last + period if given is None or given - origin <= last else given - origin
            last = max(time, 0.0)
            yield Frame(self._upright(frame), last)

    def _pictures(self) -> Iterator[Any]:
        """PyAV's frames; what is damaged is left out and counted."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except self._errors as error:
                if self._address:
                    raise VideoError(
                        f"{self.name}: the stream has broken off ({_reason(error)}): start again"
                    ) from None
                self.truncated = True
                packet = None
            if packet is None:
                return
            if packet.is_corrupt:
                self.skipped += 1
                continue
            try:
                yield from packet.decode()
            except self._errors:
                self.skipped += 1

    def _upright(self, frame: Any) -> npt.NDArray[np.uint8]:
        width, height = _square(frame.width, frame.height, self._stream.sample_aspect_ratio)
        rgb = self._reformatter.reformat(frame, width=width, height=height, format="rgb24")
        image_HWC = rgb.to_ndarray()
        # PyAV leaves the padding of FFmpeg's rows in place; MediaPipe would take it for pixels.
        return np.ascontiguousarray(turned(image_HWC, _display_matrix(frame)))

    def _no_video(self, source: str | Path, error: Exception) -> VideoError:
        if self._address:
            return VideoError(f"{self.name}: cannot be opened ({_reason(error)}): check the address and the network")
        with open(source, "rb") as file:
            head = file.read(512).decode("utf-8", errors="replace").rstrip("\ufffd")
        if all(character.isprintable() or character.isspace() for character in head):
            return VideoError(f"{self.name}: is a text file, not a video: give a video file")
        if self.truncated:
            return VideoError(f"{self.name}: is cut short, and what it needs is at its end: copy or record it again")
        return VideoError(f"{self.name}: is not a video, or is damaged: give a video file, or export it again as mp4")


def turned(image_HWC: npt.NDArray[np.uint8], matrix: tuple[int, int, int, int]) -> npt.NDArray[np.uint8]:
    """The image as it is to be shown.

    Args:
        image_HWC: As it is stored.
        matrix: (a, b, c, d) of a display matrix: the pixel (x, y) is shown at (a x + c y, b x + d y), y down. Only
            quarter turns and mirror images are known; anything else leaves the image as it is.
    """
    a, b, c, d = ((value > 0) - (value < 0) for value in matrix)
    if abs(b) == abs(c) == 1 and a == d == 0:
        image_HWC = image_HWC.swapaxes(0, 1)
        a, d = c, b
    elif not (abs(a) == abs(d) == 1 and b == c == 0):
        return image_HWC
    return image_HWC[::d, ::a]


def _display_matrix(frame: Any) -> tuple[int, int, int, int]:
    # `frame.rotation` of newer releases of PyAV knows nothing of mirror images.
    try:
        data = bytes(frame.side_data["DISPLAYMATRIX"])
    except KeyError:
        return 1, 0, 0, 1
    a, b, _, c, d, *_ = struct.unpack("<9i", data)
    return a, b, c, d


def _square(width: int, height: int, pixel: Any) -> tuple[int, int]:
    """Size of the image with square pixels; it is only ever made larger, so nothing is lost."""
    if not pixel or not 1 / _ODDEST_PIXEL <= pixel <= _ODDEST_PIXEL:
        return width, height
    return (round(width * pixel), height) if pixel > 1 else (width, round(height / pixel))


def _is_cover(stream: Any) -> bool:
    """A picture that music files carry."""
    disposition = getattr(stream, "disposition", None)  # since PyAV 14.1
    return disposition is not None and bool(disposition & type(disposition).attached_pic)


def _check_file(path: Path, name: str) -> bool:
    """Whether the file is cut short."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise VideoError(f"{name}: is a folder: give the video files in it")
        if not stat.S_ISREG(mode):
            raise VideoError(f"{name}: is a pipe or a device: copy what comes from it to a file first")
        with open(path, "rb") as file:
            if not os.fstat(file.fileno()).st_size:
                raise VideoError(f"{name}: is empty (0 bytes): record or copy it again")
            return cut_short(file)
    except VideoError:
        raise
    except FileNotFoundError:
        raise VideoError(f"{name}: no such file: check the path") from None
    except PermissionError:
        raise VideoError(f"{name}: no permission to read it: change its permissions or its owner") from None
    except (OSError, ValueError) as error:  # a name that is too long, holds a zero byte, ...
        raise VideoError(f"{name}: cannot be read: {_reason(error)}: check the path") from None


def _reason(error: Exception) -> str:
    """What went wrong, without the address, which may hold a password."""
    return getattr(error, "strerror", None) or " ".join(str(error).split())


def _without_password(source: str) -> str:
    return re.sub(r"(?<=://)[^/@]*@", "", source) if is_address(source) else source


def _pyav() -> Any:
    try:
        import av
    except ImportError:
        raise VideoError("videos need the package PyAV: pip install 'saywave[video]'") from None
    return av
