"""SHREC'17 Track: 14 hand gestures, each with one finger and with the whole hand, 28 people, 2,800 clips.

De Smedt et al., "3D Hand Gesture Recognition Using a Depth and Skeleton Dataset", Eurographics 3DOR 2017. Layout:
`gesture_G/finger_F/subject_S/essai_E/skeletons_world.txt`, a line a frame, 22 joints of x, y and z in metres; the
official split is in `train_gestures.txt` and `test_gestures.txt`, a line a clip: gesture, finger, subject, essai, label
of 14, label of 28, frames. The depth images are not needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from features.landmarks import EITHER_HAND, FINGERS, LandmarkError, Landmarks
from recipes.corpora import Clip, CorpusError

RATE = 30.0
"""Frames a second; the camera's, the files have none."""

GESTURES = (
    "grab",
    "tap",
    "expand",
    "pinch",
    "rotation clockwise",
    "rotation counter-clockwise",
    "swipe right",
    "swipe left",
    "swipe up",
    "swipe down",
    "swipe x",
    "swipe +",
    "swipe v",
    "shake",
)
WAYS = ("one finger", "whole hand")
"""finger_1 and finger_2."""

POINTS = (EITHER_HAND[0], "hand_palm", *EITHER_HAND[1:])
"""The 22 joints in their order: wrist, palm, then of each finger base, first joint, second joint, tip.

But for the palm they are MediaPipe's; the thumb's base is its CMC joint.
"""
assert len(POINTS) == 2 + 4 * len(FINGERS)

# The camera's x is to its left and y is up, as those of Landmarks are not: a half turn around z. (Everybody is right-
# handed: with one axis turned alone, or none and y down, the hands in the files would be left ones.)
AXES = np.array([-1.0, -1.0, 1.0])


def clips(folder: str | Path, *, labels: int = 14) -> Iterator[Clip]:
    """Clips in the order of the lists, training ones first; each is read when its turn comes.

    Args:
        folder: The unpacked corpus, with `train_gestures.txt`.
        labels: 14 (`grab`) or 28 (`grab, one finger`).

    Raises:
        CorpusError: a list or a clip is missing or not as the layout says.
    """
    if labels not in (14, 28):
        raise CorpusError(f"SHREC'17 has 14 or 28 labels, not {labels}")
    folder = Path(folder)
    lists = {part: folder / f"{part}_gestures.txt" for part in ("train", "test")}
    for path in lists.values():
        if not path.is_file():
            raise CorpusError(f"{path}: not there; unpack HandGestureDataset_SHREC2017 and name that folder")
    for part, path in lists.items():
        for number, (gesture, finger, subject, essai) in _lines(path):
            place = f"gesture_{gesture}/finger_{finger}/subject_{subject}/essai_{essai}"
            if not (1 <= gesture <= len(GESTURES) and 1 <= finger <= len(WAYS)):
                raise CorpusError(f"{path}: line {number}: there is no {place} in SHREC'17")
            label = GESTURES[gesture - 1] + (f", {WAYS[finger - 1]}" if labels == 28 else "")
            landmarks = read(folder / place / "skeletons_world.txt")
            yield Clip(place.replace("/", "-"), landmarks, label, str(subject), part)


def read(path: str | Path) -> Landmarks:
    """Landmarks of a `skeletons_world.txt`, in metres, y down: the points `POINTS`, all present.

    Raises:
        CorpusError: the file is missing or holds something else.
    """
    coordinates_TKC = _numbers(Path(path), 3 * len(POINTS)).reshape(-1, len(POINTS), 3) * AXES
    frames = len(coordinates_TKC)
    try:
        return Landmarks(coordinates_TKC, np.ones((frames, len(POINTS))), np.arange(frames) / RATE, POINTS)
    except LandmarkError as error:
        raise CorpusError(f"{path}: {error}") from None


def _lines(path: Path) -> Iterator[tuple[int, tuple[int, int, int, int]]]:
    """Number of the line, and gesture, finger, subject and essai."""
    for number, row in enumerate(_numbers(path, 7), start=1):
        gesture, finger, subject, essai = (int(value) for value in row[:4])
        yield number, (gesture, finger, subject, essai)


def _numbers(path: Path, columns: int) -> npt.NDArray[np.float64]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror}); unpack the whole corpus") from None
    except UnicodeDecodeError:
        raise CorpusError(f"{path}: is not text; unpack the corpus anew") from None
    rows = [line.split() for line in text.splitlines() if line.strip()]
    wrong = next((k for k, row in enumerate(rows, start=1) if len(row) != columns), None)
    if wrong is not None:
        raise CorpusError(f"{path}: line {wrong} has {len(rows[wrong - 1])} numbers, not {columns}; unpack it anew")
    try:
        numbers = np.array(rows, dtype=np.float64).reshape(-1, columns)
    except ValueError as error:
        raise CorpusError(f"{path}: {error}; unpack it anew") from None
    if not len(numbers) or not np.isfinite(numbers).all():
        raise CorpusError(f"{path}: is empty or has numbers that are not finite; unpack it anew")
    return numbers
