"""Prefix beam search over CTC scores, frame by frame: the beam of one stream.

`inference.crowd` does the same for the beams of many streams at once.

Shapes: T frames, V labels (the blank among them), K prefixes in the beam, C labels considered in a frame, N pairs of
prefix and label.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from inference.ctc import NEVER
from inference.prefixes import PrefixTree, keys

if TYPE_CHECKING:
    from inference.beam import Fusion

IMPOSSIBLE = -1e4
"""What a probability of 0 counts as where something has to be possible."""

ENDLESS = 1e30
"""More nats than there ever are."""

LEAST = -np.finfo(np.float64).max
"""The least score that is possible."""


class Settings(NamedTuple):
    """What beams that are searched together have in common; see `inference.beam.BeamDecoder`."""

    blank: int
    beam: int
    prune: float
    fusion: Fusion | None
    sounds: np.ndarray | None

    @property
    def key(self) -> Hashable:
        """What is equal where beams may be searched together."""
        return (self.blank, self.beam, self.prune, id(self.fusion), id(self.sounds))

    def alike(self, one_N: np.ndarray, other_N: np.ndarray) -> np.ndarray:
        """Whether labels, or symbols, sound alike."""
        return one_N == other_N if self.sounds is None else self.sounds[one_N] == self.sounds[other_N]


class Prefixes(NamedTuple):
    """What is known of the prefixes in a beam.

    Attributes:
        node_K, parent_K: Their nodes in the tree, and those of the prefixes without the last label (-1 of the empty
            one).
        last_K: Their last labels; the blank, which never extends, of the empty one.
        after_blank_K, after_label_K: Log probabilities of the paths that end in a blank, and in the last label.
        gain_K, state_K: What the fusion gives, and its states.
    """

    node_K: np.ndarray
    parent_K: np.ndarray
    last_K: np.ndarray
    after_blank_K: np.ndarray
    after_label_K: np.ndarray
    gain_K: np.ndarray
    state_K: np.ndarray

    @classmethod
    def empty(cls, blank: int, state: int) -> Prefixes:
        """The empty prefix alone."""
        return cls(
            np.zeros(1, np.int64),
            np.full(1, -1),
            np.full(1, blank),
            np.zeros(1),
            np.full(1, NEVER),
            np.zeros(1),
            np.full(1, state, np.int64),
        )

    @property
    def total_K(self) -> np.ndarray:
        """Log probabilities of all paths."""
        return np.logaddexp(self.after_blank_K, self.after_label_K)

    def at(self, chosen: np.ndarray | slice) -> Prefixes:
        """Those in these places."""
        return Prefixes(*(column[chosen] for column in self))


@dataclass
class Beam:
    """The prefixes of one stream, and the frame that comes next."""

    prefixes: Prefixes
    tree: PrefixTree = field(default_factory=PrefixTree)
    frame: int = 0

    def copy(self) -> Beam:
        """The same for a search of its own; prefixes are never changed in place."""
        return Beam(self.prefixes, self.tree.copy(), self.frame)

    def forget(self, start: int) -> None:
        """Take off the prefix `start`, with which all begin, and forget what has left the beam."""
        self.tree, nodes = self.tree.beyond(start, self.prefixes.node_K.tolist())
        parents = [self.tree.parent(node) for node in nodes]
        self.prefixes = self.prefixes._replace(node_K=np.array(nodes), parent_K=np.array(parents))


def search(beam: Beam, scores_TV: np.ndarray, settings: Settings) -> None:
    """Take a beam through these frames of log probabilities, float64."""
    blank, width, _, fusion, _ = settings
    tree = beam.tree
    node_K, parent_K, last_K, after_blank_K, after_label_K, gain_K, state_K = beam.prefixes
    total_K = beam.prefixes.total_K
    scores_TV, considered_TV, most_TV = considered(scores_TV, settings)
    # Where in the beam the parent of each prefix is, -1 if it is not; of each node that, while it is looked for.
    row_of = np.full(len(tree) + width * len(scores_TV) + 1, -1)
    row_K = _rows(row_of, node_K, parent_K)
    for frame, frame_V, considered_V, most_here_V in zip(
        range(beam.frame, beam.frame + len(scores_TV)), scores_TV, considered_TV, most_TV, strict=True
    ):
        labels_C = considered_V.nonzero()[0]
        same_K = frame_V[last_K]
        stay_blank_K, stay_label_K = total_K + frame_V[blank], after_label_K + same_K
        if not labels_C.size:
            after_blank_K, after_label_K = stay_blank_K, stay_label_K
            total_K = np.logaddexp(stay_blank_K, stay_label_K)
            continue

        most_KC = (total_K + gain_K)[:, None] + most_here_V[labels_C]
        # Where a prefix and its parent are both in the beam, the parent grows into one that is already there.
        met = (considered_V[last_K] & (row_K >= 0)).nonzero()[0]
        if met.size:
            rows, labels = row_K[met], last_K[met]
            # The same label again: only after a blank.
            before = np.where(settings.alike(last_K[rows], labels), after_blank_K[rows], total_K[rows])
            stay_label_K[met] = np.logaddexp(stay_label_K[met], before + same_K[met])
            most_KC[rows, labels_C.searchsorted(labels)] = NEVER
        stay_K = np.logaddexp(stay_blank_K, stay_label_K)
        stayed_K = stay_K + gain_K
        # A full beam already has a last place; what cannot reach it need not be looked at.
        floor = max(stayed_K.min() if node_K.size >= width else NEVER, -ENDLESS)
        hopeful = (most_KC.ravel() >= floor).nonzero()[0]
        if not hopeful.size:
            after_blank_K, after_label_K, total_K = stay_blank_K, stay_label_K, stay_K
            continue

        parents, columns = np.divmod(hopeful, labels_C.size)
        labels_N = labels_C[columns]
        before_N = np.where(settings.alike(last_K[parents], labels_N), after_blank_K[parents], total_K[parents])
        grown_N = before_N + frame_V[labels_N]
        ranked_N = grown_N
        if fusion is not None:
            gains_N, states_N = fusion.extend(state_K[parents], labels_N)
            gains_N = gains_N + gain_K[parents]
            ranked_N = grown_N + gains_N
        kept = largest(np.concatenate([stayed_K, ranked_N]), width)
        num_stayed = kept.searchsorted(node_K.size)
        grown = kept[num_stayed:] - node_K.size
        # Of each place in the new beam the one in the old one that it comes from; what has grown is behind.
        from_K = np.concatenate([kept[:num_stayed], parents[grown]])
        new = slice(num_stayed, None)
        after_blank_K, after_label_K, total_K = stay_blank_K[from_K], stay_label_K[from_K], stay_K[from_K]
        after_blank_K[new], after_label_K[new], total_K[new] = NEVER, grown_N[grown], grown_N[grown]
        node_K, parent_K, last_K = node_K[from_K], parent_K[from_K], last_K[from_K]
        parent_K[new], last_K[new] = node_K[new], labels_N[grown]
        node_K[new] = tree.grown(keys(node_K[new], last_K[new]), frame)
        gain_K, state_K = gain_K[from_K], state_K[from_K]
        if fusion is not None:
            gain_K[new], state_K[new] = gains_N[grown], states_N[grown]
        row_K = _rows(row_of, node_K, parent_K)
    beam.prefixes = Prefixes(node_K, parent_K, last_K, after_blank_K, after_label_K, gain_K, state_K)
    beam.frame += len(scores_TV)


def considered(scores_TV: np.ndarray, settings: Settings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a search looks at, also of several streams at once (...,V).

    Returns:
        The scores, of each label, or symbol; which of them may extend prefixes; and with each the most that a prefix
        can come to have more by it.
    """
    blank, _, prune, fusion, sounds = settings
    if sounds is not None:
        # Where few labels may follow, the only possible ones must not be impossible.
        scores_TV = np.maximum(scores_TV, IMPOSSIBLE)[..., sounds]
    most_V = np.zeros(scores_TV.shape[-1]) + np.minimum(0.0 if fusion is None else fusion.most(), ENDLESS)
    considered_TV = scores_TV >= scores_TV.max(axis=-1, keepdims=True) - prune
    considered_TV[..., blank if sounds is None else sounds == blank] = False
    considered_TV &= most_V > -ENDLESS
    return scores_TV, considered_TV, scores_TV + most_V


def _rows(row_of: np.ndarray, node_K: np.ndarray, nodes_K: np.ndarray) -> np.ndarray:
    """Where each of these nodes is in the beam, -1 if it is not; `row_of` is -1 everywhere, and is so again."""
    row_of[node_K] = np.arange(node_K.size)
    row_K = row_of[nodes_K]
    row_of[node_K] = -1
    return row_K


def largest(values: np.ndarray, count: int) -> np.ndarray:
    """Indices of the `count` largest values, of equal ones the first, rising; those of probability 0 are left out."""
    last = values.size - count
    if last <= 0:
        return (values > NEVER).nonzero()[0]
    least = max(np.partition(values, last)[last], LEAST)
    chosen = (values >= least).nonzero()[0]
    if chosen.size > count:
        equal = (values == least).nonzero()[0]
        chosen = np.setdiff1d(chosen, equal[equal.size - (chosen.size - count) :], assume_unique=True)
    return chosen
