"""Landmarks beside the work: the newest there are, without waiting for them."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from features import landmarker_models
from features.landmarker import Landmarker
from features.landmarks import LandmarkError, Landmarks
from features.video import Frame


class Skeleton:
    """Finds landmarks beside the recording, in a thread of its own, so that no frame of a clip waits for them.

    Args:
        models: Folder of the landmarker's models.

    Raises:
        LandmarkError: MediaPipe or its models cannot be had.
    """

    def __init__(self, models: str | Path | None = None) -> None:
        try:
            with landmarker_models.bar() as progress:
                self._landmarker = Landmarker(None if models is None else Path(models), progress=progress)
        except LandmarkError as error:
            raise LandmarkError(f"{error}; or record without them: --no-skeleton") from None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="skeleton")
        self._at_work: Future[Landmarks] | None = None
        self._newest: Landmarks | None = None

    def __enter__(self) -> Skeleton:
        return self

    def __exit__(self, *exception: object) -> None:
        self._thread.shutdown()
        self._landmarker.close()

    def __call__(self, frame: Frame) -> Landmarks | None:
        """The newest landmarks there are, and perhaps begin with those of this frame."""
        if self._at_work is None or self._at_work.done():
            if self._at_work is not None:
                self._newest = self._at_work.result()
            self._at_work = self._thread.submit(self._landmarker, frame)
        return self._newest
