"""Landmarks of a clip or a stream, written with the cut that a manifest has of them, as all recipes of gestures do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lhotse import MonoCut

from features import landmark_files
from features.landmarks import Landmarks
from training.manifests import Segment, landmark_cut


def write_clip(path: Path, landmarks: Landmarks, gestures: str | Sequence[Segment], *, signer: str = "") -> MonoCut:
    """Write a landmark file, and return its cut, which is named as the file is.

    Args:
        path: Where the landmarks go.
        landmarks: They, from time 0 on.
        gestures: What is made in them, in order; a label alone is one gesture from end to end.
        signer: Who makes them, if that is known.

    Raises:
        LandmarkError: they cannot be written in the format that the path names.
        OSError: the file cannot be written.
    """
    landmark_files.write(path, landmarks)
    places = [Segment(0.0, landmarks.duration, gestures)] if isinstance(gestures, str) else gestures
    return landmark_cut(path.stem, path, places, duration=landmarks.duration, signer=signer)
