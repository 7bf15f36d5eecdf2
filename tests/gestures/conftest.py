"""Three gestures of a right hand, made by arithmetic, and small models of them: one that spots, others untrained.

What trains is imported by the fixtures that train: tests of files alone do not wait for torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from features import landmark_files
from features.landmark_config import GroupConfig, LandmarkConfig
from features.landmarks import PERSON, RIGHT_HAND, Landmarks

if TYPE_CHECKING:
    from gestures.recognizer import Recognizer

FPS = 25.0
SIZE = (640, 480)
LABELS = ("circle", "none", "raise", "wave")
SHOULDERS = ("left_shoulder", "right_shoulder")
# The hand's place in shoulder widths: few features, so that what trains here does so in seconds.
SMALL = LandmarkConfig(
    fps=12.5,
    groups=(GroupConfig(points=("right_hand_wrist", "right_hand_index_tip"), origin=SHOULDERS, unit=SHOULDERS),),
    repair_ms=160.0,
)
SMALL_SETTINGS = [
    "--features.fps=12.5",
    "--features.repair_ms=160",
    '--features.groups=[{"points": ["right_hand_wrist", "right_hand_index_tip"], '
    '"origin": ["left_shoulder", "right_shoulder"], "unit": ["left_shoulder", "right_shoulder"]}]',
    "--encoder.layers=1",
    "--encoder.hidden_size=8",
    "--loop.epochs=1",
    "--loop.workers=0",
    "--loop.threads=1",
]


def make_clip(label: str, *, seed: int = 0, seconds: float = 1.2) -> Landmarks:
    """A person who makes one of LABELS with the right hand, `seconds` long, at 25 frames a second."""
    rng = np.random.default_rng(seed)
    time_T = np.arange(round(seconds * FPS)) / FPS
    turn_T = 2 * np.pi * (time_T / seconds + rng.uniform(-0.03, 0.03))
    reach = rng.uniform(55, 75)
    still_T = np.zeros_like(time_T)
    x_T, y_T = {
        "circle": (reach * np.sin(turn_T), reach * (1 - np.cos(turn_T))),
        "wave": (reach * np.sin(2 * turn_T), still_T),
        "raise": (still_T, 2 * reach * np.sin(turn_T / 2)),
        "none": (still_T, still_T),
    }[label]
    places_K2 = rng.normal((320, 240), (5, 5), (len(PERSON), 2))
    coordinates_TKC = np.zeros((len(time_T), len(PERSON), 3))
    coordinates_TKC[..., :2] = places_K2
    width = rng.uniform(95, 105)
    for name, (x, y) in {"left_shoulder": (width / 2, 0), "right_shoulder": (-width / 2, 0)}.items():
        coordinates_TKC[:, PERSON.index(name), :2] = (320 + x, 200 + y)
    hand = [PERSON.index(name) for name in RIGHT_HAND]
    offsets_H2 = np.stack([np.linspace(-12, 12, len(hand)), -np.linspace(0, 40, len(hand))], axis=1)
    centre_T2 = np.stack([240 + x_T, 330 - y_T], axis=1)
    coordinates_TKC[:, hand, :2] = centre_T2[:, None] + offsets_H2
    coordinates_TKC[..., :2] += rng.normal(0, 1.0, coordinates_TKC[..., :2].shape)
    return Landmarks(coordinates_TKC, np.ones(coordinates_TKC.shape[:2]), time_T, PERSON, SIZE)


def make_folder(
    folder: Path,
    count: int,
    *,
    labels: Sequence[str] = LABELS,
    signers: Sequence[str] = ("anna", "ben", "cleo", "dora", "emil"),
    seed: int = 0,
) -> Path:
    """A folder of landmark files, LABEL/SIGNER_NUMBER.pose, `count` of each label."""
    for row, label in enumerate(labels):
        (folder / label).mkdir(parents=True)
        for k in range(count):
            clip = make_clip(label, seed=10_000 * seed + 100 * row + k)
            landmark_files.write(folder / label / f"{signers[k % len(signers)]}_{k}.pose", clip)
    return folder


@pytest.fixture(scope="session")
def clip() -> Callable[..., Landmarks]:
    return make_clip


@pytest.fixture(scope="session")
def clip_folder() -> Callable[..., Path]:
    return make_folder


@pytest.fixture(scope="session")
def small_settings() -> list[str]:
    """Options of `gestures train` for a tiny model, trained for one pass."""
    return list(SMALL_SETTINGS)


@pytest.fixture(scope="session")
def moves(made_once: Callable[..., Path]) -> Path:
    """The folder `train` holds 12 clips of each label by five signers, `test` 5 others."""

    def fill(folder: Path) -> None:
        make_folder(folder / "train", 12, seed=1)
        make_folder(folder / "test", 5, signers=("fred", "gina"), seed=2)

    return made_once("moves", fill)


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a model directory with random weights: (labels, kind) -> its directory."""
    import torch

    from encoders.blstm import EncoderConfig
    from encoders.export import export
    from encoders.network import Network
    from features.normalize import LandmarkExtractor, PresentStatistics
    from inference import model as models

    def make(labels: Sequence[str], kind: str = models.CLASS, *, seed: int = 0, threshold: float = 0.0) -> Path:
        statistics = PresentStatistics()
        statistics.add(LandmarkExtractor(SMALL).raw(make_clip("circle")))
        extractor = LandmarkExtractor(SMALL, mean=statistics.mean, std=statistics.std)
        torch.manual_seed(seed)
        config = EncoderConfig(layers=1, hidden_size=8, subsampling=[1])
        exported = export(Network(extractor.num_features, len(labels), config, head=kind))
        head: dict = {"kind": kind}
        if kind == models.CLASS:
            head.update(window_ms=800.0, hop_ms=80.0, threshold=threshold)
        return models.save(
            tmp_path_factory.mktemp("untrained") / "model",
            graph=exported.graph,
            weights=exported.weights,
            extractor=extractor,
            labels=labels,
            encoder={"layers": 1, "hidden_size": 8, "subsampling": [1]},
            head=head,
            tokens={"unit": "gesture"},
            card="",
        ).directory

    return make


@pytest.fixture(scope="session")
def moves_model(moves: Path, made_once: Callable[..., Path]) -> Path:
    """The directory of a model that has learnt to spot the three gestures."""
    from encoders.blstm import EncoderConfig
    from gestures.clips import read_clips
    from gestures.joining import JoinConfig
    from gestures.train import TrainConfig, train
    from gestures.train_data import HeadConfig
    from training.config import LoopConfig, OptimizerConfig
    from training.latency import LatencyConfig
    from training.splits import split_labelled

    config = TrainConfig(
        features=SMALL,
        join=JoinConfig(share=0.8, clips=(1, 3), pause_ms=(200.0, 1200.0)),
        head=HeadConfig(none=True, window_ms=1200.0, hop_ms=80.0, windows=12),
        encoder=EncoderConfig(layers=1, hidden_size=32, dropout=0.0, subsampling=[1]),
        optimizer=OptimizerConfig(learning_rate=0.02, warmup_steps=10),
        loop=LoopConfig(epochs=12, batch_frames=240, interval_batches=12, workers=0, threads=1, patience=0),
        latency=LatencyConfig(chunk_ms=(160.0, 640.0)),
    )

    def fill(out: Path) -> None:
        items, dev, _ = split_labelled(read_clips(moves / "train", out / "landmarks").items, 0.2)
        train(config, train=items, dev=dev, out=out)

    return made_once("spotting", fill) / "model"


@pytest.fixture(scope="session")
def moves_recognizer(moves_model: Path) -> Recognizer:
    from gestures.recognizer import Recognizer

    return Recognizer.open(moves_model)


@pytest.fixture(scope="session")
def short_video(shared_data: Path) -> Callable[..., Path]:
    """Write the first frames of a real clip of a person: (path, frames) -> path."""
    av = pytest.importorskip("av", reason="PyAV is not installed: pip install 'saywave[video]'")
    pytest.importorskip("mediapipe", reason="MediaPipe is not installed: pip install 'saywave[video]'")
    with av.open(str(shared_data / "video" / "sign.mp4")) as source:
        pictures = [frame for frame, _ in zip(source.decode(video=0), range(8), strict=False)]

    def write(path: Path, frames: int = 4) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as target:
            stream = target.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = pictures[0].width, pictures[0].height, "yuv420p"
            stream.bit_rate = 4_000_000
            for picture in pictures[:frames]:
                target.mux(stream.encode(av.VideoFrame.from_ndarray(picture.to_ndarray(format="rgb24"))))
            target.mux(stream.encode())
        return path

    return write
