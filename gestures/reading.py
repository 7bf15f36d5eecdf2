"""The landmarks of items, for training and evaluation."""

from __future__ import annotations

from features import landmark_files
from features.landmarks import LandmarkError, Landmarks
from training.manifests import Item


class ReadClips:
    """Landmarks of items; files are kept, since many items may lie in one file and each is read in every pass.

    Args:
        cache_mb: Megabytes of landmarks to keep; the file read last is kept whatever its size.
    """

    def __init__(self, cache_mb: int = 500) -> None:
        self._files: dict[str, Landmarks] = {}
        self._left = cache_mb * 1_000_000
        self._last: tuple[str, Landmarks] | None = None

    def __call__(self, item: Item) -> Landmarks:
        """The item's frames; times count from the item's start.

        Raises:
            LandmarkError: the file cannot be read, or has no frames there.
        """
        whole = self._whole(item.path)
        landmarks = whole.between(item.start, item.start + item.duration)
        if not len(landmarks):
            raise LandmarkError(f"{item.path}: no frames from {item.start:g} s on, as {item.id} says; prepare it anew")
        return landmarks.moved(-item.start)

    def _whole(self, path: str) -> Landmarks:
        if path in self._files:
            return self._files[path]
        if self._last is not None and self._last[0] == path:
            return self._last[1]
        whole = landmark_files.read(path)
        size = whole.coordinates_TKC.nbytes + whole.presence_TK.nbytes + whole.time_T.nbytes
        if size <= self._left:
            self._left -= size
            self._files[path] = whole
        else:
            self._last = path, whole
        return whole
