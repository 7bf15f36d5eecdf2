"""Transcripts as files. A format is one function from a transcript to its text, entered in `WRITERS` by its name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from asr.confidence.doubt import marked
from asr.subtitles import SubtitleRules, cues, plain
from asr.textgrid import to_text as textgrid
from asr.transcript import Missing, Part, Segment, Transcript, Word
from inference.files import write_text
from inference.times import clock


class FormatError(ValueError):
    """The format asked for does not exist."""


@dataclass(frozen=True, slots=True)
class Options:
    """What some formats need beyond the transcript.

    Args:
        recording: The name of the recording, for ctm.
        rules: What subtitles must be like, for srt and vtt.
        doubtful_below: Words of less confidence are marked: `[word?]` where people read it, `"doubtful": true` in json.
        parts: What the parts of words are, `letters` or `phones`: their name in json, and their tier in a TextGrid.
        missing: Words of a given text that were not said, for json; none where no text was given.
    """

    recording: str = "recording"
    rules: SubtitleRules = field(default_factory=SubtitleRules)
    doubtful_below: float = 0.0
    parts: str = "letters"
    missing: tuple[Missing, ...] | None = None


PLAIN = Options()


def to_txt(transcript: Transcript, options: Options = PLAIN) -> str:
    """The text alone, on one line; of a recording that was divided, a line for each segment."""
    shown = marked(transcript, options.doubtful_below)
    if shown.endpoints is None:
        return shown.text + "\n"
    return "\n".join(segment.text for segment in shown.segments()) + "\n"


def to_json(transcript: Transcript, options: Options = PLAIN) -> str:
    """The layout that whisper writes, without the language: the text, segments divided at pauses, words with times.

    Times are seconds to the millisecond. As whisper's, words begin with the white space before them, so that they are
    the text when joined, which is how its readers make lines of them; unlike whisper's, the first one and the texts of
    segments do not. Text and segments have a confidence, the mean of their words', and segments the
    alternatives that were asked for. Words of an alignment have their
    letters or phones besides, and words are doubtful where `options` ask for it. The words of a given text that were
    not said are `missing`, with their place in the text, counted from 1, and the time after which they would have come.
    """
    return json.dumps(_content(transcript, options), ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def to_json_line(transcript: Transcript, file: str, options: Options = PLAIN) -> str:
    """The content of `to_json` on one line, after the name of the file that it is the transcript of."""
    return json.dumps({"file": file, **_content(transcript, options)}, ensure_ascii=False, allow_nan=False) + "\n"


def to_srt(transcript: Transcript, options: Options = PLAIN) -> str:
    """Subtitles in the format of SubRip. It has no way to escape what players take for markup."""
    return "".join(
        "\n".join([str(number), f"{clock(cue.start)} --> {clock(cue.end)}", *cue.lines, "", ""])
        for number, cue in enumerate(cues(marked(transcript, options.doubtful_below), options.rules), start=1)
    )


def to_vtt(transcript: Transcript, options: Options = PLAIN) -> str:
    """Subtitles as WebVTT, https://www.w3.org/TR/webvtt1/."""
    blocks = ["WEBVTT\n\n"]
    for cue in cues(marked(transcript, options.doubtful_below), options.rules):
        text = "\n".join(cue.lines).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        blocks.append(f"{clock(cue.start, point='.')} --> {clock(cue.end, point='.')}\n{text}\n\n")
    return "".join(blocks)


def to_tsv(transcript: Transcript, options: Options = PLAIN) -> str:
    """Whisper's table: start and end in milliseconds and the text of each segment; nothing is quoted."""
    segments = marked(transcript, options.doubtful_below).segments()
    rows = [f"{round(1000 * s.start)}\t{round(1000 * s.end)}\t{plain(s.text)}\n" for s in segments]
    return "".join(["start\tend\ttext\n", *rows])


def to_ctm(transcript: Transcript, options: Options = PLAIN) -> str:
    """A line for each word as NIST's sclite reads them: recording, channel, start, duration, word, confidence.

    White space within the name of the recording or a word becomes `_`. Words without a letter are left out.
    """
    name = _one_field(options.recording)
    name = re.sub("^;+", lambda marks: "_" * len(marks[0]), name) or "recording"  # ;; begins a comment
    lines = []
    for word in transcript.words:
        start, end = round(1000 * word.start), round(1000 * word.end)
        if field := _one_field(word.text):
            times = f"{start / 1000:.3f} {(end - start) / 1000:.3f}"
            lines.append(f"{name} 1 {times} {field} {word.confidence:.4f}\n")
    return "".join(lines)


def to_textgrid(transcript: Transcript, options: Options = PLAIN) -> str:
    """Praat's TextGrid with the tiers `words` and `segments`, and one of parts if there are any; see `asr.textgrid`."""
    return textgrid(marked(transcript, options.doubtful_below), parts=options.parts)


WRITERS: dict[str, Callable[..., str]] = {
    "txt": to_txt,
    "json": to_json,
    "srt": to_srt,
    "vtt": to_vtt,
    "tsv": to_tsv,
    "ctm": to_ctm,
    "textgrid": to_textgrid,
}


def suffix(format: str) -> str:
    """How the names of files in a format end."""
    return ".TextGrid" if format == "textgrid" else f".{format}"


def write(transcript: Transcript, path: str | Path, format: str, options: Options = PLAIN) -> None:
    """Write a transcript in one of the formats of `WRITERS`; see `inference.files.write_text` for how.

    Raises `FormatError` where there is no such format.
    """
    if format not in WRITERS:
        raise FormatError(f"no format {format!r}: choose one of {', '.join(WRITERS)}")
    write_text(path, WRITERS[format](transcript, options))


def _content(transcript: Transcript, options: Options) -> dict:
    pieces = iter(transcript.pieces())
    segments = [_segment(number, segment, pieces, options) for number, segment in enumerate(transcript.segments())]
    sure = {} if transcript.confidence is None else {"confidence": round(transcript.confidence, 4)}
    return {"text": transcript.text, **sure, "segments": segments, **_missing(options)}


def _segment(number: int, segment: Segment, pieces: Iterator[tuple[str, str]], options: Options) -> dict:
    """One segment of whisper's layout; takes as many of the `pieces` as it has words."""
    return {
        "id": number,
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "text": segment.text,
        "confidence": round(segment.confidence, 4),
        "words": [_word(word, "".join(piece), options) for word, piece in zip(segment.words, pieces, strict=False)],
        **_alternatives(segment),
    }


def _word(word: Word, written: str, options: Options) -> dict:
    content = {"word": written, **_times(word), "probability": round(word.confidence, 4)}
    if word.confidence < options.doubtful_below:
        content["doubtful"] = True
    if word.parts:
        content[options.parts] = [
            {"text": part.text, **_times(part), "probability": round(part.confidence, 4)} for part in word.parts
        ]
    return content


def _missing(options: Options) -> dict:
    """The words that were not said. They stand in those beside them too, since these make the text when joined."""
    if options.missing is None:
        return {}
    return {
        "missing": [
            {"word": one.text, "number": one.number + 1, "start": round(one.time, 3)} for one in options.missing
        ]
    }


def _times(of: Word | Part) -> dict[str, float]:
    return {"start": round(of.start, 3), "end": round(of.end, 3)}


def _alternatives(segment: Segment) -> dict:
    """The texts that a segment may be, if they were asked for: a key that whisper's readers do not look at."""
    if not segment.alternatives:
        return {}
    rows = [
        {"text": one.text, "score": round(one.score, 4), "share": round(one.share, 4)} for one in segment.alternatives
    ]
    return {"alternatives": rows}


def _one_field(text: str) -> str:
    return plain(text).replace(" ", "_")
