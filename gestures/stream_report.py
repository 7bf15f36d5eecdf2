"""How well the gestures of streams were recognised: their order, their moments, and false alarms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import NamedTuple

from inference.markdown import escaped, table
from inference.session import Event
from training.manifests import Segment
from training.metrics import ErrorCounts, EventScores, TimedEvent, align_tokens, event_scores

TOLERANCE_SECONDS = 0.3


class Told(NamedTuple):
    """An event, and how many seconds of the stream had been pushed when it came."""

    event: Event
    time: float


class Stream(NamedTuple):
    """One stream: its gestures in order, the events that came while it was watched live, and its length in seconds.

    `whole` are the labels that are recognised in it with full context.
    """

    id: str
    reference: tuple[Segment, ...]
    events: tuple[Told, ...]
    duration: float
    whole: tuple[str, ...]

    @property
    def found(self) -> list[TimedEvent]:
        """What was recognised, told when it first came."""
        first: dict[tuple[float, str], float] = {}
        for one, time in self.events:
            first.setdefault((one.start, one.text), time)
        finals = [one for one, _ in self.events if one.final]
        return [TimedEvent(one.text, one.start, one.end, first[one.start, one.text]) for one in finals]


@dataclass(frozen=True)
class StreamReport:
    """The figures of a set of streams, computed when asked for.

    Streams without a gesture count for false events alone.
    """

    streams: tuple[Stream, ...]

    @cached_property
    def sequence(self) -> ErrorCounts:
        """Edits from the labels to those recognised with full context; its `rate` is the label error rate."""
        return self._edits([list(one.whole) for one in self._with_gestures])

    @cached_property
    def live_sequence(self) -> ErrorCounts:
        """The same for the labels that came live."""
        return self._edits([[event.label for event in one.found] for one in self._with_gestures])

    def _edits(self, recognised: Sequence[list[str]]) -> ErrorCounts:
        pairs = zip(self._with_gestures, recognised, strict=True)
        counts = (align_tokens([one.label for one in stream.reference], found)[0] for stream, found in pairs)
        return sum(counts, ErrorCounts.zero())

    @cached_property
    def events(self) -> EventScores:
        """Hits, misses and false events within the tolerance, counted both ways."""
        first, *others = [
            event_scores(
                [TimedEvent(one.label, one.start, one.end) for one in stream.reference],
                stream.found,
                tolerance=TOLERANCE_SECONDS,
            )
            for stream in self._with_gestures
        ]
        return sum(others, first)

    @property
    def lags(self) -> tuple[float, float] | None:
        """Medians of how much later than its gesture an event begins and ends, in streams whose labels are all right.

        They are what `lead_ms` and `trail_ms` of the spotting rules take away; none where no stream is right.
        """
        right = [s for s in self._with_gestures if [one.label for one in s.reference] == [one.label for one in s.found]]
        pairs = [pair for s in right for pair in zip(s.reference, s.found, strict=True)]
        if not pairs:
            return None
        return median(found.start - one.start for one, found in pairs), median(
            found.end - one.end for one, found in pairs
        )

    @property
    def false_events(self) -> tuple[int, float]:
        """Events in streams without a gesture, and how many seconds these last."""
        idle = [stream for stream in self.streams if not stream.reference]
        return sum(len(stream.found) for stream in idle), sum(stream.duration for stream in idle)

    @property
    def _with_gestures(self) -> Sequence[Stream]:
        return [stream for stream in self.streams if stream.reference]

    def figures(self) -> dict[str, float]:
        """Figures by name, as shares; false events are a number for ten minutes."""
        found: dict[str, float] = {}
        if self._with_gestures:
            found["label error rate"] = self.sequence.rate
            found["live label error rate"] = self.live_sequence.rate
            found["event F"] = self.events.fired.f_score
            found["event F (onset)"] = self.events.onset.f_score
        number, seconds = self.false_events
        if seconds:
            found["false events"] = number * 600 / seconds
        return found

    def summary(self) -> str:
        """A line for each figure."""
        lines = []
        if self._with_gestures:
            for name, counts in (("full context", self.sequence), ("live", self.live_sequence)):
                lines.append(
                    f"label error rate {100 * counts.rate:.2f} % ({name}; {counts.substitutions} substituted, "
                    f"{counts.deletions} missed, {counts.insertions} added; {counts.reference} gestures)"
                )
            for name, one in (("told in time", self.events.fired), ("onset", self.events.onset)):
                lines.append(
                    f"event F {one.f_score:.4f} (live, {name}, within {1000 * TOLERANCE_SECONDS:.0f} ms; "
                    f"{one.hits} hits, {one.misses} missed, {one.false} false)"
                )
            if self.lags is not None:
                begin, end = (1000 * lag for lag in self.lags)
                lines.append(f"events begin {begin:.0f} ms and end {end:.0f} ms later than their gestures (medians)")
        number, seconds = self.false_events
        if seconds:
            lines.append(f"{number} false events in {seconds / 60:.1f} minutes without a gesture")
        return "\n".join(lines)

    def to_markdown(self) -> str:
        """The summary, what an event is counted by, and the streams with the most errors."""
        lines = ["# Streams", "", *(f"- {line}" for line in self.summary().splitlines()), ""]
        lines += [
            "Live, events come frame by frame at the chunk and look-ahead given. One is told in time from the "
            "tolerance before its gesture begins to the tolerance after it ends, and has its onset right if it begins "
            "so near to where the gesture does.",
            "",
        ]
        wrong = [s for s in self.streams if [one.label for one in s.reference] != [one.label for one in s.found]]
        rows = []
        for stream in wrong[:20]:
            said = [" ".join(one.label for one in some) for some in (stream.reference, stream.found)]
            rows.append([escaped(text) for text in (stream.id, *said)])
        lines.append(table(["stream", "gestures", "recognised"], rows or [["none is wrong", "", ""]], text_columns=3))
        return "\n".join(lines) + "\n"
