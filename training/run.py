"""What every training does around `fit`: where it starts from, the note that a folder keeps, the model that comes out.

Speech and gestures differ in their features, labels and objectives; the rest of the way is here, once.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch
import yaml
from safetensors import SafetensorError
from safetensors.numpy import load_file

from encoders.blstm import EncoderConfig
from encoders.export import export
from encoders.int8 import dequantized
from encoders.network import Network
from features.definition import Extractor
from inference import model as models
from inference.files import write_text
from training.checkpoints import LAST
from training.config import ConsistencyConfig, IntermediateConfig, LoopConfig, OptimizerConfig
from training.data import Load, Trainable
from training.devices import first_process, wait_for_all
from training.latency import LatencyConfig
from training.loop import fit
from training.manifests import Item, ManifestError
from training.objectives import Objective

# Settings of the loop that say how the work is done: they change what is learnt by rounding and what dropout draws.
HOW = (
    *("workers", "cache_mb", "threads", "devices", "nodes", "strategy"),
    *("accumulate", "deterministic", "detect_anomaly", "checkpoint_minutes"),
)


class Settings(Protocol):
    """The settings that trainings have in common; each is a dataclass with more."""

    features: object
    encoder: EncoderConfig
    optimizer: OptimizerConfig
    loop: LoopConfig
    latency: LatencyConfig


AnySettings = TypeVar("AnySettings", bound=Settings)


@dataclass(frozen=True)
class Card:
    """What a model card says besides the settings.

    Attributes:
        task: What the scores are, such as "CTC over char labels".
        command: The command that the run can be repeated with.
        data_note: What the data are and under which terms.
        items: What one item is called.
        people: What those who made the items are called.
        streams: Whether frames can be computed before an item is complete.
    """

    task: str
    command: str = ""
    data_note: str = ""
    items: str = "utterances"
    people: str = "speakers"
    streams: bool = True


def train_model(
    config: Settings,
    *,
    extractor: Extractor,
    labels: Sequence[str],
    head: dict,
    tokens: dict,
    load: Load,
    objective: Objective,
    train: Sequence[Item],
    dev: Sequence[Item],
    out: Path,
    start_from: models.Model | None,
    card: Card,
    intermediate: IntermediateConfig | None = None,
    consistency: ConsistencyConfig | None = None,
) -> models.Model:
    """Train a network, choose its best weights, and write the model directory `out/model`.

    Args:
        config: All settings.
        extractor: Makes the frames, with its statistics.
        labels: What the scores stand for.
        head: The head for the model directory; its `kind` names the layer.
        tokens: How labels make up text, for the model directory.
        load: Makes an example of an item.
        objective: What is minimised, and what the development error counts.
        train: Items to train on.
        dev: Items to choose the best weights on.
        out: Folder of the run.
        start_from: A model whose encoder, and whose head as far as the labels agree, is trained on from.
        card: What the model card says besides the settings.
        intermediate: Layers below the last that are scored in training, too; none if not given.
        consistency: How much two views of an item may differ, of which `load` then makes both; one if not given.
    """
    torch.manual_seed(config.loop.seed)
    network = Network(extractor.num_features, len(labels), config.encoder, head=head["kind"])
    if start_from is not None:
        check_shape(config.encoder, start_from)
        arrays = _weights(start_from)
        try:
            network.load_encoder(arrays)
        except ValueError as error:
            raise models.ModelError(f"{start_from.directory}: {error}") from error
        if start_from.head["kind"] == head["kind"]:
            network.load_head(arrays, rows=_shared_rows(labels, start_from.labels, head["kind"]))
    network = fit(
        network,
        train,
        dev,
        load,
        frame_seconds=extractor.shift_seconds,
        objective=objective,
        optimizer=config.optimizer,
        loop=config.loop,
        latency=config.latency,
        intermediate=intermediate,
        consistency=consistency,
        out=out / "run",
    )
    if first_process():
        exported = export(network)
        models.save(
            out / "model",
            graph=exported.graph,
            weights=exported.weights,
            extractor=extractor,
            labels=labels,
            encoder={**asdict(config.encoder), "subsampling": list(config.encoder.subsampling)},
            head=head,
            tokens=tokens,
            latency=_trained_latency(config.latency),
            card=_card(config, train, dev, card, start_from),
        )
    wait_for_all()
    return models.load(out / "model")


def check_truncation(config: Settings) -> None:
    """Refuse `loop.truncate_ms` where a direction would read recordings from their ends.

    Raises:
        ValueError: says what to set.
    """
    streams_alone = config.latency.chunk_ms is not None and not config.latency.full_context
    if config.loop.truncate_ms and config.encoder.bidirectional and not streams_alone:
        raise ValueError(
            f"loop.truncate_ms is {config.loop.truncate_ms:g}, but an encoder of both directions cannot be truncated "
            "at full context: set encoder.bidirectional to false; or give latency.chunk_ms, and set "
            "latency.full_context to 0"
        )


def _shared_rows(here: Sequence[str], there: Sequence[str], kind: str) -> dict[int, int]:
    """Columns of the head that both models have: each label in common and, last, the energy of attention."""
    rows = {number: there.index(label) for number, label in enumerate(here) if label in there}
    if kind == models.CLASS:
        rows[len(here)] = len(there)
    return rows


def _trained_latency(config: LatencyConfig) -> dict | None:
    """What the model directory says of the streams that it can hear: none that it was trained for, or which."""
    if config.chunk_ms is None:
        return None
    return {"chunk_ms": list(config.chunk_ms), "lookahead_share": list(config.lookahead_share)}


def as_started(config: AnySettings, start_from: models.Model) -> AnySettings:
    """The settings with features and encoder of the model to start from, but for dropout, which is training's."""
    if type(start_from.extractor.config) is not type(config.features):
        raise models.ModelError(f"{start_from.directory}: cannot be trained on from: it reads other data than these")
    try:
        encoder = _with_dropout_of(config.encoder, start_from)
    except (TypeError, ValueError) as error:
        raise models.ModelError(f"{start_from.directory}: cannot be trained on from: {error}") from error
    started = replace(config, features=start_from.extractor.config, encoder=encoder)
    if started != config:
        print(f"features and encoder are those of {start_from.directory}, whatever the settings say")
    return started


def _with_dropout_of(encoder: EncoderConfig, model: models.Model) -> EncoderConfig:
    """The encoder of a model, with what `encoder` does in training alone."""
    return EncoderConfig(**{**model.encoder, "dropout": encoder.dropout, "dropout_mask": encoder.dropout_mask})


# What makes the weights of one encoder those of another.
SHAPE = (
    "cell",
    "layers",
    "hidden_size",
    "bidirectional",
    "convolution",
    "subsampling",
    "layer_norm",
    "output_norm",
    "projection_size",
)


def check_shape(encoder: EncoderConfig, start_from: models.Model) -> None:
    """Refuse an encoder that cannot take the weights of `start_from`: two cells may have weights of the same shapes."""
    stored = _with_dropout_of(encoder, start_from)
    for name in SHAPE:
        here, there = getattr(encoder, name), getattr(stored, name)
        if here != there:
            raise models.ModelError(
                f"{start_from.directory}: cannot be trained on from: encoder.{name} is {there} there and {here} here; "
                "use the same encoder, or start afresh"
            )


def network_of(model: models.Model, *, fresh: bool = False) -> Network:
    """The network of a model directory with its weights or, if `fresh`, one of its shape before any training.

    Raises:
        ModelError: the weights are damaged, or the encoder is none that this program knows.
    """
    arrays = _weights(model)
    try:
        encoder = EncoderConfig(**model.encoder)
        network = Network(model.extractor.num_features, len(model.labels), encoder, head=model.head["kind"])
        if not fresh:
            network.load_encoder(arrays)
            network.load_head(arrays, rows={row: row for row in range(len(arrays["head.bias"]))})
    except (TypeError, ValueError, KeyError, IndexError, RuntimeError) as error:
        raise models.ModelError(
            f"{model.directory}: its network cannot be made of {models.CONFIG} and {models.WEIGHTS} ({error})"
        ) from error
    return network.eval()


def _weights(model: models.Model) -> dict[str, np.ndarray]:
    """All weights in float32; those of 8 bits times their scales."""
    try:
        return dequantized(load_file(model.directory / models.WEIGHTS))
    except SafetensorError as error:
        raise models.ModelError(
            f"{model.directory}: {models.WEIGHTS} is damaged ({error}); fetch the model anew"
        ) from error


def finished_or_noted(
    out: Path, config: Settings, train: Sequence[Item], dev: Sequence[Item], start_from: models.Model | None
) -> models.Model | None:
    """Note what this run is, or hold it against the note that is there; the model, if the run is finished."""
    more = {}
    if start_from is not None:
        more["start_from"] = hashlib.sha256((start_from.directory / models.WEIGHTS).read_bytes()).hexdigest()
    return models.load(out / "model") if is_finished(out, config, [*train, *dev], more) else None


def is_finished(out: Path, config: object, data: Sequence[Trainable], more: dict[str, str]) -> bool:
    """Note what this run is, or hold it against the note that is there; whether it has made its model.

    Args:
        out: Folder of the run.
        config: All settings, a dataclass; `loop` are those of the loop.
        data: What it is trained and chosen on.
        more: What else belongs to the note.

    Raises:
        ManifestError: the folder holds a run with other settings.
    """
    digest = hashlib.sha256()
    for item in data:
        digest.update(repr(item.content).encode())
    settings = asdict(config)
    # How the work is done may change between a run and its resumption; what is done may not.
    for name in HOW:
        del settings["loop"][name]
    settings = yaml.safe_load(yaml.safe_dump(_plain({**settings, "data": digest.hexdigest()}))) | more
    note = out / "settings.yaml"
    if (out / "run" / LAST).exists() or (out / "model").is_dir():
        before = _noted(note)
        if before != settings:
            changed = _differences(before, settings)
            raise ManifestError(
                f"{out}: holds a run with other settings ({'; '.join(changed)}); give another --out, or remove it"
            )
        if (out / "model").is_dir():
            print(f"{out / 'model'}: already trained with these settings")
            return True
    else:
        write_text(note, yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
    return False


LONGEST_SAID = 80  # characters; what is longer, as a digest or an alphabet, nobody compares by eye


def _differences(before: dict, now: dict) -> list[str]:
    """What differs between two notes, as `loop.epochs 3, now 5`; of what is long the name alone."""
    changed = []
    for key in sorted(key for key in {*before, *now} if before.get(key) != now.get(key)):
        was, is_now = before.get(key), now.get(key)
        if isinstance(was, dict) and isinstance(is_now, dict):
            changed += [f"{key}.{inner}" for inner in _differences(was, is_now)]
        else:
            said = f"{key} {was}, now {is_now}"
            changed.append(said if len(said) <= LONGEST_SAID else key)
    return changed


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
    config: Settings, train: Sequence[Item], dev: Sequence[Item], card: Card, start_from: models.Model | None
) -> str:
    def part(items: Sequence[Item]) -> str:
        people = len({item.speaker for item in items if item.speaker})
        hours = sum(item.duration for item in items) / 3600
        return f"{len(items)} {card.items}, {hours:.2f} h, {people or 'unknown'} {card.people}"

    encoder = config.encoder
    both = "bidirectional " if encoder.bidirectional else ""
    convolved = f"convolutions of {encoder.convolution} maps before them, " if encoder.convolution else ""
    lines = [
        "# Model card",
        "",
        f"- Network: {encoder.layers} {both}{encoder.cell.upper()} layers of {encoder.hidden_size} units a direction, "
        f"{encoder.total_subsampling} frames a step, {convolved}{card.task}",
        f"- Trained on: {part(train)}",
        f"- Best weights chosen on: {part(dev)}",
        f"- Seed: {config.loop.seed}",
    ]
    if not card.streams:
        lines.append("- Latency: hears whole recordings alone, over each of which its frames are normalised")
    elif config.latency.chunk_ms is None:
        lines.append("- Latency: trained with full context alone; on a stream it will make more errors")
    else:
        shortest, longest = config.latency.chunk_ms
        whole = "full context and " if config.latency.full_context else ""
        if shortest == longest:
            lines.append(
                f"- Latency: trained with {whole}chunks of {shortest:g} ms; with others it will make more errors"
            )
        else:
            lines.append(f"- Latency: any; trained with {whole}chunks of {shortest:g} to {longest:g} ms")
    if start_from is not None:
        lines.append(f"- Trained on from: {start_from.directory.parent.name}/{start_from.name}")
    if card.data_note:
        lines.append(f"- Data: {card.data_note}")
    else:
        lines.append("- Data and licence: not stated; say here what it was trained on and under which terms")
    if card.command:
        lines += ["", "Made with:", "", f"    {card.command}"]
    return "\n".join(lines) + "\n"


def shell_command(arguments: Sequence[str]) -> str:
    """Arguments as a line that can be typed again."""
    return shlex.join(arguments)
