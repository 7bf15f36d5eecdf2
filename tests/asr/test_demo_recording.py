"""The recording that ships is small, is what its README says, and can be made again sample for sample."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

DEMO = Path(__file__).resolve().parents[2] / "asr" / "demo"


def test_recording_is_16_khz_mono_16_bit_and_small() -> None:
    about = soundfile.info(DEMO / "digits.flac")
    assert (about.samplerate, about.channels, about.subtype) == (16000, 1, "PCM_16")
    assert 4.0 < about.duration < 6.0
    assert (DEMO / "digits.flac").stat().st_size < 120_000


def test_recording_has_a_pause_between_two_groups() -> None:
    samples, _ = soundfile.read(DEMO / "digits.flac", dtype="float32")
    blocks = samples[: len(samples) // 160 * 160].reshape(-1, 160)
    quiet = np.sqrt(np.mean(blocks**2, axis=1)) < 0.003
    edges = np.flatnonzero(np.diff(quiet.astype(int), prepend=0, append=0))
    pauses = [(end - start) / 100 for start, end in edges.reshape(-1, 2) if start > 100 and end < len(quiet) - 50]
    assert max(pauses) > 0.5
    assert np.abs(samples).max() < 0.99


@pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")
def test_the_script_makes_the_recording_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("make_recording", DEMO / "make_recording.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(script, "RECORDING", tmp_path / "again.flac")
    script.main()
    again, _ = soundfile.read(tmp_path / "again.flac", dtype="int16")
    shipped, _ = soundfile.read(DEMO / "digits.flac", dtype="int16")
    np.testing.assert_array_equal(again, shipped)
