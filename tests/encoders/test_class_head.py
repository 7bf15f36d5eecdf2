"""Attention pooling against pooling written out, and the exported evidence against torch's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from encoders.blstm import EncoderConfig
from encoders.export import WEIGHTS_FILE, export
from encoders.heads import ClassHead, class_loss, pool
from encoders.network import Network
from inference.pooling import pool as light_pool

H, V = 5, 3


def pooled_by_hand(evidence_TE: np.ndarray, begin: int, end: int) -> np.ndarray:
    """Log probabilities of one stretch, step by step."""
    weights = [np.exp(evidence_TE[t, -1]) for t in range(begin, end)]
    scores_V = sum(weight * evidence_TE[t, :-1] for weight, t in zip(weights, range(begin, end), strict=True))
    scores_V = scores_V / sum(weights)
    return scores_V - np.log(np.exp(scores_V).sum())


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@given(spans=st.lists(st.tuples(st.integers(0, 6), st.integers(1, 7)), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_pool_is_what_the_definition_says(spans: list[tuple[int, int]], seed: int) -> None:
    spans = [(begin, min(begin + length, 7)) for begin, length in spans]
    evidence_BTE = random(2, 7, V + 1, seed=seed)
    found_BLV = pool(evidence_BTE, torch.tensor([spans, spans[::-1]]))
    for item, order in enumerate((spans, spans[::-1])):
        for number, (begin, end) in enumerate(order):
            expected_V = pooled_by_hand(evidence_BTE[item].numpy(), begin, end)
            np.testing.assert_allclose(found_BLV[item, number], expected_V, rtol=0, atol=1e-12)
            light_V = light_pool(evidence_BTE[item, begin:end].numpy())
            np.testing.assert_allclose(light_V, np.exp(expected_V), rtol=0, atol=1e-12)


def test_pooling_evidence_is_pooling_encodings() -> None:
    """The identity that lets a stream be judged without running the encoder again."""
    head = ClassHead(H, V).double()
    encoded_BTH = random(1, 6, H)
    with torch.no_grad():
        weights_H, bias = head.linear.weight[-1], head.linear.bias[-1]
        attention_T = torch.softmax(encoded_BTH[0] @ weights_H + bias, 0)
        pooled_H = attention_T @ encoded_BTH[0]
        expected_V = torch.log_softmax(head.linear.weight[:-1] @ pooled_H + head.linear.bias[:-1], 0)
        # The head works in float32, also under mixed precision.
        found_V = pool(head(encoded_BTH).double(), torch.tensor([[[0, 6]]]))[0, 0]
    torch.testing.assert_close(found_V, expected_V, rtol=0, atol=1e-6)


def test_what_lies_outside_a_stretch_has_no_say_and_no_gradient() -> None:
    evidence_BTE = random(1, 8, V + 1).requires_grad_()
    spans = torch.tensor([[[2, 5]]])
    pool(evidence_BTE, spans)[0, 0, 1].backward()
    inside = torch.zeros(8, dtype=torch.bool)
    inside[2:5] = True
    assert (evidence_BTE.grad[0, ~inside] == 0).all()
    assert (evidence_BTE.grad[0, inside].abs().sum(-1) > 0).all()
    changed = evidence_BTE.detach().clone()
    changed[0, ~inside] = 1e3
    torch.testing.assert_close(pool(changed, spans), pool(evidence_BTE, spans), rtol=0, atol=1e-12)


def test_the_gradient_is_that_of_the_function() -> None:
    spans = torch.tensor([[[0, 3], [2, 6]], [[1, 2], [0, 0]]])
    evidence = random(2, 6, V + 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: pool(x, spans), evidence)


def test_loss_is_the_mean_over_stretches_that_count() -> None:
    log_probabilities_BLV = torch.log_softmax(random(2, 3, V), -1)
    targets_BL, counts_B = torch.tensor([[0, 2, 1], [1, 0, 0]]), torch.tensor([3, 1])
    chosen = [(0, 0, 0), (0, 1, 2), (0, 2, 1), (1, 0, 1)]
    plain = -sum(log_probabilities_BLV[b, k, v].item() for b, k, v in chosen) / 4
    spread = -sum(log_probabilities_BLV[b, k].mean().item() for b, k, _ in chosen) / 4
    for smoothing in (0.0, 0.1):
        loss = class_loss(log_probabilities_BLV, targets_BL, counts_B, smoothing=smoothing)
        assert loss.item() == pytest.approx((1 - smoothing) * plain + smoothing * spread, abs=1e-12)


@pytest.mark.parametrize("subsampling", [[1], [2, 2]])
def test_the_graph_gives_the_evidence(tmp_path: Path, subsampling: list[int]) -> None:
    torch.manual_seed(0)
    config = EncoderConfig(layers=2, hidden_size=6, subsampling=subsampling)
    network = Network(4, V, config, head="class").eval()
    exported = export(network)
    (tmp_path / "model.onnx").write_bytes(exported.graph)
    (tmp_path / WEIGHTS_FILE).write_bytes(exported.weights)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    frames_BTF, lengths_B = random(2, 9, 4).float(), torch.tensor([9, 6])
    state = np.zeros((2, 2, 6), np.float32)
    feeds = {"frames": frames_BTF.numpy(), "lengths": lengths_B.numpy(), "chunk": np.array(12), "state_h": state}
    scores_BTE, lengths = session.run(("scores", "score_lengths"), {**feeds, "state_c": state})
    with torch.no_grad():
        expected_BTE, expected_lengths = network(frames_BTF, lengths_B)
    assert scores_BTE.shape[2] == V + 1
    assert lengths.tolist() == expected_lengths.tolist()
    for item, length in enumerate(lengths):
        np.testing.assert_allclose(scores_BTE[item, :length], expected_BTE[item, :length], rtol=0, atol=1e-5)
