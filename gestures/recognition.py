"""What a recogniser returns for one recording: its gestures with their times."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Gesture:
    """One gesture as it was recognised, from `start` to `end` in seconds, with a `confidence` in [0, 1]."""

    label: str
    start: float
    end: float
    confidence: float

    def __post_init__(self) -> None:
        assert self.start <= self.end, f"times of {self}"
        assert 0 <= self.confidence <= 1, f"confidence of {self}"


@dataclass(frozen=True, slots=True)
class Recognition:
    """The gestures of one recording in their order, none of which begins before the one before it has ended.

    `duration` is the length of the recording in seconds, `model` the name of the model that watched it, and `source`
    the recording itself: the path of a file, or an address.
    """

    gestures: tuple[Gesture, ...]
    duration: float
    model: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        for before, after in pairwise(self.gestures):
            assert before.end <= after.start + 1e-6, f"{after} begins before {before} ends"
