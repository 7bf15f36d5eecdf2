"""The recordings of AN4 as CMU distributes them: NIST SPHERE, or bare samples of either byte order.

All are 16 kHz and 16 bits, one channel. SPHERE is read as it is; bare samples (`an4_raw.bigendian.tar.gz` and
`an4_raw.littleendian.tar.gz`, whose files have the same names) say neither rate nor order, and become wav.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from features import audio
from recipes.corpora.spoken import Utterance
from training.manifests import ManifestError

RATE = 16000
BARE = ".raw"


def recordings(folder: Path) -> dict[str, Path]:
    """The recordings by their names in the publisher's lists, SPEAKER and id in the folder of their part.

    Other encodings than the publisher's will do, such as flac; where there are several, those with a header are taken.

    Raises:
        ManifestError: there is no such folder, or nothing in it.
    """
    with_header = audio.files_in(folder) if folder.is_dir() else []
    found = {_name(path, folder): path for path in [*folder.rglob(f"*{BARE}"), *with_header]}
    if not found:
        raise ManifestError(
            f"{folder}: no recordings; unpack an4_sphere.tar.gz or an4_raw.bigendian.tar.gz, or leave out the settings "
            f"for sound to train on cepstra (feat)"
        )
    return found


def with_header(one: Utterance, folder: Path, out: Path) -> Utterance:
    """The utterance, of bare samples as a wav in `out`, at the place that they have in `folder`.

    Raises:
        ManifestError: there are no samples, or half of one.
        features.audio.AudioError: the wav cannot be written.
    """
    if one.path.suffix != BARE:
        return one
    wav = out / one.path.relative_to(folder).with_suffix(".wav")
    wav.parent.mkdir(parents=True, exist_ok=True)
    audio.write(wav, read_bare(one.path) / 32768, RATE)
    return one._replace(path=wav)


def read_bare(path: Path) -> np.ndarray:
    """Samples (S) of 16 bits, in the byte order in which they move least from one to the next.

    In the other one the low byte counts as the high one, and speech becomes noise over the whole range.

    Raises:
        ManifestError: there are none, or half of one.
    """
    content = path.read_bytes()
    if not content or len(content) % 2:
        raise ManifestError(f"{path}: {len(content):,} bytes are no samples of 16 bits; unpack the archive again")
    orders = [np.frombuffer(content, dtype=f"{order}i2").astype(np.float32) for order in "><"]
    return min(orders, key=lambda samples_S: float(np.abs(np.diff(samples_S)).mean()) if len(samples_S) > 1 else 0.0)


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()
