"""Recordings and their transcripts become a model directory: the speech side of training.

Beside `asr.language.train` the one place in `asr` that imports torch. Frames are made by the same extractor that reads
files and streams later, and the model that comes back is the exported one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from asr.alphabet import make_tokens
from asr.confidence.calibrate import calibrate_trained
from asr.letters import SHOWN, Seen, count_pieces, shown, table
from asr.tokens import TokenConfig, Tokens
from encoders.blstm import EncoderConfig
from features.augment import AugmentConfig, FrameAugmenter, WaveformAugmenter, spec_augment
from features.cmvn import CmvnAccumulator
from features.extractor import FeatureConfig, FeatureExtractor
from features.filterbank import FbankConfig
from inference import model as models
from inference.progress import with_bar
from training.config import LoopConfig, OptimizerConfig
from training.data import Example
from training.latency import LatencyConfig
from training.loop import first_process, wait_for_all
from training.manifests import Item, ManifestError
from training.metrics import ErrorCounts, align_tokens
from training.objectives import CtcObjective
from training.run import Card, as_started, check_truncation, finished_or_noted, train_model

# Utterances that the global mean and deviation of the features are taken from.
STATISTICS_ITEMS = 2000
# Development utterances that confidences are calibrated on at the end, at most.
CALIBRATION_ITEMS = 2000
# Labels that are named before training because so few utterances have them.
RAREST = 5


@dataclass
class TrainConfig:
    """Every setting of a training run.

    Args:
        features: Samples to frames.
        augment: What training does to recordings and frames; nothing unless asked.
        tokens: What the labels stand for.
        encoder: The network.
        optimizer: How its weights move.
        loop: How long, in what batches, from which seed.
        latency: How much of the future a batch sees; for a model that is to hear streams.
    """

    features: FeatureConfig = field(default_factory=lambda: FeatureConfig(fbank=FbankConfig()))
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    tokens: TokenConfig = field(default_factory=TokenConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    latency: LatencyConfig = field(default_factory=LatencyConfig)

    def __post_init__(self) -> None:
        check_truncation(self)


class LoadSpeech:
    """Makes an example of an utterance: read, augment, extract, mask, encode. It travels to the workers.

    Args:
        extractor: Samples to normalised frames.
        tokens: Text to labels.
        augment: What training does to a recording and its frames.
        cache_mb: Megabytes of decoded sound to keep: decoding and resampling cost as much as all that follows.
    """

    def __init__(self, extractor: FeatureExtractor, tokens: Tokens, augment: AugmentConfig, *, cache_mb: int = 0):
        self._extractor = extractor
        self._tokens = tokens
        self._augment = augment
        self._cache: dict[Item, np.ndarray] = {}
        self._cache_left = cache_mb * 1_000_000
        self._augmenter = WaveformAugmenter(augment, extractor.rate) if extractor.hears else FrameAugmenter(augment)

    def __call__(self, item: Item, rng: np.random.Generator | None) -> Example:
        samples_S = self._decoded(item)
        if rng is not None:
            samples_S = self._augmenter(samples_S, rng)
        frames_TF = self._extractor(samples_S)
        if rng is not None:
            frames_TF = spec_augment(frames_TF, self._augment, rng)
        if not len(frames_TF):
            # Too short for one window: one frame of silence, which the loss then reports as too short for its text.
            frames_TF = np.zeros((1, self._extractor.num_features), dtype=np.float32)
        return Example(frames_TF, np.array(self._tokens.encode(item.text), dtype=np.int64))

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


class CountWords:
    """Word errors of labels against labels: what the development error counts."""

    def __init__(self, tokens: Tokens):
        self._tokens = tokens

    def __call__(self, hypothesis: list[int], reference: list[int]) -> ErrorCounts:
        return align_tokens(self._tokens.decode(reference).split(), self._tokens.decode(hypothesis).split())[0]


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
    that is finished gives back its model. At the end confidences are calibrated on the development utterances.

    Args:
        config: All settings. Features and encoder of `start_from`, if given, take the place of the ones here.
        train: Utterances to train on.
        dev: Utterances on which the best weights are chosen; no speaker of theirs should be in `train`.
        out: Folder for checkpoints, logs and the model.
        start_from: A model whose encoder, and whose head as far as the labels agree, is trained on from.
        command: The command that this run can be repeated with, for the model card.
        data_note: What the data are and under which terms, for the model card.

    Raises:
        ManifestError: no utterance is left to train or to choose on, or `out` holds a run with other settings.
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
    tokens = make_tokens([item.text for item in train], config.tokens)
    found = count_pieces(train, tokens)
    if start_from is not None and (before := Tokens.of(start_from)).form != tokens.form:
        print(f"texts are {tokens.form} here, and those of {start_from.directory} are {before.form} (tokens.form)")
    train = _sayable(train, found, tokens, part="training", config=config.tokens)
    dev = _sayable(dev, count_pieces(dev, tokens), tokens, part="development", config=config.tokens)
    extractor = (
        start_from.extractor
        if start_from is not None
        else make_extractor(config.features, train, seed=config.loop.seed)
    )
    load = LoadSpeech(extractor, tokens, config.augment, cache_mb=config.loop.cache_mb // (config.loop.workers + 1))
    _say_labels(found, tokens)
    model = train_model(
        config,
        extractor=extractor,
        labels=tokens.labels,
        head={"kind": models.CTC},
        tokens={"unit": tokens.unit, "form": tokens.form},
        load=load,
        objective=CtcObjective(CountWords(tokens)),
        train=train,
        dev=dev,
        out=out,
        start_from=start_from,
        card=Card(f"CTC over {tokens.unit} labels", command=command, data_note=data_note),
    )
    if first_process():
        calibrate_trained(model.directory, dev[:CALIBRATION_ITEMS])
    wait_for_all()
    return models.load(model.directory)


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


def _sayable(
    items: Sequence[Item], found: Sequence[Seen], tokens: Tokens, *, part: str, config: TokenConfig
) -> list[Item]:
    """Items whose text the labels can spell; the letters that are in the way of the others are shown."""
    kept = [item for item in items if not tokens.unknown(item.text)]
    if len(kept) < len(items):
        print(f"{len(items) - len(kept)} of {len(items)} {part} utterances left out, no label for:")
        print(table([seen for seen in found if seen.piece not in tokens.labels], tokens))
        print(_advice(config, part))
    if not kept:
        raise ManifestError(f"no {part} utterance is left: every text holds something that has no label")
    return kept


def _advice(config: TokenConfig, part: str) -> str:
    if config.alphabet is not None:
        return "to learn them, add them to the alphabet; what is a slip, correct in the texts"
    if part == "training":
        return "to learn them, lower tokens.least_count or find more utterances that have them"
    return "to learn them, find training utterances that have them; what is a slip, correct in the texts"


def _say_labels(found: Sequence[Seen], tokens: Tokens) -> None:
    """How many labels there are, the rarest of them, where slips are, and those that the texts do not have at all."""
    heard = [seen for seen in found if seen.piece in tokens.labels]
    rarest = ", ".join(f"{shown(seen.piece)} {seen.times} ({seen.example.id})" for seen in heard[: -RAREST - 1 : -1])
    print(f"{len(tokens.labels) - 1} labels; the rarest in the training texts: {rarest}")
    unheard = sorted({*tokens.labels[1:]} - {seen.piece for seen in heard})
    if unheard:
        more = f" and {len(unheard) - SHOWN} more" if len(unheard) > SHOWN else ""
        named = ", ".join(map(shown, unheard[:SHOWN]))
        print(f"{len(unheard)} labels stand in no training utterance and cannot be learnt: {named}{more}")
