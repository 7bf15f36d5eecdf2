"""Videos at the pace of a camera, cameras, and streams from the network."""

from __future__ import annotations

import functools
import http.server
import os
import runpy
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest

from features.video import Video, VideoError, open_video

HEIGHT, RED, STEADY, WIDTH, ask, error_of, number_of, read, steady, write = itemgetter(
    "HEIGHT", "RED", "STEADY", "WIDTH", "ask", "error_of", "number_of", "read", "steady", "write"
)(runpy.run_path(str(Path(__file__).with_name("numbered_videos.py"))))


# ---------------------------------------------------------------- at the pace of a camera


def test_realtime_keeps_the_pace_of_the_file(steady) -> None:
    with open_video(steady, realtime=True) as video:
        assert not video.live
        begun = time.monotonic()
        late = [time.monotonic() - begun - frame.time for frame in video]
    assert min(late) > -0.01  # never before its time
    assert np.median(late) < 0.3
    assert len(late) + video.dropped == 20


def test_realtime_drops_what_nobody_takes(steady) -> None:
    numbers, behind = [], []
    with open_video(steady, realtime=True) as video:
        begun = time.monotonic()
        for image_HWC, at in video:
            numbers.append(number_of(image_HWC))
            behind.append(time.monotonic() - begun - at)
            time.sleep(0.15)
    assert len(numbers) + video.dropped == 20
    assert video.dropped >= 10
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 19  # the newest one is never dropped
    assert max(behind) < 1.0  # and who is slow does not fall behind


def test_realtime_can_be_left_at_any_time(steady) -> None:
    threads = threading.active_count()
    for taken in (0, 1, 5):
        with open_video(steady, realtime=True) as video:
            for _ in range(taken):
                next(video)
        video.close()
        assert list(video) == []
        assert threading.active_count() <= threads


# ---------------------------------------------------------------- cameras


@contextmanager
def as_camera(path: Path, **options: float) -> Iterator[Video]:
    """OpenCV opens a file as it opens a camera; it ends as a camera does that is unplugged."""
    pytest.importorskip("cv2")
    from features.camera import CameraSource

    with Video(CameraSource(str(path)), live=True, **options) as video:
        yield video


def test_a_camera_that_vanishes(steady) -> None:
    frames = []
    with as_camera(steady) as video:
        assert (video.size, video.live, video.duration, video.rate) == ((WIDTH, HEIGHT), True, None, 25)
        with pytest.raises(VideoError, match="has stopped, as if unplugged: plug it in and start again"):
            frames.extend(video)
        assert len(frames) + video.dropped == 20
        with pytest.raises(VideoError, match="has stopped"):
            next(video)
    assert number_of(frames[-1].image_HWC) == 19
    assert (np.diff([time for _, time in frames]) > 0).all()
    assert np.abs(frames[-1].image_HWC[8:16, 8:24] - np.array(RED, int)).max() < 40  # RGB, not BGR


def test_a_camera_counts_from_its_first_picture(steady) -> None:
    pytest.importorskip("cv2")
    from features.camera import CameraSource

    source = CameraSource(str(steady))
    try:
        assert next(source.frames()).time == 0
    finally:
        source.close()


def test_a_camera_that_falls_silent(tmp_path) -> None:
    content = write(tmp_path / "a.ts", STEADY, codec="libx264").read_bytes()
    pipe = tmp_path / "camera.ts"
    os.mkfifo(pipe)
    silent = threading.Event()

    def feed() -> None:
        with open(pipe, "wb") as file:
            file.write(content * 4)
            file.flush()
            silent.wait(30)

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        with as_camera(pipe, patience=1.0) as video:
            with pytest.raises(VideoError, match="no picture has come for 1 s: check that it is connected"):
                list(video)
            silent.set()
    finally:
        silent.set()
        feeder.join()


@pytest.mark.skipif(sys.platform != "linux" or Path("/dev/video0").exists(), reason="there may be a camera")
@pytest.mark.parametrize("source", ["0", "'0'", "' 0 '"])
def test_no_camera(source) -> None:
    pytest.importorskip("cv2")
    program = f"from features.video import *\ntry: open_video({source})\nexcept VideoError as error: print(error)"
    assert ask(program) == "camera 0: there is no such camera: plug one in, or give a video file\n"


def test_cameras_are_counted_from_zero() -> None:
    assert error_of(-1) == "camera -1: cameras are counted from 0 on"


# ---------------------------------------------------------------- network streams


@contextmanager
def served(folder: Path, handler: Callable[..., object] | None = None) -> Iterator[str]:
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler or functools.partial(quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_address(steady) -> None:
    with served(steady.parent) as place:
        numbers, times, video = read(f"http://user:secret@{place}/{steady.name}")
        assert (numbers, video.live) == (list(range(20)), False)
        np.testing.assert_allclose(times, np.array(STEADY) / 1000, atol=1e-9)
        assert video.name == f"http://{place}/{steady.name}"
        said = error_of(f"http://user:secret@{place}/none.mp4")
    assert said.startswith(f"http://{place}/none.mp4: cannot be opened (")
    assert said.endswith("): check the address and the network")
    assert "secret" not in said


@pytest.mark.parametrize("orderly", [True, False])
def test_a_live_stream_that_ends(tmp_path, orderly) -> None:
    content = write(tmp_path / "a.ts", STEADY, codec="libx264").read_bytes()

    class Live(http.server.BaseHTTPRequestHandler):
        """Sends a stream without saying how long it is, and that it has ended only if all is in order."""

        protocol_version = "HTTP/1.1" if orderly else "HTTP/1.0"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            if orderly:
                self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content) if orderly else content)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    frames = []
    with served(tmp_path, Live) as place, open_video(f"http://{place}/live") as video:
        assert video.live
        with nullcontext() if orderly else pytest.raises(VideoError, match=r"/live: the stream has broken off \("):
            frames.extend(video)
    numbers = [number_of(frame.image_HWC) for frame in frames]
    assert (18 if orderly else 10) <= len(numbers) + video.dropped <= 20  # FFmpeg keeps some that it waits with
    assert numbers == sorted(set(numbers))
