"""Files that are whole or not there: reports and their pictures, transcripts, model cards, notes, language models.

And texts of users, which may not be text.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def read_text(path: str | Path, *, error: type[ValueError]) -> str:
    """A user's text in UTF-8, without the mark that some editors put before it.

    Raises:
        ValueError: of the kind `error`: it is no such text.
        OSError: it cannot be read.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise error(f"{path}: is not text in UTF-8: save it so") from None


def write_text(path: str | Path, text: str, *, mark: str | None = None) -> None:
    """Write a text file in UTF-8, its lines ended by a line feed, as `write_bytes` does."""
    write_bytes(path, text.encode(), mark=mark)


def write_bytes(path: str | Path, content: bytes, *, mark: str | None = None) -> None:
    """Write a file, or leave what was there untouched, as `writing` does."""
    with writing(path, mark=mark) as file:
        file.write(content)


@contextmanager
def writing(path: str | Path, *, mark: str | None = None) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of `path` when the block ends without an error.

    The content goes to a file beside `path` that takes its name once it is complete, so that neither a full disk nor a
    crash leaves half a file. A process that is killed leaves the file beside; `sweep` removes it by its `mark`, the
    process's number if not given. Raises `OSError` where the folder does not exist or cannot be written.
    """
    path = Path(path)
    # The name does not contain that of the file, which may be as long as the file system allows.
    part = path.with_name(f".{mark or os.getpid()}-{os.urandom(4).hex()}.part")
    try:
        with open(part, "wb") as file:
            yield file
        os.replace(part, path)
    except OSError as error:
        # The name of the part says nothing to whoever asked for `path`.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        part.unlink(missing_ok=True)


def sweep(folder: str | Path, mark: str) -> None:
    """Remove what processes that were killed had begun to write into a folder with this mark."""
    for part in Path(folder).glob(f".{mark}-*.part"):
        part.unlink(missing_ok=True)
