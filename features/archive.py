"""Sounds inside a tar archive, as corpora of many short recordings are kept, read where they lie.

Nothing is unpacked: of an archive its table of contents is read once by each process, on first use, and of a sound its
own bytes. So the archives may be larger than the disk, on a file system of other machines.
"""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

from features.audio_source import AudioError, reason

# Tables of contents that a process keeps. One of a thousand recordings takes some 200 kB.
TABLES = 256


class Place(NamedTuple):
    """Bytes of an archive: the first one, and how many."""

    first: int
    size: int


@dataclass(frozen=True)
class Member:
    """A file in a tar archive, which is not compressed as a whole.

    Attributes:
        archive: The archive.
        name: The file in it, with or without its suffix.
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
        place = contents(self.archive).get(self.name)
        if place is None:
            raise AudioError(f"{self.archive}: has no file {self.name}: make the archive anew, or leave the file out")
        try:
            with open(self.archive, "rb") as file:
                file.seek(place.first)
                content = file.read(place.size)
        except OSError as error:
            raise AudioError(f"{self.archive}: cannot be read: {reason(error)}: check the path") from None
        if len(content) < place.size:
            raise AudioError(f"{self.archive}: is cut short in {self.name}: copy it again")
        return io.BytesIO(content)


@lru_cache(maxsize=TABLES)
def contents(archive: str) -> dict[str, Place]:
    """Where each file of a tar archive lies, by its name and by its name without suffix; of equal ones, the first.

    Raises:
        AudioError: it cannot be read, or is no such archive.
    """
    places: dict[str, Place] = {}
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                if member.isfile():
                    place = Place(member.offset_data, member.size)
                    places.setdefault(member.name, place)
                    places.setdefault(str(Path(member.name).with_suffix("")), place)
    except tarfile.TarError as error:
        raise AudioError(f"{archive}: is no tar archive, or damaged ({reason(error)}): copy it again") from None
    except OSError as error:
        raise AudioError(f"{archive}: cannot be read: {reason(error)}: check the path") from None
    return places
