"""Commands as processes of their own: what they compute and hold, and an environment with the light install."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.machine import ROOT


class Done(NamedTuple):
    """Processor time of a command in seconds, and the most memory that it held, in MB."""

    seconds: float
    megabytes: float


def run_command(command: list) -> Done:
    """Run a command from the root of the file system (so that what is installed is what runs), or of this clone.

    Raises:
        RuntimeError: it ends with an error; the message has its last line.
    """
    module = "-m" in [str(part) for part in command]
    child = subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=ROOT if module else os.sep,
    )
    assert child.stderr is not None
    said = child.stderr.read().decode(errors="replace").strip().splitlines()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    child.stderr.close()
    if child.returncode:
        raise RuntimeError(f"{command[0]} ends with {child.returncode}: {said[-1] if said else 'it says nothing'}")
    return Done(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3))


class LightInstall(NamedTuple):
    """A fresh environment with this clone in it: its Python and its `asr`, and what installing took."""

    python: Path
    asr: Path
    megabytes: float
    seconds: float


def light_install(folder: Path) -> LightInstall:
    """Make one in a folder; its size is that beyond an empty environment."""
    place = folder / "light"
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    python, bare = place / "bin" / "python", size(place)
    begun = time.monotonic()
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", ROOT], check=True)
    seconds = time.monotonic() - begun
    return LightInstall(python, place / "bin" / "asr", (size(place) - bare) / 1e6, seconds)


def size(folder: Path) -> int:
    """Bytes of all files below `folder`."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
