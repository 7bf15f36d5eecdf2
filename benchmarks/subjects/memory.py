"""The most memory that transcribing one file holds, and what it computes, by the length of the file.

Each is `asr transcribe` of the shipped recording, repeated, in a process of its own.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.environments import commands_in_turns, light_install
from benchmarks.measure import Aim, Setting, Subject
from benchmarks.peers import PROGRAMS, PeerError
from benchmarks.sounds import RECORDING
from features import audio

# An hour of sound takes long enough.
MOST_ROUNDS = 3
AXIS = "seconds of sound"


def measure(setting: Setting, subject: Subject) -> None:
    """Three decades of lengths up to an hour."""
    rounds = min(setting.rounds, MOST_ROUNDS)
    samples_S, rate = audio.read(RECORDING)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        asr = [sys.executable, "-m", "asr"] if setting.quick else [light_install(folder).asr]
        for seconds in (3.6, 36.0) if setting.quick else (3.6, 36.0, 360.0, 3600.0):
            path = folder / "long.wav"
            audio.write(path, np.resize(samples_S, round(seconds * rate)), rate)
            commands = {"saywave": [*asr, "transcribe", path]}
            if seconds < 60:  # ten minutes would take it several
                commands |= of_pocketsphinx(setting, subject, path)
            taken = commands_in_turns(commands, rounds)
            held = {who: [one.megabytes for one in values] for who, values in taken.items()}
            computed = {who: [one.seconds for one in values] for who, values in taken.items()}
            subject.add("most memory, by length", held, unit="MB", size=seconds, axis=AXIS)
            subject.add("a file to text with everything, by length", computed, size=seconds, axis=AXIS)
            if seconds == 3600:
                subject.aims.append(Aim("memory: an hour of sound, in MB", max(held["saywave"]), 300))


def of_pocketsphinx(setting: Setting, subject: Subject, path: Path) -> dict[str, list]:
    try:
        python = setting.peers.python("pocketsphinx")
    except PeerError as error:
        subject.leave_out("pocketsphinx", error)
        return {}
    return {"pocketsphinx": [python, PROGRAMS / "pocketsphinx_once.py", path]}
