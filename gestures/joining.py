"""Streams made of clips: one gesture after another, with moments of rest between them.

Clips of single gestures say nothing about where a gesture begins and ends in a stream. Joined, they make streams whose
gestures have known places: to train spotting and continuous recognition on, and to test them. Between two clips the
points go from where the first ended to where the second begins, at times of their own, and sway a little while they
rest, as a living body does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.landmarks import Landmarks, joined

# The way from one pose to the next takes about so long, in seconds; what is left of a pause is rest.
MOVE_SECONDS = (0.25, 0.6)
# Sway at rest: standard deviation as a share of the body's extent, and how much of it is left after a second.
SWAY = 0.01
SWAY_KEPT = 0.2


@dataclass
class JoinConfig:
    """Clips joined to streams, as training hears them.

    Args:
        share: Share of the examples that are joined; the others are one clip alone.
        clips: Fewest and most clips in a stream.
        pause_ms: Shortest and longest rest before, between and after them.
    """

    share: float = 0.0
    clips: tuple[int, int] = (1, 3)
    pause_ms: tuple[float, float] = (200.0, 2000.0)

    def __post_init__(self) -> None:
        self.clips, self.pause_ms = tuple(self.clips), tuple(self.pause_ms)
        if not 0 <= self.share <= 1:
            raise ValueError(f"join.share is {self.share}; it is a share of the examples, 0 to 1")
        if not 1 <= self.clips[0] <= self.clips[1]:
            raise ValueError(f"join.clips is {list(self.clips)}; give the fewest, at least 1, and the most")
        if not 0 < self.pause_ms[0] <= self.pause_ms[1]:
            raise ValueError(f"join.pause_ms is {list(self.pause_ms)}; give the shortest, above 0, and the longest")


def join_clips(
    clips: Sequence[Landmarks], pauses: Sequence[float], rng: np.random.Generator
) -> tuple[Landmarks, list[tuple[float, float]]]:
    """One stream of several clips, and start and end of each in it, in seconds.

    Args:
        clips: Clips of the same points, each with a frame at least.
        pauses: Seconds of rest before the first clip, between the clips and after the last: one more than clips.
        rng: What rest looks like is drawn from it.
    """
    assert len(pauses) == len(clips) + 1, "a pause before, between and after"
    step = min(clip.duration / len(clip) for clip in clips)
    parts: list[Landmarks] = []
    places: list[tuple[float, float]] = []
    now = 0.0
    for index, pause in enumerate(pauses):
        before = clips[index - 1] if index else None
        after = clips[index] if index < len(clips) else None
        rest = _rest(before, after, pause, step, rng)
        if len(rest):
            parts.append(_from(rest, now))
            now += rest.duration
        if after is not None:
            parts.append(_from(after, now))
            places.append((now, now + after.duration))
            now += after.duration
    return joined(parts), places


def _from(landmarks: Landmarks, start: float) -> Landmarks:
    """The same, beginning at another time."""
    return landmarks.moved(start - landmarks.time_T[0])


def _rest(
    before: Landmarks | None, after: Landmarks | None, pause: float, step: float, rng: np.random.Generator
) -> Landmarks:
    """Frames between two clips; at either end of the stream, the pose of the one clip there is."""
    neighbours = [clip for clip in (before, after) if clip is not None]
    frames = max(1, round(pause / step))
    here, there = neighbours[0], neighbours[-1]
    last = len(here) - 1 if before is not None else 0
    first = 0 if after is not None else len(there) - 1
    time_T = np.arange(frames) * step
    move = min(rng.uniform(*MOVE_SECONDS), frames * step)
    begin = rng.uniform(0, frames * step - move)
    way_T = np.clip((time_T - begin) / move, 0, 1)
    way_T = way_T * way_T * (3 - 2 * way_T)  # leaves and arrives gently
    a_KC, b_KC = here.coordinates_TKC[last], there.coordinates_TKC[first]
    coordinates_TKC = a_KC + way_T[:, None, None] * (b_KC - a_KC)
    presence_TK = np.where(way_T[:, None] < 0.5, here.presence_TK[last], there.presence_TK[first])
    # Seen at one end alone: there, until half of the way.
    coordinates_TKC = np.where(np.isnan(coordinates_TKC) & (way_T < 0.5)[:, None, None], a_KC, coordinates_TKC)
    coordinates_TKC = np.where(np.isnan(coordinates_TKC), b_KC, coordinates_TKC)
    coordinates_TKC = coordinates_TKC + _sway(coordinates_TKC, _extent(here), step, rng)
    presence_TK = np.where(np.isnan(coordinates_TKC).any(axis=-1), 0, presence_TK)
    return here.with_frames(coordinates_TKC, presence_TK, time_T)


def _extent(landmarks: Landmarks) -> float:
    """Size of the body in the clip: the middle nine tenths of all places, in x or y, whichever is more."""
    seen_NC = landmarks.coordinates_TKC[landmarks.presence_TK > 0]
    if not len(seen_NC):
        return 0.0
    low_C, high_C = np.quantile(seen_NC[:, :2], [0.05, 0.95], axis=0)
    return float((high_C - low_C).max())


def _sway(places_TKC: np.ndarray, extent: float, step: float, rng: np.random.Generator) -> np.ndarray:
    """Slow noise of each point (an autoregressive process), in x and y."""
    kept = SWAY_KEPT**step
    sway_TKC = np.zeros_like(places_TKC)
    drawn_TKC = rng.standard_normal(places_TKC[..., :2].shape) * SWAY * extent
    sway_TKC[0, :, :2] = drawn_TKC[0]
    for t in range(1, len(places_TKC)):
        sway_TKC[t, :, :2] = kept * sway_TKC[t - 1, :, :2] + np.sqrt(1 - kept**2) * drawn_TKC[t]
    return sway_TKC
