"""What a fusion adds to a text. This file is no package's part: take it with `runpy.run_path`."""

from __future__ import annotations

import numpy as np

from inference.beam import Fusion


def gain(fusion: Fusion, labels: tuple[int, ...]) -> float:
    """What a text gains, label by label."""
    state, total = np.array([fusion.begin()]), 0.0
    for label in labels:
        gains, state = fusion.extend(state, np.array([label]))
        total += float(gains[0])
    return total + float(fusion.finish(state)[0])
