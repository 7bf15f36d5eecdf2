"""`python -m asr.demo`: the shipped recording, word by word with its times, and what to try next.

This is the first thing a newcomer sees, so that it prints the very commands that work where it was started.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import asr
from asr.transcript import Transcript
from inference.shell import guarded, shown, typed

RECORDING = Path(__file__).with_name("digits.flac")
IN_CLONE = Path("asr", "demo", "digits.flac")
# Of all that ships, what knows these ten words and nothing else.
MODEL = "digits"


def main() -> int:
    """Transcribe and print. Returns the exit code.

    Raises:
        ModelError: the installation has no such model, or a damaged one.
    """
    recognizer = asr.load(MODEL)
    started = time.perf_counter()
    transcript = recognizer.transcribe(RECORDING)
    seconds = time.perf_counter() - started
    # In a clone its own copy has the shorter path to type.
    recording = str(IN_CLONE) if IN_CLONE.is_file() else shown(RECORDING)
    print(f"{recording}: {transcript.duration:.1f} s of synthetic speech,")
    print(f"transcribed with the model `{MODEL}` in {seconds:.2f} s, on one thread and offline\n")
    print(table(transcript))
    print(f"\nall words: {transcript.text}\n")
    print(next_steps(typed("asr"), recording))
    return 0


def table(transcript: Transcript) -> str:
    """Each word on a line, with start and end in seconds and the confidence from 0 to 1."""
    lines = [f"{'start':>7}{'end':>8}{'confidence':>13}   word"]
    for word in transcript.words:
        lines.append(f"{word.start:7.2f}{word.end:8.2f}{word.confidence:13.2f}   {word.text}")
    return "\n".join(lines)


def next_steps(asr_command: str, recording: str) -> str:
    """Commands to go on with."""
    steps = (
        ("the same with times, as JSON", f"transcribe {recording} --model {MODEL} --format json"),
        ("the same as it would be heard live", f"transcribe {recording} --model {MODEL} --streaming --realtime"),
        ("your own recording, in English", "transcribe FILE.wav"),
        ("the microphone, while you speak (needs the extra mic, see README)", "listen"),
        ("what is installed, what is missing for what", "doctor"),
        ("all commands; `train` makes a model of other words", "--help"),
    )
    width = max(len(arguments) for _, arguments in steps)
    return "\n".join(["Try next:", *(f"  {asr_command} {arguments:{width}}   {what}" for what, arguments in steps)])


if __name__ == "__main__":
    sys.exit(guarded("asr", main))
