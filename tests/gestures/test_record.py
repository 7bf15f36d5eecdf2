"""Clips: their times, numbers and pictures, keys, and what is left when a camera vanishes or a disk is full."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from features.video import Frame, Video, VideoError, open_video
from gestures import record as recording
from gestures.cli import main
from gestures.clip_writer import CLOCK, ClipWriter, next_number
from gestures.record import make_folder, record

av = pytest.importorskip("av", reason="PyAV writes and reads clips")

SIZE = (64, 48)


def picture(k: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Left half dark, right half bright, brighter from picture to picture."""
    image_HWC = np.full((size[1], size[0], 3), 40 + 2 * (k % 90), np.uint8)
    image_HWC[:, size[0] // 2 :] += 30
    return image_HWC


class Pictures:
    """A source of pictures at given times, which may vanish after the last one."""

    name, size, duration, truncated, skipped = "camera 7", SIZE, None, False, 0

    def __init__(self, times: list[float], *, vanishes: bool = False, rate: float | None = 25.0):
        self.times, self.vanishes, self.rate = times, vanishes, rate

    def frames(self) -> Iterator[Frame]:
        for k, seconds in enumerate(self.times):
            yield Frame(picture(k), seconds)
        if self.vanishes:
            raise VideoError("camera 7: has stopped, as if unplugged: plug it in and start again")

    def close(self) -> None:
        pass


def regular(seconds: float, rate: float = 25.0) -> list[float]:
    return [k / rate for k in range(round(seconds * rate))]


def make_video(path: Path, times: list[float]) -> Path:
    """A video file of such pictures."""
    with ClipWriter(path.parent, SIZE, 25.0) as writer:
        for k, seconds in enumerate(times):
            writer.write(Frame(picture(k), seconds))
        shutil.move(writer.keep("made"), path)
    return path


def read(path: Path) -> list[Frame]:
    with open_video(path) as video:
        return list(video)


class Keys:
    """A surface whose keys are said beforehand: by the number of the picture, or by what is asked."""

    def __init__(self, press):
        self.press, self.shown = press, []

    def show(self, image_HWC: np.ndarray) -> str:
        self.shown.append(image_HWC)
        return self.press(len(self.shown) - 1)


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_clips_have_the_true_times_of_their_frames(tmp_path: Path):
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.01, 0.09, 120)).tolist()
    times = [seconds - times[0] for seconds in times]
    lines: list[str] = []
    code = record(Video(Pictures(times)), tmp_path, clips=2, seconds=1.5, countdown=0.7, say=lines.append)
    assert code == 0
    assert left_in(tmp_path) == ["signer1_001.mp4", "signer1_002.mp4"]
    begin = 0
    for name in left_in(tmp_path):
        # By hand: from the first frame when the countdown is over to the last before the length has passed.
        first = next(k for k in range(begin, len(times)) if times[k] >= times[begin] + 0.7)
        end = next(k for k in range(first, len(times)) if times[k] >= times[first] + 1.5)
        frames = read(tmp_path / name)
        expected = np.array(times[first:end]) - times[first]
        np.testing.assert_allclose([frame.time for frame in frames], expected, atol=1 / CLOCK)
        for k, frame in zip(range(first, end), frames, strict=True):
            assert np.abs(frame.image_HWC.astype(int) - picture(k)).mean() < 4
        # The countdown of the next clip begins with the frame that ends this one.
        begin = end
    assert lines[0] == "clip 1 of 2: ready in 0.7 s"
    assert lines[-1] == f"2 clips kept in {tmp_path}"


@pytest.mark.parametrize("encoder", ["libx264", "mpeg4"])
@pytest.mark.parametrize("rate", [25.0, 30000 / 1001, None])
def test_either_encoder_keeps_times_and_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: str, rate: float | None
):
    if encoder not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {encoder}")
    if encoder == "mpeg4":
        monkeypatch.setattr(av, "codecs_available", {"mpeg4"})
    times = [k / (rate or 50.0) for k in range(20)]
    with ClipWriter(tmp_path, SIZE, rate) as writer:
        for k, seconds in enumerate(times):
            writer.write(Frame(picture(k), 100.0 + seconds))
        path = writer.keep("anna")
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == {"libx264": "h264"}.get(encoder, encoder)
    frames = read(path)
    np.testing.assert_allclose([frame.time for frame in frames], times, atol=1 / CLOCK)
    assert max(np.abs(frame.image_HWC.astype(int) - picture(k)).mean() for k, frame in enumerate(frames)) < 4
    assert left_in(tmp_path) == ["anna_001.mp4"]


def test_odd_sizes_lose_a_line_and_other_sizes_are_scaled(tmp_path: Path):
    with ClipWriter(tmp_path, (65, 49)) as writer:
        writer.write(Frame(picture(0, (65, 49)), 0.0))
        writer.write(Frame(picture(1, (128, 96)), 0.1))
        writer.write(Frame(picture(1, (128, 96)), 0.1))  # no later than the one before: left out
        frames = read(writer.keep("anna"))
    assert [frame.image_HWC.shape for frame in frames] == [(48, 64, 3), (48, 64, 3)]
    assert np.abs(frames[1].image_HWC.astype(int) - picture(1)).mean() < 4


def test_numbers_go_on_and_nothing_is_overwritten(tmp_path: Path):
    (tmp_path / "anna_007.pose").write_bytes(b"landmarks of a clip that was removed")
    (tmp_path / "anna_x.mp4").write_bytes(b"")
    (tmp_path / "joanna_099.mp4").write_bytes(b"")
    assert next_number(tmp_path, "anna") == 8
    with ClipWriter(tmp_path, SIZE) as one, ClipWriter(tmp_path, SIZE) as other:
        for writer in (one, other):
            writer.write(Frame(picture(0), 0.0))
        paths = [one.keep("anna"), other.keep("anna")]
    assert [path.name for path in paths] == ["anna_008.mp4", "anna_009.mp4"]
    assert (tmp_path / "anna_007.pose").read_bytes().startswith(b"landmarks")


def test_a_name_that_appears_meanwhile_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # Another process takes the number between looking for it and renaming.
    monkeypatch.setattr("gestures.clip_writer.next_number", lambda folder, signer: 1)
    (tmp_path / "anna_001.mp4").write_bytes(b"of another process")
    with ClipWriter(tmp_path, SIZE) as writer:
        writer.write(Frame(picture(0), 0.0))
        assert writer.keep("anna").name == "anna_002.mp4"
    assert (tmp_path / "anna_001.mp4").read_bytes() == b"of another process"


def test_where_there_are_no_links_clips_are_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def no_links(*_: object) -> None:
        raise PermissionError("no links on this file system")

    monkeypatch.setattr(os, "link", no_links)
    (tmp_path / "anna_001.mp4").write_bytes(b"first")
    with ClipWriter(tmp_path, SIZE) as writer:
        writer.write(Frame(picture(0), 0.0))
        assert writer.keep("anna").name == "anna_002.mp4"
    assert left_in(tmp_path) == ["anna_001.mp4", "anna_002.mp4"]


def test_keys_keep_discard_and_end(tmp_path: Path, capsys: pytest.CaptureFixture):
    # 10 pictures a second: ready at once, half a second a clip, and then a key.
    pressed = iter(["", "d", "space", "k", "q"])
    keys = Keys(lambda k: next(pressed) if k % 6 == 5 else "")
    code = record(Video(Pictures(regular(9, 10.0))), tmp_path, seconds=0.5, countdown=0.0, surface=keys)
    assert code == 0
    assert left_in(tmp_path) == ["signer1_001.mp4", "signer1_002.mp4"]
    assert [Path(line).name for line in capsys.readouterr().out.splitlines()] == left_in(tmp_path)


def test_a_clip_in_progress_can_be_discarded_but_not_kept(tmp_path: Path):
    # Space while it is counted down and recorded does nothing; d begins anew; at the end it is kept.
    keys = Keys(lambda k: "d" if k == 12 else "space")
    source = Pictures(regular(6, 10.0))
    assert record(Video(source), tmp_path, clips=1, seconds=0.5, countdown=1.0, surface=keys) == 0
    (clip,) = tmp_path.iterdir()
    frames = read(clip)
    assert len(frames) == 5
    # The picture in which d was pressed, the countdown after it, and from there on.
    assert np.abs(frames[0].image_HWC.astype(int) - picture(22)).mean() < 4


@pytest.mark.parametrize("key", ["q", "esc"])
def test_who_ends_before_a_decision_keeps_nothing(tmp_path: Path, key: str):
    folder = tmp_path / "wave"
    folder.mkdir()
    keys = Keys(lambda k: key if k == 30 else "")
    assert record(Video(Pictures(regular(9, 10.0))), folder, seconds=0.5, countdown=0.5, surface=keys) == 0
    assert not folder.exists(), "an empty folder would be a gesture without clips"


@pytest.mark.parametrize(("key", "kept"), [("k", 1), ("d", 0)])
def test_a_file_that_ends_waits_for_the_decision(tmp_path: Path, key: str, kept: int):
    video = Video(Pictures(regular(1.0, 10.0)))
    keys = Keys(lambda k: {15: key, 17: "q"}.get(k, ""))
    code = record(video, make_folder(tmp_path / "a"), clips=1, seconds=1.0, countdown=0.0, surface=keys)
    assert code == (0 if kept else 2)
    assert len(list(tmp_path.glob("a/*.mp4"))) == kept


def test_the_preview_is_a_mirror_and_the_clip_is_not(tmp_path: Path):
    pytest.importorskip("cv2", reason="OpenCV draws the preview")
    keys = Keys(lambda k: "k" if k > 10 else "")
    source = Pictures(regular(1.2))
    record(Video(source), tmp_path, clips=1, seconds=0.4, countdown=0.0, surface=keys, mirror=True)
    middle = keys.shown[3][SIZE[1] // 2]
    assert middle[5, 0] > middle[-5, 0], "the bright half is on the right of the camera's picture"
    frame = read(next(tmp_path.iterdir()))[3]
    assert frame.image_HWC[24, 5, 0] < frame.image_HWC[24, -5, 0]


def test_a_camera_that_mirrors_is_put_right_in_the_clip(tmp_path: Path):
    record(Video(Pictures(regular(1.0))), tmp_path, clips=1, seconds=0.4, countdown=0.0, mirrored=True)
    frame = read(next(tmp_path.iterdir()))[3]
    assert np.abs(frame.image_HWC.astype(int) - picture(3)[:, ::-1]).mean() < 4


def test_a_camera_that_vanishes_leaves_the_kept_clips_and_no_part(tmp_path: Path):
    lines: list[str] = []
    with pytest.raises(VideoError, match="camera 7: has stopped"):
        record(Video(Pictures(regular(2.3), vanishes=True)), tmp_path, seconds=1.0, countdown=0.0, say=lines.append)
    assert left_in(tmp_path) == ["signer1_001.mp4", "signer1_002.mp4"]
    assert lines[-1] == f"2 clips kept in {tmp_path}"


def test_a_file_ends_a_clip_that_is_whole_and_no_other(tmp_path: Path):
    make_folder(tmp_path / "a")
    assert record(Video(Pictures(regular(2.0))), tmp_path / "a", clips=2, seconds=1.0, countdown=0.0) == 0
    make_folder(tmp_path / "b")
    assert record(Video(Pictures(regular(1.9))), tmp_path / "b", clips=2, seconds=1.0, countdown=0.0) == 1
    assert left_in(tmp_path / "b") == ["signer1_001.mp4"]
    make_folder(tmp_path / "c")
    assert record(Video(Pictures(regular(0.9))), tmp_path / "c", clips=2, seconds=1.0, countdown=0.0) == 2
    assert not (tmp_path / "c").exists()


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    recording.add_arguments(parser)
    return parser.parse_args(arguments)


def test_the_command_records_a_file(tmp_path: Path, capsys: pytest.CaptureFixture):
    video = make_video(tmp_path / "long.mp4", regular(2.5))
    arguments = ["record", "none", "--folder", str(tmp_path / "clips"), "--camera", str(video), "--headless"]
    assert main([*arguments, "--clips", "2", "--seconds", "800ms", "--countdown", "0.2", "--signer", "ben"]) == 0
    assert left_in(tmp_path / "clips" / "none") == ["ben_001.mp4", "ben_002.mp4"]
    assert len(read(tmp_path / "clips" / "none" / "ben_001.mp4")) == 20
    out = capsys.readouterr()
    assert [Path(line).name for line in out.out.splitlines()] == ["ben_001.mp4", "ben_002.mp4"]
    assert main([*arguments, "--clips", "9", "--seconds", "2", "--countdown", "0"]) == 1
    assert "too short for so many" in capsys.readouterr().err


def test_a_file_at_the_pace_of_a_camera_takes_its_time(tmp_path: Path):
    video = make_video(tmp_path / "long.mp4", regular(1.2, 10.0))
    begun = time.perf_counter()
    options = ("wave", "--folder", str(tmp_path), "--camera", str(video), "--clips", "1", "--seconds", "0.6")
    assert recording.run(parsed(*options, "--countdown", "0", "--headless", "--realtime")) == 0
    assert time.perf_counter() - begun > 0.6


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("wave", "--camera", "no_such.mp4"), "no_such.mp4: no such file"),
        (("wave", "--clips", "0"), "--clips must be more than 0"),
        (("wave", "--seconds", "0"), "--seconds must be more than 0"),
        (("a/b",), "cannot be the name of a folder"),
        (("wave", "--folder", "file.txt"), "is a file, or lies in one"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, monkeypatch, capsys, arguments: tuple[str, ...], said: str):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").write_text("")
    make_video(tmp_path / "a.mp4", regular(0.4))
    camera = () if "--camera" in arguments else ("--camera", "a.mp4")
    assert main(["record", *arguments, *camera, "--headless"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert left_in(tmp_path) == ["a.mp4", "file.txt"], "a mistake makes no folder"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there always is a display")
@pytest.mark.parametrize("display", [None, ":4093"])
def test_without_a_display_one_line_names_headless(tmp_path: Path, display: str | None):
    pytest.importorskip("cv2", reason="OpenCV opens the window")
    video = make_video(tmp_path / "a.mp4", regular(0.4))
    env = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    if display is not None:
        env["DISPLAY"] = display
    command = [sys.executable, "-m", "gestures", "record", "wave", "--folder", str(tmp_path), "--camera", str(video)]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "--headless" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "wave").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to a child on Windows")
def test_ctrl_c_keeps_what_was_kept_and_leaves_no_part(tmp_path: Path):
    video = make_video(tmp_path / "long.mp4", regular(60, 10.0))
    command = [sys.executable, "-u", "-m", "gestures", "record", "wave", "--folder", str(tmp_path / "clips")]
    command += ["--camera", str(video), "--realtime", "--headless", "--seconds", "0.3", "--countdown", "0"]
    command += ["--clips", "500"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    kept = [process.stdout.readline().strip()]
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    kept += out.split()
    assert process.returncode == 130
    assert error.endswith("gestures: stopped\n")
    assert "Traceback" not in error
    assert left_in(tmp_path / "clips" / "wave") == [Path(name).name for name in kept]
    assert all(read(Path(name)) for name in kept)


@pytest.mark.skipif(sys.platform != "linux", reason="limits a file's size as Linux does")
def test_a_full_disk_is_one_line_and_leaves_no_part(tmp_path: Path):
    # A limit on the size of files does what a full disk does, to this process alone.
    script = f"""
import resource, sys, numpy as np
from pathlib import Path
from features.video import Frame
from gestures.clip_writer import ClipWriter
from inference.shell import guarded
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
rng = np.random.default_rng(0)
def fill():
    with ClipWriter(Path({str(tmp_path)!r}), (320, 240), 25.0) as writer:
        for k in range(30):
            writer.write(Frame(rng.integers(0, 255, (240, 320, 3), dtype=np.uint8), k / 25))
        writer.keep("anna")
    return 0
sys.exit(guarded("gestures", fill))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "the clip cannot be written (" in done.stderr
    assert "Traceback" not in done.stderr
    assert left_in(tmp_path) == []


@pytest.mark.slow
def test_a_real_window_takes_a_real_key(tmp_path: Path):
    pytest.importorskip("cv2", reason="OpenCV opens the window")
    if not (shutil.which("xvfb-run") and shutil.which("xdotool")):
        pytest.skip("no xvfb-run and xdotool: apt-get install xvfb xdotool")
    video = make_video(tmp_path / "long.mp4", regular(60, 10.0))
    # The window is looked for by its title, and gets a space every half second until the program ends.
    script = f"""
{sys.executable} -m gestures record wave --folder {tmp_path} --camera {video} --realtime --no-skeleton \
    --seconds 0.3 --countdown 0 --clips 2 & program=$!
window=$(timeout 150 xdotool search --sync --name 'gestures record wave' | head -1)
while kill -0 $program 2>/dev/null; do xdotool key --window "$window" space; sleep 0.5; done
wait $program
"""
    done = subprocess.run(
        ["xvfb-run", "-a", "bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert left_in(tmp_path / "wave") == ["signer1_001.mp4", "signer1_002.mp4"]
