"""Sounds inside a tar archive, as corpora of many short recordings are kept, read where they lie.

Nothing is unpacked: of an archive its table of contents is read once by each process, on first use, and of a sound its
own bytes. So the archives may be larger than the disk, on a file system of other machines. Tables are kept, 24 bytes a
recording: a corpus of ten million has hundreds of megabytes of them, and a lookup goes to any.
"""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from features.audio_source import AudioError, reason


class Contents(NamedTuple):
    """Where the N files of an archive lie: their keys, ascending, the first byte of each, and how many it has."""

    keys_N: np.ndarray
    firsts_N: np.ndarray
    sizes_N: np.ndarray

    def place(self, name: str) -> tuple[int, int] | None:
        """The first byte of a file and how many it has, if it is there."""
        key = np.uint64(_key(name))
        index = int(np.searchsorted(self.keys_N, key))
        if index == len(self.keys_N) or self.keys_N[index] != key:
            return None
        return int(self.firsts_N[index]), int(self.sizes_N[index])


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a tar archive, which is not compressed as a whole.

    Attributes:
        archive: The archive.
        name: The file in it, without its suffix.
    """

    archive: str
    name: str

    def __fspath__(self) -> str:
        return f"{self.archive}/{self.name}"

    __str__ = __fspath__

    def open(self) -> BinaryIO:
        """Its bytes, as an open file.

        Raises:
            AudioError: the archive cannot be read, or has no such file.
        """
        place = contents(self.archive).place(self.name)
        if place is None:
            raise AudioError(f"{self.archive}: has no file {self.name}: make the archive anew, or leave the file out")
        first, size = place
        try:
            with open(self.archive, "rb") as file:
                file.seek(first)
                content = file.read(size)
        except OSError as error:
            raise AudioError(f"{self.archive}: cannot be read: {reason(error)}: check the path") from None
        if len(content) < size:
            raise AudioError(f"{self.archive}: is cut short in {self.name}: copy it again")
        return _Opened(content, str(self))


class _Opened(io.BytesIO):
    """Bytes in memory that have the name of the file that they are from, as an open file has."""

    def __init__(self, content: bytes, name: str):
        super().__init__(content)
        self.name = name


@cache
def contents(archive: str) -> Contents:
    """Where each file of a tar archive lies, by its name without suffix; of equal ones, the first.

    Raises:
        AudioError: it cannot be read, or is no such archive.
    """
    places: dict[int, tuple[int, int]] = {}
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                if member.isfile():
                    name = str(Path(member.name).with_suffix(""))
                    places.setdefault(_key(name), (member.offset_data, member.size))
    except tarfile.TarError as error:
        raise AudioError(f"{archive}: is no tar archive, or damaged ({reason(error)}): copy it again") from None
    except OSError as error:
        raise AudioError(f"{archive}: cannot be read: {reason(error)}: check the path") from None
    keys = sorted(places)
    table_N2 = np.array([places[key] for key in keys], np.int64).reshape(-1, 2)
    return Contents(np.array(keys, np.uint64), table_N2[:, 0], table_N2[:, 1])


def _key(name: str) -> int:
    """A number that stands for a name: of two names in an archive of a thousand the same once in 10^13 archives."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")
