"""What is installed and what is missing for what: the text of `asr doctor`."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import sys

from asr.shipped import FOLDER, names
from inference.model import ModelError, load

# What a part of the program needs: (module to import, distribution that brings it).
NEEDS = {
    "transcribe wav, flac, ogg, opus, mp3": (
        [
            ("numpy", "numpy"),
            ("soundfile", "soundfile"),
            ("soxr", "soxr"),
            ("onnxruntime", "onnxruntime"),
            ("yaml", "PyYAML"),
        ],
        "saywave",
    ),
    "transcribe m4a, mp4, webm": ([("av", "av")], "saywave[video]"),
    "evaluate": ([("jiwer", "jiwer"), ("lhotse", "lhotse")], "saywave[train]"),
    "train": (
        [
            ("torch", "torch"),
            ("lightning", "lightning"),
            ("lhotse", "lhotse"),
            ("onnx", "onnx"),
            ("jiwer", "jiwer"),
            ("tensorboard", "tensorboard"),
        ],
        "saywave[train]",
    ),
}


def report() -> str:
    """One line for the program, one for each thing that it can do, one for each model."""
    lines = [
        f"saywave {_version('saywave')}, Python {platform.python_version()}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores",
        "",
    ]
    for purpose, (packages, extra) in NEEDS.items():
        there = [f"{name} {_version(name)}" for module, name in packages if importlib.util.find_spec(module)]
        missing = [name for module, name in packages if not importlib.util.find_spec(module)]
        if missing:
            lines.append(f"missing  {purpose}: {', '.join(missing)}; pip install '{extra}'")
        else:
            lines.append(f"ok       {purpose}: {', '.join(there)}")
    lines += _torch_line()
    lines.append("")
    for name in names():
        size = sum(path.stat().st_size for path in (FOLDER / name).iterdir())
        lines.append(f"{_checked(name)} model {name}: {size / 1e6:.1f} MB, {FOLDER / name}")
    if not names():
        lines.append("missing  shipped models: this installation has none")
    return "\n".join(lines)


def _checked(name: str) -> str:
    """`ok` if the model loads and runs, `broken` if not."""
    try:
        _ = load(FOLDER / name).scorer
    except ModelError:
        return "broken  "
    return "ok      "


def _torch_line() -> list[str]:
    """Whether torch and torchaudio fit each other, which they do on the same minor version only."""
    if not (importlib.util.find_spec("torch") and importlib.util.find_spec("torchaudio")):
        return []
    torch, torchaudio = _version("torch"), _version("torchaudio")
    if torch.split(".")[:2] != torchaudio.split(".")[:2]:
        return [f"broken   torch {torch} beside torchaudio {torchaudio}: install the same minor version of both"]
    accelerator = "a GPU" if _cuda() else "the CPU"
    return [f"ok       training runs on {accelerator}"]


def _cuda() -> bool:
    # Looking for the driver's device file does without importing torch, which takes seconds.
    return sys.platform == "linux" and os.path.exists("/dev/nvidia0")


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "(version unknown)"
