"""The prefixes that a beam search has met, as a tree: each is its parent with one label more.

A node always has a higher number than its parent, which makes what prefixes have in common quick to find. Prefixes grow
in every frame and are looked at rarely, so that growing is one look into a dictionary.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

import numpy as np

ROOT = 0
_WIDE = 1 << 32  # more than there are labels: a node times this plus a label is the key of a child


def keys(nodes_N: np.ndarray, labels_N: np.ndarray) -> list[int]:
    """Keys (N) of these prefixes with one label more each, as `PrefixTree.grown` takes them."""
    return (nodes_N * _WIDE + labels_N).tolist()


class PrefixTree:
    """Prefixes as nodes; the same prefix is always the same node, also after it left the beam."""

    def __init__(self) -> None:
        # The node of each key. Nodes are numbered as they come: the key of node n is the nth.
        self._nodes: dict[int, int] = {}
        self._listed: list[int] = []
        # The frames in which prefixes were born, and the first node of each.
        self._births: list[int] = []
        self._firsts: list[int] = []

    def __len__(self) -> int:
        return len(self._nodes) + 1

    def grown(self, keys_N: Iterable[int], frame: int) -> list[int]:
        """The prefixes (N) of these `keys`; new ones are born in this frame."""
        nodes, first = self._nodes, len(self._nodes) + 1
        found = [nodes.setdefault(key, len(nodes) + 1) for key in keys_N]
        if len(nodes) >= first:
            self._births.append(frame)
            self._firsts.append(first)
        return found

    def parent(self, node: int) -> int:
        """The prefix without its last label; -1 of the empty one."""
        return self._keys()[node - 1] // _WIDE if node else -1

    def path(self, node: int) -> tuple[int, ...]:
        """The labels of a prefix."""
        keys = self._keys()
        return tuple(keys[node - 1] % _WIDE for node in self.line(node))

    def line(self, node: int) -> list[int]:
        """The prefixes that a prefix begins with, from the one of one label to itself."""
        line, keys = [], self._keys()
        while node:
            line.append(node)
            node = keys[node - 1] // _WIDE
        return line[::-1]

    def birth(self, node: int) -> int:
        """The frame in which the beam first had this prefix; -1 of the empty one."""
        return self._births[bisect_right(self._firsts, node) - 1] if node else -1

    def common(self, nodes: Iterable[int]) -> int:
        """The longest prefix that all of these begin with."""
        keys = self._keys()
        one, *others = set(nodes)
        for other in others:
            while one != other:
                if one > other:
                    one = keys[one - 1] // _WIDE
                else:
                    other = keys[other - 1] // _WIDE
        return one

    def copy(self) -> PrefixTree:
        """The same prefixes, in a tree of their own."""
        tree = PrefixTree()
        tree._nodes, tree._births, tree._firsts = dict(self._nodes), list(self._births), list(self._firsts)
        return tree

    def beyond(self, start: int, nodes: Sequence[int]) -> tuple[PrefixTree, list[int]]:
        """A tree of these prefixes alone, which begin with `start` and are without it there; and their nodes in it."""
        keys, kept = self._keys(), {start}
        for node in nodes:
            while node not in kept:
                kept.add(node)
                node = keys[node - 1] // _WIDE
        tree, new = PrefixTree(), {start: ROOT}
        for number, old in enumerate(sorted(kept - {start}), start=1):
            parent, label = divmod(keys[old - 1], _WIDE)
            new[old] = tree._nodes[new[parent] * _WIDE + label] = number
            tree._births.append(self.birth(old))
            tree._firsts.append(number)
        return tree, [new[node] for node in nodes]

    def _keys(self) -> list[int]:
        """The keys of all nodes but the empty one."""
        if len(self._listed) < len(self._nodes):
            self._listed = list(self._nodes)
        return self._listed
