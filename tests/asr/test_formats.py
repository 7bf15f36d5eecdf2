"""Formats as others read them, and files that are whole or not there."""

from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path

import pytest

from asr.formats import WRITERS, FormatError, to_json, to_txt, write, write_text
from asr.transcript import Transcript, Word

GREETING = Transcript(
    words=(Word("שלום", 0.12345, 0.5, 0.98765), Word("नमस्ते", 0.6, 1.0, 1.0), Word("ok", 3.0, 3.25, 0.5)),
    duration=4.0,
    text="שלום नमस्ते ok",
    model="greetings",
)
SILENCE = Transcript(words=(), duration=4.0, text="")


def test_txt_is_one_line() -> None:
    assert to_txt(GREETING) == "שלום नमस्ते ok\n"
    assert to_txt(SILENCE) == "\n"


def test_json_has_the_keys_of_whisper() -> None:
    assert json.loads(to_json(GREETING)) == {
        "text": "שלום नमस्ते ok",
        "segments": [
            {
                "id": 0,
                "start": 0.123,
                "end": 1.0,
                "text": "שלום नमस्ते",
                "words": [
                    {"word": "שלום", "start": 0.123, "end": 0.5, "probability": 0.9877},
                    {"word": "नमस्ते", "start": 0.6, "end": 1.0, "probability": 1.0},
                ],
            },
            {
                "id": 1,
                "start": 3.0,
                "end": 3.25,
                "text": "ok",
                "words": [{"word": "ok", "start": 3.0, "end": 3.25, "probability": 0.5}],
            },
        ],
    }
    assert "שלום" in to_json(GREETING), "letters are written as they are, not escaped"
    assert json.loads(to_json(SILENCE)) == {"text": "", "segments": []}


@pytest.mark.parametrize("format", WRITERS)
def test_files_hold_what_the_format_gives_in_utf8(tmp_path: Path, format: str) -> None:
    path = tmp_path / f"greeting.{format}"
    write(GREETING, path, format)
    assert path.read_bytes() == WRITERS[format](GREETING).encode("utf-8")
    write(SILENCE, str(path), format)
    assert path.read_bytes() == WRITERS[format](SILENCE).encode("utf-8")
    assert os.listdir(tmp_path) == [path.name]


def test_an_unknown_format_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=re.escape(f"'doc': choose one of {', '.join(WRITERS)}")):
        write(GREETING, tmp_path / "a.doc", "doc")
    assert not os.listdir(tmp_path)


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
