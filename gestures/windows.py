"""Which label a window of a stream has: what spotting is trained to say when it has seen just this much.

A window that holds most of a gesture has its label, one that holds next to nothing of any has `none`. What lies between
has no right answer and is not trained on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gestures.spotting import NONE
from training.manifests import Segment

# Share of a gesture (of the window, where the gesture is longer) that makes a window the gesture's, or nobody's.
MOST = 0.75
HARDLY = 0.25


def label_of(start: float, end: float, segments: Sequence[Segment]) -> str | None:
    """Label of the window from `start` to `end` in seconds; none where it has no right answer.

    Of several gestures that a window holds the last one counts, since it is the one that has just been made.
    """
    shares = [(_share(start, end, one), one) for one in segments if one.label != NONE]
    most = [one for share, one in shares if share >= MOST]
    if most:
        return max(most, key=lambda one: one.end).label
    return NONE if all(share <= HARDLY for share, _ in shares) else None


def _share(start: float, end: float, segment: Segment) -> float:
    seen = min(end, segment.end) - max(start, segment.start)
    return max(0.0, seen) / max(min(segment.end - segment.start, end - start), 1e-9)


def windows(
    duration: float, segments: Sequence[Segment], *, window: float, hop: float, shortest: float
) -> list[tuple[float, float, str]]:
    """Start, end and label of every window that has one, at every hop, as a stream is judged; in seconds.

    Args:
        duration: Length of the stream.
        segments: Its gestures.
        window: Length of a window; at the beginning of the stream they are shorter.
        hop: Time from one window's end to the next one's.
        shortest: Windows shorter than this are left out.
    """
    found = []
    for number in range(1, int(duration / hop + 1e-6) + 1):
        end = number * hop
        start = max(0.0, end - window)
        label = label_of(start, end, segments) if end - start >= shortest - 1e-9 else None
        if label is not None:
            found.append((start, end, label))
    return found


def draw(found: Sequence[tuple[float, float, str]], count: int, rng: np.random.Generator) -> list[int]:
    """Indices of `count` windows at most, as evenly over the labels as there are windows of each."""
    order = [int(k) for k in rng.permutation(len(found))]
    turns: dict[str, int] = {}
    keys = {}
    for index in order:
        label = found[index][2]
        keys[index] = turns[label] = turns.get(label, 0) + 1
    return sorted(sorted(order, key=keys.__getitem__)[:count])
