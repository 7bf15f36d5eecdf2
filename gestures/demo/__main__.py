"""`python -m gestures.demo`: the shipped landmarks, gesture by gesture with their times, and what to try next."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import gestures
from features import landmark_files
from gestures.shipped import DEFAULT
from inference.shell import guarded, shown, typed

LANDMARKS = Path(__file__).with_name("hand.pose")
IN_CLONE = Path("gestures", "demo", "hand.pose")


def main() -> int:
    """Watch the landmarks as a stream and print the gestures. Returns the exit code.

    Raises:
        ModelError: the installation has no such model, or a damaged one.
        LandmarkError: the landmarks are damaged.
    """
    recognizer = gestures.load(DEFAULT)
    landmarks = landmark_files.read(LANDMARKS)
    started = time.perf_counter()
    recognition = recognizer.recognize(landmarks, chunk=0.2, lookahead=0.1)
    seconds = time.perf_counter() - started
    source = str(IN_CLONE) if IN_CLONE.is_file() else shown(LANDMARKS)
    print(f"{source}: {recognition.duration:.1f} s of a hand made by arithmetic,")
    print(f"watched with the model `{DEFAULT}` as a live stream would be, in {seconds:.2f} s\n")
    print(f"{'start':>7}{'end':>8}{'confidence':>13}   gesture")
    for one in recognition.gestures:
        print(f"{one.start:7.2f}{one.end:8.2f}{one.confidence:13.2f}   {one.label}")
    command = typed("gestures")
    steps = (
        (f"recognize {source} --format json", "the same, as JSON"),
        ("watch", "your own hand before a webcam (needs the extra video, see README)"),
        ("record LABEL", "clips of a gesture of yours, to train on"),
        ("doctor", "what is installed, what is missing for what"),
    )
    width = max(len(arguments) for arguments, _ in steps)
    print("\n" + "\n".join(["Try next:", *(f"  {command} {arguments:{width}}   {what}" for arguments, what in steps)]))
    return 0


if __name__ == "__main__":
    sys.exit(guarded("gestures", main))
