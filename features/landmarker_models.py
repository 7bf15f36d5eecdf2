"""The two models of the landmarker, made on first use and kept in a cache folder.

MediaPipe's wheels carry no models from 0.10.30 on, and their usual home is a download server. The wheel of 0.10.21
(Apache-2.0) still carries the same networks: pip fetches that one file, from wherever it is set up to fetch from; it is
checked, and four networks of it are packed as MediaPipe Tasks wants them. Afterwards no network is needed any more.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from features.landmarks import LandmarkError
from features.tflite import with_scaling

HAND, POSE = "hand_landmarker.task", "pose_landmarker.task"

# One wheel for all machines: the networks in it are the same for each.
_WHEEL = "mediapipe==0.10.21"
_WHEEL_CHOICE = (
    "--python-version=3.11",
    "--implementation=cp",
    "--platform=manylinux_2_28_x86_64",
    "--only-binary=:all:",
)
_PIP = ("--no-deps", "--retries=2", "--timeout=15", "--no-input", "--disable-pip-version-check", "--quiet")
_WHEEL_SHA256 = "05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3"
_WHEEL_BYTES = 35_600_000  # about; for the progress bar

# What each model is packed from, and what comes out.
_NETWORKS = {
    HAND: {
        "hand_detector.tflite": "palm_detection/palm_detection_full",
        "hand_landmarks_detector.tflite": "hand_landmark/hand_landmark_full",
    },
    POSE: {
        "pose_detector.tflite": "pose_detection/pose_detection",
        "pose_landmarks_detector.tflite": "pose_landmark/pose_landmark_full",
    },
}
_SHA256 = {
    HAND: "d4263399c5640ecb4b27e7804ac4d811bf5ee33b1443d978c5b3b1678fee69fd",
    POSE: "961b24ea720917ada4405d792c17744bd8c6a6c7f1fd32310c0ded5d9eaf0869",
}
_FIXED_DATE = (2025, 2, 6, 0, 0, 0)  # makes the archives reproducible

_INSTEAD = f"or give a folder with the official {HAND} and {POSE}: --landmarker-models DIR"

Progress = Callable[[float], None]
"""Called now and then with how much is done, from 0 to 1."""


def ensure(folder: Path | None = None, *, progress: Progress | None = None) -> Path:
    """The folder that holds `hand_landmarker.task` and `pose_landmarker.task`.

    Args:
        folder: Where the user has put official files; they are looked at and used. None takes the cache folder, and
            makes the models there unless they are there already, whole.
        progress: Called while they are made; see `bar`.

    Raises:
        LandmarkError: a file is missing or no model; pip cannot fetch the wheel; there is no room.
    """
    if folder is not None:
        for name in _NETWORKS:
            _check_official(Path(folder) / name)
        return Path(folder)
    folder = cache_folder()
    if not all(_is_whole(folder / name) for name in _NETWORKS):
        build(folder, progress=progress)
    return folder


def cache_folder() -> Path:
    """Where the models are kept: below XDG_CACHE_HOME if it is set, else where the system keeps such things."""
    if chosen := os.environ.get("XDG_CACHE_HOME"):
        base = Path(chosen)
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path.home() / ".cache"
    return base / "saywave" / "landmarkers"


def build(folder: Path, *, progress: Progress | None = None) -> None:
    """Fetch the wheel and make the models in this folder.

    They are written beside and renamed: another process that does the same at the same time does no harm.

    Raises:
        LandmarkError: as `ensure`.
    """
    report = progress or (lambda done: None)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".part-") as beside:
            wheel = _fetch(Path(beside), lambda done: report(0.9 * done))
            for count, name in enumerate(_NETWORKS, start=1):
                _pack(wheel, name, Path(beside) / name)
                _replace(Path(beside) / name, folder / name)
                report(0.9 + 0.1 * count / len(_NETWORKS))
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        what = "there is no room left; 100 MB are needed" if full else error.strerror or str(error)
        raise LandmarkError(
            f"{folder}: the landmark models cannot be written: {what}: "
            f"let XDG_CACHE_HOME name a folder elsewhere, {_INSTEAD}"
        ) from None


@contextmanager
def bar() -> Iterator[Progress]:
    """A progress bar on standard error, which appears with the first report; none where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f} %"))
    shown = Bar(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = shown.add_task("fetching the landmark models (once)", total=1.0)

    def report(done: float) -> None:
        shown.start()
        shown.update(task, completed=done)

    try:
        yield report
    finally:
        shown.stop()


def _fetch(folder: Path, report: Progress) -> Path:
    """The wheel, fetched by pip into this folder."""
    if importlib.util.find_spec("pip") is None:
        raise LandmarkError(
            "the landmark models are fetched with pip, which this Python does not have: "
            f"{sys.executable} -m ensurepip, {_INSTEAD}"
        )
    command = [sys.executable, "-P", "-m", "pip", "download", *_WHEEL_CHOICE, *_PIP, "--dest", str(folder), _WHEEL]
    # pip's own temporary files go here too: they are watched for the progress, and are gone afterwards in any case.
    env = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    said = folder / "pip.txt"
    with open(said, "wb") as output:
        pip = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        try:
            while pip.poll() is None:
                report(min(1.0, _bytes_in(folder) / _WHEEL_BYTES))
                time.sleep(0.1)
        finally:
            if pip.poll() is None:
                pip.kill()
                pip.wait()
    wheels = list(folder.glob("mediapipe-*.whl"))
    if pip.returncode or len(wheels) != 1:
        _explain(said.read_text(errors="replace"))
    if _sha256(wheels[0]) != _WHEEL_SHA256:
        raise LandmarkError(
            f"the landmark models cannot be made: what pip fetched as {_WHEEL} is another file than the one that was "
            f"published: check where pip fetches from (python -m pip config list), {_INSTEAD}"
        )
    return wheels[0]


def _explain(said: str) -> None:
    """Raise what follows from the last words of pip."""
    if "No space left" in said or "File too large" in said:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    # The last error is the one that ended it; a warning that stands before says more of the network.
    reason = next(
        (line for line in lines if "connection" in line.casefold()), lines[-1] if lines else "it said nothing"
    )
    raise LandmarkError(
        f"the landmark models cannot be fetched: pip did not get {_WHEEL} ({reason[:200]}): "
        f"check the network and start again, {_INSTEAD}"
    )


def _bytes_in(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.path.getsize(os.path.join(place, name))
            except FileNotFoundError:  # pip has just moved it
                continue
    return total


def _pack(wheel: Path, name: str, target: Path) -> None:
    """One model of the networks in the wheel."""
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for part, network in _NETWORKS[name].items():
            content = source.read(f"mediapipe/modules/{network}.tflite")
            if part == "pose_landmarks_detector.tflite":  # the one that does not say how it wants its image
                content = with_scaling(content, mean=0.0, std=255.0)
            entry = zipfile.ZipInfo(part, _FIXED_DATE)
            entry.create_system = 3  # else another system gives other bytes
            archive.writestr(entry, content)
    if _sha256(target) != _SHA256[name]:
        raise LandmarkError(
            f"{name}: has come out differently than it must, although the wheel was right: "
            f"please report this with your Python ({sys.version.split()[0]}, {sys.platform}), {_INSTEAD}"
        )


def _replace(made: Path, target: Path) -> None:
    try:
        os.replace(made, target)
    except PermissionError:
        # On Windows a file that somebody reads cannot be replaced; if it is whole, it need not be.
        if not _is_whole(target):
            raise


def _is_whole(path: Path) -> bool:
    return path.is_file() and _sha256(path) == _SHA256[path.name]


def _check_official(path: Path) -> None:
    """Whether a file that the user has given is the model of its name."""
    fetch = "put MediaPipe's official file of this name there, or leave out --landmarker-models"
    if not path.is_file():
        raise LandmarkError(f"{path}: no such file: {fetch}")
    try:
        with zipfile.ZipFile(path) as archive:
            missing = set(_NETWORKS[path.name]) - set(archive.namelist())
    except (zipfile.BadZipFile, OSError):
        raise LandmarkError(f"{path}: cannot be read, or is no model of MediaPipe: {fetch}") from None
    if missing:
        raise LandmarkError(f"{path}: is another model, without {min(missing)}: {fetch}")


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
