"""Formats as others read them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from asr.formats import WRITERS, FormatError, to_json, to_txt, write
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
