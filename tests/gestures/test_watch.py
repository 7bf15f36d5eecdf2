"""Watching: the events are those of the session, whatever shows them; where the time goes; how it ends."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from features.landmarks import Landmarks, joined
from features.video import Frame, Video, VideoError
from gestures.cli import main
from gestures.spotting import SpotRules
from gestures.stages import DECODE, ENCODER, EVENTS, LANDMARKS, WAIT, WINDOW, StageTimes
from gestures.stream import GestureSession
from gestures.watch import Interrupt, Lines, Window, as_json, watch
from inference import model as models
from inference.model import Model
from inference.session import Event

# What fires with weights that nobody has trained.
EAGER = SpotRules(enter=0.3, exit=0.25, hold_ms=0.0, margin=0.0, cooldown_ms=100.0)
IMAGE = np.full((480, 640, 3), 60, np.uint8)


class Pictures:
    """A source of equal pictures at the times of landmarks, which may vanish after the last one."""

    name, size, duration, rate, truncated, skipped = "camera 7", (640, 480), None, 25.0, False, 0

    def __init__(self, landmarks: Landmarks, *, vanishes: bool = False):
        self.landmarks, self.vanishes = landmarks, vanishes

    def frames(self) -> Iterator[Frame]:
        for seconds in self.landmarks.time_T.tolist():
            yield Frame(IMAGE, seconds)
        if self.vanishes:
            raise VideoError("camera 7: has stopped, as if unplugged: plug it in and start again")

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def recording(clip: Callable[..., Landmarks]) -> Landmarks:
    """Five gestures after one another, 25 frames a second."""
    parts = [clip(label, seed=k) for k, label in enumerate(("circle", "none", "wave", "raise", "none", "circle"))]
    return joined([part.moved(k * part.duration) for k, part in enumerate(parts)])


@pytest.fixture(scope="module")
def model(untrained: Callable[..., Path]) -> Model:
    return models.load(untrained(("none", "circle", "wave"), seed=11))  # one that changes its mind


@pytest.fixture(scope="module")
def expected(model: Model, recording: Landmarks) -> list[Event]:
    session = GestureSession(model, rules=EAGER)
    events = [*session.push(recording), *session.flush()]
    assert sum(event.final for event in events) > 1, "there is something to watch"
    return events


def landmarks_of(recording: Landmarks) -> Callable[[Frame], Landmarks]:
    """Finds what is known of a frame already."""
    return lambda frame: recording.between(frame.time - 1e-6, frame.time + 1e-6)


def watched(model: Model, recording: Landmarks, *, out: io.StringIO, video: Video | None = None, **settings):
    times = StageTimes()
    session = GestureSession(times.timed(model), rules=EAGER)
    lines = Lines(out, every_event=True)
    video = Video(Pictures(recording)) if video is None else video
    try:
        watch(video, landmarks_of(recording), session, lines, times=times, **settings)
    finally:
        assert times.frames == len(recording) - times.dropped
    return times, lines


def test_events_are_those_of_the_session(model: Model, recording: Landmarks, expected: list[Event]):
    out = io.StringIO()
    times, lines = watched(model, recording, out=out)
    assert out.getvalue().splitlines() == [as_json(event) for event in expected]
    assert lines.gestures == sum(event.final for event in expected)
    assert set(times.milliseconds) == {DECODE, LANDMARKS, ENCODER, EVENTS}
    assert times.dropped == 0
    assert times.video_seconds == recording.time_T[-1]


def test_json_has_what_other_programs_need(expected: list[Event]):
    fired, ended = (json.loads(as_json(event)) for event in expected[:2])
    assert list(fired) == ["start", "end", "label", "confidence", "final"]
    assert (fired["final"], ended["final"]) == (False, True)
    assert fired["label"] == ended["label"]
    assert fired["start"] == ended["start"] == pytest.approx(expected[0].start, abs=5e-4)
    assert ended["end"] >= fired["end"]


def test_each_gesture_is_one_line_when_it_fires(expected: list[Event]):
    out, file = io.StringIO(), io.StringIO()
    lines = Lines(out, file)
    for event in expected:
        lines.events([event])
        # At once, not when it has ended.
        assert len(out.getvalue().splitlines()) == lines.gestures
    finals = [event for event in expected if event.final]
    assert [line.split() for line in out.getvalue().splitlines()] == [
        [f"{event.start:.2f}", event.text, f"{event.confidence:.2f}"] for event in finals
    ]
    assert file.getvalue() == out.getvalue()


def test_signs_of_a_sequence_come_once_and_equal_ones_each_have_a_line():
    out = io.StringIO()
    Lines(out).events([Event(k / 2, k / 2 + 0.4, "wave", 0.9, True, "wave") for k in range(3)])
    assert [line.split()[0] for line in out.getvalue().splitlines()] == ["0.00", "0.50", "1.00"]


def test_a_camera_that_vanishes_ends_with_the_events_until_then(
    model: Model, recording: Landmarks, expected: list[Event]
):
    out = io.StringIO()
    with pytest.raises(VideoError, match="camera 7: has stopped"):
        watched(model, recording, out=out, video=Video(Pictures(recording, vanishes=True)))
    assert out.getvalue().splitlines() == [as_json(event) for event in expected]


def test_a_slow_machine_drops_frames_and_says_so(model: Model, recording: Landmarks):
    times = StageTimes()
    find = landmarks_of(recording)

    def slow(frame: Frame) -> Landmarks:
        time.sleep(0.03)
        return find(frame)

    # A camera that gives its pictures as fast as it can.
    video = Video(Pictures(recording), live=True)
    lines = Lines(io.StringIO())
    watch(video, slow, GestureSession(times.timed(model), rules=EAGER), lines, times=times, waits=True)
    assert times.dropped > 0
    assert times.frames + times.dropped == len(recording)
    assert f"{times.dropped} dropped" in times.table()
    assert WAIT in times.milliseconds
    assert DECODE not in times.milliseconds


def test_mirrored_pictures_are_turned_before_anything_else(model: Model, recording: Landmarks):
    seen = []
    find = landmarks_of(recording)

    class HalfDark(Pictures):
        def frames(self) -> Iterator[Frame]:
            for frame in super().frames():
                image_HWC = frame.image_HWC.copy()
                image_HWC[:, :320] = 0
                yield Frame(image_HWC, frame.time)

    def look(frame: Frame) -> Landmarks:
        seen.append(frame.image_HWC[0, 0, 0] > frame.image_HWC[0, -1, 0])
        return find(frame)

    session = GestureSession(model, rules=EAGER)
    watch(Video(HalfDark(recording[:5])), look, session, Lines(io.StringIO()), mirrored=True)
    assert seen == [True] * 5


class Surface:
    """Keeps what is shown, and presses a key at one picture."""

    def __init__(self, key: str = "", at: int = -1):
        self.key, self.at, self.shown = key, at, []

    def show(self, image_HWC: np.ndarray) -> str:
        self.shown.append(image_HWC)
        return self.key if len(self.shown) - 1 == self.at else ""


def test_the_window_shows_a_gesture_for_a_second(recording: Landmarks):
    pytest.importorskip("cv2", reason="OpenCV draws")
    fired = Event(0.1, 0.3, "wave", 0.9, False, "wave")
    ended = Event(0.1, 1.5, "wave", 0.9, True, "wave")
    nobody = recording[:0]
    surface = Surface()
    window = Window(surface)
    events = {0.4: [fired], 1.2: [ended]}
    moments = [0.2, 0.4, 1.2, 1.39, 1.41, 3.0]
    for seconds in moments:
        window.show(Frame(IMAGE, seconds), nobody, events.get(seconds, []))
    named = [bool((image_HWC[:60] != IMAGE[:60]).any()) for image_HWC in surface.shown]
    # That it has ended does not show it once more.
    assert named == [False, True, True, True, False, False]


def test_the_window_is_a_mirror_with_the_skeleton(recording: Landmarks):
    pytest.importorskip("cv2", reason="OpenCV draws")
    from gestures.draw import draw

    frame, found = Frame(IMAGE, 0.0), recording[:1]
    straight, mirrored = (Window(Surface(), mirror=mirror).picture(frame, found) for mirror in (False, True))
    assert (straight[100:400] == draw(IMAGE, found)[100:400]).all()
    assert (mirrored[100:400] == straight[100:400, ::-1]).all()
    assert (straight[100:400] != IMAGE[100:400]).any()


@pytest.mark.parametrize("key", ["q", "esc"])
def test_a_key_ends_the_watching(model: Model, recording: Landmarks, key: str):
    pytest.importorskip("cv2", reason="OpenCV draws")
    surface = Surface(key, at=6)
    times = StageTimes()
    session = GestureSession(model, rules=EAGER)
    video = Video(Pictures(recording))
    watch(
        video, landmarks_of(recording), session, Lines(io.StringIO()), times=times, window=Window(surface, mirror=True)
    )
    assert times.frames == 7
    assert WINDOW in times.milliseconds


def test_ctrl_c_waits_for_the_work_at_hand_and_ends_the_waiting():
    if sys.platform == "win32":
        pytest.skip("no SIGINT by os.kill on Windows")
    done = []
    with Interrupt() as stop:
        for frame in stop.watch(iter([Frame(IMAGE, 0.0), Frame(IMAGE, 0.1)])):
            os.kill(os.getpid(), signal.SIGINT)
            done.append(frame.time)
    assert done == [0.0]

    def waits() -> Iterator[Frame]:
        yield Frame(IMAGE, 0.0)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)
        raise AssertionError("Ctrl-C does not end the waiting")

    with Interrupt() as stop:
        assert len(list(stop.watch(waits()))) == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_stages_within_each_other_are_counted_once():
    times = StageTimes()
    for _ in range(2):
        with times.stage("outer"):
            time.sleep(0.02)
            with times.stage("inner"):
                time.sleep(0.05)
            with pytest.raises(KeyError), times.stage("inner"):
                raise KeyError
    times.frames = 2
    assert list(times.milliseconds) == ["inner", "outer"]
    assert times.milliseconds["inner"] >= 2 * 49
    assert times.milliseconds["outer"] >= 2 * 19
    assert sum(times.milliseconds.values()) <= 1000 * times.seconds + 1e-6
    assert times.share("inner") + times.share("outer") == pytest.approx(1.0)
    assert times.longest["inner"] <= times.milliseconds["inner"]
    assert times.frames_per_second == pytest.approx(2 / times.seconds)
    first, head, *rows = times.table().splitlines()
    assert first.startswith("2 frames in ")
    assert head.split()[0] == "stage"
    assert [row.split()[0] for row in rows] == ["inner", "outer"]
    assert float(rows[0].split()[1]) == pytest.approx(times.milliseconds["inner"] / 2, abs=0.01)


def test_waiting_is_no_work():
    times = StageTimes()
    for name in (WAIT, EVENTS):
        with times.stage(name):
            time.sleep(0.01)
    assert times.share(EVENTS) == 1.0


def test_nothing_at_all_has_a_table_too():
    assert StageTimes().table() == "0 frames in 0.0 s: 0.0 a second, 0 dropped"


def test_a_timed_model_is_the_same_model(model: Model, recording: Landmarks):
    times = StageTimes()
    timed = times.timed(model)
    frames_TF = model.extractor(recording)
    assert (timed.scorer.full(frames_TF) == model.scorer.full(frames_TF)).all()
    assert timed.labels == model.labels
    assert timed.name == model.name
    assert times.milliseconds[ENCODER] > 0
    # The model given keeps no time.
    spent = times.milliseconds[ENCODER]
    model.scorer.full(frames_TF)
    assert times.milliseconds[ENCODER] == spent


@pytest.fixture(scope="module")
def sign(shared_data: Path) -> Path:
    """A real clip of 58 frames, where MediaPipe and its models can be had."""
    from features import landmarker_models
    from features.landmarks import LandmarkError
    from features.mediapipe_tasks import mediapipe

    try:
        mediapipe()
        landmarker_models.ensure()
    except LandmarkError as error:
        pytest.skip(str(error))
    return shared_data / "video" / "sign.mp4"


EAGER_OPTIONS = ("--enter", "0.3", "--exit", "0.25", "--hold", "0ms", "--margin", "0", "--cooldown", "100ms")


def test_the_command_watches_a_file(tmp_path: Path, sign: Path, model: Model, capsys: pytest.CaptureFixture):
    output = tmp_path / "events.jsonl"
    arguments = ["watch", "--camera", str(sign), "--model", str(model.directory), "--headless", *EAGER_OPTIONS]
    assert main([*arguments, "--events", "--output", str(output)]) == 0
    out = capsys.readouterr()
    assert output.read_text() == out.out
    events = [json.loads(line) for line in out.out.splitlines()]
    assert events
    assert all(0 <= event["start"] <= event["end"] <= 2.2 for event in events)
    assert f"watching {sign}" in out.err
    assert "58 frames in " in out.err
    assert "0 dropped" in out.err
    stages = {line.split()[0]: float(line.split()[1]) for line in out.err.splitlines()[-4:]}
    assert set(stages) == {DECODE, LANDMARKS, ENCODER, EVENTS}
    assert max(stages, key=stages.__getitem__) == LANDMARKS
    # It is there now, and may be somebody's work.
    assert main([*arguments, "--output", str(output)]) == 2
    assert "is there already" in capsys.readouterr().err


def test_a_file_at_the_pace_of_a_camera_takes_its_time(sign: Path, model: Model, capsys: pytest.CaptureFixture):
    arguments = ["watch", "--camera", str(sign), "--model", str(model.directory), "--headless", "--realtime"]
    begun = time.perf_counter()
    assert main(arguments) == 0
    assert time.perf_counter() - begun > 1.9
    assert f"\n{WAIT} " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--camera", "no_such.mp4"), "no_such.mp4: no such file"),
        (("--camera", "text.mp4"), "text.mp4: is a text file"),
        (("--chunk", "0ms"), "--chunk must be more than 0"),
        (("--enter", "0.2"), "exit"),
        (("--model", "no_such"), "neither a shipped model"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, monkeypatch, capsys, model: Model, arguments, said: str):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.mp4").write_text("no video")
    named = () if "--model" in arguments else ("--model", str(model.directory))
    assert main(["watch", *arguments, *named, "--headless"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there always is a display")
def test_without_a_display_one_line_names_headless(sign: Path, model: Model):
    env = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    command = [sys.executable, "-m", "gestures", "watch", "--camera", str(sign), "--model", str(model.directory)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "--headless" in done.stderr
    assert done.stderr.count("\n") == 1
