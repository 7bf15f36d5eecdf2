"""Words of little confidence: marked in each format alike, or left out."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.cli import main
from asr.confidence.doubt import DROP, MARK, Doubt, DoubtError, dropped, marked
from asr.display import Lines
from asr.formats import WRITERS, Options
from asr.stream import SpeechEvent
from asr.transcript import Alternative, Transcript, Word

SAID = Transcript(
    (
        Word("Well", 0.0, 0.4, 0.9),
        Word("known", 0.5, 0.9, 0.3),
        Word("words", 2.5, 3.0, 0.6),
        Word("ok", 3.0, 3.2, 0.2),
    ),
    4.0,
    "Well, (known) words: ok!",
)
OTHER = Alternative("words ok", -1.0, 0.5)


def test_marks_stand_at_the_word_and_leave_punctuation_alone() -> None:
    assert marked(SAID, 0.5).text == "Well, ([known?]) words: [ok?]!"
    assert marked(SAID, 0.0) == SAID
    assert [word.text for word in marked(SAID, 0.7).words] == ["Well", "[known?]", "[words?]", "[ok?]"]


def test_what_is_dropped_takes_its_punctuation_with_it() -> None:
    assert dropped(SAID, 0.5).text == "Well, words:"
    assert dropped(SAID, 0.0) == SAID
    assert dropped(SAID, 1.0) == Transcript((), 4.0, "")
    assert dropped(Transcript((), 1.0, ""), 0.5) == Transcript((), 1.0, "")


def test_alternatives_stay_with_the_words_that_are_left() -> None:
    heard = replace(SAID, alternatives=((2, (Alternative("Well known", -1.0, 1.0),)), (2, (OTHER, OTHER))))
    assert marked(heard, 0.5).alternatives == heard.alternatives
    left = dropped(heard, 0.5)
    assert [(segment.text, segment.alternatives[0].text) for segment in left.segments()] == [
        ("Well,", "Well known"),
        ("words:", "words ok"),
    ]
    assert dropped(heard, 0.7).alternatives == ((1, heard.alternatives[0][1]),)
    assert dropped(heard, 1.0) == Transcript((), 4.0, "")
    for format in WRITERS:
        WRITERS[format](left)


@given(st.lists(st.tuples(st.text("abc", min_size=1, max_size=3), st.floats(0, 1)), max_size=8), st.floats(0, 1))
def test_nothing_but_doubtful_words_changes(pairs: list[tuple[str, float]], least: float) -> None:
    words = tuple(Word(text, k, k + 0.5, confidence) for k, (text, confidence) in enumerate(pairs))
    transcript = Transcript(words, 10.0, " ".join(word.text for word in words))
    sure = [word for word in words if word.confidence >= least]
    assert list(dropped(transcript, least).words) == sure
    assert dropped(transcript, least).text == " ".join(word.text for word in sure)
    assert [word for word in marked(transcript, least).words if not word.text.endswith("?]")] == sure
    assert marked(transcript, least).text.replace("[", "").replace("?]", "") == transcript.text


def test_formats_for_people_mark_and_those_for_programs_say_so() -> None:
    options = Options(doubtful_below=0.5)
    for format in ("txt", "srt", "vtt", "tsv", "textgrid"):
        written = WRITERS[format](SAID, options)
        assert "[known?]" in written, format
        assert "[ok?]" in written, format
        assert "[words?]" not in written, format
    assert WRITERS["ctm"](SAID, options) == WRITERS["ctm"](SAID), "ctm has the confidence, and words as they are scored"
    content = json.loads(WRITERS["json"](SAID, options))
    assert content["text"] == SAID.text
    words = [word for segment in content["segments"] for word in segment["words"]]
    assert [word.get("doubtful", False) for word in words] == [False, True, False, True]
    assert "".join(word["word"] for word in words) == SAID.text


@pytest.mark.parametrize(
    ("below", "line", "texts"),
    [(MARK, "[0:00:01.0] one [two?]\n", ["one", "two"]), (DROP, "[0:00:01.0] one\n", ["one"])],
)
def test_finished_lines_and_events_are_treated_alike(below: str, line: str, texts: list[str]) -> None:
    words = (Word("one", 1.0, 1.5, 0.9), Word("two", 2.0, 2.5, 0.1))
    final = SpeechEvent(1.0, 2.5, "one two", 0.5, True, "one two", words)
    partial = SpeechEvent(1.0, 2.5, "one two", 0.5, False, "one", words)
    out = io.StringIO()
    Lines(out, io.StringIO(), doubt=Doubt(0.5, below)).events([partial, final])
    assert out.getvalue() == line
    out = io.StringIO()
    Lines(out, io.StringIO(), every_event=True, doubt=Doubt(0.5, below)).events([partial, final])
    before, after = map(json.loads, out.getvalue().splitlines())
    assert before["text"] == "one two", "confidences of partial events may still change"
    assert not any("doubtful" in word for word in before["words"])
    assert [word["text"] for word in after["words"]] == texts
    assert after["text"] == " ".join(texts)
    assert [word.get("doubtful", False) for word in after["words"]] == [False, True][: len(texts)]


def test_a_line_of_nothing_but_dropped_words_is_none() -> None:
    out = io.StringIO()
    final = SpeechEvent(1.0, 1.5, "one", 0.1, True, "one", (Word("one", 1.0, 1.5, 0.1),))
    display = Lines(out, io.StringIO(), doubt=Doubt(0.5, DROP))
    display.events([final])
    assert (out.getvalue(), display.words) == ("", 0)


def test_the_command_refuses_what_makes_no_sense(capsys: pytest.CaptureFixture) -> None:
    assert main(["transcribe", "a.wav", "--min-confidence", "90"]) == 2
    assert "give one from 0 to 1" in capsys.readouterr().err
    assert main(["transcribe", "a.wav", "--below", "drop"]) == 2
    assert "--below goes with --min-confidence" in capsys.readouterr().err
    with pytest.raises(DoubtError):
        Doubt(0.5, "hide")
