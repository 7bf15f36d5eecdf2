"""Clips as video files: with the true time of each frame, whole or not there, and never over another one."""

from __future__ import annotations

import os
import re
import secrets
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from features.video import Frame
    from gestures.draw import Image

# Units a second of the times in a file. All usual frame rates divide it, those of NTSC too, and the encoder mpeg4 takes
# no more than 65535.
CLOCK = 60_000

# A camera does not wait: `superfast` takes half the time of `veryfast`, for files that are larger. Finer than 23, which
# x264 takes by itself, because fingers that move fast are blurred as it is.
_X264 = {"preset": "superfast", "crf": "20", "bf": "0"}
_MPEG4_BITS_PER_PIXEL = 0.25
_USUAL_RATE = 30.0


class RecordError(ValueError):
    """A clip that cannot be recorded; the message says what to do."""


class ClipWriter:
    """Writes the frames of one clip as they come, into a file without a name that lasts: see `keep` and `discard`.

    In a `with` statement the clip is discarded at the end unless it has been kept.

    Args:
        folder: Where the clip goes; it exists.
        size: Width and height of the first frame. Frames of another size are scaled to it.
        rate: Nominal frames a second, if known. The frames' own times count.

    Raises:
        RecordError: PyAV is missing, or the folder cannot be written to.
    """

    def __init__(self, folder: Path, size: tuple[int, int], rate: float | None = None) -> None:
        try:
            import av
        except ImportError:
            raise RecordError("clips are written with the package PyAV: pip install 'saywave[video]'") from None
        self._av = av
        self._folder = folder
        # Colour has half the resolution, so both sides are even: the last column or row is left out if need be.
        self._width, self._height = (max(2, side // 2 * 2) for side in size)
        self._part = folder / f".{os.getpid()}-{secrets.token_hex(4)}.part"
        self._first: float | None = None
        self._last = -1
        self._container: Any = None
        try:
            self._container = av.open(f"file:{self._part}", "w", format="mp4")
            self._stream = self._encoder(Fraction(rate or _USUAL_RATE).limit_denominator(1001))
        except (av.FFmpegError, OSError) as error:
            self.discard()
            raise self._cannot(error) from None

    def __enter__(self) -> ClipWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.discard()

    def write(self, frame: Frame) -> None:
        """Add a frame. The first one is at time 0 of the clip; one that is not later than the one before is left out.

        Raises:
            RecordError: the disk is full, or gone.
        """
        if self._first is None:
            self._first = frame.time
        stamp = round((frame.time - self._first) * CLOCK)
        if stamp <= self._last:
            return
        self._last = stamp
        picture = self._av.VideoFrame.from_ndarray(self._cropped(frame.image_HWC), format="rgb24")
        picture = picture.reformat(width=self._width, height=self._height, format="yuv420p")
        picture.pts, picture.time_base = stamp, Fraction(1, CLOCK)
        try:
            for packet in self._stream.encode(picture):
                self._container.mux(packet)
        except (self._av.FFmpegError, OSError) as error:
            raise self._cannot(error) from None

    def end(self) -> None:
        """No more frames come: the file is made complete.

        Raises:
            RecordError: as `write`.
        """
        if self._container is None:
            return
        container, self._container = self._container, None
        try:
            for packet in self._stream.encode():
                container.mux(packet)
            container.close()
        except (self._av.FFmpegError, OSError) as error:
            raise self._cannot(error) from None

    def keep(self, signer: str) -> Path:
        """Give the clip a name, SIGNER_NNN.mp4 with the number after the highest one there is; where it is now.

        Raises:
            RecordError: as `write`.
        """
        self.end()
        number = next_number(self._folder, signer)
        try:
            while True:
                path = self._folder / f"{signer}_{number:03d}.mp4"
                if _renamed(self._part, path):
                    return path
                number += 1
        except OSError as error:
            raise self._cannot(error) from None

    def discard(self) -> None:
        """Forget the clip, unless it has been kept. Doing so twice is no mistake."""
        if self._container is not None:
            container, self._container = self._container, None
            try:
                container.close()
            except (self._av.FFmpegError, OSError):
                # The disk is full, or gone: what could not be written is thrown away here in any case.
                del container
        self._part.unlink(missing_ok=True)

    def _encoder(self, rate: Fraction) -> Any:
        x264 = "libx264" in self._av.codecs_available
        stream = self._container.add_stream("libx264" if x264 else "mpeg4", rate=rate, options=_X264 if x264 else {})
        stream.width, stream.height, stream.pix_fmt = self._width, self._height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, CLOCK)
        if not x264:
            stream.bit_rate = round(_MPEG4_BITS_PER_PIXEL * self._width * self._height * float(rate))
        return stream

    def _cropped(self, image_HWC: Image) -> Image:
        height, width, _ = image_HWC.shape
        if height - self._height in (0, 1) and width - self._width in (0, 1):
            return image_HWC[: self._height, : self._width].copy()  # PyAV wants it in one piece
        return image_HWC

    def _cannot(self, error: Exception) -> RecordError:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        return RecordError(
            f"{self._folder}: the clip cannot be written ({reason}): make room, or choose another place with --folder"
        )


def next_number(folder: Path, signer: str) -> int:
    """One more than the highest number of this signer's files in the folder, of whatever kind they are."""
    own = re.compile(rf"{re.escape(signer)}_(\d+)\..+", re.IGNORECASE)
    found = (own.fullmatch(path.name) for path in folder.iterdir())
    return 1 + max((int(match[1]) for match in found if match), default=0)


def _renamed(part: Path, path: Path) -> bool:
    """Give the part its name unless there is a file of that name; then false."""
    try:
        os.link(part, path)
    except FileExistsError:
        return False
    except OSError:
        # A file system without links, such as that of memory cards.
        if path.exists():
            return False
        os.rename(part, path)
        return True
    part.unlink()
    return True
