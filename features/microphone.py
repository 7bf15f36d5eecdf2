"""The microphone: sound as it is captured, block by block, through PortAudio.

Nothing that was captured is ever dropped: who takes blocks too slowly sees in `Block.waiting` how far behind that is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from features import portaudio
from features.portaudio import PERMISSION, Device, MicrophoneError, devices
from features.quiet import quiet_c_stderr
from features.samples import mix_down

__all__ = ["Block", "Device", "Microphone", "MicrophoneError", "devices", "find"]

# Seconds without a block after which a microphone counts as gone. Not every system says that a device has vanished (a
# headset out of reach, a sound server that hangs): its stream stays open, and nothing comes. A headset that changes to
# its microphone may need two seconds for the first block.
SILENT_AFTER = 3.0

# Blocks that the system keeps for us while this process does not get to run. PortAudio divides its buffer into four
# periods, of which one is being filled: with more, a period is longer than a block, and blocks arrive in bursts.
SPARE_BLOCKS = 3


@dataclass(frozen=True)
class Block:
    """A stretch of captured sound.

    Attributes
    ----------
    samples_S : np.ndarray
        Mono float32: the mean of the channels.
    overflowed : bool
        The system has lost samples just before this block, because this process did not get to fetch them in time.
    waiting : float
        Seconds of sound that are captured but not yet taken, this block not counted.
    """

    samples_S: np.ndarray
    overflowed: bool = False
    waiting: float = 0.0


def find(choice: str | int | None = None) -> Device:
    """The input device that is meant.

    Parameters
    ----------
    choice
        None for the system's default, a number (also as a string) for the device of this index, else a name: as it is
        listed, or a part that no other has, in upper or lower case. "NAME, HOST" chooses among hosts.

    Raises
    ------
    MicrophoneError
        As `devices`; there is no input device, or not exactly one that is meant (the message lists them).
    """
    known = devices()
    if not known:
        raise MicrophoneError(f"no microphone was found: plug one in; if one is plugged in, {PERMISSION}")
    if choice is None:
        return next((device for device in known if device.default), known[0])
    if isinstance(choice, int) or choice.strip().isdecimal():
        found = [device for device in known if device.index == int(choice)]
    else:
        found = _named(choice.strip().casefold(), known)
    if len(found) == 1:
        return found[0]
    what = f"several microphones have {choice!r} in their names" if found else f"there is no microphone {choice!r}"
    listing = ", ".join(f"{device.index} ({device.name}, {device.host})" for device in found or known)
    raise MicrophoneError(f"{what}: choose among {listing}")


def _named(text: str, known: list[Device]) -> list[Device]:
    """The one device of exactly this name, else all that have it in their names."""
    for device in known:  # in PortAudio's order, which begins with the host that it prefers
        if text in (device.name.casefold(), f"{device.name}, {device.host}".casefold()):
            return [device]
    return [device for device in known if text in f"{device.name}, {device.host}".casefold()]


class Microphone:
    """A microphone at work: in a `with` statement it captures, and is iterated over for what it captures.

    Iterating does not end by itself: a microphone has no end. After `close`, which may be called from another thread
    too, the blocks captured before are still delivered, and then iteration ends.

    Parameters
    ----------
    device
        As for `find`.
    rate : int, optional
        Samples a second in Hz; None takes the device's own. Some systems resample to any rate, some refuse.
    channels : int, optional
        How many are recorded, to be averaged; None takes two, or one where the device has one.
    block_seconds : float
        Length of a block.

    Attributes
    ----------
    device : Device
    rate : int

    Raises
    ------
    MicrophoneError
        As `find`; the rate or the channels are not to be had. On entering the `with` statement: recording is not
        permitted, or the device is in use or gone. While iterating: it was unplugged, or has fallen silent.
    """

    def __init__(
        self,
        device: str | int | None = None,
        *,
        rate: int | None = None,
        channels: int | None = None,
        block_seconds: float = 0.05,
    ) -> None:
        if not block_seconds > 0:
            raise MicrophoneError(f"blocks of {block_seconds} s cannot be recorded: give more than 0")
        self._sounddevice = portaudio.library()
        self.device = find(device)
        self.rate = self.device.rate if rate is None else rate
        self._settings: dict[str, Any] = {
            "device": self.device.index,
            "channels": min(2, self.device.channels) if channels is None else channels,
            "samplerate": self.rate,
            "dtype": "float32",
        }
        self._block_seconds = block_seconds
        self._queue: SimpleQueue[tuple[np.ndarray, bool] | None] = SimpleQueue()  # None: no more will come
        self._captured = self._taken = 0  # frames
        self._closed = False
        self._at_close = ExitStack()
        with quiet_c_stderr(), self._errors_explained():
            self._sounddevice.check_input_settings(**self._settings)

    def __enter__(self) -> Microphone:
        with self._errors_explained(), ExitStack() as opened:
            opened.enter_context(quiet_c_stderr())
            stream = self._sounddevice.InputStream(
                **self._settings,
                blocksize=max(1, round(self._block_seconds * self.rate)),
                latency=SPARE_BLOCKS * self._block_seconds,
                callback=self._on_block,
                finished_callback=lambda: self._queue.put(None),
            )
            opened.callback(portaudio.let_go, stream)
            stream.start()
            self._at_close = opened.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Block]:
        return self

    def __next__(self) -> Block:
        item = self._next_item()
        if item is not None:
            samples_SC, overflowed = item
            self._taken += len(samples_SC)
            return Block(mix_down(samples_SC), overflowed, (self._captured - self._taken) / self.rate)
        self._queue.put(None)  # for who asks once more
        if self._closed:
            raise StopIteration
        raise MicrophoneError(f"{self.device.name}: has stopped, as if unplugged: plug it in and start again")

    def close(self) -> None:
        """Stop capturing. Closing twice is no mistake."""
        if not self._closed:
            self._closed = True
            self._at_close.close()
            self._queue.put(None)

    def _next_item(self) -> tuple[np.ndarray, bool] | None:
        patience = max(SILENT_AFTER, 2 * self._block_seconds)
        # Short waits: on Windows a long one would not see Ctrl-C. They are counted, and no clock is asked, because that
        # goes on while the process is suspended.
        for _ in range(math.ceil(patience / 0.1)):
            with suppress(Empty):
                return self._queue.get(timeout=0.1)
        raise MicrophoneError(
            f"{self.device.name}: no sound has come for {patience:g} s: "
            "check that it is connected and switched on, and start again"
        )

    def _on_block(self, samples_SC: np.ndarray, frames: int, _time: object, status: Any) -> None:
        self._captured += frames
        self._queue.put((samples_SC.copy(), bool(status.input_overflow)))

    @contextmanager
    def _errors_explained(self) -> Iterator[None]:
        try:
            yield
        except self._sounddevice.PortAudioError as error:
            channels = self._settings["channels"]
            raise portaudio.explain(error, self.device, rate=self.rate, channels=channels) from None
