"""Transcripts as files. A format is one function from a transcript to its text, entered in `WRITERS` by its name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from asr.transcript import Transcript
from inference.files import write_text


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
    """Write a transcript in one of the formats of `WRITERS`; see `inference.files.write_text` for how.

    Raises `FormatError` where there is no such format.
    """
    if format not in WRITERS:
        raise FormatError(f"no format {format!r}: choose one of {', '.join(WRITERS)}")
    write_text(path, WRITERS[format](transcript))
