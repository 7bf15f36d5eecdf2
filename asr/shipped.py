"""The models that come with the program, found by name.

`asr --help` names them, so nothing that takes time is imported here.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "models"
DEFAULT = "digits"


def names() -> list[str]:
    """Names of the shipped models."""
    return sorted(path.parent.name for path in FOLDER.glob("*/config.yaml"))


def find(model: str) -> Path:
    """The directory of a shipped model or, where `model` is no such name, of the model at that path.

    Raises:
        ModelError: there is neither.
    """
    if model in names():
        return FOLDER / model
    if Path(model).is_dir():
        return Path(model)
    from inference.model import ModelError

    raise ModelError(f"{model}: neither a shipped model ({', '.join(names()) or 'none'}) nor a model directory")
