"""What one transcription imports: time until the text is there is mostly the time of imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import asr

RECORDING = Path(asr.__file__).parent / "demo" / "digits.flac"
SAID = "three one four one five nine two six\n"

# What each of them is for: something that a transcription of one file does not do.
NEEDLESS = {
    "rich": "progress, where somebody looks",
    "av": "containers of video",
    "jsonargparse": "training",
    "scipy": "training",
    "sounddevice": "microphones",
    "numpy.random": "dither, and training",
    "secrets": "names of parts of files",
    "importlib.metadata": "what is installed",
    "asr.listen": "streams",
    "asr.language.train": "training of language models",
    "features.microphone": "microphones",
}

TRANSCRIBE = """
import sys
from asr.cli import main

code = main(["transcribe", *sys.argv[1:]])
print(*sorted(sys.modules), file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture(scope="module")
def imported() -> set[str]:
    """The modules that are there when the default model has heard the demonstration's recording."""
    done = subprocess.run([sys.executable, "-c", TRANSCRIBE, str(RECORDING)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, SAID), done.stderr
    return set(done.stderr.split())


def test_modules_are_named(imported: set[str]) -> None:
    assert {"asr.recognizer", "numpy", "onnxruntime"} <= imported


@pytest.mark.parametrize("module", NEEDLESS)
def test_a_transcription_does_without(module: str, imported: set[str]) -> None:
    assert module not in imported, f"{module} is for {NEEDLESS[module]}"
