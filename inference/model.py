"""The model directory: everything that a trained model is, in files that a person can read or a library checks.

    model.onnx            the graph that runs
    weights.safetensors   its weights, which the graph points into; training goes on from them
    config.yaml           format version, feature definition with its statistics, encoder, head, tokens; calibration,
                          and the kind of int8 weights
    labels.txt            one label a line, the blank of CTC first
    README.md             the model card: data, licence, numbers, the command that made it
    SHA256SUMS            what `sha256sum` says of the first four, and of the next, by which damage is found
    others                that config.yaml names, such as a language model (`asr.carried`)

Loading runs no code that travels with the model: nothing is unpickled. Whoever changes a file by hand makes SHA256SUMS
anew or removes it; without it nothing but the form of the files is checked.
"""

from __future__ import annotations

import copy
import ctypes
import errno
import hashlib
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import yaml

from features.definition import Extractor, from_dict, to_dict
from inference.scorer import Scorer

# 2 added the head. A model of format 1 has the only head there was, CTC. 3 added convolutions before the layers, and is
# the format of the models that have them; the others stay readable for older programs. 4 is that of int8 weights.
FORMAT = 2
FORMAT_OF_CONVOLUTIONS = 3
FORMAT_OF_INT8 = 4
READABLE = (1, 2, 3, 4)
CONVOLUTION_FRAMES = 4  # that become one step, before any stacking
CTC, CLASS, FORECAST = "ctc", "class", "forecast"
LANGUAGE = "language_model"  # the key by which a directory is one, of `inference.lstm_lm`
FORECASTS = "forecasts sound and writes no words; train a model that does on from it: asr train DATA --from MODEL"
BLANK = "<blank>"
GRAPH, WEIGHTS, CONFIG, LABELS, CARD = "model.onnx", "weights.safetensors", "config.yaml", "labels.txt", "README.md"
SUMS = "SHA256SUMS"
SUMMED = (GRAPH, WEIGHTS, CONFIG, LABELS)


class ModelError(ValueError):
    """A directory that is no usable model; the message names it and says what to do."""


@dataclass(frozen=True)
class Model:
    """A model directory, checked.

    Attributes:
        directory: Where it lies.
        extractor: Samples or landmarks to the frames that it was trained on.
        labels: What the scores stand for; with CTC `labels[0]` is the blank.
        encoder: Shape of the encoder (the fields of `encoders.blstm.EncoderConfig`).
        head: What the scores are. `kind` is `ctc`, or `class`, whose frames have the energy of attention besides, or
            `forecast`, the frames of the step that comes `ahead` steps later.
            On landmarks the latter has `window_ms`, `hop_ms` and `threshold` too.
        tokens: How labels make up text; `unit` is `char` or `word`, or `gesture`. Of speech, `form` is `plain` or
            `written` (`asr.text.normalize`), and plain where it is not there; where recordings have a label, it is
            `class`.
        latency: The latencies that it was trained at: `chunk_ms`, the shortest and the longest, and `lookahead_share`;
            none for full context alone.
        calibration: What confidences and times are corrected by, as `asr.confidence.calibration` has it; none for a
            model that was not calibrated, as all are that are older.
        threads: Threads that scoring uses; 0 takes every core.
        int8: Of weights of 8 bits, the `kind` (`encoders.int8`) and the `ranges` that inputs of products are cut off
            at; none for float32.
        search: What it carries for its search, as `asr.carried` has it; none for a model without it.
    """

    directory: Path
    extractor: Extractor
    labels: tuple[str, ...]
    encoder: dict
    head: dict
    tokens: dict
    latency: dict | None = None
    threads: int = 1
    calibration: dict | None = None
    int8: dict | None = None
    search: dict | None = None

    @property
    def name(self) -> str:
        return self.directory.name

    @property
    def subsampling(self) -> int:
        """Feature frames for each frame of scores."""
        total = CONVOLUTION_FRAMES if self.encoder.get("convolution") else 1
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
            raise ModelError(
                f"{self.directory}: {GRAPH} or {WEIGHTS} is damaged ({_first_line(error)}); fetch the model anew"
            ) from error
        columns = len(self.labels) + (self.head["kind"] == CLASS)
        if (scorer.features, scorer.labels) != (self.extractor.num_features, columns):
            raise ModelError(
                f"{self.directory}: {GRAPH} reads {scorer.features} features and scores {scorer.labels} columns, but "
                f"{CONFIG} and {LABELS} define {self.extractor.num_features} and {columns}; "
                "these files are of different models"
            )
        if scorer.steps(2 * self.subsampling) != 2:
            raise ModelError(
                f"{self.directory}: {GRAPH} does not stack {self.subsampling} frames to one, as {CONFIG} says; "
                "these files are of different models"
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
    missing = [name for name in SUMMED if not (directory / name).is_file()]
    if missing:
        raise ModelError(
            f"{directory}: not a whole model, {', '.join(missing)} missing; a model directory is made by `asr train` "
            "and `gestures train`"
        )
    try:
        check_sums(directory)
        config = _config(directory)
        lines = (directory / LABELS).read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise ModelError(f"{directory}: cannot be read ({error.strerror}); check its permissions") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{directory}: {CONFIG} or {LABELS} is not text in UTF-8; fetch the model anew") from error
    labels, after = tuple(lines[:-1]), lines[-1]
    if after or len(set(labels)) != len(labels) or "" in labels or len(labels) < 2:
        raise ModelError(
            f"{directory / LABELS}: two labels at least are needed, none may be empty or stand twice, and each ends "
            "its line; fetch the model anew"
        )
    if (labels[0] == BLANK) != (config["head"]["kind"] == CTC):
        raise ModelError(f"{directory / LABELS}: {BLANK} is the first label with CTC, and only there; fetch it anew")
    try:
        extractor = from_dict(config["features"])
    except (TypeError, ValueError, OverflowError, MemoryError) as error:
        raise ModelError(f"{directory / CONFIG}: {_first_line(error)}; fetch the model anew") from error
    parts = (config[key] for key in ("encoder", "head", "tokens"))
    more = (config.get(key) for key in ("calibration", "int8", "search"))
    return Model(directory, extractor, labels, *parts, config.get("latency"), threads, *more)


def check_sums(directory: Path) -> None:
    """Hold the files of a model directory against its `SHA256SUMS`, if it has any.

    Raises:
        ModelError: one is damaged.
    """
    if not (directory / SUMS).is_file():
        return
    lines = (directory / SUMS).read_text(encoding="utf-8", errors="replace").splitlines()
    expected = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    for name in {**dict.fromkeys(SUMMED), **expected}:
        file = directory / Path(name).name
        if not file.is_file():
            raise ModelError(f"{directory}: {name} is missing, which {SUMS} names; fetch the model anew")
        with open(file, "rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        if expected.get(name) != digest:
            raise ModelError(f"{directory}: {name} is damaged (its sum is not the one in {SUMS}); fetch the model anew")


def stored_config(directory: Path) -> Any:
    """What `config.yaml` holds, of whatever kind; read once where it is asked for twice.

    PyYAML's faster loader is not taken: brackets that are nested deeply end the process there, without an error.

    Raises:
        OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError: it cannot be read.
    """
    return copy.deepcopy(_parsed((directory / CONFIG).read_text(encoding="utf-8")))


@lru_cache(maxsize=1)
def _parsed(text: str) -> Any:
    return yaml.safe_load(text)


def _config(directory: Path) -> dict:
    """The content of `config.yaml`, of the kinds that the rest of the program relies on."""
    try:
        config = stored_config(directory)
    except (yaml.YAMLError, RecursionError) as error:
        raise ModelError(
            f"{directory / CONFIG}: cannot be read ({_first_line(error)}); fetch the model anew"
        ) from error
    if not isinstance(config, dict) or "format" not in config:
        raise ModelError(f"{directory / CONFIG}: format is missing; fetch the model anew")
    if LANGUAGE in config:
        raise ModelError(f"{directory}: is a language model; give it to --lm, and a model that recognises to --model")
    if config["format"] not in READABLE:
        raise ModelError(_other_format(directory, config["format"]))
    if config["format"] == 1:
        config["head"] = {"kind": CTC}
    for key, *inside in (("features",), ("encoder", "subsampling"), ("head", "kind"), ("tokens", "unit")):
        if not isinstance(config.get(key), dict) or not all(name in config[key] for name in inside):
            raise ModelError(f"{directory / CONFIG}: {'.'.join([key, *inside])} is missing; fetch the model anew")
    factors = config["encoder"]["subsampling"]
    if not isinstance(factors, list) or not all(type(factor) is int and 0 < factor <= 64 for factor in factors):
        raise ModelError(f"{directory / CONFIG}: encoder.subsampling is {factors!r}; fetch the model anew")
    maps = config["encoder"].get("convolution", 0)
    if type(maps) is not int or maps < 0:
        raise ModelError(f"{directory / CONFIG}: encoder.convolution is {maps!r}; fetch the model anew")
    if config["head"]["kind"] not in (CTC, CLASS, FORECAST):
        raise ModelError(f"{directory / CONFIG}: head.kind is {config['head']['kind']!r}; fetch the model anew")
    if config["head"]["kind"] == CLASS and "landmarks" in config["features"]:
        for key, fits in (("window_ms", _positive), ("hop_ms", _positive), ("threshold", _share)):
            value = config["head"].get(key)
            if not fits(value):
                raise ModelError(f"{directory / CONFIG}: head.{key} is {value!r}; fetch the model anew")
    if config["head"]["kind"] == FORECAST and not (type(ahead := config["head"].get("ahead")) is int and ahead > 0):
        raise ModelError(f"{directory / CONFIG}: head.ahead is {ahead!r}; fetch the model anew")
    latency = config.get("latency")
    chunk_ms = latency.get("chunk_ms") if isinstance(latency, dict) else None
    whole = isinstance(chunk_ms, list) and len(chunk_ms) == 2 and all(isinstance(ms, int | float) for ms in chunk_ms)
    if latency is not None and not whole:
        raise ModelError(f"{directory / CONFIG}: latency is {latency!r}; fetch the model anew")
    for key in ("calibration", "int8", "search"):
        if not isinstance(config.get(key, {}), dict):
            raise ModelError(f"{directory / CONFIG}: {key} is {config[key]!r}; fetch the model anew")
    return config


def _positive(value: object) -> bool:
    return type(value) in (int, float) and 0 < value < math.inf


def _share(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


def save(
    directory: str | Path,
    *,
    graph: bytes,
    weights: bytes,
    extractor: Extractor,
    labels: tuple[str, ...] | list[str],
    encoder: dict,
    tokens: dict,
    card: str,
    head: dict | None = None,
    latency: dict | None = None,
) -> Model:
    """Write a model directory beside its place and rename it, so that a crash never leaves half a model.

    A model that is there already is replaced; no `head` is CTC's. Returns the model, loaded and checked from what was
    written.
    """
    directory = Path(directory)
    config = {
        "format": FORMAT_OF_CONVOLUTIONS if encoder.get("convolution") else FORMAT,
        "features": to_dict(extractor),
        "encoder": encoder,
        "head": head or {"kind": CTC},
        "tokens": tokens,
    }
    if latency is not None:
        config["latency"] = latency
    files = {
        GRAPH: graph,
        WEIGHTS: weights,
        CONFIG: as_yaml(config),
        LABELS: ("\n".join(labels) + "\n").encode(),
        CARD: card.encode(),
    }
    write(directory, files, check=lambda beside: load(beside).scorer)
    return load(directory)


def as_yaml(config: dict) -> bytes:
    """The content of `config.yaml`."""
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True, default_flow_style=None).encode()


def write(
    directory: Path, files: dict[str, bytes], *, check: Callable[[Path], object], also: Iterable[str] = ()
) -> None:
    """Write a directory of files and their sums beside its place and rename it, once `check` finds it whole.

    The sums are of `SUMMED`, and `also` of others.
    """
    sums = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in (*SUMMED, *also)]
    files = {**files, SUMS: "".join(sums).encode()}
    beside = _beside(directory)
    try:
        for name, content in files.items():
            with open(beside / name, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        beside.chmod(0o755)
        check(beside)
        _replace(directory, beside)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def check_place(directory: Path) -> None:
    """Make the folders that a model directory goes into.

    Raises:
        OSError: they cannot be made, or nothing can be written there.
    """
    _beside(directory).rmdir()


def _beside(directory: Path) -> Path:
    """A new folder beside a directory."""
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    except OSError as error:
        # A name that nobody gave says nothing to whoever asked for the directory, nor that a file is there already.
        code = errno.ENOTDIR if isinstance(error, FileExistsError) else error.errno
        raise OSError(code, os.strerror(code), str(directory)) from error


def _replace(directory: Path, beside: Path) -> None:
    if not directory.exists():
        os.rename(beside, directory)
    elif _exchange(directory, beside):
        shutil.rmtree(beside)
    else:
        # Between these two a crash leaves the old model under the other name, whole.
        old = Path(tempfile.mkdtemp(prefix=f".{directory.name}.old.", dir=directory.parent))
        os.rename(directory, old / directory.name)
        os.rename(beside, directory)
        shutil.rmtree(old)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two directories in one step, so that there is a model at any moment; false where the system cannot."""
    if sys.platform != "linux":
        return False
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    at_working_directory, rename_exchange = -100, 2
    return (
        renameat2 is not None
        and renameat2(at_working_directory, os.fsencode(one), at_working_directory, os.fsencode(other), rename_exchange)
        == 0
    )


def _other_format(directory: Path, version: object) -> str:
    """Why a model of another format is refused. What an older one lacks gets its meaning in `load`."""
    if isinstance(version, int) and version > max(READABLE):
        return f"{directory}: model format {version}; this program knows up to {max(READABLE)}: upgrade saywave"
    return f"{directory}: model format {version!r} is not one that saywave ever wrote; fetch the model anew"
