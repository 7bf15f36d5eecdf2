"""A folder of clips, one subfolder a label, as items to train and to evaluate on.

    clips/wave/anna_1.mp4      a clip of the gesture `wave`, made by anna
    clips/stop/ben_12.pose     landmarks will do as well as videos
    clips/none/anna_3.mp4      no gesture: `none` is what people do the rest of the time

Who made a clip is taken from the names only if all of them are of the form SIGNER_NUMBER. Names that cameras give
(VID_20250311_1200.mp4) and names after the label (wave_1.mp4) say nothing of people.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from features import landmark_files
from gestures.extract import Extracted, extract, targets
from gestures.sources import files_in, is_landmarks, looked_for
from gestures.spotting import NONE
from inference.shell import one_line

if TYPE_CHECKING:
    from training.manifests import Item

# Clips of a label, with which four train and one tells how well that went.
MIN_CLIPS = 5

SIGNER = re.compile(r"([^\W\d_][^_]*)_\d+")


class ClipError(ValueError):
    """A folder of clips that cannot be used; the message says how it should look."""


@dataclass
class Clips:
    """Clips of a folder.

    Attributes:
        items: One for each clip, with one segment from end to end; `speaker` is its signer, or empty.
        failed: A line for each clip that could not be used.
        notes: A line for each video that is damaged, of which the rest was used.
    """

    items: list[Item]
    failed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def labels(self) -> dict[str, int]:
        """Each label, and how many clips there are of it; in a manifest of longer recordings, how many gestures."""
        return dict(sorted(Counter(one.label for item in self.items for one in item.segments).items()))

    @property
    def signers(self) -> dict[str, int]:
        """Each signer, and how many clips there are; none where names do not say who they are."""
        return dict(sorted(Counter(item.speaker for item in self.items if item.speaker).items()))

    def summary(self) -> str:
        """Two lines: the labels and the signers that were found."""
        labels = ", ".join(f"{label} ({count})" for label, count in self.labels.items())
        signers = ", ".join(f"{signer} ({count})" for signer, count in self.signers.items())
        unknown = "not known; names such as anna_1.mp4, anna_2.mp4, ben_1.mp4 would tell"
        kinds, people = (
            f"{len(counted)} {what}{'' if len(counted) == 1 else 's'}"
            for counted, what in ((self.labels, "label"), (self.signers, "signer"))
        )
        return f"{kinds}: {labels}\n{people}: {signers or unknown}"


def load(
    data: str | Path,
    landmarks: str | Path,
    *,
    jobs: int | None = None,
    models: str | Path | None = None,
    mirrored: bool = False,
) -> Clips:
    """The clips of a folder, as `read_clips`, or the items of a manifest (`.jsonl`, `.jsonl.gz`).

    Raises:
        ClipError: it is neither, or holds no gestures.
        training.manifests.ManifestError: the manifest cannot be used.
    """
    path = Path(data)
    if path.is_dir():
        return read_clips(path, landmarks, jobs=jobs, models=models, mirrored=mirrored)
    if not path.exists():
        raise ClipError(f"{path}: no such file or folder")
    if not path.name.endswith((".jsonl", ".jsonl.gz")):
        raise ClipError(f"{path}: neither a folder of clips (LABEL/CLIP) nor a .jsonl[.gz] manifest")
    from training.manifests import read

    items = [item for item in read(path) if item.path.lower().endswith(landmark_files.SUFFIXES)]
    if not items:
        raise ClipError(f"{path}: holds no gestures; a manifest of speech is for `asr`")
    return Clips(items)


def read_clips(
    folder: str | Path,
    landmarks: str | Path,
    *,
    jobs: int | None = None,
    models: str | Path | None = None,
    mirrored: bool = False,
) -> Clips:
    """The clips of FOLDER/LABEL/CLIP; landmarks of those that are videos are found first, unless they have been.

    Args:
        folder: Folder of the labels. Nothing is written to it.
        landmarks: Folder that gets the landmarks of the videos, LABEL/CLIP.pose.
        jobs: Processes that find landmarks at most; see `gestures.extract`.
        models: Folder of the landmarker's models.
        mirrored: Whether the videos are mirrored.

    Raises:
        ClipError: no such folder, no clips in it, or clips that are not in a folder of their label.
        LandmarkError: there are videos, and MediaPipe or its models cannot be had.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ClipError(f"{folder}: no such folder")
    found = files_in(folder)
    if not found:
        raise ClipError(f"{folder}: no clips in this folder (looked for {looked_for()})")
    misplaced = next((path for path in found if len(path.relative_to(folder).parts) != 2), None)
    if misplaced is not None:
        raise ClipError(f"{misplaced}: clips belong into a folder of their label: {folder / 'LABEL' / misplaced.name}")
    videos = [path for path in found if not is_landmarks(path)]
    place = targets(videos, folder, Path(landmarks))
    done = extract(place, jobs=jobs, models=None if models is None else Path(models), mirrored=mirrored)
    signers = _signers(found)
    return _items([(path, place.get(path, path)) for path in found], signers, done)


def _items(clips: Sequence[tuple[Path, Path]], signers: dict[Path, str], done: Extracted) -> Clips:
    """Items of clips, each with the file of its landmarks."""
    from training.manifests import Item, Segment

    read = Clips([], list(done.failed), list(done.notes))
    for path, file in clips:
        if file != path and not file.is_file():
            continue  # `failed` has it
        label = path.parent.name
        try:
            landmarks = landmark_files.read(file, points=None)
        except (ValueError, OSError) as error:
            read.failed.append(one_line(error))
            continue
        if not len(landmarks):
            read.failed.append(f"{path}: holds no frames; remove it")
        elif label != NONE and not landmarks.presence_TK.any():
            read.failed.append(f"{path}: nobody is seen in it; record it again, or remove it")
        else:
            duration = landmarks.duration
            segments = (Segment(0.0, duration, label),)
            start = float(landmarks.time_T[0])
            name = f"{label}/{path.name}"
            read.items.append(Item(name, str(file.resolve()), start, duration, label, signers.get(path, ""), segments))
    return read


def _signers(clips: Sequence[Path]) -> dict[Path, str]:
    """Whose the clips are; nothing unless all of their names say so."""
    labels = {path.parent.name.casefold() for path in clips}
    named = {path: SIGNER.fullmatch(path.stem) for path in clips}
    signers = {path: match[1] for path, match in named.items() if match and match[1].casefold() not in labels}
    return signers if len(signers) == len(clips) else {}


def enough(items: Sequence[Item], *, source: str | Path) -> None:
    """Refuse labels with too few clips to train and to choose on. What is no gesture may be as little as it is.

    Raises:
        ClipError: it names all such labels, and the number needed.
    """
    counts = Counter(segment.label for item in items for segment in item.segments)
    few = [f"{label} has {count}" for label, count in sorted(counts.items()) if count < MIN_CLIPS and label != NONE]
    if few:
        raise ClipError(f"{source}: each gesture needs {MIN_CLIPS} clips at least, and {', '.join(few)}: record more")
    if not set(counts) - {NONE}:
        raise ClipError(f"{source}: no clips of a gesture are left")
