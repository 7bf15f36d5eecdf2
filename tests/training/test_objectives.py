"""What is minimised and counted: CTC against its own parts, stretches against counting by hand."""

from __future__ import annotations

from unittest.mock import ANY

import numpy as np
import pytest
import torch

from encoders.blstm import EncoderConfig
from encoders.heads import ctc_loss, pool
from encoders.network import Network
from training.config import IntermediateConfig
from training.data import Batch, Example, collate
from training.metrics import ErrorCounts, align_tokens
from training.objectives import ClassObjective, CtcObjective, LossOfLayers


def batch(*examples: Example) -> Batch:
    return collate([(f"item{k}", example) for k, example in enumerate(examples)])


def example(frames: int, labels: list[int], spans: list[tuple[int, int]] | None = None) -> Example:
    places = None if spans is None else np.array(spans)
    return Example(np.zeros((frames, 2), np.float32), np.array(labels), places)


def count(hypothesis: list[int], reference: list[int]) -> ErrorCounts:
    return align_tokens([str(one) for one in reference], [str(one) for one in hypothesis])[0]


def test_spans_are_padded_with_their_labels() -> None:
    made = batch(example(6, [1, 2], [(0, 3), (2, 6)]), example(4, [0], [(1, 4)]), example(3, [1, 1, 1]))
    assert made.spans_BL2[0].tolist() == [[0, 3], [2, 6], [0, 0]]
    assert made.spans_BL2[1].tolist() == [[1, 4], [0, 0], [0, 0]]
    assert made.spans_BL2[2].tolist() == [[0, 0]] * 3


def test_ctc_names_what_cannot_be_aligned_and_counts_the_best_path() -> None:
    made = batch(example(5, [1, 2]), example(2, [1, 1]))
    scores_BTV = torch.log_softmax(torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0)), -1)
    lengths_B = torch.tensor([5, 2])
    objective = CtcObjective(count)
    found = objective.loss(scores_BTV, lengths_B, made)
    assert found.loss == ctc_loss(scores_BTV, lengths_B, made.targets_BL, made.target_lengths_B).loss
    assert (found.counted, found.left_out) == (1, {"item1": "item1: needs 3 frames, has 2"})
    best = torch.full((2, 5, 3), -9.0)
    for t, label in enumerate([1, 1, 0, 2, 2]):
        best[0, t, label] = 0
    best[1, :, 2] = 0
    errors = objective.errors(best, lengths_B, made)
    assert (errors.errors, errors.reference) == (2, 4)  # the second: one label instead of two, and another one


@pytest.mark.parametrize("subsampling", [1, 2, 3])
def test_stretches_are_pooled_over_every_step_that_holds_a_frame_of_theirs(subsampling: int) -> None:
    made = batch(example(11, [1, 0], [(0, 4), (5, 11)]), example(7, [2], [(3, 7)]))
    steps = -(-11 // subsampling)
    scores_BTE = torch.randn(2, steps, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    spans = [[(0, 4), (5, 11)], [(3, 7)]]
    losses, wrong = [], 0
    for item, (own, labels) in enumerate(zip(spans, [[1, 0], [2]], strict=True)):
        for (begin, end), label in zip(own, labels, strict=True):
            place = torch.tensor([[[begin // subsampling, -(-end // subsampling)]]])
            scores_V = pool(scores_BTE[item : item + 1], place)[0, 0]
            losses.append(-scores_V[label])
            wrong += int(scores_V.argmax()) != label
    objective = ClassObjective(subsampling=subsampling)
    found = objective.loss(scores_BTE, made.lengths_B, made)
    torch.testing.assert_close(found.loss, torch.stack(losses).mean(), rtol=0, atol=1e-12)
    assert (found.counted, found.left_out) == (3, {})
    assert objective.errors(scores_BTE, made.lengths_B, made) == ErrorCounts(wrong, 0, 0, 3)


def scored_network() -> tuple[Network, Batch]:
    torch.manual_seed(0)
    network = Network(2, 3, EncoderConfig(layers=4, hidden_size=5, subsampling=[2], dropout=0.0))
    drawn = np.random.default_rng(0).standard_normal((2, 16, 2)).astype(np.float32)
    examples = [Example(drawn[0], np.array([1, 2, 2])), Example(drawn[1, :6], np.array([1, 1, 2]))]
    return network, collate([(f"item{k}", one) for k, one in enumerate(examples)])


@pytest.mark.parametrize(("layers", "heard"), [((), [1, -1]), ((1, 3), [0, 2, -1])])
def test_lower_layers_have_their_share_of_the_loss(layers: tuple[int, ...], heard: list[int]) -> None:
    network, made = scored_network()
    objective = CtcObjective(count)
    found = LossOfLayers(objective, IntermediateConfig(0.3, layers))(network, made, None)
    scored = network.at_layers(made.frames_BTF, made.lengths_B, layers=heard)
    *below, last = (objective.loss(*one, made) for one in scored)
    torch.testing.assert_close(found.loss, 0.7 * last.loss + 0.3 * torch.stack([one.loss for one in below]).mean())
    assert (found.counted, found.left_out) == (last.counted, last.left_out) == (1, {"item1": ANY})


def test_with_lower_layers_too_the_loss_is_one_mean_however_the_batch_is_divided() -> None:
    """In the lower layer there would be steps enough for the second item: it is left out all the same."""
    torch.manual_seed(0)
    network = Network(2, 3, EncoderConfig(layers=2, hidden_size=5, subsampling=[1, 2], dropout=0.0)).eval()
    drawn = np.random.default_rng(0).standard_normal((3, 16, 2)).astype(np.float32)
    examples = [
        Example(drawn[0], np.array([1, 2, 2])),
        Example(drawn[1, :6], np.array([1, 1, 2])),
        Example(drawn[2, :9], np.array([2])),
    ]
    loss = LossOfLayers(CtcObjective(count), IntermediateConfig(0.4))
    whole = loss(network, batch(*examples), None)
    assert (whole.counted, whole.left_out) == (2, {"item1": ANY})
    for pieces in ([[0, 1], [2]], [[0], [1], [2]], [[1, 2], [0]]):
        parts = [loss(network, batch(*(examples[index] for index in piece)), None) for piece in pieces]
        assert sum(part.counted for part in parts) == whole.counted
        total = sum(part.loss * part.counted for part in parts)
        torch.testing.assert_close(total / whole.counted, whole.loss, rtol=0, atol=1e-5)


def test_without_a_share_it_is_the_loss_of_the_last_layer() -> None:
    network, made = scored_network()
    found = LossOfLayers(CtcObjective(count))(network, made, None)
    assert found.loss == CtcObjective(count).loss(*network(made.frames_BTF, made.lengths_B), made).loss


@pytest.mark.parametrize("layers", [(4,), (0,), (2, 1), (1, 1)])
def test_layers_that_are_not_below_the_last_are_refused(layers: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"intermediate\.layers is \[.*the encoder has 4"):
        IntermediateConfig(0.3, layers).chosen(4)


def test_the_layer_in_the_middle_is_heard_where_none_is_named() -> None:
    assert [IntermediateConfig(0.3).chosen(layers) for layers in (2, 3, 4, 5)] == [[0], [0], [1], [1]]
    assert IntermediateConfig().chosen(1) == []
    with pytest.raises(ValueError, match="has 1"):
        IntermediateConfig(0.3).chosen(1)
    with pytest.raises(ValueError, match=r"but intermediate\.weight is 0"):
        IntermediateConfig(layers=[1])
