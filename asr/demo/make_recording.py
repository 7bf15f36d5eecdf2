"""Make `digits.flac`, the recording that the demo transcribes: eight digits spoken by flite's voice `rms`.

Run it with `python asr/demo/make_recording.py`; it needs Debian's package `flite`. The two breath groups are what
these commands say, with half a second between them, over a hiss as faint as a quiet room's:

    flite -voice rms --setf duration_stretch=1.15 -t "three one four one five." -o first.wav
    flite -voice rms --setf duration_stretch=1.15 -t "nine two six." -o second.wav
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

VOICE = "rms"
STRETCH = 1.15  # times as slow as the voice's own pace
PHRASES = ("three one four one five.", "nine two six.")
PAUSE_SECONDS = 0.5
HISS = 0.0005  # root mean square, full scale 1: a pause in a real recording is never digital silence
RATE = 16000  # what the voice is made of, in Hz
RECORDING = Path(__file__).with_name("digits.flac")


def speak(phrase: str) -> np.ndarray:
    """What flite makes of one phrase, (S,) samples in [-1, 1] at `RATE`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "phrase.wav"
        setting = ["--setf", f"duration_stretch={STRETCH}"]
        subprocess.run(["flite", "-voice", VOICE, *setting, "-t", phrase, "-o", str(path)], check=True)
        samples_S, rate = soundfile.read(path)
    assert rate == RATE, rate
    return samples_S


def main() -> None:
    if shutil.which("flite") is None:
        sys.exit("flite is not installed: apt-get install flite")
    pause_S = np.zeros(round(PAUSE_SECONDS * RATE))
    first_S, second_S = (speak(phrase) for phrase in PHRASES)
    samples_S = np.concatenate([first_S, pause_S, second_S])
    samples_S += HISS * np.random.default_rng(0).standard_normal(len(samples_S))
    soundfile.write(RECORDING, samples_S, RATE, subtype="PCM_16")
    print(f"{RECORDING}: {soundfile.info(RECORDING).duration:.2f} s")


if __name__ == "__main__":
    main()
