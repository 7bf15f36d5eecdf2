"""Whether a video file has been cut short, from the lengths that it gives itself.

FFmpeg reads to the end of what is there and often says nothing. But the parts of mp4, webm and avi files say how long
they are, and the last one of a whole file ends where the file ends.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import BinaryIO

_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067


def cut_short(file: BinaryIO) -> bool:
    """Whether a part of the file reaches beyond its end; never so for formats that do not say (mpeg, ts, ogg).

    Raises:
        OSError: the file cannot be read.
    """
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(12)
    step: Callable[[BinaryIO, int, int], int | None]
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip"):
        step = _after_box
    elif head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        step = _after_chunk
    elif head[:4] == _EBML.to_bytes(4, "big"):
        step = _after_element
    else:
        return False
    at: int | None = 0
    while at is not None and at < size:
        at = step(file, at, size)
    return at is not None and at > size


def _after_box(file: BinaryIO, at: int, size: int) -> int | None:
    """Where a box of an mp4 or mov ends; None where nothing follows that could be judged."""
    file.seek(at)
    head = file.read(16)
    if len(head) < 8:
        return None  # a few bytes behind the last box: some cameras leave them
    (length,) = struct.unpack_from(">I", head)
    if length == 1 and len(head) == 16:
        (length,) = struct.unpack_from(">Q", head, 8)
    if length < 8 or not head[4:8].isalnum():
        return None  # "to the end of the file", or no box at all
    return at + length


def _after_chunk(file: BinaryIO, at: int, size: int) -> int | None:
    file.seek(at)
    head = file.read(8)
    if head[:4] != b"RIFF" or len(head) < 8:
        return None
    (length,) = struct.unpack_from("<I", head, 4)
    # An encoder that could not go back to write the length leaves 0 or -1.
    return at + 8 + length if 0 < length < 0xFFFFFFFF else None


def _after_element(file: BinaryIO, at: int, size: int) -> int | None:
    file.seek(at)
    identifier, id_size = _variable(file.read(4), keep_marker=True)
    file.seek(at + id_size)
    length, length_size = _variable(file.read(8), keep_marker=False)
    unknown = length == (1 << 7 * length_size) - 1  # as a stream is written, before its length is known
    if identifier not in (_EBML, _SEGMENT) or unknown or not length_size:
        return None
    return at + id_size + length_size + length


def _variable(data: bytes, *, keep_marker: bool) -> tuple[int, int]:
    """A number of Matroska, whose leading zero bits say how many bytes it has, and that many; (0, 0) if it is none."""
    if not data or not data[0]:
        return 0, 0
    count = 9 - data[0].bit_length()
    value = int.from_bytes(data[:count], "big")
    return (value if keep_marker else value - (1 << 7 * count)), count
