"""Subtitles keep their rules whatever was said, and read well where the rules leave a choice."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.columns import width
from asr.subtitles import SHORTEST_MS, Cue, RulesError, SubtitleRules, cues, plain
from asr.transcript import Alternative, Transcript, Word

RULES = SubtitleRules()


def spoken(text: str, *, start: float = 0.0, length: float = 0.3, pause: float = 0.0) -> Transcript:
    """Words divided by spaces, each of one length, with one pause between."""
    words = [
        Word(word, start + k * (length + pause), start + k * (length + pause) + length, 1.0)
        for k, word in enumerate(text.split())
    ]
    return Transcript(tuple(words), words[-1].end + 10, text)


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    """Words of several scripts, some longer than a line, some of no length or at one instant, and long pauses."""
    letters = st.sampled_from("abcxyzé你界नम\u0947של\u05bc")
    text = st.text(letters, min_size=1, max_size=9) | st.text(letters, min_size=30, max_size=60)
    times = st.sampled_from([0.0, 0.0, 0.02, 0.3, 0.999, 1.0, 8.0]) | st.floats(0, 2)
    parts = draw(st.lists(st.tuples(text, times, times), max_size=40))
    now, words = 0.0, []
    for label, pause, duration in parts:
        words.append(Word(label, now + pause, now + pause + duration, 1.0))
        now += pause + duration
    divided = draw(st.sampled_from([" ", "", ", ", "\n"]))
    return Transcript(tuple(words), now + draw(times), divided.join(word.text for word in words))


@st.composite
def rules(draw: st.DrawFn) -> SubtitleRules:
    return SubtitleRules(
        max_line_width=draw(st.integers(1, 50)),
        max_line_count=draw(st.integers(1, 4)),
        min_duration=draw(st.floats(0, 3)),
        max_duration=draw(st.floats(0.04, 9)),
        reading_speed=draw(st.floats(1, 60)),
        gap=draw(st.floats(0, 0.5)),
        pause=draw(st.floats(0, 2)),
    )


def letters(text: str) -> str:
    """The text without what may stand between words."""
    return "".join(text.replace(",", " ").split())


@given(transcripts(), st.just(RULES) | rules())
def test_rules_are_kept(transcript: Transcript, rules: SubtitleRules) -> None:
    made = cues(transcript, rules)
    gap, longest = round(1000 * rules.gap), round(1000 * rules.max_duration)
    least = min(round(1000 * rules.min_duration), longest)

    # Every word stands in one cue, in order; lines and cues end where words end.
    lines = [line for cue in made for line in cue.lines]
    assert letters("".join(lines)) == letters(transcript.text)
    ends = [0, *accumulate(len(word.text) for word in transcript.words)]
    line_ends = list(accumulate(len(letters(line)) for line in lines))
    assert set(line_ends) <= set(ends)

    for line, (begin, end) in zip(lines, pairwise([0, *line_ends]), strict=True):
        assert width(line) <= rules.max_line_width or ends.index(end) - ends.index(begin) == 1
    assert all(1 <= len(cue.lines) <= rules.max_line_count for cue in made)

    # A pause ends a cue.
    cue_ends = list(accumulate(len(letters("".join(cue.lines))) for cue in made))
    for k, (word, following) in enumerate(pairwise(transcript.words), start=1):
        if following.start - word.end >= rules.pause:
            assert ends[k] in cue_ends

    firsts = [transcript.words[ends.index(begin)] for begin in [0, *cue_ends][:-1]]
    assert all(SHORTEST_MS <= cue.end - cue.start <= longest for cue in made)
    for cue, following in pairwise(made):
        assert following.start - cue.end >= gap
        if cue.end - cue.start < least:
            assert following.start - cue.end == gap, "it is short because there is no room"
    for before, cue, first in zip([None, *made], made, firsts, strict=False):
        spoken_at = round(1000 * first.start)
        assert cue.start == spoken_at or (before and cue.start == before.end + gap > spoken_at)
    if made:
        assert made[-1].end - made[-1].start >= least


@given(st.lists(st.text("abcde", min_size=1, max_size=12), min_size=1, max_size=12))
def test_lines_are_few_and_even(words: list[str]) -> None:
    text = " ".join(words)
    made = cues(spoken(text, length=0.1), RULES)
    for cue in made:
        inside = " ".join(cue.lines).split()
        ways = [(" ".join(inside[:k]), " ".join(inside[k:])) for k in range(1, len(inside))]
        if width(" ".join(inside)) <= RULES.max_line_width:
            assert cue.lines == (" ".join(inside),)
        else:
            assert max(map(width, cue.lines)) == min(max(map(width, way)) for way in ways)


def test_time_to_read_is_taken_from_the_pause_behind() -> None:
    fast = "these words are spoken so fast that nobody can read"  # 51 letters in 1 s take 2.55 s to read
    transcript = spoken(fast, length=0.1)
    assert cues(transcript, RULES) == [Cue(0, 2550, ("these words are spoken so", "fast that nobody can read"))]
    end = transcript.words[-1].end
    later = Word("then", end + 1.2, end + 1.6, 1.0)
    both = Transcript((*transcript.words, later), 20.0, f"{fast} then")
    first, second = cues(both, RULES)
    assert (first.end, second.start, second.end) == (2200 - 80, 2200, 3200)
    cut = Transcript(transcript.words, 1.5, fast)
    assert cues(cut, RULES)[0].end == 1500, "not beyond the recording"


def test_cues_are_cut_at_pauses_and_no_word_is_left_alone() -> None:
    text = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    words, now = [], 0.0
    for word in text.split():
        words.append(Word(word, now, now + 0.3, 1.0))
        now += 0.9 if word == "six" else 0.32
    first, second = cues(Transcript(tuple(words), now, text), RULES)
    assert first.lines == ("one two three four five six",)
    assert " ".join(second.lines).startswith("seven")
    # A cut at a shorter pause would leave 0.72 s for "yes", which is not enough; at a longer one there is time.
    for pause, alone in ((0.5, False), (0.8, True)):
        rest = spoken(" ".join(["words"] * 14), start=0.3 + pause)
        both = Transcript((Word("yes", 0.0, 0.3, 1.0), *rest.words), 20.0, f"yes {rest.text}")
        assert (cues(both, RULES)[0].lines == ("yes",)) == alone
    long = " ".join(["evenly"] * 13)  # one too many for two lines
    counts = [len(" ".join(cue.lines).split()) for cue in cues(spoken(long, length=0.5), RULES)]
    assert min(counts) >= 6


def test_a_word_without_letters_does_not_hide_a_pause() -> None:
    words = (Word("a", 0.0, 0.5, 1.0), Word("\n", 2.0, 2.5, 1.0), Word("b", 2.6, 3.0, 1.0))
    assert [cue.lines for cue in cues(Transcript(words, 4.0, "a\nb"), RULES)] == [("a",), ("b",)]


def test_a_cue_lasts_no_longer_than_allowed() -> None:
    slow = spoken("a b c d e f", length=2.0)
    assert [" ".join(cue.lines) for cue in cues(slow, RULES)] == ["a b c", "d e f"]
    [one] = cues(spoken("aaah", length=30.0), RULES)
    assert (one.start, one.end) == (0, 7000)


def test_scripts_without_spaces_and_punctuation() -> None:
    text = "你好,世界!再见"
    words = (Word("你好", 0.0, 0.5, 1.0), Word("世界", 0.5, 1.0, 1.0), Word("再见", 1.0, 1.5, 1.0))
    transcript = Transcript(words, 2.0, text)
    assert cues(transcript, RULES)[0].lines == (text,)
    assert cues(transcript, SubtitleRules(max_line_width=10))[0].lines == ("你好,", "世界!再见")
    assert cues(transcript, SubtitleRules(max_line_width=6, max_line_count=3))[0].lines == ("你好,", "世界!", "再见")
    quoted = Transcript((Word("so", 0.0, 0.5, 1.0), Word("he", 0.5, 1.0, 1.0)), 2.0, "«so», «he»!\n")
    assert cues(quoted, SubtitleRules(max_line_width=5))[0].lines == ("«so»,", "«he»!")


def test_what_would_end_a_cue_is_taken_out() -> None:
    words = ("a\n\nb", "--", ">", "--->", "\x00\x0b", "\u2028c")
    transcript = Transcript(
        tuple(Word(word, 0.1 * k, 0.1 * k + 0.1, 1.0) for k, word in enumerate(words)), 2.0, "".join(words)
    )
    assert cues(transcript, RULES)[0].lines == ("a b->->c",)
    assert cues(Transcript((Word("\n", 0.0, 1.0, 1.0),), 2.0, "\n"), RULES) == []
    assert plain(" a\t\x00b\r\n\u2029c ") == "a b c"


def test_words_of_one_instant_follow_each_other() -> None:
    text = " ".join(["instantaneous"] * 12)
    made = cues(spoken(text, start=5.0, length=0.0), RULES)
    assert [cue.start for cue in made] == [5000 + k * (SHORTEST_MS + 80) for k in range(len(made))]
    assert len(made) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_line_width", 0),
        ("max_line_count", -1),
        ("max_duration", 0.0),
        ("min_duration", -1.0),
        ("reading_speed", 0.0),
        ("gap", float("nan")),
        ("pause", float("inf")),
    ],
)
def test_rules_out_of_range_are_named(name: str, value: float) -> None:
    with pytest.raises(RulesError, match=name.replace("_", " ")):
        SubtitleRules(**{name: value})


def test_cues_end_with_the_segments_that_no_pause_divides() -> None:
    """Those of a recording that was divided, and of one with other texts for each utterance."""
    said = spoken("one two three four")
    texts = (Alternative("one two", -1.0, 1.0),)
    assert [cue.lines for cue in cues(said, RULES)] == [("one two three four",)]
    for divided in (replace(said, endpoints=(0.6,)), replace(said, alternatives=((2, texts), (2, texts)))):
        assert [segment.text for segment in divided.segments()] == ["one two", "three four"]
        assert [cue.lines for cue in cues(divided, RULES)] == [("one two",), ("three four",)]
