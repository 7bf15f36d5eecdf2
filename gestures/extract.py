"""Videos to landmark files: what `gestures extract` does, in several processes, and where it stopped it goes on.

Finding landmarks takes nearly all of the time that a video takes, and does so once: training reads the landmarks in
every pass. Each process has its own landmarker and is told one video after the other. Files are written here, in the
one process that Ctrl-C reaches, so that no half of one remains.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

from features import landmark_files, landmarker_models
from features.landmarks import LandmarkError, Landmarks
from features.video import SUFFIXES, open_video
from gestures.sources import is_current, landmark_names, videos_in
from inference.outputs import make_folder
from inference.progress import bar
from inference.shell import one_line

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

# Seconds that a process which has nothing left to do may take to close its libraries.
PATIENCE_SECONDS = 10.0
# A process tells how far it has come when it has done so much more of its video.
REPORTED_SHARE = 0.02


class ExtractError(ValueError):
    """There is nothing to extract; the message says what was looked for."""


@dataclass
class Extracted:
    """What has become of the videos.

    Attributes:
        written: Landmark files that were written.
        there: How many were there already.
        failed: A line for each video that could not be read.
        notes: A line for each video that is damaged, of which the rest was used.
    """

    written: int = 0
    there: int = 0
    failed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def extract_folder(
    source: str,
    *,
    output: str | None = None,
    jobs: int | None = None,
    models: str | None = None,
    mirrored: bool = False,
) -> int:
    """Write the landmarks of all videos of a folder, and say what was done.

    Args:
        source: The folder, or one video.
        output: Folder that gets the same subfolders with the landmark files; without it they stand beside the videos.
        jobs: Processes; one for each core if not given.
        models: Folder of the landmarker's models; see `landmarker_models.ensure`.
        mirrored: Whether the videos are mirrored, as a selfie view is.

    Returns:
        0 if all went well, 2 if the only video failed, 1 if some of several did; those are listed on standard error.
    """
    folder = Path(source)
    videos = videos_in(folder) if folder.is_dir() else [folder]
    if not videos:
        raise ExtractError(f"{folder}: no videos in this folder (looked for {', '.join(sorted(SUFFIXES))})")
    root = folder if folder.is_dir() else folder.parent
    if output is not None:
        make_folder(Path(output))
    pairs = targets(videos, root, Path(output) if output is not None else root)
    done = extract(pairs, jobs=jobs, models=None if models is None else Path(models), mirrored=mirrored)
    if len(pairs) == 1 and done.failed:
        print(f"gestures: {done.failed[0]}", file=sys.stderr)
        return 2
    tell(done, of=len(pairs))
    print(f"{output or root}: {done.written} landmark files written, {done.there} were there already")
    return 1 if done.failed else 0


def tell(done: Extracted, *, of: int) -> None:
    """List on standard error what is damaged and what failed."""
    for what, lines in (("are damaged, and what could be read was used", done.notes), ("failed", done.failed)):
        if lines:
            print(f"gestures: {len(lines)} of {of} videos {what}:", file=sys.stderr)
        for line in lines:
            print(f"  {line}", file=sys.stderr)


def targets(videos: Sequence[Path], root: Path, output: Path) -> dict[Path, Path]:
    """Where the landmarks of each video go: the same place below `output` as the video has below `root`."""
    return {video: output / video.parent.relative_to(root) / name for video, name in landmark_names(videos).items()}


def extract(
    pairs: dict[Path, Path], *, jobs: int | None = None, models: Path | None = None, mirrored: bool = False
) -> Extracted:
    """Write landmarks of videos, but for those whose file is there and not older than the video.

    Ctrl-C ends all processes at once; what was written stays, and another call goes on with the rest.

    Args:
        pairs: Video to the place of its landmarks; folders are made.
        jobs: Processes at most; one for each core if not given.
        models: Folder of the landmarker's models.
        mirrored: Whether the videos are mirrored.

    Raises:
        ExtractError: `jobs` is less than 1.
        LandmarkError: MediaPipe or its models cannot be had.
    """
    if jobs is not None and jobs < 1:
        raise ExtractError(f"{jobs} videos at a time are too few; give 1 or more to --jobs")
    done = Extracted()
    left = {video: target for video, target in pairs.items() if not is_current(target, video)}
    done.there = len(pairs) - len(left)
    if not left:
        return done
    with landmarker_models.bar() as fetching:
        models = landmarker_models.ensure(models, progress=fetching)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.1f}/{task.total:.0f} videos"),
        TimeRemainingColumn(),
    )
    with bar(*columns) as progress:
        task = progress.add_task("extract", total=len(left))
        try:
            _Crew(left, done, models, mirrored).work(
                min(jobs or os.cpu_count() or 1, len(left)), lambda share: progress.update(task, completed=share)
            )
        except KeyboardInterrupt:
            line = f"{done.written} of {len(left)} videos are extracted; the same command goes on with the others"
            print(f"gestures: {line}", file=sys.stderr)
            raise
    return done


@dataclass(eq=False)
class _Worker:
    """A process and the video that it is at."""

    process: BaseProcess
    connection: Connection
    video: Path
    share: float = 0.0


class _Crew:
    """The processes, and what they have done."""

    def __init__(self, left: dict[Path, Path], done: Extracted, models: Path, mirrored: bool):
        self._targets = left
        self._waiting = list(reversed(left))
        self._done = done
        self._settings = (models, mirrored)
        self._workers: dict[Connection, _Worker] = {}

    def work(self, jobs: int, report: Callable[[float], object]) -> None:
        """Until every video is done; whatever ends it, no process remains."""
        try:
            for _ in range(jobs):
                if self._waiting:
                    self._start()
            while self._workers:
                for connection in wait(list(self._workers)):
                    self._hear(self._workers[connection])
                finished = self._done.written + len(self._done.failed)
                report(finished + sum(worker.share for worker in self._workers.values()))
        finally:
            for worker in self._workers.values():
                worker.process.kill()
                worker.process.join()

    def _start(self) -> None:
        here, there = multiprocessing.Pipe()
        # Not a copy of this process: MediaPipe and PyAV have threads, of which a copy would have the locks alone.
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=_work, args=(there, *self._settings), daemon=True)
        with _ctrl_c_left_to_this_process():
            process.start()
        there.close()
        worker = _Worker(process, here, self._waiting[-1])
        self._workers[here] = worker
        self._give(worker)

    def _give(self, worker: _Worker) -> None:
        """The next video, or the end."""
        if not self._waiting:
            self._end(worker)
            return
        worker.video, worker.share = self._waiting.pop(), 0.0
        try:
            worker.connection.send(worker.video)
        except OSError:
            self._died(worker)

    def _end(self, worker: _Worker) -> None:
        del self._workers[worker.connection]
        worker.connection.close()
        worker.process.join(PATIENCE_SECONDS)
        worker.process.kill()

    def _hear(self, worker: _Worker) -> None:
        try:
            kind, content, note = worker.connection.recv()
        except (EOFError, OSError):
            self._died(worker)
            return
        if kind == "unusable":
            raise LandmarkError(content)
        if kind == "share":
            worker.share = content
            return
        if kind == "failed":
            self._done.failed.append(content)
        else:
            self._write(worker.video, content, note)
        self._give(worker)

    def _write(self, video: Path, landmarks: Landmarks, note: str | None) -> None:
        target = self._targets[video]
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            landmark_files.write(target, landmarks)
        except (ValueError, OSError) as error:
            self._done.failed.append(f"{video}: its landmarks cannot be written: {one_line(error)}")
            return
        self._done.written += 1
        if note:
            self._done.notes.append(note)

    def _died(self, worker: _Worker) -> None:
        """A library crashed, or the system took the process for its memory: that video fails, the others go on."""
        worker.process.join()
        self._done.failed.append(
            f"{worker.video}: the process that read it died (exit code {worker.process.exitcode}): the video is "
            "damaged, or memory is short; try it alone with --jobs 1"
        )
        self._end(worker)
        if self._waiting:
            self._start()


@contextmanager
def _ctrl_c_left_to_this_process() -> Iterator[None]:
    """Processes that are started in here ignore Ctrl-C, from their first moment on."""
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # not the main thread, which alone may: then Ctrl-C shows their tracebacks
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _work(connection: Connection, models: Path, mirrored: bool) -> None:
    """One process: landmarks of the videos that it is told."""
    from features.landmarker import Landmarker, find_landmarks

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with ExitStack() as opened:
        landmarker = None
        while True:
            try:
                path = connection.recv()
            except EOFError:
                return
            told = 0.0

            def report(share: float) -> None:
                nonlocal told
                if share >= told + REPORTED_SHARE:
                    told = share
                    connection.send(("share", share, None))

            try:
                with warnings.catch_warnings(record=True) as caught, open_video(path) as video:
                    warnings.simplefilter("always")
                    if landmarker is None:
                        try:
                            landmarker = opened.enter_context(Landmarker(models, mirrored=mirrored))
                        except ValueError as error:
                            connection.send(("unusable", one_line(error), None))
                            return
                    landmarks = find_landmarks(video, landmarker=landmarker, progress=report)
            except (ValueError, OSError) as error:
                connection.send(("failed", one_line(error), None))
                continue
            notes = [str(one.message) for one in caught if issubclass(one.category, UserWarning)]
            connection.send(("done", landmarks, " ".join(notes) or None))
