"""Landmarks as in Kaggle's "Google - Isolated Sign Language Recognition": a table of signs, and a parquet file each.

Layout: `train.csv` with the columns path, participant_id, sequence_id and sign, and
`train_landmark_files/PARTICIPANT/SEQUENCE.parquet`, a row a point of MediaPipe Holistic: frame, row_id, type (face,
left_hand, pose, right_hand), landmark_index, x, y and z. Points that were not found are NaN. The corpus has no official
division, no frame rate and no image sizes; x and y are in widths and heights of the image, z in widths.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np

from features.landmarks import BODY, LEFT_HAND, PERSON, RIGHT_HAND, LandmarkError, Landmarks
from recipes.corpora import Clip, CorpusError

SIZE = (480, 640)
"""Pixels: upright, 3 to 4, as telephones take them. Only the ratio matters, and it is assumed."""
RATE = 30.0
"""Frames a second, assumed."""

TABLE = ("path", "participant_id", "sequence_id", "sign")
COLUMNS = ("frame", "type", "landmark_index", "x", "y", "z")
# MediaPipe's numbers of the points of BODY, among its 33.
BODY_NUMBERS = (0, 2, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 23, 24)
POINT = {
    **dict(zip((("pose", number) for number in BODY_NUMBERS), BODY, strict=True)),
    **{("left_hand", number): point for number, point in enumerate(LEFT_HAND)},
    **{("right_hand", number): point for number, point in enumerate(RIGHT_HAND)},
}
COUNT = {"face": 478, "left_hand": 21, "pose": 33, "right_hand": 21}
"""Points of each type; the face may come without its irises (468)."""


def clips(folder: str | Path, *, size: tuple[int, int] = SIZE, rate: float = RATE) -> Iterator[Clip]:
    """Clips in the order of `train.csv`, each read when its turn comes, of the points `PERSON`.

    Args:
        folder: The unpacked corpus, with `train.csv`.
        size: Width and height of the images in pixels, to be the same for all.
        rate: Frames a second.

    Raises:
        CorpusError: pyarrow is not installed, or a table or clip is missing or not as the layout says.
    """
    _pyarrow_parquet()
    folder = Path(folder)
    table = folder / "train.csv"
    try:
        text = table.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CorpusError(f"{table}: cannot be read ({error.strerror}); unpack the corpus here") from None
    except UnicodeDecodeError:
        raise CorpusError(f"{table}: is not text in UTF-8; unpack the corpus anew") from None
    lines = csv.DictReader(io.StringIO(text, newline=""))
    missing = [name for name in TABLE if name not in (lines.fieldnames or ())]
    if missing:
        raise CorpusError(f"{table}: has no column {missing[0]}; its first line must name {', '.join(TABLE)}")
    for line in lines:
        if not all(line[name] for name in TABLE):
            raise CorpusError(f"{table}: line {lines.line_num} is not whole; unpack the corpus anew")
        landmarks = read(folder / line["path"], size=size, rate=rate)
        yield Clip(
            f"{line['participant_id']}-{line['sequence_id']}", landmarks, line["sign"], line["participant_id"], ""
        )


def read(path: str | Path, *, size: tuple[int, int] = SIZE, rate: float = RATE) -> Landmarks:
    """Landmarks of one parquet file in pixels of `size`; the first frame is at 0 s, and gaps in `frame` stay.

    Raises:
        CorpusError: pyarrow is not installed, or the file is missing or holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise CorpusError(f"{path}: not there; unpack the whole corpus")
    frame_R, type_R, index_R, xyz_R3 = _columns(path)
    frames_T, t_R = np.unique(frame_R, return_inverse=True)
    coordinates_TKC = np.full((len(frames_T), len(PERSON), 3), np.nan)
    types, type_of_R = np.unique(type_R, return_inverse=True)
    for number, name in enumerate(types.tolist()):
        of_type_R = type_of_R == number
        if name not in COUNT or (index_R[of_type_R] < 0).any() or (index_R[of_type_R] >= COUNT[name]).any():
            raise CorpusError(f"{path}: holds points that Holistic does not have, of type {name!r}; unpack it anew")
        column = np.array([PERSON.index(POINT[name, k]) if (name, k) in POINT else -1 for k in range(COUNT[name])])
        k_R = np.where(of_type_R, column[np.where(of_type_R, index_R, 0)], -1)
        wanted_R = k_R >= 0
        coordinates_TKC[t_R[wanted_R], k_R[wanted_R]] = xyz_R3[wanted_R]
    coordinates_TKC *= (size[0], size[1], size[0])
    coordinates_TKC[..., 2] = np.nan_to_num(coordinates_TKC[..., 2], nan=0.0)  # a source without depth
    presence_TK = np.isfinite(coordinates_TKC).all(axis=2)
    time_T = (frames_T - frames_T[:1]) / rate
    try:
        return Landmarks(coordinates_TKC, presence_TK, time_T, PERSON, size)
    except LandmarkError as error:
        raise CorpusError(f"{path}: {error}") from None


def _columns(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Frame (R), type (R), index (R) and coordinates (R,3) of the rows."""
    parquet = _pyarrow_parquet()
    try:
        with parquet.ParquetFile(path) as file:
            missing = [name for name in COLUMNS if name not in file.schema_arrow.names]
            if missing:
                raise CorpusError(f"{path}: has no column {missing[0]}; {', '.join(COLUMNS)} are needed")
            table = file.read(columns=list(COLUMNS))
        if any(table[name].null_count for name in ("frame", "type", "landmark_index")):
            raise CorpusError(f"{path}: has rows without frame, type or landmark_index; unpack it anew")
        frame_R, index_R = (table[name].to_numpy().astype(np.int64) for name in ("frame", "landmark_index"))
        type_R = table["type"].to_numpy().astype(np.str_)
        xyz_R3 = np.stack([table[name].to_numpy().astype(np.float64) for name in "xyz"], axis=1)
    except (OSError, ValueError, NotImplementedError) as error:  # pyarrow's own errors are among these
        if isinstance(error, CorpusError):
            raise
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise CorpusError(f"{path}: is no parquet file of landmarks, or damaged ({reason})") from None
    return frame_R, type_R, index_R, xyz_R3


def _pyarrow_parquet() -> ModuleType:
    try:
        import pyarrow.parquet
    except ImportError:
        raise CorpusError("parquet files need pyarrow: pip install 'saywave[parquet]'") from None
    return pyarrow.parquet
