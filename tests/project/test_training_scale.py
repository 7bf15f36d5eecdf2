"""`benchmarks.training_scale`: its fit, its parts of the data, the memory that it sees, and a small measurement."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from training.items import Item
from training.manifests import cut, read, write

# They are not installed. What is installed comes first.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from benchmarks import training_scale as scale


@given(st.floats(-2, 2), st.floats(0.1, 100))
def test_the_power_of_a_law_is_found(power: float, factor: float) -> None:
    amounts = [0.5, 1.0, 2.0]
    assert scale.power(amounts, [factor * amount**power for amount in amounts]) == pytest.approx(power, abs=1e-9)


def test_the_fixed_cost_is_no_part_of_the_fit() -> None:
    def run(parts: int, hours: float, processor_seconds: float, memory: float) -> tuple:
        return scale.Run(parts, hours, 1, processor_seconds, 0.0, memory, 2 * memory)

    runs = [run(0, 0.5, 30, 7), run(1, 1.5, 40, 100), run(2, 2.5, 50, 100), run(4, 4.5, 70, 100)]
    assert scale.fitted(runs) == pytest.approx((1.0, 0.0, 0.0))
    assert scale.straight(runs) == pytest.approx((10.0, 25.0, 0.0), abs=1e-9)
    off = [*runs, run(4, 4.5, 90, 100), run(4, 4.5, 80, 100)]
    assert scale.straight(off)[2] > 0.05
    cheaper = [*runs[:1], *(one._replace(processor_seconds=20) for one in runs[1:])]
    assert np.isnan(scale.fitted(cheaper).time)
    assert scale.too_little(runs)
    assert not scale.too_little([runs[0]._replace(processor_seconds=20), *runs[1:]])


def test_parts_lie_within_each_other_and_apart_from_the_development_set() -> None:
    items = [Item(str(k), "a.wav", 0.0, 1 + k % 3, "a") for k in range(90)]
    dev, sets = scale.divided(items, [1, 2, 4], dev=6, seconds=None, seed=1)
    assert len(dev) == 6
    assert len(sets[4]) == 84
    assert not {item.id for item in dev} & {item.id for item in sets[4]}
    whole = sum(item.duration for item in sets[4])
    for size, found in sets.items():
        assert found == sets[4][: len(found)]
        assert 0 <= sum(item.duration for item in found) - whole * size / 4 < 3
    _, short = scale.divided(items, [1, 2], dev=6, seconds=20.0, seed=1)
    assert 20 <= sum(item.duration for item in short[1]) < 23
    with pytest.raises(SystemExit, match=r"400 s are wanted besides the development set, and \d+ s are there"):
        scale.divided(items, [1, 4], dev=6, seconds=100.0, seed=1)
    with pytest.raises(SystemExit, match="too few for parts of different size"):
        scale.divided(items[:8], [1, 2, 4], dev=6, seconds=0.1, seed=1)


def test_stretches_of_a_recording_stay_stretches(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(32000), 16000)
    items = [
        Item("a", str(tmp_path / "a.wav"), 0.5, 1.0, "one two", "s"),
        Item("a", str(tmp_path / "a.wav"), 0, 2.0, ""),
    ]
    made = read(scale.write_manifest(tmp_path / "some.jsonl.gz", items))
    assert [(item.start, item.duration, item.text) for item in made] == [(0.5, 1.0, "one two"), (0.0, 2.0, "")]


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="memory is looked at through Linux's /proc")
def test_memory_of_children_counts() -> None:
    before = scale.held_by(os.getpid())
    code = "held = bytearray(60_000_000); print(flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout.readline()
    during, alone = scale.held_by(os.getpid()), scale.held_by(child.pid)
    child.communicate(b"\n")
    assert 60 <= during.together_mb - before.together_mb < 90
    assert 60 <= alone.together_mb <= alone.largest_mb < 90
    assert during.largest_mb >= before.largest_mb > 100
    assert scale.held_by(child.pid) == (0, 0)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_small_measurement(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    cuts = []
    for k in range(40):
        path = tmp_path / f"{k}.wav"
        soundfile.write(path, 0.1 * rng.standard_normal(8000), 8000)
        cuts.append(cut(str(k), path, "yes no"))
    manifest = write(tmp_path / "all.jsonl.gz", cuts)
    found = tmp_path / "scale.json"
    small = ["--features.fbank.rate", "8000", "--features.fbank.bins", "20", "--encoder.hidden_size", "4"]
    scale.main([str(manifest), "--parts", "1", "3", "--dev", "4", "--json", str(found), *small])
    said = capsys.readouterr().out
    assert "| development | 0.001 | 4 |" in said
    assert "| 3 | 0.010 | 36 |" in said
    runs = json.loads(found.read_text())["runs"]
    assert [run["recordings"] for run in runs] == [4, 12, 36]
    assert all(run["processor_seconds"] > 1 and run["largest_mb"] > 100 for run in runs)


@pytest.mark.slow
def test_a_setting_that_asr_train_refuses_ends_the_measurement(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"asr train ended with 2:(.|\n)*epohcs"):
        scale.trained(tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl.gz", tmp_path / "out", ["--loop.epohcs=3"])
