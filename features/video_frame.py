"""What every source of pictures hands out, and the error that each raises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt


class VideoError(ValueError):
    """Pictures that cannot be had. The message is one line; it names the source and says what to do."""


class Frame(NamedTuple):
    """One picture.

    Attributes:
        image_HWC: (height, width, 3) uint8 RGB, upright, with square pixels, in one piece of memory.
        time: Seconds from the first frame of the source, which has 0.
    """

    image_HWC: npt.NDArray[np.uint8]
    time: float


class Source(Protocol):
    """A file or a camera, opened. It is read by one thread.

    The attributes are those of `features.video.Video`; `skipped` counts the places that could not be decoded.
    """

    name: str
    size: tuple[int, int]
    rate: float | None
    duration: float | None
    truncated: bool
    skipped: int

    def frames(self) -> Iterator[Frame]:
        """The frames, each once; a VideoError after the last one says what went wrong."""
        ...

    def close(self) -> None: ...


def shown(name: str) -> str:
    """How messages name a source: on one line, whatever the name holds."""
    return name if name.isprintable() else ascii(name)
