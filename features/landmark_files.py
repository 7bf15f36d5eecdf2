"""Landmarks in files: `.pose`, which others read too, `.npz`, which keeps everything as it is, and arrays of others."""

from __future__ import annotations

import io
import math
import os
import secrets
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from features import pose_file
from features.landmarks import LandmarkError, Landmarks

SUFFIXES = (".pose", ".npz")
ARRAYS = ("coordinates", "presence", "time", "points", "size", "mirrored")
"""What is in an `.npz`: the fields of `Landmarks`; size is empty where there is none."""


def read(path: str | Path, *, points: Sequence[str] | None = None) -> Landmarks:
    """Landmarks of a `.pose` file, also of MediaPipe Holistic's by others, or of an `.npz` that `write` wrote.

    Args:
        path: The file.
        points: What is taken, in this order; a point that the file does not have is absent. All there are, in the order
            of the file, if not given. `features.pose_file.decode` says how they are named, and who of several people.

    Raises:
        LandmarkError: no such file, no landmarks in it, or none of the points; the message names the file.
    """
    path = Path(path)
    suffix = _suffix(path)
    data = _bytes(path)
    try:
        landmarks = pose_file.decode(data) if suffix == ".pose" else _from_npz(data)
    except LandmarkError as error:
        raise LandmarkError(f"{path}: {error}") from None
    if points is None:
        return landmarks
    if points and not set(points) & set(landmarks.points):
        has = ", ".join(landmarks.points[:3]) + (" ..." if len(landmarks.points) > 3 else "")
        raise LandmarkError(f"{path}: has none of the points {points[0]} ... but {has or 'none'}; choose other points")
    return landmarks.select(points)


def write(path: str | Path, landmarks: Landmarks) -> None:
    """Write landmarks by the suffix of `path`, or leave what was there untouched.

    `.npz` keeps every number; `.pose` holds `landmarks.unmirrored()`, with what `features.pose_file.encode` says.

    Raises:
        LandmarkError: another suffix, or landmarks that a `.pose` file cannot hold.
        OSError: the folder does not exist or cannot be written.
    """
    path = Path(path)
    suffix = _suffix(path)
    try:
        data = pose_file.encode(landmarks) if suffix == ".pose" else _to_npz(landmarks)
    except LandmarkError as error:
        raise LandmarkError(f"{path}: {error}") from None
    # Beside its place and then renamed. The name does not contain that of the file, which may be as long as can be.
    part = path.with_name(f".{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as error:
        # The name of the part says nothing to whoever asked for `path`.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        part.unlink(missing_ok=True)


def from_array(
    source: npt.ArrayLike | str | Path,
    *,
    points: Sequence[str],
    fps: float,
    size: tuple[int, int] | None = None,
) -> Landmarks:
    """Landmarks from an array of others.

    Args:
        source: An array (T,K,2) of x and y, (T,K,3) with z, or (T,K,4) with z and presence 0 to 1; or a `.npy` file, or
            an `.npz` that holds one array. As in `Landmarks` y is down, all axes are on one scale, and a point that is
            absent is NaN.
        points: The K names.
        fps: Frames a second; the first is at 0 s.
        size: Width and height of the images in pixels, where they are known.

    Raises:
        LandmarkError: the file or array cannot be used; a file is named.
    """
    place = f"{source}: " if isinstance(source, str | Path) else ""
    array = _only_array(Path(source)) if isinstance(source, str | Path) else np.asarray(source)
    if not (np.isfinite(fps) and fps > 0):
        raise LandmarkError(f"{place}fps is {fps:g}; it must be above 0")
    if (
        array.dtype.kind not in "fiu"
        or array.ndim != 3
        or array.shape[1] != len(points)
        or array.shape[2] not in (2, 3, 4)
    ):
        raise LandmarkError(
            f"{place}an array {array.shape} of {array.dtype} cannot be the landmarks of {len(points)} points: "
            f"numbers (T, {len(points)}, 2 to 4) are needed"
        )
    frames = len(array)
    coordinates_TKC = np.zeros((frames, len(points), 3), dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        coordinates_TKC[..., : min(array.shape[2], 3)] = array[..., :3]
    there_TK = ~np.isnan(array).any(axis=2)
    presence_TK = np.where(there_TK, array[..., 3] if array.shape[2] == 4 else 1.0, 0.0)
    try:
        return Landmarks(coordinates_TKC, presence_TK, np.arange(frames) / fps, tuple(points), size)
    except LandmarkError as error:
        raise LandmarkError(f"{place}{error}") from None


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        more = "; from_array reads arrays of others" if suffix == ".npy" else ""
        raise LandmarkError(f"{path}: landmarks are in files that end in {' or '.join(SUFFIXES)}{more}")
    return suffix


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise LandmarkError(f"{path}: cannot be read ({error.strerror})") from None


def _to_npz(landmarks: Landmarks) -> bytes:
    stream = io.BytesIO()
    np.savez(
        stream,
        coordinates=landmarks.coordinates_TKC,
        presence=landmarks.presence_TK,
        time=landmarks.time_T,
        points=np.array(landmarks.points, dtype=np.str_),
        size=np.array(landmarks.size or (), dtype=np.int64),
        mirrored=np.array(landmarks.mirrored),
    )
    return stream.getvalue()


def _from_npz(data: bytes) -> Landmarks:
    arrays = _arrays(data)
    missing = [name for name in ARRAYS if name not in arrays]
    if missing:
        raise LandmarkError(f"has no array {missing[0]!r}; from_array reads arrays of others")
    kinds = {name: array.dtype.kind for name, array in arrays.items()}
    size = arrays["size"]
    if (
        any(kinds[name] not in "fiu" for name in ("coordinates", "presence", "time"))
        or (kinds["points"], kinds["mirrored"]) != ("U", "b")
        or kinds["size"] not in "iu"
        or any(arrays[name].ndim != 1 for name in ("time", "points", "size"))
        or arrays["mirrored"].ndim != 0
        or len(size) not in (0, 2)
    ):
        raise LandmarkError("holds arrays of other kinds than landmarks have; get or make it anew")
    return Landmarks(
        arrays["coordinates"],
        arrays["presence"],
        arrays["time"],
        tuple(arrays["points"].tolist()),
        (int(size[0]), int(size[1])) if len(size) else None,
        bool(arrays["mirrored"]),
    )


def _only_array(path: Path) -> np.ndarray:
    data = _bytes(path)
    try:
        if path.suffix.lower() != ".npz":
            return _array(data)
        arrays = _arrays(data)
    except LandmarkError as error:
        raise LandmarkError(f"{path}: {error}") from None
    if len(arrays) != 1:
        raise LandmarkError(
            f"{path}: holds the arrays {', '.join(arrays) or 'of none'}; load it with NumPy and give one"
        )
    return next(iter(arrays.values()))


def _arrays(data: bytes) -> dict[str, np.ndarray]:
    if not data:
        raise LandmarkError("is empty")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name.removesuffix(".npy"): archive.read(name) for name in archive.namelist()}
    except Exception as error:  # of zipfile and the decompressors, for all that a file can hold
        raise LandmarkError(f"is no .npz file, or damaged ({error or type(error).__name__})") from None
    return {name: _array(member) for name, member in members.items()}


def _array(data: bytes) -> np.ndarray:
    """An array in NumPy's format, no larger than its bytes: np.load would first make room for what the header says."""
    if not data:
        raise LandmarkError("is empty")
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, in_columns, dtype = header(stream)
        if dtype.hasobject:
            raise LandmarkError("holds Python objects, which are not loaded")
        rest = data[stream.tell() :]
        if math.prod(shape) * dtype.itemsize != len(rest):
            raise LandmarkError("holds more or less numbers than it says; it is damaged: get or make it anew")
        if not rest:
            return np.zeros(shape, dtype)
        return np.frombuffer(rest, dtype).reshape(shape, order="F" if in_columns else "C")
    except LandmarkError:
        raise
    except Exception as error:  # of NumPy's reading of the header, which evaluates a literal
        raise LandmarkError(f"is no array of NumPy, or damaged ({str(error)[:100] or type(error).__name__})") from None
