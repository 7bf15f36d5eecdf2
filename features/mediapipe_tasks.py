"""Loads MediaPipe, or says in one line why it cannot be had."""

from __future__ import annotations

import ctypes
import importlib.metadata
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from features.landmarks import LandmarkError

OLDEST, LATEST = (0, 10, 30), (0, 10, 33)
"""Releases that are used: older ones have no such Tasks, later ones report usage to a server."""

SYSTEM_LIBRARIES = (
    ("libEGL.so.1", "libegl1"),
    ("libGLESv2.so.2", "libgles2"),
    ("libGL.so.1", "libgl1"),
    ("libgthread-2.0.so.0", "libglib2.0-0"),
)
"""What MediaPipe and its OpenCV need of a Linux system, and the Debian and Ubuntu packages that hold it."""

DEBIAN_PACKAGES = tuple(package for _, package in SYSTEM_LIBRARIES)

_INSTALL = "pip install 'saywave[video]'"


def mediapipe() -> Any:
    """The module mediapipe.

    Raises:
        LandmarkError: it is not installed, of another release than is used, or a system library is missing.
    """
    try:
        version = importlib.metadata.version("mediapipe")
    except importlib.metadata.PackageNotFoundError:
        raise LandmarkError(f"landmarks of videos need the package MediaPipe: {_INSTALL}") from None
    number = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
    if not OLDEST <= number <= LATEST:
        oldest, latest = (".".join(map(str, release)) for release in (OLDEST, LATEST))
        why = "reports usage to a server" if number > LATEST else "is too old"
        raise LandmarkError(f"MediaPipe {version} {why}: install {oldest} to {latest} instead: {_INSTALL}")
    try:
        with _without_sound():
            import mediapipe as module
            from mediapipe.tasks.python.core import mediapipe_c_bindings

            mediapipe_c_bindings.load_raw_library()
    except (ImportError, OSError) as error:
        raise LandmarkError(why_no_library(error, f"MediaPipe {version} cannot be loaded")) from None
    return module


@contextmanager
def _without_sound() -> Iterator[None]:
    """While in here, MediaPipe does without sounddevice, which would connect to the sound server for nothing."""
    known = "sounddevice" in sys.modules
    if not known:
        sys.modules["sounddevice"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if not known:
            del sys.modules["sounddevice"]


def missing_packages() -> tuple[str, ...]:
    """Debian packages of the system libraries that are not there; always none but on Linux."""
    if sys.platform != "linux":
        return ()
    return tuple(dict.fromkeys(package for library, package in SYSTEM_LIBRARIES if not _loads(library)))


def why_no_library(error: ImportError | OSError, what: str) -> str:
    """One line on a library that does not load: `what` is the case, and what is to be done."""
    reason = " ".join(str(error).split())
    if re.search(r"lib[\w.+-]+\.so[.\d]*: cannot open shared object file", reason):
        library = re.search(r"lib[\w.+-]+\.so[.\d]*", reason)
        assert library is not None
        packages = " ".join(missing_packages() or DEBIAN_PACKAGES)
        return f"{what}: the system has no {library[0]}: on Debian and Ubuntu, apt-get install {packages}"
    if isinstance(error, ModuleNotFoundError):
        return f"{what}: the package {error.name} is missing: {_INSTALL}"
    return f"{what}: {reason}: install it anew: {_INSTALL}"


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
