"""Sound in the containers that libsndfile does not read (m4a, mp4, webm and their like), through PyAV.

PyAV carries FFmpeg, and is an extra of the installation: it is imported only for such a file. Time 0 is the first
sample of the sound track, also where the pictures begin earlier. Frames are decoded from the start, since seeking by
timestamps is not exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

import numpy as np

from features.audio_source import AudioError, ByteView
from features.samples import to_float32

# FFmpeg would also open playlists, which name further files and addresses: only these are ever opened.
_DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac,amr,asf,avi"
SUFFIXES = frozenset(
    {".m4a", ".m4b", ".mp4", ".mov", ".3gp", ".webm", ".mkv", ".mka", ".aac", ".amr", ".wma", ".asf", ".avi"}
)


def is_container(view: ByteView, name: str) -> bool:
    """Whether the suffix or the first bytes are those of a container that PyAV may be asked to open."""
    head = view.bytes_at(0, 16)
    return (
        PurePath(name).suffix.lower() in SUFFIXES
        or head[4:8] == b"ftyp"  # mp4, m4a, mov, 3gp
        or head[:4] == b"\x1aE\xdf\xa3"  # matroska, webm
        or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0)  # aac
        or head[:5] == b"#!AMR"
        or head[:4] == b"\x30\x26\xb2\x75"  # asf, wma
        or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
    )


class ContainerReader:
    """The samples of the first sound track of a container; see `features.samples.Reader`.

    Raises
    ------
    AudioError
        PyAV is not installed, the file is damaged, or it has no sound.
    """

    def __init__(self, view: ByteView, *, name: str) -> None:
        try:
            import av
        except ImportError:
            raise AudioError(f"{name}: needs PyAV to be read: pip install 'saywave[video]'") from None
        self._name = name
        # FFmpeg's own errors, and those of PyAV about what it cannot represent.
        self._errors = (av.FFmpegError, ValueError, OverflowError)
        self._position = 0
        self._pending = np.zeros((0, 1), np.float32)
        view.seek(0)
        try:
            self._container = av.open(view, options={"format_whitelist": _DEMUXERS}, metadata_errors="replace")
        except self._errors:
            raise AudioError(f"{name}: is not a sound file, or is damaged: export it again as wav or flac") from None
        try:
            self._start()
        except AudioError:
            self._container.close()
            raise

    def seek(self, frame: int) -> int:
        """See `Reader.seek`: always stays at the start."""
        return self._position

    def read(self, count: int) -> np.ndarray:
        pieces, have = [self._pending], len(self._pending)
        while have < count:
            decoded = next(self._decoded, None)
            if decoded is None:
                break
            rate, samples_SC = decoded
            if (rate, samples_SC.shape[1]) != (self.rate, self.channels):
                raise AudioError(
                    f"{self._name}: changes its rate or channels at {(self._position + have) / self.rate:.1f} s: "
                    f"export it again as wav or flac"
                )
            pieces.append(samples_SC)
            have += len(samples_SC)
        samples = np.concatenate(pieces)
        self._pending = samples[count:]
        self._position += min(count, len(samples))
        return samples[:count]

    def close(self) -> None:
        self._container.close()

    def _start(self) -> None:
        if not self._container.streams.audio:
            raise AudioError(f"{self._name}: has no sound track: give a file that has one")
        stream = self._container.streams.audio[0]
        if stream.codec_context is None:
            raise AudioError(f"{self._name}: has sound in an unknown codec: export it again as wav or flac")
        self.rate = int(stream.codec_context.sample_rate or 0)
        self.channels = int(stream.codec_context.channels or 0)
        self._decoded = self._decode(stream)
        # The header of some codecs (HE-AAC) gives half the rate: the first decoded frame says what it is.
        first = next(self._decoded, None)
        if first is not None:
            self.rate, self._pending = first
            self.channels = self._pending.shape[1]
        self.frames = self._length(stream)

    def _length(self, stream: Any) -> int | None:
        """Frames by the header: right to within a frame of the codec."""
        if stream.duration is not None and stream.time_base is not None:
            return round(stream.duration * stream.time_base * self.rate)
        if self._container.duration is not None:
            return round(self._container.duration * self.rate / 1_000_000)
        return None

    def _decode(self, stream: Any) -> Iterator[tuple[int, np.ndarray]]:
        """Rate and samples (S, channels) of each frame of the codec."""
        done = 0
        try:
            for frame in self._container.decode(stream):
                samples = frame.to_ndarray()
                samples_SC = samples.T if frame.format.is_planar else samples.reshape(frame.samples, -1)
                done += len(samples_SC)
                yield int(frame.sample_rate), to_float32(samples_SC)
        except self._errors:
            seconds = done / self.rate if self.rate else 0.0
            raise AudioError(
                f"{self._name}: is cut short or damaged after {seconds:.1f} s: copy or record it again"
            ) from None
