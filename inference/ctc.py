"""From CTC scores to labels and their times: greedy search, and the alignment of known labels.

A CTC path names one label or the blank for every frame; merging repeats and then dropping blanks gives the labelling
(Graves et al. 2006). Greedy search follows the most probable path, and alignment finds the best path of a labelling
that is already known; `inference.beam` sums over the paths of each labelling. All read log probabilities (the output of
a log-softmax) and count in frames; whoever knows the length of a frame turns them into seconds.

Shapes: T frames, V labels (the blank among them), L labels of a labelling, N states of its alignment (2 L + 1).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NEVER = -math.inf  # the log of probability 0
BLOCK = 64  # frames of an alignment between which what each state was reached from is noted


class ScoresError(ValueError):
    """The scores are not log probabilities of the right shape."""


class AlignmentError(ValueError):
    """The labels cannot be aligned with the scores."""


@dataclass(frozen=True, slots=True)
class Emission:
    """One label and the frames it was seen in.

    `start` and `end` count frames, the end exclusive. `score` is the mean posterior probability of the label over
    these frames, in [0, 1]. CTC models place labels as spikes, so the frames say where a label was recognised; the
    sound itself may begin earlier and last longer.
    """

    label: int
    start: int
    end: int
    score: float


def greedy(log_probs_TV: np.ndarray, *, blank: int = 0) -> list[Emission]:
    """Labels of the single most probable path, with their frames and scores.

    Raises `ScoresError` where the scores are not an array (T, V) with a finite best label in each frame.
    """
    decoder = GreedyDecoder(blank=blank)
    return decoder.push(log_probs_TV) + decoder.flush()


class GreedyDecoder:
    """Greedy search on a stream of scores: however the frames are cut into pushes, the emissions are the same.

    An emission comes out once the frame that ends it is known; `flush` gives the one still open and makes the decoder
    fresh again, so that the next frame pushed is frame 0. Memory does not grow with the stream.
    """

    def __init__(self, *, blank: int = 0) -> None:
        self._blank = blank
        self._reset()

    def _reset(self) -> None:
        self._frame = 0
        self._label = self._blank
        self._start = 0
        self._total = 0.0

    def push(self, log_probs_TV: np.ndarray) -> list[Emission]:
        """Take the next frames (any number, none too); return the emissions that they have finished."""
        scores_TV = checked(log_probs_TV, self._blank)
        best_T = scores_TV.argmax(axis=1)
        best_scores_T = np.take_along_axis(scores_TV, best_T[:, None], axis=1)[:, 0]
        finished: list[Emission] = []
        # Sums are taken frame by frame in one order, so that they cannot depend on where a push ends.
        for label, score in zip(best_T.tolist(), best_scores_T.tolist(), strict=True):
            if label != self._label:
                finished += self._close()
                self._label, self._start, self._total = label, self._frame, 0.0
            if label != self._blank:
                self._total += math.exp(score)
            self._frame += 1
        return finished

    def flush(self) -> list[Emission]:
        """Return the emission that the end of the stream finishes, if there is one, and start anew."""
        finished = self._close()
        self._reset()
        return finished

    def sure(self) -> list[Emission]:
        """The emission that is going on, if there is one: it has its label, but not its end."""
        return self.peek()

    def peek(self, log_probs_TV: np.ndarray | None = None) -> list[Emission]:
        """What the stream would still say if it ended here, or after these scores; nothing changes by asking."""
        other = copy.copy(self)
        finished = [] if log_probs_TV is None else other.push(log_probs_TV)
        return finished + other.flush()

    def _close(self) -> list[Emission]:
        if self._label == self._blank:
            return []
        # A log-softmax in float32 may exceed 0 by a rounding.
        score = min(1.0, self._total / (self._frame - self._start))
        return [Emission(self._label, self._start, self._frame, score)]


def align(log_probs_TV: np.ndarray, labels: Sequence[int], *, blank: int = 0) -> list[Emission]:
    """Best path of the given labels (Viterbi): one emission for each of them, in order.

    The states are the labels with blanks before, between and after them (Graves et al. 2006, section 4.1); a blank
    may be left out except between equal labels. Needs T (2 L + 1) bytes, and for each state 64 frames of scores.

    Raises `ScoresError` as `greedy` does, and `AlignmentError` where a label is no label of the scores, where there
    are fewer frames than labels and adjacent repeats together, or where the labels have probability 0.
    """
    scores_TV = checked(log_probs_TV, blank)
    labels_L = np.asarray(labels, dtype=np.int64)
    num_frames, num_labels = scores_TV.shape
    if not labels_L.size:
        return []
    for label in labels_L.tolist():
        if label == blank or not 0 <= label < num_labels:
            raise AlignmentError(f"cannot align label {label}: it is the blank or outside 0 to {num_labels - 1}")
    repeated_L = np.concatenate([[False], labels_L[1:] == labels_L[:-1]])
    needed = labels_L.size + int(repeated_L.sum())
    if num_frames < needed:
        raise AlignmentError(
            f"{num_frames} frames are too few for {labels_L.size} labels, which need at least {needed}: "
            "leave the utterance out, shorten its transcript or subsample less"
        )

    state_labels_N = np.full(2 * labels_L.size + 1, blank)
    state_labels_N[1::2] = labels_L
    skip_cost_N = np.full(state_labels_N.size, NEVER)
    skip_cost_N[3::2] = np.where(repeated_L[1:], NEVER, 0.0)
    # Two impossible states in front, so that "the state before" and "the state before that" are plain views.
    best_BN = np.full((min(num_frames, BLOCK) + 1, state_labels_N.size + 2), NEVER)
    best_BN[0, 2] = 0.0  # before the first frame, so that it can be the first blank (stay) or the first label (step)
    moves_TN = np.empty((num_frames, state_labels_N.size), dtype=np.uint8)
    skipped_N = np.empty(state_labels_N.size)
    for first in range(0, num_frames, BLOCK):
        emitted_BN = scores_TV[first : first + BLOCK].astype(np.float64, copy=False)[:, state_labels_N]
        before = best_BN[0]
        for emitted_N, after in zip(emitted_BN, best_BN[1:], strict=False):
            np.add(before[:-2], skip_cost_N, out=skipped_N)
            arrival_N = np.maximum(before[2:], before[1:-1], out=after[2:])
            np.maximum(arrival_N, skipped_N, out=arrival_N)
            arrival_N += emitted_N
            before = after
        # Which of the three it was is found for all frames at once: staying wins over a step, a step over a skip.
        stay_BN, step_BN = best_BN[: len(emitted_BN), 2:], best_BN[: len(emitted_BN), 1:-1]
        skip_BN = best_BN[: len(emitted_BN), :-2] + skip_cost_N
        moves_TN[first : first + BLOCK] = np.where(skip_BN > np.maximum(stay_BN, step_BN), 2, step_BN > stay_BN)
        best_BN[0] = before
    best = best_BN[0]
    state = state_labels_N.size - 1 - int(best[-2] > best[-1])
    if best[state + 2] == NEVER:
        raise AlignmentError("the labels have probability 0 under these scores: no path can be aligned with them")

    states_T = np.empty(num_frames, dtype=np.int64)
    moves = memoryview(moves_TN)  # single numbers come out of it faster
    for t in range(num_frames - 1, -1, -1):
        states_T[t] = state
        state -= moves[t, state]
    return emissions(scores_TV, states_T, labels_L, first=1)


def emissions(scores_TV: np.ndarray, states_T: np.ndarray, labels: Sequence[int], *, first: int) -> list[Emission]:
    """The emissions of labels (L >= 1) that a path goes through one after the other, each with its mean posterior.

    Args:
        scores_TV: Log probabilities.
        states_T: The path; it never falls. The state after that of a label is the blank behind it.
        labels: The labels.
        first: State of the first of them.
    """
    label_states = first + 2 * np.arange(len(labels))
    starts_L, ends_L = (np.searchsorted(states_T, label_states, side=side) for side in ("left", "right"))
    begin, end = starts_L[0], ends_L[-1]
    label_T = np.asarray(labels)[(states_T[begin:end] - first) // 2]
    # A frame more, which no label has, since a sum from one place to the next needs a place to end.
    on_path_T = np.append(scores_TV[np.arange(begin, end), label_T], NEVER)
    places = np.column_stack([starts_L, ends_L]).ravel() - begin
    totals_L = np.add.reduceat(np.exp(on_path_T, dtype=np.float64), places)[::2]
    posteriors_L = np.minimum(1.0, totals_L / (ends_L - starts_L))
    columns = (list(map(int, labels)), starts_L.tolist(), ends_L.tolist(), posteriors_L.tolist())
    return [Emission(*one) for one in zip(*columns, strict=True)]


def checked(log_probs_TV: np.ndarray, blank: int) -> np.ndarray:
    """The scores as an array; raises `ScoresError` where they are not (T, V) with a finite best label in each frame."""
    scores_TV = np.asarray(log_probs_TV)
    if scores_TV.ndim != 2 or not 0 <= blank < scores_TV.shape[1]:
        raise ScoresError(f"scores have shape {scores_TV.shape}: give (frames, labels) with the blank, {blank}, in it")
    best_T = scores_TV.max(axis=1)
    if not np.isfinite(best_T).all():
        frame = int(np.flatnonzero(~np.isfinite(best_T))[0])
        raise ScoresError(f"the best score of frame {frame} is {best_T[frame]}: the model's output is not usable")
    return scores_TV
