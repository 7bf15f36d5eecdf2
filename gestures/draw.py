"""What a person sees of landmarks: the skeleton over the picture, and a few words on top.

Left and right have colours of their own, the person's left orange and the right blue, which people who tell few colours
apart can tell apart too. Nothing is drawn of what is absent, and what the landmarker only guesses counts as absent, as
it does for the models.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from features.landmarks import FINGERS, HAND, LandmarkError, Landmarks, mirror_name

Image = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

# RGB, after Okabe and Ito.
LEFT: Colour = (230, 159, 0)
RIGHT: Colour = (86, 180, 233)
MIDDLE: Colour = (240, 240, 240)
OUTLINE: Colour = (20, 20, 20)

LEAST_PRESENCE = 0.5
"""Below it a point is a guess: so many models take it too (`LandmarkConfig.min_presence`)."""

# Height of a letter and thickness of an arm, as shares of the smaller side of the image.
TEXT_SHARE = 1 / 20
BONE_SHARE = 1 / 120
# Letters of OpenCV's scale 1 are about so many pixels high; a line of text takes so many heights of a letter.
TALL = 22
LINE = 2.2
# Bones and points of hands are finer than those of the body.
FINE = 0.5
# Fraction bits of coordinates: OpenCV draws between pixels, so that a skeleton does not tremble.
FRACTION = 4
# Further out than this many image sizes nothing is drawn, and OpenCV's numbers would overflow in the end.
FURTHEST = 4.0


def _bones() -> Iterator[tuple[str, str]]:
    """Names of the two ends of each bone of the body and of hands that are on either side, or on none."""
    yield "left_shoulder", "right_shoulder"
    yield "left_hip", "right_hip"
    yield "left_mouth", "right_mouth"
    for side in ("left", "right"):
        for one, other in (("ear", "eye"), ("shoulder", "elbow"), ("elbow", "wrist"), ("shoulder", "hip")):
            yield f"{side}_{one}", f"{side}_{other}"
        yield f"{side}_eye", "nose"
    for prefix in ("left_hand_", "right_hand_", "hand_"):
        for finger in FINGERS:
            chain = [point for point in HAND if point.startswith(finger)]
            # The bones of the middle fingers begin at the knuckles; the palm below is drawn by its outline.
            root = ["wrist"] if finger in ("thumb", "index", "pinky") else []
            chain = root + chain
            yield from ((prefix + one, prefix + other) for one, other in pairwise(chain))
        knuckles = [f"{prefix}{finger}_mcp" for finger in FINGERS[1:]]
        yield from pairwise(knuckles)


BONES = tuple(_bones())
"""Pairs of names of points that a line joins."""


class Words(NamedTuple):
    """A line of text on an image.

    Attributes:
        text: What it says.
        row: Which line it is: 0 is the first from above, -1 the last from below.
        colour: RGB.
        size: Its height, in those of a usual line.
    """

    text: str
    row: int = 0
    colour: Colour = MIDDLE
    size: float = 1.0


def draw(image_HWC: Image, landmarks: Landmarks, *, frame: int = -1, least: float = LEAST_PRESENCE) -> Image:
    """The image with the skeleton of one frame over it.

    Args:
        image_HWC: (H, W, 3) uint8 RGB. It is the image that the landmarks were found in, or the same in another size.
        landmarks: Any points; those that no bone is about, and bones of points that are not there, are left out.
        frame: Which frame of them, the last one if not given. Without frames nothing is drawn.
        least: Presence from which on a point is drawn; what is absent never is.

    Returns:
        A new image; the one given is not touched.

    Raises:
        LandmarkError: the image is not (H, W, 3) uint8, or OpenCV is missing.
    """
    drawn_HWC = _copy(image_HWC)
    if not len(landmarks):
        return drawn_HWC
    cv2 = opencv()
    height, width, _ = drawn_HWC.shape
    points_K2 = landmarks.coordinates_TKC[frame, :, :2].astype(np.float64)
    if landmarks.size is not None:
        points_K2 *= np.array([width, height]) / landmarks.size
    points_K2 -= 0.5  # landmarks count from the edge of the first pixel, OpenCV from its middle
    presence_K = landmarks.presence_TK[frame]
    places = {}
    for name, (x, y), presence in zip(landmarks.points, points_K2, presence_K, strict=True):
        if presence > 0 and presence >= least and abs(x) <= FURTHEST * width and abs(y) <= FURTHEST * height:
            # In a mirrored image the names are those of the image.
            own = mirror_name(name) if landmarks.mirrored else name
            places[own] = (round(x * 2**FRACTION), round(y * 2**FRACTION))
    thick = max(1.0, BONE_SHARE * min(height, width))
    bones = [(places[one], places[other], one, other) for one, other in BONES if one in places and other in places]
    # All outlines first: no bone is cut by that of another.
    for extra, outline in ((max(2, round(thick / 2)), True), (0, False)):
        for begin, end, one, other in bones:
            colour = OUTLINE if outline else _colour(one, other)
            cv2.line(drawn_HWC, begin, end, colour, _thickness(thick, one) + extra, cv2.LINE_AA, FRACTION)
    for name, place in places.items():
        radius = round((_thickness(thick, name) * 0.7 + 1.0) * 2**FRACTION)
        cv2.circle(drawn_HWC, place, radius, _colour(name, name), cv2.FILLED, cv2.LINE_AA, FRACTION)
    return drawn_HWC


def mirrored(image_HWC: Image) -> Image:
    """The image as in a mirror, in memory of its own."""
    return opencv().flip(image_HWC, 1)  # thirty times as fast as NumPy's way


def write_words(image_HWC: Image, lines: Sequence[Words]) -> Image:
    """The image with lines of text, each on a darkened strip so that it can be read on any ground.

    A line that is too wide is made smaller. What the font of this OpenCV has no letter for becomes a question mark.

    Args:
        image_HWC: (H, W, 3) uint8 RGB.
        lines: What to write where.

    Returns:
        A new image.

    Raises:
        LandmarkError: as `draw`.
    """
    drawn_HWC = _copy(image_HWC)
    cv2 = opencv()
    height, width, _ = drawn_HWC.shape
    unit = TEXT_SHARE * min(height, width)
    for words in lines:
        scale = words.size * unit / TALL
        (wide, _), _ = cv2.getTextSize(words.text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
        scale *= min(1.0, (width - 2 * unit) / max(wide, 1))
        thick = max(1, round(1.5 * scale))
        (wide, tall), below = cv2.getTextSize(words.text, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
        strip = tall + below + 0.6 * unit
        top = words.row * LINE * unit if words.row >= 0 else height + (words.row + 1) * LINE * unit - strip
        rows = slice(max(0, round(top)), max(0, round(top + strip)))
        columns = slice(0, round(wide + 1.2 * unit))
        drawn_HWC[rows, columns] //= 3
        place = (round(0.6 * unit), round(top + 0.3 * unit) + tall)
        cv2.putText(drawn_HWC, words.text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, words.colour, thick, cv2.LINE_AA)
    return drawn_HWC


def opencv() -> Any:
    """The module cv2.

    Raises:
        LandmarkError: it is not installed, or a system library is missing.
    """
    try:
        import cv2
    except ImportError as error:
        from features.mediapipe_tasks import why_no_library

        raise LandmarkError(
            why_no_library(error, "pictures are drawn and turned with OpenCV, which comes with MediaPipe")
        ) from None
    return cv2


def _copy(image_HWC: Image) -> Image:
    if image_HWC.ndim != 3 or image_HWC.shape[2] != 3 or image_HWC.dtype != np.uint8 or not image_HWC.size:
        raise LandmarkError(f"an image of shape {image_HWC.shape}, {image_HWC.dtype}, is not (H, W, 3) of uint8")
    return np.array(image_HWC, order="C")


def _colour(one: str, other: str) -> Colour:
    """Of a bone or a point; a bone between the sides is in the middle."""
    for side, colour in (("left_", LEFT), ("right_", RIGHT)):
        if one.startswith(side) and (other.startswith(side) or "_" not in other):
            return colour
    return MIDDLE


def _thickness(thick: float, name: str) -> int:
    return max(1, round(thick * (FINE if "hand_" in name else 1.0)))
