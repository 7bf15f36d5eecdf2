"""Sound written down while it comes, whole at every moment: what a crash leaves behind can be read up to there."""

from __future__ import annotations

import wave
from contextlib import suppress
from pathlib import Path

import numpy as np

from features.audio_source import AudioError, reason
from features.samples import check_rate

# A wav file counts its bytes in 32 bits.
LARGEST_BYTES = 2**32 - 2**20


class Recording:
    """A 16-bit mono wav file that grows; after 4 GB it goes on in NAME-2.wav, NAME-3.wav, ...

    Use it as a context manager. A file that is there already is not written over.

    Args:
        path: The file.
        rate: Samples a second.
        largest: Bytes after which the next file begins.

    Raises:
        AudioError: the file is there already, cannot be written, or is not named .wav.
    """

    def __init__(self, path: str | Path, rate: int, *, largest: int = LARGEST_BYTES):
        self._path = Path(path)
        check_rate(rate, name=str(path))
        if self._path.suffix.lower() != ".wav":
            raise AudioError(f"{path}: sound is recorded as wav: give a name that ends in .wav")
        self._rate = rate
        self._largest = largest
        self._number = 1
        self._open(self._path)

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *exception: object) -> None:
        self._close()

    def write(self, samples_S: np.ndarray) -> None:
        """Add samples in [-1, 1]; what lies outside is clipped.

        Raises:
            AudioError: they cannot be written, as on a full disk; the file holds what came before.
        """
        pcm = np.clip(np.rint(samples_S.astype(np.float64) * 32768), -32768, 32767).astype("<i2").tobytes()
        try:
            if self._written + len(pcm) > self._largest and self._written:
                self._close()
                self._number += 1
                self._open(self._path.with_stem(f"{self._path.stem}-{self._number}"))
            # Writes the length into the header too, each time.
            self._wave.writeframes(pcm)
            self._file.flush()
        except OSError as error:
            raise AudioError(f"{self._path}: cannot be recorded to: {reason(error)}: choose another place") from None
        self._written += len(pcm)

    def _open(self, path: Path) -> None:
        try:
            self._file = open(path, "xb")  # noqa: SIM115 (closed by _close)
        except FileExistsError:
            raise AudioError(f"{path}: is there already: give another name, or remove it") from None
        except OSError as error:
            raise AudioError(f"{path}: cannot be recorded to: {reason(error)}: choose another place") from None
        try:
            self._wave = wave.open(self._file, "wb")  # noqa: SIM115
            self._wave.setnchannels(1)
            self._wave.setsampwidth(2)
            self._wave.setframerate(self._rate)
            # The header at once: what was killed before its first sample has left a sound of length 0.
            self._wave.writeframes(b"")
            self._file.flush()
        except OSError as error:
            with suppress(AudioError):  # it fails for the same reason
                self._close()
            path.unlink()
            raise AudioError(f"{path}: cannot be recorded to: {reason(error)}: choose another place") from None
        self._written = 0

    def _close(self) -> None:
        try:
            try:
                self._wave.close()
            finally:
                self._file.close()
        except OSError as error:
            raise AudioError(f"{self._path}: cannot be recorded to: {reason(error)}: choose another place") from None
