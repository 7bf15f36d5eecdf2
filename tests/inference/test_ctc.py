"""CTC search against the enumeration of all paths, and against torch's loss and torchaudio's alignment."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
import torchaudio
from hypothesis import example, given
from hypothesis import strategies as st

from inference.beam import prefix_beam
from inference.ctc import AlignmentError, Emission, GreedyDecoder, ScoresError, align, greedy

SIZES = {"frames": st.integers(0, 6), "size": st.integers(2, 4), "seed": st.integers(0, 2**32 - 1)}


def collapse(path: tuple[int, ...], blank: int) -> tuple[int, ...]:
    return tuple(label for label, _ in itertools.groupby(path) if label != blank)


def all_paths(log_probs_TV: np.ndarray) -> dict[tuple[int, ...], float]:
    """Log probability of each of the V^T paths."""
    frames, size = log_probs_TV.shape
    return {
        path: math.fsum(float(log_probs_TV[t, label]) for t, label in enumerate(path))
        for path in itertools.product(range(size), repeat=frames)
    }


def posteriors(log_probs_TV: np.ndarray, blank: int) -> dict[tuple[int, ...], float]:
    """Probability of each labelling that some path gives."""
    sums: dict[tuple[int, ...], float] = {}
    for path, score in all_paths(log_probs_TV).items():
        labels = collapse(path, blank)
        sums[labels] = sums.get(labels, 0.0) + math.exp(score)
    return sums


def draw(seed: int, frames: int, size: int, *, scale: float = 2.0, impossible: float = 0.0) -> np.ndarray:
    """Log probabilities; a share of the entries, never a whole frame, is impossible (-inf)."""
    rng = np.random.default_rng(seed)
    scores_TV = scale * rng.standard_normal((frames, size))
    holes_TV = rng.random((frames, size)) < impossible
    holes_TV[np.arange(frames), rng.integers(0, size, frames)] = False
    scores_TV[holes_TV] = -np.inf
    return scores_TV - np.logaddexp.reduce(scores_TV, axis=1, keepdims=True)


def frame_labels(emissions: list[Emission], frames: int, blank: int) -> list[int]:
    path = [blank] * frames
    for emission in emissions:
        assert path[emission.start : emission.end] == [blank] * (emission.end - emission.start)
        path[emission.start : emission.end] = [emission.label] * (emission.end - emission.start)
    return path


def mean_posterior(log_probs_TV: np.ndarray, emission: Emission) -> float:
    return sum(math.exp(log_probs_TV[t, emission.label]) for t in range(emission.start, emission.end)) / (
        emission.end - emission.start
    )


@given(**SIZES, blank=st.integers(0, 1))
@example(frames=7, size=4, seed=0, blank=0)  # drawn sizes are mostly small
def test_greedy_is_the_best_of_all_paths(frames: int, size: int, seed: int, blank: int) -> None:
    log_probs_TV = draw(seed, frames, size)
    paths = all_paths(log_probs_TV)
    best = max(paths, key=paths.__getitem__)
    emissions = greedy(log_probs_TV, blank=blank)
    assert tuple(frame_labels(emissions, frames, blank)) == best
    assert tuple(e.label for e in emissions) == collapse(best, blank)
    assert [e.score for e in emissions] == pytest.approx([mean_posterior(log_probs_TV, e) for e in emissions])


def test_greedy_times_by_hand() -> None:
    path = [1, 1, 0, 1, 2, 2, 2, 0]
    log_probs_TV = np.log(np.where(np.eye(3)[path] == 1, 0.8, 0.1))
    log_probs_TV[1] = np.log([0.3, 0.6, 0.1])
    assert [(e.label, e.start, e.end, round(e.score, 6)) for e in greedy(log_probs_TV)] == [
        (1, 0, 2, 0.7),
        (1, 3, 4, 0.8),
        (2, 4, 7, 0.8),
    ]


@given(
    seed=st.integers(0, 2**32 - 1),
    pieces=st.lists(st.integers(0, 9), max_size=8),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_any_pushes_equal_the_whole(seed: int, pieces: list[int], dtype: type) -> None:
    log_probs_TV = draw(seed, sum(pieces), 3).astype(dtype)
    whole = greedy(log_probs_TV)
    decoder = GreedyDecoder()
    for _ in range(2):  # the second time shows that flush has made the decoder fresh
        emissions, start = [], 0
        for piece in pieces:
            emissions += decoder.push(log_probs_TV[start : start + piece])
            start += piece
        assert emissions + decoder.flush() == whole
    assert decoder.flush() == []


def test_an_emission_comes_out_as_soon_as_it_has_ended() -> None:
    decoder = GreedyDecoder()
    frame = {label: np.log(np.where(np.arange(3) == label, 0.8, 0.1))[None] for label in range(3)}
    assert decoder.push(frame[1]) == []
    assert [e.label for e in decoder.push(frame[2])] == [1]
    assert [e.label for e in decoder.push(frame[0])] == [2]
    assert decoder.flush() == []


@given(**SIZES, blank=st.integers(0, 1), impossible=st.sampled_from([0.0, 0.4]))
@example(frames=7, size=4, seed=0, blank=0, impossible=0.0)  # drawn sizes are mostly small
@example(frames=9, size=3, seed=1, blank=1, impossible=0.2)
def test_unlimited_beam_gives_every_posterior_exactly(
    frames: int, size: int, seed: int, blank: int, impossible: float
) -> None:
    log_probs_TV = draw(seed, frames, size, impossible=impossible)
    expected = {labels: p for labels, p in posteriors(log_probs_TV, blank).items() if p > 0}
    found = prefix_beam(log_probs_TV, beam=10_000, nbest=10_000, blank=blank, prune=math.inf)
    assert {h.labels: math.exp(h.score) for h in found} == pytest.approx(expected, rel=1e-12)
    assert len(found) == len(expected)
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)


@given(**SIZES, beam=st.integers(1, 6), prune=st.sampled_from([0.0, 1.0, 3.0, math.inf]))
def test_a_pruned_search_never_promises_too_much(frames: int, size: int, seed: int, beam: int, prune: float) -> None:
    log_probs_TV = draw(seed, frames, size)
    exact = posteriors(log_probs_TV, 0)
    found = prefix_beam(log_probs_TV, beam=beam, nbest=beam, prune=prune)
    assert 1 <= len(found) <= beam
    assert len({h.labels for h in found}) == len(found)
    assert all(math.exp(h.score) <= exact[h.labels] * (1 + 1e-12) for h in found)


def test_pruning_by_frame_leaves_out_improbable_labels_only() -> None:
    log_probs_TV = np.log([[0.6, 0.4 - 1e-6, 1e-6], [0.6, 0.4 - 1e-6, 1e-6]])
    every = prefix_beam(log_probs_TV, beam=50, nbest=50, prune=math.inf)
    likely = prefix_beam(log_probs_TV, beam=50, nbest=50, prune=10.0)
    assert {label for h in every for label in h.labels} == {1, 2}
    assert {h.labels for h in likely} == {(), (1,)}
    assert {h.labels: h.score for h in likely}.items() <= {h.labels: h.score for h in every}.items()


def test_beam_search_finds_a_labelling_that_greedy_search_misses() -> None:
    # The classic case: blank wins each frame, yet the label has more mass over its three paths.
    log_probs_TV = np.log([[0.6, 0.4], [0.6, 0.4]])
    assert greedy(log_probs_TV) == []
    best = prefix_beam(log_probs_TV)[0]
    assert best.labels == (1,)
    assert math.exp(best.score) == pytest.approx(0.64)


def beam_search_by_prefix(log_probs_TV: np.ndarray, *, beam: int, prune: float) -> dict[tuple[int, ...], float]:
    """The same search in the plainest form: a dictionary from prefix to the two probabilities, none of it in logs."""
    found = {(): (1.0, 0.0)}
    for frame_V in np.exp(log_probs_TV):
        grown: dict[tuple[int, ...], list[float]] = {}
        for prefix, (after_blank, after_label) in found.items():
            entry = grown.setdefault(prefix, [0.0, 0.0])
            entry[0] += (after_blank + after_label) * frame_V[0]
            if prefix:
                entry[1] += after_label * frame_V[prefix[-1]]
            for label in range(1, len(frame_V)):
                if frame_V[label] >= frame_V.max() * math.exp(-prune):
                    reach = after_blank if prefix[-1:] == (label,) else after_blank + after_label
                    grown.setdefault((*prefix, label), [0.0, 0.0])[1] += reach * frame_V[label]
        best = sorted(grown, key=lambda prefix: -sum(grown[prefix]))[:beam]
        found = {prefix: (grown[prefix][0], grown[prefix][1]) for prefix in best}
    return {prefix: sum(masses) for prefix, masses in found.items()}


@pytest.mark.parametrize("prune", [1.5, math.inf])
@pytest.mark.parametrize("beam", [2, 5, 12])
def test_pruned_search_against_its_plainest_form(beam: int, prune: float) -> None:
    # Over many flat frames a narrow beam loses and regains prefixes all the time, also ones whose children stayed.
    for seed in range(10):
        log_probs_TV = draw(seed, 60, 4, scale=0.7)
        found = {h.labels: math.exp(h.score) for h in prefix_beam(log_probs_TV, beam=beam, nbest=beam, prune=prune)}
        assert found == pytest.approx(beam_search_by_prefix(log_probs_TV, beam=beam, prune=prune), rel=1e-9)


def test_scores_of_a_real_size_against_the_loss_of_torch() -> None:
    log_probs_TV = draw(1, 120, 30, scale=3.0)
    found = prefix_beam(log_probs_TV, beam=64, nbest=10, prune=math.inf)
    for hypothesis in found:
        loss = torch.nn.functional.ctc_loss(
            torch.from_numpy(log_probs_TV)[:, None],
            torch.tensor([hypothesis.labels]),
            torch.tensor([120]),
            torch.tensor([len(hypothesis.labels)]),
            reduction="sum",
        )
        assert hypothesis.score <= -loss.item() + 1e-9
        assert hypothesis.score == pytest.approx(-loss.item(), abs=0.5)
    one_path = sum(log_probs_TV.max(axis=1))
    assert found[0].score > one_path


@given(**SIZES, blank=st.integers(0, 1), impossible=st.sampled_from([0.0, 0.3]))
@example(frames=7, size=4, seed=0, blank=0, impossible=0.0)  # drawn sizes are mostly small
@example(frames=9, size=3, seed=1, blank=1, impossible=0.2)
def test_align_finds_the_best_path_of_each_labelling(
    frames: int, size: int, seed: int, blank: int, impossible: float
) -> None:
    log_probs_TV = draw(seed, frames, size, impossible=impossible)
    best: dict[tuple[int, ...], tuple[float, tuple[int, ...]]] = {}
    for path, score in all_paths(log_probs_TV).items():
        labels = collapse(path, blank)
        best[labels] = max(best.get(labels, (-math.inf, path)), (score, path))
    for labels, (score, path) in best.items():
        if labels and score == -math.inf:
            with pytest.raises(AlignmentError, match="probability 0"):
                align(log_probs_TV, labels, blank=blank)
            continue
        emissions = align(log_probs_TV, labels, blank=blank)
        assert tuple(e.label for e in emissions) == labels
        if labels:
            assert tuple(frame_labels(emissions, frames, blank)) == path
        assert [e.score for e in emissions] == pytest.approx([mean_posterior(log_probs_TV, e) for e in emissions])


@pytest.mark.parametrize("seed", range(6))
def test_align_against_torchaudio(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(1, 5, size=25)  # few labels, so that repeats are frequent
    log_probs_TV = draw(seed, 90, 5).astype(np.float32)
    path, scores = torchaudio.functional.forced_align(
        torch.from_numpy(log_probs_TV)[None], torch.from_numpy(labels)[None], blank=0
    )
    emissions = align(log_probs_TV, labels.tolist())
    assert frame_labels(emissions, 90, 0) == path[0].tolist()
    spans = torchaudio.functional.merge_tokens(path[0], scores[0].exp(), blank=0)
    assert [(e.label, e.start, e.end) for e in emissions] == [(s.token, s.start, s.end) for s in spans]
    assert [e.score for e in emissions] == pytest.approx([s.score for s in spans], abs=1e-6)


def test_align_and_greedy_agree_where_greedy_found_the_labels() -> None:
    log_probs_TV = draw(3, 60, 5)
    emissions = greedy(log_probs_TV)
    aligned = align(log_probs_TV, [e.label for e in emissions])
    assert [(e.label, e.start, e.end) for e in aligned] == [(e.label, e.start, e.end) for e in emissions]


@pytest.mark.parametrize(
    ("frames", "labels", "fits"), [(3, [1, 2, 1], True), (2, [1, 2, 1], False), (3, [1, 1], True), (2, [1, 1], False)]
)
def test_align_needs_a_frame_for_each_label_and_each_repeat(frames: int, labels: list[int], fits: bool) -> None:
    log_probs_TV = draw(0, frames, 3)
    if fits:
        assert [e.label for e in align(log_probs_TV, labels)] == labels
    else:
        with pytest.raises(AlignmentError, match=f"{frames} frames are too few for {len(labels)} labels.* 3:"):
            align(log_probs_TV, labels)


@pytest.mark.parametrize("labels", [[0], [3], [-1], [1, 0, 2]])
def test_align_refuses_labels_that_cannot_be_spoken(labels: list[int]) -> None:
    with pytest.raises(AlignmentError, match="cannot align label"):
        align(draw(0, 5, 3), labels)


def test_no_frames_give_no_labels() -> None:
    nothing_TV = np.zeros((0, 4), dtype=np.float32)
    assert greedy(nothing_TV) == []
    assert [(h.labels, h.score) for h in prefix_beam(nothing_TV, nbest=3)] == [((), 0.0)]
    assert align(nothing_TV, []) == []
    with pytest.raises(AlignmentError, match="0 frames"):
        align(nothing_TV, [1])


def test_scores_just_above_zero_stay_probabilities() -> None:
    log_probs_TV = np.array([[-20.0, 1e-6]], dtype=np.float32)
    assert greedy(log_probs_TV)[0].score == 1.0
    assert align(log_probs_TV, [1])[0].score == 1.0


@pytest.mark.parametrize("decode", [greedy, prefix_beam, lambda scores: align(scores, [1])])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_broken_frame_is_named(decode, bad: float) -> None:
    scores_TV = draw(0, 4, 3)
    scores_TV[2] = bad
    with pytest.raises(ScoresError, match="frame 2"):
        decode(scores_TV)


@pytest.mark.parametrize("shape", [(4,), (1, 4, 3), (4, 0)])
def test_scores_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ScoresError, match="shape"):
        greedy(np.zeros(shape))


def test_a_blank_outside_the_labels_is_refused() -> None:
    with pytest.raises(ScoresError, match="blank, 3"):
        greedy(draw(0, 4, 3), blank=3)


@pytest.mark.parametrize(
    "options", [{"nbest": 3, "beam": 2}, {"nbest": 0}, {"beam": 0}, {"prune": -1.0}, {"prune": math.nan}]
)
def test_impossible_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="give"):
        prefix_beam(draw(0, 4, 3), **options)
