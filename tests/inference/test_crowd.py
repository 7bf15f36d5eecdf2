"""Beams of many streams searched at once: each is to the bit what it is alone, whatever the others are."""

from __future__ import annotations

import math
import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference import beam as beams
from inference.beam import BeamDecoder, peek_together, push_together
from inference.ctc import NEVER, ScoresError
from inference.lexicon import LexiconModel, Spellings
from inference.search import largest

GainTable = runpy.run_path(str(Path(__file__).with_name("gain_table.py")))["GainTable"]

V = 5
# One word has no spelling of its own, and one label none that begins with it.
SPELLINGS = [(0, [1]), (1, [1, 2]), (2, [1, 2]), (3, [2, 3, 3]), (4, [3])]


class Bigrams(GainTable):
    """Random gains for each pair of labels, with many ties."""

    def __init__(self, seed: int) -> None:
        super().__init__(np.random.default_rng(seed).integers(-2, 3, (V, V)).astype(np.float64))


class Forgetful(Bigrams):
    """The same, but states are numbered by whoever asks, and only those that are kept have a meaning."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._labels = {0: 0}

    def extend(self, states_N: np.ndarray, labels_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        first = max(self._labels) + 1
        self._labels.update(enumerate(labels_N.tolist(), start=first))
        return self.gains_VV[self._last(states_N), labels_N], np.arange(first, first + len(labels_N))

    def finish(self, states_N: np.ndarray) -> np.ndarray:
        return super().finish(self._last(states_N))

    def fork(self) -> Forgetful:
        other = Forgetful(0)
        other.gains_VV, other._labels = self.gains_VV, dict(self._labels)
        return other

    def keep(self, states_N: np.ndarray) -> None:
        self._labels = {state: self._labels[state] for state in {0, *states_N.tolist()}}

    def _last(self, states_N: np.ndarray) -> list[int]:
        return [self._labels[state] for state in states_N.tolist()]


class Broken(Bigrams):
    """A fusion that fails where a text ends in the last label."""

    def extend(self, states_N: np.ndarray, labels_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if (labels_N == V - 1).any():
            raise RuntimeError("cannot be scored")
        return super().extend(states_N, labels_N)


def scores(rng: np.random.Generator, frames: int, *, sharp: int = 4, impossible: float = 0.3) -> np.ndarray:
    """Log probabilities of coarse numbers, so that many are equal, and some 0."""
    posteriors_TV = (rng.integers(1, 5, (frames, V)) / 4) ** sharp
    posteriors_TV[rng.random((frames, V)) < impossible] = 0
    posteriors_TV[np.arange(frames), rng.integers(0, V, frames)] = 1.0
    with np.errstate(divide="ignore"):
        return np.log(posteriors_TV / posteriors_TV.sum(axis=1, keepdims=True)).astype(np.float32)


def searches(seed: int, beam: int, prune: float) -> list[dict]:
    """Settings of decoders: several alike, and others."""
    fusion, tree = Bigrams(seed), Spellings(SPELLINGS, labels=V)
    words = LexiconModel(tree, numbers_W=range(5), bonus_W=[0.0, 1.0, 1.0, 0.5, 0.0])
    alike = {"beam": beam, "prune": prune}
    return [
        alike,
        {**alike, "fusion": fusion},
        {**alike, "fusion": fusion, "prior_V": np.linspace(-1, 1, V)},
        {**alike, "fusion": Forgetful(seed)},
        {**alike, "fusion": words, "sounds": tree.sounds},
        {"beam": 3},
    ]


def known(decoder: BeamDecoder) -> tuple:
    """All that a decoder holds."""
    return (
        [column.tolist() for column in decoder._beam.prefixes[:6]],
        [decoder._beam.tree.path(node) for node in range(len(decoder._beam.tree))],
        decoder._beam.frame,
        [piece_TV.tolist() for piece_TV in decoder._open],
        decoder.hypotheses(decoder._settings.beam),
    )


@settings(max_examples=40)
@given(
    seed=st.integers(0, 100_000),
    kinds=st.lists(st.integers(0, 5), min_size=2, max_size=7),
    sharp=st.sampled_from([1, 4, 12]),
    impossible=st.sampled_from([0.0, 0.3]),
    beam=st.sampled_from([1, 2, 8, 16]),
    prune=st.sampled_from([0.0, 3.0, math.inf]),
)
def test_each_stream_is_to_the_bit_what_it_is_alone(
    seed: int, kinds: list[int], sharp: int, impossible: float, beam: int, prune: float
) -> None:
    rng = np.random.default_rng(seed)
    searched = searches(seed, beam, prune)
    together, alone = ([BeamDecoder(**searched[kind]) for kind in kinds] for _ in range(2))
    for k in range(len(kinds)):  # of all phases
        before_TV = scores(rng, rng.integers(0, 40), sharp=sharp, impossible=impossible)
        assert together[k].push(before_TV) == alone[k].push(before_TV)
    for _ in range(4):
        some = sorted(rng.permutation(len(kinds))[: rng.integers(1, len(kinds) + 1)].tolist())
        pieces = [scores(rng, rng.choice([0, 1, 14, 40]), sharp=sharp, impossible=impossible) for _ in some]
        ahead = [scores(rng, rng.integers(0, 20), sharp=sharp, impossible=impossible) for _ in some]
        pushed = push_together([together[k] for k in some], pieces)
        assert pushed == [alone[k].push(piece_TV) for k, piece_TV in zip(some, pieces, strict=True)]
        peeked = peek_together([together[k] for k in some], ahead)
        assert peeked == [alone[k].peek(ahead_TV) for k, ahead_TV in zip(some, ahead, strict=True)]
        assert [known(one) for one in together] == [known(one) for one in alone]
        leaving = int(rng.integers(len(kinds)))
        assert together[leaving].flush() == alone[leaving].flush()


@pytest.mark.parametrize(("kind", "groups"), [(1, [4]), (3, [1, 1, 1, 1])])
def test_streams_of_one_search_are_searched_together_unless_it_has_a_memory(
    kind: int, groups: list[int], monkeypatch
) -> None:
    searched: list[int] = []

    def counted(some, *arguments):
        searched.append(len(some))
        return search_all(some, *arguments)

    search_all = beams.search_all
    monkeypatch.setattr(beams, "search_all", counted)
    one, rng = searches(0, 8, 10.0)[kind], np.random.default_rng(0)
    decoders = [BeamDecoder(**one) for _ in range(5)]
    push_together(decoders, [scores(rng, frames) for frames in (3, 16, 0, 16, 9)])
    assert searched == groups


def test_what_is_wrong_with_one_stream_is_wrong_with_it_alone() -> None:
    rng, fusion = np.random.default_rng(0), Broken(0)
    good_TV, broken_TV = scores(rng, 30), scores(rng, 30)
    good_TV[:, V - 1] = NEVER
    good_TV[:, 0] = 0.0
    broken_TV[20, V - 1] = 1.0
    broken_TV[:20, V - 1] = NEVER
    broken_TV[:20, 0] = 0.0
    refused_TV = np.full((3, V), np.nan)
    decoders = [BeamDecoder(beam=4, fusion=fusion) for _ in range(4)]
    alone = BeamDecoder(beam=4, fusion=fusion)
    for together in (push_together, peek_together):
        first, broken, refused, last = together(decoders, [good_TV, broken_TV, refused_TV, good_TV])
        assert first == last == (alone.push(good_TV) if together is push_together else alone.peek(good_TV))
        assert isinstance(broken, RuntimeError)
        assert isinstance(refused, ScoresError)
        assert known(decoders[0]) == known(decoders[3]) == known(alone)
    with pytest.raises(RuntimeError, match="cannot be scored"):
        BeamDecoder(beam=4, fusion=fusion).push(broken_TV)


class Unwilling(Forgetful):
    """A fusion that fails where it is to forget."""

    def fork(self) -> Unwilling:
        return Unwilling(0)

    def keep(self, states_N: np.ndarray) -> None:
        raise RuntimeError("keeps all")


def test_a_fusion_that_cannot_forget_is_wrong_with_its_stream_alone() -> None:
    good_TV = scores(np.random.default_rng(0), 30)
    kept, good = push_together([BeamDecoder(fusion=Unwilling(0)), BeamDecoder()], [good_TV, good_TV])
    assert isinstance(kept, RuntimeError)
    assert good == BeamDecoder().push(good_TV)


@given(
    values=st.lists(st.sampled_from([NEVER, -2.5, -1.0, 0.0, 3.0]), min_size=1, max_size=40), count=st.integers(1, 9)
)
def test_the_largest_are_the_first_of_those_that_are_equal(values: list[float], count: int) -> None:
    best = sorted((k for k, value in enumerate(values) if value > NEVER), key=lambda k: (-values[k], k))[:count]
    assert largest(np.array(values), count).tolist() == sorted(best)
