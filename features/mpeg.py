"""How long an mp3 file is, for libsndfile's sake.

The frames of an mp3 file follow one another without a count. Encoders put one into an otherwise silent first frame, the
Xing tag. Where it is missing, libsndfile guesses from the bit rate of the first frame, and with a variable bit rate it
then stops long before the end. Such files are shown to it with a tag that promises more frames than there can be:
it then reads to the end of the file. The same is done where several mp3 files were joined (`cat *.mp3`), since the tag
of the first speaks for the first alone.

Frame header and tag: ISO/IEC 11172-3 and 13818-3; the Xing tag as LAME writes it.
"""

from __future__ import annotations

from typing import NamedTuple

from features.audio_source import ByteView

_BIT_RATES = {  # kbit/s of layer III, by the version bit
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    0: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # by version: 1, 2, 2.5

# No frame is shorter than this many bytes.
_SHORTEST_FRAME = 24


class _Frame(NamedTuple):
    length: int  # bytes
    tag_at: int  # where a Xing tag stands, counted from the header


def repair_mp3(view: ByteView) -> bool:
    """Give libsndfile a frame count where the file has none that covers it; returns whether its own can be believed."""
    start = _skip_id3(view)
    header = view.bytes_at(start, 4)
    frame = _parse(header)
    if frame is None:
        return header == b"fLaC"  # flac may stand behind a tag of mp3, and knows its length
    body = view.bytes_at(start, frame.length)
    if body[36:40] == b"VBRI":
        return True
    limit = min(view.size // _SHORTEST_FRAME + 2, 0x7FFFFFFF).to_bytes(4, "big")
    for tag_at in (frame.tag_at, frame.tag_at + 2):  # behind a checksum, if there is one
        if body[tag_at : tag_at + 4] not in (b"Xing", b"Info"):
            continue
        flags = body[tag_at + 7] if len(body) > tag_at + 16 else 0
        has_count, has_bytes = flags & 1, flags & 2
        if not has_count:
            break
        count = int.from_bytes(body[tag_at + 8 : tag_at + 12], "big")
        promised = int.from_bytes(body[tag_at + 12 : tag_at + 16], "big") if has_bytes else 0
        if count and not (promised and _goes_on(view, start + promised)):
            return True
        view.splice(start + tag_at + 8, 4, limit)
        return False
    # The same kind of frame at the highest bit rate, which leaves room, without checksum and with nothing but the tag.
    longest = bytes((header[0], header[1] | 1, 14 << 4 | header[2] & 0x0C, header[3]))
    silent = _parse(longest)
    assert silent is not None
    tag = b"Xing" + (1).to_bytes(4, "big") + limit
    view.splice(start, 0, (longest + bytes(silent.tag_at - 4) + tag).ljust(silent.length, b"\0"))
    return False


def _goes_on(view: ByteView, position: int) -> bool:
    """Whether a frame of another mp3 file stands where the stream should end, behind the tags of either."""
    if view.bytes_at(position, 3) == b"TAG":
        position += 128
    return _parse(view.bytes_at(_skip_id3(view, position), 4)) is not None


def _skip_id3(view: ByteView, position: int = 0) -> int:
    """Where the next frame stands: behind any ID3v2 tags."""
    for _ in range(16):
        head = view.bytes_at(position, 10)
        if len(head) < 10 or head[:3] != b"ID3":
            break
        length = 0
        for byte in head[6:10]:
            length = length << 7 | byte & 0x7F
        position += 10 + length + (10 if head[5] & 0x10 else 0)
    return position


def _parse(header: bytes) -> _Frame | None:
    """Length and tag position of a frame of layer III, None if its header is not one, or of free format."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return None
    version, bit_rate, rate = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or bit_rate in (0, 15) or rate == 3:
        return None
    full = version == 3
    length = (144 if full else 72) * 1000 * _BIT_RATES[full][bit_rate] // _RATES[version][rate] + (header[2] >> 1 & 1)
    mono = header[3] >> 6 == 3
    side_info = (17 if mono else 32) if full else (9 if mono else 17)
    return _Frame(length, 4 + side_info)
