"""The figures of streams, counted by hand."""

from __future__ import annotations

import pytest

from gestures.stream_report import Stream, StreamReport, Told
from inference.session import Event
from training.manifests import Segment


def told(label: str, start: float, fired: float, end: float) -> tuple[Told, Told]:
    """Pushed without delay: an event comes when it fires, and its final one when it has ended."""
    first, final = Event(start, fired, label, 0.9, False, label), Event(start, end, label, 0.9, True, label)
    return Told(first, fired), Told(final, end)


RIGHT = Stream(
    "right",
    (Segment(1.0, 2.0, "wave"), Segment(3.0, 4.0, "clap")),
    (*told("wave", 1.4, 1.8, 2.5), *told("clap", 3.2, 4.2, 4.6)),
    5.0,
    ("wave", "clap"),
)
WRONG = Stream(
    "a|b",
    (Segment(1.0, 2.0, "wave"), Segment(3.0, 4.0, "clap")),
    (*told("wave", 1.1, 1.2, 1.9), *told("wave", 3.1, 3.5, 3.9), *told("clap", 4.4, 4.5, 4.9)),
    5.0,
    ("wave", "wave"),
)
IDLE = Stream("idle", (), told("clap", 1.0, 1.2, 1.5), 120.0, ())


def test_figures_are_counted_both_ways() -> None:
    report = StreamReport((RIGHT, WRONG, IDLE))
    assert (report.sequence.errors, report.sequence.reference) == (1, 4)  # a clap taken for a wave
    assert (report.live_sequence.errors, report.live_sequence.insertions) == (1, 1)
    # Told in time: all but the second wave, which is none, and the clap told half a second after its end.
    assert (report.events.fired.hits, report.events.fired.misses, report.events.fired.false) == (3, 1, 2)
    # Onset: the clap of `right` and the wave of `a|b` alone.
    assert (report.events.onset.hits, report.events.onset.false) == (2, 3)
    assert report.false_events == (1, 120.0)
    figures = report.figures()
    assert figures["label error rate"] == figures["live label error rate"] == pytest.approx(0.25)
    assert figures["event F"] == pytest.approx(2 * 3 / (4 + 5))
    assert figures["false events"] == pytest.approx(5)  # in ten minutes


def test_lags_are_medians_over_streams_that_are_right() -> None:
    assert StreamReport((RIGHT, WRONG)).lags == pytest.approx((0.3, 0.55))
    assert StreamReport((WRONG,)).lags is None


def test_idle_streams_alone_have_no_rates() -> None:
    report = StreamReport((IDLE,))
    assert report.figures() == {"false events": 5.0}
    assert report.summary() == "1 false events in 2.0 minutes without a gesture"


def test_an_event_that_was_never_told_early_was_told_when_it_ended() -> None:
    sequence = RIGHT._replace(events=tuple(one for one in RIGHT.events if one.event.final))
    assert [one.fired for one in sequence.found] == [2.5, 4.6]


def test_the_page_lists_streams_that_are_wrong() -> None:
    page = StreamReport((RIGHT, WRONG, IDLE)).to_markdown()
    assert r"| a\|b | wave clap | wave wave clap |" in page
    assert "| idle |  | clap |" in page
    assert "right |" not in page.replace("| none is", "")
    assert "none is wrong" in StreamReport((RIGHT,)).to_markdown()
