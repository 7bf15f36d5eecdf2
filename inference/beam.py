"""Prefix beam search over CTC scores, on a stream too, with what is known beside the scores.

Prefix beam search (Graves 2012, section 7.5; Hannun et al. 2014, algorithm 1) sums over the paths of each labelling, in
log domain and float64. For each prefix it keeps apart the paths that end in a blank and those that end in its last
label, since only after a blank may that label be emitted anew. A language model or hot words, a `Fusion`, add their
gains to a prefix when it grows.

On a stream the prefixes in the beam come to agree on how they begin. Labels that they agree on are settled: they are
given out with their times and forgotten, so that a push costs the same however long the stream has run.

Shapes: T frames, V labels (the blank among them), K prefixes in the beam, C labels considered in a frame, N pairs of
prefix and label.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from inference import remembering
from inference.ctc import NEVER, Emission, align, checked
from inference.prefixes import ROOT, PrefixTree

SETTLE_FRAMES = 16
"""Frames from one look at what is settled to the next; counted over the stream, so that pushes do not matter."""

LONGEST_OPEN = 400
"""Frames that may be open; of more, the best prefix wins: in a hum, or on a doubtful word, a beam never agrees."""

PRUNE = 10.0
"""Nats by which a label may be less probable than the best one of its frame, and still extend prefixes."""

OVER = 20.0
"""Nats by which ending in a blank leads where the last label is over and done with."""

IMPOSSIBLE = -1e4
"""What a probability of 0 counts as in an alignment, so that there always is one."""


ENDLESS = 1e30
"""More nats than there ever are."""

CROWDED = 32
"""Prefixes held for each place in the beam before those that have left it are forgotten."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A labelling and its score: the log probability, summed over all its paths that the search has kept, and gains."""

    labels: tuple[int, ...]
    score: float


class Fusion(Protocol):
    """What a search knows beside the scores, as gains in nats that depend on the labels alone.

    States are integers; two texts after which everything gains alike should have the same one. One that computes what
    its states mean, `inference.remembering`, is told each `SETTLE_FRAMES` which of them a prefix still has.
    """

    def begin(self) -> int:
        """The state of the empty prefix."""
        ...

    def extend(self, states_N: np.ndarray, labels_N: np.ndarray, /) -> tuple[np.ndarray, np.ndarray]:
        """Gains (N) and new states (N) of appending a label each."""
        ...

    def finish(self, states_N: np.ndarray, /) -> np.ndarray:
        """Gains (N) of ending there."""
        ...

    def most(self) -> np.ndarray | float:
        """No gain of a label is larger than this: of each (V), or of all; inf if that is not known."""
        ...


class BeamDecoder:
    """Prefix beam search on a stream of scores: however the frames are cut into pushes, the emissions are the same.

    An emission comes out once all prefixes in the beam agree on its label; `flush` gives the rest and makes the decoder
    fresh again, so that the next frame pushed is frame 0. Times are those of the best path of the labels, as far as it
    was known when they were settled; what follows them follows them in time too.

    Args:
        blank: Label of the blank.
        beam: Prefixes that survive a frame.
        prune: In each frame, labels that are so many nats less probable than the best one extend no prefix; `math.inf`
            considers them all.
        fusion: What is known beside the scores.
        sounds: Where the search is one over symbols of which several sound alike, such as those of
            `inference.lexicon`: the label of each. Emissions and hypotheses are then of symbols.
        prior_V: What is taken off the log probability of each label before the search, such as a share of its log
            prior: a posterior over a prior is a likelihood but for a factor, as in Bayes' rule (Miao et al. 2015,
            EESEN, section 3.3). Alignments are of the scores as they are.

    Raises:
        ValueError: beam or prune is out of range.
    """

    def __init__(
        self,
        *,
        blank: int = 0,
        beam: int = 16,
        prune: float = PRUNE,
        fusion: Fusion | None = None,
        sounds: np.ndarray | None = None,
        prior_V: np.ndarray | None = None,
    ) -> None:
        if beam < 1:
            raise ValueError(f"beam is {beam}: give at least 1")
        if not prune >= 0:
            raise ValueError(f"prune is {prune}: give a number of nats from 0 on, or inf to prune nothing")
        self._blank, self._beam, self._prune, self._sounds = blank, beam, prune, sounds
        self._prior_V = prior_V
        self._fusion = remembering.fork(fusion)
        self._reset()

    def _reset(self) -> None:
        self._frame = 0
        self._tree = PrefixTree()
        self._node_K = np.zeros(1, dtype=np.int64)
        # The empty prefix has no last label; the blank never extends, so it can stand here.
        self._last_K = np.full(1, self._blank)
        self._after_blank_K = np.zeros(1)
        self._after_label_K = np.full(1, NEVER)
        self._gain_K = np.zeros(1)
        self._state_K = np.full(1, 0 if self._fusion is None else self._fusion.begin(), dtype=np.int64)
        remembering.keep(self._fusion, self._state_K)
        # Scores from `_open_from` on: no label that is open was emitted before. Frames up to `_settled_to` have labels
        # that are settled.
        self._open: list[np.ndarray] = []
        self._open_from = 0
        self._settled_to = 0

    def push(self, log_probs_TV: np.ndarray) -> list[Emission]:
        """Take the next frames (any number, none too); return the emissions that they have settled.

        Raises:
            ScoresError: the scores are not an array (T, V) with a finite best label in each frame.
        """
        scores_TV = checked(log_probs_TV, self._blank).astype(np.float64)
        settled: list[Emission] = []
        while len(scores_TV):
            left = SETTLE_FRAMES - self._frame % SETTLE_FRAMES
            piece_TV, scores_TV = scores_TV[:left], scores_TV[left:]
            self._open.append(piece_TV)
            self._search(piece_TV if self._prior_V is None else piece_TV - self._prior_V)
            self._frame += len(piece_TV)
            if self._frame % SETTLE_FRAMES == 0:
                settled += self._settle()
        return settled

    def flush(self) -> list[Emission]:
        """The emissions that are left, and start anew."""
        rest = self._rest()
        self._reset()
        return rest

    def sure(self) -> list[Emission]:
        """Nothing: whatever has not come out may still turn out to be something else."""
        return []

    def peek(self, log_probs_TV: np.ndarray | None = None) -> list[Emission]:
        """What the stream would still say if it ended here, or after these scores; nothing changes by asking."""
        if log_probs_TV is None:
            return self._rest()
        other = copy.copy(self)
        other._open = list(self._open)
        other._tree = self._tree.copy()
        other._fusion = remembering.fork(self._fusion)
        return other.push(log_probs_TV) + other._rest()

    def hypotheses(self, count: int = 1) -> list[Hypothesis]:
        """The best labellings if the stream ended here, best first; fewer than asked where fewer are in the beam.

        Of a stream they begin with the first label that is not settled.
        """
        score_K = self._final_scores()
        assert np.isfinite(score_K).any(), "gains are finite, and some path is possible"
        best = largest(score_K, count)
        best = best[np.argsort(-score_K[best], kind="stable")]
        return [Hypothesis(self._tree.path(int(self._node_K[k])), float(score_K[k])) for k in best]

    def _final_scores(self) -> np.ndarray:
        score_K = np.logaddexp(self._after_blank_K, self._after_label_K) + self._gain_K
        return score_K if self._fusion is None else score_K + self._fusion.finish(self._state_K)

    def _rest(self) -> list[Emission]:
        return self._aligned(self.hypotheses()[0].labels)

    def _aligned(self, labels: Sequence[int]) -> list[Emission]:
        """The emissions of these open labels, in frames of the stream."""
        if not labels:
            return []
        scores_TV = np.maximum(np.concatenate(self._open), IMPOSSIBLE)
        # What is settled may cover any of its frames.
        scores_TV[: max(0, self._settled_to - self._open_from), self._blank] = 0.0
        emissions, reached = [], self._settled_to
        sounds = labels if self._sounds is None else self._sounds[list(labels)].tolist()
        for one, label in zip(align(scores_TV, sounds, blank=self._blank), labels, strict=True):
            # The best path may have moved since the labels before were settled.
            start = max(one.start + self._open_from, reached)
            reached = max(one.end + self._open_from, start + 1)
            emissions.append(Emission(label, start, reached, one.score))
        return emissions

    def _settle(self) -> list[Emission]:
        """Emissions of the labels that all prefixes have gone beyond; they and their frames are forgotten."""
        tree = self._tree
        total_K = np.logaddexp(self._after_blank_K, self._after_label_K) + self._gain_K
        line = tree.line(int(self._node_K[total_K.argmax()]))
        overlong = self._frame - self._open_from > LONGEST_OPEN
        decided = ROOT
        if overlong:
            # Up to one label is decided as a whole: nothing may follow it yet.
            decided = line[(len(line) - 1) // 2] if line else ROOT
            self._keep(self._beginning_with(decided, alone=len(line) < 2))
        going_on_K = self._after_label_K > self._after_blank_K - OVER
        nodes = self._node_K.tolist()
        common = tree.common(
            max(tree.parent(node), ROOT) if more else node
            for node, more in zip(nodes, going_on_K.tolist(), strict=True)
        )
        start = max(common, decided)
        emissions = self._aligned(tree.path(line[-1]))[: line.index(start) + 1] if start else []
        if start or len(tree) > CROWDED * self._beam:
            self._tree, nodes = tree.beyond(start, nodes)
            self._node_K = np.array(nodes)
        if start:
            self._settled_to = emissions[-1].end
            # No path that is kept has a later label before this one.
            self._forget(before=tree.birth(start))
        elif overlong and not line:
            self._forget(before=self._frame)
        return emissions

    def _beginning_with(self, prefix: int, *, alone: bool) -> np.ndarray:
        """Which prefixes of the beam begin with this one, or are it."""
        nodes = self._node_K.tolist()
        return np.flatnonzero(
            [node == prefix if alone else self._tree.common((node, prefix)) == prefix for node in nodes]
        )

    def _keep(self, chosen: np.ndarray) -> None:
        self._node_K, self._last_K = self._node_K[chosen], self._last_K[chosen]
        self._after_blank_K, self._after_label_K = self._after_blank_K[chosen], self._after_label_K[chosen]
        self._gain_K, self._state_K = self._gain_K[chosen], self._state_K[chosen]

    def _forget(self, *, before: int) -> None:
        open_TV = np.concatenate(self._open)
        # A copy, so that what is forgotten is freed.
        self._open = [open_TV[before - self._open_from :].copy()]
        self._open_from = before

    def _search(self, scores_TV: np.ndarray) -> None:
        blank, fusion, tree, sounds = self._blank, self._fusion, self._tree, self._sounds
        node_K, last_K, gain_K, state_K = self._node_K, self._last_K, self._gain_K, self._state_K
        after_blank_K, after_label_K = self._after_blank_K, self._after_label_K
        total_K = np.logaddexp(after_blank_K, after_label_K)
        if sounds is not None:
            # Where few labels may follow, the only possible ones must not be impossible.
            scores_TV = np.maximum(scores_TV, IMPOSSIBLE)[:, sounds]
        most_V = np.zeros(scores_TV.shape[1]) + np.minimum(0.0 if fusion is None else fusion.most(), ENDLESS)
        considered_TV = scores_TV >= scores_TV.max(axis=1, keepdims=True) - self._prune
        considered_TV[:, blank if sounds is None else sounds == blank] = False
        considered_TV &= most_V > -ENDLESS
        most_TV = scores_TV + most_V
        # Where in the beam the parent of each prefix is, -1 if it is not; of each node that, while it is looked for.
        parent_K = np.array([tree.parent(node) for node in node_K.tolist()])
        row_of = np.full(len(tree) + self._beam * len(scores_TV) + 1, -1)
        row_K = _rows(row_of, node_K, parent_K)
        for frame, frame_V, considered_V, most_here_V in zip(
            range(self._frame, self._frame + len(scores_TV)), scores_TV, considered_TV, most_TV, strict=True
        ):
            if frame % SETTLE_FRAMES == 0:
                remembering.keep(fusion, state_K)
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
                before = np.where(self._alike(last_K[rows], labels), after_blank_K[rows], total_K[rows])
                stay_label_K[met] = np.logaddexp(stay_label_K[met], before + same_K[met])
                most_KC[rows, labels_C.searchsorted(labels)] = NEVER
            stay_K = np.logaddexp(stay_blank_K, stay_label_K)
            stayed_K = stay_K + gain_K
            # A full beam already has a last place; what cannot reach it need not be looked at.
            floor = max(stayed_K.min() if node_K.size >= self._beam else NEVER, -ENDLESS)
            hopeful = (most_KC.ravel() >= floor).nonzero()[0]
            if not hopeful.size:
                after_blank_K, after_label_K, total_K = stay_blank_K, stay_label_K, stay_K
                continue

            parents, columns = np.divmod(hopeful, labels_C.size)
            labels_N = labels_C[columns]
            before_N = np.where(self._alike(last_K[parents], labels_N), after_blank_K[parents], total_K[parents])
            grown_N = before_N + frame_V[labels_N]
            ranked_N = grown_N
            if fusion is not None:
                gains_N, states_N = fusion.extend(state_K[parents], labels_N)
                gains_N = gains_N + gain_K[parents]
                ranked_N = grown_N + gains_N
            kept = largest(np.concatenate([stayed_K, ranked_N]), self._beam)
            kept.sort()
            num_stayed = kept.searchsorted(node_K.size)
            grown = kept[num_stayed:] - node_K.size
            # Of each place in the new beam the one in the old beam that it comes from; what has grown is behind.
            from_K = np.concatenate([kept[:num_stayed], parents[grown]])
            new = slice(num_stayed, None)
            after_blank_K, after_label_K, total_K = stay_blank_K[from_K], stay_label_K[from_K], stay_K[from_K]
            after_blank_K[new], after_label_K[new], total_K[new] = NEVER, grown_N[grown], grown_N[grown]
            node_K, parent_K, last_K = node_K[from_K], parent_K[from_K], last_K[from_K]
            parent_K[new], last_K[new] = node_K[new], labels_N[grown]
            node_K[new] = tree.grown(node_K[new], last_K[new], frame)
            gain_K, state_K = gain_K[from_K], state_K[from_K]
            if fusion is not None:
                gain_K[new], state_K[new] = gains_N[grown], states_N[grown]
            row_K = _rows(row_of, node_K, parent_K)
        self._node_K, self._last_K, self._gain_K, self._state_K = node_K, last_K, gain_K, state_K
        self._after_blank_K, self._after_label_K = after_blank_K, after_label_K

    def _alike(self, one_N: np.ndarray, other_N: np.ndarray) -> np.ndarray:
        """Whether labels, or symbols, sound alike."""
        return one_N == other_N if self._sounds is None else self._sounds[one_N] == self._sounds[other_N]


def prefix_beam(
    log_probs_TV: np.ndarray,
    *,
    beam: int = 16,
    blank: int = 0,
    nbest: int = 1,
    prune: float = PRUNE,
    fusion: Fusion | None = None,
    sounds: np.ndarray | None = None,
) -> list[Hypothesis]:
    """The best labellings of a whole, best first: at most `nbest`, fewer where fewer have a probability above 0.

    With a `beam` that no frame fills and `prune=math.inf` the scores are the exact log posteriors, with the gains of
    the fusion; otherwise they are lower bounds. `align` gives the times of a hypothesis.

    Raises:
        ScoresError: the scores are not an array (T, V) with a finite best label in each frame.
        ValueError: `1 <= nbest <= beam` or `prune >= 0` does not hold.
    """
    if not 1 <= nbest <= beam:
        raise ValueError(f"nbest is {nbest} and beam is {beam}: give 1 <= nbest <= beam")
    decoder = BeamDecoder(blank=blank, beam=beam, prune=prune, fusion=fusion, sounds=sounds)
    decoder._search(checked(log_probs_TV, blank).astype(np.float64))
    return decoder.hypotheses(nbest)


def _rows(row_of: np.ndarray, node_K: np.ndarray, nodes_K: np.ndarray) -> np.ndarray:
    """Where each of these nodes is in the beam, -1 if it is not; `row_of` is -1 everywhere, and is so again."""
    row_of[node_K] = np.arange(node_K.size)
    row_K = row_of[nodes_K]
    row_of[node_K] = -1
    return row_K


def largest(values: np.ndarray, count: int) -> np.ndarray:
    """Indices of the `count` largest values, those of probability 0 left out, in no particular order."""
    last = values.size - count
    chosen = np.arange(values.size) if last <= 0 else values.argpartition(last)[last:]
    return chosen[values[chosen] > NEVER]
