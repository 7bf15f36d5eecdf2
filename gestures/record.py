"""`gestures record`: clips of one gesture from a camera, ready to train on.

Each clip is counted down, recorded, and kept or thrown away by a key. What is shown is a mirror with the skeleton of
the person in it, since nobody moves well before an image that goes the other way. What is written is what the camera
has seen, with the times of its frames.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gestures.clip_writer import ClipWriter, RecordError
from gestures.options import add_landmarker
from inference.shell import count
from inference.shell import time as a_time

if TYPE_CHECKING:
    from features.landmarks import Landmarks
    from features.video import Frame, Video
    from gestures.draw import Image
    from gestures.screen import Surface
    from gestures.skeleton import Skeleton

FOLDER, CAMERA, SIGNER = "clips", "0", "signer1"
CLIPS, SECONDS, COUNTDOWN = 10, 3.0, 3.0

KEEP, DISCARD, QUIT = {"space", "k"}, {"d"}, {"q", "esc"}
"""Keys."""

# Frames missed in a clip, as a share of all, from which on it is worth a line.
MANY_DROPPED = 0.1
# Seconds between two looks for a key where there are no more pictures.
STILL = 0.03
# A clip that a file ends in is whole if so much of it, or all but one frame, is there.
WHOLE = 0.99

_RED, _GREEN, _WHITE = (255, 80, 60), (120, 230, 120), (240, 240, 240)

NAME = re.compile(r"[^\W\d_][^_/\\]*")
"""What a signer may be called, so that SIGNER_NNN says whose clip it is."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `gestures record`."""
    parser.add_argument(
        "label",
        metavar="LABEL",
        help="what the gesture is called; none: what is no gesture. For that one be idle, scratch your head, drink, "
        "look at your telephone: whatever you do while you make no gesture",
    )
    parser.add_argument("--folder", default=FOLDER, help=f"write FOLDER/LABEL/SIGNER_NNN.mp4 (default: {FOLDER})")
    add_camera(parser)
    parser.add_argument("--clips", type=count, default=CLIPS, metavar="N", help=f"how many (default: {CLIPS})")
    parser.add_argument("--seconds", type=_seconds, default=SECONDS, metavar="S", help="length of each (default: 3)")
    parser.add_argument(
        "--countdown", type=_seconds, default=COUNTDOWN, metavar="S", help="time to get ready for each (default: 3)"
    )
    parser.add_argument(
        "--signer",
        default=SIGNER,
        metavar="NAME",
        help="who makes the gestures; give each person another name, then a model is judged by people that it has not "
        f"seen (default: {SIGNER})",
    )
    parser.add_argument(
        "--headless", action="store_true", help="no window: count down in the terminal, and keep every clip"
    )
    parser.add_argument(
        "--skeleton", action=argparse.BooleanOptionalAction, default=True, help="draw the landmarks (default: yes)"
    )
    add_landmarker(parser)


def add_camera(parser: argparse.ArgumentParser) -> None:
    """`--camera`, `--realtime` and `--mirror`."""
    parser.add_argument(
        "--camera",
        default=CAMERA,
        metavar="N|URL|FILE",
        help=f"number of the camera, address of a stream, or a video file (default: {CAMERA})",
    )
    parser.add_argument("--realtime", action="store_true", help="play a file at the pace of a camera")
    parser.add_argument(
        "--mirror",
        action=argparse.BooleanOptionalAction,
        help="show the picture as in a mirror (default: of a camera, not of a file); nothing else depends on it",
    )


def run(options: argparse.Namespace) -> int:
    """Record clips of a gesture. Keys: space or k keeps a clip, d discards it, q or Esc ends."""
    check(options.label, options.signer, seconds=options.seconds, clips=options.clips)
    with ExitStack() as opened:
        surface, skeleton = None, None
        if not options.headless:
            from gestures.screen import Screen

            # Before PyAV is loaded: `gestures.screen` says why.
            surface = opened.enter_context(Screen(f"gestures record {options.label}"))

        from features.video import open_video

        video = opened.enter_context(open_video(options.camera, realtime=options.realtime))
        if surface is not None and options.skeleton:
            from gestures.skeleton import Skeleton

            skeleton = opened.enter_context(Skeleton(options.landmarker_models))
        return record(
            video,
            make_folder(Path(options.folder) / options.label),
            signer=options.signer,
            clips=options.clips,
            seconds=options.seconds,
            countdown=options.countdown,
            surface=surface,
            skeleton=skeleton,
            mirror=video.live if options.mirror is None else options.mirror,
            mirrored=options.mirrored,
        )


def check(label: str, signer: str, *, seconds: float = SECONDS, clips: int = CLIPS) -> None:
    """Refuse what cannot be recorded, before a camera is opened.

    Raises:
        RecordError: a name that cannot be that of a folder, or a part of a file's, or nothing to record.
    """
    if not label.isprintable() or re.search(r'[/\\:*?"<>|]', label) or label.strip(" .") != label or not label:
        raise RecordError(f"{label!r} cannot be the name of a folder, and so no label: use letters and digits")
    if not NAME.fullmatch(signer) or not signer.isprintable() or signer.strip() != signer:
        raise RecordError(
            f"{signer!r} cannot be a signer in SIGNER_NNN.mp4: begin with a letter, and leave out _ and slashes"
        )
    if signer.casefold() == label.casefold():
        raise RecordError(f"--signer {signer} is the name of the gesture: give that of a person")
    if not seconds > 0 or not clips > 0:
        raise RecordError(f"--{'clips' if seconds > 0 else 'seconds'} must be more than 0")


def make_folder(folder: Path) -> Path:
    """The folder, made unless it is there, and writable.

    Raises:
        RecordError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise RecordError(f"{folder}: is a file, or lies in one: choose another --folder") from None
    except OSError as error:
        raise RecordError(f"{folder}: cannot be made ({error.strerror}): choose another --folder") from None
    if not os.access(folder, os.W_OK):
        raise RecordError(f"{folder}: cannot be written to: change its permissions, or choose another --folder")
    return folder


def record(
    video: Video,
    folder: Path,
    *,
    signer: str = SIGNER,
    clips: int = CLIPS,
    seconds: float = SECONDS,
    countdown: float = COUNTDOWN,
    surface: Surface | None = None,
    skeleton: Skeleton | None = None,
    mirror: bool = False,
    mirrored: bool = False,
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
) -> int:
    """Record clips until there are enough, the user has enough, or the video ends. Each kept one is printed.

    Args:
        video: An opened video.
        folder: Where the clips go; it is removed again if it ends up empty.
        signer: Whose clips they are.
        clips: How many to keep.
        seconds: Length of a clip.
        countdown: Seconds before each.
        surface: Where pictures are shown and keys come from; without it every clip is kept.
        skeleton: Finds what is drawn over the pictures.
        mirror: Whether pictures are shown as in a mirror.
        mirrored: Whether the video shows a mirror image; what is written does not.
        say: Takes lines about what is going on.

    Returns:
        The exit code: 0 if there are as many clips as were asked for, or the user ended it; if the video did, 1, or 2
        if there are none.

    Raises:
        VideoError: the camera has vanished. The clip in progress is gone, the ones before are kept.
        RecordError: a clip cannot be written.
    """
    session = _Session(video, folder, signer, clips, seconds, countdown, say, keep_all=surface is None)
    try:
        for frame in unmirrored(video) if mirrored else video:
            session.take(frame)
            if surface is not None and not session.over:
                found = skeleton(frame) if skeleton is not None else None
                session.press(surface.show(_picture(frame, found, session, mirror=mirror)), frame)
            if session.over:
                break
        else:
            session.end_of_video()
            while surface is not None and session.deciding and not session.over:
                session.press(surface.show(_picture(frame, found, session, mirror=mirror)), frame)
                time.sleep(STILL)
    finally:
        session.close()
        kept = len(session.kept)
        say(f"{kept} {'clip' if kept == 1 else 'clips'} kept in {folder}")
        if not any(folder.iterdir()):
            folder.rmdir()
    if session.over:
        return 0
    say(f"{video.name}: ended before there were {clips} clips: it is too short for so many")
    return 1 if session.kept else 2


@dataclass
class _Session:
    """Where the recording stands: counting down, recording, or waiting for a decision."""

    video: Video
    folder: Path
    signer: str
    clips: int
    seconds: float
    countdown: float
    say: Callable[[str], None]
    keep_all: bool
    kept: list[Path] = field(default_factory=list)
    writer: ClipWriter | None = None
    begins: float | None = None
    ends: float = math.inf
    last: float = 0.0
    written: int = 0
    dropped: int = 0
    deciding: bool = False
    quit: bool = False

    @property
    def over(self) -> bool:
        """Whether there are as many clips as were asked for, or the user has enough."""
        return self.quit or len(self.kept) >= self.clips

    @property
    def recording(self) -> bool:
        return self.writer is not None and not self.deciding

    def take(self, frame: Frame) -> None:
        """What this frame is to the clip."""
        if self.recording and frame.time >= self.ends:
            self._complete()
        if self.over or self.deciding:
            return
        if self.writer is None:
            if self.begins is None:
                self._get_ready(frame.time)
            assert self.begins is not None
            if frame.time < self.begins:
                return
            self._begin(frame)
        assert self.writer is not None
        self.writer.write(frame)
        self.last = frame.time
        self.written += 1

    def press(self, key: str, frame: Frame) -> None:
        """What a key does now. A clip may be discarded while it is recorded, but kept only when it is complete."""
        self.quit = self.quit or key in QUIT
        if key in KEEP and self.deciding:
            self._keep()
        elif key in DISCARD and self.writer is not None:
            self.writer.discard()
        else:
            return
        self._next()
        if not self.over:
            self._get_ready(frame.time)

    def end_of_video(self) -> None:
        """The video is over. What was being recorded counts if it is as good as whole."""
        if not self.recording:
            return
        start = self.ends - self.seconds
        frame = (self.last - start) / max(self.written - 1, 1)
        if self.last + frame - start >= WHOLE * self.seconds:
            self._complete()

    def close(self) -> None:
        """Throw away what has not been kept."""
        if self.writer is not None:
            self.writer.discard()
            self.writer = None

    def status(self, now: float) -> tuple[str, str, tuple[int, int, int]]:
        """What is to be shown: what is going on, what can be done, and the colour of the first."""
        if self.deciding:
            return "keep it?", "space: keep   d: discard   q: quit", _WHITE
        if self.recording:
            return f"recording {max(0.0, self.ends - now):.1f}", "d: discard   q: quit", _RED
        left = math.ceil((self.begins or now) - now)
        return f"ready in {left}", "q: quit", _GREEN

    def _get_ready(self, now: float) -> None:
        self.begins = now + self.countdown
        self.say(f"clip {len(self.kept) + 1} of {self.clips}: ready in {self.countdown:g} s")

    def _begin(self, frame: Frame) -> None:
        height, width, _ = frame.image_HWC.shape
        self.writer = ClipWriter(self.folder, (width, height), self.video.rate)
        self.ends = frame.time + self.seconds
        self.written, self.dropped = 0, self.video.dropped
        self.say(f"clip {len(self.kept) + 1} of {self.clips}: recording for {self.seconds:g} s")

    def _complete(self) -> None:
        assert self.writer is not None
        missed = self.video.dropped - self.dropped
        if missed > MANY_DROPPED * (missed + self.written):
            self.say(
                f"{missed} of {missed + self.written} frames were dropped, the machine is too slow: try --no-skeleton, "
                "--headless, or a smaller picture"
            )
        self.writer.end()
        if self.keep_all:
            self._keep()
            self._next()
        else:
            self.deciding = True

    def _next(self) -> None:
        self.writer, self.deciding, self.begins = None, False, None

    def _keep(self) -> None:
        assert self.writer is not None
        self.kept.append(self.writer.keep(self.signer))
        print(self.kept[-1], flush=True)


def unmirrored(video: Iterable[Frame]) -> Iterator[Frame]:
    """The frames of a video that shows a mirror image, the right way round."""
    from gestures.draw import mirrored

    return (frame._replace(image_HWC=mirrored(frame.image_HWC)) for frame in video)


def _picture(frame: Frame, found: Landmarks | None, session: _Session, *, mirror: bool) -> Image:
    """What is shown of a frame: a mirror with the skeleton in it, and what is going on."""
    from gestures.draw import Words, draw, mirrored, write_words

    image_HWC = frame.image_HWC if found is None else draw(frame.image_HWC, found)
    if mirror:
        image_HWC = mirrored(image_HWC)
    status, keys, colour = session.status(frame.time)
    number = min(len(session.kept) + 1, session.clips)
    return write_words(
        image_HWC,
        [
            Words(f"{session.folder.name}  {number}/{session.clips}"),
            Words(status, row=1, colour=colour, size=1.5),
            Words(keys, row=-1),
        ],
    )


def _seconds(text: str) -> float:
    """A number of seconds, or a time such as 3s or 800ms."""
    try:
        value = float(text)
    except ValueError:
        return a_time(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return value
