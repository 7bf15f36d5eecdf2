"""Beam search on a stream: whatever the pushes, the emissions are the same, and those of the whole; and fusion."""

from __future__ import annotations

import itertools
import math
import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference import beam as beams
from inference.beam import BeamDecoder, prefix_beam
from inference.ctc import GreedyDecoder, align

GainTable = runpy.run_path(str(Path(__file__).with_name("gain_table.py")))["GainTable"]


def speech(seed: int, frames: int, size: int = 8, *, every: int = 5, sure: float = 6.0) -> np.ndarray:
    """Scores as of a trained model: spikes between blanks, now and then two labels that might both be meant."""
    rng = np.random.default_rng(seed)
    scores_TV = rng.standard_normal((frames, size))
    scores_TV[:, 0] += sure
    for t in range(2, frames, every):
        one, other = rng.choice(np.arange(1, size), 2, replace=False)
        scores_TV[t, one] += 2 * sure
        scores_TV[t, other] += 2 * sure - rng.exponential(3.0)
    return scores_TV - np.logaddexp.reduce(scores_TV, axis=1, keepdims=True)


class Bigrams(GainTable):
    """Random gains for each pair of labels."""

    def __init__(self, seed: int, size: int) -> None:
        super().__init__(np.random.default_rng(seed).normal(0, 1.5, (size, size)))

    def of(self, labels: tuple[int, ...]) -> float:
        return math.fsum(self.gains_VV[pair] for pair in itertools.pairwise((0, *labels, 0)))


def pushed(decoder: BeamDecoder, scores_TV: np.ndarray, pieces: list[int]) -> list:
    found, at = [], 0
    for piece in itertools.cycle(pieces):
        if at >= len(scores_TV):
            return found + decoder.flush()
        found += decoder.push(scores_TV[at : at + piece])
        at += piece
    raise AssertionError


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), pieces=st.lists(st.integers(1, 40), min_size=1, max_size=6), fused=st.booleans())
def test_any_pushes_equal_the_whole(seed: int, pieces: list[int], fused: bool) -> None:
    scores_TV = speech(seed, 150)
    decoder = BeamDecoder(beam=8, fusion=Bigrams(seed, 8) if fused else None)
    whole = decoder.push(scores_TV) + decoder.flush()
    assert pushed(decoder, scores_TV, pieces) == whole
    # What is settled on the way is what the search finds at the end.
    assert (
        tuple(one.label for one in whole) == prefix_beam(scores_TV, beam=8, fusion=decoder._settings.fusion)[0].labels
    )
    assert all(a.end <= b.start for a, b in itertools.pairwise(whole))
    assert all(0 <= one.start < one.end and 0 <= one.score <= 1 for one in whole)


def test_times_are_those_of_the_alignment() -> None:
    scores_TV = speech(1, 400)
    decoder = BeamDecoder(beam=8)
    found = decoder.push(scores_TV)
    assert found, "some labels settle before the end"
    found += decoder.flush()
    assert found == align(scores_TV, [one.label for one in found])


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), pieces=st.lists(st.integers(1, 40), min_size=1, max_size=6))
def test_priors_are_taken_off_what_is_searched_and_not_off_what_is_aligned(seed: int, pieces: list[int]) -> None:
    scores_TV, prior_V = speech(seed, 120), np.random.default_rng(seed).normal(0, 2.0, 8)
    fusion = Bigrams(seed, 8)
    found = pushed(BeamDecoder(beam=8, fusion=fusion, prior_V=prior_V), scores_TV, pieces)
    labels = tuple(one.label for one in found)
    assert labels == prefix_beam(scores_TV - prior_V, beam=8, fusion=fusion)[0].labels
    whole = BeamDecoder(beam=8, fusion=fusion, prior_V=prior_V)
    assert found == whole.push(scores_TV) + whole.flush()


def test_times_and_scores_are_those_of_the_scores_without_priors() -> None:
    scores_TV, prior_V = speech(1, 400), np.linspace(-1, 1, 8)
    decoder = BeamDecoder(beam=8, prior_V=prior_V)
    found = decoder.push(scores_TV) + decoder.flush()
    assert found == align(scores_TV, [one.label for one in found])


def test_sure_scores_are_decoded_as_by_greedy_search() -> None:
    scores_TV = speech(3, 300, sure=12.0)
    decoder, greedy = BeamDecoder(beam=4), GreedyDecoder()
    beam = decoder.push(scores_TV) + decoder.flush()
    assert [one.label for one in beam] == [one.label for one in greedy.push(scores_TV) + greedy.flush()]


def drone(kind: str) -> np.ndarray:
    """20,000 frames: of silence, of one label and then silence, or of one label that never ends."""
    scores_TV = np.full((20_000, 7), -9.0)
    scores_TV[:, 3 if kind == "a hum" else 0] = 0.0
    if kind == "a label, then silence":
        scores_TV[50, [0, 3]] = -9.0, 0.0
    return scores_TV - np.logaddexp.reduce(scores_TV, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", ["speech", "silence", "a label, then silence", "a hum"])
def test_neither_what_is_held_nor_the_work_grows_with_the_stream(kind: str, monkeypatch) -> None:
    aligned: list[int] = []

    def counted(scores_TV: np.ndarray, labels, **options):
        aligned.append(len(scores_TV))
        return align(scores_TV, labels, **options)

    monkeypatch.setattr(beams, "align", counted)
    scores_TV = np.concatenate([speech(k, 100, 7) for k in range(30)]) if kind == "speech" else drone(kind)
    decoder = BeamDecoder(beam=8)
    found, frames, nodes = [], [], []
    for t in range(0, len(scores_TV), 100):
        found += decoder.push(scores_TV[t : t + 100])
        frames.append(sum(map(len, decoder._open)))
        nodes.append(len(decoder._beam.tree))
    assert max(frames) <= beams.LONGEST_OPEN + beams.SETTLE_FRAMES
    assert max(nodes) < 3000
    assert len(aligned) <= len(found)
    assert max(aligned, default=0) <= beams.LONGEST_OPEN + beams.SETTLE_FRAMES
    if kind != "speech":
        assert [one.label for one in found + decoder.flush()] == ([] if kind == "silence" else [3])


@given(
    seed=st.integers(0, 100_000),
    frames=st.integers(1, 120),
    impossible=st.sampled_from([0.0, 0.3, 0.6]),
    sharp=st.sampled_from([1, 4, 12]),
    beam=st.sampled_from([1, 2, 8, 16]),
    prune=st.sampled_from([2.0, 10.0, math.inf]),
)
def test_whatever_the_scores_it_says_what_the_search_of_the_whole_says(
    seed: int, frames: int, impossible: float, sharp: int, beam: int, prune: float
) -> None:
    rng = np.random.default_rng(seed)
    posteriors_TV = rng.random((frames, 4)) ** sharp
    posteriors_TV[rng.random((frames, 4)) < impossible] = 0
    posteriors_TV[np.arange(frames), rng.integers(0, 4, frames)] += 0.1
    with np.errstate(divide="ignore"):
        scores_TV = np.log(posteriors_TV / posteriors_TV.sum(axis=1, keepdims=True))
    decoder = BeamDecoder(beam=beam, prune=prune)
    found = decoder.push(scores_TV) + decoder.flush()
    assert tuple(one.label for one in found) == prefix_beam(scores_TV, beam=beam, prune=prune)[0].labels
    assert all(one.end <= other.start for one, other in itertools.pairwise(found))


def test_a_beam_that_never_agrees_is_cut() -> None:
    """Two labels that are equally likely, then certain ones for ever: the beam keeps both beginnings."""
    scores_TV = np.full((1200, 4), -20.0)
    scores_TV[:, 0] = 0.0
    scores_TV[5, [1, 2]] = 0.0, -1e-3
    scores_TV[5, 0] = -20.0
    for t in range(20, 1200, 10):
        scores_TV[t, 0], scores_TV[t, 3] = -20.0, 0.0
    scores_TV -= np.logaddexp.reduce(scores_TV, axis=1, keepdims=True)
    decoder = BeamDecoder(beam=2)
    found = decoder.push(scores_TV)
    assert found[0].label == 1
    assert len(found) > 50
    assert sum(map(len, decoder._open)) <= beams.LONGEST_OPEN + beams.SETTLE_FRAMES
    assert [one.label for one in found + decoder.flush()] == [1] + [3] * 118


def test_asking_changes_nothing() -> None:
    scores_TV = speech(5, 240)
    asked, other = BeamDecoder(beam=6), BeamDecoder(beam=6)
    for t in range(0, 200, 20):
        piece_TV = scores_TV[t : t + 20]
        before = asked.push(piece_TV)
        ahead = asked.peek(scores_TV[t + 20 : t + 40])
        assert asked.peek(scores_TV[t + 20 : t + 40]) == ahead
        assert before == other.push(piece_TV)
    rest = asked.peek()
    assert rest == asked.flush() == other.flush()


@given(frames=st.integers(0, 5), size=st.integers(2, 4), seed=st.integers(0, 10_000))
def test_fusion_adds_its_gains_to_the_exact_posteriors(frames: int, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores_TV = rng.standard_normal((frames, size))
    scores_TV -= np.logaddexp.reduce(scores_TV, axis=1, keepdims=True)
    fusion = Bigrams(seed, size)
    expected: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(size), repeat=frames):
        labels = tuple(label for label, _ in itertools.groupby(path) if label)
        expected[labels] = expected.get(labels, 0.0) + math.exp(sum(scores_TV[t, v] for t, v in enumerate(path)))
    found = prefix_beam(scores_TV, beam=5000, nbest=5000, prune=math.inf, fusion=fusion)
    assert {h.labels: h.score for h in found} == pytest.approx(
        {labels: math.log(p) + fusion.of(labels) for labels, p in expected.items()}, rel=1e-9, abs=1e-9
    )
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
