"""Sound, wherever it comes from, as mono float32 samples at the rate that is asked for.

Reads what libsndfile reads (wav, flac, ogg, opus, mp3, aiff, ...), with PyAV also m4a, mp4 and webm; arrays, open
files and standard input too. Everything goes through `blocks`: reading a file whole is putting its blocks together, so
what is trained on, what is read and what is streamed cannot differ by a bit.
"""

from __future__ import annotations

import math
import os
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soxr

from features.archive import Member
from features.audio_decoder import FileReader, NotRecognised
from features.audio_header import examine
from features.audio_source import AudioError, ByteView, display_name, open_source, reason
from features.containers import SUFFIXES as CONTAINER_SUFFIXES
from features.containers import ContainerReader, is_container
from features.samples import ArrayReader, Reader, check, check_format, check_rate, mix_down, mono, to_float32

__all__ = ["SUFFIXES", "AudioError", "AudioInfo", "Resampler", "Source", "blocks", "info", "mono", "read", "write"]

# A path ("-" is standard input), a file in an archive, a file open for reading bytes, or samples (S,) or (S, channels)
# with their rate in Hz.
Source = str | Path | Member | BinaryIO | tuple[np.ndarray, int]

# By which sound files are found in a folder; a file that is named itself is judged by its content.
SUFFIXES = CONTAINER_SUFFIXES | frozenset(
    {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".caf", ".rf64", ".w64", ".sph"}
)


@dataclass(frozen=True)
class AudioInfo:
    """What a sound is like before it is read.

    Attributes
    ----------
    rate : int
        Samples a second in each channel, in Hz.
    channels : int
        1 to 8.
    frames : int or None
        Samples in each channel; None where the file does not say (an encoder wrote it to a pipe; an mp3 without a
        length). Of m4a, mp4 and webm it is right to within a few hundredths of a second.
    """

    rate: int
    channels: int
    frames: int | None

    @property
    def duration(self) -> float | None:
        """Length in seconds, None where `frames` is None."""
        return None if self.frames is None else self.frames / self.rate


def info(source: Source) -> AudioInfo:
    """Rate, channels and length of a sound, from its header.

    Raises
    ------
    AudioError
        As `blocks`, but for what only shows when the samples are decoded.
    """
    with _open(source) as (reader, _):
        return AudioInfo(reader.rate, reader.channels, reader.frames)


def files_in(folder: Path) -> list[Path]:
    """Sound files in a folder and below it, by their suffix, sorted; hidden ones are none.

    A link to what is not there is one too: whoever opens it says that it cannot be read.

    Raises:
        OSError: the folder cannot be read.
    """
    os.scandir(folder).close()  # rglob passes over a folder that it may not read
    # The Finder of macOS leaves ._a.wav beside a.wav on foreign disks.
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and (path.is_file() or not path.exists())
    )


def read(
    source: Source, *, rate: int | None = None, start: float = 0.0, duration: float | None = None
) -> tuple[np.ndarray, int]:
    """A sound, or a part of it, as one array.

    Parameters are those of `blocks`.

    Returns
    -------
    samples_S : np.ndarray
        Mono float32 in [-1, 1]; empty if the file holds no samples or the part lies behind its end.
    rate : int
        `rate`, or the sound's own if that is None.

    Raises
    ------
    AudioError
        As `blocks`.
    """
    with _open(source) as (reader, name):
        pieces = list(_blocks(reader, name, rate=rate, start=start, duration=duration, block_seconds=10.0))
        samples = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
        return samples, reader.rate if rate is None else rate


def blocks(
    source: Source,
    *,
    rate: int | None = None,
    start: float = 0.0,
    duration: float | None = None,
    block_seconds: float = 10.0,
) -> Iterator[np.ndarray]:
    """A sound, or a part of it, block by block: the memory needed does not grow with its length.

    Several channels are mixed down by their mean; integer formats are scaled to [-1, 1]. The part that is asked for is
    cut out to the sample, and then resampled. What lies before it is skipped where that is exact (wav, flac and the
    like), and decoded and dropped elsewhere (ogg, opus, mp3, m4a, ...).

    Parameters
    ----------
    source
        Path, "-" for standard input, file in an archive, open binary file (it is read from where it stands, and put
        back there), or a tuple of samples and rate. Standard input is kept in a temporary file, so it may be asked
        about and then read.
    rate : int, optional
        Resample to this rate in Hz (soxr, high quality); None keeps the sound's own.
    start, duration : float
        Seconds from the beginning, and seconds to read; None reads to the end. Parts that adjoin share no sample and
        leave none out.
    block_seconds : float
        Length of a block in seconds, before resampling. It has no influence on the samples.

    Yields
    ------
    samples_S : np.ndarray
        Mono float32, never empty.

    Raises
    ------
    AudioError
        While iterating, with one line that names the file: it is missing, a folder, empty, without permission, no
        sound, cut short or damaged, has NaN or infinite samples, more than 8 channels, or a rate outside 8 to 192 kHz.
    """
    with _open(source) as (reader, name):
        yield from _blocks(reader, name, rate=rate, start=start, duration=duration, block_seconds=block_seconds)


class Resampler:
    """Changes the rate of samples that arrive in blocks (soxr, high quality).

    Pushed in blocks of any sizes the result equals that of the whole bit for bit; it lags behind by the length of the
    filter until `flush`. With equal rates the samples pass through.
    """

    def __init__(self, from_rate: int, to_rate: int) -> None:
        for rate in (from_rate, to_rate):
            check_rate(rate, name="resampling")
        self._stream = None if from_rate == to_rate else soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32")

    def push(self, samples_S: np.ndarray) -> np.ndarray:
        """Samples that can be had now, float32; there may be none."""
        samples = np.ascontiguousarray(samples_S, dtype=np.float32)
        return samples if self._stream is None else self._stream.resample_chunk(samples)

    def flush(self) -> np.ndarray:
        """The samples still owed at the end of the sound; afterwards the resampler is ready for another one."""
        rest = np.zeros(0, np.float32)
        if self._stream is not None:
            rest = self._stream.resample_chunk(rest, last=True)
            self._stream.clear()
        return rest


def write(path: str | Path, samples_S: np.ndarray, rate: int) -> None:
    """Write mono samples as a 16-bit wav; what lies outside [-1, 1] is clipped.

    The file is written beside and then renamed: nobody ever finds half of it. Samples read from a 16-bit file and
    written again are the same.

    Raises
    ------
    AudioError
        The samples are not (S,) or not finite, or the file cannot be written (no such folder, no permission, full
        disk).
    """
    path = Path(path)
    name = display_name(path)
    samples = to_float32(np.asarray(samples_S))
    if samples.ndim != 1:
        raise AudioError(f"{name}: samples of shape {samples.shape} cannot be written: give mono samples (S,)")
    check_rate(rate, name=name)
    check(samples[:, None], name=name, first_frame=0, rate=rate)
    pcm = np.clip(np.rint(samples.astype(np.float64) * 32768), -32768, 32767).astype("<i2")
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            with open(beside, "wb") as file, wave.open(file) as target:
                target.setnchannels(1)
                target.setsampwidth(2)
                target.setframerate(rate)
                target.writeframes(pcm.tobytes())
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise AudioError(f"{name}: cannot be written: {reason(error)}: choose another place") from None


@contextmanager
def _open(source: Source) -> Iterator[tuple[Reader, str]]:
    """The reader of a source, and how messages name it."""
    if isinstance(source, tuple):
        name, reader = "the array", ArrayReader(*source)
        check_format(name=name, rate=reader.rate, channels=reader.channels)
        yield reader, name
        return
    source = source.open() if isinstance(source, Member) else source
    name = display_name(source)
    with open_source(source) as view:
        reader = _decoder(view, name)
        try:
            check_format(name=name, rate=reader.rate, channels=reader.channels)
            yield reader, name
        finally:
            reader.close()


def _decoder(view: ByteView, name: str) -> Reader:
    length_known = examine(view, name=name)
    try:
        return FileReader(view, name=name, length_known=length_known)
    except NotRecognised:
        if is_container(view, name):
            return ContainerReader(view, name=name)
    what = "is a text file, not sound" if _is_text(view) else "is not a sound file of a known format"
    raise AudioError(f"{name}: {what}: give a sound file, or convert it with `ffmpeg -i IN OUT.wav`") from None


def _is_text(view: ByteView) -> bool:
    head = view.bytes_at(0, 512).decode("utf-8", errors="replace").rstrip("\ufffd")
    return all(character.isprintable() or character.isspace() for character in head)


def _blocks(
    reader: Reader, name: str, *, rate: int | None, start: float, duration: float | None, block_seconds: float
) -> Iterator[np.ndarray]:
    """Mono blocks at the rate asked for."""
    if not (math.isfinite(start) and start >= 0):
        raise AudioError(f"{name}: cannot be read from {start} s on: give a start of 0 or more")
    if duration is not None and not (math.isfinite(duration) and duration >= 0):
        raise AudioError(f"{name}: cannot be read for {duration} s: give a duration of 0 or more")
    if not (math.isfinite(block_seconds) and block_seconds > 0):
        raise AudioError(f"{name}: cannot be read in blocks of {block_seconds} s: give more than 0")
    resampler = Resampler(reader.rate, reader.rate if rate is None else rate)
    first = _frame_at(start, reader.rate)
    last = None if duration is None else _frame_at(start + duration, reader.rate)
    for samples in _mono(reader, name, first, last, max(1, round(block_seconds * reader.rate))):
        resampled = resampler.push(samples)
        if len(resampled):
            yield resampled
    rest = resampler.flush()
    if len(rest):
        yield rest


def _frame_at(seconds: float, rate: int) -> int:
    """The nearest frame. Halves go up whatever the last bit of a sum of seconds is, so that parts adjoin."""
    return math.floor(round(seconds * rate, 3) + 0.5)


def _mono(reader: Reader, name: str, first: int, last: int | None, block: int) -> Iterator[np.ndarray]:
    """The frames [first, last) of a reader, checked and mixed down, `block` at a time."""
    position = reader.seek(first)
    while last is None or position < last:
        end = first if position < first else last
        count = block if end is None else min(block, end - position)
        samples_SC = reader.read(count)
        if position >= first and len(samples_SC):
            check(samples_SC, name=name, first_frame=position, rate=reader.rate)
            yield mix_down(samples_SC)
        position += len(samples_SC)
        if len(samples_SC) < count:
            return
