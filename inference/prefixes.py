"""The prefixes that a beam search has met, as a tree: each is its parent with one label more.

A node always has a higher number than its parent, which makes what prefixes have in common quick to find.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

ROOT = 0
_WIDE = 1 << 32  # more than there are labels: a node times this plus a label names a child


class PrefixTree:
    """Prefixes as nodes; the same prefix is always the same node, also after it left the beam."""

    def __init__(self) -> None:
        self._parents = [-1]
        self._labels = [-1]
        self._births = [-1]
        self._children: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._parents)

    def grown(self, nodes_N: np.ndarray, labels_N: np.ndarray, frame: int) -> np.ndarray:
        """The prefixes (N) with one label more each; new ones are born in this frame."""
        children, found = self._children, []
        for key in (nodes_N * _WIDE + labels_N).tolist():
            node = children.get(key)
            if node is None:
                node = children[key] = len(self._parents)
                self._parents.append(key // _WIDE)
                self._labels.append(key % _WIDE)
                self._births.append(frame)
            found.append(node)
        return np.array(found, dtype=np.int64)

    def parent(self, node: int) -> int:
        """The prefix without its last label; -1 of the empty one."""
        return self._parents[node]

    def path(self, node: int) -> tuple[int, ...]:
        """The labels of a prefix."""
        return tuple(self._labels[node] for node in self.line(node))

    def line(self, node: int) -> list[int]:
        """The prefixes that a prefix begins with, from the one of one label to itself."""
        line, parents = [], self._parents
        while node:
            line.append(node)
            node = parents[node]
        return line[::-1]

    def birth(self, node: int) -> int:
        """The frame in which the beam first had this prefix."""
        return self._births[node]

    def common(self, nodes: Iterable[int]) -> int:
        """The longest prefix that all of these begin with."""
        parents = self._parents
        one, *others = set(nodes)
        for other in others:
            while one != other:
                if one > other:
                    one = parents[one]
                else:
                    other = parents[other]
        return one

    def copy(self) -> PrefixTree:
        """The same prefixes, in a tree of their own."""
        tree = PrefixTree()
        tree._parents, tree._labels, tree._births = list(self._parents), list(self._labels), list(self._births)
        tree._children = dict(self._children)
        return tree

    def beyond(self, start: int, nodes: Sequence[int]) -> tuple[PrefixTree, list[int]]:
        """A tree of these prefixes alone, which begin with `start` and are without it there; and their nodes in it."""
        kept, parents = {start}, self._parents
        for node in nodes:
            while node not in kept:
                kept.add(node)
                node = parents[node]
        tree, new = PrefixTree(), {start: ROOT}
        for number, old in enumerate(sorted(kept - {start}), start=1):
            parent, label = new[parents[old]], self._labels[old]
            new[old] = tree._children[parent * _WIDE + label] = number
            tree._parents.append(parent)
            tree._labels.append(label)
            tree._births.append(self._births[old])
        return tree, [new[node] for node in nodes]
