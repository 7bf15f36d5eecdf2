"""natops: six signals of aircraft handling, hands and arms followed by sensors, 180 clips to train and 180 to test on.

The corpus as the UEA archive of time series distributes it: `NATOPS_TRAIN.ts` and `NATOPS_TEST.ts`, 24 coordinates of
eight points in 51 frames a clip, official split. Who made a signal is not told. All clips of the training part train,
the weights at the end are kept, and the development part, a sixth of the same clips, is only there to be watched.
Settings are chosen with `--prepare.held_out_group` 1 to 5: clips that begin with the arms in like places, which
are those of a few people, are taken out of training and make the development part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from lhotse import MonoCut

from features.landmarks import Landmarks
from recipes.landmark_clips import write_clip
from training.manifests import ManifestError, write

KIND = "gestures"
RESULT = "accuracy"
DATA_NOTE = "NATOPS (Ghouaiel et al., UEA archive); its terms are not stated, so a model of it is not shipped"
POINTS = tuple(
    f"{side}_{part}" for part in ("hand_tip", "elbow", "wrist", "hand_thumb_tip") for side in ("left", "right")
)
LABELS = ("i_have_command", "all_clear", "not_clear", "spread_wings", "fold_wings", "lock_wings")
NAMES = {f"{number}.0": label for number, label in enumerate(LABELS, start=1)}
FPS = 20  # of the recordings; the clips were all brought to 51 frames
CLIPS = {"TRAIN": 180, "TEST": 180}
DEV_EVERY = 6
SPLIT_SEED = 0
ARMS = tuple(POINTS.index(f"{side}_{part}") for part in ("elbow", "wrist") for side in ("left", "right"))
GROUPS = 5
STRAGGLERS = 4  # clips at most of a cluster that is no group


def prepare(data: Path, out: Path, *, held_out_group: int = 0) -> None:
    """Write the landmarks to `out/landmarks` and the manifests `train`, `dev` and `test` to `out/manifests`.

    Args:
        data: Folder with the two `.ts` files.
        out: Where landmarks and manifests go.
        held_out_group: 1 to 5: which group of like bodies is the development part; 0 trains on all.

    Raises:
        ManifestError: a file is missing or damaged, or there is no such group.
    """
    manifests = out / "manifests"
    (out / "landmarks").mkdir(parents=True, exist_ok=True)
    clips_of = {part: all_clips(data, part.upper()) for part in ("train", "test")}
    cuts: dict[str, list[MonoCut]] = {}
    for part, labelled in clips_of.items():
        cuts[part] = []
        for number, (landmarks, label) in enumerate(labelled):
            cuts[part].append(write_clip(out / "landmarks" / f"{part}-{number:03d}.npz", landmarks, label))
    dev = held_out(clips_of["train"], held_out_group)
    away = dev if held_out_group else ()
    write(manifests / "train.jsonl.gz", [one for k, one in enumerate(cuts["train"]) if k not in away])
    write(manifests / "dev.jsonl.gz", [cuts["train"][k] for k in sorted(dev)])
    write(manifests / "test.jsonl.gz", cuts["test"])


def held_out(labelled: Sequence[tuple[Landmarks, str]], group: int = 0) -> set[int]:
    """Indices of the development clips: those of a group of like bodies; for 0, of each label one in `DEV_EVERY`.

    Raises:
        ManifestError: there is no such group.
    """
    if not 0 <= group <= GROUPS:
        raise ManifestError(f"prepare.held_out_group is {group}; give 1 to {GROUPS}, or 0 for none")
    if group:
        return {int(k) for k in np.flatnonzero(groups(labelled) == group)}
    labels = [label for _, label in labelled]
    order = np.random.default_rng(SPLIT_SEED).permutation(len(labels))
    chosen: set[int] = set()
    for label in sorted(set(labels)):
        chosen.update([int(k) for k in order if labels[k] == label][::DEV_EVERY])
    return chosen


def groups(labelled: Sequence[tuple[Landmarks, str]]) -> np.ndarray:
    """Group of each clip, 1 to 5 from few clips to many, by where the arms are at the beginning; 0 for stragglers.

    Ward's clustering of elbows and wrists. The numbers of clips, and that each signal is there about as often as any
    other, say that a group is one person or a few: with 18 clips of each of ten people, 36 are two.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    arms_NF = np.stack([clip.coordinates_TKC[:3, ARMS].mean(axis=0).ravel() for clip, _ in labelled])
    tree = linkage(arms_NF, "ward")
    for clusters in range(GROUPS, len(labelled) + 1):
        cluster_N = fcluster(tree, clusters, "maxclust")
        sizes = np.bincount(cluster_N)
        large = [int(k) for k in np.argsort(sizes, kind="stable") if sizes[k] > STRAGGLERS]
        if len(large) >= GROUPS:
            break
    number = {cluster: place for place, cluster in enumerate(large, start=1)}
    return np.array([number.get(int(cluster), 0) for cluster in cluster_N])


def all_clips(data: Path, part: str) -> list[tuple[Landmarks, str]]:
    """The clips of `NATOPS_{part}.ts`, every one, as `clips` gives them.

    Raises:
        ManifestError: the file is missing or damaged, or has not all of its clips.
    """
    path = data / f"NATOPS_{part}.ts"
    found = list(clips(path))
    if len(found) != CLIPS[part]:
        raise ManifestError(f"{path}: has {len(found)} clips, not {CLIPS[part]}; fetch the file anew")
    return found


def clips(path: Path) -> Iterator[tuple[Landmarks, str]]:
    """The clips of a `.ts` file with their labels. The corpus counts y upwards, landmarks count it downwards.

    Raises:
        ManifestError: the file is not there, or a line is not a clip.
    """
    if not path.is_file():
        raise ManifestError(f"{path}: no such file; unpack NATOPS of the UEA archive here")
    lines = path.read_text(encoding="latin-1").splitlines()
    starts = [number for number, line in enumerate(lines, start=1) if line.strip().lower() == "@data"]
    if not starts:
        raise ManifestError(f"{path}: no line says @data; fetch the file anew")
    for number, line in enumerate(lines[starts[0] :], start=starts[0] + 1):
        if not line.strip():
            continue
        *dimensions, label = line.strip().split(":")
        try:
            values_DT = np.array([dimension.split(",") for dimension in dimensions], dtype=np.float32)
            name = NAMES[label.strip()]
        except (ValueError, KeyError) as error:
            raise ManifestError(f"{path}: line {number} is not a clip of NATOPS; fetch the file anew") from error
        if values_DT.ndim != 2 or len(values_DT) != 3 * len(POINTS):
            raise ManifestError(f"{path}: line {number} has {len(dimensions)} dimensions, not {3 * len(POINTS)}")
        coordinates_TKC = values_DT.T.reshape(-1, len(POINTS), 3) * np.array([1, -1, 1], dtype=np.float32)
        frames = len(coordinates_TKC)
        presence_TK = np.ones((frames, len(POINTS)), dtype=np.float32)
        yield Landmarks(coordinates_TKC, presence_TK, np.arange(frames) / FPS, POINTS), name
