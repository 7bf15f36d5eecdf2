"""What a report must say of where it was made: the processor, the commit, the versions."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Whose versions matter, where they are loaded: import name and name in the index.
PACKAGES = {
    "numpy": "numpy",
    "onnxruntime": "onnxruntime",
    "torch": "torch",
    "torchaudio": "torchaudio",
    "numba": "numba",
    "lightning": "lightning",
    "flashlight": "flashlight-text",
}


def about(command: str, *, threads: int, rounds: int, quick: bool) -> dict[str, str]:
    """Lines for the head of a report."""
    said = {
        "command": command,
        "commit": commit(),
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{processor()}, {os.cpu_count()} cores",
        "memory": memory(),
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "threads": f"{threads} of everything that is timed",
        "rounds": f"{rounds} in turns; medians (least, most); processor time unless it is said otherwise",
        "load at the start": f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown",
    }
    if quick:
        said["quick"] = "small sizes, which say whether everything runs and not how fast it is"
    return said


def loaded_packages(of_peers: Mapping[str, str]) -> dict[str, str]:
    """Versions of what has been loaded so far, and of what peers have reported."""
    found = {name: metadata.version(name) for module, name in PACKAGES.items() if module in sys.modules}
    return {"versions": ", ".join(f"{name} {version}" for name, version in sorted((found | dict(of_peers)).items()))}


def commit() -> str:
    """The commit of the tree, and whether it has been changed since."""
    try:
        short = _git("rev-parse", "--short", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
        return short + (" with changes that are not committed" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def processor() -> str:
    """The name of the processor, and which instructions it has for products of 8 bits."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = set(fields.get("flags", "").split())
    known = [name for name in ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8") if name in flags]
    return f"{fields.get('model name', platform.machine())} ({', '.join(known) or 'no AVX2'})"


def memory() -> str:
    """Of the machine, in GB."""
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB"
    except (AttributeError, OSError, ValueError):
        return "unknown"
