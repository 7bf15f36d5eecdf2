"""Videos made here, with pictures that say which one they are and which way up, against what was put in and OpenCV."""

from __future__ import annotations

import os
import runpy
import struct
import tracemalloc
from fractions import Fraction
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest

from features.video import VideoError, open_video
from features.video_file import SUFFIXES

HEIGHT, RED, STEADY, WIDTH, ask, av, error_of, number_of, picture, read, steady, write = itemgetter(
    "HEIGHT", "RED", "STEADY", "WIDTH", "ask", "av", "error_of", "number_of", "picture", "read", "steady", "write"
)(runpy.run_path(str(Path(__file__).with_name("numbered_videos.py"))))


def write_sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def patch(path: Path, atom: bytes, offset: int, data: bytes) -> None:
    """Overwrite bytes of an mp4, counted from the name of an atom."""
    content = bytearray(path.read_bytes())
    at = content.index(atom) + offset
    content[at : at + len(data)] = data
    path.write_bytes(content)


def show(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Set the display matrix of an mp4, as a phone does that is held upright."""
    a, b, c, d = (65536 * value for value in matrix)
    patch(path, b"tkhd", 4 + 40, struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30))


# ---------------------------------------------------------------- what comes out


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [("mp4", "mpeg4"), ("mov", "libx264"), ("mkv", "libx264"), ("webm", "libvpx"), ("avi", "mpeg4")],
)
def test_pictures_come_in_order_with_their_times(tmp_path, suffix, codec) -> None:
    path = write(tmp_path / f"a.{suffix}", STEADY, codec=codec)
    with open_video(str(path)) as video:
        assert (video.size, video.live, video.name) == ((WIDTH, HEIGHT), False, str(path))
        assert video.duration == pytest.approx(0.8, abs=0.05)
        if suffix != "avi":  # whose rate is that of its time base, which is a thousand here
            assert video.rate == pytest.approx(25, abs=0.1)
        frames = list(video)
        assert list(video) == []
    assert [number_of(image_HWC) for image_HWC, _ in frames] == list(range(20))
    np.testing.assert_allclose([time for _, time in frames], np.array(STEADY) / 1000, atol=1e-9)
    for image_HWC, _ in frames:
        assert (image_HWC.shape, image_HWC.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)
        assert image_HWC.flags.c_contiguous
        assert np.abs(image_HWC[8:16, 8:24] - np.array(RED, int)).max() < 40
    assert video.problem is None
    assert f".{suffix}" in SUFFIXES


def test_a_variable_frame_rate_stays_one(tmp_path) -> None:
    times = [500, 520, 600, 613, 900, 901, 2000]
    for suffix in ("mp4", "mkv"):
        path = write(tmp_path / f"vfr.{suffix}", times)
        numbers, found, _ = read(path)
        assert numbers == list(range(7))
        np.testing.assert_allclose(found, (np.array(times) - 500) / 1000, atol=1e-9)


def test_times_that_stand_still_go_on_at_the_nominal_rate(tmp_path) -> None:
    path = write(tmp_path / "a.mp4", [0, 40, 80, 120, 160])
    # The table of durations: five times 40 ms (in units of the track) becomes 0 ms.
    patch(path, b"stts", 12, struct.pack(">I", 0))
    _, times, video = read(path)
    assert len(times) == 5
    assert times[0] == 0
    assert (np.diff(times) > 0).all()
    # A stream without any times.
    numbers, times, video = read(write(tmp_path / "a.h264", STEADY, codec="libx264"))
    assert numbers == list(range(20))
    np.testing.assert_allclose(times, np.arange(20) / video.rate, atol=1e-9)


@pytest.mark.parametrize(
    "matrix",
    [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0), (-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0)],
    ids=["upright", "quarter", "half", "three quarters", "mirrored", "upside down mirrored", "transposed"],
)
def test_phone_videos_are_turned(tmp_path, matrix) -> None:
    path = write(tmp_path / "phone.mp4", STEADY[:3])
    show(path, matrix)
    stored = picture(0)
    expected = {
        (1, 0, 0, 1): stored,
        (0, 1, -1, 0): np.rot90(stored, -1),  # x of the sensor goes down the screen: clockwise
        (-1, 0, 0, -1): np.rot90(stored, 2),
        (0, -1, 1, 0): np.rot90(stored, 1),
        (-1, 0, 0, 1): stored[:, ::-1],
        (1, 0, 0, -1): stored[::-1],
        (0, 1, 1, 0): stored.swapaxes(0, 1),
    }[matrix]
    with open_video(path) as video:
        assert video.size == (expected.shape[1], expected.shape[0])
        image_HWC = next(video).image_HWC
    assert image_HWC.flags.c_contiguous
    difference = np.abs(image_HWC.astype(int) - expected)
    assert np.percentile(difference, 90) < 12
    if np.linalg.det(np.reshape(matrix, (2, 2))) > 0:  # OpenCV knows no mirror images
        cv2 = pytest.importorskip("cv2")
        _, other = cv2.VideoCapture(str(path)).read()
        assert np.abs(image_HWC - other[:, :, ::-1].astype(int)).max() < 12


@pytest.mark.parametrize(
    ("pixel", "size"),
    [
        (Fraction(4, 3), (133, 64)),
        (Fraction(1, 2), (100, 128)),
        (Fraction(1, 1), (100, 64)),
        (Fraction(99, 1), (100, 64)),
    ],
)
def test_pixels_become_square(tmp_path, pixel, size) -> None:
    path = write(tmp_path / "a.mkv", STEADY[:2], pixel=pixel)
    with open_video(path) as video:
        assert video.size == size
        image_HWC = next(video).image_HWC
    assert (image_HWC.shape[1], image_HWC.shape[0]) == size
    # Red covers the same part of the picture.
    height, width = size[1] * 24 // HEIGHT, size[0] * 32 // WIDTH
    assert np.abs(image_HWC[4 : height - 4, 4 : width - 4] - np.array(RED, int)).max() < 40
    assert np.abs(image_HWC[4 : height - 4, width + 4 : -4] - 20.0).max() < 40


def test_memory_does_not_grow_with_the_length(tmp_path) -> None:
    path = write(tmp_path / "long.mp4", list(range(0, 60 * 300, 60)))
    tracemalloc.start()
    try:
        with open_video(path) as video:
            count = sum(1 for _ in video)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 300
    assert peak < 20 * WIDTH * HEIGHT * 3 + 500_000


def test_real_clips(shared_data) -> None:
    for name, size, count, last in (("sign", (540, 720), 58, 1.905), ("hand", (640, 360), 202, 8.04)):
        with open_video(shared_data / "video" / f"{name}.mp4") as video:
            assert video.size == size
            times = [time for _, time in video]
            assert (len(times), video.problem) == (count, None)
        assert times[0] == 0
        assert (np.diff(times) > 0).all()
        assert times[-1] == pytest.approx(last, abs=0.02)


# ---------------------------------------------------------------- bad input


def test_what_is_no_video(tmp_path) -> None:
    text, empty, noise = (tmp_path / name for name in ("text.mp4", "empty.mp4", "noise.mp4"))
    text.write_text("There is\nno picture in here.\n" * 30)
    empty.touch()
    noise.write_bytes(np.random.default_rng(0).bytes(5000))
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    for source, said in (
        (tmp_path / "none.mp4", "no such file: check the path"),
        (tmp_path, "is a folder: give the video files in it"),
        (text, "is a text file, not a video: give a video file"),
        (empty, "is empty (0 bytes): record or copy it again"),
        (noise, "is not a video, or is damaged: give a video file, or export it again as mp4"),
        (pipe, "is a pipe or a device: copy what comes from it to a file first"),
        (write_sound(tmp_path / "sound.mp4"), "has no pictures (only sound): give a video file"),
    ):
        assert error_of(source) == f"{source}: {said}"
    assert error_of("a\0b.mp4").startswith("'a\\x00b.mp4': cannot be read: ")
    assert error_of(tmp_path / "new\nline.mp4").endswith("new\\nline.mp4': no such file: check the path")


def test_a_playlist_opens_nothing(tmp_path, steady) -> None:
    playlist = tmp_path / "list.mp4"
    playlist.write_text(f"ffconcat version 1.0\nfile {steady}\n")
    assert "is a text file" in error_of(playlist)


def test_zero_pictures_and_one(tmp_path) -> None:
    assert error_of(write(tmp_path / "none.mkv", [])).startswith(f"{tmp_path}/none.mkv: ")
    numbers, times, video = read(write(tmp_path / "one.mp4", [1000]))
    assert (numbers, times, video.problem) == ([0], [0.0], None)


@pytest.mark.parametrize(
    ("suffix", "codec", "options"),
    [
        ("mp4", "mpeg4", {"movflags": "faststart"}),
        ("mp4", "libx264", {"movflags": "faststart"}),
        ("mp4", "libx264", {"movflags": "frag_keyframe+empty_moov"}),
        ("mkv", "libx264", {}),
        ("webm", "libvpx", {}),
        ("avi", "mpeg4", {}),
    ],
    ids=str,
)
def test_of_a_truncated_file_comes_what_is_there(tmp_path, suffix, codec, options) -> None:
    path = write(tmp_path / f"whole.{suffix}", STEADY, codec=codec, **options)
    whole = path.read_bytes()
    assert not read(path)[2].truncated
    cut = tmp_path / f"cut.{suffix}"
    for share in (0.3,) if suffix == "avi" else (0.6, 0.9):  # the index of an avi takes up the rest of it
        cut.write_bytes(whole[: round(share * len(whole))])
        numbers, times, video = read(cut)
        assert numbers == list(range(len(numbers)))
        assert 0 < len(numbers) < 20
        np.testing.assert_allclose(times, np.array(STEADY[: len(times)]) / 1000, atol=1e-9)
        assert video.truncated
        assert video.problem == f"{cut}: is cut short, and ends after {times[-1]:.1f} s: copy or record it again"


def test_truncated_before_anything_can_be_read(tmp_path) -> None:
    for options, said in (({}, "is cut short, and what it needs is at its end"), ({"movflags": "faststart"}, "is cut")):
        content = write(tmp_path / "whole.mp4", STEADY, **options).read_bytes()
        cut = tmp_path / "cut.mp4"
        size = content.index(b"mdat") + 20 if options else round(0.9 * len(content))
        cut.write_bytes(content[:size])
        assert error_of(cut).startswith(f"{cut}: {said}")


def test_damaged_pictures_are_left_out(tmp_path) -> None:
    path = write(tmp_path / "a.mp4", STEADY, codec="libx264", movflags="faststart")
    content = bytearray(path.read_bytes())
    middle = content.index(b"mdat") + (len(content) - content.index(b"mdat")) // 2
    content[middle : middle + 600] = bytes(600)
    path.write_bytes(content)
    numbers, times, video = read(path)
    assert 0 < len(numbers) < 20
    assert (np.diff(times) > 0).all()
    assert not video.truncated
    assert "is damaged in " in str(video.problem)


def test_any_damage_gives_pictures_or_an_error(tmp_path) -> None:
    rng = np.random.default_rng(0)
    for suffix, codec in (("mp4", "libx264"), ("mkv", "mpeg4"), ("avi", "mpeg4")):
        whole = write(tmp_path / f"whole.{suffix}", STEADY[:6], codec=codec).read_bytes()
        for _ in range(40):
            content = np.frombuffer(whole, np.uint8).copy()
            places = rng.integers(0, len(content), 1 + len(content) // 200)
            content[places] = rng.integers(0, 256, len(places))
            damaged = tmp_path / f"damaged.{suffix}"
            damaged.write_bytes(content[: rng.integers(1, len(content) + 1)].tobytes())
            try:
                _, times, _ = read(damaged)
            except VideoError:
                assert error_of(damaged).startswith(f"{damaged}: ")
            else:
                assert times[0] == 0
                assert (np.diff(times) > 0).all()


def test_ffmpeg_keeps_quiet(tmp_path, steady) -> None:
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(steady.read_bytes()[:-2000])
    program = "import sys; from features.video import open_video; print(len(list(open_video(sys.argv[1]))))"
    assert 0 < int(ask(program, str(cut))) < 20


def test_without_pyav_and_without_opencv() -> None:
    ours = "from features.video import VideoError, open_video\n"
    for module, source, said in (
        ("av", "'a.mp4'", "videos need the package PyAV: pip install 'saywave[video]'"),
        ("cv2", "0", "a camera needs OpenCV, which comes with MediaPipe: the package cv2 is missing: pip install"),
    ):
        program = f"import sys; sys.modules[{module!r}] = None\n{ours}try: open_video({source})\n"
        assert ask(program + "except VideoError as error: print(error)").startswith(said)
    assert ask(f"import sys\n{ours}print({{'av', 'cv2'}} & set(sys.modules))") == "set()\n"
