"""From pictures to landmarks: MediaPipe's hand and pose landmarkers, in video mode.

Left and right are settled here, and nowhere else. MediaPipe names a hand after what it looks like in the image as it
is: in an image that is not mirrored, the name is the person's own side. Which of the two arms of the pose a hand is at
says it more surely, so the names only decide where no pose is found, or where both wrists are about as near.

One person is followed: the one whom MediaPipe's detector is surest of, until she is lost. Hands that are out of her
arms' reach are somebody else's, and are left out.
"""

from __future__ import annotations

import itertools
import warnings
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from features import landmarker_models
from features.landmarks import BODY, HAND, PERSON, LandmarkError, Landmarks, joined
from features.mediapipe_tasks import mediapipe
from features.quiet import quiet_c_stderr
from features.video import Frame, Video, open_video

SIDES = ("left", "right")

# Places of BODY among MediaPipe's 33 points of a pose.
_POSE = {"nose": 0, "eye": 2, "ear": 7, "mouth": 9, "shoulder": 11, "elbow": 13, "wrist": 15, "hip": 23}
_RIGHT_OF = {2: 5}  # the eyes have three points each; of all others, right follows left
_POSE_INDEX = [
    _POSE[part] if side != "right" else _RIGHT_OF.get(_POSE[part], _POSE[part] + 1)
    for side, part in (name.split("_") if "_" in name else ("", name) for name in BODY)
]

# A pose both of whose shoulders are less sure than this is a guess, and says nothing about hands.
_SURE = 0.5

# What speaks against a hand being at a wrist is counted in shoulder widths: its distance from the wrist, ...
_UNSEEN = 0.6  # ... this much where the wrist is not seen, and its place is a guess, ...
_NAME = 0.5  # ... and this much more where MediaPipe names the hand after the other side.
_TOO_MUCH = 1.0  # A hand against which more than this speaks is somebody else's.


class VideoWarning(UserWarning):
    """A video that was cut short or is damaged, of which the rest was used."""


@dataclass(frozen=True)
class _Hand:
    """A hand that was found.

    Attributes:
        points_K3: Pixels.
        right: How sure MediaPipe is that it is a right hand, from 0 to 1.
        score: How sure it is of the side it names.
    """

    points_K3: npt.NDArray[np.float32]
    right: float
    score: float


class Landmarker:
    """Finds upper body and hands of one person in the frames of a video, one after the other.

    Args:
        models: Folder of `hand_landmarker.task` and `pose_landmarker.task`; see `landmarker_models.ensure`.
        mirrored: Whether the images are mirrored, as those of a webcam's selfie view. The landmarks say so too, and
            their `unmirrored()` is what a camera that does not mirror would have given.
        progress: As for `landmarker_models.ensure`.

    Raises:
        LandmarkError: MediaPipe or the models cannot be had.
    """

    def __init__(
        self,
        models: Path | None = None,
        *,
        mirrored: bool = False,
        progress: landmarker_models.Progress | None = None,
    ) -> None:
        self.mirrored = mirrored
        self._mediapipe = mediapipe()
        self._models = landmarker_models.ensure(models, progress=progress)
        # Hands and pose are found at the same time.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pose")
        self._close: weakref.finalize | None = None
        self._closed = False
        self.reset()

    def __enter__(self) -> Landmarker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __call__(self, frame: Frame) -> Landmarks:
        """Landmarks of one frame: T = 1, the points of PERSON, the time of the frame.

        What is not found is absent. A point of the body has MediaPipe's visibility as presence, also outside of the
        image, where it is a guess; the points of a hand have how sure the landmarker is of the hand's side. The depth z
        counts from the middle of the hips, and that of a hand from its own wrist.

        Frames may change their size. A time that is not after the one before is no mistake.

        Raises:
            LandmarkError: the image is not (H, W, 3) uint8.
        """
        if self._closed:
            raise LandmarkError("the landmarker is closed: make another one")
        image_HWC = np.ascontiguousarray(frame.image_HWC)
        if image_HWC.ndim != 3 or image_HWC.shape[2] != 3 or image_HWC.dtype != np.uint8 or not image_HWC.size:
            raise LandmarkError(f"an image of shape {image_HWC.shape}, {image_HWC.dtype}, is not (H, W, 3) of uint8")
        height, width, _ = image_HWC.shape
        stamp = self._stamp(frame.time)
        with quiet_c_stderr():
            image = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=image_HWC)
            pose = self._thread.submit(self._pose.detect_for_video, image, stamp)
            found = self._hands.detect_for_video(image, stamp)
            body_K4 = _body(pose.result(), width, height)
        coordinates_TKC = np.full((1, len(PERSON), 3), np.nan, np.float32)
        presence_TK = np.zeros((1, len(PERSON)), np.float32)
        if body_K4 is not None:
            coordinates_TKC[0, : len(BODY)] = body_K4[:, :3]
            presence_TK[0, : len(BODY)] = body_K4[:, 3]
        for side, hand in assigned(_hands(found, width, height), body_K4).items():
            first = len(BODY) + len(HAND) * SIDES.index(side)
            coordinates_TKC[0, first : first + len(HAND)] = hand.points_K3
            presence_TK[0, first : first + len(HAND)] = hand.score
        return Landmarks(
            coordinates_TKC, presence_TK, np.array([frame.time]), size=(width, height), mirrored=self.mirrored
        )

    def reset(self) -> None:
        """Forget what was seen: the next frame begins another video."""
        self._let_go()
        vision, base = self._mediapipe.tasks.vision, self._mediapipe.tasks.BaseOptions
        with ExitStack() as opened, quiet_c_stderr():
            for name, attribute, kind, options in (
                (landmarker_models.HAND, "_hands", vision.HandLandmarker, {"num_hands": 2}),
                (landmarker_models.POSE, "_pose", vision.PoseLandmarker, {"num_poses": 1}),
            ):
                settings = getattr(vision, f"{kind.__name__}Options")(
                    base_options=base(model_asset_path=str(self._models / name)),
                    running_mode=vision.RunningMode.VIDEO,
                    **options,
                )
                try:
                    task = kind.create_from_options(settings)
                except (RuntimeError, ValueError, OSError) as error:
                    reason = " ".join(str(error).split())[:200]
                    raise LandmarkError(
                        f"{self._models / name}: MediaPipe cannot use it ({reason}): put its official file there"
                    ) from None
                setattr(self, attribute, task)
                opened.callback(_close, task)
            # Also when nobody closes the landmarker.
            self._close = weakref.finalize(self, opened.pop_all().close)
        self._last_stamp, self._offset = -1, 0

    def close(self) -> None:
        """Let MediaPipe go. Closing twice is no mistake."""
        self._closed = True
        self._let_go()
        self._thread.shutdown()

    def _let_go(self) -> None:
        if self._close is not None:
            with quiet_c_stderr():
                self._close()

    def _stamp(self, time: float) -> int:
        """Milliseconds for MediaPipe, which rise by 1 at least, and else as the times do."""
        stamp = round(1000 * time) + self._offset
        if stamp <= self._last_stamp:
            self._offset += self._last_stamp + 1 - stamp
            stamp = self._last_stamp + 1
        self._last_stamp = stamp
        return stamp


def _close(task: Any) -> None:
    try:
        task.close()
    except RuntimeError:
        # At the end of a program MediaPipe's threads are gone before this. When it is deleted it would try once more,
        # and complain.
        task.close = lambda: None


def find_landmarks(
    source: str | int | Path | Video,
    *,
    landmarker: Landmarker | None = None,
    models: Path | None = None,
    mirrored: bool = False,
    progress: Callable[[float], None] | None = None,
) -> Landmarks:
    """Landmarks of all frames of a video.

    Args:
        source: As for `open_video`, or an opened video, which stays open.
        landmarker: One to use again for many videos; it is reset before. `models` and `mirrored` are for one of its own
            otherwise, as for `Landmarker`.
        progress: Called after each frame with how much is done, from 0 to 1, where the length is known.

    Returns:
        PERSON points; `size` is that of the first frame, and where others differ they are scaled to its width.

    Warns:
        VideoWarning: the file is cut short or damaged; the landmarks are those of what could be decoded.

    Raises:
        VideoError: as `open_video`.
        LandmarkError: as `Landmarker`.
    """
    with ExitStack() as opened:
        video = source if isinstance(source, Video) else opened.enter_context(open_video(source))
        if landmarker is None:
            landmarker = opened.enter_context(Landmarker(models, mirrored=mirrored))
        else:
            landmarker.reset()
        parts = []
        for frame in video:
            parts.append(_scaled(landmarker(frame), video.size))
            if progress is not None and video.duration:
                progress(min(1.0, frame.time / video.duration))
    if video.problem is not None:
        warnings.warn(video.problem, VideoWarning, stacklevel=2)
    if not parts:
        raise LandmarkError(f"{video.name}: no frame is left of it: open it anew")
    return joined(parts)


def _scaled(landmarks: Landmarks, size: tuple[int, int]) -> Landmarks:
    if landmarks.size is None or landmarks.size == size:
        return landmarks
    factor = np.float32(size[0] / landmarks.size[0])
    return replace(landmarks, coordinates_TKC=landmarks.coordinates_TKC * factor, size=size)


def _body(result: Any, width: int, height: int) -> npt.NDArray[np.float32] | None:
    """The points of BODY in pixels, and the visibility of each; None if nobody is there."""
    if not result.pose_landmarks:
        return None
    found = result.pose_landmarks[0]
    body_K4 = np.array([(p.x, p.y, p.z, p.visibility or 0.0) for p in (found[k] for k in _POSE_INDEX)], np.float32)
    body_K4[:, :3] *= (width, height, width)
    body_K4[:, 3] = body_K4[:, 3].clip(0, 1)
    return body_K4


def _hands(result: Any, width: int, height: int) -> list[_Hand]:
    hands = []
    for points, sides in zip(result.hand_landmarks, result.handedness, strict=True):
        points_K3 = np.array([(point.x, point.y, point.z) for point in points], np.float32)
        points_K3 *= np.array((width, height, width), np.float32)
        score = min(1.0, float(sides[0].score))
        right = score if sides[0].category_name == "Right" else 1.0 - score
        hands.append(_Hand(points_K3, right, score))
    return hands


def assigned(hands: Sequence[_Hand], body_K4: npt.NDArray[np.float32] | None) -> dict[str, _Hand]:
    """Which hand is the person's left one and which the right: one each at most, the assignment of least cost.

    Args:
        hands: What was found.
        body_K4: Pixels and visibility of BODY, or None.
    """
    costs = [{side: _cost(hand, side, body_K4) for side in SIDES} for hand in hands]
    best, chosen = np.inf, {}
    for sides in itertools.product((None, *SIDES), repeat=len(hands)):
        taken = {side: k for k, side in enumerate(sides) if side is not None}
        left_out = sides.count(None)
        cost = _TOO_MUCH * left_out + sum(costs[k][side] for side, k in taken.items())
        if len(taken) + left_out == len(hands) and cost < best:
            best, chosen = cost, {side: hands[k] for side, k in taken.items()}
    return chosen


def _cost(hand: _Hand, side: str, body_K4: npt.NDArray[np.float32] | None) -> float:
    """What speaks against a hand being the one of this side, in shoulder widths."""
    name = _NAME * (1.0 - hand.right if side == "right" else hand.right)
    if body_K4 is None:
        return name
    shoulders_K4 = body_K4[[BODY.index(f"{one}_shoulder") for one in SIDES]]
    if shoulders_K4[:, 3].max() < _SURE:
        return name
    # With the depth, because seen from the side shoulders have no width.
    shoulder_width = max(float(np.linalg.norm(np.subtract(*shoulders_K4[:, :3]))), 1.0)
    x, y, _, seen = (float(value) for value in body_K4[BODY.index(f"{side}_wrist")])
    distance = float(np.hypot(*(hand.points_K3[0, :2] - (x, y)))) / shoulder_width
    return seen * distance + (1.0 - seen) * _UNSEEN + name
