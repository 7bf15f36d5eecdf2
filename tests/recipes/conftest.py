"""Miniatures of corpora in their publishers' layouts, of noise instead of speech: what is tested is who goes where."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recipes.natops import prepare as natops

SPEAKERS = ("anna", "boris")


@pytest.fixture(scope="session")
def small_yesno(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All 60 recordings that yesno has, by other names, of 0.3 s."""
    folder = tmp_path_factory.mktemp("yesno") / "waves_yesno"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for signs in itertools.islice(itertools.product("01", repeat=8), 0, 240, 4):
        soundfile.write(folder / f"{'_'.join(signs)}.wav", 0.1 * rng.standard_normal(2400), 8000)
    return folder.parent


@pytest.fixture(scope="session")
def small_fsdd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two speakers, twelve clips of each digit, of 0.05 to 0.1 s."""
    folder = tmp_path_factory.mktemp("fsdd") / "recordings"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for digit, speaker, index in itertools.product(range(10), SPEAKERS, range(12)):
        samples = 0.1 * rng.standard_normal(rng.integers(400, 800))
        soundfile.write(folder / f"{digit}_{speaker}_{index}.wav", samples, 8000)
    return folder.parent


@pytest.fixture(scope="session")
def natops_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("natops")
    rng = np.random.default_rng(0)
    for part, count in (("TRAIN", 12), ("TEST", 2)):
        lines = ["#a comment", "@problemName NATOPS", "@data"]
        for number in range(6 * count):
            label = number % 6 + 1
            values_DT = np.sin(label * np.linspace(0, 3, 8)) + 0.1 * rng.standard_normal((24, 8))
            dimensions = [",".join(f"{value:.6f}" for value in row) for row in values_DT]
            lines.append(":".join([*dimensions, f"{label}.0"]))
        (folder / f"NATOPS_{part}.ts").write_text("\n".join(lines) + "\n", encoding="latin-1")
    return folder


@pytest.fixture(scope="session")
def small_clips() -> dict[str, int]:
    """How many clips the parts of the small corpus have."""
    return {"TRAIN": 72, "TEST": 12}


@pytest.fixture
def small_natops(natops_files: Path, small_clips: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve clips of each of the six signals to train on, and two to test on, of eight frames."""
    monkeypatch.setattr(natops, "CLIPS", small_clips)
    return natops_files


@pytest.fixture(scope="session")
def small_hand_points(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 hands of each shape, and ten tracks of each motion in windows of 16 places."""
    folder = tmp_path_factory.mktemp("hand_points")
    rng = np.random.default_rng(0)
    shapes_3HC = rng.uniform(-1, 1, (3, 21, 2))
    shapes_3HC[:, 0] = 0
    hands = [
        [shape, *(shapes_3HC[shape] + 0.01 * rng.standard_normal((21, 2))).ravel()]
        for shape in range(3)
        for _ in range(600)
    ]
    np.savetxt(folder / "keypoint.csv", hands, delimiter=",", fmt="%.9g")
    windows = []
    for motion in range(4):
        for _ in range(10):
            track_TC = np.cumsum(rng.standard_normal((22, 2)), axis=0) / 960
            windows += [[motion, *(track_TC[k : k + 16] - track_TC[k]).ravel()] for k in range(7)]
    np.savetxt(folder / "point_history.csv", windows, delimiter=",", fmt="%.9g")
    return folder


@pytest.fixture(scope="session")
def small_utd_mhad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All 861 skeletons of UTD-MHAD by name, of six frames."""
    from scipy.io import savemat

    folder = tmp_path_factory.mktemp("utd_mhad") / "Skeleton"
    folder.mkdir()
    rng = np.random.default_rng(0)
    names = [f"a{a}_s{s}_t{t}_skeleton.mat" for a, s, t in itertools.product(range(1, 28), range(1, 9), range(1, 5))]
    for name in names[:-3]:  # the publisher left three out
        savemat(folder / name, {"d_skel": rng.standard_normal((20, 3, 6))})
    return folder.parent
