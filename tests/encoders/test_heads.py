"""The CTC loss against the sum over every path, and against torch's; what cannot be aligned is told, not hidden."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from encoders.heads import CtcHead, ctc_loss, frames_needed


def collapse(path: tuple[int, ...]) -> tuple[int, ...]:
    """Merge repeats, then drop blanks."""
    return tuple(label for label, _ in itertools.groupby(path) if label != 0)


def loss_by_hand(scores_TV: np.ndarray, target: tuple[int, ...]) -> float:
    """Minus the log of the summed probabilities of every path that collapses to the target."""
    frames, labels = scores_TV.shape
    total = sum(
        math.exp(sum(scores_TV[t, label] for t, label in enumerate(path)))
        for path in itertools.product(range(labels), repeat=frames)
        if collapse(path) == target
    )
    return -math.log(total) if total else math.inf


def batch(targets: list[tuple[int, ...]], fill: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, targets))
    rows = [list(target) + [fill] * (width - len(target)) for target in targets]
    return torch.tensor(rows, dtype=torch.int64).reshape(len(targets), width), torch.tensor([len(t) for t in targets])


def scores(items: int, frames: int, labels: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(items, frames, labels, dtype=torch.float64, generator=generator).mul(2).log_softmax(-1)


@given(
    items=st.lists(st.tuples(st.integers(1, 5), st.lists(st.integers(1, 2), max_size=4)), min_size=1, max_size=4),
    fill=st.integers(0, 2),
    seed=st.integers(0, 99),
)
def test_loss_is_the_sum_over_all_paths(items, fill, seed) -> None:
    lengths, targets = [length for length, _ in items], [tuple(target) for _, target in items]
    log_probs = scores(len(items), 5, 3, seed)
    by_hand = [
        loss_by_hand(log_probs[k, :length].numpy(), target) / max(len(target), 1)
        for k, (length, target) in enumerate(zip(lengths, targets, strict=True))
    ]
    result = ctc_loss(log_probs, torch.tensor(lengths), *batch(targets, fill))
    assert result.feasible_B.tolist() == [math.isfinite(one) for one in by_hand]
    finite = [one for one in by_hand if math.isfinite(one)]
    assert result.loss.item() == pytest.approx(sum(finite) / len(finite) if finite else 0.0, abs=1e-12)


@given(st.lists(st.integers(1, 3), max_size=5), st.integers(0, 3))
def test_frames_needed_is_the_shortest_path_there_is(target: list[int], fill: int) -> None:
    # Every path that collapses to the target is at least as long as the labels with a blank between repeats; look
    # through all of them, shortest first.
    assume(len(target) + sum(a == b for a, b in itertools.pairwise(target)) <= 7)
    shortest = next(
        frames
        for frames in itertools.count()
        if any(collapse(path) == tuple(target) for path in itertools.product({0, *target}, repeat=frames))
    )
    targets, lengths = batch([tuple(target), (1, 1, 1, 1, 1, 1)], fill)
    assert frames_needed(targets, lengths).tolist() == [shortest, 11]


def test_equals_the_mean_of_torch_where_all_can_be_aligned() -> None:
    log_probs = scores(3, 30, 6).float()
    targets, target_lengths = batch([(1, 2, 3), (5, 5, 4, 4, 1), (2,)])
    lengths = torch.tensor([30, 12, 7])
    result = ctc_loss(log_probs, lengths, targets, target_lengths)
    expected = torch.nn.functional.ctc_loss(log_probs.transpose(0, 1), targets, lengths, target_lengths)
    torch.testing.assert_close(result.loss, expected, rtol=0, atol=1e-6)
    assert result.feasible_B.all()


def test_gradient_is_that_of_finite_differences_and_no_padding_has_any() -> None:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(3, 6, 4, dtype=torch.float64, generator=generator).requires_grad_()
    targets, target_lengths = batch([(1, 1, 3), (2,), ()])
    lengths = torch.tensor([6, 4, 3])

    def loss(logits: torch.Tensor) -> torch.Tensor:
        return ctc_loss(logits.log_softmax(-1), lengths, targets, target_lengths).loss

    assert torch.autograd.gradcheck(loss, logits)
    loss(logits).backward()
    for gradient, length in zip(logits.grad, lengths, strict=True):
        assert gradient[:length].abs().amax(-1).gt(0).all()
        assert not gradient[length:].any()


def test_what_cannot_be_aligned_is_named_and_not_in_the_mean() -> None:
    log_probs = scores(4, 5, 3).requires_grad_()
    targets, target_lengths = batch([(1, 2), (1, 1, 1), (2, 1, 2, 1), (2,)])
    lengths = torch.tensor([5, 4, 4, 1])
    assert frames_needed(targets, target_lengths).tolist() == [2, 5, 4, 1]
    result = ctc_loss(log_probs, lengths, targets, target_lengths)
    assert result.feasible_B.tolist() == [True, False, True, True]
    keep = torch.tensor([0, 2, 3])
    alone = ctc_loss(log_probs[keep], lengths[keep], targets[keep], target_lengths[keep])
    torch.testing.assert_close(result.loss, alone.loss, rtol=0, atol=1e-14)
    result.loss.backward()
    assert torch.isfinite(log_probs.grad).all()
    assert not log_probs.grad[1].any()


def test_a_batch_in_which_nothing_can_be_aligned_moves_no_weight() -> None:
    head = CtcHead(4, 3)
    log_probs = head(torch.randn(2, 2, 4))
    targets, target_lengths = batch([(1, 2, 1), (1, 1)])
    result = ctc_loss(log_probs, torch.tensor([2, 2]), targets, target_lengths)
    assert not result.feasible_B.any()
    assert result.loss.item() == 0
    result.loss.backward()
    assert not any(parameter.grad.any() for parameter in head.parameters())


def test_a_batch_of_silence_asks_for_blanks_alone() -> None:
    log_probs = scores(2, 4, 3).requires_grad_()
    result = ctc_loss(log_probs, torch.tensor([4, 2]), *batch([(), ()]))
    assert result.feasible_B.all()
    blanks = log_probs[..., 0].detach()
    assert result.loss.item() == pytest.approx(-(blanks[0].sum() + blanks[1, :2].sum()).item() / 2, abs=1e-12)
    result.loss.backward()
    assert torch.isfinite(log_probs.grad).all()


def test_head_gives_log_probabilities_in_float32_under_mixed_precision_too() -> None:
    head = CtcHead(8, 5)
    encoded = torch.randn(2, 7, 8)
    torch.testing.assert_close(head(encoded).exp().sum(-1), torch.ones(2, 7))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert head(encoded).dtype == torch.float32
