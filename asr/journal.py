"""What has been heard of many recordings, kept as it comes: work of hours that is stopped goes on where it was.

A journal is a file of lines in JSON. The first says how recordings are heard; each further one has a recording, as it
was, and what was heard of it. One that has changed since is heard anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from asr.sources import InputError
from inference.files import write_text


class FileState(NamedTuple):
    """A file as it is now: where it is, its bytes, and when it was last changed, in nanoseconds."""

    path: str
    size: int
    changed: int

    @classmethod
    def of(cls, source: str) -> FileState:
        """What tells the file from another; of one that cannot be looked at its path alone, which is never kept."""
        path = os.path.abspath(source)
        try:
            found = os.stat(path)
        except OSError:
            return cls(path, -1, -1)
        return cls(path, found.st_size, found.st_mtime_ns)


class Journal:
    """Goes on where the file ends, or begins one; a line that was being written when its program was killed goes.

    Where a `with` block ends it stays, unless it is empty or was removed.

    Args:
        path: The file.
        settings: What decides on what is heard, by name, in terms of JSON.

    Raises:
        InputError: there is another file, or a journal with other settings.
        OSError: it cannot be written.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]):
        self._path = path
        heading = json.dumps(settings)
        lines = _whole_lines(path) or [heading]
        _check(path, lines[0], json.loads(heading))
        try:
            self._heard = {FileState(*file): heard for file, heard in map(json.loads, lines[1:])}
        except (ValueError, TypeError):
            raise InputError(f"{path}: is damaged; remove it, and what it holds is heard anew") from None
        write_text(path, "".join(f"{line}\n" for line in lines))
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND)
        self._removed = False

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)
        if self._removed or not self._heard:
            self._path.unlink(missing_ok=True)

    def get(self, recording: FileState) -> Any:
        """What was heard of a recording; none if it has not been heard as it is."""
        return self._heard.get(recording)

    def add(self, recording: FileState, heard: Any) -> None:
        """Keep what was heard, in terms of JSON; once it returns, the end of this program does it no harm."""
        rest = f"{json.dumps([recording, heard])}\n".encode()
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from error
        self._heard[recording] = heard

    def remove(self) -> None:
        """Nothing of it is needed any more: it goes where the `with` block ends."""
        self._removed = True


def _whole_lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    *whole, rest = path.read_bytes().decode("utf-8", "replace").split("\n")
    return whole or [rest]


def _check(path: Path, heading: str, settings: Mapping[str, Any]) -> None:
    try:
        before = json.loads(heading)
    except ValueError:
        before = None
    if not isinstance(before, dict):
        raise InputError(f"{path}: is in the way, where what is heard is kept meanwhile; remove it")
    if changed := sorted(name for name in {*before, *settings} if before.get(name) != settings.get(name)):
        raise InputError(
            f"{path}: was begun with other settings ({', '.join(changed)}); go on with those, give another --out, or "
            "remove it to begin anew"
        )
