"""A model directory with one thing changed: its calibration, what it carries for its search, or the precision of its
weights. All else stays."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from inference.model import CARD, CONFIG, FORMAT_OF_INT8, GRAPH, SUMMED, WEIGHTS, Model, as_yaml, load, write

# Headings of the model card.
CALIBRATED, INT8, SEARCHED = "## Calibration", "## Weights of 8 bits", "## Search"


def store_calibration(directory: str | Path, calibration: dict, *, note: str = "") -> Model:
    """The model at `directory` with another calibration, or without one if it is empty; everything else stays as it is.

    What its model card says of calibration becomes the `note`, in Markdown, or goes if there is none.

    A program that is older than calibrations reads such a model and leaves its calibration aside, so the format version
    stays as well. It is written as `inference.model.save` does it.

    Raises:
        ModelError: the directory is no whole model.
        OSError: it cannot be written.
    """
    directory = Path(directory).resolve()
    load(directory)
    config = _config(directory)
    config.pop("calibration", None)
    if calibration:
        config["calibration"] = calibration
    return _written(directory, _files(directory), config, CALIBRATED, note)


def store_int8(model: Model, directory: str | Path, *, graph: bytes, weights: bytes, int8: dict, note: str) -> Model:
    """Another directory with `model` in int8 weights: with this graph, and in its model card the `note`, in Markdown.

    Args:
        model: The model in float32.
        directory: Where the other goes; what is there is replaced.
        graph, weights: What was exported.
        int8: What `config.yaml` says of it: its `kind`, and the `ranges` of the inputs of products.
        note: What the model card says of it.

    Raises:
        OSError: it cannot be written.
    """
    config = {**_config(model.directory), "format": FORMAT_OF_INT8, "head": model.head, "int8": int8}
    files = _files(model.directory) | {GRAPH: graph, WEIGHTS: weights}
    return _written(Path(directory).resolve(), files, config, INT8, note)


def store_search(directory: str | Path, search: dict, files: dict[str, bytes], *, note: str = "") -> Model:
    """The model at `directory` with another search to carry, or without one if it is empty.

    An older program leaves it aside, as it does calibrations.

    Args:
        directory: The model.
        search: The settings, as `asr.carried` has them.
        files: Those that the settings name. Others that were carried before go.
        note: What the model card says of it, in Markdown.

    Raises:
        ModelError: the directory is no whole model.
        OSError: it cannot be written.
    """
    directory = Path(directory).resolve()
    load(directory)
    config, before = _config(directory), _files(directory)
    kept = {name: content for name, content in before.items() if name not in _carried(config, before)}
    config.pop("search", None)
    if search:
        config["search"] = search
    return _written(directory, kept | files, config, SEARCHED, note)


def _config(directory: Path) -> dict:
    return yaml.safe_load((directory / CONFIG).read_text(encoding="utf-8"))


def _files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir()) if path.is_file()}


def _written(directory: Path, files: dict[str, bytes], config: dict, heading: str, note: str) -> Model:
    if CARD in files or note:
        card = files.get(CARD, b"").decode("utf-8", "surrogateescape")
        files[CARD] = _with_section(card, heading, note).encode("utf-8", "surrogateescape")
    files[CONFIG] = as_yaml(config)
    write(directory, files, check=lambda beside: load(beside).scorer, also=_carried(config, files))
    return load(directory)


def _carried(config: dict, files: dict[str, bytes]) -> list[str]:
    """The files that a configuration names for its search."""
    named = (config.get("search") or {}).values()
    return [name for name in named if isinstance(name, str) and name in files and name not in SUMMED]


def _with_section(card: str, heading: str, note: str) -> str:
    """The model card with another section under a heading: up to the next heading, or to the end."""
    kept = re.sub(rf"^{re.escape(heading)}\n.*?(?=^#|\Z)", "", card, flags=re.DOTALL | re.MULTILINE)
    parts = [kept.rstrip(), *([heading, note.strip()] if note else [])]
    return card if kept == card and not note else "\n\n".join(parts).lstrip() + "\n"
