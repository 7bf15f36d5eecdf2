"""One label for a stretch of a stream: attention pooling of what a classification head says of each step.

A step has evidence for each of V labels and, last, its energy of attention (E = V + 1). The pool of a stretch is the
evidence weighted with the softmax of the energies, so that any stretch can be judged after the encoder has run once;
`encoders.heads.ClassHead` says why. On a stream the last W steps are judged at every hop.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np


class RunningPool:
    """The pool of all steps so far, however many: sums are kept, steps are not.

    Weights are kept relative to the highest energy so far, so that none overflows (Milakov and Gimelshein 2018).

    Attributes:
        steps: How many there were.
    """

    def __init__(self) -> None:
        self.steps = 0
        self._highest = -np.inf
        self._weight = 0.0
        self._sum_V: np.ndarray | float = 0.0

    def push(self, evidence_TE: np.ndarray) -> None:
        """Take the next steps, any number of them."""
        if not len(evidence_TE):
            return
        evidence_TE = evidence_TE.astype(np.float64)
        highest = max(self._highest, float(evidence_TE[:, -1].max()))
        kept = np.exp(self._highest - highest)
        weights_T = np.exp(evidence_TE[:, -1] - highest)
        self._sum_V = kept * self._sum_V + weights_T @ evidence_TE[:, :-1]
        self._weight = kept * self._weight + weights_T.sum()
        self._highest = highest
        self.steps += len(evidence_TE)

    def probabilities(self) -> np.ndarray:
        """Probabilities (V) of the labels of all steps, float64; there must have been one."""
        assert self.steps, "a pool of no steps has no label"
        scores_V = self._sum_V / self._weight
        probabilities_V = np.exp(scores_V - scores_V.max())
        return probabilities_V / probabilities_V.sum()


def pool(evidence_TE: np.ndarray) -> np.ndarray:
    """Probabilities (V) of the labels of a stretch, float64; it must have a step at least."""
    running = RunningPool()
    running.push(evidence_TE)
    return running.probabilities()


def in_steps(head: Mapping[str, Any], step_seconds: float) -> tuple[int, int]:
    """Window and hop of a classification head in steps; training and use count them alike."""
    window, hop = (max(1, round(head[name] / 1000 / step_seconds)) for name in ("window_ms", "hop_ms"))
    return window, hop


class Pooled(NamedTuple):
    """Probabilities of the labels (N,V) in the windows that end before steps `ends` (N), counted from the first."""

    ends: np.ndarray
    probabilities_NV: np.ndarray


class PoolStream:
    """The last steps of one stream, judged every hop. The result does not depend on how the steps are pushed.

    Args:
        labels: Number of labels V.
        window: Steps judged together, W; at the beginning of the stream as many as there are.
        hop: Steps from one judgement to the next.
    """

    def __init__(self, *, labels: int, window: int, hop: int):
        assert window >= 1 <= hop, "window and hop are at least a step"
        self._labels = labels
        self._window = window
        self._hop = hop
        self.reset()

    def reset(self) -> None:
        """Forget everything: what follows is a new stream."""
        self._held_TE = np.zeros((0, self._labels + 1), dtype=np.float32)
        self._taken = 0

    def push(self, evidence_TE: np.ndarray) -> Pooled:
        """Judge every window whose last step has come."""
        held_TE = np.concatenate([self._held_TE, evidence_TE])
        first = self._taken - len(self._held_TE)
        before, self._taken = self._taken, self._taken + len(evidence_TE)
        ends = np.arange(before // self._hop + 1, self._taken // self._hop + 1) * self._hop
        probabilities_NV = np.zeros((len(ends), self._labels))
        for n, end in enumerate(ends - first):
            probabilities_NV[n] = pool(held_TE[max(0, end - self._window) : end])
        self._held_TE = held_TE[max(0, len(held_TE) - self._window) :].copy()
        return Pooled(ends, probabilities_NV)

    def flush(self) -> Pooled:
        """The stream has ended: judge its last window, unless it was judged; what is pushed then is a new stream."""
        taken, held_TE = self._taken, self._held_TE
        self.reset()
        if taken % self._hop == 0:
            return Pooled(np.zeros(0, dtype=np.int64), np.zeros((0, self._labels)))
        return Pooled(np.array([taken]), pool(held_TE)[None])
