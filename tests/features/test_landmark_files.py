"""Landmark files against the package pose-format, both ways; damaged ones; and numbers that come back as they were."""

from __future__ import annotations

import errno
import io
import os
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import pose_file
from features.landmark_files import SUFFIXES, from_array, read, write
from features.landmarks import BODY, EITHER_HAND, LEFT_HAND, PERSON, RIGHT_HAND, LandmarkError, Landmarks

HAND_NAMES = [
    "WRIST",
    "THUMB_CMC",
    "THUMB_MCP",
    "THUMB_IP",
    "THUMB_TIP",
    "INDEX_FINGER_MCP",
    "INDEX_FINGER_PIP",
    "INDEX_FINGER_DIP",
    "INDEX_FINGER_TIP",
    "MIDDLE_FINGER_MCP",
    "MIDDLE_FINGER_PIP",
    "MIDDLE_FINGER_DIP",
    "MIDDLE_FINGER_TIP",
    "RING_FINGER_MCP",
    "RING_FINGER_PIP",
    "RING_FINGER_DIP",
    "RING_FINGER_TIP",
    "PINKY_MCP",
    "PINKY_PIP",
    "PINKY_DIP",
    "PINKY_TIP",
]
BODY_NAMES = [
    "NOSE",
    "LEFT_EYE",
    "RIGHT_EYE",
    "LEFT_EAR",
    "RIGHT_EAR",
    "MOUTH_LEFT",
    "MOUTH_RIGHT",
    "LEFT_SHOULDER",
    "RIGHT_SHOULDER",
    "LEFT_ELBOW",
    "RIGHT_ELBOW",
    "LEFT_WRIST",
    "RIGHT_WRIST",
    "LEFT_HIP",
    "RIGHT_HIP",
]


def example(
    frames: int = 12,
    *,
    points: tuple[str, ...] = PERSON,
    rate: float = 25.0,
    size: tuple[int, int] | None = (640, 480),
    time: Sequence[float] | None = None,
    mirrored: bool = False,
    seed: int = 0,
) -> Landmarks:
    rng = np.random.default_rng(seed)
    presence_TK = rng.uniform(0.1, 1, (frames, len(points))) * (rng.random((frames, len(points))) > 0.3)
    coordinates_TKC = rng.normal(300, 200, (frames, len(points), 3))
    time_T = np.arange(frames) / rate if time is None else time
    return Landmarks(coordinates_TKC, presence_TK, time_T, points, size, mirrored)


def assert_same(found: Landmarks, expected: Landmarks, *, time_within: float = 0.0) -> None:
    np.testing.assert_array_equal(found.coordinates_TKC[..., :2], expected.coordinates_TKC[..., :2])
    np.testing.assert_allclose(found.coordinates_TKC[..., 2], expected.coordinates_TKC[..., 2], rtol=1.2e-7)
    np.testing.assert_array_equal(found.presence_TK, expected.presence_TK)
    np.testing.assert_allclose(found.time_T, expected.time_T, rtol=0, atol=time_within)
    assert (found.points, found.size, found.mirrored) == (expected.points, expected.size, expected.mirrored)


# Ours back again


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("size", [(640, 480), (1080, 1920), None])
@pytest.mark.parametrize("frames", [0, 1, 2, 12])
def test_what_was_written_is_read(suffix: str, size: tuple[int, int] | None, frames: int, tmp_path: Path) -> None:
    landmarks = example(frames, size=size)
    path = tmp_path / f"clip{suffix}"
    write(path, landmarks)
    assert_same(read(path), landmarks, time_within=1e-6)
    assert_same(read(path, points=PERSON), landmarks, time_within=1e-6)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "points", [EITHER_HAND, ("tip", *RIGHT_HAND), ("été", "手"), BODY[::-1], ("TIME_SECONDS", "nose")]
)
def test_any_points_come_back(suffix: str, points: tuple[str, ...], tmp_path: Path) -> None:
    landmarks = example(points=points, time=np.cumsum(np.full(12, 0.1)) ** 2)
    write(tmp_path / f"clip{suffix}", landmarks)
    assert_same(read(tmp_path / f"clip{suffix}", points=points), landmarks)
    assert set(read(tmp_path / f"clip{suffix}").points) == set(points)


@pytest.mark.parametrize("rate", [10, 12.5, 15, 24000 / 1001, 24, 25, 29.97, 30000 / 1001, 30, 50, 60000 / 1001, 120])
def test_a_constant_rate_has_the_same_times_over_hours(rate: float) -> None:
    time_T = np.arange(int(3 * 3600 * rate)) / rate
    landmarks = Landmarks(np.zeros((len(time_T), 1, 3)), np.ones((len(time_T), 1)), time_T, ("nose",))
    data = pose_file.encode(landmarks)
    assert b"SECONDS" not in data
    np.testing.assert_allclose(pose_file.decode(data).time_T, time_T, rtol=0, atol=1e-6)


@given(st.lists(st.floats(-1e5, 1e6).filter(lambda t: t == 0 or abs(t) > 1e-9), min_size=1, max_size=20, unique=True))
def test_a_variable_rate_has_its_own_times(times: list[float]) -> None:
    landmarks = example(len(times), points=("nose", "left_hand_wrist"), time=sorted(times))
    np.testing.assert_allclose(
        pose_file.decode(pose_file.encode(landmarks)).time_T, landmarks.time_T, rtol=0, atol=1e-6
    )


def test_frames_from_the_middle_keep_their_times_exactly() -> None:
    landmarks = example(50, rate=30000 / 1001)[20:40]
    assert_same(pose_file.decode(pose_file.encode(landmarks)), landmarks)


def test_mirrored_landmarks_are_written_as_they_would_be_without_a_mirror(tmp_path: Path) -> None:
    landmarks = example(mirrored=True)
    write(tmp_path / "clip.pose", landmarks)
    assert_same(read(tmp_path / "clip.pose"), landmarks.unmirrored())
    write(tmp_path / "clip.npz", landmarks)
    assert_same(read(tmp_path / "clip.npz"), landmarks)


# pose-format reads ours


def pose_of(data: bytes):
    return pytest.importorskip("pose_format").Pose.read(data)


def test_pose_format_reads_what_we_write() -> None:
    landmarks = example()
    pose = pose_of(pose_file.encode(landmarks))
    assert [(c.name, c.format, c.points) for c in pose.header.components] == [
        ("POSE_LANDMARKS", "XYZC", BODY_NAMES),
        ("LEFT_HAND_LANDMARKS", "XYZC", HAND_NAMES),
        ("RIGHT_HAND_LANDMARKS", "XYZC", HAND_NAMES),
    ]
    assert (pose.header.dimensions.width, pose.header.dimensions.height) == (640, 480)
    assert pose.body.fps == 25
    there_TK = landmarks.presence_TK > 0
    np.testing.assert_array_equal(pose.body.confidence[:, 0], landmarks.presence_TK)
    np.testing.assert_array_equal(pose.body.data.mask[:, 0, :, 0], ~there_TK)
    found_TKC = pose.body.data.data[:, 0]
    assert np.isfinite(found_TKC).all()
    np.testing.assert_array_equal(found_TKC[there_TK][:, :2], landmarks.coordinates_TKC[there_TK][:, :2])
    np.testing.assert_allclose(found_TKC[there_TK][:, 2] * 640, landmarks.coordinates_TKC[there_TK][:, 2], rtol=1e-6)


def test_pose_format_takes_our_files_for_holistic_ones_and_can_normalize_them() -> None:
    pytest.importorskip("pose_format")
    from pose_format.utils.generic import detect_known_pose_format, pose_normalization_info

    time = np.array([0.0, 0.03, 0.07, 0.1])
    pose = pose_of(pose_file.encode(example(4, time=time, points=(*PERSON, "tool"))))
    assert detect_known_pose_format(pose) == "holistic"
    assert [c.name for c in pose.header.components[3:]] == ["LANDMARKS", "TIME"]
    assert pose.body.fps == pytest.approx(30)
    limbs = {
        tuple(sorted((c.points[a], c.points[b])))
        for c in pose.header.components
        for a, b in c.limbs
        if c.name != "TIME"
    }
    assert ("LEFT_ELBOW", "LEFT_SHOULDER") in limbs
    assert ("INDEX_FINGER_DIP", "INDEX_FINGER_TIP") in limbs
    pose.normalize(pose_normalization_info(pose.header))
    assert pose.body.data.mask[:, 0, -1].all()  # the times are not drawn and not counted


def test_times_outlast_pose_format() -> None:
    """Written again by the package after cutting, each frame has the time it had."""
    landmarks = example(6, time=[0.5, 0.53, 0.57, 0.6, 0.9, 1.0])
    pose = pose_of(pose_file.encode(landmarks))
    cut = type(pose)(pose.header, pose.body[2:5])
    stream = io.BytesIO()
    cut.write(stream)
    assert_same(pose_file.decode(stream.getvalue()), landmarks[2:5])


# We read pose-format's


def written_by_pose_format(
    components: Sequence[tuple[str, Sequence[str], str]],
    data_TNKD: np.ndarray,
    confidence_TNK: np.ndarray,
    *,
    fps: float = 25.0,
    size: tuple[int, int] = (640, 480),
) -> bytes:
    package = pytest.importorskip("pose_format")
    from pose_format.numpy import NumPyPoseBody
    from pose_format.pose_header import PoseHeader, PoseHeaderComponent, PoseHeaderDimensions

    header = PoseHeader(
        0.2,
        PoseHeaderDimensions(*size),
        [PoseHeaderComponent(name, list(points), [], [(1, 2, 3)], format) for name, points, format in components],
    )
    stream = io.BytesIO()
    package.Pose(header, NumPyPoseBody(fps, data_TNKD.astype(np.float32), confidence_TNK.astype(np.float32))).write(
        stream
    )
    return stream.getvalue()


def version_0_1(data: bytes, frames: int, fps: int) -> bytes:
    """The same of version 0.1, which has fps, frames and people as three shorts; by hand, the package only reads it."""
    at = data.rindex(struct.pack("<fIH", fps, frames, 1))
    return struct.pack("<f", 0.1) + data[4:at] + struct.pack("<HHH", fps, frames % 65536, 1) + data[at + 10 :]


def test_both_versions_are_read_as_pose_format_reads_them() -> None:
    landmarks = example(7)
    data = pose_file.encode(landmarks)
    old = version_0_1(data, 7, 25)
    np.testing.assert_array_equal(pose_of(old).body.data.data, pose_of(data).body.data.data)
    assert_same(pose_file.decode(old), pose_file.decode(data))


def test_more_frames_than_version_0_1_can_count() -> None:
    landmarks = example(65540, points=("nose",))
    old = version_0_1(pose_file.encode(landmarks), 65540, 25)
    assert len(pose_of(old).body.data) == 65540
    assert_same(pose_file.decode(old), landmarks, time_within=1e-6)


@pytest.mark.parametrize(("layout", "dims"), [("XYC", 2), ("XYZC", 3), ("XYZKC", 4)])
def test_components_of_others_keep_their_names(layout: str, dims: int) -> None:
    rng = np.random.default_rng(1)
    data_TNKD = rng.normal(0, 1, (5, 1, 3, dims))
    confidence_TNK = np.full((5, 1, 3), 1.02)  # as OpenPose's may be
    confidence_TNK[2] = 0
    data = written_by_pose_format(
        [("body_25", ["Nose", "Neck"], layout), ("FACE", ["0"], "XYC")], data_TNKD, confidence_TNK
    )
    landmarks = pose_file.decode(data)
    assert landmarks.points == ("body_25_Nose", "body_25_Neck", "FACE_0")
    np.testing.assert_array_equal(landmarks.presence_TK, np.repeat([[1], [1], [0], [1], [1]], 3, axis=1))
    there = [0, 1, 3, 4]
    expected_TKC = np.zeros((5, 3, 3), dtype=np.float32)
    expected_TKC[..., :2] = data_TNKD[:, 0, :, :2]
    if "Z" in layout:
        expected_TKC[:, :2, 2] = data_TNKD[:, 0, :2, 2]
    np.testing.assert_array_equal(landmarks.coordinates_TKC[there], expected_TKC[there])


def test_of_several_people_the_one_who_is_there_most_is_taken() -> None:
    data_TNKD = np.zeros((4, 3, 1, 3)) + np.arange(3)[:, None, None]
    confidence_TNK = np.array([[1, 0.5, 0], [0, 0.5, 0], [0, 0.5, 1], [0, 0.5, 0.9]])[..., None]
    data = written_by_pose_format([("POSE_LANDMARKS", ["NOSE"], "XYZC")], data_TNKD, confidence_TNK)
    landmarks = pose_file.decode(data)
    assert (landmarks.coordinates_TKC[..., 0] == 1).all()
    assert (landmarks.presence_TK == 0.5).all()


def test_points_without_a_place_are_absent() -> None:
    data_TNKD = np.ones((4, 1, 2, 3))
    confidence_TNK = np.ones((4, 1, 2))
    data_TNKD[0, 0, 0, 1], data_TNKD[1, 0, 1, 0], confidence_TNK[2, 0, 0] = np.nan, np.inf, np.nan
    data = written_by_pose_format([("POSE_LANDMARKS", ["NOSE", "LEFT_EAR"], "XYZC")], data_TNKD, confidence_TNK)
    assert pose_file.decode(data).presence_TK.tolist() == [[0, 1], [1, 0], [0, 1], [1, 1]]


def test_nobody_in_the_images_is_no_mistake() -> None:
    data = written_by_pose_format([("POSE_LANDMARKS", ["NOSE"], "XYZC")], np.zeros((3, 1, 1, 3)), np.zeros((3, 1, 1)))
    landmarks = pose_file.decode(data)
    assert len(landmarks) == 3
    assert not landmarks.presence_TK.any()


# Real files of Holistic


@pytest.fixture(scope="module")
def holistic(shared_data: Path) -> list[Path]:
    return sorted((shared_data / "fingerspelling-pose").glob("*.pose"))


def test_holistic_files_load(holistic: list[Path]) -> None:
    assert len(holistic) == 26
    for path in holistic:
        pose = pose_of(path.read_bytes())
        landmarks = read(path, points=PERSON)
        assert landmarks.points == PERSON
        assert landmarks.size == (500, 500)
        np.testing.assert_allclose(landmarks.time_T, np.arange(len(pose.body.data)) / 25)
        for component, theirs, ours in (
            ("POSE_LANDMARKS", BODY_NAMES, BODY),
            ("LEFT_HAND_LANDMARKS", HAND_NAMES, LEFT_HAND),
            ("RIGHT_HAND_LANDMARKS", HAND_NAMES, RIGHT_HAND),
        ):
            part = pose.get_components([component], {component: list(theirs)})
            chosen = landmarks.select(ours)
            confidence_TK, data_TKC = part.body.confidence[:, 0], part.body.data.data[:, 0] * np.float32([1, 1, 500])
            there_TK = confidence_TK > 0
            np.testing.assert_array_equal(chosen.presence_TK, confidence_TK)
            np.testing.assert_allclose(chosen.coordinates_TKC[there_TK], data_TKC[there_TK], rtol=1e-6)


def test_left_and_right_are_the_signers_own_in_holistic_files(holistic: list[Path]) -> None:
    """Who faces the camera has her left shoulder on its right, and the hand is at the wrist of its arm."""
    for path in holistic:
        landmarks = read(path)
        place = {name: landmarks.coordinates_TKC[:, k, :2] for k, name in enumerate(landmarks.points)}
        shoulders = place["left_shoulder"] - place["right_shoulder"]
        assert (shoulders[:, 0] > 0).all()
        # All of them spell with the right hand, and the left arm is below the image.
        assert np.isnan(place["left_hand_wrist"]).all()
        apart = np.linalg.norm(place["right_hand_wrist"] - place["right_wrist"], axis=1)
        assert np.median(apart) < 0.1 * np.linalg.norm(shoulders, axis=1).mean()


def test_depth_is_on_the_scale_of_x(holistic: list[Path]) -> None:
    """Bones of a hand that turns keep their length far better with our depth than with Holistic's numbers or none."""
    bones = [("wrist", "index_mcp"), ("index_mcp", "middle_mcp"), ("middle_mcp", "ring_mcp"), ("ring_mcp", "pinky_mcp")]
    bones += [
        ("wrist", "pinky_mcp"),
        ("index_mcp", "index_pip"),
        ("middle_mcp", "middle_pip"),
        ("ring_mcp", "ring_pip"),
    ]
    hand_TKC = np.concatenate([read(path, points=RIGHT_HAND).coordinates_TKC for path in holistic])
    index = {name: k for k, name in enumerate(RIGHT_HAND)}
    ends = [[index[f"right_hand_{end}"] for end in bone] for bone in bones]

    def spread(depth: float) -> float:
        lengths_TB = np.stack(
            [np.linalg.norm((hand_TKC[:, a] - hand_TKC[:, b]) * (1, 1, depth), axis=1) for a, b in ends], 1
        )
        lengths_TB = lengths_TB / lengths_TB.mean(axis=1, keepdims=True)
        return float((lengths_TB.std(axis=0) / lengths_TB.mean(axis=0)).mean())

    assert spread(1) < 0.8 * spread(1 / 500)
    assert spread(1) < 0.8 * spread(0)
    assert spread(1) < 0.8 * spread(5)


def test_all_points_of_holistic_have_a_name_of_their_own_and_can_be_written(
    holistic: list[Path], tmp_path: Path
) -> None:
    landmarks = read(holistic[0])
    assert len(landmarks.points) == 586
    for name in ("nose", "left_mouth", "right_heel", "left_eye_inner", "face_477", "left_world_wrist", "world_nose"):
        assert name in landmarks.points
    chosen = read(holistic[0], points=PERSON)
    np.testing.assert_array_equal(landmarks.select(PERSON).coordinates_TKC, chosen.coordinates_TKC)
    write(tmp_path / "all.pose", landmarks)
    assert_same(read(tmp_path / "all.pose", points=landmarks.points), landmarks)


# NumPy


@pytest.mark.parametrize("numbers", [2, 3, 4])
@pytest.mark.parametrize("form", ["array", ".npy", ".npz", "compressed"])
def test_arrays_of_others(numbers: int, form: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    array = np.asfortranarray(rng.uniform(0.1, 1, (5, 3, numbers)))
    array[1, 2, 0] = np.nan
    source: object = array
    if form == ".npy":
        source = tmp_path / "a.npy"
        np.save(source, array)
    elif form != "array":
        source = str(tmp_path / "a.npz")
        (np.savez if form == ".npz" else np.savez_compressed)(source, keypoints=array)
    landmarks = from_array(source, points=("a", "b", "c"), fps=20, size=(64, 48))
    there_TK = np.ones((5, 3), bool)
    there_TK[1, 2] = False
    np.testing.assert_array_equal(landmarks.presence_TK > 0, there_TK)
    np.testing.assert_allclose(landmarks.presence_TK[there_TK], array[there_TK][:, 3] if numbers == 4 else 1)
    np.testing.assert_allclose(landmarks.coordinates_TKC[there_TK][:, :2], array[there_TK][:, :2])
    np.testing.assert_allclose(landmarks.coordinates_TKC[there_TK][:, 2], array[there_TK][:, 2] if numbers > 2 else 0)
    np.testing.assert_allclose(landmarks.time_T, [0, 0.05, 0.1, 0.15, 0.2])
    assert landmarks.size == (64, 48)


@pytest.mark.parametrize(
    ("array", "fps", "message"),
    [
        (np.ones((5, 3)), 25, r"an array \(5, 3\) of float64"),
        (np.ones((5, 2, 3)), 25, "numbers"),
        (np.ones((5, 3, 5)), 25, "numbers"),
        (np.ones((5, 3, 1)), 25, "numbers"),
        (np.full((5, 3, 2), "1"), 25, "numbers"),
        (np.ones((5, 3, 2), complex), 25, "numbers"),
        (np.full((5, 3, 2), np.inf), 25, "no finite numbers"),
        (np.full((5, 3, 4), 2.0), 25, "presence"),
        (np.ones((5, 3, 2)), 0, "fps is 0"),
        (np.ones((5, 3, 2)), -25, "fps is -25"),
        (np.ones((5, 3, 2)), np.nan, "fps is nan"),
    ],
)
def test_arrays_that_cannot_be_landmarks(array: np.ndarray, fps: float, message: str, tmp_path: Path) -> None:
    with pytest.raises(LandmarkError, match=message):
        from_array(array, points=("a", "b", "c"), fps=fps)
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(LandmarkError, match=rf"a\.npy: .*{message}"):
        from_array(tmp_path / "a.npy", points=("a", "b", "c"), fps=fps)


def test_files_of_arrays_that_cannot_be_used(tmp_path: Path) -> None:
    arguments = {"points": ("a",), "fps": 25}
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(LandmarkError, match=r"objects\.npy: holds Python objects"):
        from_array(tmp_path / "objects.npy", **arguments)
    np.savez(tmp_path / "two.npz", one=np.ones(1), two=np.ones(1))
    with pytest.raises(LandmarkError, match=r"two\.npz: holds the arrays one, two"):
        from_array(tmp_path / "two.npz", **arguments)
    (tmp_path / "text.npy").write_text("0.5 0.5\n")
    with pytest.raises(LandmarkError, match=r"text\.npy: is no array of NumPy"):
        from_array(tmp_path / "text.npy", **arguments)
    (tmp_path / "empty.npy").write_bytes(b"")
    with pytest.raises(LandmarkError, match=r"empty\.npy: is empty"):
        from_array(tmp_path / "empty.npy", **arguments)
    with pytest.raises(LandmarkError, match=r"none\.npy: cannot be read"):
        from_array(tmp_path / "none.npy", **arguments)


# What cannot be read or written


def test_files_that_are_no_landmarks(tmp_path: Path) -> None:
    def refused(name: str, content: bytes | None) -> str:
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(LandmarkError) as error:
            read(path)
        assert str(error.value).startswith(f"{path}: ")
        assert "\n" not in str(error.value)
        return str(error.value)

    for suffix in SUFFIXES:
        assert "No such file" in refused(f"none{suffix}", None)
        assert "is empty" in refused(f"empty{suffix}", b"")
        (tmp_path / f"folder{suffix}").mkdir()
        assert "cannot be read" in refused(f"folder{suffix}", None)
        assert "is no " in refused(f"text{suffix}", b"These are words and no landmarks at all.\n" * 20)
    assert "is no .pose file" in refused("short.pose", b"abc")
    assert "version 0.0" in refused("zeros.pose", bytes(1000))
    assert "end in .pose or .npz" in refused("clip.mp4", b"")
    assert "from_array" in refused("clip.npy", b"")
    np.savez(tmp_path / "other.npz", keypoints=np.ones(3))
    assert "no array 'coordinates'" in refused("other.npz", None)
    write(tmp_path / "hand.pose", example(points=EITHER_HAND))
    with pytest.raises(LandmarkError, match=r"hand.pose: has none of the points nose \.\.\. but hand_wrist"):
        read(tmp_path / "hand.pose", points=PERSON)


def test_a_rate_of_nothing(tmp_path: Path) -> None:
    component = [("POSE_LANDMARKS", ["NOSE"], "XYZC")]
    for fps in (0.0, -25.0, float("nan"), float("inf")):
        data = written_by_pose_format(component, np.ones((2, 1, 1, 3)), np.ones((2, 1, 1)), fps=fps)
        with pytest.raises(LandmarkError, match="frames a second"):
            pose_file.decode(data)
    alone = written_by_pose_format(component, np.ones((1, 1, 1, 3)), np.ones((1, 1, 1)), fps=0)
    assert pose_file.decode(alone).time_T.tolist() == [0]


def test_npz_with_other_kinds_of_arrays(tmp_path: Path) -> None:
    right = {
        "coordinates": np.ones((2, 1, 3)),
        "presence": np.ones((2, 1)),
        "time": np.array([0, 0.04]),
        "points": np.array(["nose"]),
        "size": np.array([640, 480]),
        "mirrored": np.array(False),
    }
    path = tmp_path / "clip.npz"
    np.savez(path, **right)
    assert read(path).size == (640, 480)
    for name, wrong in (
        ("coordinates", np.array("no")),
        ("coordinates", np.ones((2, 1, 2))),
        ("presence", np.ones(3)),
        ("time", np.ones((2, 1))),
        ("time", np.array([0.04, 0])),
        ("points", np.array([1])),
        ("points", np.array("nose")),
        ("size", np.array([640])),
        ("size", np.array([640.0, 480.0])),
        ("mirrored", np.array([False])),
        ("mirrored", np.array([None], dtype=object)),
    ):
        np.savez(path, **{**right, name: wrong})
        with pytest.raises(LandmarkError, match=r"clip\.npz: "):
            read(path)


def small_file(suffix: str, tmp_path: Path) -> bytes:
    path = tmp_path / f"small{suffix}"
    write(path, example(3, time=[0.0, 0.1, 0.15], points=(*PERSON[:3], "left_hand_wrist", "tool")))
    return path.read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_cut_short_anywhere(suffix: str, tmp_path: Path) -> None:
    whole = small_file(suffix, tmp_path)
    path = tmp_path / f"cut{suffix}"
    for length in range(0, len(whole), 1 if suffix == ".pose" else 5):
        path.write_bytes(whole[:length])
        with pytest.raises(LandmarkError, match="cut"):
            read(path)
    if suffix == ".pose":
        with pytest.raises(LandmarkError, match="more than the 3 frames"):
            pose_file.decode(whole + b"\0")


def test_a_holistic_file_cut_short(holistic: list[Path]) -> None:
    whole = holistic[0].read_bytes()
    for length in [*range(0, 20000, 50), *range(20000, len(whole), 5003)]:
        with pytest.raises(LandmarkError):
            pose_file.decode(whole[:length])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_files_are_landmarks_or_a_landmark_error(suffix: str, tmp_path: Path) -> None:
    """Bytes changed one at a time, and many at once; the address space is limited, so that no header that lies
    about its sizes gets the memory it asks for."""
    pytest.importorskip("resource", reason="memory cannot be limited here")
    (tmp_path / f"whole{suffix}").write_bytes(small_file(suffix, tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", FUZZ, str(tmp_path / f"whole{suffix}")], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    read_anyway, refused = map(int, done.stdout.split())
    assert read_anyway > 10
    assert refused > 300


FUZZ = """if True:
    import resource, sys, warnings
    from pathlib import Path
    import numpy as np
    from features.landmark_files import read
    from features.landmarks import LandmarkError, Landmarks

    warnings.simplefilter("ignore")  # of NumPy, about headers
    warnings.simplefilter("error", RuntimeWarning)
    whole = Path(sys.argv[1])
    data = whole.read_bytes()
    read(whole)
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    limit = pages * resource.getpagesize() + 200_000_000
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit) if pages else (resource.RLIM_INFINITY,) * 2)
    rng = np.random.default_rng(0)
    places = [[place] for place in range(0, len(data), 1 if whole.suffix == ".pose" else 2)]
    places += [rng.integers(0, len(data), 2 ** rng.integers(1, 8)) for _ in range(200)]
    places += [rng.integers(0, 60, 2) for _ in range(200)]
    path = whole.with_name("damaged" + whole.suffix)
    counts = [0, 0]
    for chosen in places:
        damaged = bytearray(data)
        for place in chosen:
            damaged[place] = rng.choice([0, 255, rng.integers(256)])
        path.write_bytes(damaged)
        try:
            assert isinstance(read(path), Landmarks)
            counts[0] += 1
        except LandmarkError as error:
            assert str(path) in str(error) and not isinstance(error.__context__, MemoryError), repr(error)
            counts[1] += 1
    print(*counts)
"""


def test_a_header_that_lies_about_its_size_gets_no_memory() -> None:
    data = bytearray(pose_file.encode(example(2, points=("nose",))))
    at = data.rindex(struct.pack("<fIH", 25, 2, 1))
    for frames, people in ((2**32 - 1, 1), (2**32 - 1, 65535), (2**32 - 1, 0), (2, 65535)):
        data[at : at + 10] = struct.pack("<fIH", 25, frames, people)
        with pytest.raises(LandmarkError, match="holds"):
            pose_file.decode(bytes(data))


def test_what_a_pose_file_cannot_hold(tmp_path: Path) -> None:
    path = tmp_path / "clip.pose"
    for landmarks, message in (
        (example(points=()), "without points"),
        (example(size=(70000, 480)), "not 70000"),
        (example(size=(-1, 480)), "not -1"),
        (example(points=("x" * 70000,)), "not 70000"),
        (example(2, time=[0.0, 1e300]), "times"),
    ):
        with pytest.raises(LandmarkError, match=rf"clip\.pose: .*{message}"):
            write(path, landmarks)
        write(path.with_suffix(".npz"), landmarks)
        assert_same(read(path.with_suffix(".npz")), landmarks)
    assert not path.exists()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_writing_fails_without_a_trace(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="none") as error:
        write(tmp_path / "none" / f"clip{suffix}", example())
    assert error.value.errno == errno.ENOENT
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(OSError, match="folder"):
        write(tmp_path / f"folder{suffix}", example())
    assert os.listdir(tmp_path) == [f"folder{suffix}"]
    with pytest.raises(LandmarkError, match=r"clip\.txt"):
        write(tmp_path / "clip.txt", example())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_leaves_the_former_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "clip.pose"
    write(path, example(3))
    before = path.read_bytes()
    # The part has a random name; with a known one it is a link to the device that is always full.
    monkeypatch.setattr("features.landmark_files.secrets.token_hex", lambda count: "known")
    (tmp_path / f".{os.getpid()}-known.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"clip\.pose") as error:
        write(path, example(5))
    assert error.value.errno == errno.ENOSPC
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["clip.pose"]


def test_reading_needs_nothing_but_numpy(tmp_path: Path) -> None:
    write(tmp_path / "clip.pose", example(3))
    code = (
        "import sys; from features.landmark_files import read; print(len(read('clip.pose')));"
        "loaded = {name.split('.')[0] for name in sys.modules};"
        "print({'pose_format', 'mediapipe', 'cv2', 'av', 'torch', 'tqdm', 'scipy'} & loaded)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["3", "set()"]
