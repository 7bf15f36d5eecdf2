"""The LSTM language model against torch's own modules put together, and its graph against it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from encoders.export_language import export
from encoders.language import LanguageConfig, LanguageNetwork

# ONNX stacks the gates as i, o, f, g; torch as i, f, g, o.
ONNX_TO_TORCH = (0, 2, 3, 1)
V = 11
UNIGRAM = np.log(np.arange(1, V + 1) / np.arange(1, V + 1).sum())
SHAPES = {
    "tied": LanguageConfig(layers=1, hidden_size=9, embedding_size=5),
    "two layers, not tied": LanguageConfig(layers=2, hidden_size=7, embedding_size=6, tied=False),
}
NAMES = pytest.mark.parametrize("name", SHAPES)


def network(config: LanguageConfig) -> LanguageNetwork:
    torch.manual_seed(3)
    made = LanguageNetwork(UNIGRAM, config).eval()
    for parameter in made.parameters():  # also the biases, so that each is seen
        parameter.data.add_(0.3 * torch.randn_like(parameter))
    return made


class Graph:
    def __init__(self, folder: Path, config: LanguageConfig):
        self.network, self.config = network(config), config
        exported = export(self.network)
        folder.mkdir()
        (folder / "model.onnx").write_bytes(exported.graph)
        (folder / "weights.safetensors").write_bytes(exported.weights)
        self.session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])

    def run(self, texts: list[list[int]], state=None, fill: int = 0):
        """Scores of each text, and the states after them."""
        zeros = np.zeros((self.config.layers, len(texts), self.config.hidden_size), np.float32)
        tokens = np.full((len(texts), max(map(len, texts))), fill)
        for row, text in zip(tokens, texts, strict=True):
            row[: len(text)] = text
        h, c = (zeros, zeros) if state is None else state
        feeds = {"tokens": tokens, "lengths": np.array(list(map(len, texts))), "state_h": h, "state_c": c}
        scores, *after = self.session.run(("scores", "next_h", "next_c"), feeds)
        return [row[: len(text)] for row, text in zip(scores, texts, strict=True)], tuple(after)


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Graph]:
    folder = tmp_path_factory.mktemp("graphs")
    return {name: Graph(folder / name[:4], config) for name, config in SHAPES.items()}


def by_torch(arrays: dict[str, np.ndarray], config: LanguageConfig, tokens: list[int]) -> np.ndarray:
    """The same of torch's embedding, stacked LSTM and linear layers, from the weights as they are stored."""
    lstm = nn.LSTM(config.embedding_size, config.hidden_size, config.layers, batch_first=True)
    for k in range(config.layers):
        for ours, theirs in (("W", "weight_ih"), ("R", "weight_hh")):
            gates = np.split(arrays[f"layer{k}.{ours}"][0], 4)
            getattr(lstm, f"{theirs}_l{k}").data = torch.from_numpy(np.concatenate([gates[g] for g in ONNX_TO_TORCH]))
        gates = np.split(arrays[f"layer{k}.B"][0], 8)
        both = [np.concatenate([gates[part + g] for g in ONNX_TO_TORCH]) for part in (0, 4)]
        getattr(lstm, f"bias_ih_l{k}").data, getattr(lstm, f"bias_hh_l{k}").data = map(torch.from_numpy, both)
    embedding = torch.from_numpy(arrays["embedding"])
    with torch.no_grad():
        y, _ = lstm(nn.functional.embedding(torch.tensor([tokens]), embedding))
        if config.tied:
            out = (y @ torch.from_numpy(arrays["bridge"])) @ embedding.T
        else:
            out = y @ torch.from_numpy(arrays["head.weight"]).T
        return nn.functional.log_softmax(out + torch.from_numpy(arrays["head.bias"]), -1)[0].numpy()


TEXTS = st.lists(st.lists(st.integers(0, V - 1), min_size=1, max_size=20), min_size=1, max_size=5)


@NAMES
@settings(max_examples=25, deadline=None)
@given(texts=TEXTS, fill=st.integers(0, V - 1))
def test_graph_and_torch_and_another_torch_say_the_same(graphs, name: str, texts: list, fill: int) -> None:
    graph = graphs[name]
    found, _ = graph.run(texts, fill=fill)
    with torch.no_grad():
        padded = nn.utils.rnn.pad_sequence([torch.tensor(text) for text in texts], batch_first=True, padding_value=fill)
        eager, _ = graph.network(padded, torch.tensor(list(map(len, texts))))
    for text, ours, torchs in zip(texts, found, eager.numpy(), strict=True):
        np.testing.assert_allclose(ours, torchs[: len(text)], rtol=0, atol=1e-5)
        np.testing.assert_allclose(ours, by_torch(graph.network.arrays(), graph.config, text), rtol=0, atol=1e-5)
        np.testing.assert_allclose(np.exp(ours).sum(-1), 1, atol=1e-5)


@NAMES
@settings(max_examples=25, deadline=None)
@given(texts=TEXTS)
def test_padded_equals_alone_and_step_by_step_the_whole(graphs, name: str, texts: list) -> None:
    graph = graphs[name]
    together, after = graph.run(texts)
    for k, text in enumerate(texts):
        alone, state = graph.run([text])
        np.testing.assert_allclose(together[k], alone[0], rtol=0, atol=1e-6)
        for all_of_it, own in zip(after, state, strict=True):
            np.testing.assert_allclose(all_of_it[:, k], own[:, 0], rtol=0, atol=1e-6)
        steps, state = [], None
        for token in text:
            (scores,), state = graph.run([[token]], state)
            steps.append(scores[0])
        np.testing.assert_allclose(together[k], steps, rtol=0, atol=1e-6)


def test_dropout_is_of_training_alone_and_the_same_at_each_step() -> None:
    made = LanguageNetwork(UNIGRAM, LanguageConfig(layers=1, hidden_size=64, embedding_size=64, dropout=0.5))
    ones = torch.ones(4, 6, 64)
    dropped = made.train()._dropped(ones)
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert 0.3 < float((dropped == 0).float().mean()) < 0.7
    torch.testing.assert_close(dropped, dropped[:, :1].expand_as(dropped), rtol=0, atol=0)
    assert not dropped[0].equal(dropped[1])
    assert made.eval()._dropped(ones) is ones


def test_it_starts_near_the_unigrams() -> None:
    made = LanguageNetwork(UNIGRAM, LanguageConfig(hidden_size=32, embedding_size=16)).eval()
    with torch.no_grad():
        scores, lengths = made(torch.tensor([[1, 2, 3]]), torch.tensor([3]))
    assert lengths.tolist() == [3]
    np.testing.assert_allclose(scores[0].numpy(), np.broadcast_to(UNIGRAM, (3, V)), atol=0.5)


@pytest.mark.parametrize(
    "wrong", [{"layers": 0}, {"hidden_size": 0}, {"embedding_size": -1}, {"dropout": 1.0}, {"dropout": -0.1}]
)
def test_shapes_that_cannot_be(wrong: dict) -> None:
    with pytest.raises(ValueError, match=f"network.{next(iter(wrong))} is"):
        LanguageConfig(**wrong)
