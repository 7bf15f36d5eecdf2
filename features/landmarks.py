"""Landmarks: named points of a body over time, and for each whether it was seen.

Left and right are the person's own, whatever the image shows. Where the images were mirrored, as those of a webcam's
selfie view, `mirrored` says so, and `unmirrored()` is what everything after it works on.

A point that was not seen is absent: presence 0 and coordinates NaN, so that nothing can take it for a place. Shape
letters: T frames, K points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

PAIRS = ("eye", "ear", "mouth", "shoulder", "elbow", "wrist", "hip")
BODY = ("nose", *(f"{side}_{part}" for part in PAIRS for side in ("left", "right")))
"""Upper body: MediaPipe's points of the same names."""

FINGERS = ("thumb", "index", "middle", "ring", "pinky")
JOINTS = {"thumb": ("cmc", "mcp", "ip", "tip")}
HAND = (
    "wrist",
    *(f"{finger}_{joint}" for finger in FINGERS for joint in JOINTS.get(finger, ("mcp", "pip", "dip", "tip"))),
)
"""The 21 points of a hand, in MediaPipe's order, without the side."""

LEFT_HAND = tuple(f"left_hand_{point}" for point in HAND)
RIGHT_HAND = tuple(f"right_hand_{point}" for point in HAND)
EITHER_HAND = tuple(f"hand_{point}" for point in HAND)
"""A hand of which it does not matter whose side it is on."""

PERSON = BODY + LEFT_HAND + RIGHT_HAND
"""What the landmarker finds: upper body and both hands, K = 57."""


class LandmarkError(ValueError):
    """Landmarks that cannot be used, or a file that holds none; the message says what to do."""


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Points over time, checked when made.

    Attributes:
        coordinates_TKC: (T,K,3) float32. x to the right, y down, z away from the camera, all on one scale: pixels where
            the points are from images. NaN where a point is absent; a source without depth has z = 0.
        presence_TK: (T,K) float32 from 0, absent, to 1: how sure the source is that the point is there.
        time_T: Seconds (T) float64, strictly rising.
        points: Names of the points; a side is the prefix `left_` or `right_`.
        size: Width and height of the images in pixels; none where there were no images.
        mirrored: Whether the images were flipped left to right before the points were found.

    Raises:
        LandmarkError: shapes do not fit, names are doubled, time does not rise, or a point is present without a place.
    """

    coordinates_TKC: npt.NDArray[np.float32]
    presence_TK: npt.NDArray[np.float32]
    time_T: npt.NDArray[np.float64]
    points: tuple[str, ...] = PERSON
    size: tuple[int, int] | None = None
    mirrored: bool = False
    _index: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        coordinates = np.array(self.coordinates_TKC, dtype=np.float32)
        presence = np.array(self.presence_TK, dtype=np.float32)
        time = np.array(self.time_T, dtype=np.float64)
        points = tuple(self.points)
        frames, many = len(time), len(points)
        if time.shape != (frames,) or presence.shape != (frames, many) or coordinates.shape != (frames, many, 3):
            raise LandmarkError(
                f"coordinates {coordinates.shape}, presence {presence.shape} and times {time.shape} do not fit "
                f"{many} points: (T, {many}, 3), (T, {many}) and (T,) are needed"
            )
        if len(set(points)) != many:
            raise LandmarkError(f"two points are named {next(name for name in points if points.count(name) > 1)!r}")
        if not np.isfinite(time).all() or (np.diff(time) <= 0).any():
            raise LandmarkError("the times of the frames must be finite and rise from each to the next")
        if not ((presence >= 0) & (presence <= 1)).all():
            raise LandmarkError("presence lies from 0 to 1")
        if not np.isfinite(coordinates[presence > 0]).all():
            raise LandmarkError("a point that is present has coordinates that are no finite numbers")
        coordinates[presence == 0] = np.nan
        # The one place where the fields are set: from here on nothing changes them.
        for name, value in (("coordinates_TKC", coordinates), ("presence_TK", presence), ("time_T", time)):
            value.flags.writeable = False
            object.__setattr__(self, name, value)
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "_index", {name: k for k, name in enumerate(points)})

    def __len__(self) -> int:
        """Frames T."""
        return len(self.time_T)

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the last, and one frame more, of the median length.

        A single frame lasts 1/25 s; no frames last 0 s.
        """
        if len(self) < 2:
            return 0.04 * len(self)
        return float(self.time_T[-1] - self.time_T[0] + np.median(np.diff(self.time_T)))

    def select(self, points: Sequence[str]) -> Landmarks:
        """These points in this order; one that the source does not have is absent in every frame."""
        coordinates_TKC = np.full((len(self), len(points), 3), np.nan, dtype=np.float32)
        presence_TK = np.zeros((len(self), len(points)), dtype=np.float32)
        for k, name in enumerate(points):
            if name in self._index:
                coordinates_TKC[:, k] = self.coordinates_TKC[:, self._index[name]]
                presence_TK[:, k] = self.presence_TK[:, self._index[name]]
        return replace(self, coordinates_TKC=coordinates_TKC, presence_TK=presence_TK, points=tuple(points))

    def between(self, start: float, end: float) -> Landmarks:
        """The frames with start <= time < end; their times stay as they are."""
        first, last = np.searchsorted(self.time_T, [start, end])
        return self[int(first) : int(last)]

    def __getitem__(self, frames: slice) -> Landmarks:
        """A range of frames, such as `landmarks[10:20]`; their times stay as they are."""
        return replace(
            self,
            coordinates_TKC=self.coordinates_TKC[frames],
            presence_TK=self.presence_TK[frames],
            time_T=self.time_T[frames],
        )

    def moved(self, seconds: float) -> Landmarks:
        """The same, so much later."""
        return replace(self, time_T=self.time_T + seconds)

    def with_frames(
        self, coordinates_TKC: npt.ArrayLike, presence_TK: npt.ArrayLike, time_T: npt.ArrayLike
    ) -> Landmarks:
        """Other frames of the same points."""
        return replace(self, coordinates_TKC=coordinates_TKC, presence_TK=presence_TK, time_T=time_T)

    def unmirrored(self) -> Landmarks:
        """As seen by a camera that does not mirror.

        In a mirrored image a landmarker takes the left hand for a right one: x is flipped, and the sides change names.
        """
        return replace(self.flipped(), mirrored=False) if self.mirrored else self

    def flipped(self) -> Landmarks:
        """The mirror image: x counted from the other side, and what was the left hand is the right one.

        The points keep their order where both sides are among them; a hand alone becomes the other hand.
        """
        coordinates_TKC = np.array(self.coordinates_TKC)
        width = 0.0 if self.size is None else self.size[0]
        coordinates_TKC[..., 0] = width - coordinates_TKC[..., 0]
        names = tuple(mirror_name(name) for name in self.points)
        other = replace(self, coordinates_TKC=coordinates_TKC, points=names)
        return other.select(self.points) if set(names) == set(self.points) else other


def mirror_name(name: str) -> str:
    """`left_wrist` for `right_wrist` and the other way round; a point in the middle keeps its name."""
    for side, other in (("left_", "right_"), ("right_", "left_")):
        if name.startswith(side):
            return other + name.removeprefix(side)
    return name


def joined(parts: Sequence[Landmarks]) -> Landmarks:
    """One after the other, as they are in time.

    Raises:
        LandmarkError: nothing to join, other points, mirrored or not, or times that do not rise across a joint.
    """
    if not parts:
        raise LandmarkError("nothing to join")
    if any(part.points != parts[0].points for part in parts):
        raise LandmarkError("landmarks of different points cannot be joined; select the same points of each first")
    if any(part.mirrored != parts[0].mirrored for part in parts):
        raise LandmarkError("mirrored landmarks cannot be joined to others; use unmirrored() of each first")
    return replace(
        parts[0],
        coordinates_TKC=np.concatenate([part.coordinates_TKC for part in parts]),
        presence_TK=np.concatenate([part.presence_TK for part in parts]),
        time_T=np.concatenate([part.time_T for part in parts]),
    )
