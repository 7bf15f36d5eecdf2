"""Pictures are decoded in a thread of their own, while what came before is worked on.

What does not wait for us, a camera, keeps its newest picture alone. What does, a file, is read a few pictures ahead.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque

from features.video_frame import Frame, Source, VideoError

AHEAD = 3
"""Pictures of a file that are decoded before they are taken: enough for one that takes long, such as a key frame."""

# Seconds that closing waits for a camera that does not answer.
_CLOSING = 2.0


class Reader:
    """An iterator over the frames of a source, which is read in a thread from the first frame on.

    Args:
        source: Where the frames come from; closed by this.
        newest: Keep only the newest frame, and count the others as dropped; else all are kept, `AHEAD` at a time.
        paced: Hand out each frame when its time has come, counted from the first call of `next`.
        patience: Seconds without a frame after which the source counts as gone; None waits for ever.
    """

    def __init__(self, source: Source, *, newest: bool, paced: bool = False, patience: float | None = None) -> None:
        self._patience = patience
        self._reading = _Reading(source, newest=newest, paced=paced)
        # A daemon: a camera that hangs must not keep the program from ending.
        self._thread = threading.Thread(target=self._reading.run, name=source.name, daemon=True)
        self._started = False
        # The thread knows nothing of this object, so one that is let go without being closed ends it all the same.
        weakref.finalize(self, self._reading.stop)

    @property
    def dropped(self) -> int:
        """Frames that nobody has taken in time, so far."""
        return self._reading.dropped

    def __iter__(self) -> Reader:
        return self

    def __next__(self) -> Frame:
        if not self._started:
            self._started = True
            self._thread.start()
        return self._reading.take(self._patience)

    def close(self) -> None:
        """Stop reading. The thread closes the source, since nobody else may while it reads."""
        self._reading.stop()
        if self._started:
            self._thread.join(_CLOSING)
        else:
            self._reading.source.close()


class _Reading:
    """What the thread and who takes the frames have in common."""

    def __init__(self, source: Source, *, newest: bool, paced: bool):
        self.source = source
        self.dropped = 0
        self._newest, self._paced = newest, paced
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._frames: deque[Frame] = deque()
        self._error: Exception | None = None
        self._ended = False

    def take(self, patience: float | None) -> Frame:
        waited = 0.0
        with self._changed:
            while not self._frames and not self._ended:
                if patience is not None and waited >= patience:
                    raise VideoError(
                        f"{self.source.name}: no picture has come for {patience:g} s: "
                        "check that it is connected, and start again"
                    )
                # Short waits: on Windows a long one would not see Ctrl-C. They are counted, and no clock is asked,
                # because that goes on while the process is suspended.
                self._changed.wait(0.1)
                waited += 0.1
            if self._frames:
                frame = self._frames.popleft()
                self._changed.notify()
                return frame
        if self._error is not None:
            raise self._error
        raise StopIteration

    def stop(self) -> None:
        self._stopped.set()
        with self._changed:
            self._changed.notify_all()

    def run(self) -> None:
        try:
            begun = time.monotonic()
            for frame in self.source.frames():
                if self._paced:
                    self._stopped.wait(max(0.0, begun + frame.time - time.monotonic()))
                with self._changed:
                    if self._newest:
                        self.dropped += len(self._frames)
                        self._frames.clear()
                    self._changed.wait_for(lambda: self._stopped.is_set() or len(self._frames) < AHEAD)
                    if self._stopped.is_set():
                        break
                    self._frames.append(frame)
                    self._changed.notify()
        except Exception as error:  # of whatever kind: it is raised again where the frames are taken
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify()
            self.source.close()
