"""LSTM language models against torch's own modules, and their memory against never forgetting."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from encoders.layers import make_layer
from inference import lstm_lm, model
from inference.lstm_lm import LstmModel
from inference.model import ModelError
from inference.ngram import NgramError

WORDS = ["one", "two", "three", "four"]
TEXTS = [["one", "two"], ["three"], ["two", "five", "one", "one", "four", "two"], [], ["six", "five"]] * 3


@pytest.fixture(scope="module")
def directory(lstm_directory) -> Path:
    return lstm_directory(WORDS, layers=2)


@pytest.fixture
def lm(directory: Path) -> LstmModel:
    return LstmModel(directory)


def by_torch(directory: Path, text: list[str]) -> np.ndarray:
    """Log probabilities (T,V) of what follows each word, the first row at the beginning, in float64."""
    arrays = {
        name: torch.from_numpy(array).double() for name, array in load_file(directory / "weights.safetensors").items()
    }
    words = (directory / "labels.txt").read_text().split("\n")
    numbers = [words.index(word if word in words else "<unk>") for word in ["</s>", *text]]
    x = nn.functional.embedding(torch.tensor([numbers]), arrays["embedding"])
    for k in range(2):
        layer = make_layer("lstm", x.shape[-1], arrays[f"layer{k}.R"].shape[-1]).double()
        layer.from_onnx({name: arrays[f"layer{k}.{name}"].numpy() for name in "WRB"})
        x = layer(x)[0]
    out = x @ arrays["bridge"] @ arrays["embedding"].T + arrays["head.bias"]
    return torch.log_softmax(out, -1)[0].detach().numpy()


def test_a_sentence_has_the_probability_that_torch_gives_it(lm: LstmModel, directory: Path) -> None:
    for text in TEXTS[:5]:
        rows = by_torch(directory, text)
        numbers = [*map(lm.id, text), lm.end]
        expected = math.fsum(rows[t, number] for t, number in enumerate(numbers))
        assert lm.log_probability(text) == pytest.approx(expected, abs=1e-5)
        state, total = lm.begin(), 0.0
        for word in text:
            score, state = lm.score(state, lm.id(word))
            total += score
        assert total + lm.finish(state) == pytest.approx(expected, abs=1e-5)


def test_perplexity_is_what_torch_makes_of_it(lm: LstmModel, directory: Path) -> None:
    log_prob = unknown = 0.0
    for text in TEXTS:
        rows = by_torch(directory, text)
        log_prob += math.fsum(rows[t, number] for t, number in enumerate([*map(lm.id, text), lm.end]))
        unknown += math.fsum(rows[t, lm.unknown] for t, word in enumerate(text) if word not in WORDS)
    found = lm.perplexity(iter(TEXTS))
    assert (found.sentences, found.words, found.unknown) == (15, 33, 9)
    assert found.including_unknown == pytest.approx(math.exp(-log_prob / 48), rel=1e-5)
    assert found.excluding_unknown == pytest.approx(math.exp(-(log_prob - unknown) / 39), rel=1e-5)
    with pytest.raises(NgramError, match="no sentence"):
        lm.perplexity([])


def test_together_in_pieces_or_alone_is_the_same(lm: LstmModel, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    texts = [rng.choice([*WORDS, "five"], size).tolist() for size in rng.integers(0, 40, 200)]
    alone = [lm.log_probability(text) for text in texts]
    assert lm.log_probabilities(texts) == pytest.approx(alone, abs=1e-4)
    monkeypatch.setattr(lstm_lm, "BATCH_SCORES", 3 * lstm_lm.BATCH * len(lm.words))
    assert lm.log_probabilities(texts) == pytest.approx(alone, abs=1e-4)


def test_pairs_asked_together_get_what_each_gets_alone(lm: LstmModel) -> None:
    words_K = np.array([2, 3, 4, 2, 5, 0])
    states_K = lm.scores(np.full(6, lm.begin()), words_K)[1]
    found_K, after_K = lm.scores(states_K, words_K[::-1])
    for state, word, found, after in zip(states_K, words_K[::-1], found_K, after_K, strict=True):
        assert LstmModel(lm.directory).score(lm.begin(), 2)[1] == states_K[0]
        score, same = lm.score(int(state), int(word))
        assert (score, same) == (pytest.approx(found, abs=1e-6), after)
    assert states_K[0] == states_K[3], "after the same words, the same state"


def test_without_context_it_knows_how_frequent_words_are(lm: LstmModel) -> None:
    found, _ = lm.scores(np.zeros(6, int), np.arange(6))
    np.testing.assert_allclose(np.exp(found), np.arange(1, 7) / 21, rtol=1e-6)


def test_what_is_kept_stays_and_the_rest_is_forgotten(lm: LstmModel) -> None:
    """A walk of eight texts at a time that drop out and are taken up, against a memory that never forgets."""
    rng = np.random.default_rng(1)
    never = LstmModel(lm.directory)
    ours, theirs = np.full(8, lm.begin()), np.full(8, never.begin())
    for step in range(300):
        words = rng.integers(1, len(lm.words), 8)
        score, after = lm.scores(ours, words)
        expected, onward = never.scores(theirs, words)
        np.testing.assert_allclose(score, expected, atol=1e-6)
        moved, source = rng.random(8) < 0.5, rng.integers(0, 8, 8)
        ours, theirs = np.where(moved, after, ours)[source], np.where(moved, onward, theirs)[source]
        if step % 5 == 0:
            lm.keep(ours)
            assert lm.held <= 2 * 8 + 1
    assert never.held > 300
    lm.keep(np.array([lm.begin()]))
    assert lm.held == 1


def test_a_fork_remembers_for_itself(lm: LstmModel) -> None:
    state = lm.score(lm.begin(), 3)[1]
    expected = lm.score(state, 4)
    other = lm.fork()
    other.keep(np.array([other.begin()]))
    for word in range(2, 6):  # takes the places that have become free
        other.score(other.score(other.begin(), word)[1], word)
    assert lm.score(state, 4) == expected
    assert lm.score(expected[1], 2)[0] == pytest.approx(by_torch(lm.directory, ["two", "three"])[2, 2], abs=1e-5)


def damaged(directory: Path, tmp_path: Path, name: str, change) -> Path:
    there = tmp_path / "model"
    shutil.copytree(directory, there)
    content = (there / name).read_bytes()
    (there / name).unlink()
    if (changed := change(content)) is not None:
        (there / name).write_bytes(changed)
    return there


@pytest.mark.parametrize(
    ("name", "change", "sums", "said"),
    [
        ("model.onnx", lambda b: b[:100], True, "model.onnx is damaged (its sum"),
        ("model.onnx", lambda b: b[:100], False, "model.onnx or weights.safetensors is damaged"),
        ("weights.safetensors", lambda b: None, True, "weights.safetensors missing"),
        ("weights.safetensors", lambda b: b"x" * 40, False, "weights.safetensors is damaged"),
        ("labels.txt", lambda b: b + b"more\n", False, "are of different models"),
        ("labels.txt", lambda b: b.replace(b"<unk>", b"other"), False, "lacks </s> or <unk>"),
        ("config.yaml", lambda b: b"format: 2\n", False, "is no language model; `asr lm train`"),
        ("config.yaml", lambda b: b.replace(b"format: 1", b"format: 9"), False, "format 9 of language models"),
        ("config.yaml", lambda b: b.replace(b"word", b"verb"), False, "unit is 'verb'"),
        ("config.yaml", lambda b: b"[", False, "cannot be read"),
    ],
)
def test_what_is_damaged_is_told(directory: Path, tmp_path: Path, name: str, change, sums: bool, said: str) -> None:
    there = damaged(directory, tmp_path, name, change)
    if not sums:
        (there / "SHA256SUMS").unlink()
    with pytest.raises(ModelError) as error:
        LstmModel(there)
    assert str(there) in str(error.value)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_places_where_there_is_none(directory: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such model directory"):
        LstmModel(tmp_path / "absent")
    with pytest.raises(ModelError, match=r"missing; give .*model$"):
        LstmModel(directory.parent)
    with pytest.raises(ModelError, match="is a language model; give it to --lm"):
        model.load(directory)
    assert (directory / "README.md").read_text() == "# A card\n"
