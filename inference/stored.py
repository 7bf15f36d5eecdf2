"""What a model directory gets after its training: a calibration, and a search.

The directory is written anew beside its place and takes it, so that it is whole at any moment.
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from inference.model import CARD, CONFIG, SUMMED, Model, as_yaml, load, write

CALIBRATED, SEARCHED = "## Calibration", "## Search"  # headings of the model card


def store_calibration(directory: str | Path, calibration: dict, *, note: str = "") -> Model:
    """The model at `directory` with another calibration, or without one if it is empty; everything else stays as it is.

    What its model card says of calibration becomes the `note`, in Markdown, or goes if there is none.

    A program that is older than calibrations reads such a model and leaves its calibration aside, so the format version
    stays as well. It is written as `save` does it.

    Raises:
        ModelError: the directory is no whole model.
        OSError: it cannot be written.
    """
    return _stored(directory, "calibration", calibration, heading=CALIBRATED, note=note)


def store_search(directory: str | Path, search: dict, files: dict[str, bytes], *, note: str = "") -> Model:
    """The same with what it carries for its search: settings, of which those that name files come with these files.

    Files that were carried before go.
    """
    return _stored(directory, "search", search, heading=SEARCHED, note=note, carried=files)


def _stored(
    directory: str | Path,
    key: str,
    value: dict,
    *,
    heading: str,
    note: str,
    carried: dict[str, bytes] | None = None,
) -> Model:
    directory = Path(directory).resolve()
    load(directory)
    config = yaml.safe_load((directory / CONFIG).read_text(encoding="utf-8"))
    files = {path.name: path.read_bytes() for path in sorted(directory.iterdir()) if path.is_file()}
    before = _carried(config, files)
    config.pop(key, None)
    if value:
        config[key] = value
    if carried is not None:
        files = {name: content for name, content in files.items() if name not in before} | carried
    if CARD in files or note:
        files[CARD] = _with_note(files.get(CARD, b"").decode("utf-8", "surrogateescape"), heading, note).encode(
            "utf-8", "surrogateescape"
        )
    files[CONFIG] = as_yaml(config)
    write(directory, files, check=lambda beside: load(beside).scorer, also=_carried(config, files))
    return load(directory)


def _carried(config: dict, files: dict[str, bytes]) -> list[str]:
    """The files that a configuration names for its search."""
    named = (config.get("search") or {}).values()
    return [name for name in named if isinstance(name, str) and name in files and name not in SUMMED]


def _with_note(card: str, heading: str, note: str) -> str:
    """The model card with another section of this heading: up to the next heading, or to the end."""
    kept = re.sub(rf"^{re.escape(heading)}\n.*?(?=^#|\Z)", "", card, flags=re.DOTALL | re.MULTILINE)
    parts = [kept.rstrip(), *([heading, note.strip()] if note else [])]
    return card if kept == card and not note else "\n\n".join(parts).lstrip() + "\n"
