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
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from inference import remembering
from inference.crowd import search_all
from inference.ctc import Emission, ScoresError, align, checked
from inference.prefixes import ROOT, PrefixTree
from inference.search import IMPOSSIBLE, Beam, Prefixes, Settings, largest, search

SETTLE_FRAMES = 16
"""Frames from one look at what is settled to the next; counted over the stream, so that pushes do not matter."""

LONGEST_OPEN = 400
"""Frames that may be open; of more, the best prefix wins: in a hum, or on a doubtful word, a beam never agrees."""

PRUNE = 10.0
"""Nats by which a label may be less probable than the best one of its frame, and still extend prefixes."""

OVER = 20.0
"""Nats by which ending in a blank leads where the last label is over and done with."""

CROWDED = 32
"""Prefixes held for each place in the beam before those that have left it are forgotten."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A labelling and its score: the log probability, summed over all its paths that the search has kept, and gains."""

    labels: tuple[int, ...]
    score: float


class Fusion(Protocol):
    """What a search knows beside the scores, as gains in nats that depend on the labels alone.

    States are integers; two texts after which everything gains alike should have the same one. Several streams may be
    asked about in one call. One that computes what its states mean, `inference.remembering`, has a memory for each
    stream, and is told each `SETTLE_FRAMES` which states a prefix still has.
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
        self._prior_V = prior_V
        self._settings = Settings(blank, beam, prune, remembering.fork(fusion), sounds)
        self._reset()

    def _reset(self) -> None:
        fusion = self._settings.fusion
        self._beam = Beam(Prefixes.empty(self._settings.blank, 0 if fusion is None else fusion.begin()))
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
        return raised(push_together([self], [log_probs_TV])[0])

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
        return self._rest() if log_probs_TV is None else raised(peek_together([self], [log_probs_TV])[0])

    def hypotheses(self, count: int = 1) -> list[Hypothesis]:
        """The best labellings if the stream ended here, best first; fewer than asked where fewer are in the beam.

        Of a stream they begin with the first label that is not settled.
        """
        score_K = self._final_scores()
        assert np.isfinite(score_K).any(), "gains are finite, and some path is possible"
        best = largest(score_K, count)
        best = best[np.argsort(-score_K[best], kind="stable")]
        node_K, tree = self._beam.prefixes.node_K, self._beam.tree
        return [Hypothesis(tree.path(int(node_K[k])), float(score_K[k])) for k in best]

    def _final_scores(self) -> np.ndarray:
        prefixes, fusion = self._beam.prefixes, self._settings.fusion
        score_K = prefixes.total_K + prefixes.gain_K
        return score_K if fusion is None else score_K + fusion.finish(prefixes.state_K)

    def _rest(self) -> list[Emission]:
        return self._aligned(self.hypotheses()[0].labels)

    def _copy(self) -> BeamDecoder:
        """One that goes on from here by itself."""
        other = copy.copy(self)
        other._open, other._beam = list(self._open), self._beam.copy()
        other._settings = self._settings._replace(fusion=remembering.fork(self._settings.fusion))
        return other

    def _search(self, scores_TV: np.ndarray) -> None:
        """Take the beam through these frames, and settle nothing."""
        while len(scores_TV):
            piece_TV = self._next(scores_TV)
            search(self._beam, self._likelihoods(piece_TV), self._settings)
            scores_TV = scores_TV[len(piece_TV) :]

    def _next(self, scores_TV: np.ndarray) -> np.ndarray:
        """The first of these frames, up to where it is looked at what is settled."""
        done = self._beam.frame % SETTLE_FRAMES
        if not done:
            remembering.keep(self._settings.fusion, self._beam.prefixes.state_K)
        return scores_TV[: SETTLE_FRAMES - done]

    def _likelihoods(self, scores_TV: np.ndarray) -> np.ndarray:
        """What is searched: scores without the priors."""
        return scores_TV if self._prior_V is None else scores_TV - self._prior_V

    def _searched(self, scores_TV: np.ndarray) -> list[Emission]:
        """What these frames, which have been searched, have settled."""
        self._open.append(scores_TV)
        return self._settle() if self._beam.frame % SETTLE_FRAMES == 0 else []

    def _aligned(self, labels: Sequence[int]) -> list[Emission]:
        """The emissions of these open labels, in frames of the stream."""
        if not labels:
            return []
        blank, sounds = self._settings.blank, self._settings.sounds
        scores_TV = np.maximum(np.concatenate(self._open), IMPOSSIBLE)
        # What is settled may cover any of its frames.
        scores_TV[: max(0, self._settled_to - self._open_from), blank] = 0.0
        emissions, reached = [], self._settled_to
        heard = labels if sounds is None else sounds[list(labels)].tolist()
        for one, label in zip(align(scores_TV, heard, blank=blank), labels, strict=True):
            # The best path may have moved since the labels before were settled.
            start = max(one.start + self._open_from, reached)
            reached = max(one.end + self._open_from, start + 1)
            emissions.append(Emission(label, start, reached, one.score))
        return emissions

    def _settle(self) -> list[Emission]:
        """Emissions of the labels that all prefixes have gone beyond; they and their frames are forgotten."""
        beam, tree, prefixes = self._beam, self._beam.tree, self._beam.prefixes
        best = (prefixes.total_K + prefixes.gain_K).argmax()
        line = tree.line(int(prefixes.node_K[best]))
        overlong = beam.frame - self._open_from > LONGEST_OPEN
        decided = ROOT
        if overlong:
            # Up to one label is decided as a whole: nothing may follow it yet.
            decided = line[(len(line) - 1) // 2] if line else ROOT
            prefixes = prefixes.at(_beginning_with(decided, tree, prefixes.node_K, alone=len(line) < 2))
        going_on_K = prefixes.after_label_K > prefixes.after_blank_K - OVER
        common = tree.common(np.where(going_on_K, np.maximum(prefixes.parent_K, ROOT), prefixes.node_K).tolist())
        start = max(common, decided)
        emissions = self._aligned(tree.path(line[-1]))[: line.index(start) + 1] if start else []
        beam.prefixes = prefixes
        if start or len(tree) > CROWDED * self._settings.beam:
            beam.forget(start)
        if start:
            self._settled_to = emissions[-1].end
            # No path that is kept has a later label before this one.
            self._forget(before=tree.birth(start))
        elif overlong and not line:
            self._forget(before=beam.frame)
        return emissions

    def _forget(self, *, before: int) -> None:
        open_TV = np.concatenate(self._open)
        # A copy, so that what is forgotten is freed.
        self._open = [open_TV[before - self._open_from :].copy()]
        self._open_from = before


def _beginning_with(prefix: int, tree: PrefixTree, node_K: np.ndarray, *, alone: bool) -> np.ndarray:
    """Which of these prefixes begin with this one, or are it."""
    nodes = node_K.tolist()
    return np.flatnonzero([node == prefix if alone else tree.common((node, prefix)) == prefix for node in nodes])


Found: TypeAlias = list[Emission] | Exception


def push_together(decoders: Sequence[BeamDecoder], scores: Sequence[np.ndarray]) -> list[Found]:
    """What `push` gives of each of several decoders, to the bit, or the exception that it raises; in less time.

    Those that search alike, such as those of one `asr.search.Search`, are searched together.
    """
    found: list[Found] = [[] for _ in decoders]
    rest: dict[int, np.ndarray] = {}
    for k, (decoder, log_probs_TV) in enumerate(zip(decoders, scores, strict=True)):
        try:
            rest[k] = checked(log_probs_TV, decoder._settings.blank).astype(np.float64)
        except ScoresError as error:
            found[k] = error
    while rest := {k: scores_TV for k, scores_TV in rest.items() if len(scores_TV)}:
        pieces: dict[int, np.ndarray] = {}
        for k, scores_TV in rest.items():
            try:
                pieces[k] = decoders[k]._next(scores_TV)
            except Exception as error:  # a fusion is told what to keep, and is somebody else's code
                found[k] = error
        groups: dict[Hashable, list[int]] = {}
        for k in pieces:
            groups.setdefault((*decoders[k]._settings.key, rest[k].shape[1]), []).append(k)
        for some in groups.values():
            _push_pieces({k: decoders[k] for k in some}, pieces, found)
        rest = {k: scores_TV[len(pieces[k]) :] for k, scores_TV in rest.items() if not isinstance(found[k], Exception)}
    return found


def _push_pieces(decoders: Mapping[int, BeamDecoder], pieces: Mapping[int, np.ndarray], found: list[Found]) -> None:
    """Search the next pieces of decoders that search alike, and add to what has been found of each."""
    first = next(iter(decoders.values()))
    try:
        search_all(
            [one._beam for one in decoders.values()],
            [one._likelihoods(pieces[k]) for k, one in decoders.items()],
            first._settings,
        )
    except Exception as error:  # a fusion is somebody else's code; no beam has moved, and one stream may be at fault
        for k, one in decoders.items():
            if len(decoders) == 1:
                found[k] = error
            else:
                _push_pieces({k: one}, pieces, found)
        return
    for k, one in decoders.items():
        settled = attempt(one._searched, pieces[k])
        found[k] = settled if isinstance(settled, Exception) else found[k] + settled


def peek_together(decoders: Sequence[BeamDecoder], scores: Sequence[np.ndarray]) -> list[Found]:
    """What `peek` gives of each of several decoders, to the bit, or the exception that it raises; in less time."""
    others = [decoder._copy() for decoder in decoders]
    return [
        pushed if isinstance(pushed, Exception) else attempt(lambda one, first: first + one._rest(), other, pushed)
        for pushed, other in zip(push_together(others, scores), others, strict=True)
    ]


def attempt(find: Callable[..., list[Emission]], *arguments: object) -> Found:
    """What is found, or the exception that is raised, of whatever kind: it is one stream's and no other's."""
    try:
        return find(*arguments)
    except Exception as error:
        return error


def raised(found: Found) -> list[Emission]:
    """What was found; if that is an exception, it is raised."""
    if isinstance(found, Exception):
        raise found
    return found


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
