"""The model directory: everything that a trained model is, in files that a person can read or a library checks.

    model.onnx            the graph that runs
    weights.safetensors   its weights, which the graph points into; training goes on from them
    config.yaml           format version, feature definition with its statistics, encoder, tokens
    labels.txt            one label a line, the blank first
    README.md             the model card: data, licence, numbers, the command that made it

Loading runs no code that travels with the model: nothing is unpickled.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml

from features.extractor import FeatureExtractor, from_dict, to_dict
from inference.scorer import Scorer

FORMAT = 1
BLANK = "<blank>"
GRAPH, WEIGHTS, CONFIG, LABELS, CARD = "model.onnx", "weights.safetensors", "config.yaml", "labels.txt", "README.md"


class ModelError(ValueError):
    """A directory that is no usable model; the message names it and says what to do."""


@dataclass(frozen=True)
class Model:
    """A model directory, checked.

    Attributes:
        directory: Where it lies.
        extractor: Samples to the frames that it was trained on.
        labels: What the scores stand for; `labels[0]` is the blank.
        encoder: Shape of the encoder (the fields of `encoders.blstm.EncoderConfig`).
        tokens: How labels make up text; `unit` is `char` or `word`.
        threads: Threads that scoring uses; 0 takes every core.
    """

    directory: Path
    extractor: FeatureExtractor
    labels: tuple[str, ...]
    encoder: dict
    tokens: dict
    threads: int = 1

    @property
    def name(self) -> str:
        return self.directory.name

    @property
    def subsampling(self) -> int:
        """Feature frames for each frame of scores."""
        total = 1
        for factor in self.encoder["subsampling"]:
            total *= factor
        return total

    @property
    def step_seconds(self) -> float:
        """Time between two frames of scores."""
        return self.subsampling * self.extractor.shift_seconds

    @cached_property
    def scorer(self) -> Scorer:
        """The graph, opened on first use."""
        try:
            scorer = Scorer(self.directory / GRAPH, subsampling=self.subsampling, threads=self.threads)
        except Exception as error:  # ONNX Runtime raises classes of its own for a damaged file
            reason = str(error).splitlines()[0][:200]
            raise ModelError(f"{self.directory}: {GRAPH} or {WEIGHTS} is damaged ({reason}); fetch the model anew") from error
        if (scorer.features, scorer.labels) != (self.extractor.num_features, len(self.labels)):
            raise ModelError(
                f"{self.directory}: {GRAPH} reads {scorer.features} features and scores {scorer.labels} labels, but "
                f"{CONFIG} and {LABELS} define {self.extractor.num_features} and {len(self.labels)}; these files are of different models"
            )
        return scorer

    @property
    def card(self) -> str:
        """The model card, Markdown."""
        path = self.directory / CARD
        return path.read_text(encoding="utf-8") if path.is_file() else ""


def load(directory: str | Path, *, threads: int = 1) -> Model:
    """Open a model directory.

    Raises:
        ModelError: no directory, files missing or damaged, or a format newer than this program knows.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise ModelError(f"{directory}: no such model directory")
    missing = [name for name in (GRAPH, WEIGHTS, CONFIG, LABELS) if not (directory / name).is_file()]
    if missing:
        raise ModelError(f"{directory}: not a whole model, {', '.join(missing)} missing; a model directory is made by `asr train`")
    try:
        config = yaml.safe_load((directory / CONFIG).read_text(encoding="utf-8"))
        version = config["format"]
        if version != FORMAT:
            raise ModelError(_other_format(directory, version))
        labels = tuple((directory / LABELS).read_text(encoding="utf-8").removesuffix("\n").split("\n"))
        model = Model(directory, from_dict(config["features"]), labels, config["encoder"], config["tokens"], threads)
    except ModelError:
        raise
    except KeyError as error:
        raise ModelError(f"{directory / CONFIG}: {error.args[0]} is missing; fetch the model anew") from error
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{directory / CONFIG}: cannot be read ({reason}); fetch the model anew") from error
    if labels[0] != BLANK or len(set(labels)) != len(labels):
        raise ModelError(f"{directory / LABELS}: the first label must be {BLANK} and no label may stand twice; fetch the model anew")
    return model


def save(
    directory: str | Path,
    *,
    graph: bytes,
    weights: bytes,
    extractor: FeatureExtractor,
    labels: tuple[str, ...] | list[str],
    encoder: dict,
    tokens: dict,
    card: str,
) -> Model:
    """Write a model directory beside its place and rename it, so that a crash never leaves half a model.

    A model that is there already is replaced. Returns the model, loaded and checked from what was written.
    """
    directory = Path(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    config = {"format": FORMAT, "features": to_dict(extractor), "encoder": encoder, "tokens": tokens}
    files = {
        GRAPH: graph,
        WEIGHTS: weights,
        CONFIG: yaml.safe_dump(config, sort_keys=False, allow_unicode=True, default_flow_style=None).encode(),
        LABELS: ("\n".join(labels) + "\n").encode(),
        CARD: card.encode(),
    }
    beside = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        for name, content in files.items():
            with open(beside / name, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        beside.chmod(0o755)
        _ = load(beside).scorer
        _replace(directory, beside)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return load(directory)


def _replace(directory: Path, beside: Path) -> None:
    if not directory.exists():
        os.rename(beside, directory)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{directory.name}.old.", dir=directory.parent))
    os.rename(directory, old / directory.name)
    os.rename(beside, directory)
    shutil.rmtree(old)


def _other_format(directory: Path, version: object) -> str:
    """Why a model of another format is refused. A reader for an older one is added here when FORMAT rises."""
    if isinstance(version, int) and version > FORMAT:
        return f"{directory}: model format {version}; this program knows {FORMAT}: upgrade saywave"
    return f"{directory}: model format {version!r} is not one that saywave ever wrote; fetch the model anew"
