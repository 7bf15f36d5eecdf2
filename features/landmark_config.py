"""What a model of gestures reads: which points, in which groups, relative to what, and how often a second.

The defaults are those of a person before a camera: the upper body in shoulder widths about the middle of the shoulders,
and each hand in palm lengths about its own wrist.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from features.landmarks import BODY, EITHER_HAND, LEFT_HAND, RIGHT_HAND

LandmarkNormalization = Literal["none", "global"]

HAND_PREFIXES = ("left_hand_", "right_hand_", "hand_")

LONGEST_REPAIR_MS = 400.0
"""Longer, and a repair could lead from one hand to the other where a group takes whichever hand is in use."""


@dataclass(frozen=True, kw_only=True)
class GroupConfig:
    """Points with a common origin and a common unit of length.

    Args:
        points: names of the points that become features.
        origin: names of the points whose mean is the group's origin; none leaves the places as they are. While one of
            them is absent, the origin stays where it was.
        unit: names of two points whose distance is the group's unit of length, or several such pairs one after the
            other, for the mean of their distances; none leaves the lengths as they are.
    """

    points: tuple[str, ...]
    origin: tuple[str, ...] = ()
    unit: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in fields(self):  # a list from a YAML file becomes a tuple, so that equal groups are equal
            object.__setattr__(self, field.name, tuple(getattr(self, field.name)))
        if not self.points:
            raise ValueError("a group of landmarks has no points: name at least one")
        for name in ("points", "origin"):
            names = getattr(self, name)
            if len(set(names)) != len(names):
                double = next(point for point in names if names.count(point) > 1)
                raise ValueError(f"{double!r} is named twice in the {name} of a group")
        if len(self.unit) % 2:
            raise ValueError(f"the unit of a group is {', '.join(self.unit)}: give pairs of points, 2, 4, 6 ... names")
        for one, other in self.pairs:
            if one == other:
                raise ValueError(f"the unit of a group is the distance of {one!r} to itself: give two points")

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The pairs of points whose distance is the unit."""
        return tuple(zip(self.unit[::2], self.unit[1::2], strict=True))

    @property
    def one_mask(self) -> bool:
        """Whether one number says how much of the group was seen.

        It does where all points are of one hand: a hand is found as a whole or not at all, so 21 equal features would
        say no more. In every other group each point has its own.
        """
        return any(all(name.startswith(prefix) for name in self.points) for prefix in HAND_PREFIXES)


def _hand_group(points: tuple[str, ...]) -> GroupConfig:
    wrist = points[0]
    return GroupConfig(points=points, origin=(wrist,), unit=(wrist, wrist.removesuffix("wrist") + "middle_mcp"))


BODY_GROUP = GroupConfig(
    points=BODY, origin=("left_shoulder", "right_shoulder"), unit=("left_shoulder", "right_shoulder")
)
LEFT_HAND_GROUP = _hand_group(LEFT_HAND)
RIGHT_HAND_GROUP = _hand_group(RIGHT_HAND)
EITHER_HAND_GROUP = _hand_group(EITHER_HAND)
"""For gestures that either hand may make: filled from the hand that is in use."""


@dataclass(frozen=True, kw_only=True)
class LandmarkConfig:
    """What a model of gestures reads.

    Args:
        fps: frames per second that landmarks of any rate are brought to.
        groups: points with their origin and unit; a point named hand_... is taken from whichever hand is in use.
        dimensions: 2 for x and y, 3 for the depth too.
        velocities: whether each point's motion before the camera is added, in units of its group.
        mask: whether it is added which points were seen: one feature a point, or one for a hand.
        repair_ms: longest absence of a point, in milliseconds, that is bridged by a straight line; rounded up to whole
            frames. The features come that much later.
        max_hole_ms: where two frames of the input are further apart than this, in milliseconds, nothing is present
            between them.
        min_presence: presence from which on a point counts as present, 0 to 1.
        normalization: none; global (mean and standard deviation of the training data, of present values alone).
    """

    fps: float = 25.0
    groups: tuple[GroupConfig, ...] = (BODY_GROUP, LEFT_HAND_GROUP, RIGHT_HAND_GROUP)
    dimensions: int = 2
    velocities: bool = True
    mask: bool = True
    repair_ms: float = 200.0
    max_hole_ms: float = 250.0
    min_presence: float = 0.5
    normalization: LandmarkNormalization = "global"

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", tuple(self.groups))
        if not 1.0 <= self.fps <= 1000.0:
            raise ValueError(f"fps={self.fps}: give 1 to 1000 frames per second, such as 25")
        if not self.groups:
            raise ValueError("groups: give at least one group of points")
        if self.dimensions not in (2, 3):
            raise ValueError(f"dimensions={self.dimensions}: give 2 or 3")
        if not 0.0 <= self.repair_ms <= LONGEST_REPAIR_MS:
            raise ValueError(f"repair_ms={self.repair_ms}: give 0 to {LONGEST_REPAIR_MS:g} ms, such as 200")
        if not 0.0 <= self.max_hole_ms < math.inf:
            raise ValueError(f"max_hole_ms={self.max_hole_ms}: give milliseconds, such as 250")
        if not 0.0 <= self.min_presence <= 1.0:
            raise ValueError(f"min_presence={self.min_presence}: give 0 to 1")
        if self.normalization not in get_args(LandmarkNormalization):
            choices = ", ".join(get_args(LandmarkNormalization))
            raise ValueError(f"normalization={self.normalization!r} is unknown; choose one of {choices}")

    @property
    def points(self) -> tuple[str, ...]:
        """All points that are read, each once: those of the groups first, then what is origin or unit alone."""
        names = [name for group in self.groups for name in group.points]
        names += [name for group in self.groups for name in group.origin + group.unit]
        return tuple(dict.fromkeys(names))

    @property
    def repair_frames(self) -> int:
        """Longest repaired absence in frames, which is how many frames the features lag behind."""
        return math.ceil(self.repair_ms * self.fps / 1000.0 - 1e-9)


def config_to_dict(config: LandmarkConfig) -> dict[str, Any]:
    """The configuration as plain YAML types."""
    stored = {field.name: getattr(config, field.name) for field in fields(config)}
    stored["groups"] = [
        {field.name: list(getattr(group, field.name)) for field in fields(group)} for group in config.groups
    ]
    return stored


def config_from_dict(stored: Mapping[str, Any]) -> LandmarkConfig:
    """The configuration that :func:`config_to_dict` stored; what is missing has its default.

    Raises:
        ValueError: an unknown key or a value of the wrong kind, by its name, or a configuration that cannot be.
    """
    defaults = {field.name: field.default for field in fields(LandmarkConfig)}
    values = _known(stored, list(defaults), "features.landmarks")
    for key, value in values.items():
        kind = type(defaults[key])
        if key == "groups":
            if not isinstance(value, list):
                raise ValueError(f"features.landmarks.groups: expected a list of groups, found {value!r}")
            values[key] = tuple(_group(group, f"features.landmarks.groups[{i}]") for i, group in enumerate(value))
        elif type(value) is not kind and not (kind is float and type(value) is int):
            raise ValueError(f"features.landmarks.{key}: expected {kind.__name__}, found {value!r}")
    return LandmarkConfig(**values)


def _group(stored: Any, where: str) -> GroupConfig:
    values = _known(stored, [field.name for field in fields(GroupConfig)], where)
    if "points" not in values:
        raise ValueError(f"{where}: points is missing")
    for key, value in values.items():
        if not isinstance(value, list) or not all(type(name) is str for name in value):
            raise ValueError(f"{where}.{key}: expected a list of names of points, found {value!r}")
    return GroupConfig(**values)


def _known(stored: Any, keys: list[str], where: str) -> dict[str, Any]:
    if not isinstance(stored, Mapping):
        raise ValueError(f"{where}: expected keys with values, found {stored!r}")
    for key in stored:
        if key not in keys:
            raise ValueError(f"{where}: unknown key {key!r}; the keys are {', '.join(keys)}")
    return dict(stored)
