"""Files in the .pose format: the package pose-format reads ours, we read its, and real ones of Holistic."""

from __future__ import annotations

import io
import runpy
import struct
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest

from features import pose_file
from features.landmark_files import read, write
from features.landmarks import BODY, LEFT_HAND, PERSON, RIGHT_HAND, LandmarkError

assert_same, example = itemgetter("assert_same", "example")(
    runpy.run_path(str(Path(__file__).with_name("example_landmarks.py")))
)


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


def test_a_rate_of_nothing(tmp_path: Path) -> None:
    component = [("POSE_LANDMARKS", ["NOSE"], "XYZC")]
    for fps in (0.0, -25.0, float("nan"), float("inf")):
        data = written_by_pose_format(component, np.ones((2, 1, 1, 3)), np.ones((2, 1, 1)), fps=fps)
        with pytest.raises(LandmarkError, match="frames a second"):
            pose_file.decode(data)
    alone = written_by_pose_format(component, np.ones((1, 1, 1, 3)), np.ones((1, 1, 1)), fps=0)
    assert pose_file.decode(alone).time_T.tolist() == [0]


def test_a_holistic_file_cut_short(holistic: list[Path]) -> None:
    whole = holistic[0].read_bytes()
    for length in [*range(0, 20000, 50), *range(20000, len(whole), 5003)]:
        with pytest.raises(LandmarkError):
            pose_file.decode(whole[:length])


def test_a_header_that_lies_about_its_size_gets_no_memory() -> None:
    data = bytearray(pose_file.encode(example(2, points=("nose",))))
    at = data.rindex(struct.pack("<fIH", 25, 2, 1))
    for frames, people in ((2**32 - 1, 1), (2**32 - 1, 65535), (2**32 - 1, 0), (2, 65535)):
        data[at : at + 10] = struct.pack("<fIH", 25, frames, people)
        with pytest.raises(LandmarkError, match="holds"):
            pose_file.decode(bytes(data))
