"""utd_mhad: 27 actions of eight people, skeletons of 20 joints by a Kinect; odd people train, even ones test.

The corpus as its publisher distributes the skeletons: `a{action}_s{subject}_t{trial}_skeleton.mat`, 861 files. The
split is the usual one across subjects (Chen et al. 2015). All four odd subjects train, the weights at the end are kept,
and the development part, a trial of each action by each of them, is only there to be watched. Settings are chosen with
`--prepare.dev_subjects '[7]'`, which takes a subject out of training.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from features.landmarks import Landmarks
from recipes.landmark_clips import write_clip
from training.manifests import ManifestError, write

KIND = "gestures"
RESULT = "accuracy"
DATA_NOTE = "UTD-MHAD (Chen et al. 2015), open for research; the copy used states no terms, so a model is not shipped"
NAME = re.compile(r"a(\d+)_s(\d+)_t(\d+)_skeleton\.mat")
FILES = 861
FPS = 30
POINTS = (
    "head", "shoulder_center", "spine", "hip_center",
    *(f"{side}_{part}" for side in ("left", "right") for part in ("shoulder", "elbow", "wrist", "hand")),
    *(f"{side}_{part}" for side in ("left", "right") for part in ("hip", "knee", "ankle", "foot")),
)  # fmt: skip
LABELS = (
    "swipe_left", "swipe_right", "wave", "clap", "throw", "arm_cross", "basketball_shoot", "draw_x",
    "draw_circle_clockwise", "draw_circle_counterclockwise", "draw_triangle", "bowling", "boxing", "baseball_swing",
    "tennis_swing", "arm_curl", "tennis_serve", "push", "knock", "catch", "pickup_and_throw", "jog", "walk",
    "sit_to_stand", "stand_to_sit", "lunge", "squat",
)  # fmt: skip


def prepare(data: Path, out: Path, *, dev_subjects: tuple[int, ...] = ()) -> None:
    """Write the landmarks to `out/landmarks` and the manifests `train`, `dev` and `test` to `out/manifests`.

    Args:
        data: Folder with the skeleton files, in subfolders or not.
        out: Where landmarks and manifests go.
        dev_subjects: Which of the subjects 1, 3, 5 and 7 are the development part; none trains on all four.

    Raises:
        ManifestError: files are missing or damaged, or no one is left to train on.
    """
    paths = {path.name: path for path in data.rglob("*_skeleton.mat") if NAME.fullmatch(path.name)}
    if len(paths) != FILES:
        found = f"{len(paths)} files such as a1_s1_t1_skeleton.mat, not {FILES}"
        raise ManifestError(f"{data}: {found}; unpack Skeleton.zip of UTD-MHAD here")
    if not set(dev_subjects) < {1, 3, 5, 7}:
        raise ManifestError(f"prepare.dev_subjects is {list(dev_subjects)}; some of 1, 3, 5 and 7 are to choose from")
    (out / "landmarks").mkdir(parents=True, exist_ok=True)
    cuts = {"train": [], "dev": [], "test": []}
    for name in sorted(paths):
        action, subject, trial = (int(number) for number in NAME.fullmatch(name).groups())
        path = out / "landmarks" / f"{name.removesuffix('_skeleton.mat')}.npz"
        part = "test" if subject % 2 == 0 else "dev" if subject in dev_subjects else "train"
        cuts[part].append(write_clip(path, skeleton(paths[name]), LABELS[action - 1], signer=f"s{subject}"))
        if part == "train" and not dev_subjects and trial == 1:
            cuts["dev"].append(cuts["train"][-1])
    for part, some in cuts.items():
        write(out / "manifests" / f"{part}.jsonl.gz", some)


def skeleton(path: Path) -> Landmarks:
    """The joints of one recording in metres; the Kinect counts y upwards, landmarks count it downwards.

    Raises:
        ManifestError: the file holds no skeleton.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        joints_KCT = loadmat(path)["d_skel"].astype(np.float32)
    except (MatReadError, ValueError, KeyError, OSError, TypeError, NotImplementedError) as error:
        raise ManifestError(f"{path}: holds no skeleton ({error}); fetch the file anew") from error
    if joints_KCT.ndim != 3 or joints_KCT.shape[:2] != (len(POINTS), 3):
        raise ManifestError(f"{path}: d_skel has shape {joints_KCT.shape}, not ({len(POINTS)}, 3, frames)")
    coordinates_TKC = joints_KCT.transpose(2, 0, 1) * np.array([1, -1, 1], dtype=np.float32)
    frames = len(coordinates_TKC)
    return Landmarks(coordinates_TKC, np.ones((frames, len(POINTS)), np.float32), np.arange(frames) / FPS, POINTS)
