"""Sound files through libsndfile: wav, flac, ogg, opus, mp3, aiff and more."""

from __future__ import annotations

from typing import NoReturn

import numpy as np
import soundfile

from features.audio_source import AudioError, ByteView
from features.quiet import quiet_c_stderr

# Some encoders count the frame that holds the count among those of sound: so many samples may be missing from an mp3.
_MP3_SLACK = 1152

# libsndfile's SFE_UNRECOGNISED_FORMAT, and what its mp3 reader says when it finds no frame.
_NOT_RECOGNISED = (1, 7)


class NotRecognised(Exception):
    """libsndfile knows no such format."""


class _Decoder(soundfile.SoundFile):
    def seekable(self) -> bool:
        """Keeps soundfile from seeking to the place where it is after each read: lossy decoders lose their state."""
        return False


class FileReader:
    """The samples of a file that libsndfile decodes; see `features.samples.Reader`.

    `length_known` says whether the number of frames in the header can be believed.

    Raises
    ------
    NotRecognised
        The file is in no format that libsndfile knows.
    AudioError
        It is in one, but cannot be decoded.
    """

    def __init__(self, view: ByteView, *, name: str, length_known: bool) -> None:
        view.seek(0)
        try:
            with quiet_c_stderr():
                self._file = _Decoder(view)
        except soundfile.LibsndfileError as error:
            if error.code in _NOT_RECOGNISED:
                raise NotRecognised from None
            raise AudioError(
                f"{name}: has a damaged header, or a codec that cannot be decoded ({_what(error)}): "
                f"export it again as wav or flac"
            ) from None
        self._name = name
        self._lossy = self._file.format == "OGG" or self._file.subtype.startswith("MPEG")
        self._slack = _MP3_SLACK if self._file.subtype.startswith("MPEG") else 0
        self._position = 0
        self.rate: int = self._file.samplerate
        self.channels: int = self._file.channels
        # libsndfile's word for "unknown" (a flac encoder that wrote to a pipe) is the largest number.
        self.frames: int | None = self._file.frames if length_known and self._file.frames < 1 << 62 else None

    def seek(self, frame: int) -> int:
        """See `Reader.seek`. Lossy formats stay at the start: libsndfile's seeking in them is not exact."""
        if frame > self._position and not self._lossy and self.frames is not None:
            try:
                self._position = self._file.seek(min(frame, self.frames))
            except soundfile.SoundFileError as error:
                self._fail(error)
        return self._position

    def read(self, count: int) -> np.ndarray:
        try:
            with quiet_c_stderr():
                samples = self._file.read(count, dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            self._fail(error)
        self._position += len(samples)
        if len(samples) < count and self.frames is not None and self._position + self._slack < self.frames:
            raise AudioError(
                f"{self._name}: is cut short or damaged: it ends at {self._position / self.rate:.1f} s "
                f"of {self.frames / self.rate:.1f} s: copy or record it again"
            )
        return samples

    def close(self) -> None:
        self._file.close()

    def _fail(self, error: soundfile.SoundFileError) -> NoReturn:
        raise AudioError(
            f"{self._name}: is cut short or damaged after {self._position / self.rate:.1f} s ({_what(error)}): "
            f"copy or record it again"
        ) from None


def _what(error: soundfile.SoundFileError) -> str:
    text = error.error_string if isinstance(error, soundfile.LibsndfileError) else str(error)
    return text.strip().split("\n")[0].rstrip(".")
