"""Windows of a stream are judged alike however its steps are pushed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.pooling import PoolStream, RunningPool, pool

V = 4


def evidence(steps: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((steps, V + 1)).astype(np.float32) * 3


def test_one_step_is_its_own_pool() -> None:
    evidence_TE = evidence(1)
    scores_V = np.exp(evidence_TE[0, :-1].astype(np.float64))
    np.testing.assert_allclose(pool(evidence_TE), scores_V / scores_V.sum(), rtol=1e-12)


def test_energies_of_any_size_are_probabilities() -> None:
    evidence_TE = evidence(5)
    evidence_TE[:, -1] *= 1e4
    evidence_TE[2] = 500
    found_V = pool(evidence_TE)
    assert np.isfinite(found_V).all()
    assert found_V.sum() == pytest.approx(1, abs=1e-12)


@given(
    steps=st.integers(0, 40),
    window=st.integers(1, 9),
    hop=st.integers(1, 12),
    cuts=st.lists(st.integers(0, 40), max_size=8),
)
def test_any_pushes_give_the_windows_of_the_definition(steps: int, window: int, hop: int, cuts: list[int]) -> None:
    evidence_TE = evidence(steps)
    stream = PoolStream(labels=V, window=window, hop=hop)
    for _ in range(2):  # after the end it is a new stream
        pieces = np.split(evidence_TE, sorted(min(cut, steps) for cut in cuts))
        found = [stream.push(piece) for piece in pieces]
        ends = np.concatenate([one.ends for one in found])
        probabilities_NV = np.concatenate([one.probabilities_NV for one in found])
        assert ends.tolist() == list(range(hop, steps + 1, hop))
        expected = [pool(evidence_TE[max(0, end - window) : end]) for end in ends]
        assert probabilities_NV.tolist() == [one.tolist() for one in expected]
        last = stream.flush()
        assert last.ends.tolist() == ([steps] if steps % hop else []), "the end is judged once"
        for probabilities_V in last.probabilities_NV:
            assert probabilities_V.tolist() == pool(evidence_TE[-window:]).tolist()


@given(steps=st.integers(1, 40), cuts=st.lists(st.integers(0, 40), max_size=8), spread=st.floats(0, 300))
def test_a_running_pool_is_that_of_all_steps(steps: int, cuts: list[int], spread: float) -> None:
    evidence_TE = evidence(steps)
    evidence_TE[:, -1] *= spread  # so that the highest energy may come late
    weights_T = np.exp(evidence_TE[:, -1].astype(np.float64) - evidence_TE[:, -1].max())
    scores_V = np.average(evidence_TE[:, :-1].astype(np.float64), axis=0, weights=weights_T)
    running = RunningPool()
    for piece_TE in np.split(evidence_TE, sorted(min(cut, steps) for cut in cuts)):
        running.push(piece_TE)
    assert running.steps == steps
    found_V = running.probabilities()
    np.testing.assert_allclose(np.diff(np.log(found_V)), np.diff(scores_V), rtol=1e-9, atol=1e-9)
    assert found_V.sum() == pytest.approx(1, abs=1e-12)


def test_what_is_held_does_not_grow() -> None:
    stream = PoolStream(labels=V, window=7, hop=3)
    for _ in range(200):
        stream.push(evidence(5))
    assert len(stream._held_TE) <= 10
