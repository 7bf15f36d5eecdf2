"""`gestures doctor`: what is there, what is missing, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from pathlib import Path

import pytest

from features import landmarker_models, mediapipe_tasks
from gestures import doctor, shipped


def test_it_says_what_is_there() -> None:
    pytest.importorskip("mediapipe", reason="MediaPipe is not installed: pip install 'saywave[video]'")
    report = doctor.report()
    assert report.startswith("saywave ")
    assert "ok       recognize landmark files: numpy" in report
    assert "ok       read videos: av" in report
    assert f"ok       landmarks of videos: mediapipe {importlib.metadata.version('mediapipe')}" in report
    assert "landmark models: " in report
    assert " camera" in report
    for name in shipped.names():
        assert f"ok       model {name}: " in report


def test_it_says_what_is_missing(monkeypatch, tmp_path: Path) -> None:
    there = importlib.util.find_spec
    lacking = {"torch", "av", "cv2"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in lacking else there(name))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    report = doctor.report()
    assert "missing  read videos: av; pip install 'saywave[video]'" in report
    assert "missing  train: torch; pip install 'saywave[train]'" in report
    assert "missing  cameras: opencv, which comes with mediapipe; pip install 'saywave[video]'" in report
    assert f"missing  landmark models: made on first use, with pip and a network, in {tmp_path}" in report
    assert not list(tmp_path.iterdir()), "nothing is made by looking"
    (landmarker_models.cache_folder()).mkdir(parents=True)
    for name in (landmarker_models.HAND, landmarker_models.POSE):
        (landmarker_models.cache_folder() / name).touch()
    assert f"ok       landmark models: {landmarker_models.cache_folder()}" in doctor.report()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere MediaPipe brings what it needs")
def test_missing_system_libraries_come_with_their_packages(monkeypatch) -> None:
    libraries = (("libno-such-thing.so.1", "libno-such-thing1"), ("libc.so.6", "libc6"))
    monkeypatch.setattr(mediapipe_tasks, "SYSTEM_LIBRARIES", libraries)
    assert "missing  system libraries of MediaPipe: apt-get install libno-such-thing1\n" in doctor.report()
    monkeypatch.setattr(mediapipe_tasks, "SYSTEM_LIBRARIES", libraries[1:])
    assert "ok       system libraries of MediaPipe\n" in doctor.report()


@pytest.mark.parametrize(("version", "why"), [("0.10.35", "reports usage to a server"), ("0.10.9", "is too old")])
def test_releases_that_are_not_used_are_named(monkeypatch, version: str, why: str) -> None:
    pytest.importorskip("mediapipe", reason="MediaPipe is not installed: pip install 'saywave[video]'")
    installed = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version if name == "mediapipe" else installed(name))
    line = next(line for line in doctor.report().splitlines() if "landmarks of videos" in line)
    assert line.startswith(f"broken   landmarks of videos: MediaPipe {version} {why}: install 0.10.30 to 0.10.33")


def test_a_camera_that_is_not_there_is_said(monkeypatch) -> None:
    pytest.importorskip("cv2", reason="OpenCV is not installed: pip install 'saywave[video]'")
    monkeypatch.setattr(doctor, "_cameras", lambda: [])
    assert doctor._camera_lines() == ["missing  camera: none was found: plug one in, or give a video file instead"]
    monkeypatch.setattr(doctor, "_cameras", lambda: [97])
    [line] = doctor._camera_lines()
    if sys.platform == "linux":
        assert line.startswith("broken   camera 97: there is no such camera")
