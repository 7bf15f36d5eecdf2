"""Gestures and signs: `gestures.load("hands").recognize(landmarks).gestures`.

Nothing here but `gestures.train` and what it is made of needs torch, and nothing but the landmarker needs MediaPipe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gestures.recognizer import Recognizer


def load(model: str, *, threads: int = 1) -> Recognizer:
    """Open a recogniser.

    Args:
        model: Name of a shipped model (see `gestures doctor`), or a model directory.
        threads: Threads for scoring; 0 takes every core.

    Raises:
        inference.model.ModelError: no such model, or a damaged one.
    """
    from gestures.recognizer import Recognizer
    from gestures.shipped import find

    return Recognizer.open(find(model), threads=threads)
