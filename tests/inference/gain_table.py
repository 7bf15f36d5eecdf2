"""A fusion in a table. This file is no package's part: take it with `runpy.run_path`."""

from __future__ import annotations

import numpy as np


class GainTable:
    """Gains of each pair of labels that follow one another (V,V); the state is the last label."""

    def __init__(self, gains_VV: np.ndarray) -> None:
        self.gains_VV = gains_VV

    def begin(self) -> int:
        return 0

    def extend(self, states_N: np.ndarray, labels_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.gains_VV[states_N, labels_N], labels_N

    def finish(self, states_N: np.ndarray) -> np.ndarray:
        return self.gains_VV[states_N, 0]

    def most(self) -> np.ndarray:
        return self.gains_VV.max(axis=0)
