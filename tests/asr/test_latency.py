"""The log of delays, against timelines that are worked out by hand."""

from __future__ import annotations

import pytest

from asr.latency import LatencyLog
from asr.stream import SpeechEvent
from asr.transcript import Word


def event(text: str, *, final: bool = False, origin: float = 0.0) -> SpeechEvent:
    """Words of 0.4 s each, one every half second from `origin` on: the k-th ends at origin + 0.5 k + 0.4."""
    words = tuple(Word(word, origin + 0.5 * k, origin + 0.5 * k + 0.4, 1.0) for k, word in enumerate(text.split()))
    start, end = (words[0].start, words[-1].end) if words else (origin, origin)
    return SpeechEvent(start, end, text, 1.0, final, text if final else "", words)


def log_of(*timeline: tuple[float, list[SpeechEvent]]) -> LatencyLog:
    log = LatencyLog()
    for now, events in timeline:
        log.note(events, now=now)
    return log


def shown(log: LatencyLog) -> list[tuple[str, float]]:
    return [(word.text, at) for word, at in log.words]


def test_a_word_counts_from_when_it_was_first_shown() -> None:
    log = log_of(
        (0.5, []),
        (1.0, [event("a")]),
        (1.5, [event("a b")]),
        (2.0, [event("a b c")]),
        (2.5, []),
        (3.0, [event("a b c", final=True)]),
    )
    assert shown(log) == [("a", 1.0), ("b", 1.5), ("c", 2.0)]
    assert [(word.text, at) for word, at in log.finals] == [("c", 3.0)]
    assert log.revoked == 0


def test_a_word_that_was_taken_back_counts_from_when_it_came_again() -> None:
    log = log_of(
        (1.0, [event("a b")]),
        (1.5, [event("a")]),
        (2.0, [event("a b")]),
        (3.0, [event("a b", final=True)]),
    )
    assert shown(log) == [("a", 1.0), ("b", 2.0)]
    assert log.revoked == 1


def test_a_word_that_was_changed_and_changed_back() -> None:
    log = log_of(
        (1.0, [event("a x c")]),
        (1.5, [event("a y c")]),
        (2.0, [event("a x c")]),
        (3.0, [event("a x c", final=True)]),
    )
    assert shown(log) == [("a", 1.0), ("x", 2.0), ("c", 1.0)]
    assert log.revoked == 2


def test_a_word_put_in_before_others_moves_them() -> None:
    """Words count by their place: "b", which moved on, was changed as far as the eye can tell."""
    log = log_of((1.0, [event("b")]), (2.0, [event("a b")]), (3.0, [event("a b", final=True)]))
    assert shown(log) == [("a", 2.0), ("b", 2.0)]
    assert log.revoked == 1


def test_what_was_shown_and_came_to_nothing() -> None:
    log = log_of((1.0, [event("a b")]), (2.0, [event("")]), (3.0, [event("c")]), (4.0, [event("c", final=True)]))
    assert shown(log) == [("c", 3.0)]
    assert log.revoked == 2


def test_a_final_event_that_says_otherwise_takes_back() -> None:
    log = log_of((1.0, [event("a b c")]), (2.0, [event("a x", final=True)]))
    assert shown(log) == [("a", 1.0), ("x", 2.0)]
    assert log.revoked == 2


def test_final_without_a_partial_before_it() -> None:
    log = log_of((2.0, [event("a b", final=True)]))
    assert shown(log) == [("a", 2.0), ("b", 2.0)]
    assert log.revoked == 0


def test_several_segments() -> None:
    log = log_of(
        (1.0, [event("a")]),
        (1.5, [event("a b")]),
        (2.0, [event("a b", final=True)]),
        (3.0, [event("a", origin=2.2)]),
        (3.5, [event("a c", origin=2.2)]),
        (4.0, [event("a", origin=2.2, final=True), event("d", origin=4.0)]),
        (5.0, [event("d", origin=4.0, final=True)]),
    )
    assert shown(log) == [("a", 1.0), ("b", 1.5), ("a", 3.0), ("d", 4.0)]
    assert [(word.text, word.start, at) for word, at in log.finals] == [
        ("b", 0.5, 2.0),
        ("a", 2.2, 4.0),
        ("d", 4.0, 5.0),
    ]
    assert log.revoked == 1, "the c of the second segment"


def test_several_segments_in_one_push() -> None:
    log = log_of(
        (9.0, [event("a"), event("a b", final=True), event("c", origin=2.0), event("c d", origin=2.0, final=True)])
    )
    assert shown(log) == [(word, 9.0) for word in "abcd"]
    assert log.revoked == 0


def test_words_beyond_the_end_of_a_segment_that_go_on_at_once_stay() -> None:
    """Where nobody pauses the beginning of a line becomes final, and its end is the next line's beginning."""
    log = log_of(
        (1.0, [event("a b c d")]),
        (2.0, [event("a b", final=True), event("c d e", origin=1.0)]),
        (3.0, [event("c d e", origin=1.0, final=True)]),
    )
    assert shown(log) == [("a", 1.0), ("b", 1.0), ("c", 1.0), ("d", 1.0), ("e", 2.0)]
    assert log.revoked == 0
    changed = log_of((1.0, [event("a b c d")]), (2.0, [event("a b", final=True), event("c x", origin=1.0)]))
    assert changed.revoked == 1
    gone = log_of((1.0, [event("a b c d")]), (2.0, [event("a b", final=True)]), (3.0, [event("c d", origin=1.0)]))
    assert gone.revoked == 2, "for a while they were not to be seen"


def test_report_by_hand() -> None:
    log = log_of(
        (0.5, [event("a")]),  # ends at 0.4: 100 ms
        (1.2, [event("a b")]),  # at 0.9: 300 ms
        (1.4, [event("a b c x")]),  # at 1.4: 0 ms
        (2.4, [event("a b c", final=True)]),  # 1000 ms after the end of c
        (4.5, [event("d", origin=4.0, final=True)]),  # 100 ms
    )
    log.heard, log.compute = 5.0, 0.061
    assert log.report(chunk=0.42, lookahead=0.21).splitlines() == [
        "chunk 420 ms, look-ahead 210 ms: algorithmic latency 630 ms",
        "word end to first shown: median 100 ms, 95 % within 270 ms (4)",
        "end of speech to final text: median 550 ms, 95 % within 955 ms (2)",
        "words taken back: 1, 0.200 a second",
        "computing: 1.22 % of the time that the sound lasts",
    ]


@pytest.mark.parametrize("heard", [0.0, 3.0])
def test_report_on_nothing(heard: float) -> None:
    log = LatencyLog(heard=heard)
    log.note([], now=heard)
    lines = log.report(chunk=0.1, lookahead=0.0).splitlines()
    assert lines[:3] == [
        "chunk 100 ms, look-ahead 0 ms: algorithmic latency 100 ms",
        "word end to first shown: nothing was recognised",
        "end of speech to final text: nothing was recognised",
    ]
    assert lines[3:] == (
        ["words taken back: 0, 0.000 a second", "computing: 0.00 % of the time that the sound lasts"] if heard else []
    )
