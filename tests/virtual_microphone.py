"""A microphone without hardware that hears a known recording: a real PortAudio device, for child processes of tests.

A PulseAudio server of its own, in user space, has one source that is fed through a pipe; ALSA's plugin makes a device
of it, and PortAudio lists that. The sound comes paced as in life but is never lost: who is late gets it later.
PortAudio reads its configuration when it starts, so what records is a child process with `microphone.env`:

    with virtual_microphone(samples_S, rate) as microphone:
        subprocess.run([..., "--device", microphone.name], env=microphone.env)

Before and after the recording it hears silence without end. Tests are skipped where it cannot be had, with the reason.
This file is no package's part: take it with `runpy.run_path`.
"""

from __future__ import annotations

import fcntl
import glob
import importlib.util
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ctypes.util import find_library
from pathlib import Path

import numpy as np
import pytest

PIECE = 0.02  # seconds of sound sent at once
SETTLED = 0.4  # seconds after which a capture is no longer PortAudio's short look at what a device can do
PACKAGES = "apt-get install libportaudio2 pulseaudio libasound2-plugins"


def why_not() -> str | None:
    """Why a virtual microphone cannot be had here, None if it can."""
    if not sys.platform.startswith("linux"):
        return "virtual microphones are made with PulseAudio and ALSA, on Linux"
    if importlib.util.find_spec("sounddevice") is None:
        return "no virtual microphone: pip install sounddevice"
    plugins = [f"/usr/{folder}/alsa-lib/libasound_module_pcm_pulse.so" for folder in ("lib", "lib64", "lib/*")]
    if not (find_library("portaudio") and shutil.which("pulseaudio") and any(map(glob.glob, plugins))):
        return f"no virtual microphone: {PACKAGES}"
    return None


def environment(folder: Path, names: Sequence[str] = ()) -> dict[str, str]:
    """An environment whose only sound devices are the ones named and, where there are any, "default".

    They need a server on the socket `folder / "native"`.
    """
    listed = [*names, "!default"] if names else []
    lines = [f'pcm.{name} {{ type pulse device "source" }}\n' for name in listed]
    # PortAudio aborts where nothing at all is configured; this one cannot be opened, and so is not listed.
    (folder / "asound.conf").write_text("".join(lines) or "pcm.absent { type hw card 31 }\n")
    return os.environ | {
        "ALSA_CONFIG_PATH": str(folder / "asound.conf"),
        "JACK_DEFAULT_SERVER": "none",
        "JACK_NO_START_SERVER": "1",
        "PULSE_SERVER": f"unix:{folder}/native",
        "PULSE_COOKIE": str(folder / "cookie"),
        "PULSE_CLIENTCONFIG": os.devnull,
        "PULSE_RUNTIME_PATH": str(folder),
        "PULSE_STATE_PATH": str(folder),
        "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent",
    }


class VirtualMicrophone:
    """What `virtual_microphone` gives.

    Attributes
    ----------
    env : dict
        Environment for child processes, in which this is the only microphone and the default one.
    name : str
        The device's name. It is listed as "default" too.
    """

    def __init__(self, folder: Path, samples_S: np.ndarray, rate: int, *, names: Sequence[str], at_once: bool) -> None:
        self.env = environment(folder, names)
        self.name = names[0]
        self._recording = np.asarray(samples_S, "<f4").tobytes()
        self._piece = 4 * round(rate * PIECE)  # bytes
        self._at_once = at_once
        self._to_play = b""
        self._played = threading.Event()
        self._muted = threading.Event()
        self._over = threading.Event()
        self._server = self._start(folder, rate)
        self._pipe = os.open(folder / "pipe", os.O_WRONLY | os.O_NONBLOCK)
        fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, 4096)
        self._feeder = threading.Thread(target=self._feed, daemon=True)
        self._feeder.start()

    def play(self) -> None:
        """The recording sounds now, from its beginning."""
        self._played.clear()
        self._to_play = self._recording

    def wait_until_played(self) -> None:
        """Until the recording has sounded, and who records has had half a second to fetch it."""
        assert self._played.wait(60), "nobody has recorded"
        time.sleep(0.5)

    def mute(self) -> None:
        """Nothing comes any more, not even silence, and nobody says why."""
        self._muted.set()

    def unplug(self) -> None:
        """The device is gone."""
        self._server.kill()
        self._server.wait()

    def hang(self) -> None:
        """The sound server answers no more, whatever it is asked."""
        self._server.send_signal(signal.SIGSTOP)

    def close(self) -> None:
        self._over.set()
        self._feeder.join()
        os.close(self._pipe)
        self.unplug()

    def _start(self, folder: Path, rate: int) -> subprocess.Popen:
        source = f"source_name=source file={folder}/pipe format=float32le rate={rate} channels=1"
        modules = [
            f"module-native-protocol-unix auth-anonymous=1 auth-cookie-enabled=0 socket={folder}/native",
            f"module-pipe-source {source}",
            "module-suspend-on-idle timeout=0",  # the pipe is read only while somebody records
        ]
        options = ["-n", "--fail", "--daemonize=no", "--exit-idle-time=-1", "--disable-shm=yes", "--use-pid-file=no"]
        command = ["pulseaudio", *options, *(part for module in modules for part in ("-L", module))]
        with open(folder / "log", "w") as log:
            server = subprocess.Popen(command, env=self.env, stdout=log, stderr=log)
        until = time.monotonic() + 20
        while not ((folder / "native").exists() and (folder / "pipe").exists()):
            if server.poll() is not None or time.monotonic() > until:
                server.kill()
                server.wait()
                said = " ".join((folder / "log").read_text().split())
                pytest.skip(f"no virtual microphone: PulseAudio does not start: {said[-500:]}")
            time.sleep(0.01)
        return server

    def _feed(self) -> None:
        due = taken = time.monotonic()  # when the next piece is to be sent; when one was last taken
        since = None  # when what records now has begun to
        while not self._over.wait(max(0.0, due - time.monotonic())):
            now = time.monotonic()
            if self._muted.is_set() or self._unread():
                if now - taken > 0.2:
                    since, self._to_play = None, b""
                due = now + PIECE / 4
                continue
            if since is None:
                since = due = now
                armed = self._at_once
            taken = now
            if armed and now - since >= SETTLED:
                armed = False
                self.play()
            piece, self._to_play = self._to_play[: self._piece], self._to_play[self._piece :]
            try:
                os.write(self._pipe, piece.ljust(self._piece, b"\0"))
            except BrokenPipeError:  # unplugged
                return
            if piece and not self._to_play:
                self._played.set()
            due += PIECE

    def _unread(self) -> int:
        return struct.unpack("i", fcntl.ioctl(self._pipe, termios.FIONREAD, bytes(4)))[0]


@contextmanager
def virtual_microphone(
    samples_S: np.ndarray, rate: int, *, names: Sequence[str] = ("studio",), at_once: bool = True
) -> Iterator[VirtualMicrophone]:
    """A microphone that hears a recording.

    Parameters
    ----------
    samples_S
        The recording, float32; whoever records at `rate` gets these samples bit for bit.
    names
        The device's name and others that lead to the same.
    at_once
        Play it by itself to each capture, from half a second after its beginning; else when `play` is called.
    """
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="microphone-") as folder:  # a socket's path must be short
        microphone = VirtualMicrophone(Path(folder), samples_S, rate, names=names, at_once=at_once)
        try:
            yield microphone
        finally:
            microphone.close()
