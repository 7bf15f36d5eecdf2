"""What is installed: what a command needs, and the lines that `asr doctor` and `gestures doctor` have in common."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from inference.model import ModelError, load

# What a part of a program needs: pairs of (module to import, distribution that it is of), and what brings them all.
Needs = Mapping[str, tuple[Sequence[tuple[str, str]], str]]

TRAINING = (
    ("torch", "torch"),
    ("lightning", "lightning"),
    ("lhotse", "lhotse"),
    ("onnx", "onnx"),
    ("jiwer", "jiwer"),
    ("tensorboard", "tensorboard"),
)


# What training imports, and what comparing with references does.
TO_TRAIN = ("torch", "numba", "lightning", "lhotse", "onnx", "jiwer")
TO_EVALUATE = ("jiwer", "lhotse")


class MissingPackagesError(ValueError):
    """Packages that are not installed; the message names them and what brings them."""


def require(modules: Iterable[str], *, what: str, extra: str) -> None:
    """Raise MissingPackagesError where one of the modules is not there, in the words "`what` needs"."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingPackagesError(f"{what} needs {', '.join(missing)}: pip install 'saywave[{extra}]'")


def program_line() -> str:
    """The program, Python and the machine."""
    return (
        f"saywave {version('saywave')}, Python {platform.python_version()}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores"
    )


def need_lines(needs: Needs) -> list[str]:
    """For each purpose the packages with their versions or, where some are missing, those and how to get them."""
    lines = []
    for purpose, (packages, extra) in needs.items():
        there = [f"{name} {version(name)}" for module, name in packages if importlib.util.find_spec(module)]
        missing = [name for module, name in packages if not importlib.util.find_spec(module)]
        if missing:
            lines.append(f"missing  {purpose}: {', '.join(missing)}; pip install '{extra}'")
        else:
            lines.append(f"ok       {purpose}: {', '.join(there)}")
    return lines


def torch_lines() -> list[str]:
    """Whether torch and torchaudio fit each other, which they do on the same minor version only."""
    if not (importlib.util.find_spec("torch") and importlib.util.find_spec("torchaudio")):
        return []
    torch, torchaudio = version("torch"), version("torchaudio")
    if torch.split(".")[:2] != torchaudio.split(".")[:2]:
        return [f"broken   torch {torch} beside torchaudio {torchaudio}: install the same minor version of both"]
    accelerator = "a GPU" if _cuda() else "the CPU"
    return [f"ok       training runs on {accelerator}"]


def model_lines(names: Iterable[str], folder: Path) -> list[str]:
    """Each shipped model with its size, and whether it loads and runs."""
    lines = []
    for name in names:
        size = sum(path.stat().st_size for path in (folder / name).iterdir())
        lines.append(f"{_checked(folder / name)} model {name}: {size / 1e6:.1f} MB, {folder / name}")
    return lines or ["missing  shipped models: this installation has none"]


def version(distribution: str) -> str:
    """The version that is installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "(version unknown)"


def _checked(directory: Path) -> str:
    """`ok` if the model loads and runs, `broken` if not."""
    try:
        _ = load(directory).scorer
    except ModelError:
        return "broken  "
    return "ok      "


def _cuda() -> bool:
    # Looking for the driver's device file does without importing torch, which takes seconds.
    return sys.platform == "linux" and os.path.exists("/dev/nvidia0")
