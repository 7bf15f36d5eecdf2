"""The search of `inference.search` over the beams of many streams at once, each to the bit what it is alone.

A frame of one stream is little work in many calls of NumPy, and the calls are what it costs. So the prefixes of all
streams lie behind each other in one array, and each call serves them all. What is computed of a prefix depends on it
and on its stream alone, and those of a stream stand in the order in which they stand alone. (A single stream takes a
third longer this way, which is why there are two.)

Shapes: as in `inference.search`, and S streams, those of most frames first; K are the prefixes of all streams, those of
a stream side by side, and N pairs likewise. W is the most values of a stream that are chosen from.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inference.ctc import NEVER
from inference.prefixes import keys
from inference.search import ENDLESS, LEAST, Beam, Prefixes, Settings, considered, search


def search_all(beams: Sequence[Beam], scores: Sequence[np.ndarray], settings: Settings) -> None:
    """Take each beam through its frames of log probabilities (T,V), float64, T >= 1; T may differ, V may not.

    No beam has moved where an exception is raised.
    """
    if len(beams) == 1:
        return search(beams[0], scores[0], settings)
    order = sorted(range(len(beams)), key=lambda s: -len(scores[s]))
    frames = _Frames([scores[s] for s in order], settings)
    crowd = _Crowd([beams[s] for s in order], frames, settings)
    for t in range(frames.lengths[0]):
        crowd.step(t)
    crowd.leave(0)
    for place, s in enumerate(order):
        beams[s].prefixes = crowd.left[place]
        beams[s].frame += len(scores[s])


class _Frames:
    """The scores of all streams, and of each frame of each the labels that are considered, side by side.

    Attributes:
        lengths: Frames of each stream.
        widths: Of each frame the most labels that a stream considers, C.
        scores_TSV, considered_TSV: Scores, and which labels are considered.
        labels_TSC, most_TSC: The labels that are, and the most that a prefix can come to have more by each; where there
            are fewer, minus infinity.
        column_TSV: Where each label that is considered stands there.
    """

    def __init__(self, scores: Sequence[np.ndarray], settings: Settings):
        self.lengths = [len(scores_TV) for scores_TV in scores]
        padded_TSV = np.zeros((self.lengths[0], len(scores), scores[0].shape[1]))
        for s, scores_TV in enumerate(scores):
            padded_TSV[: len(scores_TV), s] = scores_TV
        self.scores_TSV, self.considered_TSV, most_TSV = considered(padded_TSV, settings)
        # Behind the end of a stream there is nothing to look at.
        self.considered_TSV &= (np.arange(self.lengths[0])[:, None] < self.lengths)[:, :, None]
        count_TS = self.considered_TSV.sum(axis=2)
        self.widths = count_TS.max(axis=1).tolist()
        shape = (*count_TS.shape, max(self.widths))
        t, s, v = self.considered_TSV.nonzero()
        column = np.arange(t.size) - np.repeat(count_TS.cumsum() - count_TS.ravel(), count_TS.ravel())
        self.labels_TSC, self.most_TSC = np.zeros(shape, np.int64), np.full(shape, NEVER)
        self.labels_TSC[t, s, column], self.most_TSC[t, s, column] = v, most_TSV[t, s, v]
        self.column_TSV = np.zeros(self.scores_TSV.shape, np.int64)
        self.column_TSV[t, s, v] = column


class _Crowd:
    """The beams of streams, taken through their frames together.

    Attributes:
        left: The prefixes of each stream that has no more frames.
    """

    def __init__(self, beams: Sequence[Beam], frames: _Frames, settings: Settings):
        self._beams, self._frames, self._settings = beams, frames, settings
        self._streams = len(beams)
        self.left: list[Prefixes] = [one.prefixes for one in beams]
        prefixes = Prefixes(*map(np.concatenate, zip(*self.left, strict=True)))
        # Of each node of each stream where it is in the beam while that is looked for, and -1 else. The parent of the
        # empty prefix comes before the nodes of its stream.
        rooms = [1 + len(b.tree) + settings.beam * length for b, length in zip(beams, frames.lengths, strict=True)]
        self._row_of = np.full(sum(rooms), -1)
        self._base_S = np.cumsum(rooms) - rooms + 1
        self._hold(prefixes, prefixes.total_K, np.repeat(np.arange(len(beams)), [one.node_K.size for one in self.left]))

    def _hold(self, prefixes: Prefixes, total_K: np.ndarray, stream_K: np.ndarray) -> None:
        """Go on with these prefixes, of which follow: how many are of each stream, from which place on, and parents."""
        self._prefixes, self._total_K, self._stream_K = prefixes, total_K, stream_K
        self._size_S = np.bincount(stream_K, minlength=self._streams)
        self._first_S = self._size_S.cumsum() - self._size_S
        # Where in the beam the parent of each prefix is, -1 if it is not.
        base_K = self._base_S[stream_K]
        places_K = base_K + prefixes.node_K
        self._row_of[places_K] = np.arange(places_K.size)
        self._row_K = self._row_of[base_K + prefixes.parent_K]
        self._row_of[places_K] = -1

    def _stay(self, after_blank_K: np.ndarray, after_label_K: np.ndarray, total_K: np.ndarray) -> None:
        """Go on with the same prefixes."""
        self._prefixes = self._prefixes._replace(after_blank_K=after_blank_K, after_label_K=after_label_K)
        self._total_K = total_K

    def leave(self, streams: int) -> None:
        """Go on with the first so many streams alone: the others have no more frames."""
        first_S = [*self._first_S.tolist(), self._stream_K.size]
        for s in range(streams, self._streams):
            self.left[s] = self._prefixes.at(slice(first_S[s], first_S[s + 1]))
        self._streams = streams
        rest = slice(first_S[streams])
        self._hold(self._prefixes.at(rest), self._total_K[rest], self._stream_K[rest])

    def step(self, t: int) -> None:
        """Take the beams through one frame."""
        frames, lengths = self._frames, self._frames.lengths
        if lengths[self._streams - 1] <= t:
            self.leave(next(s for s, length in enumerate(lengths) if length <= t))
        settings, prefixes, stream_K = self._settings, self._prefixes, self._stream_K
        last_K, gain_K, total_K = prefixes.last_K, prefixes.gain_K, self._total_K
        scores_SV, width = frames.scores_TSV[t, : self._streams], frames.widths[t]
        same_K = scores_SV[stream_K, last_K]
        stay_blank_K = total_K + scores_SV[:, settings.blank][stream_K]
        stay_label_K = prefixes.after_label_K + same_K
        most_KC = (total_K + gain_K)[:, None] + frames.most_TSC[t, :, :width].take(stream_K, axis=0)
        # Where a prefix and its parent are both in the beam, the parent grows into one that is already there.
        met = (frames.considered_TSV[t, stream_K, last_K] & (self._row_K >= 0)).nonzero()[0]
        if met.size:
            rows, labels = self._row_K[met], last_K[met]
            # The same label again: only after a blank.
            before = np.where(settings.alike(last_K[rows], labels), prefixes.after_blank_K[rows], total_K[rows])
            stay_label_K[met] = np.logaddexp(stay_label_K[met], before + same_K[met])
            most_KC[rows, frames.column_TSV[t, stream_K[met], labels]] = NEVER
        stay_K = np.logaddexp(stay_blank_K, stay_label_K)
        stayed_K = stay_K + gain_K
        # A full beam already has a last place; what cannot reach it need not be looked at.
        floor_S = np.where(self._size_S >= settings.beam, np.minimum.reduceat(stayed_K, self._first_S), NEVER)
        floor_S = np.maximum(floor_S, -ENDLESS)
        hopeful = (most_KC >= floor_S[stream_K][:, None]).ravel().nonzero()[0]
        if not hopeful.size:
            return self._stay(stay_blank_K, stay_label_K, stay_K)

        parents, columns = np.divmod(hopeful, width)
        stream_N = stream_K[parents]
        labels_N = frames.labels_TSC[t, stream_N, columns]
        alike_N = settings.alike(last_K[parents], labels_N)
        grown_N = np.where(alike_N, prefixes.after_blank_K[parents], total_K[parents]) + scores_SV[stream_N, labels_N]
        ranked_N = grown_N
        if settings.fusion is not None:
            gains_N, states_N = settings.fusion.extend(prefixes.state_K[parents], labels_N)
            gains_N = gains_N + gain_K[parents]
            ranked_N = grown_N + gains_N
        stays, grown = self._chosen(stayed_K, ranked_N, stream_N)
        # Of each place in the new beams the one in the old ones that it comes from; what has grown is behind the rest
        # of its stream.
        from_K = np.concatenate([stays, parents[grown]])
        order = stream_K[from_K].argsort(kind="stable")
        from_K, new = from_K[order], (order >= stays.size).nonzero()[0]
        stream_K, total_K = stream_K[from_K], stay_K[from_K]
        node_K, _, last_K, _, _, gain_K, state_K = prefixes.at(from_K)
        parent_K, after_blank_K, after_label_K = prefixes.parent_K[from_K], stay_blank_K[from_K], stay_label_K[from_K]
        after_blank_K[new], after_label_K[new], total_K[new] = NEVER, grown_N[grown], grown_N[grown]
        parent_K[new], last_K[new] = node_K[new], labels_N[grown]
        node_K[new] = self._grown(node_K[new], labels_N[grown], stream_N[grown], t)
        if settings.fusion is not None:
            gain_K[new], state_K[new] = gains_N[grown], states_N[grown]
        self._hold(Prefixes(node_K, parent_K, last_K, after_blank_K, after_label_K, gain_K, state_K), total_K, stream_K)

    def _grown(self, parents_N: np.ndarray, labels_N: np.ndarray, stream_N: np.ndarray, t: int) -> list[int]:
        """The nodes (N) of prefixes with one label more, each in the tree of its stream."""
        keys_N, found = keys(parents_N, labels_N), []
        for s, count in enumerate(np.bincount(stream_N).tolist()):
            if count:
                first = len(found)
                found += self._beams[s].tree.grown(keys_N[first : first + count], self._beams[s].frame + t)
        return found

    def _chosen(
        self, stayed_K: np.ndarray, ranked_N: np.ndarray, stream_N: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Places of what stays, and of what has grown into the beams: of each stream `inference.search.largest`.

        Where nothing may have grown, all stay.
        """
        beam, size_S, stream_K = self._settings.beam, self._size_S, self._stream_K
        more_S = np.bincount(stream_N, minlength=self._streams)
        least_S = np.where(more_S > 0, LEAST, NEVER)
        widest = int((size_S + more_S).max())
        if widest > beam:
            values_SW = np.full((self._streams, widest), NEVER)
            values_SW[stream_K, np.arange(stream_K.size) - self._first_S[stream_K]] = stayed_K
            values_SW[stream_N, np.arange(stream_N.size) - (more_S.cumsum() - more_S - size_S)[stream_N]] = ranked_N
            values_SW.partition(widest - beam, axis=1)
            least_S = np.maximum(least_S, values_SW[:, widest - beam])
        stays_K, comes_N = stayed_K >= least_S[stream_K], ranked_N >= least_S[stream_N]
        count_S = np.bincount(stream_K[stays_K], minlength=self._streams)
        count_S += np.bincount(stream_N[comes_N], minlength=self._streams)
        # Of those that are equally good and too many, the last ones go; what has grown comes after what stays.
        for s in (count_S > beam).nonzero()[0].tolist():
            equal_K = ((stream_K == s) & (stayed_K == least_S[s])).nonzero()[0]
            equal_N = ((stream_N == s) & (ranked_N == least_S[s])).nonzero()[0]
            good = equal_K.size + equal_N.size - int(count_S[s] - beam)
            stays_K[equal_K[good:]] = False
            comes_N[equal_N[max(0, good - equal_K.size) :]] = False
        return stays_K.nonzero()[0], comes_N.nonzero()[0]
