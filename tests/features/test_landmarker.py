"""The landmarker on real clips: who is where, which hand is which, and what it does when things go wrong."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from features.landmarker_models import HAND as HAND_MODEL
from features.landmarker_models import POSE as POSE_MODEL
from features.landmarks import BODY, HAND, LEFT_HAND, PERSON, RIGHT_HAND, LandmarkError, Landmarks, joined
from features.video import Frame, Video, open_video

pytest.importorskip("mediapipe")
pytest.importorskip("av")

from features.landmarker import _POSE_INDEX, Landmarker, VideoWarning, _Hand, assigned, find_landmarks

BLACK = np.zeros((48, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def shared_landmarker(landmarker_models):
    with Landmarker() as landmarker:
        yield landmarker


@pytest.fixture
def landmarker(shared_landmarker):
    shared_landmarker.reset()
    shared_landmarker.mirrored = False
    return shared_landmarker


def seen(landmarks: Landmarks, points: tuple[str, ...]) -> list[bool]:
    """In which frames any of these points is present."""
    return (landmarks.select(points).presence_TK > 0).any(axis=1).tolist()


# ---------------------------------------------------------------- what is found


def test_points_are_those_of_the_names() -> None:
    from mediapipe.tasks.python.vision import pose_landmarker
    from mediapipe.tasks.python.vision.hand_landmarker import HandLandmark

    if not hasattr(pose_landmarker, "PoseLandmark"):
        pytest.skip("MediaPipe names the points of a pose from 0.10.32 on")
    PoseLandmark = pose_landmarker.PoseLandmark
    swapped = {"left_mouth": "mouth_left", "right_mouth": "mouth_right"}
    assert [PoseLandmark[swapped.get(name, name).upper()].value for name in BODY] == list(_POSE_INDEX)
    # MediaPipe says index_finger_tip for index_tip.
    assert [HandLandmark(k).name.lower().replace("_finger", "") for k in range(21)] == list(HAND)


def test_a_person_raising_her_right_hand(landmarker, clip_frames) -> None:
    frames = clip_frames("sign", 0, 34)
    found = joined([landmarker(frame) for frame in frames])
    assert (found.points, found.size, found.mirrored) == (PERSON, (540, 720), False)
    np.testing.assert_array_equal(found.time_T, [time for _, time in frames])
    # The hand comes into view after half a second, and no other does.
    assert all(seen(found, BODY))
    right = seen(found, RIGHT_HAND)
    assert right[:10] == [False] * 10
    assert sum(right[-8:]) >= 6
    assert not any(seen(found, LEFT_HAND))
    # Pixels: it is in the picture, and at the right wrist of the body, which is on the left of the picture.
    last = found[max(t for t, there in enumerate(right) if there) :][:1]
    wrist, hand, other = (
        last.select([name]).coordinates_TKC[0, 0] for name in ("right_wrist", "right_hand_wrist", "nose")
    )
    assert np.hypot(*(wrist - hand)[:2]) < 60
    assert 0 < hand[0] < other[0] < 540
    assert 0 < other[1] < hand[1] < 720
    shoulders = last.select(["left_shoulder", "right_shoulder"])
    assert 200 < shoulders.coordinates_TKC[0, 0, 0] - shoulders.coordinates_TKC[0, 1, 0] < 400
    # Depth has the scale of pixels: a hand is about as deep as it is wide, and nearer to the camera than the hips.
    hand_K3 = last.select(RIGHT_HAND).coordinates_TKC[0]
    assert 5 < np.ptp(hand_K3[:, 2]) < 400
    assert -2000 < wrist[2] < -50
    assert (last.select(RIGHT_HAND).presence_TK > 0.5).all()


def test_the_file_as_a_whole_is_its_frames(landmarker, short_clip, tmp_path) -> None:
    done: list[float] = []
    whole = find_landmarks(short_clip, landmarker=landmarker, progress=done.append)
    landmarker.reset()
    with open_video(short_clip) as video:
        parts = joined([landmarker(frame) for frame in video])
    for name in ("coordinates_TKC", "presence_TK", "time_T"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))
    assert done == sorted(done)
    assert 0.6 < done[-1] <= 1
    assert (len(whole), whole.size) == (6, (1280, 720))
    assert any(seen(whole, RIGHT_HAND))
    # Another landmarker, an opened video, and one that has been read already.
    with open_video(short_clip) as video:
        again = find_landmarks(video)
        np.testing.assert_array_equal(again.coordinates_TKC, whole.coordinates_TKC)
        with pytest.raises(LandmarkError, match="no frame is left of it: open it anew"):
            find_landmarks(video, landmarker=landmarker)
    # Cut short: what is there, and a word about it.
    cut = tmp_path / "cut.mkv"
    content = short_clip.read_bytes()
    cut.write_bytes(content[: round(0.7 * len(content))])
    with pytest.warns(VideoWarning, match=r"cut\.mkv: is cut short, and ends after 0\.\d s: copy or record it again"):
        some = find_landmarks(cut, landmarker=landmarker)
    assert 0 < len(some) < 6


@pytest.mark.parametrize(
    ("name", "first", "last"), [pytest.param("sign", 28, 40, marks=pytest.mark.slow), ("gesture", 30, 40)]
)
def test_a_mirrored_clip_gives_the_same_person(landmarker, clip_frames, name, first, last) -> None:
    frames = clip_frames(name, first, last)
    straight = joined([landmarker(frame) for frame in frames])
    landmarker.reset()
    landmarker.mirrored = True
    flipped = joined([landmarker(Frame(image_HWC[:, ::-1], time)) for image_HWC, time in frames])
    assert flipped.mirrored
    assert any(seen(flipped, LEFT_HAND))
    assert not any(seen(flipped, RIGHT_HAND))
    restored = flipped.unmirrored()
    assert not restored.mirrored
    assert not any(seen(restored, LEFT_HAND))
    shoulders = straight.select(["left_shoulder", "right_shoulder"]).coordinates_TKC
    shoulder_width = float(np.median(np.linalg.norm(shoulders[:, 0] - shoulders[:, 1], axis=-1)))
    sure = (straight.presence_TK > 0.8) & (restored.presence_TK > 0.8)
    assert sure[:, len(BODY) + len(HAND) :].any(axis=1).sum() >= 8
    distances = np.linalg.norm((straight.coordinates_TKC - restored.coordinates_TKC)[..., :2], axis=-1)[sure]
    assert np.median(distances) < 0.06 * shoulder_width
    # Not by chance: without putting it back it is far off.
    wrong = np.linalg.norm((straight.coordinates_TKC - flipped.coordinates_TKC)[..., :2], axis=-1)
    assert np.median(wrong[:, : len(BODY)][sure[:, : len(BODY)]]) > 2 * np.median(distances)


def test_of_two_people_one_is_followed(landmarker, clip_frames) -> None:
    one, other = clip_frames("gesture", 30, 46), clip_frames("sign", 26, 42)
    both = [Frame(np.concatenate([a, b], axis=1), time) for (a, time), (b, _) in zip(one, other, strict=True)]
    found = joined([landmarker(frame) for frame in both])
    noses = found.select(["nose"]).coordinates_TKC[:, 0, 0]
    assert np.ptp(noses) < 100  # the same one all the time
    assert (noses < 1280).all() or (noses > 1280).all()
    # Both raise a right hand: hers is found, and that of the other is hers hardly ever.
    wrists = found.select(["right_hand_wrist", "right_wrist"]).coordinates_TKC
    apart = np.hypot(*(wrists[:, 0] - wrists[:, 1]).T[:2])
    assert np.nanmedian(apart) < 250
    assert sum(seen(found, RIGHT_HAND)) >= 12
    assert sum(seen(found, LEFT_HAND)) <= 4


# ---------------------------------------------------------------- left and right


def body(**places: tuple[float, float, float]) -> np.ndarray:
    """A pose with shoulders 100 pixels apart; places are x, y and how well they are seen."""
    body_K4 = np.zeros((len(BODY), 4), np.float32)
    for name, (x, y, visibility) in {"left_shoulder": (200, 0, 1), "right_shoulder": (100, 0, 1), **places}.items():
        body_K4[BODY.index(name)] = x, y, 0, visibility
    return body_K4


def hand(x: float, y: float, *, right: float) -> _Hand:
    return _Hand(np.full((21, 3), (x, y, 0), np.float32), right, max(right, 1 - right))


WRISTS = {"left_wrist": (220, 100, 0.9), "right_wrist": (80, 100, 0.9)}
TOGETHER = {"left_wrist": (150, 90, 1), "right_wrist": (154, 92, 1)}


@pytest.mark.parametrize(
    ("hands", "pose", "sides"),
    [
        ([], None, ""),
        ([], body(**WRISTS), ""),
        ([hand(80, 90, right=0.9), hand(220, 90, right=0.1)], body(**WRISTS), "RL"),
        ([hand(80, 90, right=0.1), hand(220, 90, right=0.9)], body(**WRISTS), "RL"),  # the wrists know it better
        ([hand(80, 90, right=0.2), hand(90, 90, right=0.1)], body(**WRISTS), "R-"),  # a side has one hand
        ([hand(220, 90, right=0.9)], body(left_wrist=(80, 100, 0.9), right_wrist=(220, 100, 0.9)), "R"),  # crossed
        # Both wrists at one place: the names decide.
        ([hand(150, 90, right=0.9), hand(155, 95, right=0.2)], body(**TOGETHER), "RL"),
        ([hand(155, 95, right=0.2), hand(150, 90, right=0.9)], body(**TOGETHER), "LR"),
        # No wrist is seen, or no pose is found, or it is a guess: the names decide.
        ([hand(220, 90, right=0.9)], body(left_wrist=(220, 300, 0.1), right_wrist=(80, 300, 0.1)), "R"),
        ([hand(1, 1, right=0.9), hand(2, 2, right=0.1)], None, "RL"),
        ([hand(1, 1, right=0.9), hand(2, 2, right=0.7)], None, "RL"),
        ([hand(1, 1, right=0.3), hand(2, 2, right=0.2)], None, "RL"),
        ([hand(220, 90, right=0.9)], body(**WRISTS, left_shoulder=(200, 0, 0.2), right_shoulder=(100, 0, 0.2)), "R"),
        # Somebody else's.
        ([hand(600, 90, right=0.9)], body(**WRISTS), "-"),
        ([hand(600, 90, right=0.9), hand(80, 90, right=0.9)], body(**WRISTS), "-R"),
        # Seen from the side, shoulders and wrists are close together, and depth gives the scale.
        ([hand(190, 90, right=0.9)], body(left_shoulder=(101, 0, 1), **WRISTS), "-"),
    ],
)  # fmt: skip
def test_which_hand_is_which(hands, pose, sides) -> None:
    expected = {{"L": "left", "R": "right"}[side]: one for side, one in zip(sides, hands, strict=True) if side != "-"}
    found = assigned(hands, pose)
    assert {side: id(one) for side, one in found.items()} == {side: id(one) for side, one in expected.items()}


def test_depth_counts_in_the_scale() -> None:
    sideways = body(left_shoulder=(101, 0, 1), left_wrist=(101, 100, 0.9), right_wrist=(80, 100, 0.2))
    far = hand(160, 100, right=0.1)
    assert assigned([far], sideways) == {}
    sideways[BODY.index("left_shoulder"), 2] = 100
    assert list(assigned([far], sideways)) == ["left"]


# ---------------------------------------------------------------- odd input


def test_nobody_is_there(landmarker) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3)).astype(np.uint8)
    for image_HWC in (
        BLACK,
        noise,
        *(np.full((h, w, 3), 90, np.uint8) for h, w in ((1, 1), (3, 2), (1, 400), (400, 1))),
    ):
        found = landmarker(Frame(image_HWC, 0.0))
        assert (len(found), found.size) == (1, image_HWC.shape[1::-1])
        assert not found.presence_TK.any()
        assert np.isnan(found.coordinates_TKC).all()


def test_one_frame_alone(landmarker, clip_frames) -> None:
    (frame,) = clip_frames("gesture", 38, 39)
    found = landmarker(frame)
    assert all(seen(found, BODY) + seen(found, RIGHT_HAND))


def test_she_comes_and_goes(landmarker, clip_frames) -> None:
    frames = clip_frames("gesture", 36, 42)
    there = [True, True, False, False, True, True]
    found = joined(
        [
            landmarker(Frame(image if show else np.zeros_like(image), t))
            for (image, t), show in zip(frames, there, strict=True)
        ]
    )
    assert seen(found, BODY) == there
    assert seen(found, RIGHT_HAND) == there


def test_images_may_change_their_size(landmarker, clip_frames) -> None:
    frames = clip_frames("gesture", 36, 42)
    images = [image[::2, ::2] if k % 2 else image for k, (image, _) in enumerate(frames)]
    found = [landmarker(Frame(image, time)) for image, (_, time) in zip(images, frames, strict=True)]
    assert [one.size for one in found] == [(1280, 720), (640, 360)] * 3
    noses = np.array([one.select(["nose"]).coordinates_TKC[0, 0, :2] for one in found])
    assert np.abs(noses[1::2] * 2 - noses[::2]).max() < 120


def test_a_file_may_change_the_size_of_its_images(landmarker, clip_frames) -> None:
    frames = clip_frames("gesture", 36, 40)

    class Changing:
        name, size, rate, duration, truncated, skipped = "a.webm", (1280, 720), 25.0, None, False, 0

        def frames(self):
            for k, (image, time) in enumerate(frames):
                yield Frame(image[::2, ::2] if k >= 2 else image, time)

        def close(self) -> None:
            pass

    found = find_landmarks(Video(Changing()), landmarker=landmarker)
    assert found.size == (1280, 720)
    assert np.ptp(found.select(["nose"]).coordinates_TKC[:, 0, :2], axis=0).max() < 120


def test_times_may_stand_still_or_go_back(landmarker, clip_frames) -> None:
    frames = clip_frames("gesture", 36, 40)
    times = [5.0, 5.0, 5.0001, 0.0, 0.04, 1e6, 0.04, -3.0]
    for (image_HWC, _), time in zip(itertools.cycle(frames), times, strict=False):
        found = landmarker(Frame(image_HWC, time))
        assert found.time_T.tolist() == [time]
        assert all(seen(found, BODY))


def test_after_a_reset_nothing_is_left(landmarker, clip_frames) -> None:
    frames = clip_frames("sign", 28, 32)
    first = joined([landmarker(frame) for frame in frames])
    landmarker.reset()
    again = joined([landmarker(frame) for frame in frames])
    np.testing.assert_array_equal(first.coordinates_TKC, again.coordinates_TKC)
    np.testing.assert_array_equal(first.presence_TK, again.presence_TK)


def test_images_in_any_memory(landmarker, clip_frames) -> None:
    (frame,) = clip_frames("sign", 30, 31)
    expected = landmarker(frame)
    wide = np.zeros((720, 576, 3), np.uint8)
    wide[:, :540] = frame.image_HWC
    landmarker.reset()
    np.testing.assert_array_equal(
        landmarker(Frame(wide[:, :540], frame.time)).coordinates_TKC, expected.coordinates_TKC
    )


def test_mistakes(landmarker, landmarker_models, tmp_path) -> None:
    for image in (BLACK[..., 0], BLACK.astype(np.float32), BLACK[..., :2], BLACK[:0]):
        with pytest.raises(LandmarkError, match=r"is not \(H, W, 3\) of uint8"):
            landmarker(Frame(image, 0.0))
    import shutil
    import zipfile

    shutil.copy(landmarker_models / HAND_MODEL, tmp_path)
    with zipfile.ZipFile(tmp_path / POSE_MODEL, "w") as archive:
        for part in ("pose_detector.tflite", "pose_landmarks_detector.tflite"):
            archive.writestr(part, b"no network")
    with pytest.raises(LandmarkError) as raised:
        Landmarker(tmp_path)
    assert str(raised.value).startswith(f"{tmp_path / POSE_MODEL}: MediaPipe cannot use it (")
    assert "\n" not in str(raised.value)
    with Landmarker() as closed:
        pass
    closed.close()
    with pytest.raises(LandmarkError, match="is closed: make another one"):
        closed(Frame(BLACK, 0.0))
