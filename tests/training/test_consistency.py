"""Two views of each item that are to be heard alike, against Kullback-Leibler divergences of torch and by hand."""

from __future__ import annotations

import runpy
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from encoders.blstm import EncoderConfig
from encoders.heads import consistency_loss
from encoders.network import Network
from encoders.windows import Latency
from training.config import ConsistencyConfig, IntermediateConfig
from training.data import Batch, Example, collate
from training.latency import LatencyConfig
from training.manifests import Item
from training.metrics import ErrorCounts
from training.objectives import CtcObjective, LossOfLayers

SMALL = runpy.run_path(str(Path(__file__).with_name("small_words.py")))
SHORT, A_PASS, assert_same, load, run, run_until, steps = itemgetter(
    "SHORT", "A_PASS", "assert_same", "load", "run", "run_until", "steps"
)(SMALL)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def nothing(hypothesis: list[int], reference: list[int]) -> ErrorCounts:
    return ErrorCounts.zero()


def test_it_is_half_of_both_divergences_for_each_label() -> None:
    first_BTV, second_BTV = drawn(3, 7, 5).log_softmax(-1), drawn(3, 7, 5, seed=1).log_softmax(-1)
    lengths, labels = [7, 4, 1], [3, 2, 0]
    expected = []
    for item, (length, count) in enumerate(zip(lengths, labels, strict=True)):
        one_TV, other_TV = first_BTV[item, :length], second_BTV[item, :length]
        both = [
            torch.nn.functional.kl_div(*pair, log_target=True, reduction="sum")
            for pair in ((one_TV, other_TV), (other_TV, one_TV))
        ]
        expected.append(0.5 * sum(both) / max(count, 1))
    found = consistency_loss(first_BTV, second_BTV, torch.tensor(lengths), torch.tensor(labels))
    torch.testing.assert_close(found, torch.stack(expected).mean(), rtol=0, atol=1e-12)


def test_each_view_moves_towards_the_other_as_it_stands() -> None:
    """The gradient of a cross entropy whose target is the other view: half the difference of the probabilities."""
    logits = [drawn(1, 4, 3, seed=seed).requires_grad_() for seed in (2, 3)]
    first_BTV, second_BTV = (one.log_softmax(-1) for one in logits)
    consistency_loss(first_BTV, second_BTV, torch.tensor([3]), torch.tensor([2])).backward()
    apart_BTV = (first_BTV.exp() - second_BTV.exp()).detach() / (2 * 2)
    apart_BTV[:, 3] = 0
    torch.testing.assert_close(logits[0].grad, apart_BTV, rtol=0, atol=1e-12)
    torch.testing.assert_close(logits[1].grad, -apart_BTV, rtol=0, atol=1e-12)


def network(**settings) -> Network:
    torch.manual_seed(0)
    return Network(2, 3, EncoderConfig(layers=2, hidden_size=5, subsampling=[1], dropout=0.0, **settings)).eval()


def two_views(*, same: bool = False) -> list[Example]:
    rng = np.random.default_rng(0)
    made = []
    for frames, labels in ((16, [1, 2, 2]), (3, [1, 1, 2]), (9, [2])):  # the second is too short for its labels
        first_TF, second_TF = rng.standard_normal((2, frames, 2)).astype(np.float32)
        made.append(Example(first_TF, np.array(labels), second_TF=first_TF if same else second_TF))
    return made


def batch(*examples: Example) -> Batch:
    return collate([(f"{len(example.frames_TF)} frames", example) for example in examples])


def test_second_views_follow_after_all_first_ones() -> None:
    examples = two_views()
    made = batch(*examples)
    assert made.ids == ("16 frames", "3 frames", "9 frames") * 2
    assert made.lengths_B.tolist() == [16, 3, 9] * 2
    assert made.target_lengths_B.tolist() == [3, 3, 1] * 2
    for item, example in enumerate(examples):
        frames = len(example.frames_TF)
        assert made.frames_BTF[item, :frames].numpy().tobytes() == example.frames_TF.tobytes()
        assert made.frames_BTF[3 + item, :frames].numpy().tobytes() == example.second_TF.tobytes()


@pytest.mark.parametrize("intermediate", [IntermediateConfig(), IntermediateConfig(0.4)])
def test_both_views_learn_their_text_and_what_is_between_them_is_added(intermediate: IntermediateConfig) -> None:
    examples, net, objective = two_views(), network(), CtcObjective(nothing)
    found = LossOfLayers(objective, intermediate, ConsistencyConfig(0.3))(net, batch(*examples), None)
    alone = LossOfLayers(objective, intermediate)
    texts = [
        alone(net, batch(*(Example(view(one), one.targets_L) for one in examples)), None)
        for view in (lambda one: one.frames_TF, lambda one: one.second_TF)
    ]
    long = [one for one in examples if len(one.frames_TF) > 3]
    scores = [
        net(*batch(*(Example(view(one), one.targets_L) for one in long))[:2])
        for view in (lambda one: one.frames_TF, lambda one: one.second_TF)
    ]
    between = consistency_loss(scores[0][0], scores[1][0], scores[0][1], torch.tensor([3, 1]))
    expected = (texts[0].loss + texts[1].loss) / 2 + 0.3 * between
    torch.testing.assert_close(found.loss, expected, rtol=0, atol=1e-6)
    assert between > 1e-3
    assert found.counted == 4
    assert found.left_out == {"3 frames": "3 frames: needs 4 frames, has 3"}


def test_views_that_are_the_same_differ_in_nothing() -> None:
    made, net = batch(*two_views(same=True)), network()
    plain = LossOfLayers(CtcObjective(nothing))(net, made, None).loss
    assert LossOfLayers(CtcObjective(nothing), None, ConsistencyConfig(5.0))(net, made, None).loss == plain


def test_where_nothing_is_long_enough_there_is_no_loss() -> None:
    made, net = batch(two_views()[1]), network()
    found = LossOfLayers(CtcObjective(nothing), None, ConsistencyConfig(0.2))(net, made, None)
    assert (found.loss.item(), found.counted) == (0.0, 0)


def test_first_views_hear_all_of_it_where_second_ones_stream() -> None:
    examples, net, latency = [two_views()[0], two_views()[2]], network(), Latency(4, 2)
    views = [[Example(one.frames_TF, one.targets_L) for one in examples]]
    views.append([Example(one.second_TF, one.targets_L) for one in examples])
    whole, lengths_B = net(*batch(*views[0])[:2], None)
    streamed, _ = net(*batch(*views[1])[:2], latency)
    objective = CtcObjective(nothing)
    texts = [objective.loss(s, lengths_B, batch(*v)).loss for s, v in zip((whole, streamed), views, strict=True)]
    between = consistency_loss(whole, streamed, lengths_B, torch.tensor([3, 1]))
    found = LossOfLayers(objective, None, ConsistencyConfig(0.3, streams=True))(net, batch(*examples), latency)
    torch.testing.assert_close(found.loss, sum(texts) / 2 + 0.3 * between, rtol=0, atol=1e-6)
    both_stream = LossOfLayers(objective, None, ConsistencyConfig(0.3))(net, batch(*examples), latency)
    assert abs((both_stream.loss - found.loss).item()) > 1e-3


def test_the_loss_is_one_mean_however_the_batch_is_divided() -> None:
    examples, net = two_views(), network()
    loss = LossOfLayers(CtcObjective(nothing), IntermediateConfig(0.4), ConsistencyConfig(0.3))
    whole = loss(net, batch(*examples), None)
    for pieces in ([[0, 1], [2]], [[0], [1], [2]], [[1, 2], [0]]):
        parts = [loss(net, batch(*(examples[index] for index in piece)), None) for piece in pieces]
        assert sum(part.counted for part in parts) == whole.counted
        total = sum(part.loss * part.counted for part in parts)
        torch.testing.assert_close(total / whole.counted, whole.loss, rtol=0, atol=1e-5)


def load_twice(item: Item, rng: np.random.Generator | None) -> Example:
    made = load(item, rng)
    if rng is None:
        return made
    return made._replace(
        second_TF=(made.frames_TF + 0.3 * rng.standard_normal(made.frames_TF.shape)).astype(np.float32)
    )


VIEWS = {
    "load": load_twice,
    "consistency": ConsistencyConfig(0.2, streams=True),
    "latency": LatencyConfig(chunk_ms=(20, 100), full_context=0.3),
}


def test_a_run_that_is_resumed_is_the_run_uninterrupted(tmp_path: Path, steps: list) -> None:
    whole = run(tmp_path / "whole", SHORT, **VIEWS)
    uninterrupted = steps.copy()
    assert all(len(ids) == 2 * len(set(ids)) for _, _, ids in uninterrupted)
    steps.clear()
    run_until(A_PASS + 2, tmp_path / "resumed", SHORT, **VIEWS)
    resumed = run(tmp_path / "resumed", SHORT, **VIEWS)
    assert len(steps) > len(uninterrupted)
    assert set(steps) == set(uninterrupted)
    assert_same(resumed, whole)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"weight": -1.0}, "must be a number that is not negative"),
        ({"weight": float("nan")}, "must be a number that is not negative"),
        ({"streams": True}, r"consistency\.weight is 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ConsistencyConfig(**settings)
