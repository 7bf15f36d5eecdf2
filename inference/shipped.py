"""The models that come with the program, found by name.

Help texts name them, so nothing that takes time is imported here.
"""

from __future__ import annotations

from pathlib import Path


def names(folder: Path) -> list[str]:
    """Names of the models shipped in a folder."""
    return sorted(path.parent.name for path in folder.glob("*/config.yaml"))


def find(model: str, folder: Path) -> Path:
    """The directory of a shipped model or, where `model` is no such name, of the model at that path.

    Raises:
        ModelError: there is neither.
    """
    if model in names(folder):
        return folder / model
    if Path(model).is_dir():
        return Path(model)
    from inference.model import ModelError

    shipped = ", ".join(names(folder)) or "none"
    raise ModelError(f"{model}: neither a shipped model ({shipped}) nor a model directory")
