"""Filterbanks by torchaudio's Kaldi port and by kaldi-native-fbank, and a signal to make them of.

This file is no package's part: take it with `runpy.run_path`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import kaldi_native_fbank
import numpy as np
import torch
from torchaudio.compliance import kaldi as torch_kaldi

from features.filterbank import Fbank, FbankConfig, Mfcc, MfccConfig

Feature = Fbank | Mfcc


def signal(samples: int, *, rate: int = 16000, seed: int = 0) -> np.ndarray:
    """Noise whose level comes and goes, with a tone and an offset: every bin has energy, no two frames are alike."""
    draw = np.random.default_rng(seed)
    time = np.arange(samples) / rate
    level = 0.05 + 0.04 * np.sin(2 * np.pi * 3.0 * time)
    tone = 0.1 * np.sin(2 * np.pi * (200.0 + 300.0 * time) * time)
    return (level * draw.standard_normal(samples) + tone + 0.01).astype(np.float32)


def torchaudio_frames(samples_S: np.ndarray, config: FbankConfig | MfccConfig) -> np.ndarray:
    options: dict[str, Any] = {
        "sample_frequency": float(config.rate),
        "frame_length": config.window_ms,
        "frame_shift": config.shift_ms,
        "window_type": config.window,
        "preemphasis_coefficient": config.preemphasis,
        "remove_dc_offset": config.remove_dc,
        "snip_edges": config.snip_edges,
        "round_to_power_of_two": config.round_to_power_of_two,
        "raw_energy": config.raw_energy,
        "energy_floor": config.energy_floor,
        "num_mel_bins": config.bins,
        "low_freq": config.low_hz,
        "high_freq": config.high_hz,
        "use_energy": config.use_energy,
        "dither": 0.0,
    }
    compute: Callable[..., torch.Tensor] = torch_kaldi.fbank
    if isinstance(config, MfccConfig):
        compute = torch_kaldi.mfcc
        options |= {"num_ceps": config.ceps, "cepstral_lifter": config.lifter}
    return compute(torch.from_numpy(samples_S)[None] * 32768.0, **options).numpy()


def native_frames(samples_S: np.ndarray, config: FbankConfig | MfccConfig) -> np.ndarray:
    is_mfcc = isinstance(config, MfccConfig)
    options = kaldi_native_fbank.MfccOptions() if is_mfcc else kaldi_native_fbank.FbankOptions()
    frame = options.frame_opts
    frame.samp_freq = config.rate
    frame.frame_length_ms = config.window_ms
    frame.frame_shift_ms = config.shift_ms
    frame.window_type = config.window
    frame.preemph_coeff = config.preemphasis
    frame.remove_dc_offset = config.remove_dc
    frame.snip_edges = config.snip_edges
    frame.round_to_power_of_two = config.round_to_power_of_two
    frame.dither = 0.0
    options.mel_opts.num_bins = config.bins
    options.mel_opts.low_freq = config.low_hz
    options.mel_opts.high_freq = config.high_hz
    options.use_energy = config.use_energy
    options.raw_energy = config.raw_energy
    options.energy_floor = config.energy_floor
    if isinstance(config, MfccConfig):
        options.num_ceps = config.ceps
        options.cepstral_lifter = config.lifter
    online = (kaldi_native_fbank.OnlineMfcc if is_mfcc else kaldi_native_fbank.OnlineFbank)(options)
    online.accept_waveform(config.rate, samples_S * np.float32(32768.0))
    online.input_finished()
    frames = [online.get_frame(t) for t in range(online.num_frames_ready)]
    return np.stack(frames) if frames else np.empty((0, online.dim), dtype=np.float32)


def make(config: FbankConfig | MfccConfig) -> Feature:
    return Mfcc(config) if isinstance(config, MfccConfig) else Fbank(config)


def describe(config: object) -> str:
    default = type(config)()
    changed = {key: value for key, value in vars(config).items() if value != getattr(default, key)}
    return ",".join([type(config).__name__, *(f"{key}={value}" for key, value in changed.items())])
