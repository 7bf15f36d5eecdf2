"""From what a user names (a path, standard input, an open file) to bytes that the decoders may seek in.

Files are read where they are; what cannot be sought in (standard input, a named pipe, a socket) is first copied to a
temporary file, since most sound formats keep something that the reader needs at their end. `ByteView` is what the
decoders get to see. It never raises, because it is called back from C, where an exception cannot travel.
"""

from __future__ import annotations

import functools
import io
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


class AudioError(ValueError):
    """A sound that cannot be read or written. The message is one line; it names the file and says what to do."""


class ByteView:
    """The bytes of an open file from where it stands, of which one stretch may be replaced without copying the rest.

    A read that fails gives no bytes and keeps the reason in `error`.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._origin = file.tell()
        self._file_size = max(0, file.seek(0, os.SEEK_END) - self._origin)
        self._splice = (0, 0, b"")
        self._position = 0
        self.error: Exception | None = None
        self.restore()

    @property
    def size(self) -> int:
        _, drop, insert = self._splice
        return self._file_size - drop + len(insert)

    def splice(self, at: int, drop: int, insert: bytes) -> None:
        """From now on show `file[:at] + insert + file[at + drop :]`."""
        self._splice = (at, drop, insert)

    def restore(self) -> None:
        """Put the file back to where it stood, so that looking at it does not use it up."""
        if not getattr(self._file, "closed", False):
            self._file.seek(self._origin)

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def read(self, count: int = -1) -> bytes:
        at, drop, insert = self._splice
        pieces = []
        left = self.size - self._position if count < 0 else count
        while left > 0 and self._position < self.size:
            if self._position < at:
                piece = self._read_file(self._position, min(left, at - self._position))
            elif self._position < at + len(insert):
                piece = insert[self._position - at :][:left]
            else:
                piece = self._read_file(self._position - len(insert) + drop, left)
            if not piece:
                break
            pieces.append(piece)
            self._position += len(piece)
            left -= len(piece)
        return b"".join(pieces)

    def _read_file(self, offset: int, count: int) -> bytes:
        try:
            self._file.seek(self._origin + offset)
            return self._file.read(min(count, self._file_size - offset))
        except Exception as error:  # of whatever kind: it would end as a traceback printed by the C interface
            self.error = error
            return b""

    def bytes_at(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes from `offset` on."""
        self.seek(offset)
        return self.read(count)


def display_name(source: object) -> str:
    """How messages name a source: always on one line, whatever characters the file name holds."""
    if isinstance(source, str | Path):
        name = "standard input" if str(source) == "-" else str(source)
    else:
        name = getattr(source, "name", None)
        name = name if isinstance(name, str) else "the open file"
    return name if name.isprintable() else ascii(name)


@contextmanager
def open_source(source: str | Path | BinaryIO) -> Iterator[ByteView]:
    """The bytes of a source, for as long as the context lasts; an open file is left open, at the place it had.

    Raises
    ------
    AudioError
        There is no such file, it is a folder or a device, it is empty, or it may not be read.
    """
    name = display_name(source)
    with _seekable(source, name) as file:
        try:
            view = ByteView(file)
        except (OSError, ValueError) as error:
            raise AudioError(f"{name}: cannot be read: {reason(error)}: copy it to a file first") from None
        if not view.size:
            raise AudioError(f"{name}: is empty (0 bytes): record or copy it again")
        try:
            yield view
        except AudioError:
            if view.error is None:
                raise
        finally:
            view.restore()
        if view.error is not None:
            raise AudioError(f"{name}: cannot be read: {reason(view.error)}: copy it to a file first")


@contextmanager
def _seekable(source: str | Path | BinaryIO, name: str) -> Iterator[BinaryIO]:
    if isinstance(source, str | Path):
        if str(source) == "-":
            yield _standard_input()
            return
        with _open(source, name) as file:
            mode = os.fstat(file.fileno()).st_mode
            if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
                raise AudioError(f"{name}: is a device: give a sound file, or - for standard input")
            if stat.S_ISREG(mode):
                yield file
            else:
                with _spool(file, name) as copy:
                    yield copy
    elif isinstance(source, io.TextIOBase) or not hasattr(source, "read"):
        raise AudioError(f"{name}: is not an open binary file: open it with mode 'rb'")
    elif getattr(source, "closed", False):
        raise AudioError(f"{name}: is closed: open it again")
    elif hasattr(source, "seekable") and source.seekable():
        yield source
    else:
        with _spool(source, name) as copy:
            yield copy


def _open(path: str | Path, name: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except FileNotFoundError:
        raise AudioError(f"{name}: no such file: check the path") from None
    except IsADirectoryError:
        raise AudioError(f"{name}: is a folder: give the sound files in it") from None
    except PermissionError:
        raise AudioError(f"{name}: no permission to read it: change its permissions or its owner") from None
    except (OSError, ValueError) as error:  # a name that is too long, holds a zero byte, ...
        raise AudioError(f"{name}: cannot be opened: {reason(error)}: check the path") from None


@functools.cache
def _standard_input() -> BinaryIO:
    """Standard input, copied once: it can be read only once, but asked about and then read it is opened twice."""
    stream = getattr(sys.stdin, "buffer", None)
    if stream is None or stream.isatty():
        raise AudioError("standard input: nothing is piped in: use it as in `cat a.wav | COMMAND -`")
    return _spool(stream, "standard input")


def _spool(stream: BinaryIO, name: str) -> BinaryIO:
    try:
        copy = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
        try:
            shutil.copyfileobj(stream, copy, 1 << 20)
            copy.seek(0)
        except BaseException:
            copy.close()
            raise
    except OSError as error:
        raise AudioError(f"{name}: cannot be kept in a temporary file: {reason(error)}: make room for it") from None
    return copy


def reason(error: Exception) -> str:
    """What an exception says, on one line."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
