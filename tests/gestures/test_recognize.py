"""`gestures recognize`: clips named, recordings searched, in every format, and no bad file stops the others."""

from __future__ import annotations

import csv
import io
import json
import runpy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from features import landmark_files
from features.landmarks import Landmarks
from gestures.cli import main
from gestures.joining import join_clips
from gestures.recognize import Reader
from gestures.recognizer import Recognizer

call = runpy.run_path(str(Path(__file__).resolve().parents[1] / "command_line.py"))["calling"](main, "recognize")

MADE = ("wave", "circle", "raise")


@pytest.fixture(scope="module")
def recording(clip: Callable[..., Landmarks], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list]:
    """Landmarks of three gestures one after the other, and their places."""
    clips = [clip(label, seed=500 + k) for k, label in enumerate(MADE)]
    landmarks, places = join_clips(clips, [1.0] * 4, np.random.default_rng(0))
    path = tmp_path_factory.mktemp("recording") / "talk.npz"
    landmark_files.write(path, landmarks)
    return path, places


@pytest.fixture
def folder(clip_folder, tmp_path: Path) -> Path:
    """A clip of each gesture, and a file that is none."""
    folder = clip_folder(tmp_path / "clips", 1, labels=MADE, signers=("x",), seed=7)
    (folder / "notes.txt").write_text("not a clip")
    return folder


def test_gestures_of_a_recording_with_their_times(capsys, recording, moves_model: Path) -> None:
    path, places = recording
    code, out, err = call(capsys, path, "--model", moves_model)
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert [row[2] for row in rows] == list(MADE)
    for (start, end), row in zip(places, rows, strict=True):
        assert start - 0.5 < float(row[0]) < end < float(row[1]) + 0.5
        assert 0.5 < float(row[3]) <= 1


def test_heard_as_a_stream_it_is_the_session_of_that_chunk(capsys, recording, moves_recognizer: Recognizer) -> None:
    path, _ = recording
    model = moves_recognizer.model.directory
    code, out, _ = call(capsys, path, "--model", model, "--chunk", "200ms", "--lookahead", "0.1s", "--format", "json")
    session = moves_recognizer.stream(chunk=0.2, lookahead=0.1)
    events = [*session.push(landmark_files.read(path)), *session.flush()]
    assert code == 0
    assert [(one["label"], one["start"], one["end"]) for one in json.loads(out)["gestures"]] == [
        (one.text, pytest.approx(one.start, abs=1e-3), pytest.approx(one.end, abs=1e-3)) for one in events if one.final
    ]


def test_rules_of_spotting_are_heeded(capsys, recording, moves_model: Path) -> None:
    path, _ = recording
    code, out, _ = call(capsys, path, "--model", moves_model, "--hold", "30s")
    assert (code, out) == (0, "no gestures\n")
    code, out, _ = call(capsys, path, "--model", moves_model, "--cooldown", "60s")
    assert (code, len(out.splitlines())) == (0, 1)


def test_every_format_says_the_same(capsys, recording, moves_model: Path) -> None:
    path, _ = recording
    texts = {}
    for format in ("json", "csv", "srt", "eaf"):
        code, texts[format], err = call(capsys, path, "--model", moves_model, "--format", format)
        assert (code, err) == (0, "")
    read = json.loads(texts["json"])
    assert (read["source"], read["model"]) == (str(path), "model")
    assert read["duration"] == pytest.approx(landmark_files.read(path).duration, abs=1e-3)
    assert [one["label"] for one in read["gestures"]] == list(MADE)
    assert [row["label"] for row in csv.DictReader(io.StringIO(texts["csv"]))] == list(MADE)
    assert [line for line in texts["srt"].splitlines() if line in MADE] == list(MADE)
    values = ElementTree.fromstring(texts["eaf"]).iter("ANNOTATION_VALUE")
    assert [value.text for value in values] == list(MADE)


def test_clips_are_named(capsys, folder: Path, moves_model: Path) -> None:
    code, out, err = call(capsys, folder, "--model", moves_model, "--clip")
    assert (code, err) == (0, "")
    names = [line.split(": ")[1].split()[0] for line in out.splitlines()]
    assert names == sorted(MADE)
    assert [line.split(": ")[0] for line in out.splitlines()] == [str(path) for path in sorted(folder.rglob("*.pose"))]
    one = folder / "wave" / "x_0.pose"
    code, out, _ = call(capsys, one, "--model", moves_model, "--clip", "--format", "json")
    [gesture] = json.loads(out)["gestures"]
    assert (gesture["label"], gesture["start"]) == ("wave", 0)
    assert gesture["end"] == pytest.approx(landmark_files.read(one).duration, abs=1e-3)


def test_a_clip_that_is_not_probable_enough_is_none(capsys, folder: Path, untrained) -> None:
    sure, unsure = untrained(("circle", "raise", "wave"), threshold=0.0), untrained(("raise", "wave"), threshold=1.0)
    clip = folder / "wave" / "x_0.pose"
    for arguments in (["--model", sure, "--threshold", 1], ["--model", unsure]):
        code, out, err = call(capsys, clip, *arguments)
        assert (code, out.split()[0], err) == (0, "none", "")
        code, out, _ = call(capsys, clip, *arguments, "--format", "json")
        assert json.loads(out)["gestures"] == []
    assert call(capsys, clip, "--model", unsure, "--threshold", 0)[1].split()[0] in ("raise", "wave")


def test_the_model_decides_between_clips_and_recordings(capsys, recording, untrained) -> None:
    path, _ = recording
    naming, spotting = untrained(("raise", "wave")), untrained(("none", "raise", "wave"))
    reading = untrained(("<blank>", "raise", "wave"), "ctc")
    code, out, _ = call(capsys, path, "--model", naming)
    assert (code, len(out.split())) == (0, 2)
    for model in (spotting, reading):
        code, out, _ = call(capsys, path, "--model", model)
        assert code == 0
        assert out == "no gestures\n" or all(len(line.split()) == 4 for line in out.splitlines())
    code, out, err = call(capsys, path, "--model", naming, "--enter", 0.5)
    assert (code, out) == (2, "")
    assert "knows gestures but not what is none" in err
    assert len(err.splitlines()) == 1


def test_results_go_into_a_folder_that_is_made(capsys, folder: Path, moves_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "not" / "yet"
    for format in ("txt", "srt", "eaf"):
        code, said, err = call(
            capsys, folder, "--model", moves_model, "--clip", "--output", out / format, "--format", format
        )
        assert (code, said, err) == (0, "", "")
        names = sorted(path.name for path in (out / format).iterdir())
        assert names == [f"{label}_x_0.pose.{format}" for label in sorted(MADE)], "names of clips clash"
        assert "wave" in (out / format / f"wave_x_0.pose.{format}").read_text()


def test_an_annotation_beside_its_video_is_not_replaced(capsys, recording, moves_model: Path) -> None:
    path, _ = recording
    mine = path.with_suffix(".eaf")
    mine.write_text("mine")
    code, out, err = call(capsys, path, "--model", moves_model, "--format", "eaf", "--output", path.parent)
    assert (code, out) == (2, "")
    assert "talk.eaf: is there already, beside the video, and may be its annotation" in err
    assert mine.read_text() == "mine"
    mine.unlink()


def test_one_broken_file_does_not_stop_the_others(capsys, folder: Path, moves_model: Path) -> None:
    (folder / "broken.pose").write_bytes(b"no landmarks")
    (folder / "text.mp4").write_text("hello")
    code, out, err = call(capsys, folder, folder / "gone.npz", "--model", moves_model, "--clip")
    assert code == 1
    assert len(out.splitlines()) == 3
    first, *lines = err.splitlines()
    assert first == "gestures: 3 of 6 files failed:"
    for line, (name, why) in zip(
        lines,
        [("broken.pose", ""), ("text.mp4", "is a text file, not a video"), ("gone.npz", "cannot be read")],
        strict=True,
    ):
        assert line.startswith(f"  {folder / name}: {why}")


@pytest.mark.parametrize("name", ["a.mp4", "a.pose", "a.npz", "a"])
@pytest.mark.parametrize("content", [None, b"", b"this is text", b"\x00\x01\x02" * 99])
def test_the_only_file_is_broken(capsys, tmp_path: Path, moves_model: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    code, out, err = call(capsys, tmp_path / name, "--model", moves_model)
    assert (code, out) == (2, "")
    assert err.startswith(f"gestures: {tmp_path / name}: ")
    assert len(err.splitlines()) == 1


def test_what_cannot_be_done_is_one_line(
    capsys, folder: Path, recording, moves_model: Path, untrained, tmp_path
) -> None:
    path, _ = recording
    reading = untrained(("<blank>", "raise"), "ctc")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    for arguments, why in (
        ([path, "--model", "nowhere"], "nowhere: neither a shipped model ("),
        ([path, "--model", tmp_path / "empty"], "not a whole model"),
        ([path, "--model", moves_model, "--output", tmp_path / "file"], "file: is a file; give a folder to --output"),
        ([tmp_path / "empty", "--model", moves_model], "no videos or landmarks in this folder"),
        ([folder, "--model", moves_model, "--format", "srt"], "3 files do not make one srt file"),
        ([path, "--model", moves_model, "--clip", "--enter", "0.5"], "--clip names whole clips"),
        ([path, "--model", moves_model, "--threshold", "0.5"], "--threshold is for clips; add --clip"),
        ([path, "--model", moves_model, "--lookahead", "0.1s"], "--lookahead goes with --chunk"),
        ([path, "--model", moves_model, "--chunk", "0s"], "--chunk must be more than 0"),
        ([path, "--model", moves_model, "--enter", "0.3", "--exit", "0.5"], "the spotting rule exit is 0.5"),
        ([path, "--model", reading, "--clip"], "reads sequences of signs and does not name clips"),
        ([path, "--model", reading, "--hold", "1s"], "reads sequences of signs and does not spot"),
    ):
        code, out, err = call(capsys, *arguments)
        assert (code, out) == (2, ""), arguments
        assert why in err
        assert len(err.splitlines()) == 1


def test_a_model_of_speech_is_refused(capsys, recording) -> None:
    from asr import shipped

    code, out, err = call(capsys, recording[0], "--model", shipped.FOLDER / shipped.DEFAULT)
    assert (code, out) == (2, "")
    assert (
        err == f"gestures: {shipped.FOLDER / shipped.DEFAULT}: recognises speech, not gestures; use `asr transcribe`\n"
    )


def test_landmarks_without_a_point_of_the_model_are_refused(capsys, clip, moves_model: Path, tmp_path: Path) -> None:
    some = clip("wave").select(["nose", "left_ear"])
    landmark_files.write(tmp_path / "head.npz", some)
    code, out, err = call(capsys, tmp_path / "head.npz", "--model", moves_model)
    assert (code, out) == (2, "")
    assert "head.npz: has none of the 4 points that the model reads" in err


@pytest.mark.parametrize("frames", [0, 1, 2])
def test_hardly_any_frames(capsys, clip, moves_model: Path, tmp_path: Path, frames: int) -> None:
    landmark_files.write(tmp_path / "short.npz", clip("wave")[:frames])
    assert call(capsys, tmp_path / "short.npz", "--model", moves_model) == (0, "no gestures\n", "")
    code, out, err = call(capsys, tmp_path / "short.npz", "--model", moves_model, "--clip")
    assert code == (0 if frames else 2)
    assert len((out + err).splitlines()) == 1


def test_times_before_zero_are_counted_from_the_first_frame(
    capsys, recording, moves_model: Path, tmp_path: Path
) -> None:
    path, _ = recording
    landmark_files.write(tmp_path / "talk.npz", landmark_files.read(path).moved(-5.0))
    assert call(capsys, tmp_path / "talk.npz", "--model", moves_model) == call(capsys, path, "--model", moves_model)


def test_a_mirrored_file_is_the_same_person(capsys, recording, moves_model: Path, tmp_path: Path) -> None:
    path, _ = recording
    mirrored = replace(landmark_files.read(path).flipped(), mirrored=True)
    landmark_files.write(tmp_path / "mirrored.npz", mirrored)
    code, out, _ = call(capsys, tmp_path / "mirrored.npz", "--model", moves_model)
    assert (code, out) == call(capsys, path, "--model", moves_model)[:2]


def test_a_video_is_its_landmarks(capsys, short_video, untrained, tmp_path: Path) -> None:
    """Decoded, landmarks found, recognised: as the landmarks of that video are."""
    video, model = short_video(tmp_path / "videos" / "a.mp4", frames=4), untrained(("raise", "wave"))
    short_video(tmp_path / "videos" / "b.mp4", frames=2)
    code, out, err = call(capsys, video.parent, "--model", model)
    assert (code, err, len(out.splitlines())) == (0, "", 2)
    with Reader() as read:
        shares: list[float] = []
        landmark_files.write(tmp_path / "a.npz", read(video, [], shares.append))
    assert shares == sorted(shares)
    assert len(shares) == 4
    code, alone, _ = call(capsys, tmp_path / "a.npz", "--model", model)
    assert (code, f"{video}: {alone}") == (0, out.splitlines(keepends=True)[0])


def test_a_video_that_is_cut_short_is_told(capsys, short_video, untrained, tmp_path: Path) -> None:
    video = short_video(tmp_path / "a.avi", frames=8)
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    code, out, err = call(capsys, video, "--model", untrained(("raise", "wave")))
    assert (code, len(out.splitlines())) == (0, 1)
    assert err.startswith(f"gestures: {video}: is ")
    assert len(err.splitlines()) == 1


def test_without_a_landmarker_videos_are_refused_once(capsys, short_video, untrained, tmp_path: Path) -> None:
    for name in "ab":
        short_video(tmp_path / f"{name}.mp4", frames=1)
    code, out, err = call(
        capsys, tmp_path, "--model", untrained(("raise", "wave")), "--landmarker-models", tmp_path / "nowhere"
    )
    assert (code, out) == (2, "")
    assert "hand_landmarker.task: no such file" in err
    assert len(err.splitlines()) == 1
