"""Text files that are whole or not there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from inference.files import write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "begun \ud800")
    assert path.read_text(encoding="utf-8") == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="no limits on file sizes on this system")
    signal = pytest.importorskip("signal")
    path = tmp_path / "a.txt"
    path.write_text("old", encoding="utf-8")
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError) as error:  # noqa: PT011
            write_text(path, "new " * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert error.value.errno == errno.EFBIG
    assert path.read_text(encoding="utf-8") == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_file_is_replaced_at_once_and_never_rewritten(tmp_path: Path) -> None:
    path, old = tmp_path / "a.txt", tmp_path / "old.txt"
    path.write_text("old", encoding="utf-8")
    os.link(path, old)  # whoever has the old file open goes on reading it
    write_text(path, "new")
    assert (path.read_text(encoding="utf-8"), old.read_text(encoding="utf-8")) == ("new", "old")


def test_the_longest_name_and_ordinary_permissions(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 251 + ".txt")
    write_text(path, "x")
    plain = tmp_path / "plain"
    plain.write_text("x", encoding="utf-8")
    assert path.stat().st_mode == plain.stat().st_mode


def test_a_missing_folder_is_an_os_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        write_text(tmp_path / "nowhere" / "a.txt", "x")
