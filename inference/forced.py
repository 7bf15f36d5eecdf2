"""Forced alignment of a text that need not be said in full: words may be left out, at a price.

The best path of labels that are known (`inference.ctc.align`) puts every word somewhere, and one that was not said
takes the place of a neighbour. Here a path may also go past a word. What that costs is the word's price: a word whose
labels are less likely than that is taken to be missing.

Shapes: T frames, V labels, L labels of all words, N states (2 L + 1), W words.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inference.ctc import NEVER, AlignmentError, Emission, checked, emissions

JUMP = 3  # the move of a path that has gone past words


def align_words(
    log_probs_TV: np.ndarray, words: Sequence[Sequence[int]], prices: Sequence[float], *, blank: int = 0
) -> list[list[Emission] | None]:
    """The best path of the words, each with its labels' emissions, or none where it was left out.

    A path that leaves words out goes on from the blank after the word before. Needs T (2 L + 4 W) bytes.

    Args:
        log_probs_TV: Scores.
        words: Labels of each word, in order; a space may be a word of its own.
        prices: What leaving each word out costs, in nats.
        blank: Label of the blank.

    Raises:
        ScoresError: the scores are not an array (T, V) with a finite best label in each frame.
        AlignmentError: a word has no labels, or one that is no label of the scores.
    """
    scores_TV = checked(log_probs_TV, blank)
    num_frames, num_labels = scores_TV.shape
    for word in words:
        if not word or any(label == blank or not 0 <= label < num_labels for label in word):
            raise AlignmentError(
                f"cannot align {list(word)}: labels from 0 to {num_labels - 1} are needed, not the blank"
            )
    if not words:
        return []
    labels_L = np.concatenate([np.asarray(word, dtype=np.int64) for word in words])
    ends_W = np.cumsum([len(word) for word in words])
    first_W = 2 * (ends_W - [len(word) for word in words]) + 1
    state_labels_N = np.full(2 * labels_L.size + 1, blank)
    state_labels_N[1::2] = labels_L
    skip_cost_N = np.full(state_labels_N.size, NEVER)
    skip_cost_N[3::2] = np.where(labels_L[1:] == labels_L[:-1], NEVER, 0.0)
    # The blank before the first word, and the ones after each.
    exits_W1 = np.concatenate([[0], 2 * ends_W])
    # What it costs to have left out all words before one; from exit j to word k it is the difference.
    cost_W1 = np.concatenate([[0.0], np.cumsum(prices)])

    best = np.full(state_labels_N.size + 2, NEVER)  # as in `inference.ctc.align`, two impossible states in front
    best[2] = 0.0
    moves_TN = np.empty((num_frames, state_labels_N.size), dtype=np.uint8)
    jumps_TW = np.zeros((num_frames, len(words)), dtype=np.int32)
    for t, frame_V in enumerate(scores_TV.astype(np.float64, copy=False)):
        arrivals = np.stack([best[2:], best[1:-1], best[:-2] + skip_cost_N])
        moves_N, best_N = arrivals.argmax(axis=0), arrivals.max(axis=0)
        if len(words) > 1:
            # Into word k from exit j < k, with the words j to k - 1 left out.
            leaving_W = best[2:][exits_W1[:-2]] + cost_W1[:-2]
            running_W = np.maximum.accumulate(leaving_W)
            from_W = np.maximum.accumulate(np.where(leaving_W == running_W, np.arange(len(leaving_W)), 0))
            jumping_W = running_W - cost_W1[1:-1]
            jumps_TW[t, 1:] = from_W
            better_W = jumping_W > best_N[first_W[1:]]
            states = first_W[1:][better_W]
            best_N[states], moves_N[states] = jumping_W[better_W], JUMP
        moves_TN[t] = moves_N
        best[2:] = best_N + frame_V[state_labels_N]

    # The path ends after a word, in its blank or its last label, with the rest left out.
    left_W1 = cost_W1[-1] - cost_W1
    ending_W1 = best[2:][exits_W1] - left_W1
    speaking_W = best[2:][exits_W1[1:] - 1] - left_W1[1:]
    state = int(exits_W1[ending_W1.argmax()])
    if speaking_W.max() > ending_W1.max():
        state = int(exits_W1[1:][speaking_W.argmax()]) - 1
    states_T = np.empty(num_frames, dtype=np.int64)
    for t in range(num_frames - 1, -1, -1):
        states_T[t] = state
        move = int(moves_TN[t, state])
        state = int(exits_W1[jumps_TW[t, np.searchsorted(first_W, state)]]) if move == JUMP else state - move
    return [_said(scores_TV, states_T, word, int(first)) for word, first in zip(words, first_W, strict=True)]


def _said(scores_TV: np.ndarray, states_T: np.ndarray, word: Sequence[int], first: int) -> list[Emission] | None:
    """The labels of a word; none if the path does not go through it."""
    if np.searchsorted(states_T, first, side="left") == np.searchsorted(states_T, first, side="right"):
        return None
    return emissions(scores_TV, states_T, word, first=first)


def log_likelihood(scores_TV: np.ndarray, labels: Sequence[int], *, blank: int = 0) -> float:
    """Log probability of the labels, summed over all their paths (Graves et al. 2006, equations 6 to 8)."""
    state_labels_N = np.full(2 * len(labels) + 1, blank)
    state_labels_N[1::2] = labels
    skips_N = np.zeros(state_labels_N.size, dtype=bool)
    skips_N[3::2] = state_labels_N[3::2] != state_labels_N[1:-2:2]
    # As in `align_words`: two impossible states in front, and the first blank before the first frame.
    reached = np.full(state_labels_N.size + 2, NEVER)
    reached[2] = 0.0
    for frame_V in scores_TV.astype(np.float64, copy=False):
        arrivals = np.logaddexp(reached[2:], reached[1:-1])
        arrivals[skips_N] = np.logaddexp(arrivals[skips_N], reached[:-2][skips_N])
        reached[2:] = arrivals + frame_V[state_labels_N]
    return float(np.logaddexp(reached[-1], reached[-2])) if len(labels) else float(reached[-1])
