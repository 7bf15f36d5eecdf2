"""The arcs of a tree or an automaton, followed for many nodes at once.

The rows of all nodes lie over each other in one array, each shifted to where its arcs fall into gaps (Tarjan and Yao
1979, "Storing a sparse table"): memory is that of the arcs, and following one takes three looks into arrays.

Shapes: N pairs of node and label, S nodes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

NONE = -1
_TRIES = 32  # places that a row did not fit in, after which no other row is tried there


class Arcs:
    """Where labels lead from nodes.

    Args:
        targets: The node that an arc leads to, by its node and label.
        nodes: Number of nodes S.
    """

    def __init__(self, targets: Mapping[tuple[int, int], int], *, nodes: int):
        rows: dict[int, list[tuple[int, int]]] = {}
        for (node, label), target in targets.items():
            rows.setdefault(node, []).append((label, target))
        self._widest = 1 + max((label for _, label in targets), default=0)
        shift_S = np.zeros(nodes, dtype=np.int64)
        shared = {node: row for node, row in rows.items() if len(row) > 1}
        used, self._first = bytearray(self._widest), 0
        for node in sorted(shared, key=lambda node: -len(shared[node])):
            shift_S[node] = self._fit(used, [label for label, _ in shared[node]])
        single = np.array([(node, row[0][0]) for node, row in rows.items() if len(row) == 1], dtype=np.int64)
        single = single.reshape(-1, 2)
        gaps = np.flatnonzero(np.frombuffer(used, dtype=np.uint8) == 0)
        gaps = np.concatenate([gaps, len(used) + np.arange(max(0, len(single) - gaps.size))])[: len(single)]
        shift_S[single[:, 0]] = gaps - single[:, 1]
        # A label beyond those of a row may look as far before or behind as the widest label.
        shift_S += self._widest
        self._shift_S = shift_S
        keys = np.array(list(targets), dtype=np.int64).reshape(-1, 2)
        slots = shift_S[keys[:, 0]] + keys[:, 1]
        size = int(max(slots.max(initial=0), shift_S.max(initial=0))) + self._widest + 1
        self._owner, self._target = np.full(size, NONE, dtype=np.int32), np.zeros(size, dtype=np.int32)
        self._owner[slots], self._target[slots] = keys[:, 0], list(targets.values())

    def _fit(self, used: bytearray, labels: list[int]) -> int:
        """Find a shift by which these labels fall into gaps, and take them; `used` always ends in gaps enough."""
        least = min(labels)
        offsets = [label - least for label in labels]
        gap, tries = used.find(0, self._first), 0
        while any(map(used.__getitem__, [gap + offset for offset in offsets])):
            tries += 1
            if tries == _TRIES:
                self._first = gap  # what is left before it is for single arcs
            gap = used.find(0, gap + 1)
        for offset in offsets:
            used[gap + offset] = 1
        used.extend(bytes(max(0, gap + 2 * self._widest - len(used))))
        return gap - least

    def step(self, node: int, label: int) -> int:
        """Where one arc leads; `NONE` if there is none. For single ones this is faster."""
        slot = self._shift_S.item(node) + min(label, self._widest)
        return self._target.item(slot) if self._owner.item(slot) == node else NONE

    def follow(self, nodes_N: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
        """Where the arcs lead (N); `NONE` where there is none."""
        slots_N = self._shift_S[nodes_N] + np.minimum(labels_N, self._widest)
        return np.where(self._owner[slots_N] == nodes_N, self._target[slots_N], NONE).astype(np.int64)
