"""Corpora of others as their publishers lay them out: each loader gives clips, with label, signer and official part.

A clip holds landmarks where the corpus does, else the path of a video, of which `gestures extract` makes landmarks.
Those of speech give recordings, in the classes of `spoken` and `speechocean762`.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from features.landmarks import Landmarks


class CorpusError(ValueError):
    """A corpus that is not there, not whole, or not in its publisher's layout; the message names the file."""


class Clip(NamedTuple):
    """One gesture or sign.

    Attributes:
        id: Name of the clip, no other of the corpus has it.
        source: Its landmarks, or the video to find them in.
        label: What is shown.
        signer: Who shows it; the same string for the same person.
        part: `train` or `test`, or the empty string where the corpus is not divided.
    """

    id: str
    source: Landmarks | Path
    label: str
    signer: str
    part: str
