"""Many files to gestures: what `gestures recognize` does, with progress, and without one bad file stopping the rest."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

import gestures
from features import landmark_files, landmarker_models
from features.landmarks import LandmarkError, Landmarks
from features.video import open_video
from gestures.formats import WRITERS, write
from gestures.recognition import Gesture, Recognition
from gestures.recognizer import WHOLE_CHUNK_SECONDS, WHOLE_LOOKAHEAD_SECONDS, Recognizer
from gestures.sources import files_in, is_landmarks, looked_for
from gestures.spotting import NONE
from gestures.stream import landmark_extractor, rules_of
from inference.files import write_text
from inference.model import CLASS
from inference.outputs import keep_originals, make_folder, output_names
from inference.progress import bar
from inference.shell import ended, one_line

if TYPE_CHECKING:
    from features.landmarker import Landmarker


class InputError(ValueError):
    """Nothing to recognise, or options that do not go together; the message says what to do."""


class Watching(NamedTuple):
    """How gestures are looked for: seconds of chunk and look-ahead, and rules of spotting other than the model's."""

    chunk: float = WHOLE_CHUNK_SECONDS
    lookahead: float = WHOLE_LOOKAHEAD_SECONDS
    rules: dict[str, float] | None = None


def recognize_files(
    files: Sequence[str],
    *,
    model: str,
    format: str = "txt",
    output: str | None = None,
    threads: int = 1,
    clip: bool = False,
    threshold: float | None = None,
    watching: Watching | None = None,
    models: str | None = None,
    mirrored: bool = False,
) -> int:
    """Recognise the gestures in files and folders, to standard output or to `output/NAME.FORMAT`.

    Args:
        files: Videos, landmark files, and folders of them.
        model: Shipped model or model directory.
        format: `txt` or one of `gestures.formats.WRITERS`.
        output: Folder for a file of results each.
        threads: Threads for scoring.
        clip: Name each file as one gesture from end to end; a model that cannot spot does so anyway.
        threshold: Least probability of such a name.
        watching: How gestures are looked for in a recording otherwise; none leaves it to the model.
        models: Folder of the landmarker's models.
        mirrored: Whether videos are mirrored.

    Returns:
        0 if all went well, 2 if the only file failed, 1 if some of several did; those are listed on standard error.
    """
    failed: list[str] = []
    sources = expand(files, failed)
    if not sources:
        raise InputError("; ".join(failed))
    asked = len(sources) + len(failed)
    if output is None and len(sources) > 1 and format not in ("txt", "json"):
        raise InputError(f"{len(sources)} files do not make one {format} file; give a folder to --output")
    names = output_names(sources)
    if output is not None:
        make_folder(Path(output))
        keep_originals(
            Path(output),
            {source: f"{names[source]}.{format}" for source in sources},
            what="the video, and may be its annotation",
        )
    recognizer = gestures.load(model, threads=threads)
    clip = _as_clips(recognizer, clip=clip, threshold=threshold, watching=watching)
    notes: list[str] = []
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.1f}/{task.total:.0f} files"),
        TimeRemainingColumn(),
    )
    with (
        Reader(None if models is None else Path(models), mirrored=mirrored) as read,
        bar(*columns) as progress,
    ):
        task = progress.add_task("recognize", total=len(sources))
        for number, source in enumerate(sources):
            progress.update(task, description=Path(source).name, completed=number)
            try:
                landmarks = read(source, notes, lambda share, n=number: progress.update(task, completed=n + share))
                _check_points(recognizer, landmarks, source)
                if clip:
                    recognition, text = named(recognizer, landmarks, source, threshold)
                else:
                    settings = (watching or Watching())._asdict()
                    recognition = recognizer.recognize(landmarks, **settings, source=source)
                    text = to_txt(recognition)
                if output is None:
                    _print(recognition, text, format, several=len(sources) > 1)
                elif format == "txt":
                    write_text(Path(output) / f"{names[source]}.txt", text)
                else:
                    write(recognition, Path(output) / f"{names[source]}.{format}", format)
            except (ValueError, OSError) as error:
                if isinstance(error, BrokenPipeError) or read.broken:
                    raise
                failed.append(one_line(error))
    for line in notes:
        print(f"gestures: {line}", file=sys.stderr)
    return ended("gestures", failed, asked=asked)


class Reader:
    """Landmarks of videos and landmark files; the landmarker is opened for the first video, for all of them.

    Args:
        models: Folder of the landmarker's models.
        mirrored: Whether videos are mirrored.

    Attributes:
        broken: Whether there is no landmarker to be had, so that no video can be read.
    """

    def __init__(self, models: Path | None = None, *, mirrored: bool = False):
        self.broken = False
        self._models = models
        self._mirrored = mirrored
        self._landmarker: Landmarker | None = None
        self._open = ExitStack()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()

    def __call__(self, source: str | Path, notes: list[str], progress: Callable[[float], None]) -> Landmarks:
        """Landmarks of a file, whose times are not negative.

        Args:
            source: A landmark file by its suffix; everything else is taken for a video.
            notes: Gets a line where a video is damaged, and the rest of it was used.
            progress: Called with how much is done, from 0 to 1.

        Raises:
            LandmarkError, VideoError: it cannot be read; or, `broken`, no video can.
        """
        if is_landmarks(source):
            landmarks = landmark_files.read(source, points=None)
            before_zero = max(0.0, -float(landmarks.time_T[0])) if len(landmarks) else 0.0
            return landmarks.moved(before_zero)
        from features.landmarker import find_landmarks

        with open_video(Path(source)) as video, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            landmarks = find_landmarks(video, landmarker=self._opened(), progress=progress)
        notes += [str(one.message) for one in caught if issubclass(one.category, UserWarning)]
        return landmarks

    def _opened(self) -> Landmarker:
        if self._landmarker is None:
            from features.landmarker import Landmarker

            try:
                with landmarker_models.bar() as fetching:
                    landmarker = Landmarker(self._models, mirrored=self._mirrored, progress=fetching)
            except ValueError:
                self.broken = True
                raise
            self._landmarker = self._open.enter_context(landmarker)
        return self._landmarker


def named(
    recognizer: Recognizer, landmarks: Landmarks, source: str, threshold: float | None
) -> tuple[Recognition, str]:
    """A clip as one gesture from end to end, or none; and its name with the probability, as a line."""
    answer = recognizer.classify(landmarks, threshold=threshold)
    begin = float(landmarks.time_T[0])
    whole = Gesture(answer.label, begin, begin + landmarks.duration, min(1.0, answer.confidence))
    found = () if answer.label == NONE else (whole,)
    recognition = Recognition(found, landmarks.duration, recognizer.model.name, source)
    return recognition, f"{answer.label} {answer.confidence:.2f}\n"


def to_txt(recognition: Recognition) -> str:
    """A line for each gesture: start and end in seconds, label, confidence."""
    lines = [f"{one.start:.2f} {one.end:.2f} {one.label} {one.confidence:.2f}\n" for one in recognition.gestures]
    return "".join(lines) or "no gestures\n"


def expand(files: Sequence[str], failed: list[str]) -> list[str]:
    """Folders replaced by what can be read in them, in order; each file once. Folders without any go to `failed`."""
    found: dict[str, None] = {}
    for name in files:
        try:
            inside = [str(path) for path in files_in(Path(name))] if Path(name).is_dir() else [name]
        except OSError as error:
            failed.append(one_line(error))
            continue
        if not inside:
            failed.append(f"{name}: no videos or landmarks in this folder (looked for {looked_for()})")
        found.update(dict.fromkeys(inside))
    return list(found)


def _as_clips(recognizer: Recognizer, *, clip: bool, threshold: float | None, watching: Watching | None) -> bool:
    """Whether files are named as clips, and no option was given that has no meaning then."""
    head = recognizer.model.head["kind"]
    directory = recognizer.model.directory
    if clip and head != CLASS:
        raise InputError(f"{directory}: reads sequences of signs and does not name clips; leave --clip out")
    if watching is not None and watching.rules is not None:
        if head != CLASS:
            raise InputError(f"{directory}: reads sequences of signs and does not spot; leave out --enter and the like")
        rules_of(recognizer.model, watching.rules)  # once, and not for each file
    clip = clip or (not recognizer.spots and watching is None)
    if threshold is not None and not clip:
        raise InputError("--threshold is for clips; add --clip, or give --enter")
    return clip


def _check_points(recognizer: Recognizer, landmarks: Landmarks, source: str) -> None:
    """Refuse landmarks of which the model reads nothing: it would answer all the same."""
    has = {*landmarks.points, *(name.removeprefix("left_").removeprefix("right_") for name in landmarks.points)}
    wanted = landmark_extractor(recognizer.model).points
    if not has & set(wanted):
        raise LandmarkError(
            f"{source}: has none of the {len(wanted)} points that the model reads, {wanted[0]} ...; "
            "choose another model, or find the landmarks anew"
        )


def _print(recognition: Recognition, text: str, format: str, *, several: bool) -> None:
    if format != "txt":
        text = WRITERS[format](recognition)
    elif several:
        text = "".join(f"{recognition.source}: {line}\n" for line in text.splitlines())
    print(text.rstrip("\n"), flush=True)
