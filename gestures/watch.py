"""`gestures watch`: what is recognised while it is done, before a camera or in a video as if it were one.

A picture becomes landmarks, landmarks become events, one picture after the other in one thread: the landmarker takes
nearly all of the time, and uses a second core itself. Of a camera the newest picture is taken, so who is slow misses
some and is never late; the table at the end says how many, and where the time went.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from gestures.options import add_landmarker, add_model, add_spotting, spot_rules
from gestures.record import QUIT, add_camera, unmirrored

if TYPE_CHECKING:
    from features.landmarks import Landmarks
    from features.video import Frame, Video
    from gestures.draw import Image
    from gestures.screen import Surface
    from gestures.stages import StageTimes
    from gestures.stream import GestureSession
    from inference.model import Model
    from inference.session import Event

SHOWN_SECONDS = 1.0
"""How long the window shows a gesture that has fired."""

_FIRED, _QUIET = (120, 230, 120), (200, 200, 200)


class WatchError(ValueError):
    """Watching cannot begin; the message says what to do."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `gestures watch`."""
    add_camera(parser)
    add_model(parser)
    parser.add_argument("--headless", action="store_true", help="no window: print what is recognised, and nothing else")
    parser.add_argument(
        "--events",
        action="store_true",
        help="print each event as a line of JSON: one when a gesture fires, a final one when it has ended",
    )
    parser.add_argument("--output", metavar="FILE", help="write what is printed to FILE too, as it comes")
    add_landmarker(parser)
    add_spotting(parser)


def run(options: argparse.Namespace) -> int:
    """Say what is recognised while it is done. Ctrl-C, or q in the window, ends; a table of times comes at the end."""
    import gestures
    from features import landmarker_models
    from features.landmarker import Landmarker
    from features.video import open_video
    from gestures.stages import StageTimes
    from gestures.stream import CHUNK_SECONDS, LOOKAHEAD_SECONDS, GestureSession

    if options.chunk == 0:
        raise WatchError("--chunk must be more than 0")
    if options.output is not None and Path(options.output).exists():
        raise WatchError(f"{options.output}: is there already; give another name, or remove it")
    times = StageTimes()
    model = gestures.load(options.model, threads=options.threads).model
    session = GestureSession(
        times.timed(model),
        chunk=CHUNK_SECONDS if options.chunk is None else options.chunk,
        lookahead=LOOKAHEAD_SECONDS if options.lookahead is None else options.lookahead,
        rules=spot_rules(options),
    )
    with ExitStack() as opened:
        screen = None
        if not options.headless:
            from gestures.screen import Screen

            # Before PyAV is loaded: `gestures.screen` says why.
            screen = opened.enter_context(Screen(f"gestures watch: {model.name}"))
        video = opened.enter_context(open_video(options.camera, realtime=options.realtime))
        with landmarker_models.bar() as progress:
            models = None if options.landmarker_models is None else Path(options.landmarker_models)
            landmarker = opened.enter_context(Landmarker(models, progress=progress))
        # Line by line, and never over a file that has come up meanwhile.
        file = opened.enter_context(open(options.output, "x", encoding="utf-8")) if options.output else None
        warn_of_latency(model, session)
        print(
            f"watching {video.name} with model {model.name}, chunk {1000 * session.chunk:.0f} ms, look-ahead "
            f"{1000 * session.lookahead:.0f} ms, {1000 * session.delay:.0f} ms late at most; Ctrl-C ends",
            file=sys.stderr,
        )
        mirror = video.live if options.mirror is None else options.mirror
        shows = None if screen is None else Window(screen, mirror=mirror)
        lines = Lines(sys.stdout, file, every_event=options.events)
        try:
            watch(
                video,
                landmarker,
                session,
                lines,
                times=times,
                window=shows,
                waits=video.live or options.realtime,
                mirrored=options.mirrored,
                stop=opened.enter_context(Interrupt()),
            )
        finally:
            gestures_seen = f"{lines.gestures} gesture{'' if lines.gestures == 1 else 's'}"
            print(f"{gestures_seen}; {times.table()}", file=sys.stderr)
        if video.problem is not None:
            print(f"gestures: {video.problem}", file=sys.stderr)
    return 0


def watch(
    video: Video,
    landmarker: Callable[[Frame], Landmarks],
    session: GestureSession,
    lines: Lines,
    *,
    times: StageTimes | None = None,
    window: Window | None = None,
    waits: bool = False,
    mirrored: bool = False,
    stop: Interrupt | None = None,
) -> StageTimes:
    """Frame after frame to events, until the video ends, or the user wishes so.

    Args:
        video: An opened video.
        landmarker: Finds the landmarks of a frame.
        session: Makes events of them. For the network to have a stage of its own, its model is `times.timed(model)`.
        lines: Takes the events.
        times: Where the time is counted; a new one if not given.
        window: Where pictures are shown.
        waits: Whether the pictures come at a pace of their own, as from a camera and a file at the pace of one.
        mirrored: Whether the video shows a mirror image.
        stop: Ends it after the frame at hand.

    Returns:
        Times of the stages.

    Raises:
        VideoError: the camera has vanished. The events until then have been given.
    """
    from gestures import stages

    times = stages.StageTimes() if times is None else times
    frames = times.pictures(video, waits=waits)
    try:
        for frame in stop.watch(frames) if stop else frames:
            if mirrored:
                (frame,) = unmirrored([frame])
            with times.stage(stages.LANDMARKS):
                landmarks = landmarker(frame)
            with times.stage(stages.EVENTS):
                events = session.push(landmarks)
                lines.events(events)
            if window is not None:
                with times.stage(stages.WINDOW):
                    if window.show(frame, landmarks, events) in QUIT:
                        break
    finally:
        # What was done before a camera was unplugged is told all the same.
        frames.close()
        with times.stage(stages.EVENTS):
            lines.events(session.flush())
    return times


class Lines:
    """Gestures on standard output and in a file: when each began, what it is, and how sure that is.

    Args:
        out: Where they go.
        file: Where they go too.
        every_event: Write each event, the ones that are not final too, as one line of JSON.

    Attributes:
        gestures: How many there have been.
    """

    def __init__(self, out: TextIO, file: TextIO | None = None, *, every_event: bool = False):
        self._outs = [out] if file is None else [out, file]
        self._every_event = every_event
        self._fired: tuple[float, str] | None = None
        self.gestures = 0

    def events(self, events: Sequence[Event]) -> None:
        for event in events:
            # A gesture that is spotted comes twice, when it fires and when it has ended.
            known = self._fired == (event.start, event.text)
            self._fired = None if event.final else (event.start, event.text)
            self.gestures += not known
            if self._every_event:
                self._say(as_json(event))
            elif not known:
                self._say(f"{event.start:8.2f}  {event.text}  {event.confidence:.2f}")

    def _say(self, line: str) -> None:
        for out in self._outs:
            print(line, file=out, flush=True)


class Window:
    """The picture with the skeleton in it, and the gesture that has fired last, for a second.

    Args:
        surface: Where it is shown.
        mirror: Whether as in a mirror.
    """

    def __init__(self, surface: Surface, *, mirror: bool = False):
        self._surface = surface
        self._mirror = mirror
        self._fired: Event | None = None
        self._until = -math.inf

    def show(self, frame: Frame, landmarks: Landmarks, events: Sequence[Event]) -> str:
        """Show a frame and what it has led to; the key that was pressed, or nothing."""
        for event in events:
            # That a gesture has ended, which was shown when it fired, is no news.
            if self._fired is None or (event.start, event.text) != (self._fired.start, self._fired.text):
                self._fired, self._until = event, frame.time + SHOWN_SECONDS
        return self._surface.show(self.picture(frame, landmarks))

    def picture(self, frame: Frame, landmarks: Landmarks) -> Image:
        """What is shown of a frame now."""
        from gestures.draw import Words, draw, mirrored, write_words

        image_HWC = draw(frame.image_HWC, landmarks)
        if self._mirror:
            image_HWC = mirrored(image_HWC)
        lines = [Words(f"{frame.time:.1f}   q: quit", row=-1, colour=_QUIET)]
        if self._fired is not None and frame.time < self._until:
            lines.append(Words(f"{self._fired.text}  {self._fired.confidence:.2f}", colour=_FIRED, size=2.0))
        return write_words(image_HWC, lines)


class Interrupt:
    """Ctrl-C as a wish to stop. It ends the waiting for a picture, not the work on one; a second one ends the program.

    Outside of the main thread, where no signal arrives, it does nothing.
    """

    def __init__(self) -> None:
        self.asked = False
        self._waiting = False

    def __enter__(self) -> Interrupt:
        self._ours = threading.current_thread() is threading.main_thread()
        if self._ours:
            self._before = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, self._before)

    def _on_signal(self, *_: object) -> None:
        again, self.asked = self.asked, True
        if again or self._waiting:
            raise KeyboardInterrupt

    def watch(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """The frames, until Ctrl-C."""
        while not self.asked:
            try:
                self._waiting = True
                frame = next(frames, None)
            except KeyboardInterrupt:
                return
            finally:
                self._waiting = False
            if frame is None:
                return
            yield frame


def as_json(event: Event) -> str:
    """An event as one line of JSON; times in seconds to the millisecond."""
    return json.dumps(
        {
            "start": round(event.start, 3),
            "end": round(event.end, 3),
            "label": event.text,
            "confidence": round(event.confidence, 4),
            "final": event.final,
        },
        ensure_ascii=False,
    )


def warn_of_latency(model: Model, session: GestureSession) -> None:
    """Say so where a model was not trained to watch streams, or with no chunk as short as this."""
    if model.latency is None:
        print(
            f"gestures: model {model.name} was trained with full context alone and makes more errors on a stream",
            file=sys.stderr,
        )
    elif 1000 * session.chunk < (shortest := model.latency["chunk_ms"][0]) - 0.5:
        print(
            f"gestures: model {model.name} was trained with chunks of {shortest:g} ms and more; it makes more errors "
            f"with {1000 * session.chunk:.0f} ms",
            file=sys.stderr,
        )
