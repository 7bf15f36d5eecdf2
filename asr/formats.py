"""Transcripts as files. A format is one function from a transcript to its text, entered in `WRITERS` by its name."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from asr.transcript import Transcript


class FormatError(ValueError):
    """The format asked for does not exist."""


def to_txt(transcript: Transcript) -> str:
    """The text alone, on one line."""
    return transcript.text + "\n"


def to_json(transcript: Transcript) -> str:
    """The layout that whisper writes, without the language: the text, segments divided at pauses, words with times.

    Times are seconds to the millisecond. Unlike whisper's, texts carry no leading space.
    """
    segments = [
        {
            "id": number,
            "start": round(segment.start, 3),
            "end": round(segment.end, 3),
            "text": segment.text,
            "words": [
                {
                    "word": word.text,
                    "start": round(word.start, 3),
                    "end": round(word.end, 3),
                    "probability": round(word.confidence, 4),
                }
                for word in segment.words
            ],
        }
        for number, segment in enumerate(transcript.segments())
    ]
    content = {"text": transcript.text, "segments": segments}
    return json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


WRITERS: dict[str, Callable[[Transcript], str]] = {"txt": to_txt, "json": to_json}


def write(transcript: Transcript, path: str | Path, format: str) -> None:
    """Write a transcript in one of the formats of `WRITERS`; see `write_text` for how.

    Raises `FormatError` where there is no such format.
    """
    if format not in WRITERS:
        raise FormatError(f"no format {format!r}: choose one of {', '.join(WRITERS)}")
    write_text(path, WRITERS[format](transcript))


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in UTF-8, or leave what was there untouched.

    The text goes to a file beside `path` that takes its name once it is complete, so that neither a full disk nor a
    crash leaves half a file. Raises `OSError` where the folder does not exist or cannot be written.
    """
    path = Path(path)
    # The name does not contain that of the file, which may be as long as the file system allows.
    part = path.with_name(f".{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        os.replace(part, path)
    except OSError as error:
        # The name of the part says nothing to whoever asked for `path`.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        part.unlink(missing_ok=True)
