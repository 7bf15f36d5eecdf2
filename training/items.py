"""What there is to train and to test on, one by one: utterances of recordings and clips of landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from features.archive import Member


class ManifestError(ValueError):
    """Data that cannot be trained or tested on; the message names the file and says what to do."""


class Segment(NamedTuple):
    """A label and its place in an item, in seconds from the item's start."""

    start: float
    end: float
    label: str


@dataclass(frozen=True, slots=True)
class Item:
    """One utterance or clip: where it lies, how long it is (seconds), what it says, and whose it is.

    `speaker` is the empty string where nobody said whose it is. `segments` are the gestures of a clip of landmarks.
    """

    id: str
    path: str | Member
    start: float
    duration: float
    text: str
    speaker: str = ""
    segments: tuple[Segment, ...] = ()

    @property
    def content(self) -> tuple:
        """What the item is, wherever it lies: by it a run knows its data again."""
        return self.id, self.start, self.duration, self.text, self.speaker, self.segments

    @property
    def labels(self) -> set[str]:
        """The labels of its segments; of a recording its whole text, where that is a label."""
        return {segment.label for segment in self.segments} or {self.text} - {""}

    @property
    def whole(self) -> bool:
        """Whether it is one gesture from end to end, to a frame or two."""
        return len(self.segments) == 1 and self.segments[0].end - self.segments[0].start >= self.duration - 0.1
