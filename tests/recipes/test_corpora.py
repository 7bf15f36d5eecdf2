"""Loaders of others' corpora, each on a miniature in its publisher's layout."""

from __future__ import annotations

import csv
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from features.landmarks import EITHER_HAND, PERSON
from recipes.corpora import Clip, CorpusError, kaggle_parquet, lsa64, shrec17

# SHREC'17


# A raised right hand, its palm to the camera, as the camera's metres have it: x to its left, y up, z away.
RIGHT_HAND_METRES = np.array(
    [
        [0.10, -0.10, 0.50],  # wrist
        [0.10, -0.05, 0.49],  # palm
        *np.linspace([0.08, -0.09, 0.49], [0.03, -0.03, 0.45], 4),  # thumb
        *np.linspace([0.07, -0.01, 0.48], [0.06, 0.06, 0.45], 4),
        *np.linspace([0.09, 0.00, 0.48], [0.09, 0.08, 0.44], 4),
        *np.linspace([0.11, -0.01, 0.48], [0.12, 0.06, 0.45], 4),
        *np.linspace([0.13, -0.02, 0.48], [0.15, 0.03, 0.46], 4),  # pinky
    ]
)
CLIPS = {"train": [(1, 1, 1, 1), (1, 2, 1, 1), (14, 2, 28, 5)], "test": [(7, 1, 3, 2)]}


def frames_of(gesture: int, finger: int, subject: int, essai: int) -> np.ndarray:
    frames = 3 + gesture
    shift_T = np.arange(frames) / 100 + finger + subject / 10 + essai / 100
    return RIGHT_HAND_METRES + shift_T[:, None, None]


@pytest.fixture
def shrec(tmp_path: Path) -> Path:
    folder = tmp_path / "HandGestureDataset_SHREC2017"
    for part, ids in CLIPS.items():
        lines = []
        for gesture, finger, subject, essai in ids:
            place = folder / f"gesture_{gesture}" / f"finger_{finger}" / f"subject_{subject}" / f"essai_{essai}"
            place.mkdir(parents=True)
            world_TKC = frames_of(gesture, finger, subject, essai)
            np.savetxt(place / "skeletons_world.txt", world_TKC.reshape(len(world_TKC), 66), fmt="%.8g")
            np.savetxt(place / "skeletons_image.txt", np.zeros((len(world_TKC), 44)), fmt="%.8g")
            np.savetxt(place / "general_informations.txt", np.zeros((len(world_TKC), 5)), fmt="%d")
            (place / "0_depth.png").write_bytes(b"")
            lines.append(
                f"{gesture} {finger} {subject} {essai} {gesture} {gesture + 14 * (finger - 1)} {len(world_TKC)}\n"
            )
        (folder / f"{part}_gestures.txt").write_text("".join(lines))
    return folder


def test_shrec17(shrec: Path) -> None:
    clips = list(shrec17.clips(shrec))
    assert [(clip.id, clip.label, clip.signer, clip.part) for clip in clips] == [
        ("gesture_1-finger_1-subject_1-essai_1", "grab", "1", "train"),
        ("gesture_1-finger_2-subject_1-essai_1", "grab", "1", "train"),
        ("gesture_14-finger_2-subject_28-essai_5", "shake", "28", "train"),
        ("gesture_7-finger_1-subject_3-essai_2", "swipe right", "3", "test"),
    ]
    for clip, ids in zip(clips, [*CLIPS["train"], *CLIPS["test"]], strict=True):
        expected_TKC = frames_of(*ids)
        assert set(clip.source.points) == {*EITHER_HAND, "hand_palm"}
        assert (clip.source.presence_TK == 1).all()
        assert clip.source.size is None
        np.testing.assert_allclose(clip.source.time_T, np.arange(len(expected_TKC)) / 30)
        for name, joint in (
            ("wrist", 0),
            ("palm", 1),
            ("thumb_cmc", 2),
            ("thumb_tip", 5),
            ("index_mcp", 6),
            ("pinky_tip", 21),
        ):
            found_TC = clip.source.select([f"hand_{name}"]).coordinates_TKC[:, 0]
            np.testing.assert_allclose(found_TC, expected_TKC[:, joint] * (-1, -1, 1), rtol=1e-6)


def test_shrec17_labels_of_one_finger_and_of_the_hand(shrec: Path) -> None:
    assert [clip.label for clip in shrec17.clips(shrec, labels=28)] == [
        "grab, one finger",
        "grab, whole hand",
        "shake, whole hand",
        "swipe right, one finger",
    ]
    with pytest.raises(CorpusError, match="14 or 28"):
        next(shrec17.clips(shrec, labels=15))


def test_shrec17_hands_stay_right_hands_and_upright(shrec: Path) -> None:
    """As the camera sees a raised right hand from its palm: wrist below the fingers, thumb right, tips nearer."""
    hand = next(shrec17.clips(shrec)).source
    x, y, z = hand.coordinates_TKC[0].T
    index = {name: k for k, name in enumerate(hand.points)}
    assert y[index["hand_wrist"]] > y[index["hand_middle_mcp"]]
    assert x[index["hand_thumb_tip"]] > x[index["hand_pinky_tip"]]
    assert z[index["hand_middle_tip"]] < z[index["hand_middle_mcp"]]


def test_shrec17_that_is_not_whole(shrec: Path) -> None:
    world = shrec / "gesture_1" / "finger_2" / "subject_1" / "essai_1" / "skeletons_world.txt"
    whole = world.read_text()
    for text, message in (
        ("", "is empty"),
        (whole[:-200], r"line 4 has \d+ numbers, not 66"),
        ("x" + whole, "could not convert"),
        ("0.5 " + whole, "line 1 has 67 numbers"),
        ("nan " * 66, "not finite"),
        ("\N{GREEK SMALL LETTER ALPHA} " * 66, "could not convert"),
    ):
        world.write_text(text, encoding="utf-8")
        with pytest.raises(CorpusError, match=rf"skeletons_world\.txt: .*({message})"):
            list(shrec17.clips(shrec))
    world.write_bytes(b"\xff\xfe" * 100)
    with pytest.raises(CorpusError, match=r"skeletons_world\.txt: is not text"):
        list(shrec17.clips(shrec))
    world.unlink()
    with pytest.raises(CorpusError, match=r"skeletons_world\.txt: cannot be read"):
        list(shrec17.clips(shrec))
    (shrec / "train_gestures.txt").write_text("15 1 1 1 15 15 20\n")
    with pytest.raises(CorpusError, match="line 1: there is no gesture_15/finger_1"):
        list(shrec17.clips(shrec))
    (shrec / "test_gestures.txt").unlink()
    with pytest.raises(CorpusError, match=r"test_gestures\.txt: not there"):
        list(shrec17.clips(shrec))


# LSA64


@pytest.fixture
def lsa(tmp_path: Path) -> Path:
    folder = tmp_path / "lsa64" / "all"
    folder.mkdir(parents=True)
    for sign in (1, 8, 64):
        for person in (1, 9, 10):
            for repetition in (1, 5):
                (folder / f"{sign:03}_{person:03}_{repetition:03}.mp4").write_bytes(b"")
    (folder / "readme.txt").write_text("LSA64\n")
    return folder


def test_lsa64(lsa: Path) -> None:
    clips = list(lsa64.clips(lsa))
    assert len(clips) == 18
    assert clips[0] == Clip("001_001_001", lsa / "001_001_001.mp4", "Opaque", "001", "train")
    assert clips[-1] == Clip("064_010_005", lsa / "064_010_005.mp4", "Find", "010", "test")
    assert {clip.label for clip in clips} == {"Opaque", "Pink", "Find"}
    assert {clip.signer for clip in clips if clip.part == "train"} == {"001", "009"}
    assert {clip.signer for clip in clips if clip.part == "test"} == {"010"}
    assert list(lsa64.clips(lsa.parent)) == clips
    assert {clip.part for clip in lsa64.clips(lsa, test_signers=())} == {"train"}
    held_out = lsa64.clips(lsa, test_signers=["001", "009"])
    assert {clip.signer for clip in held_out if clip.part == "test"} == {"001", "009"}


def test_lsa64_has_64_signs_of_different_names() -> None:
    assert len(set(lsa64.SIGNS)) == len(lsa64.SIGNS) == 64


def test_lsa64_that_is_not_there_or_twice(lsa: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no such folder"):
        list(lsa64.clips(tmp_path / "none"))
    with pytest.raises(CorpusError, match=r"no videos such as 001_001_001\.mp4"):
        list(lsa64.clips(tmp_path))
    with pytest.raises(CorpusError, match="test signer 011; the signers are 001, 009, 010"):
        list(lsa64.clips(lsa, test_signers=["011"]))
    cut = lsa.parent / "all_cut"
    cut.mkdir()
    (cut / "001_001_001.mp4").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"all_cut.*is in .*all too; name one of the folders"):
        list(lsa64.clips(lsa.parent))
    (lsa / "065_010_001.mp4").write_bytes(b"")
    with pytest.raises(CorpusError, match="signs 001 to 064"):
        list(lsa64.clips(lsa))


# Kaggle's parquet


TYPES = {"face": 468, "left_hand": 21, "pose": 33, "right_hand": 21}
FRAMES = [20, 21, 23]


def table_of(seed: int) -> dict[str, np.ndarray]:
    """The columns of one clip: 543 rows a frame, the left hand never seen, the right one not in the second frame."""
    rng = np.random.default_rng(seed)
    rows = [(frame, kind, k) for frame in FRAMES for kind, count in TYPES.items() for k in range(count)]
    xyz_R3 = rng.uniform(0, 1, (len(rows), 3))
    for row, (frame, kind, _) in enumerate(rows):
        if kind == "left_hand" or (kind == "right_hand" and frame == 21):
            xyz_R3[row] = np.nan
    return {
        "frame": np.array([row[0] for row in rows], dtype=np.int16),
        "row_id": np.array([f"{frame}-{kind}-{k}" for frame, kind, k in rows]),
        "type": np.array([row[1] for row in rows]),
        "landmark_index": np.array([row[2] for row in rows], dtype=np.int16),
        "x": xyz_R3[:, 0],
        "y": xyz_R3[:, 1],
        "z": xyz_R3[:, 2],
    }


def write_parquet(path: Path, columns: dict[str, np.ndarray]) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table({name: pyarrow.array(values) for name, values in columns.items()}), path)


@pytest.fixture
def kaggle(tmp_path: Path) -> Path:
    folder = tmp_path / "asl-signs"
    lines = [("26734", "1000035562", "blow"), ("28656", "1000106739", "wait"), ("26734", "100015657", "cloud")]
    for seed, (participant, sequence, _) in enumerate(lines):
        write_parquet(folder / "train_landmark_files" / participant / f"{sequence}.parquet", table_of(seed))
    with (folder / "train.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "participant_id", "sequence_id", "sign"])
        table.writerows([f"train_landmark_files/{p}/{s}.parquet", p, s, sign] for p, s, sign in lines)
    (folder / "sign_to_prediction_index_map.json").write_text('{"blow": 0, "wait": 1, "cloud": 2}')
    return folder


def test_kaggle_parquet(kaggle: Path) -> None:
    clips = list(kaggle_parquet.clips(kaggle))
    assert [(clip.id, clip.label, clip.signer, clip.part) for clip in clips] == [
        ("26734-1000035562", "blow", "26734", ""),
        ("28656-1000106739", "wait", "28656", ""),
        ("26734-100015657", "cloud", "26734", ""),
    ]
    for seed, clip in enumerate(clips):
        columns = table_of(seed)
        place = {name: k for k, name in enumerate(columns["row_id"])}
        assert clip.source.points == PERSON
        assert clip.source.size == (480, 640)
        np.testing.assert_allclose(clip.source.time_T, [0, 1 / 30, 3 / 30])
        pairs = {"nose": "pose-0", "left_eye": "pose-2", "right_mouth": "pose-10", "right_wrist": "pose-16"}
        pairs |= {"left_hip": "pose-23", "right_hip": "pose-24", "left_hand_wrist": "left_hand-0"}
        pairs |= {"right_hand_wrist": "right_hand-0", "right_hand_thumb_tip": "right_hand-4"}
        pairs |= {"right_hand_index_mcp": "right_hand-5", "right_hand_pinky_tip": "right_hand-20"}
        for ours, theirs in pairs.items():
            rows = [place[f"{frame}-{theirs}"] for frame in FRAMES]
            expected_TC = np.stack([columns[axis][rows] for axis in "xyz"], axis=1) * (480, 640, 480)
            chosen = clip.source.select([ours])
            np.testing.assert_allclose(chosen.coordinates_TKC[:, 0], expected_TC, rtol=1e-6)
            np.testing.assert_array_equal(chosen.presence_TK[:, 0], np.isfinite(expected_TC[:, 0]))


def test_kaggle_parquet_of_another_shape_rate_and_order(kaggle: Path) -> None:
    path = kaggle / "train_landmark_files" / "26734" / "1000035562.parquet"
    before = kaggle_parquet.read(path)
    other = kaggle_parquet.read(path, size=(640, 480), rate=15)
    np.testing.assert_allclose(other.coordinates_TKC, before.coordinates_TKC * (4 / 3, 3 / 4, 4 / 3), rtol=1e-6)
    np.testing.assert_allclose(other.time_T, before.time_T * 2)
    columns = table_of(0)
    shuffled = np.random.default_rng(0).permutation(len(columns["frame"]))
    write_parquet(path, {name: values[shuffled] for name, values in columns.items()})
    np.testing.assert_array_equal(kaggle_parquet.read(path).coordinates_TKC, before.coordinates_TKC)


def test_kaggle_parquet_without_depth_and_without_frames(kaggle: Path) -> None:
    path = kaggle / "flat.parquet"
    columns = table_of(0)
    before = kaggle_parquet.read(kaggle / "train_landmark_files" / "26734" / "1000035562.parquet")
    write_parquet(path, {**columns, "z": np.full(len(columns["z"]), np.nan)})
    flat = kaggle_parquet.read(path)
    np.testing.assert_array_equal(flat.presence_TK, before.presence_TK)
    assert not flat.coordinates_TKC[flat.presence_TK > 0][:, 2].any()
    write_parquet(path, {name: values[:0] for name, values in columns.items()})
    assert len(kaggle_parquet.read(path)) == 0


def test_kaggle_parquet_that_is_not_whole(kaggle: Path) -> None:
    path = kaggle / "train_landmark_files" / "28656" / "1000106739.parquet"
    columns = table_of(1)

    def refused(message: str) -> None:
        with pytest.raises(CorpusError, match=message) as error:
            list(kaggle_parquet.clips(kaggle))
        assert "\n" not in str(error.value)

    whole = path.read_bytes()
    for content in (b"", b"no table", whole[: len(whole) // 2], whole[:-8] + b"\0" * 8):
        path.write_bytes(content)
        refused(r"1000106739\.parquet: is no parquet file of landmarks, or damaged")
    write_parquet(path, {name: values for name, values in columns.items() if name != "type"})
    refused(r"1000106739\.parquet: has no column type")
    write_parquet(path, {**columns, "x": columns["row_id"]})
    refused(r"1000106739\.parquet: is no parquet file of landmarks")
    write_parquet(path, {**columns, "landmark_index": columns["landmark_index"] + 21})
    refused("holds points that Holistic does not have, of type '(face|left_hand)'")
    write_parquet(path, {**columns, "type": np.array(["foot"] * len(columns["type"]))})
    refused("of type 'foot'")
    path.unlink()
    refused(r"1000106739\.parquet: not there")
    table = kaggle / "train.csv"
    table.write_text(table.read_text().replace("wait", ""))
    refused(r"train\.csv: line 3 is not whole")
    table.write_text("path,participant_id,sign\n")
    refused(r"train\.csv: has no column sequence_id")
    table.write_bytes(b"\xff\xfe")
    refused(r"train\.csv: is not text")
    table.unlink()
    refused(r"train\.csv: cannot be read")


def test_kaggle_parquet_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from recipes.corpora import kaggle_parquet\n"
        "try:\n    next(kaggle_parquet.clips('.'))\nexcept ValueError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "parquet files need pyarrow: pip install 'saywave[parquet]'\n"


def test_ids_are_distinct(shrec: Path, lsa: Path) -> None:
    for clips in (shrec17.clips(shrec), lsa64.clips(lsa)):
        ids = [clip.id for clip in clips]
        assert all(one != other for one, other in pairwise(sorted(ids)))
        assert not any("/" in one for one in ids)
