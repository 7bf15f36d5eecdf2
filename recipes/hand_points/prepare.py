"""hand_points: an open hand, a fist, a pointing finger, and four motions of its tip, for a model that watches a webcam.

The corpus is that of hand-gesture-recognition-using-mediapipe (Takahashi, Apache-2.0): `keypoint.csv` has hands of 21
points, wrist at 0, largest coordinate 1, in the order in which they were recorded; `point_history.csv` has windows of
16 places of the index finger's tip, which overlap and so are tracks of up to six seconds. Nothing in it is a hand that
makes a motion, so clips are composed, and called so: real hands, one after the other as they were recorded, carried
along real tracks. Streams have several of them, with moments without a hand and quick changes from one to the next.

Neither people nor recordings are told apart in the corpus. Tracks are divided whole between training, development and
test; hands by stretches of consecutive ones, with some left out at the borders, since neighbours are alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from features.landmarks import EITHER_HAND, HAND, Landmarks
from recipes.landmark_clips import write_clip
from training.manifests import ManifestError, Segment, write

KIND = "gestures"
RESULT = ("accuracy", "event F")
DATA_NOTE = (
    "hands and fingertip tracks of hand-gesture-recognition-using-mediapipe by Kazuhito Takahashi, Apache-2.0, "
    "composed to clips and streams"
)
SHAPES = ("open", "close", "point")  # the classes of keypoint.csv in order
MOTIONS = ("still", "clockwise", "counterclockwise", "move")  # the classes of point_history.csv in order
LABELS = ("open", "close", "point", "clockwise", "counterclockwise", "move")
IMAGE = (960, 540)  # pixels of the images that the tracks were taken from
FPS = 30  # of a webcam; the corpus does not tell
WINDOW = 16  # places in a row of point_history.csv
PALM = 0.63  # length from the wrist to the middle finger's first joint in keypoint.csv, on average
PALM_PIXELS = (45.0, 120.0)
CLIP_FRAMES = (WINDOW, 60)
GAP_FRAMES = (10, 60)
CHANGE_FRAMES = (3, 9)
STRETCH, BORDER = 60, 5  # hands in a stretch, and left out at either end of it
SHARES = (0.7, 0.15, 0.15)
TIP, WRIST = HAND.index("index_tip"), HAND.index("wrist")


class Material(NamedTuple):
    """What clips are composed of: runs of hands (N,21,2) by shape, and tracks (N,2) in pixels by motion."""

    hands: dict[str, list[np.ndarray]]
    tracks: dict[str, list[np.ndarray]]


def prepare(data: Path, out: Path, *, streams: int = 400, test_streams: int = 60, clips: int = 100) -> None:
    """Write the landmarks to `out/landmarks` and the manifests to `out/manifests`.

    These are `train` and `dev`, of streams, `test_clips`, of single gestures, and `test_streams`.

    Args:
        data: Folder with the two `.csv` files.
        out: Where landmarks and manifests go.
        streams: Streams to train on; a sixth of as many to choose the best weights on.
        test_streams: Streams to test on, of six gestures each.
        clips: Clips of each label to test on.

    Raises:
        ManifestError: a file is missing or damaged.
    """
    (out / "landmarks").mkdir(parents=True, exist_ok=True)
    parts = dict(zip(("train", "dev", "test"), divided(data), strict=True))
    for name, many in (("train", streams), ("dev", max(1, streams // 6)), ("test", test_streams)):
        cuts = []
        for number in range(many):
            rng = np.random.default_rng([len(name), number])
            landmarks, segments = stream(parts[name], rng.permutation(LABELS).tolist(), rng)
            cuts.append(write_clip(out / "landmarks" / f"{name}-{number:04d}.npz", landmarks, segments))
        write(out / "manifests" / f"{'test_streams' if name == 'test' else name}.jsonl.gz", cuts)
    cuts = []
    for label in LABELS:
        for number in range(clips):
            rng = np.random.default_rng([LABELS.index(label), number])
            landmarks = hand_landmarks(gesture(parts["test"], label, rng))
            cuts.append(write_clip(out / "landmarks" / f"clip-{label}-{number:03d}.npz", landmarks, label))
    write(out / "manifests" / "test_clips.jsonl.gz", cuts)


def stream(material: Material, labels: Sequence[str], rng: np.random.Generator) -> tuple[Landmarks, list[Segment]]:
    """One gesture after the other: half of the time the hand goes away in between, else it changes quickly."""
    pieces: list[np.ndarray] = []
    segments: list[Segment] = []
    frames = 0

    def add(piece_TKC: np.ndarray) -> None:
        nonlocal frames
        pieces.append(piece_TKC)
        frames += len(piece_TKC)

    absent = np.full((1, len(HAND), 2), np.nan)
    add(absent.repeat(rng.integers(*GAP_FRAMES), axis=0))
    for label in labels:
        hand_TKC = gesture(material, label, rng)
        if rng.random() < 0.5:
            add(absent.repeat(rng.integers(*GAP_FRAMES), axis=0))
        elif not np.isnan(pieces[-1][-1]).any():
            # From where the hand is, so that it does not jump.
            hand_TKC = hand_TKC + (pieces[-1][-1, WRIST] - hand_TKC[0, WRIST])
            way_T = np.linspace(0, 1, rng.integers(*CHANGE_FRAMES) + 2)[1:-1, None, None]
            add(pieces[-1][-1] + way_T * (hand_TKC[0] - pieces[-1][-1]))
        segments.append(Segment(frames / FPS, (frames + len(hand_TKC)) / FPS, label))
        add(hand_TKC)
    add(absent.repeat(rng.integers(*GAP_FRAMES), axis=0))
    return hand_landmarks(np.concatenate(pieces)), segments


def gesture(material: Material, label: str, rng: np.random.Generator) -> np.ndarray:
    """Places (T,21,2) in pixels of a hand of the label's shape, carried along a track of its motion."""
    shape = label if label in SHAPES else "point"
    motion = label if label in MOTIONS else "still"
    if shape != "point" and rng.random() < 0.3:
        motion = "move"  # an open hand on its way is an open hand
    tracks = material.tracks[motion]
    track_TC = tracks[rng.integers(len(tracks))]
    frames = min(len(track_TC), int(rng.integers(*CLIP_FRAMES)))
    first = rng.integers(len(track_TC) - frames + 1)
    track_TC = track_TC[first : first + frames] * rng.uniform(0.7, 1.4)
    runs = material.hands[shape]
    hands_NKC = runs[rng.integers(len(runs))]
    # There and back again, from a hand drawn.
    there = rng.integers(len(hands_NKC)) + np.arange(frames)
    there = np.abs((there + len(hands_NKC) - 1) % (2 * len(hands_NKC) - 2) - len(hands_NKC) + 1)
    hand_TKC = hands_NKC[there] * (rng.uniform(*PALM_PIXELS) / PALM)
    carried = TIP if shape == "point" else WRIST
    place_C = rng.uniform((0.25, 0.25), (0.75, 0.75)) * IMAGE
    return hand_TKC - hand_TKC[:, carried : carried + 1] + (place_C + track_TC - track_TC[0])[:, None]


def hand_landmarks(places_TKC: np.ndarray) -> Landmarks:
    """A hand without a side, absent where its places are NaN."""
    frames = len(places_TKC)
    coordinates_TKC = np.concatenate([places_TKC, np.zeros((frames, len(HAND), 1))], axis=2)
    presence_TK = np.isfinite(places_TKC).all(axis=2).astype(np.float32)
    return Landmarks(coordinates_TKC, presence_TK, np.arange(frames) / FPS, EITHER_HAND, size=IMAGE)


def divided(data: Path) -> list[Material]:
    """The material of training, development and test."""
    shapes, hands_NKC = table(data / "keypoint.csv", 2 * len(HAND))
    motions, windows_NTC = table(data / "point_history.csv", 2 * WINDOW)
    found = [Material({}, {}) for _ in SHARES]
    rng = np.random.default_rng(0)
    for number, shape in enumerate(SHAPES):
        own = hands_NKC[shapes == number]
        runs = [own[k : k + STRETCH][BORDER:-BORDER] for k in range(0, len(own) - 2 * BORDER - 1, STRETCH)]
        for part, some in zip(found, drawn([one for one in runs if len(one) > 1], rng), strict=True):
            part.hands[shape] = some
    for number, motion in enumerate(MOTIONS):
        tracks = [one * IMAGE for one in stitched(windows_NTC[motions == number])]
        for part, some in zip(found, drawn(tracks, rng), strict=True):
            part.tracks[motion] = some
    if not all(some for part in found for kind in part for some in kind.values()):
        raise ManifestError(f"{data}: too little of a class to divide it in three; fetch the files anew")
    return found


def drawn(pieces: list[np.ndarray], rng: np.random.Generator) -> list[list[np.ndarray]]:
    """Pieces in three parts, each with about its share of all frames."""
    pieces = [pieces[int(k)] for k in rng.permutation(len(pieces))]
    middle = np.cumsum([len(one) for one in pieces]) - np.array([len(one) for one in pieces]) / 2
    ends = np.cumsum(SHARES)[:-1] * sum(len(one) for one in pieces)
    return [[one for one, k in zip(pieces, np.searchsorted(ends, middle), strict=True) if k == p] for p in range(3)]


def stitched(windows_NTC: np.ndarray) -> list[np.ndarray]:
    """Tracks of which the windows were cut: a window that goes on where the one before was adds its last place."""
    tracks: list[list[np.ndarray]] = []
    steps_NTC = np.diff(windows_NTC, axis=1)
    for number, window_TC in enumerate(windows_NTC):
        if number and np.abs(steps_NTC[number, :-1] - steps_NTC[number - 1, 1:]).max() < 1e-6:
            tracks[-1].append(tracks[-1][-1] + steps_NTC[number, -1])
        else:
            tracks.append(list(window_TC))
    return [np.array(track) for track in tracks]


def table(path: Path, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Class numbers (N) and points (N, columns / 2, 2) of a file with the class first.

    Raises:
        ManifestError: the file is not there, or a line has other columns.
    """
    if not path.is_file():
        raise ManifestError(f"{path}: no such file; put keypoint.csv and point_history.csv here")
    try:
        values = np.loadtxt(path, delimiter=",", ndmin=2)
    except ValueError as error:
        raise ManifestError(f"{path}: not a table of numbers ({error}); fetch the file anew") from error
    if values.shape[1] != 1 + columns:
        raise ManifestError(f"{path}: {values.shape[1]} columns, not {1 + columns}; fetch the file anew")
    return values[:, 0].astype(int), values[:, 1:].reshape(len(values), -1, 2)
