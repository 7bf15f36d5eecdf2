"""The arcs of a tree or an automaton, followed for many nodes at once.

The rows of all nodes lie over each other in one array, each shifted to where its arcs fall into gaps (Tarjan and Yao
1979, "Storing a sparse table"): memory is that of the arcs, and following one takes three looks into arrays. Shifts are
drawn for all rows at once, and the rows that meet others draw again, so that the array is made in a few steps of NumPy.

Shapes: N pairs of node and label, S nodes, E arcs.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

NONE = -1
ROOM = 1.2  # places for each arc, at first
GOLDEN = (5**0.5 - 1) / 2  # its multiples lie evenly, wherever one begins (Weyl 1916), and need no numpy.random
FEW = 8  # if fewer than one in so many rows find their places, there is too little room


class Arcs:
    """Where labels lead from nodes.

    Args:
        nodes_E: The node that each arc leaves.
        labels_E: Its label; no two arcs have the same node and label.
        targets_E: The node that it leads to.
        nodes: Number of nodes S.
    """

    def __init__(self, nodes_E: np.ndarray, labels_E: np.ndarray, targets_E: np.ndarray, *, nodes: int):
        nodes_E, labels_E, targets_E = (np.asarray(column, np.int64) for column in (nodes_E, labels_E, targets_E))
        self._widest = 1 + int(labels_E.max(initial=0))
        count_S = np.bincount(nodes_E, minlength=nodes)
        single_E = count_S[nodes_E] == 1
        shift_S, used = _shifts(nodes_E[~single_E], labels_E[~single_E], count_S, room=int(ROOM * len(nodes_E)))
        # A row of one arc fits anywhere.
        single = np.flatnonzero(single_E)
        gaps = np.flatnonzero(~used)[: len(single)]
        gaps = np.concatenate([gaps, len(used) + np.arange(len(single) - len(gaps))])
        shift_S[nodes_E[single]] = gaps - labels_E[single]
        # A label beyond those of a row may look as far before or behind as the widest label.
        shift_S += self._widest
        self._shift_S = shift_S
        slots_E = shift_S[nodes_E] + labels_E
        size = int(max(slots_E.max(initial=0), shift_S.max(initial=0))) + self._widest + 1
        self._owner, self._target = np.full(size, NONE, dtype=np.int32), np.zeros(size, dtype=np.int32)
        self._owner[slots_E], self._target[slots_E] = nodes_E, targets_E

    @classmethod
    def of(cls, targets: Mapping[tuple[int, int], int], *, nodes: int) -> Arcs:
        """Those of a dictionary: the node that an arc leads to, by its node and label."""
        columns = np.array([(*pair, target) for pair, target in targets.items()], np.int64).reshape(-1, 3).T
        return cls(*columns, nodes=nodes)

    def step(self, node: int, label: int) -> int:
        """Where one arc leads; `NONE` if there is none. For single ones this is faster."""
        slot = self._shift_S.item(node) + min(label, self._widest)
        return self._target.item(slot) if self._owner.item(slot) == node else NONE

    def follow(self, nodes_N: np.ndarray, labels_N: np.ndarray, *, none: int = NONE) -> np.ndarray:
        """Where the arcs lead (N); `none` where there is none."""
        slots_N = self._shift_S[nodes_N] + np.minimum(labels_N, self._widest)
        return np.where(self._owner[slots_N] == nodes_N, self._target[slots_N], np.int64(none))


def _shifts(
    nodes_E: np.ndarray, labels_E: np.ndarray, count_S: np.ndarray, *, room: int
) -> tuple[np.ndarray, np.ndarray]:
    """A shift for each node, by which no two of its arcs and those of others fall together; and which places they take.

    Rows with more arcs come first, as they find their places only while there are few others.
    """
    shift_S = np.zeros(len(count_S), np.int64)
    if not nodes_E.size:
        return shift_S, np.zeros(0, bool)
    sorting = np.lexsort((labels_E, nodes_E, -count_S[nodes_E]))
    nodes_E, labels_E = nodes_E[sorting], labels_E[sorting]
    widest = 1 + int(labels_E.max())
    used = np.zeros(max(room, widest), bool)
    claim = np.zeros(len(used), np.int64)
    begun = 0
    while nodes_E.size:
        first_R = np.flatnonzero(np.append(True, nodes_E[1:] != nodes_E[:-1]))
        length_R = np.diff(first_R, append=nodes_E.size)
        least_R = np.minimum.reduceat(labels_E, first_R)
        span_R = np.maximum.reduceat(labels_E, first_R) - least_R
        share_R = (begun + np.arange(len(first_R))) * GOLDEN % 1
        drawn_R = (share_R * (len(used) - span_R)).astype(np.int64) - least_R
        begun += len(first_R)
        row_E = np.repeat(np.arange(len(first_R)), length_R)
        slots_E = drawn_R[row_E] + labels_E
        # Where several claim a place, the first row has it: of what is assigned to one place, the last stays.
        claim[slots_E[::-1]] = row_E[::-1]
        fits_R = np.logical_and.reduceat(~used[slots_E] & (claim[slots_E] == row_E), first_R)
        fits_E = fits_R[row_E]
        used[slots_E[fits_E]] = True
        shift_S[nodes_E[first_R[fits_R]]] = drawn_R[fits_R]
        nodes_E, labels_E = nodes_E[~fits_E], labels_E[~fits_E]
        if FEW * np.count_nonzero(fits_R) < len(fits_R):
            more = 2 * nodes_E.size + widest
            used, claim = np.append(used, np.zeros(more, bool)), np.append(claim, np.zeros(more, np.int64))
    return shift_S, used
