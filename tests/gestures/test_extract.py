"""Many videos to landmark files: nothing twice, nothing half, and what fails is told and stops nothing."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from features import landmark_files
from features.landmarker import find_landmarks
from gestures import extract as extraction
from gestures.extract import ExtractError, extract, extract_folder, targets


def files(folder: Path) -> list[str]:
    """All that lies in a folder, hidden files too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_folder_is_mirrored_and_what_is_there_is_not_made_again(short_video, tmp_path: Path, capsys) -> None:
    videos, out = tmp_path / "videos", tmp_path / "not" / "yet"
    first = short_video(videos / "a.mp4")
    short_video(videos / "deep" / "er" / "b.mov")
    (videos / "text.mp4").write_text("hello")
    (videos / "empty.mp4").touch()
    assert extract_folder(str(videos), output=str(out), jobs=2) == 1
    said, told = capsys.readouterr()
    assert said == f"{out}: 2 landmark files written, 0 were there already\n"
    head, *lines = told.splitlines()
    assert head == "gestures: 2 of 4 videos failed:"
    assert {line.strip().split(": ")[1] for line in lines} == {"is a text file, not a video", "is empty (0 bytes)"}
    assert files(out) == ["a.pose", "deep/er/b.pose"]
    assert files(videos) == ["a.mp4", "deep/er/b.mov", "empty.mp4", "text.mp4"]

    written, alone = landmark_files.read(out / "a.pose"), find_landmarks(first)
    np.testing.assert_allclose(written.presence_TK, alone.presence_TK, atol=1e-6)
    np.testing.assert_allclose(written.coordinates_TKC, alone.coordinates_TKC, atol=1e-3)

    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.pose")}
    assert extract_folder(str(videos), output=str(out), jobs=1) == 1
    assert "0 landmark files written, 2 were there already" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.pose")} == before


def test_a_video_that_has_changed_is_done_again_beside_itself(short_video, clip, tmp_path: Path, capsys) -> None:
    landmark_files.write(tmp_path / "a.pose", clip("wave"))
    video = short_video(tmp_path / "a.mp4", frames=3)
    later = time.time() + 10
    os.utime(video, (later, later))
    assert extract_folder(str(tmp_path), jobs=1) == 0
    assert files(tmp_path) == ["a.mp4", "a.pose"]
    assert len(landmark_files.read(tmp_path / "a.pose")) == 3
    assert capsys.readouterr().err == ""


def test_a_video_that_is_cut_short_is_used_and_named(shared_data: Path, tmp_path: Path, capsys, short_video) -> None:
    whole = short_video(tmp_path / "a.avi", frames=8).read_bytes()
    (tmp_path / "a.avi").write_bytes(whole[: len(whole) // 2])
    assert extract_folder(str(tmp_path), jobs=1) == 0
    said, told = capsys.readouterr()
    assert "1 landmark files written" in said
    assert "1 of 1 videos are damaged, and what could be read was used:" in told
    assert "a.avi: is " in told
    assert 0 < len(landmark_files.read(tmp_path / "a.pose")) < 8


@pytest.mark.parametrize("content", [None, b"", b"this is text"])
def test_the_only_video_is_none(tmp_path: Path, capsys, content: bytes | None) -> None:
    pytest.importorskip("mediapipe", reason="MediaPipe is not installed")
    if content is not None:
        (tmp_path / "a.mp4").write_bytes(content)
    assert extract_folder(str(tmp_path / "a.mp4")) == 2
    said, told = capsys.readouterr()
    assert said == ""
    assert told.startswith(f"gestures: {tmp_path / 'a.mp4'}: ")
    assert len(told.splitlines()) == 1


def test_what_cannot_be_done_is_said_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ExtractError, match="no videos in this folder"):
        extract_folder(str(tmp_path))
    (tmp_path / "a.mp4").write_text("hello")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="file: is a file; give a folder to --output"):
        extract_folder(str(tmp_path), output=str(tmp_path / "file"))
    with pytest.raises(ExtractError, match="0 videos at a time are too few"):
        extract_folder(str(tmp_path), jobs=0)
    with pytest.raises(ValueError, match=r"hand_landmarker\.task: no such file"):
        extract_folder(str(tmp_path), models=str(tmp_path / "nowhere"))


def test_models_that_mediapipe_cannot_use_are_one_error_and_not_one_a_video(short_video, tmp_path: Path) -> None:
    import zipfile

    from features import landmarker_models

    for name, networks in landmarker_models._NETWORKS.items():
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for network in networks:
                archive.writestr(network, "no network")
    for name in "abc":
        short_video(tmp_path / f"{name}.mp4", frames=1)
    with pytest.raises(ValueError, match=r"_landmarker\.task: MediaPipe cannot use it"):
        extract_folder(str(tmp_path), models=str(tmp_path), jobs=2)


def test_landmarks_that_cannot_be_written_are_failures(short_video, tmp_path: Path) -> None:
    video = short_video(tmp_path / "a.mp4", frames=1)
    (tmp_path / "file").write_text("mine")
    done = extract({video: tmp_path / "file" / "a.pose"}, jobs=1)
    assert done.written == 0
    assert len(done.failed) == 1
    assert done.failed[0].startswith(f"{video}: its landmarks cannot be written: ")


def test_targets_are_the_same_places_below_another_folder() -> None:
    root, out = Path("clips"), Path("out")
    videos = [root / "a" / "x.mp4", root / "b" / "x.mp4", root / "x.mp4"]
    assert list(targets(videos, root, out).values()) == [out / "a" / "x.pose", out / "b" / "x.pose", out / "x.pose"]


DIES = """
import os
from features import landmark_files

def die(connection, models, mirrored):
    while True:
        try:
            video = connection.recv()
        except EOFError:
            return
        if video.stem != "good":
            os._exit(7)
        connection.send(("share", 0.5, None))
        connection.send(("done", landmark_files.read(video.with_name("ready.npz")), None))
"""


def test_a_process_that_dies_fails_its_video_alone(monkeypatch, tmp_path: Path, clip) -> None:
    """The processes are real ones; what they do is `die`, since no video is known that crashes PyAV or MediaPipe."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "dying_worker.py").write_text(DIES)
    monkeypatch.syspath_prepend(tmp_path / "code")  # where a process that is started looks for it too
    monkeypatch.setattr(extraction, "_work", importlib.import_module("dying_worker").die)
    monkeypatch.setattr(extraction.landmarker_models, "ensure", lambda *_, **__: tmp_path)
    folder = tmp_path / "videos"
    folder.mkdir()
    landmark_files.write(folder / "ready.npz", clip("wave"))
    videos = [folder / f"{name}.mp4" for name in ("bad", "good", "worse")]
    for video in videos:
        video.touch()
    done = extract({video: video.with_suffix(".npz") for video in videos}, jobs=2)
    assert done.written == 1
    assert sorted(line.split(": the process")[0] for line in done.failed) == [str(videos[0]), str(videos[2])]
    assert all("died (exit code 7)" in line for line in done.failed)
    assert files(folder) == ["bad.mp4", "good.mp4", "good.npz", "ready.npz", "worse.mp4"]


def is_gone(group: int, *, within: float = 10.0) -> bool:
    """Whether no process of a group is left, soon: Python's own tracker of resources ends a moment later."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no signals of this kind")
def test_ctrl_c_ends_all_processes_and_leaves_nothing_half(shared_data: Path, short_video, tmp_path: Path) -> None:
    """The first video is short, the others go on for long: Ctrl-C comes when the first is written."""
    videos = tmp_path / "videos"
    short_video(videos / "a.mp4", frames=1)
    for name in ("b.mp4", "c.mp4"):
        os.symlink(shared_data / "video" / "gesture.mp4", videos / name)
    program = """if True:
        import signal, sys
        from gestures.extract import extract_folder
        from inference.shell import guarded

        if __name__ == "__main__":
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background processes ignore it
            sys.exit(guarded("gestures", lambda: extract_folder(sys.argv[1], output=sys.argv[2], jobs=2)))
        """
    (tmp_path / "program.py").write_text(program)
    command = [sys.executable, tmp_path / "program.py", videos, tmp_path / "out"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        while not (tmp_path / "out" / "a.pose").exists():
            assert running.poll() is None, running.stderr.read()
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to all of them
        said, told = running.communicate(timeout=60)
    assert running.returncode == 130
    assert said == ""
    assert told.splitlines() == [
        "gestures: 1 of 3 videos are extracted; the same command goes on with the others",
        "gestures: stopped",
    ]
    assert files(tmp_path / "out") == ["a.pose"]
    assert is_gone(running.pid)
