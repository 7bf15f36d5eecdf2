"""Recordings and their transcripts become a model directory: the speech side of training.

The one place in `asr` that imports torch. Frames are made by the same extractor that reads files and streams later,
and the model that comes back is the exported one.
"""

from __future__ import annotations

import hashlib
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
import yaml
from rich.progress import track
from safetensors import SafetensorError
from safetensors.numpy import load_file

from asr.formats import write_text
from asr.tokens import TokenConfig, Tokens
from encoders.blstm import EncoderConfig
from encoders.export import export
from encoders.network import Network
from features import audio
from features.augment import AugmentConfig, WaveformAugmenter, spec_augment
from features.cmvn import CmvnAccumulator
from features.extractor import FeatureConfig, FeatureExtractor
from features.filterbank import FbankConfig
from inference import model as models
from training.checkpoints import LAST
from training.config import LoopConfig, OptimizerConfig
from training.data import Example
from training.loop import first_process, fit, wait_for_all
from training.manifests import Item, ManifestError
from training.metrics import ErrorCounts, align_tokens

# Utterances that the global mean and deviation of the features are taken from.
STATISTICS_ITEMS = 2000


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
    """

    features: FeatureConfig = field(default_factory=lambda: FeatureConfig(fbank=FbankConfig()))
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    tokens: TokenConfig = field(default_factory=TokenConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)


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
        self._augmenter = WaveformAugmenter(augment, extractor.rate)

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
        samples_S = _samples(item, self._extractor.rate)
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
    that is finished gives back its model.

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
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    if start_from is not None:
        config = _as_started(config, start_from)
    finished = _same_run(out, config, train, dev, start_from)
    if finished is not None:
        return finished
    tokens = Tokens.from_texts([item.text for item in train], config.tokens)
    train = _sayable(train, tokens, "training")
    dev = _sayable(dev, tokens, "development")
    extractor = (
        start_from.extractor
        if start_from is not None
        else make_extractor(config.features, train, seed=config.loop.seed)
    )
    torch.manual_seed(config.loop.seed)
    network = Network(extractor.num_features, len(tokens.labels), config.encoder)
    if start_from is not None:
        arrays = _weights(start_from)
        network.load_encoder(arrays)
        shared = {
            here: start_from.labels.index(label)
            for here, label in enumerate(tokens.labels)
            if label in start_from.labels
        }
        network.load_head(arrays, rows=shared)
    network = fit(
        network,
        train,
        dev,
        LoadSpeech(extractor, tokens, config.augment, cache_mb=config.loop.cache_mb // (config.loop.workers + 1)),
        frame_seconds=extractor.shift_seconds,
        count_errors=CountWords(tokens),
        optimizer=config.optimizer,
        loop=config.loop,
        out=out / "run",
    )
    if first_process():
        exported = export(network)
        models.save(
            out / "model",
            graph=exported.graph,
            weights=exported.weights,
            extractor=extractor,
            labels=tokens.labels,
            encoder={**asdict(config.encoder), "subsampling": list(config.encoder.subsampling)},
            tokens={"unit": tokens.unit},
            card=_card(config, train, dev, command=command, data_note=data_note, start_from=start_from),
        )
    wait_for_all()
    return models.load(out / "model")


def _as_started(config: TrainConfig, start_from: models.Model) -> TrainConfig:
    """The settings with features and encoder of the model to start from, but for the dropout, which is training's."""
    try:
        encoder = EncoderConfig(**{**start_from.encoder, "dropout": config.encoder.dropout})
    except (TypeError, ValueError) as error:
        raise models.ModelError(f"{start_from.directory}: cannot be trained on from: {error}") from error
    started = replace(config, features=start_from.extractor.config, encoder=encoder)
    if started != config:
        print(f"features and encoder are those of {start_from.directory}, whatever the settings say")
    return started


def make_extractor(config: FeatureConfig, items: Sequence[Item], *, seed: int) -> FeatureExtractor:
    """The extractor of `config`; for global normalisation with mean and deviation of a drawn part of `items`."""
    plain = FeatureExtractor(config)
    if config.normalization != "global":
        return plain
    chosen = np.random.default_rng(seed).permutation(len(items))[:STATISTICS_ITEMS]
    statistics = CmvnAccumulator()
    shown = sys.stdout.isatty()
    for index in track(sorted(chosen), description="feature statistics", transient=True, disable=not shown):
        statistics.add(plain.raw(_samples(items[index], plain.rate)))
    return FeatureExtractor(config, mean=statistics.mean, std=statistics.std)


def _weights(model: models.Model) -> dict[str, np.ndarray]:
    try:
        return load_file(model.directory / models.WEIGHTS)
    except SafetensorError as error:
        raise models.ModelError(
            f"{model.directory}: {models.WEIGHTS} is damaged ({error}); fetch the model anew"
        ) from error


def _samples(item: Item, rate: int) -> np.ndarray:
    return audio.read(item.path, rate=rate, start=item.start, duration=item.duration)[0]


def _sayable(items: Sequence[Item], tokens: Tokens, part: str) -> list[Item]:
    """Items whose text the labels can spell; the others are counted and shown."""
    kept, unknown = [], {}
    for item in items:
        missing = tokens.unknown(item.text)
        if missing:
            unknown.setdefault(missing[0], item)
        else:
            kept.append(item)
    if unknown:
        shown = "; ".join(f"{piece!r} in {item.id} {item.text!r}" for piece, item in list(unknown.items())[:5])
        print(f"{len(items) - len(kept)} of {len(items)} {part} utterances left out, no label for: {shown}")
    if not kept:
        raise ManifestError(f"no {part} utterance is left: every text holds something that has no label")
    return kept


def _same_run(
    out: Path, config: TrainConfig, train: Sequence[Item], dev: Sequence[Item], start_from: models.Model | None
) -> models.Model | None:
    """Note what this run is, or hold it against the note that is there; the model, if the run is finished."""
    data = hashlib.sha256()
    for item in (*train, *dev):
        data.update(repr((item.id, item.start, item.duration, item.text, item.speaker)).encode())
    settings = asdict(config)
    # How the work is done may change between a run and its resumption; what is done may not.
    for name in ("workers", "cache_mb", "threads", "devices", "strategy"):
        del settings["loop"][name]
    settings = yaml.safe_load(yaml.safe_dump(_plain({**settings, "data": data.hexdigest()})))
    if start_from is not None:
        settings["start_from"] = hashlib.sha256((start_from.directory / models.WEIGHTS).read_bytes()).hexdigest()
    note = out / "settings.yaml"
    if (out / "run" / LAST).exists() or (out / "model").is_dir():
        before = _noted(note)
        if before != settings:
            changed = sorted(key for key in {*before, *settings} if before.get(key) != settings.get(key))
            raise ManifestError(
                f"{out}: holds a run with other settings ({', '.join(changed)}); give another --out, or remove it"
            )
        if (out / "model").is_dir():
            print(f"{out / 'model'}: already trained with these settings")
            return models.load(out / "model")
    else:
        write_text(note, yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
    return None


def _noted(note: Path) -> dict:
    try:
        noted = yaml.safe_load(note.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        noted = None
    if not isinstance(noted, dict):
        raise ManifestError(f"{note}: is gone or damaged; give another --out, or remove {note.parent}")
    return noted


def _plain(value: object) -> object:
    """Tuples as lists, paths as strings, so that what YAML gives back equals what went in."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value


def _card(
    config: TrainConfig,
    train: Sequence[Item],
    dev: Sequence[Item],
    *,
    command: str,
    data_note: str,
    start_from: models.Model | None,
) -> str:
    def part(items: Sequence[Item]) -> str:
        speakers = len({item.speaker for item in items if item.speaker})
        hours = sum(item.duration for item in items) / 3600
        return f"{len(items)} utterances, {hours:.2f} h, {speakers or 'unknown'} speakers"

    encoder = config.encoder
    both = "bidirectional " if encoder.bidirectional else ""
    lines = [
        "# Model card",
        "",
        f"- Network: {encoder.layers} {both}{encoder.cell.upper()} layers of {encoder.hidden_size} units a direction, "
        f"{encoder.total_subsampling} frames a step, CTC over {config.tokens.unit} labels",
        f"- Trained on: {part(train)}",
        f"- Best weights chosen on: {part(dev)}",
        f"- Seed: {config.loop.seed}",
    ]
    if start_from is not None:
        lines.append(f"- Trained on from: {start_from.name}")
    if data_note:
        lines.append(f"- Data: {data_note}")
    else:
        lines.append("- Data and licence: not stated; say here what it was trained on and under which terms")
    if command:
        lines += ["", "Made with:", "", f"    {command}"]
    return "\n".join(lines) + "\n"


def shell_command(arguments: Sequence[str]) -> str:
    """Arguments as a line that can be typed again."""
    return shlex.join(arguments)
