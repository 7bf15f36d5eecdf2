"""Filterbanks of 80 bins and MFCC of 13 coefficients of 16 kHz sound; the filterbank as a stream, too.

Windows of 25 ms every 10 ms; a stream is pushed in blocks of 100 ms. Where the definition is the same, Kaldi's, the
largest difference from ours is noted. torchaudio's MelSpectrogram (no pre-emphasis, triangles straight in Hz, no
logarithm), librosa and python_speech_features have definitions of their own.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.measure import Aim, Gauge, Setting, Subject, processor_time, ratio, take_turns
from benchmarks.peers import Peer, PeerError
from benchmarks.sounds import RATE, speechlike
from features.filterbank import Fbank, FbankConfig, Mfcc, MfccConfig

OURS = "saywave"
COMPLIANCE, SPECTROGRAM = "torchaudio.compliance", "torchaudio MelSpectrogram"
KALDI = "kaldi-native-fbank"
BINS, BLOCK_SECONDS = 80, 0.1
# What shorter runs are repeated to.
AT_LEAST = 0.02


def measure(setting: Setting, subject: Subject) -> None:
    """Filterbank, MFCC and stream of one length, then the filterbank over three decades of lengths."""
    seconds = 5.0 if setting.quick else 60.0
    lengths = (0.1, 1.0) if setting.quick else (0.1, 1.0, 10.0, 100.0)
    with tempfile.TemporaryDirectory() as folder:
        peer = opened(setting, subject)
        for kind in ("filterbank", "MFCC"):
            contest(setting, subject, peer, kind, seconds, Path(folder))
        stream(setting, subject, peer, min(seconds, 20.0), Path(folder))
        for length in lengths:
            gauges = contenders(subject, peer, "filterbank", length, Path(folder))[0]
            taken = take_turns(gauges, setting.rounds, at_least=AT_LEAST)
            subject.add("filterbank by length", taken, size=length, axis="seconds of sound")


def opened(setting: Setting, subject: Subject) -> Peer | None:
    try:
        return setting.peers.open("features")
    except PeerError as error:
        subject.leave_out("kaldi-native-fbank, librosa, python_speech_features", error)
        return None


def contest(setting: Setting, subject: Subject, peer: Peer | None, kind: str, seconds: float, folder: Path) -> None:
    """Everybody on one sound, and how much faster ours is than the faster of those of Kaldi's definition."""
    gauges, notes = contenders(subject, peer, kind, seconds, folder)
    taken = take_turns(gauges, setting.rounds)
    subject.add(f"{kind}, {seconds:g} s of sound", taken, notes=notes)
    same = [ratio(taken[who], taken[OURS]) for who in (COMPLIANCE, KALDI) if who in taken]
    if len(same) == 2:
        what = f"{kind}: time of the faster of torchaudio.compliance and kaldi-native-fbank, times ours"
        subject.aims.append(Aim(what, min(same), 1.5, at_most=False))
    if kind == "filterbank" and SPECTROGRAM in taken:
        what = "filterbank: time in times torchaudio MelSpectrogram's"
        subject.aims.append(Aim(what, ratio(taken[OURS], taken[SPECTROGRAM]), 1.05))


def contenders(
    subject: Subject, peer: Peer | None, kind: str, seconds: float, folder: Path
) -> tuple[dict[str, Gauge], dict[str, str]]:
    """What computes features of a sound of this length, ours first, and what is to be noted of each."""
    samples_S = speechlike(seconds)
    calls = {OURS: own(kind, samples_S), **torchaudio_calls(subject, kind, samples_S)}
    reference_TF = calls[OURS]()
    notes = {who: difference(call(), reference_TF) for who, call in calls.items() if who != OURS}
    gauges = {who: processor_time(call) for who, call in calls.items()}
    if peer is not None:
        path = folder / f"{kind}-{seconds:g}.npy"
        np.save(path, samples_S)
        for who in peer.ask("contenders"):
            frames = folder / "frames.npy"
            try:
                peer.ask("frames", who=who, kind=kind, path=str(path), out=str(frames))
            except PeerError as error:
                subject.leave_out(f"{who}, {kind}", error)
                continue
            notes[who] = difference(np.load(frames), reference_TF)
            gauges[who] = peer.gauge("time", who=who, kind=kind, path=str(path))
    return gauges, notes


def own(kind: str, samples_S: np.ndarray) -> Callable[[], np.ndarray]:
    if kind == "MFCC":
        mfcc = Mfcc(MfccConfig(rate=RATE))
        return lambda: mfcc(samples_S)
    fbank = Fbank(FbankConfig(rate=RATE, bins=BINS))
    return lambda: fbank(samples_S)


def torchaudio_calls(subject: Subject, kind: str, samples_S: np.ndarray) -> dict[str, Callable[[], np.ndarray]]:
    """Both of torchaudio's definitions, where it is installed."""
    if importlib.util.find_spec("torchaudio") is None:
        subject.leave_out("torchaudio", "not installed: pip install '.[train]'")
        return {}
    import torch
    import torchaudio

    tensor_1S = torch.from_numpy(samples_S)[None]
    kaldi = torchaudio.compliance.kaldi
    settings = {"sample_frequency": RATE, "dither": 0.0, "energy_floor": 0.0}
    if kind == "MFCC":
        spectral = {"n_fft": 512, "win_length": 400, "hop_length": 160, "n_mels": 23}
        other = torchaudio.transforms.MFCC(RATE, n_mfcc=13, melkwargs=spectral)
        return {
            COMPLIANCE: lambda: kaldi.mfcc(tensor_1S * 32768.0, use_energy=True, **settings).numpy(),
            "torchaudio MFCC": lambda: other(tensor_1S).numpy(),
        }
    other = torchaudio.transforms.MelSpectrogram(RATE, n_fft=512, win_length=400, hop_length=160, n_mels=BINS)
    return {
        COMPLIANCE: lambda: kaldi.fbank(tensor_1S * 32768.0, num_mel_bins=BINS, **settings).numpy(),
        SPECTROGRAM: lambda: other(tensor_1S).numpy(),
    }


def difference(frames: np.ndarray, reference_TF: np.ndarray) -> str:
    """How far frames of the same definition are from ours."""
    if frames.shape != reference_TF.shape:
        return "another definition"
    largest = float(np.abs(frames - reference_TF).max())
    return f"difference {largest:.1e}" if largest < 0.01 else "another definition"


def stream(setting: Setting, subject: Subject, peer: Peer | None, seconds: float, folder: Path) -> None:
    """A block of a stream, in the mean over a sound."""
    samples_S = speechlike(seconds)
    blocks = np.split(samples_S, round(seconds / BLOCK_SECONDS))
    fbank = Fbank(FbankConfig(rate=RATE, bins=BINS))

    def through() -> None:
        frames = fbank.stream()
        for block_S in blocks:
            frames.push(block_S)
        frames.flush()

    gauges = {OURS: processor_time(through)}
    if peer is not None:
        path = folder / "stream.npy"
        np.save(path, samples_S)
        gauges[KALDI] = peer.gauge("stream", path=str(path), block=len(blocks[0]))
    taken = {who: [one / len(blocks) for one in values] for who, values in take_turns(gauges, setting.rounds).items()}
    subject.add("filterbank, a block of 100 ms of a stream", taken)
    own_ms = 1e3 * float(np.median(taken[OURS]))
    subject.aims.append(Aim("filterbank: a block of 100 ms of a stream, in ms", own_ms, 0.1))
