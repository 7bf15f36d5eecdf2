"""What `gestures train` does unless told otherwise: settings for some tens to some hundreds of clips from a camera.

Few clips are made the most of by changing them: other distances and tilts of the camera, other paces, frames and hands
that the landmarker loses. Nothing is mirrored, because many gestures mean something else on the other side.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from encoders.blstm import EncoderConfig
from features.landmark_augment import LandmarkAugmentConfig
from gestures.joining import JoinConfig
from gestures.train import TrainConfig
from gestures.train_data import HeadConfig
from training.config import LoopConfig, OptimizerConfig
from training.latency import LatencyConfig


def _augmentation() -> LandmarkAugmentConfig:
    return LandmarkAugmentConfig(
        trim_ms=100.0,
        speed=(0.75, 1.33),
        time_warp=0.2,
        yaw_degrees=15.0,
        rotation_degrees=10.0,
        scale=(0.8, 1.25),
        shear=0.1,
        frame_rate=(12.0, 30.0),
        frame_dropout=0.05,
        jitter=0.01,
        hand_dropout=0.1,
        finger_dropout=0.02,
    )


def _encoder() -> EncoderConfig:
    return EncoderConfig(layers=2, hidden_size=64, dropout=0.3, subsampling=(1,))


def _loop() -> LoopConfig:
    return LoopConfig(epochs=120, batch_frames=400, patience=40, average=0.98)


@dataclass
class ClipTraining(TrainConfig):
    """Every setting of a training run, for a model that names clips.

    Args:
        features: Landmarks to frames.
        augment: What training does to a clip.
        join: How clips are joined to streams.
        head: What the scores are.
        encoder: The network.
        optimizer: How its weights move.
        loop: How long, in what batches, from which seed.
        latency: How much of the future a batch sees; for a model that is to watch streams.
    """

    augment: LandmarkAugmentConfig = field(default_factory=_augmentation)
    head: HeadConfig = field(default_factory=lambda: HeadConfig(smoothing=0.1))
    encoder: EncoderConfig = field(default_factory=_encoder)
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(learning_rate=2e-3, warmup_steps=50))
    loop: LoopConfig = field(default_factory=_loop)


@dataclass
class SpotTraining(ClipTraining):
    """The same for a model that spots gestures on a stream: streams joined of clips, at any latency, and `none`.

    Args:
        features: Landmarks to frames.
        augment: What training does to a clip.
        join: How clips are joined to streams.
        head: What the scores are.
        encoder: The network.
        optimizer: How its weights move.
        loop: How long, in what batches, from which seed.
        latency: How much of the future a batch sees.
    """

    join: JoinConfig = field(default_factory=lambda: JoinConfig(share=0.8))
    head: HeadConfig = field(default_factory=lambda: HeadConfig(none=True, smoothing=0.1))
    latency: LatencyConfig = field(default_factory=lambda: LatencyConfig(chunk_ms=(100.0, 1000.0)))
