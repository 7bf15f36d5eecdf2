"""Formats as independent readers see them: srt, webvtt, praatio, csv, and a reader of ctm by NIST's description."""

from __future__ import annotations

import csv
import html
import io
import json
import os
import re
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asr.formats import (
    WRITERS,
    FormatError,
    Options,
    to_ctm,
    to_json,
    to_json_line,
    to_srt,
    to_textgrid,
    to_tsv,
    to_txt,
    to_vtt,
    write,
)
from asr.subtitles import SubtitleRules, cues
from asr.transcript import Transcript, Word

GREETING = Transcript(
    words=(Word("שלום", 0.12345, 0.5, 0.98765), Word("नमस्ते", 0.6, 1.0, 1.0), Word("ok", 3.0, 3.25, 0.5)),
    duration=4.0,
    text="שלום नमस्ते ok",
    model="greetings",
)
SILENCE = Transcript(words=(), duration=4.0, text="")


LABELS = [
    'a, "b"; c',
    "tab\there",
    "<b>stop</b>",
    "&amp;",
    "two\nlines",
    "two\n\nparagraphs",
    "  spaces ",
    "-->",
    "--->",
    '"',
]
HARD = Transcript(
    tuple(Word(label, k + 0.1234, k + 0.9876, 0.98765) for k, label in enumerate(LABELS)), 12.3456, " ".join(LABELS)
)


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    """Words one after the other, some of no length, some at one instant, with any letters that there are in them."""
    text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
    times = st.sampled_from([0.0, 0.0004, 0.04, 1.0]) | st.floats(0, 3)
    parts = draw(st.lists(st.tuples(text, times, times, st.floats(0, 1)), max_size=12))
    now, words = 0.0, []
    for label, pause, length, confidence in parts:
        words.append(Word(label, now + pause, now + pause + length, confidence))
        now += pause + length
    divided = draw(st.sampled_from([" ", "", ", ", " – "]))
    return Transcript(tuple(words), now + draw(times), divided.join(word.text for word in words))


def test_txt_is_one_line() -> None:
    assert to_txt(GREETING) == "שלום नमस्ते ok\n"
    assert to_txt(SILENCE) == "\n"


def test_json_has_the_keys_of_whisper() -> None:
    assert json.loads(to_json(GREETING)) == {
        "text": "שלום नमस्ते ok",
        "confidence": 0.8292,
        "segments": [
            {
                "id": 0,
                "start": 0.123,
                "end": 1.0,
                "text": "שלום नमस्ते",
                "confidence": 0.9938,
                "words": [
                    {"word": "שלום", "start": 0.123, "end": 0.5, "probability": 0.9877},
                    {"word": " नमस्ते", "start": 0.6, "end": 1.0, "probability": 1.0},
                ],
            },
            {
                "id": 1,
                "start": 3.0,
                "end": 3.25,
                "text": "ok",
                "confidence": 0.5,
                "words": [{"word": " ok", "start": 3.0, "end": 3.25, "probability": 0.5}],
            },
        ],
    }
    assert "שלום" in to_json(GREETING), "letters are written as they are, not escaped"
    assert json.loads(to_json(SILENCE)) == {"text": "", "segments": []}


@given(transcripts())
def test_words_of_json_joined_are_the_text_as_readers_of_whispers_join_them(transcript: Transcript) -> None:
    content = json.loads(to_json(transcript))
    words = [word for segment in content["segments"] for word in segment["words"]]
    assert "".join(word["word"] for word in words) == content["text"] == transcript.text
    assert [w["start"] for w in words] == pytest.approx([w.start for w in transcript.words], abs=0.0005001)
    assert [w["end"] for w in words] == pytest.approx([w.end for w in transcript.words], abs=0.0005001)
    for number, segment in enumerate(content["segments"]):
        assert (segment["id"], segment["start"]) == (number, segment["words"][0]["start"])
        assert segment["end"] == segment["words"][-1]["end"]
        assert segment["text"] == "".join(word["word"] for word in segment["words"]).strip()
        chances = [word["probability"] for word in segment["words"]]
        assert min(chances) - 1e-4 <= segment["confidence"] <= max(chances) + 1e-4


def test_a_line_of_json_names_the_file() -> None:
    line = to_json_line(HARD, "über uns.wav")
    assert (line.count("\n"), line[-1]) == (1, "\n")
    assert json.loads(line) == {"file": "über uns.wav", **json.loads(to_json(HARD))}


@given(transcripts())
@example(HARD)
@example(SILENCE)
def test_srt_is_read_back(transcript: Transcript) -> None:
    srt = pytest.importorskip("srt")
    read = list(srt.parse(to_srt(transcript)))
    expected = cues(transcript, SubtitleRules())
    assert [one.index for one in read] == list(range(1, len(expected) + 1))
    for one, cue in zip(read, expected, strict=True):
        assert [one.start, one.end] == [timedelta(milliseconds=cue.start), timedelta(milliseconds=cue.end)]
        assert one.content == "\n".join(cue.lines)


@given(transcripts())
@example(HARD)
@example(SILENCE)
def test_vtt_is_read_back(transcript: Transcript) -> None:
    webvtt = pytest.importorskip("webvtt")
    read = webvtt.from_string(to_vtt(transcript))
    expected = cues(transcript, SubtitleRules())
    for one, cue in zip(read, expected, strict=True):
        assert [_milliseconds(str(time)) for time in (one.start_time, one.end_time)] == [cue.start, cue.end]
        assert html.unescape(one.text) == "\n".join(cue.lines)


def _milliseconds(clock: str) -> int:
    hours, minutes, seconds = clock.split(":")
    return round(1000 * (3600 * int(hours) + 60 * int(minutes) + float(seconds)))


def test_subtitles_by_hand() -> None:
    assert to_srt(GREETING).splitlines() == [
        "1", "00:00:00,123 --> 00:00:01,123", "שלום नमस्ते", "",
        "2", "00:00:03,000 --> 00:00:04,000", "ok", "",
    ]  # fmt: skip
    assert to_vtt(GREETING).splitlines()[:3] == ["WEBVTT", "", "00:00:00.123 --> 00:00:01.123"]
    assert "&lt;b&gt;stop&lt;/b&gt; &amp;amp;" in to_vtt(HARD).replace("\n", " ")
    assert all(text.count("-->") == len(cues(HARD, SubtitleRules())) for text in (to_srt(HARD), to_vtt(HARD)))
    long = Transcript((Word("late", 360_000.0, 360_001.5, 1.0),), 360_002.0, "late")
    assert "100:00:00,000 --> 100:00:01,500" in to_srt(long)
    narrow = Options(rules=SubtitleRules(max_line_width=5))
    assert to_srt(GREETING, narrow).splitlines()[2:4] == ["שלום", "नमस्ते"]


@given(transcripts())
@example(HARD)
@example(SILENCE)
def test_tsv_has_a_row_for_each_segment(transcript: Transcript) -> None:
    rows = list(csv.reader(io.StringIO(to_tsv(transcript), newline=""), delimiter="\t", quoting=csv.QUOTE_NONE))
    assert rows[0] == ["start", "end", "text"]
    for row, segment in zip(rows[1:], transcript.segments(), strict=True):
        start, end, text = row
        assert [int(start), int(end)] == [round(1000 * segment.start), round(1000 * segment.end)]
        assert text.split() == re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", segment.text).split()


class Spoken(NamedTuple):
    """A line of a ctm."""

    recording: str
    channel: str
    start: float
    duration: float
    word: str
    confidence: float


def read_ctm(text: str) -> list[Spoken]:
    """CTM :== <F> <C> <BT> <DUR> word [ <CONF> ], divided by white space; lines that begin with ;; are comments."""
    lines = [line.split() for line in text.splitlines() if not line.startswith(";;")]
    return [Spoken(f, c, float(start), float(length), word, float(p)) for f, c, start, length, word, p in lines]


@given(transcripts(), st.text(st.characters(exclude_categories=["Cs"]), max_size=8))
@example(HARD, ";; a talk")
@example(SILENCE, "")
def test_ctm_is_read_back(transcript: Transcript, name: str) -> None:
    read = read_ctm(to_ctm(transcript, Options(recording=name)))
    spoken = [word for word in transcript.words if re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", word.text).strip()]
    for one, word in zip(read, spoken, strict=True):
        assert one.start == pytest.approx(word.start, abs=0.0005001)
        assert one.start + one.duration == pytest.approx(word.end, abs=0.0005001)
        assert one.confidence == pytest.approx(word.confidence, abs=0.00005001)
        assert one.channel == "1"
    assert len({one.recording for one in read}) <= 1


def test_ctm_by_hand() -> None:
    assert to_ctm(GREETING, Options(recording="my talk")).splitlines() == [
        "my_talk 1 0.123 0.377 שלום 0.9877",
        "my_talk 1 0.600 0.400 नमस्ते 1.0000",
        "my_talk 1 3.000 0.250 ok 0.5000",
    ]
    assert [one.word for one in read_ctm(to_ctm(HARD))][4:7] == ["two_lines", "two_paragraphs", "spaces"]
    assert to_ctm(SILENCE) == ""


def read_textgrid(folder: Path, transcript: Transcript):
    """What praatio makes of the file, empty intervals too."""
    textgrid = pytest.importorskip("praatio.textgrid", reason="no praatio: pip install praatio")
    write(transcript, folder / "a.TextGrid", "textgrid")
    return textgrid.openTextgrid(str(folder / "a.TextGrid"), includeEmptyIntervals=True, reportingMode="error")


@given(transcript=transcripts())
@example(transcript=HARD)
@example(transcript=SILENCE)
@example(transcript=Transcript((), 0.0, ""))
@example(transcript=Transcript((), 6.103515625e-05, ""))  # which Python writes with an exponent
@example(transcript=Transcript((Word("a", 0.5, 2.007, 1.0),), 2.007, "a"))  # 1000 * 2.007 is more than 2007
@example(transcript=Transcript((Word("a", 1.2345, 1.2345, 1.0), Word("b", 1.2345, 1.2345, 1.0)), 1.2345, "a b"))
@example(transcript=Transcript(tuple(Word("a", 0.0, 0.0, 1.0) for _ in range(5)), 0.003, "a a a a a"))
def test_textgrid_tiles_the_recording(tmp_path_factory, transcript: Transcript) -> None:
    read = read_textgrid(tmp_path_factory.mktemp("grid"), transcript)
    assert read.tierNames == ("words", "segments")
    # Only words that do not fit into it make a grid longer than the recording.
    if transcript.duration >= 0.001 * max(1, len(transcript.words)):
        assert read.maxTimestamp == transcript.duration
    for tier in read.tiers:
        assert (tier.entries[0].start, tier.entries[-1].end) == (0, read.maxTimestamp)
        assert all(one.start < one.end for one in tier.entries)
        assert all(one.end == two.start for one, two in zip(tier.entries, tier.entries[1:], strict=False))
    for tier, items in ((read.getTier("words"), transcript.words), (read.getTier("segments"), transcript.segments())):
        said = [re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", item.text).split() for item in items]
        assert [one.label.split() for one in tier.entries if one.label] == [words for words in said if words]


def test_textgrid_keeps_times_where_it_can(tmp_path: Path) -> None:
    words = [one for one in read_textgrid(tmp_path, GREETING).getTier("words").entries if one.label]
    assert [tuple(one) for one in words] == [(0.123, 0.5, "שלום"), (0.6, 1.0, "नमस्ते"), (3.0, 3.25, "ok")]
    crowded = Transcript(
        (Word("a", 0.5, 1.0, 1.0), Word("b", 0.75, 1.5, 1.0), Word("c", 2.0, 2.0, 1.0), Word("d", 2.0, 2.0, 1.0)),
        2.0,
        "a b c d",
    )
    read = read_textgrid(tmp_path, crowded)
    assert [tuple(one) for one in read.getTier("words").entries if one.label] == [
        (0.5, 1.0, "a"),
        (1.0, 1.5, "b"),
        (1.998, 1.999, "c"),
        (1.999, 2.0, "d"),
    ]
    assert [tuple(one) for one in read.getTier("segments").entries] == [(0, 0.5, ""), (0.5, 2.0, "a b c d")]
    assert '            text = "a, ""b""; c"' in to_textgrid(HARD).splitlines()


@pytest.mark.parametrize("format", WRITERS)
def test_a_transcript_without_words_is_a_file_like_others(format: str) -> None:
    text = WRITERS[format](SILENCE)
    if format == "textgrid":
        assert text.count("intervals: size = 1\n") == 2
        return
    assert (
        text
        == {
            "txt": "\n",
            "json": '{\n  "text": "",\n  "segments": []\n}\n',
            "srt": "",
            "vtt": "WEBVTT\n\n",
            "tsv": "start\tend\ttext\n",
            "ctm": "",
        }[format]
    )


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
