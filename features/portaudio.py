"""PortAudio, and what goes wrong with it: the library by which Saywave hears a microphone, imported when it is needed.

Sound hardware fails in more ways than a file does, and PortAudio names them in its own terms. Here each way becomes one
line that says what to do, and a driver that hangs does not take the program with it.
"""

from __future__ import annotations

import atexit
import sys
import threading
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from features.audio_source import AudioError

# Seconds after which a driver that does not let go of its device is left behind.
PATIENCE = 2.0

# PortAudio's codes for what needs an answer of its own (PaErrorCode in portaudio.h).
DEVICE_UNAVAILABLE, INVALID_RATE, INVALID_CHANNELS = -9985, -9997, -9998

PERMISSION = {
    "darwin": "allow the terminal to use it in System Settings > Privacy & Security > Microphone",
    "win32": "allow programs to use it in Settings > Privacy & security > Microphone",
}.get(sys.platform, "join the group audio (sudo usermod -aG audio $USER) and log in again")


class MicrophoneError(AudioError):
    """A microphone that cannot be used, or no longer. The message is one line that says what to do."""


@dataclass(frozen=True)
class Device:
    """An input device.

    Attributes
    ----------
    index : int
        PortAudio's number for it; numbers of devices without an input are left out.
    name : str
    channels : int
        The most that it records.
    rate : int
        The sample rate that it has by default, in Hz.
    host : str
        The system's interface by which it is reached: "ALSA", "Core Audio", "Windows WASAPI". Where there are several,
        one microphone is listed under each.
    default : bool
        Whether the system records from this one unless told otherwise.
    """

    index: int
    name: str
    channels: int
    rate: int
    host: str
    default: bool


def library() -> ModuleType:
    """The module sounddevice. Without it everything but the microphone works.

    Raises
    ------
    MicrophoneError
        It is not installed, or the library PortAudio is not, or that one does not start.
    """
    try:
        import sounddevice
    except ImportError:
        raise MicrophoneError("a microphone needs the package sounddevice: pip install 'saywave[mic]'") from None
    except OSError:
        raise MicrophoneError(
            "a microphone needs the library PortAudio: on Debian and Ubuntu, apt-get install libportaudio2"
        ) from None
    except Exception as error:  # PortAudioError, whose class cannot be had when its module does not load
        raise MicrophoneError(f"PortAudio does not start: {error}: check the sound settings of the system") from None
    return sounddevice


def devices() -> list[Device]:
    """Input devices, those that were there when the process first asked; there may be none.

    Raises
    ------
    MicrophoneError
        sounddevice or PortAudio is not installed, or PortAudio does not start.
    """
    sounddevice = library()
    hosts = sounddevice.query_hostapis()
    listed = [entry for entry in sounddevice.query_devices() if entry["max_input_channels"] > 0]
    try:
        default = sounddevice.query_devices(kind="input")["index"]
    except sounddevice.PortAudioError:  # there is none
        default = None
    return [
        Device(
            index=entry["index"],
            name=entry["name"],
            channels=entry["max_input_channels"],
            rate=round(entry["default_samplerate"]),
            host=hosts[entry["hostapi"]]["name"],
            default=entry["index"] == default,
        )
        for entry in listed
    ]


def explain(error: Exception, device: Device, *, rate: int, channels: int) -> MicrophoneError:
    """What PortAudio says (a `sounddevice.PortAudioError`) about recording so from a device, and what to do."""
    code = error.args[1] if len(error.args) > 1 else None
    text = " ".join(str(error).split())
    words = text.casefold()
    if code == INVALID_RATE:
        advice = f"cannot record at {rate} Hz: leave the rate out to record at its own {device.rate} Hz"
    elif code == INVALID_CHANNELS:
        advice = f"cannot record {channels} channels: ask for 1 to {device.channels}"
    elif any(word in words for word in ("denied", "not permitted", "not authorized")):
        advice = f"recording is not permitted: {PERMISSION}"
    elif code == DEVICE_UNAVAILABLE or "busy" in words:
        advice = "is in use or gone: end the other program that records, or choose another microphone"
    else:
        advice = f"cannot be opened: {text}: check that it is connected, or choose another microphone"
        if not sys.platform.startswith("linux"):  # elsewhere a refused permission may come without its name
            advice += f"; if it is refused, {PERMISSION}"
    return MicrophoneError(f"{device.name}: {advice}")


def let_go(stream: Any) -> None:
    """Close a stream. Where its driver hangs, go on without it, now and when the process ends."""

    def close() -> None:
        stream.abort()
        stream.close()

    closing = threading.Thread(target=close, daemon=True)
    closing.start()
    closing.join(PATIENCE)
    if closing.is_alive():
        atexit.unregister(library()._exit_handler)  # it would wait for the same driver
