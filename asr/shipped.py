"""The models that come with the program, found by name."""

from __future__ import annotations

from pathlib import Path

from inference.model import CONFIG, ModelError

FOLDER = Path(__file__).parent / "models"
DEFAULT = "digits"


def names() -> list[str]:
    """Names of the shipped models."""
    return sorted(path.parent.name for path in FOLDER.glob(f"*/{CONFIG}"))


def find(model: str) -> Path:
    """The directory of a shipped model or, where `model` is no such name, of the model at that path.

    Raises:
        ModelError: there is neither.
    """
    if model in names():
        return FOLDER / model
    if Path(model).is_dir():
        return Path(model)
    raise ModelError(f"{model}: neither a shipped model ({', '.join(names()) or 'none'}) nor a model directory")
