"""The command `asr doctor`, and what is said where something is missing."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np

from asr import shipped
from asr.cli import main

COMMANDS = runpy.run_path(str(Path(__file__).resolve().parents[1] / "command_line.py"))
call, run = COMMANDS["calling"](main), COMMANDS["running"]("asr")
RATE = 8000


def test_doctor_says_what_is_there(capsys) -> None:
    code, out, err = call(capsys, "doctor")
    assert (code, err) == (0, "")
    assert out.startswith("saywave ")
    for line in (
        "ok       transcribe wav",
        "ok       evaluate, calibrate, tune: jiwer",
        "ok       train: torch",
        "training runs on",
    ):
        assert line in out
    for name in shipped.names():
        assert f"ok       model {name}: " in out


def test_doctor_says_what_is_missing(capsys, monkeypatch) -> None:
    import asr.doctor as doctor

    there = doctor.importlib.util.find_spec
    lacking = {"torch", "lhotse", "av", "sounddevice"}
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None if name in lacking else there(name))
    code, out, _ = call(capsys, "doctor")
    assert code == 0
    assert "missing  transcribe m4a, mp4, webm: av; pip install 'saywave[video]'" in out
    assert "missing  listen to a microphone: sounddevice; pip install 'saywave[mic]'" in out
    assert "missing  evaluate, calibrate, tune: lhotse; pip install 'saywave[train]'" in out
    assert "missing  train: torch, lhotse; pip install 'saywave[train]'" in out
    assert "ok       transcribe wav" in out


def test_doctor_lists_microphones_or_says_why_there_is_none(tmp_path: Path) -> None:
    virtual = runpy.run_path(str(Path(__file__).resolve().parents[1] / "virtual_microphone.py"))
    with virtual["virtual_microphone"](np.zeros(RATE, np.float32), RATE, names=["desk"]) as microphone:
        ran = run("doctor", env=microphone.env)
        assert (ran.returncode, ran.stderr) == (0, b"")
        assert b"ok       microphone 0: desk (ALSA), 44100 Hz\n" in ran.stdout
        assert b"ok       microphone 1: default (ALSA), 44100 Hz, the default\n" in ran.stdout
    ran = run("doctor", env=virtual["environment"](tmp_path))
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"ok       listen to a microphone: sounddevice " in ran.stdout
    assert b"missing  microphone: no microphone was found: plug one in" in ran.stdout


def test_what_an_extra_brings_is_named_where_it_is_missing(capsys, tones: Path, tone_model: Path, monkeypatch) -> None:
    import importlib.util

    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in ("torch", "jiwer") else there(name))
    code, _, err = call(capsys, "train", tones / "train", "--out", "nowhere")
    assert (code, err) == (2, "asr: training needs torch, jiwer: pip install 'saywave[train]'\n")
    code, _, err = call(capsys, "evaluate", tones / "test", "--model", tone_model)
    assert (code, err) == (2, "asr: evaluating needs jiwer: pip install 'saywave[train]'\n")
    code, _, err = call(capsys, "tune", tones / "test", "--model", tone_model, "--lm", "none.arpa")
    assert (code, err) == (2, "asr: tuning needs jiwer: pip install 'saywave[train]'\n")
