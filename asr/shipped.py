"""The models of speech that come with the program."""

from __future__ import annotations

from pathlib import Path

from inference import shipped

FOLDER = Path(__file__).parent / "models"
DEFAULT = "english"


def names() -> list[str]:
    """Names of the shipped models."""
    return shipped.names(FOLDER)


def find(model: str) -> Path:
    """The directory of a shipped model or, where `model` is no such name, of the model at that path.

    Raises:
        ModelError: there is neither.
    """
    return shipped.find(model, FOLDER)


def check_own(model: str) -> None:
    """Refuse to change a model that comes with the program, which every project on the machine may use.

    Raises:
        ModelError: it is one.
    """
    if model in names():
        from inference.model import ModelError

        raise ModelError(f"{model}: comes with saywave and stays as it is; copy {find(model)} and name the copy")
