"""Where the time goes between a picture and an event: milliseconds of each stage, frames a second, frames dropped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

import numpy as np

from features.video import Frame, Video
from inference.model import Model
from inference.scorer import Scored, Scorer, State

DECODE, WAIT, LANDMARKS, ENCODER, EVENTS, WINDOW = "decode", "wait", "landmarks", "encoder", "events", "window"
"""Stages: a picture is got, which of a file is the part of decoding that is not done while we work on other pictures,
and of a camera is waiting; its landmarks are found; the network scores them; all before and behind it, features and
rules, makes events; and a window shows it."""

_ORDER = (DECODE, WAIT, LANDMARKS, ENCODER, EVENTS, WINDOW)


class StageTimes:
    """A stopwatch with a hand for each stage.

    A stage within another one stops the other's hand meanwhile, so the times add up to no more than has passed.

    Attributes:
        frames: Pictures that were worked on.
        dropped: Pictures that were not, because the machine was too slow.
        video_seconds: Length of what was worked on, by the times of its pictures.
        milliseconds: Time in each stage, summed over all frames.
        longest: The longest that a stage took at once, in milliseconds.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.dropped = 0
        self.video_seconds = 0.0
        self.milliseconds: dict[str, float] = {}
        self.longest: dict[str, float] = {}
        self._inside: list[float] = []
        self._begun: float | None = None
        self._ended = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """What is done in here is this stage's."""
        self._inside.append(0.0)
        begun = time.perf_counter()
        if self._begun is None:
            self._begun = begun
        try:
            yield
        finally:
            ended = time.perf_counter()
            elapsed = 1000 * (ended - begun)
            own = elapsed - self._inside.pop()
            if self._inside:
                self._inside[-1] += elapsed
            self.milliseconds[name] = self.milliseconds.get(name, 0.0) + own
            self.longest[name] = max(self.longest.get(name, 0.0), own)
            self._ended = ended

    def pictures(self, video: Video, *, waits: bool = False) -> Iterator[Frame]:
        """The frames of a video, each counted, with the time it takes to get it.

        Args:
            video: An opened video.
            waits: Whether the pictures come at a pace of their own, and this thread waits for them: so it is with
                cameras, and with files at the pace of a camera.
        """
        name = WAIT if waits else DECODE
        try:
            while True:
                with self.stage(name):
                    frame = next(video, None)
                if frame is None:
                    return
                self.frames += 1
                self.video_seconds = frame.time
                yield frame
        finally:
            self.dropped = video.dropped

    def timed(self, model: Model) -> Model:
        """The same model, whose network is the stage `encoder`."""
        parts = (getattr(model, name) for name in Model.__dataclass_fields__)
        timed = _TimedModel(*parts)
        object.__setattr__(timed, "times", self)
        return timed

    @property
    def seconds(self) -> float:
        """What has passed from the beginning of the first stage to the end of the last."""
        return 0.0 if self._begun is None else self._ended - self._begun

    @property
    def frames_per_second(self) -> float:
        """Frames worked on a second, all stages together."""
        return self.frames / self.seconds if self.seconds else 0.0

    def share(self, name: str) -> float:
        """Part of all the working time, without waiting, that a stage has taken; from 0 to 1."""
        working = sum(value for stage, value in self.milliseconds.items() if stage != WAIT)
        return self.milliseconds.get(name, 0.0) / working if working else 0.0

    def table(self) -> str:
        """One line about the frames, and one for each stage: mean milliseconds a frame, the longest, its share."""
        lines = [
            f"{self.frames} frames in {self.seconds:.1f} s: {self.frames_per_second:.1f} a second, "
            f"{self.dropped} dropped"
        ]
        if not self.frames:
            return lines[0]
        lines.append(f"{'stage':<12}{'ms a frame':>12}{'longest':>10}{'share':>9}")
        others = [name for name in self.milliseconds if name not in _ORDER]
        for name in [*(name for name in _ORDER if name in self.milliseconds), *others]:
            total = self.milliseconds[name]
            share = "-" if name == WAIT else f"{100 * self.share(name):.1f} %"
            lines.append(f"{name:<12}{total / self.frames:>12.2f}{self.longest[name]:>10.1f}{share:>9}")
        return "\n".join(lines)


class _TimedModel(Model):
    """A model that knows whose time it takes."""

    times: StageTimes

    @cached_property
    def scorer(self) -> Scorer:
        return _TimedScorer(super().scorer, self.times)


class _TimedScorer(Scorer):
    """A scorer that is opened already, with a stopwatch."""

    def __init__(self, scorer: Scorer, times: StageTimes):
        self.__dict__.update(scorer.__dict__)
        self._times = times

    def __call__(self, frames_BTF: np.ndarray, lengths_B: np.ndarray, *, chunk: int, state: State) -> Scored:
        with self._times.stage(ENCODER):
            return super().__call__(frames_BTF, lengths_B, chunk=chunk, state=state)
