"""Landmark files: numbers that come back as they were, arrays of others, and files that are damaged or cannot be."""

from __future__ import annotations

import errno
import os
import runpy
import subprocess
import sys
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import pose_file
from features.landmark_files import SUFFIXES, from_array, read, write
from features.landmarks import BODY, EITHER_HAND, PERSON, RIGHT_HAND, LandmarkError, Landmarks

assert_same, example = itemgetter("assert_same", "example")(
    runpy.run_path(str(Path(__file__).with_name("example_landmarks.py")))
)


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
