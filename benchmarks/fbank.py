"""How long the filterbank takes beside other implementations: 60 s of 16 kHz sound, 80 bins, one thread each.

    OMP_NUM_THREADS=1 python benchmarks/fbank.py

The implementations take turns within one run, so that a machine that grows slower or faster treats them alike; the
table shows medians. ``difference`` is the largest absolute difference from ours in log-mel; torchaudio's MelSpectrogram
is another definition (no pre-emphasis, triangles straight in Hz, no logarithm) and stands there for orientation.
"""

from __future__ import annotations

import argparse
import os

# Before NumPy and torch are loaded: they read it once.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import statistics
import time
from collections.abc import Callable

import kaldi_native_fbank
import numpy as np
import torch
import torchaudio
from rich.console import Console
from rich.table import Table

from features.filterbank import Fbank, FbankConfig

RATE = 16000
BINS = 80


def speechlike(seconds: float) -> np.ndarray:
    """Noise with the slope of speech and a level that comes and goes four times a second, float32 in [-1, 1]."""
    draw = np.random.default_rng(0)
    size = round(seconds * RATE)
    spectrum = np.fft.rfft(draw.standard_normal(size))
    hz = np.fft.rfftfreq(size, 1 / RATE)
    sloped = np.fft.irfft(spectrum / (1.0 + hz / 300.0), size)
    sloped *= 0.55 + 0.45 * np.sin(2 * np.pi * 4.0 * np.arange(size) / RATE)
    return (0.5 * sloped / np.abs(sloped).max()).astype(np.float32)


def implementations(samples_S: np.ndarray) -> dict[str, Callable[[], np.ndarray]]:
    """Each competitor as a call without arguments that gives its frames."""
    ours = Fbank(FbankConfig(rate=RATE, bins=BINS))
    scaled_S = samples_S * np.float32(32768.0)
    tensor_1S = torch.from_numpy(samples_S)[None]

    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.samp_freq = RATE
    options.frame_opts.dither = 0.0
    options.mel_opts.num_bins = BINS
    options.mel_opts.high_freq = 0.0

    def native() -> np.ndarray:
        computer = kaldi_native_fbank.OnlineFbank(options)
        computer.accept_waveform(RATE, scaled_S)
        computer.input_finished()
        return np.stack([computer.get_frame(t) for t in range(computer.num_frames_ready)])

    def compliance() -> np.ndarray:
        return torchaudio.compliance.kaldi.fbank(
            tensor_1S * 32768.0, num_mel_bins=BINS, sample_frequency=RATE, dither=0.0, energy_floor=0.0
        ).numpy()

    spectrogram = torchaudio.transforms.MelSpectrogram(RATE, n_fft=512, win_length=400, hop_length=160, n_mels=BINS)

    return {
        "saywave": lambda: ours(samples_S),
        "kaldi-native-fbank": native,
        "torchaudio.compliance.kaldi": compliance,
        "torchaudio MelSpectrogram": lambda: spectrogram(tensor_1S).numpy(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Filterbank speed beside other implementations, one thread each.")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the sound")
    parser.add_argument("--repetitions", type=int, default=30, help="how often each implementation runs")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    calls = implementations(speechlike(arguments.seconds))
    reference = calls["saywave"]()
    times: dict[str, list[float]] = {name: [] for name in calls}
    differences: dict[str, str] = {}
    for name, call in calls.items():  # warm up, and compare
        frames = call()
        same_definition = frames.shape == reference.shape
        differences[name] = f"{np.abs(frames - reference).max():.1e}" if same_definition else "other definition"
    for _ in range(arguments.repetitions):
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - begin)

    own = statistics.median(times["saywave"])
    table = Table(title=f"{arguments.seconds:g} s of {RATE} Hz, {BINS} bins, one thread, {arguments.repetitions} times")
    for heading in ("implementation", "median ms", "fastest ms", "times ours", "difference"):
        table.add_column(heading, justify="left" if heading == "implementation" else "right")
    for name, taken in times.items():
        median = statistics.median(taken)
        table.add_row(name, f"{1e3 * median:.1f}", f"{1e3 * min(taken):.1f}", f"{median / own:.2f}", differences[name])
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
