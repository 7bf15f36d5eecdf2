"""Reads from a sound file's structure whether all of it is there.

libsndfile and FFmpeg take what they find, so that half a recording would be transcribed as if it were whole. Here the
lengths that the containers promise are compared with the bytes that are there. Encoders that write to a pipe cannot go
back to fill in a length and leave 0, 0xFFFFFFFF or a number near 2 GiB: that means "unknown", and all there is is read.
"""

from __future__ import annotations

import math
import re

from features.audio_source import AudioError, ByteView
from features.mpeg import repair_mp3

# A page of Ogg has at most 65,307 bytes; tags may follow the last one.
_OGG_TAIL = 1 << 17
_MAX_CHUNKS = 100_000
_SPHERE_HEADER = 1 << 16


def examine(view: ByteView, *, name: str) -> bool:
    """Check that a file is all there, and patch a length that its writer could not fill in.

    Returns whether the number of samples that its header gives can be believed.

    Raises
    ------
    AudioError
        The file ends before its container does.
    """
    head = view.bytes_at(0, 16)
    if head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:12] == b"WAVE":
        _wave(view, name=name)
    elif head[:4] == b"FORM" and head[8:11] == b"AIF":
        _aiff(view, name=name)
    elif head[:4] in (b".snd", b"dns."):
        order = "big" if head[:4] == b".snd" else "little"
        _compare(int.from_bytes(head[4:8], order), int.from_bytes(head[8:12], order), view.size, name=name)
    elif head[:8] == b"NIST_1A\n":
        _sphere(view, name=name)
    elif head[:4] == b"OggS":
        _ogg(view, name=name)
    elif head[4:8] == b"ftyp":
        _mp4(view, name=name)
    elif head[:4] == b"\x1aE\xdf\xa3":
        _matroska(view, name=name)
    elif head[:3] == b"ID3" or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0):
        return repair_mp3(view)
    return True


def _is_unknown(promised: int) -> bool:
    """Whether a 32-bit length is one that encoders write when they do not know it: 0, near 2 GiB or near 4 GiB."""
    return promised == 0 or 0x7FFF0000 <= promised <= 0x80010000 or promised >= 0xFFFF0000


def _compare(start: int, promised: int, size: int, *, name: str) -> None:
    if start + promised > size and not _is_unknown(promised):
        _cut_short(name, f"has {max(0, size - start):,} of the {promised:,} bytes of sound that it promises")


def _cut_short(name: str, what: str) -> None:
    raise AudioError(f"{name}: is cut short: it {what}: copy or record it again")


def _wave(view: ByteView, *, name: str) -> None:
    order = "big" if view.bytes_at(0, 4) == b"RIFX" else "little"
    long_length: int | None = None
    position = 12
    for _ in range(_MAX_CHUNKS):
        header = view.bytes_at(position, 8)
        if len(header) < 8:
            return  # without a data chunk: libsndfile says so
        kind, length = header[:4], int.from_bytes(header[4:], order)
        start = position + 8
        if kind == b"ds64":
            long_length = int.from_bytes(view.bytes_at(start + 8, 8), "little")
        if kind == b"data":
            break
        position = start + length + length % 2
    else:
        return
    there = view.size - start
    if length == 0xFFFFFFFF and long_length is not None:
        if not _is_unknown(long_length) and long_length < 1 << 63:
            _compare(start, long_length, view.size, name=name)
    elif length == 0 and there and not _is_chunk(view, start, order):
        # libsndfile would believe the 0.
        view.splice(position + 4, 4, min(there, 0xFFFFFFFE).to_bytes(4, order))
    elif _is_unknown(length) and there > 0xFFFFFFFF:
        raise AudioError(f"{name}: has more than 4 GiB in a wav of unknown length: convert it to flac")
    else:
        _compare(start, length, view.size, name=name)


def _is_chunk(view: ByteView, position: int, order: str) -> bool:
    """Whether a further chunk stands here, and not samples."""
    header = view.bytes_at(position, 8)
    if len(header) < 8 or not all(0x20 <= byte < 0x7F for byte in header[:4]):
        return False
    return position + 8 + int.from_bytes(header[4:], "big" if order == "big" else "little") <= view.size


def _aiff(view: ByteView, *, name: str) -> None:
    position = 12
    for _ in range(_MAX_CHUNKS):
        header = view.bytes_at(position, 8)
        if len(header) < 8:
            return
        length = int.from_bytes(header[4:], "big")
        if header[:4] == b"SSND":
            _compare(position + 8, length, view.size, name=name)
            return
        position += 8 + length + length % 2


def _sphere(view: ByteView, *, name: str) -> None:
    """NIST SPHERE: the length of the header stands in its second line, then lines `NAME -i VALUE`.

    What is coded otherwise than sample by sample (`pcm,embedded-shorten`) promises no bytes, and libsndfile refuses it.
    """
    line = view.bytes_at(8, 8)
    start = int(line) if line.strip().isdigit() else 0
    head, _, _ = view.bytes_at(16, min(max(0, start - 16), _SPHERE_HEADER)).partition(b"end_head")
    fields = dict(re.findall(rb"^(\w+) -\w+ (\S{1,30})[ \r]*$", head, re.MULTILINE))
    numbers = [fields.get(key, b"1") for key in (b"sample_count", b"sample_n_bytes", b"channel_count")]
    if b"sample_count" in fields and b"," not in fields.get(b"sample_coding", b"") and all(map(bytes.isdigit, numbers)):
        _compare(start, math.prod(map(int, numbers)), view.size, name=name)


def _ogg(view: ByteView, *, name: str) -> None:
    """The last page must be whole and carry the end-of-stream flag, and belong to a stream that began at the start."""
    tail_start = max(0, view.size - _OGG_TAIL)
    tail = view.bytes_at(tail_start, _OGG_TAIL)
    last = tail.rfind(b"OggS")
    page = tail[last : last + 27 + 255] if last >= 0 else b""
    if len(page) < 27 or not page[5] & 4:
        _cut_short(name, "ends without the page that closes an Ogg file")
    segments = page[26]
    if last + 27 + segments + sum(page[27 : 27 + segments]) > len(tail):
        _cut_short(name, "ends within its last Ogg page")
    if page[14:18] not in _ogg_streams(view):
        raise AudioError(
            f"{name}: holds several Ogg recordings one after another, of which only the first would be read: "
            f"join them with `ffmpeg -i IN OUT.ogg`"
        )


def _ogg_streams(view: ByteView) -> set[bytes]:
    """Serial numbers of the streams whose first pages stand at the start of the file."""
    serials: set[bytes] = set()
    position = 0
    while True:
        page = view.bytes_at(position, 27 + 255)
        if len(page) < 27 or page[:4] != b"OggS" or not page[5] & 2:
            return serials
        serials.add(page[14:18])
        position += 27 + page[26] + sum(page[27 : 27 + page[26]])


def _mp4(view: ByteView, *, name: str) -> None:
    position = 0
    for _ in range(_MAX_CHUNKS):
        header = view.bytes_at(position, 16)
        if len(header) < 8:
            return
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length < 8:  # 0: up to the end of the file
            return
        position += length
        if position > view.size:
            _cut_short(name, f"has {view.size:,} of the {position:,} bytes that it promises")


def _matroska(view: ByteView, *, name: str) -> None:
    position = 0
    for _ in range(2):  # the header, then the segment, which is the rest of the file
        head = view.bytes_at(position, 12)
        length, width = _ebml_length(head[4:])
        if length is None:
            return
        position += 4 + width + length
    if position > view.size:
        _cut_short(name, f"has {view.size:,} of the {position:,} bytes that it promises")


def _ebml_length(data: bytes) -> tuple[int | None, int]:
    """A length in EBML's notation and its width in bytes; None if it is unknown."""
    if not data or not data[0]:
        return None, 0
    width = 9 - data[0].bit_length()
    value = int.from_bytes(data[:width], "big") & ((1 << 7 * width) - 1)
    return (None if value == (1 << 7 * width) - 1 else value), width
