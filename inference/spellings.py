"""The spellings of a vocabulary as a tree, made of arrays at once: 60,000 words take a hundredth of a second.

Shapes: W spellings, L labels of all of them, S nodes, V labels that there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain
from typing import NamedTuple

import numpy as np

from inference.arcs import NONE, Arcs

ROOT = 0  # where a word begins
BEHIND = 1  # no spelling leads here: a state for who needs one where a word is over


class Spelled(NamedTuple):
    """Spellings side by side: the labels of all of them, and how many each has; one of none is not spelled."""

    labels_L: np.ndarray
    length_W: np.ndarray

    @classmethod
    def of(cls, spellings: Iterable[Sequence[int] | None]) -> Spelled:
        """The same of single ones; an empty one, or none, is not spelled."""
        spellings = [spelling or () for spelling in spellings]
        length_W = np.fromiter(map(len, spellings), np.int64, len(spellings))
        return cls(np.fromiter(chain.from_iterable(spellings), np.int64, int(length_W.sum())), length_W)


class SpellingTree:
    """A tree of spellings: each node is how some of them begin.

    Nodes are numbered by how far they are from the root, those as far by their parents and labels.

    Args:
        spelled: The labels of each. In the order of a dictionary they are faster laid out.
        labels: Number of labels V.

    Attributes:
        nodes: S.
        end_W: The node where each spelling ends; `NONE` of those that are not spelled.
        parent_S: The node before each; `NONE` of `ROOT` and `BEHIND`.
        label_S: The label by which it is reached from there.
    """

    def __init__(self, spelled: Spelled, *, labels: int):
        labels_L, length_W = spelled
        start_W = np.cumsum(length_W) - length_W
        self.labels = labels
        self.end_W = np.where(length_W > 0, ROOT, NONE)
        self._levels = [2]  # the first node of each distance from the root
        parents, incoming = [np.full(2, NONE)], [np.full(2, NONE)]
        longer = np.flatnonzero(length_W)
        for place in range(int(length_W.max(initial=0))):
            longer = longer[length_W[longer] > place]
            keys = self.end_W[longer] * labels + labels_L[start_W[longer] + place]
            # What is sorted by the labels before is nearly sorted, which a stable sort makes use of.
            sorting = np.argsort(keys, kind="stable")
            longer, keys = longer[sorting], keys[sorting]
            first = np.append(True, keys[1:] != keys[:-1])
            new = keys[first]
            self.end_W[longer] = self._levels[-1] - 1 + np.cumsum(first)
            parents.append(new // labels)
            incoming.append(new % labels)
            self._levels.append(self._levels[-1] + len(new))
        self.nodes = self._levels[-1]
        self.parent_S, self.label_S = np.concatenate(parents), np.concatenate(incoming)

    @cached_property
    def arcs(self) -> Arcs:
        """From each node to the next ones; from one besides, numbered S, for what is no spelling, nothing goes on."""
        return Arcs(self.parent_S[2:], self.label_S[2:], np.arange(2, self.nodes), nodes=self.nodes + 1)

    @cached_property
    def goes_on(self) -> np.ndarray:
        """Of each node whether a spelling goes on there (S)."""
        goes_on = np.zeros(self.nodes, bool)
        goes_on[self.parent_S[2:]] = True
        return goes_on

    def largest(self, values_W: np.ndarray, *, least: float) -> np.ndarray:
        """Of each node the largest value of a spelling that goes through it or ends there, or `least` (S)."""
        largest_S = np.full(self.nodes, least)
        spelled = np.flatnonzero(self.end_W != NONE)
        np.maximum.at(largest_S, self.end_W[spelled], values_W[spelled])
        for start, end in zip(self._levels[-2::-1], self._levels[:0:-1], strict=True):
            np.maximum.at(largest_S, self.parent_S[start:end], largest_S[start:end])
        return largest_S
