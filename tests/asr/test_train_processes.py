"""Training as a program: stopped and gone on with, and by two processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from asr.recognizer import Recognizer
from inference import model as models
from inference.model import BLANK

SETTINGS = [
    "--features.fbank.rate=8000",
    "--features.fbank.bins=20",
    "--tokens.unit=word",
    "--encoder.layers=1",
    "--encoder.hidden_size=16",
    "--optimizer.learning_rate=0.02",
    "--loop.batch_frames=800",
    "--loop.threads=1",
    "--loop.average=0.9",
]


def command(tones: Path, out: Path, *arguments: str) -> list[str]:
    data = [tones / "train", "--dev", tones / "dev", "--out", out]
    return [sys.executable, "-m", "asr", "train", *map(str, data), *SETTINGS, *arguments]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends the signal of Ctrl-C to a group of processes")
def test_ctrl_c_leaves_a_run_that_goes_on(tones: Path, tmp_path: Path) -> None:
    subprocess.run(command(tones, tmp_path / "whole", "--loop.epochs=6"), check=True, capture_output=True)
    with subprocess.Popen(
        command(tones, tmp_path / "stopped", "--loop.epochs=6"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        for line in running.stdout:
            if line.startswith("interval   2"):
                # As a terminal does: to the workers too.
                os.killpg(running.pid, signal.SIGINT)
                break
        said = running.stderr.read()
    assert running.returncode == 130
    # The fixture's speakers stand on both sides, which is said first.
    warning, stopped = said.strip().splitlines()
    assert "speakers are in both training and development data" in warning
    assert stopped == "asr: stopped"
    assert not (tmp_path / "stopped" / "model").exists()
    ended = subprocess.run(command(tones, tmp_path / "stopped", "--loop.epochs=6"), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "going on from" in ended.stdout
    for name in (models.WEIGHTS, models.GRAPH, models.LABELS, models.CONFIG):
        assert (tmp_path / "stopped/model" / name).read_bytes() == (tmp_path / "whole/model" / name).read_bytes()


@pytest.mark.slow
def test_two_processes_train_one_model(tones: Path, tmp_path: Path) -> None:
    """On the CPU, where gloo joins them."""
    two = ["--loop.devices=2", "--loop.strategy=ddp", "--loop.epochs=25", "--loop.workers=0", "--loop.batch_frames=500"]
    ended = subprocess.run(command(tones, tmp_path, *two), capture_output=True, text=True, timeout=200)
    assert ended.returncode == 0, ended.stderr
    log = (tmp_path / "run" / "train.log").read_text()
    assert [int(number) for number in re.findall(r"interval +(\d+)", log)] == list(range(1, 26))
    assert float(re.findall(r"dev error (\S+) %", log)[-1]) < 30
    assert Recognizer.open(tmp_path / "model").model.labels == (BLANK, "la", "mi", "so")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "run", "settings.yaml"]
