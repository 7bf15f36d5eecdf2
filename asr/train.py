"""Recordings and their transcripts, or their labels, or they alone become a model: the speech side of training.

With the other modules here whose names begin with `train` the one place in `asr` that imports torch. Frames are made by
the same extractor that reads files and streams later, and the model that comes back is the exported one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from asr.alphabet import make_tokens
from asr.confidence.calibrate import calibrate_trained
from asr.tokens import TokenConfig
from asr.train_targets import Forecast, HeadConfig, Target, classes_of, latency_of_forecasts, words_of
from encoders.blstm import EncoderConfig
from features.augment import AugmentConfig, FrameAugmenter, WaveformAugmenter, spec_augment
from features.cmvn import CmvnAccumulator
from features.extractor import FeatureConfig, FeatureExtractor
from features.filterbank import FbankConfig
from inference import model as models
from inference.progress import with_bar
from training.config import ConsistencyConfig, IntermediateConfig, LoopConfig, OptimizerConfig
from training.data import Example
from training.devices import first_process, wait_for_all
from training.latency import LatencyConfig, whole_steps
from training.manifests import Item
from training.run import Card, as_started, check_truncation, finished_or_noted, train_model

# Utterances that the global mean and deviation of the features are taken from.
STATISTICS_ITEMS = 2000
# Development utterances that confidences are calibrated on at the end, at most.
CALIBRATION_ITEMS = 2000


@dataclass
class TrainConfig:
    """Every setting of a training run.

    Args:
        features: Samples to frames.
        augment: What training does to recordings and frames; nothing unless asked.
        head: What the scores are.
        tokens: What the labels of words stand for.
        encoder: The network.
        optimizer: How its weights move.
        loop: How long, in what batches, from which seed.
        latency: How much of the future a batch sees; for a model that is to hear streams.
        intermediate: A loss below the last layer, too.
        consistency: Two views of each item, which are to be heard alike.
    """

    features: FeatureConfig = field(default_factory=lambda: FeatureConfig(fbank=FbankConfig()))
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    tokens: TokenConfig = field(default_factory=TokenConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    latency: LatencyConfig = field(default_factory=LatencyConfig)
    intermediate: IntermediateConfig = field(default_factory=IntermediateConfig)
    consistency: ConsistencyConfig = field(default_factory=ConsistencyConfig)

    def __post_init__(self) -> None:
        if self.head.kind == models.FORECAST:
            self._forecast_what_is_not_seen()
        check_truncation(self)
        self.intermediate.chosen(self.encoder.layers)
        if self.head.kind != models.CTC and self.intermediate.weight:
            raise ValueError("intermediate.weight belongs to head.kind ctc; leave it out")
        if self.head.kind != models.CTC and self.consistency.weight:
            raise ValueError("consistency.weight belongs to head.kind ctc; leave it out")
        if self.consistency.weight and self.loop.clean_passes:
            raise ValueError("loop.clean_passes are without masks, so with one view: set it or consistency.weight to 0")
        if self.consistency.streams and self.latency.chunk_ms is None:
            raise ValueError("consistency.streams is for streams: give latency.chunk_ms, such as [200,2400]")
        if self.consistency.streams and self.loop.truncate_ms:
            raise ValueError("consistency.streams hears whole recordings, which loop.truncate_ms cuts: set one of them")
        if self.head.kind != models.CTC and self.tokens != TokenConfig():
            raise ValueError(
                f"tokens say how words are spelled, and head.kind {self.head.kind} writes none; leave them out"
            )

    def _forecast_what_is_not_seen(self) -> None:
        if self.augment.time_masks or self.augment.frequency_masks:
            raise ValueError(
                "forecasts would be of masks: set augment.time_masks and augment.frequency_masks to 0 with "
                "head.kind forecast"
            )
        if self.features.deltas:
            raise ValueError(
                "differences tell of frames to come: set features.deltas to 0 with head.kind forecast, which is to "
                "forecast them"
            )
        if self.encoder.bidirectional:
            self.latency = latency_of_forecasts(self.latency, self.head.ahead_ms)


class LoadSpeech:
    """Makes an example of an utterance: read, augment, extract, mask, label. It travels to the workers.

    Args:
        extractor: Samples to normalised frames.
        target: Text to labels.
        augment: What training does to a recording and its frames.
        cache_mb: Megabytes of decoded sound to keep: decoding and resampling cost as much as all that follows.
        two_views: Mask the frames of training twice, each time elsewhere.
    """

    def __init__(
        self,
        extractor: FeatureExtractor,
        target: Target,
        augment: AugmentConfig,
        *,
        cache_mb: int = 0,
        two_views: bool = False,
    ):
        self._extractor = extractor
        self._target = target
        self._augment = augment
        self._two_views = two_views
        self._cache: dict[Item, np.ndarray] = {}
        self._cache_left = cache_mb * 1_000_000
        self._augmenter = WaveformAugmenter(augment, extractor.rate) if extractor.hears else FrameAugmenter(augment)

    def __call__(self, item: Item, rng: np.random.Generator | None) -> Example:
        samples_S = self._decoded(item)
        if rng is not None:
            samples_S = self._augmenter(samples_S, rng)
        frames_TF = self._extractor(samples_S)
        if not len(frames_TF):
            # Too short for one window: one frame of silence, which the loss then reports as too short for its text.
            frames_TF = np.zeros((1, self._extractor.num_features), dtype=np.float32)
        targets = self._target(item.text, len(frames_TF))
        if rng is None:
            return Example(frames_TF, *targets)
        first_TF = spec_augment(frames_TF, self._augment, rng)
        second_TF = spec_augment(frames_TF, self._augment, rng) if self._two_views else None
        return Example(first_TF, *targets, second_TF=second_TF)

    def _decoded(self, item: Item) -> np.ndarray:
        # By the whole item: training and development data may use the same ids.
        if item in self._cache:
            return self._cache[item]
        samples_S = _samples(item, self._extractor)
        if samples_S.nbytes <= self._cache_left:
            self._cache_left -= samples_S.nbytes
            samples_S.flags.writeable = False
            self._cache[item] = samples_S
        return samples_S


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
    """Train a recogniser and write it to `out/model`.

    A run that was interrupted goes on from its last checkpoint when it is called again with the same settings; a run
    that is finished gives back its model. At the end confidences of words are calibrated on the development utterances.

    Args:
        config: All settings. Features and encoder of `start_from`, if given, take the place of the ones here.
        train: Utterances to train on.
        dev: Utterances on which the best weights are chosen; no speaker of theirs should be in `train`.
        out: Folder for checkpoints, logs and the model.
        start_from: A model whose encoder, and whose head as far as the labels agree, is trained on from.
        command: The command that this run can be repeated with, for the model card.
        data_note: What the data are and under which terms, for the model card.

    Raises:
        ManifestError: no utterance is left to train or to choose on, an item has no label that can be one, or `out`
            holds a run with other settings.
        asr.tokens.TokenError: no labels can be made of the texts, or the alphabet is none.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    if start_from is not None:
        config = as_started(config, start_from)
    if isinstance(config.tokens.alphabet, str):
        # What a run is does not depend on where the file lies, but on what it says.
        labels = list(make_tokens((), config.tokens).labels[1:])
        config = replace(config, tokens=replace(config.tokens, alphabet=labels))
    finished = finished_or_noted(out, config, train, dev, start_from)
    if finished is not None:
        return finished
    if config.head.kind == models.CLASS:
        target, train, dev = classes_of(config.head, train, dev)
    elif config.head.kind == models.FORECAST:
        target = forecast_of(config)
    else:
        target, train, dev = words_of(config.tokens, train, dev, start_from)
    extractor = (
        start_from.extractor
        if start_from is not None
        else make_extractor(config.features, train, seed=config.loop.seed)
    )
    load = LoadSpeech(
        extractor,
        target,
        config.augment,
        cache_mb=config.loop.cache_mb // (config.loop.workers + 1),
        two_views=config.consistency.weight > 0,
    )
    print(target.note)
    model = train_model(
        config,
        extractor=extractor,
        labels=target.labels,
        head=target.head,
        tokens=target.tokens,
        load=load,
        objective=target.objective(config.encoder.total_subsampling),
        train=train,
        dev=dev,
        out=out,
        start_from=start_from,
        card=Card(target.task, command=command, data_note=data_note, streams=extractor.streams),
        intermediate=config.intermediate,
        consistency=config.consistency,
    )
    if config.head.kind == models.CTC and first_process():
        calibrate_trained(model.directory, dev[:CALIBRATION_ITEMS])
    wait_for_all()
    return models.load(model.directory)


def forecast_of(config: TrainConfig) -> Forecast:
    """What a training of forecasts is towards."""
    made, subsampling = FeatureExtractor(config.features), config.encoder.total_subsampling
    ahead = whole_steps(config.head.ahead_ms, 1000 * made.shift_seconds * subsampling)
    return Forecast(ahead=ahead, subsampling=subsampling, features=made.num_features)


def make_extractor(config: FeatureConfig, items: Sequence[Item], *, seed: int) -> FeatureExtractor:
    """The extractor of `config`; for global normalisation with mean and deviation of a drawn part of `items`."""
    plain = FeatureExtractor(config)
    if config.normalization != "global":
        return plain
    chosen = np.random.default_rng(seed).permutation(len(items))[:STATISTICS_ITEMS]
    statistics = CmvnAccumulator()
    for index in with_bar(sorted(chosen), "feature statistics"):
        statistics.add(plain.raw(_samples(items[index], plain)))
    return FeatureExtractor(config, mean=statistics.mean, std=statistics.std)


def _samples(item: Item, extractor: FeatureExtractor) -> np.ndarray:
    return extractor.read(item.path, start=item.start, duration=item.duration)
