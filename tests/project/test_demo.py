"""The demos print what is recognised, with times, and commands that work, or one line where there is no model."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

SPOKEN = "three one four one five nine two six"


def test_words_times_and_next_steps(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "asr.demo"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    rows = re.findall(r"^ *(\d+\.\d\d) +(\d+\.\d\d) +([01]\.\d\d) +(\w+)$", done.stdout, re.MULTILINE)
    assert " ".join(word for *_, word in rows) == SPOKEN
    assert f"all words: {SPOKEN}\n" in done.stdout
    times = [float(time) for start, end, *_ in rows for time in (start, end)]
    assert times == sorted(times)
    # The pause between the two groups of digits.
    starts, ends = times[0::2], times[1::2]
    assert starts[5] - ends[4] > 0.4
    json_step = next(line.split("   ")[0] for line in done.stdout.splitlines() if "--format json" in line)
    again = subprocess.run(shlex.split(json_step), cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["text"] == SPOKEN


def test_gestures_times_and_next_steps(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "gestures.demo"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    rows = re.findall(r"^ *(\d+\.\d\d) +(\d+\.\d\d) +([01]\.\d\d) +(\w+)$", done.stdout, re.MULTILINE)
    assert [label for *_, label in rows] == ["open", "close", "point", "clockwise"]
    times = [float(time) for start, end, *_ in rows for time in (start, end)]
    assert times == sorted(times)
    json_step = next(line.split("   ")[0] for line in done.stdout.splitlines() if "--format json" in line)
    again = subprocess.run(shlex.split(json_step), cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert '"clockwise"' in again.stdout


def test_the_landmarks_are_made_by_the_script_beside_them() -> None:
    from features import landmark_files
    from features.pose_file import encode
    from gestures.demo.__main__ import LANDMARKS
    from gestures.demo.make_hand import landmarks

    assert landmark_files.read(LANDMARKS).points[:1] == landmarks().points[:1]
    assert LANDMARKS.read_bytes() == encode(landmarks())


@pytest.mark.parametrize(("program", "model"), [("asr", "digits"), ("gestures", "hands")])
def test_without_a_model_it_says_so_in_one_line(tmp_path: Path, program: str, model: str) -> None:
    code = f"""
import pathlib, runpy, {program}.shipped
{program}.shipped.FOLDER = pathlib.Path({str(tmp_path)!r})
runpy.run_module("{program}.demo", run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"{program}: {model}: neither a shipped model (none) nor a model directory\n"
