"""From the shell's prompt to a text: commands as they are typed, each a process of its own.

The light install is a fresh environment without PyTorch (with --quick: whatever environment this runs in), with files
that have been read before. It is timed by the clock on the wall and in processor time.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.environments import LightInstall, commands_in_turns, light_install
from benchmarks.measure import Aim, Setting, Subject
from benchmarks.peers import PROGRAMS, PeerError
from benchmarks.sounds import RECORDING
from features import audio

SECONDS = 3.0
OURS = "`asr transcribe`, 3 s"


def measure(setting: Setting, subject: Subject) -> None:
    """Commands in turns, by both clocks."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if setting.quick:
            asr = [sys.executable, "-m", "asr"]
            python = Path(sys.executable)
        else:
            install = light_install(folder)
            installed(subject, install)
            asr, python = [str(install.asr)], install.python
        three = folder / "three.wav"
        samples_S, rate = audio.read(RECORDING, duration=SECONDS)
        audio.write(three, samples_S, rate)
        commands: dict[str, list] = {
            OURS: [*asr, "transcribe", three],
            "`asr --help`": [*asr, "--help"],
            "`python -c pass`": [python, "-c", "pass"],
        }
        try:
            program = PROGRAMS / "pocketsphinx_once.py"
            commands["pocketsphinx, 3 s"] = [setting.peers.python("pocketsphinx"), program, three]
        except PeerError as error:
            subject.leave_out("pocketsphinx", error)
        taken = commands_in_turns(commands, setting.rounds)
        wall = {who: [one.wall for one in values] for who, values in taken.items()}
        subject.add("start-up, wall time", wall)
        subject.add("start-up, processor time", {who: [one.seconds for one in took] for who, took in taken.items()})
        median = statistics.median(wall[OURS])
        subject.aims.append(Aim("start-up: prompt to text of a file of 3 s, in seconds on the wall", median, 0.6))


def installed(subject: Subject, install: LightInstall) -> None:
    """What the light install takes."""
    subject.add("the light install, beyond an empty environment", {"saywave": [install.megabytes]}, unit="MB")
    subject.add("the light install, wall time with pip's cache", {"saywave": [install.seconds]})
    subject.aims.append(Aim("light install, in MB", install.megabytes, 250))
