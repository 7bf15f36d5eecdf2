"""Commands as processes of their own: what they compute and hold, and an environment with the light install."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.machine import ROOT
from benchmarks.measure import take_turns

LAUNCHER = Path(__file__).resolve().parent / "launcher.py"


class Took(NamedTuple):
    """Processor time and wall time of a command in seconds, and the most memory that it held, in MB."""

    seconds: float
    wall: float
    megabytes: float


def of_their_own() -> dict[str, str]:
    """The variables for a program of another environment: without PYTHONPATH, so that what is installed there runs."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def run_command(command: list) -> Took:
    """Run a command from the root of the file system and without PYTHONPATH, so that what is installed is what runs.

    One with `-m` runs in this clone.

    Raises:
        RuntimeError: it ends with an error; the message has its last line.
    """
    words = [str(part) for part in command]
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(LAUNCHER), *words],
        cwd=ROOT if "-m" in words else os.sep,
        env=of_their_own(),
        capture_output=True,
        text=True,
        errors="replace",
    )
    told = json.loads(done.stdout) if done.returncode == 0 else {"code": "no start"}
    if told["code"]:
        said = done.stderr.strip().splitlines()
        raise RuntimeError(f"{words[0]} ends with {told['code']}: {said[-1] if said else 'it says nothing'}")
    return Took(**told["took"])


def commands_in_turns(commands: Mapping[str, list], rounds: int) -> dict[str, list[Took]]:
    """What each command took in each round."""
    found: dict[str, list[Took]] = {who: [] for who in commands}

    def gauge(who: str) -> float:
        found[who].append(run_command(commands[who]))
        return found[who][-1].seconds

    take_turns({who: partial(gauge, who) for who in commands}, rounds)
    return {who: took[-rounds:] for who, took in found.items()}  # what warmed up goes before


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
