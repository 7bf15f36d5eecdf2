"""Raw samples from a pipe, as `arecord -t raw`, `sox ... -t raw -` or `ffmpeg -f s16le -` write them.

There is no header: whoever reads has to know the rate, the type and the number of channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from features.audio_source import AudioError
from features.samples import check, check_format, mix_down, to_float32

# By the names that people use for them: little-endian, as such programs write by default.
TYPES = {"int16": "<i2", "int32": "<i4", "float32": "<f4", "uint8": "u1"}
# How sound files begin, which as raw samples would be noise.
FILES = (b"RIFF", b"RF64", b"fLaC", b"OggS", b"ID3")


def raw_blocks(
    file: BinaryIO, *, rate: int, dtype: str = "int16", channels: int = 1, block_seconds: float = 0.05
) -> Iterator[np.ndarray]:
    """Mono float32 blocks (S,) of what comes through a pipe, as soon as it comes, until it is closed.

    Args:
        file: An open pipe or file; anything unbuffered or with `read1`.
        rate: Samples a second in each channel.
        dtype: One of `TYPES`.
        channels: Interleaved channels, of which the mean is taken.
        block_seconds: The longest block.

    Raises:
        AudioError: type, rate or channels are out of range (before anything is read); while iterating: a sample is not
            finite, it is a sound file, or the pipe ends within a sample.
    """
    if dtype not in TYPES:
        raise AudioError(f"the pipe: samples of type {dtype} are not known: choose one of {', '.join(TYPES)}")
    check_format(name="the pipe", rate=rate, channels=channels)
    return _blocks(file, rate=rate, dtype=dtype, channels=channels, block_seconds=block_seconds)


def _blocks(file: BinaryIO, *, rate: int, dtype: str, channels: int, block_seconds: float) -> Iterator[np.ndarray]:
    size = np.dtype(TYPES[dtype]).itemsize * channels
    most = max(1, round(block_seconds * rate)) * size
    read = getattr(file, "read1", file.read)
    held, frames = b"", 0
    while data := read(most - len(held)):
        held += data
        whole = len(held) // size * size
        if not whole:
            continue
        if frames == 0 and held.startswith(FILES):
            raise AudioError("the pipe: holds a sound file, not raw samples: give it to `asr transcribe - --streaming`")
        samples_SC = to_float32(np.frombuffer(held[:whole], dtype=TYPES[dtype]).reshape(-1, channels))
        held = held[whole:]
        check(samples_SC, name="the pipe", first_frame=frames, rate=rate)
        frames += len(samples_SC)
        yield mix_down(samples_SC)
    if held:
        raise AudioError(
            f"the pipe: ends within a sample ({len(held)} bytes of {size} are left): "
            f"check that it holds {dtype} in {channels} channels"
        )
