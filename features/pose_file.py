"""The bytes of a `.pose` file, the sign-language field's format (pose-format, versions 0.1 and 0.2).

The package pose-format brings a video library along; recognising from landmark files must run without one. A file is a
header (size of the images; components, each a list of named points) and a body (rate, coordinates, confidence).

Points of MediaPipe go by our names (`POSE_LANDMARKS LEFT_WRIST` is `left_wrist`). What the format has no place for:

- Times of a variable rate. The header has one rate, in which the mean is written. Where that does not give the times of
  the frames to a microsecond, a component `TIME` with one point holds them: x seconds, y and z what rounding them left.
  Its confidence is 0, so that nobody draws it, and cutting out frames keeps it right.
- Mirrored images. What is written is `landmarks.unmirrored()`.
- Depth. Holistic writes z in widths of the image and not in pixels, and so do we.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from features.landmarks import BODY, FINGERS, HAND, JOINTS, LEFT_HAND, RIGHT_HAND, LandmarkError, Landmarks

VERSION = 0.2
LARGEST_USHORT = 0xFFFF
CONSTANT_WITHIN = 1e-6
"""Seconds: frames that are off a constant rate by no more need no times of their own."""
RATE_OF_ONE_FRAME = 25.0
"""Written where a single frame, or none, gives no rate; as `Landmarks.duration` counts it."""

OWN = "LANDMARKS"
"""Component of the points that are not MediaPipe's; they keep their names."""
TIME = "TIME"
SECONDS = "SECONDS"

_FINGER = {finger: finger if finger in ("thumb", "pinky") else f"{finger}_finger" for finger in FINGERS}
_THEIR_BODY = [f"MOUTH_{name[:-6].upper()}" if name.endswith("_mouth") else name.upper() for name in BODY]
_THEIR_HAND = [
    name if name == "wrist" else name.replace(name.split("_")[0], _FINGER[name.split("_")[0]]) for name in HAND
]
_COMPONENTS = {
    "POSE_LANDMARKS": dict(zip(BODY, _THEIR_BODY, strict=True)),
    "LEFT_HAND_LANDMARKS": dict(zip(LEFT_HAND, map(str.upper, _THEIR_HAND), strict=True)),
    "RIGHT_HAND_LANDMARKS": dict(zip(RIGHT_HAND, map(str.upper, _THEIR_HAND), strict=True)),
}
_OUR_NAMES = {(component, theirs): ours for component, names in _COMPONENTS.items() for ours, theirs in names.items()}
_DEPTH_IN_WIDTHS = {*_COMPONENTS, "FACE_LANDMARKS", "POSE_WORLD_LANDMARKS"}
_COLORS = {"LEFT_HAND_LANDMARKS": (0, 0, 255), "RIGHT_HAND_LANDMARKS": (0, 128, 0)}


def _hand_limbs() -> Iterator[tuple[str, str]]:
    for finger in FINGERS:
        chain = [f"{finger}_{joint}" for joint in JOINTS.get(finger, ("mcp", "pip", "dip", "tip"))]
        yield from zip(["wrist", *chain], chain, strict=False)
    yield from (("index_mcp", "middle_mcp"), ("middle_mcp", "ring_mcp"), ("ring_mcp", "pinky_mcp"))


# What is joined by a line where the file is drawn.
_LIMBS = [
    *((f"{hand}_{a}", f"{hand}_{b}") for hand in ("left_hand", "right_hand", "hand") for a, b in _hand_limbs()),
    *(
        (f"{side}_{a}", f"{side}_{b}")
        for side in ("left", "right")
        for a, b in (("shoulder", "elbow"), ("elbow", "wrist"))
    ),
    *((f"{side}_shoulder", f"{side}_hip") for side in ("left", "right")),
    *((f"left_{part}", f"right_{part}") for part in ("mouth", "shoulder", "hip")),
    *(pair for side in ("left", "right") for pair in (("nose", f"{side}_eye"), (f"{side}_eye", f"{side}_ear"))),
]


class Component(NamedTuple):
    """A group of points in the header. `format` names a point's numbers, such as XYZC; C is the confidence."""

    name: str
    format: str
    points: list[str]


@np.errstate(over="ignore", invalid="ignore")  # numbers that are none become absent points
def decode(data: bytes) -> Landmarks:
    """All points of the one person, of several, who is there most: whose confidences have the largest sum.

    A point is absent where its confidence is 0 or one of its numbers is none. Confidence above 1, as OpenPose gives, is
    1. Names of points that are not ours: `face_0` and so on of FACE_LANDMARKS, `left_world_wrist` of
    POSE_WORLD_LANDMARKS, `left_heel` of POSE_LANDMARKS, `COMPONENT_POINT` of components that are not MediaPipe's.

    Raises:
        LandmarkError: not a `.pose` file, another version, damaged, or without a frame rate. It does not name the file.
    """
    reader = _Reader(data)
    size, version, components = _header(reader)
    rate, coordinates_TKD, confidence_TK = _body(reader, version, components)
    frames = len(coordinates_TKD)
    coordinates_TKC = np.zeros((*confidence_TK.shape, 3))
    names: list[str] = []
    kept: list[int] = []
    time_T = None
    first = 0
    for component in components:
        block = slice(first, first + len(component.points))
        first = block.stop
        coordinates_TKC[:, block, :2] = coordinates_TKD[:, block, :2]
        if "Z" in component.format[:-1]:
            depth = size[0] if size and component.name in _DEPTH_IN_WIDTHS else 1
            coordinates_TKC[:, block, 2] = coordinates_TKD[:, block, component.format.index("Z")].astype(float) * depth
        if component.name == TIME and component.points == [SECONDS]:
            time_T = coordinates_TKC[:, block].sum(axis=(1, 2))
        else:
            kept.extend(range(block.start, block.stop))
            names.extend(_our_name(component.name, point) for point in component.points)
    if time_T is None or not np.isfinite(time_T).all() or (np.diff(time_T) <= 0).any():
        time_T = _times(rate, frames)
    coordinates_TKC = coordinates_TKC[:, kept].astype(np.float32)
    confidence_TK = confidence_TK[:, kept]
    there_TK = np.isfinite(coordinates_TKC).all(axis=2) & np.isfinite(confidence_TK)
    presence_TK = np.where(there_TK, np.clip(confidence_TK, 0.0, 1.0), 0.0)
    return Landmarks(coordinates_TKC, presence_TK, time_T, tuple(names), size)


def encode(landmarks: Landmarks) -> bytes:
    """A file of version 0.2 of one person, unmirrored.

    Read again, x, y and presence are the same numbers, z to 1e-7 of itself, times to a microsecond (those of a variable
    rate: the same numbers). Points come back in the order of the format: body, left hand, right hand, others.

    Raises:
        LandmarkError: no points, or more of something than the format has room for.
    """
    landmarks = landmarks.unmirrored()
    if not landmarks.points:
        raise LandmarkError("landmarks without points cannot be written as .pose")
    width, height = landmarks.size or (0, 0)
    groups: dict[str, list[str]] = {
        name: [p for p in landmarks.points if p in _COMPONENTS[name]] for name in _COMPONENTS
    }
    groups[OWN] = [p for p in landmarks.points if not any(p in names for names in _COMPONENTS.values())]
    groups = {name: points for name, points in groups.items() if points}
    ordered = landmarks.select([point for points in groups.values() for point in points])
    coordinates_TKC = np.nan_to_num(ordered.coordinates_TKC, nan=0.0).astype(np.float64)
    scaled = sum(len(points) for name, points in groups.items() if name in _DEPTH_IN_WIDTHS)
    coordinates_TKC[:, :scaled, 2] /= width or 1
    presence_TK = ordered.presence_TK
    components = [_component(name, points) for name, points in groups.items()]

    rate = _mean_rate(landmarks.time_T)
    if len(landmarks) and np.abs(_times(rate, len(landmarks)) - landmarks.time_T).max() > CONSTANT_WITHIN:
        components.append(_component(TIME, [SECONDS]))
        coordinates_TKC = np.concatenate([coordinates_TKC, _split(landmarks.time_T)[:, None]], axis=1)
        presence_TK = np.concatenate([presence_TK, np.zeros((len(landmarks), 1))], axis=1)

    header = struct.pack("<f", VERSION) + _ushorts(width, height, 0, len(components)) + b"".join(components)
    body = struct.pack("<fIH", rate, len(landmarks), 1)
    return header + body + coordinates_TKC.astype("<f4").tobytes() + presence_TK.astype("<f4").tobytes()


class _Reader:
    """Takes one thing after the other, and never more than there is."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self.at

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise LandmarkError("ends in the middle of its header; get or make it anew")
        self.at += count
        return self._data[self.at - count : self.at]

    def unpack(self, layout: str) -> tuple:
        return struct.unpack(f"<{layout}", self.take(struct.calcsize(f"<{layout}")))

    def text(self) -> str:
        (length,) = self.unpack("H")
        try:
            return self.take(length).decode("utf-8")
        except UnicodeDecodeError:
            raise LandmarkError("has a name in its header that is no text; it is damaged") from None

    def floats(self, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
        count = int(np.prod(shape, dtype=object))
        return np.frombuffer(self.take(4 * count), dtype="<f4").reshape(shape)


def _header(reader: _Reader) -> tuple[tuple[int, int] | None, float, list[Component]]:
    if not reader.left:
        raise LandmarkError("is empty")
    if reader.left < 4:
        raise LandmarkError("is no .pose file")
    (version,) = reader.unpack("f")
    version = round(version, 3)
    if version == 0.0:
        raise LandmarkError("is a .pose file of version 0.0, or none; write it anew with the package pose-format")
    if version not in (0.1, 0.2):
        raise LandmarkError("is no .pose file of version 0.1 or 0.2")
    width, height, _depth, count = reader.unpack("HHHH")
    components = []
    for _ in range(count):
        name, layout = reader.text(), reader.text()
        points, limbs, colors = reader.unpack("HHH")
        components.append(Component(name, layout, [reader.text() for _ in range(points)]))
        reader.take(4 * limbs + 6 * colors)
        if points and not (layout.startswith("XY") and len(layout) > 2):
            raise LandmarkError(
                f"has points of the kind {layout[:20]!r} in {name[:40]!r}; kinds are XYC, XYZC and the like"
            )
    return (width, height) if width and height else None, version, components


def _body(
    reader: _Reader, version: float, components: Sequence[Component]
) -> tuple[float, npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Rate, coordinates (T,K,D) and confidence (T,K) of one person."""
    rate, frames, people = reader.unpack("fIH" if version == 0.2 else "HHH")
    points = sum(len(component.points) for component in components)
    dims = max((len(component.format) for component in components if component.points), default=1) - 1
    frame_bytes = people * points * (dims + 1) * 4
    if not frame_bytes:
        if frames or reader.left:
            raise LandmarkError("holds no person, or no points")
        return rate, np.zeros((0, points, max(dims, 2)), np.float32), np.zeros((0, points), np.float32)
    if version == 0.1 and reader.left // frame_bytes > LARGEST_USHORT:
        frames = reader.left // frame_bytes  # more than its header can say
    if frames * frame_bytes != reader.left:
        amount = "less" if frames * frame_bytes > reader.left else "more"
        raise LandmarkError(
            f"holds {amount} than the {frames} frames its header names; it is damaged: get or make it anew"
        )
    coordinates_TNKD = reader.floats((frames, people, points, dims))
    confidence_TNK = reader.floats((frames, people, points))
    sums_N = np.where(confidence_TNK > 0, np.minimum(confidence_TNK, 1.0), 0.0).sum(axis=(0, 2))
    person = int(np.argmax(sums_N))
    return rate, coordinates_TNKD[:, person], confidence_TNK[:, person]


def _our_name(component: str, point: str) -> str:
    if component in ("POSE_LANDMARKS", "POSE_WORLD_LANDMARKS"):
        name = _OUR_NAMES.get(("POSE_LANDMARKS", point), point.lower())
        if component == "POSE_LANDMARKS":
            return name
        side = next((side for side in ("left_", "right_") if name.startswith(side)), "")
        return f"{side}world_{name.removeprefix(side)}"
    if component == "FACE_LANDMARKS":
        return f"face_{point}"
    return _OUR_NAMES.get((component, point), point if component == OWN else f"{component}_{point}")


def _component(name: str, points: Sequence[str]) -> bytes:
    """A component of the header, of our points; limbs are pairs of their indices."""
    index = {point: k for k, point in enumerate(points)}
    limbs = [(index[a], index[b]) for a, b in _LIMBS if a in index and b in index]
    written = [_COMPONENTS.get(name, {}).get(point, point) for point in points]
    return b"".join(
        [
            *map(_text, (name, "XYZC")),
            _ushorts(len(points), len(limbs), 1),
            *map(_text, written),
            *(_ushorts(*limb) for limb in limbs),
            _ushorts(*_COLORS.get(name, (255, 0, 0))),
        ]
    )


def _text(text: str) -> bytes:
    encoded = text.encode("utf-8")
    return _ushorts(len(encoded)) + encoded


def _ushorts(*numbers: int) -> bytes:
    beyond = [number for number in numbers if not 0 <= number <= LARGEST_USHORT]
    if beyond:
        raise LandmarkError(
            f"a .pose file has images, points and names of at most {LARGEST_USHORT} pixels, points and letters, "
            f"not {beyond[0]}; write .npz"
        )
    return struct.pack(f"<{len(numbers)}H", *numbers)


def _mean_rate(time_T: npt.NDArray[np.float64]) -> float:
    """Frames a second, as float32 has it."""
    if len(time_T) < 2:
        return RATE_OF_ONE_FRAME
    largest = np.finfo(np.float32)
    return float(np.float32(np.clip((len(time_T) - 1) / (time_T[-1] - time_T[0]), largest.tiny, largest.max)))


def _times(rate: float, frames: int) -> npt.NDArray[np.float64]:
    """Seconds of the frames at a constant rate, from 0 on.

    float32 cannot hold 29.97...: where a whole rate, one of television (30000/1001) or one of few decimals is the same
    number in float32, that is what was meant.
    """
    if frames < 2:
        return np.zeros(frames)
    if not (np.isfinite(rate) and rate > 0):
        raise LandmarkError(f"has a rate of {rate:g} frames a second, so its frames have no times")
    meant = [Fraction(round(rate)), Fraction(round(rate * 1.001) * 1000, 1001), Fraction(round(rate * 1000), 1000)]
    exact = next((float(one) for one in meant if np.float32(float(one)) == np.float32(rate)), rate)
    return np.arange(frames) / exact


def _split(time_T: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Times as three float32 each (T,3) whose sum they are."""
    with np.errstate(over="ignore", invalid="ignore"):
        first_T = time_T.astype(np.float32)
        second_T = (time_T - first_T).astype(np.float32)
        third_T = (time_T - first_T - second_T).astype(np.float32)
    parts_T3 = np.stack([first_T, second_T, third_T], axis=1).astype(np.float64)
    if not np.isfinite(parts_T3).all() or np.abs(parts_T3.sum(axis=1) - time_T).max() > CONSTANT_WITHIN:
        raise LandmarkError("has times that a .pose file cannot hold; count them from the first frame")
    return parts_T3
