"""Clips of landmarks and their labels become a model directory: the gesture side of training.

With `gestures.train_data` and `gestures.train_cli` the one place in `gestures` that imports torch. Frames are made by
the same extractor that reads files and streams later, and the model that comes back is the exported one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from encoders.blstm import EncoderConfig
from features.landmark_augment import LandmarkAugmentConfig
from features.normalize import LandmarkConfig, LandmarkExtractor, PresentStatistics
from gestures.joining import JoinConfig
from gestures.reading import ReadClips
from gestures.spotting import NONE
from gestures.train_data import HeadConfig, LoadGestures, labelled, labels_of
from inference import model as models
from inference.model import BLANK, CTC
from inference.progress import with_bar
from training.config import LoopConfig, OptimizerConfig
from training.latency import LatencyConfig
from training.manifests import Item, ManifestError
from training.metrics import ErrorCounts, align_tokens
from training.objectives import ClassObjective, CtcObjective, Objective
from training.run import Card, as_started, check_truncation, finished_or_noted, train_model


@dataclass
class TrainConfig:
    """Every setting of a training run.

    Args:
        features: Landmarks to frames.
        augment: What training does to a clip; nothing unless asked.
        join: How clips are joined to streams; not at all unless asked.
        head: What the scores are.
        encoder: The network.
        optimizer: How its weights move.
        loop: How long, in what batches (counted in clips before they are joined), from which seed.
        latency: How much of the future a batch sees; for a model that is to watch streams.
    """

    features: LandmarkConfig = field(default_factory=LandmarkConfig)
    augment: LandmarkAugmentConfig = field(default_factory=LandmarkAugmentConfig)
    join: JoinConfig = field(default_factory=JoinConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    encoder: EncoderConfig = field(default_factory=lambda: EncoderConfig(subsampling=(1,)))
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    latency: LatencyConfig = field(default_factory=LatencyConfig)

    def __post_init__(self) -> None:
        check_truncation(self)


def train(
    config: TrainConfig,
    *,
    train: Sequence[Item],
    dev: Sequence[Item],
    out: str | Path,
    start_from: models.Model | None = None,
    command: str = "",
    data_note: str = "",
) -> models.Model:
    """Train a recogniser of gestures and write it to `out/model`.

    A run that was interrupted goes on from its last checkpoint when it is called again with the same settings; a run
    that is finished gives back its model.

    Args:
        config: All settings. Features and encoder of `start_from`, if given, take the place of the ones here.
        train: Clips to train on.
        dev: Clips on which the best weights are chosen, of nobody in `train`; with `loop.keep` last, any to watch.
        out: Folder for checkpoints, logs and the model.
        start_from: A model whose encoder, and whose head as far as the labels agree, is trained on from.
        command: The command that this run can be repeated with, for the model card.
        data_note: What the data are and under which terms, for the model card.

    Raises:
        ManifestError: no clip is left to train or to choose on, or `out` holds a run with other settings.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    if start_from is not None:
        config = as_started(config, start_from)
    finished = finished_or_noted(out, config, train, dev, start_from)
    if finished is not None:
        return finished
    labels = labels_of(train, config.head)
    if len(labels) < 2:
        raise ManifestError(f"one label, {', '.join(labels) or 'none at all'}: two at least are needed to tell apart")
    train, dev = _known(train, labels, config.head, "training"), _known(dev, labels, config.head, "development")
    extractor = start_from.extractor if start_from is not None else make_extractor(config.features, train)
    if config.head.kind == CTC:
        labels = (BLANK, *labels)
    return train_model(
        config,
        extractor=extractor,
        labels=labels,
        head=_head(config.head),
        tokens={"unit": "gesture"},
        load=LoadGestures(
            extractor,
            labels,
            config.head,
            config.augment,
            config.join,
            (train, dev),
            subsampling=config.encoder.total_subsampling,
            cache_mb=config.loop.cache_mb // (config.loop.workers + 1),
        ),
        objective=_objective(config, labels),
        train=train,
        dev=dev,
        out=out,
        start_from=start_from,
        card=Card(
            "CTC over gestures" if config.head.kind == CTC else f"attention pooling, {len(labels)} labels",
            command=command,
            data_note=data_note,
            items="clips",
            people="signers",
        ),
    )


def make_extractor(config: LandmarkConfig, items: Sequence[Item]) -> LandmarkExtractor:
    """The extractor of `config`; for global normalisation with mean and deviation of what is present in `items`."""
    plain = LandmarkExtractor(config)
    if config.normalization != "global":
        return plain
    read = ReadClips()
    statistics = PresentStatistics()
    for item in with_bar(items, "feature statistics"):
        statistics.add(plain.raw(read(item)))
    return LandmarkExtractor(config, mean=statistics.mean, std=statistics.std)


class CountLabels:
    """Edits between sequences of labels: what the development error of CTC counts."""

    def __call__(self, hypothesis: list[int], reference: list[int]) -> ErrorCounts:
        return align_tokens([str(label) for label in reference], [str(label) for label in hypothesis])[0]


def _head(config: HeadConfig) -> dict:
    """What the model directory says of the head."""
    if config.kind == CTC:
        return {"kind": config.kind}
    names = ("kind", "window_ms", "hop_ms", "threshold")
    return {**{name: getattr(config, name) for name in names}, "rules": asdict(config.rules)}


def _objective(config: TrainConfig, labels: Sequence[str]) -> Objective:
    if config.head.kind == CTC:
        return CtcObjective(CountLabels())
    return ClassObjective(subsampling=config.encoder.total_subsampling, smoothing=config.head.smoothing)


def _known(items: Sequence[Item], labels: Sequence[str], head: HeadConfig, part: str) -> list[Item]:
    kept = labelled(items, labels, head)
    if len(kept) < len(items):
        print(f"{len(items) - len(kept)} of {len(items)} {part} clips left out: labels that are not trained")
    if not any(segment.label != NONE for item in kept for segment in item.segments):
        raise ManifestError(f"no {part} clip with a gesture is left")
    return kept
