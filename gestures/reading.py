"""The landmarks of items, for training and evaluation."""

from __future__ import annotations

from features import landmark_files
from features.landmarks import LandmarkError, Landmarks
from training.manifests import Item


class ReadClips:
    """Landmarks of items; files are kept, since many items may lie in one file and each is read in every pass."""

    def __init__(self) -> None:
        self._files: dict[str, Landmarks] = {}

    def __call__(self, item: Item) -> Landmarks:
        """The item's frames; times count from the item's start.

        Raises:
            LandmarkError: the file cannot be read, or has no frames there.
        """
        if item.path not in self._files:
            self._files[item.path] = landmark_files.read(item.path)
        whole = self._files[item.path]
        landmarks = whole.between(item.start, item.start + item.duration)
        if not len(landmarks):
            raise LandmarkError(f"{item.path}: no frames from {item.start:g} s on, as {item.id} says; prepare it anew")
        return landmarks.moved(-item.start)
