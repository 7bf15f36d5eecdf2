"""Miniatures of corpora in their publishers' layouts, of noise instead of speech: what is tested is who goes where."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile

SPEAKERS = ("anna", "boris")


@pytest.fixture(scope="session")
def small_yesno(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All 60 recordings that yesno has, by other names, of 0.3 s."""
    folder = tmp_path_factory.mktemp("yesno") / "waves_yesno"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for signs in itertools.islice(itertools.product("01", repeat=8), 0, 240, 4):
        soundfile.write(folder / f"{'_'.join(signs)}.wav", 0.1 * rng.standard_normal(2400), 8000)
    return folder.parent


@pytest.fixture(scope="session")
def small_fsdd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two speakers, twelve clips of each digit, of 0.05 to 0.1 s."""
    folder = tmp_path_factory.mktemp("fsdd") / "recordings"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for digit, speaker, index in itertools.product(range(10), SPEAKERS, range(12)):
        samples = 0.1 * rng.standard_normal(rng.integers(400, 800))
        soundfile.write(folder / f"{digit}_{speaker}_{index}.wav", samples, 8000)
    return folder.parent
