"""Training of LSTM language models: it learns, it resumes as if never interrupted, and mistakes are told."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from asr.cli import main
from asr.language import train as train_lm
from asr.language.kneser_ney import estimate
from asr.language.train import LoadText, TextConfig, TrainLanguageConfig, Vocabulary, train
from encoders.language import LanguageConfig, LanguageNetwork
from inference.lstm_lm import LstmModel
from inference.ngram import NgramModel
from training.config import LoopConfig, OptimizerConfig
from training.data import Example, collate
from training.loop import Training
from training.manifests import ManifestError
from training.objectives import NextTokenObjective

SMALL = TrainLanguageConfig(
    network=LanguageConfig(hidden_size=16, embedding_size=8, dropout=0.2),
    optimizer=OptimizerConfig(learning_rate=0.03, warmup_steps=2),
    loop=LoopConfig(epochs=3, batch_frames=60, workers=0, threads=1, patience=0, average=0.9),
)


def brackets(count: int, seed: int = 0) -> list[list[str]]:
    """What opens is closed by its own kind, three words later: more than a 3-gram can see."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice(["a", "b"], count)
    return [[f"open{kind}", "x", "y", "x", f"shut{kind}"] for kind in kinds]


def test_it_learns_what_n_grams_cannot_see(tmp_path: Path) -> None:
    config = replace(
        SMALL, network=replace(SMALL.network, dropout=0.0), loop=replace(SMALL.loop, epochs=30, interval_batches=15)
    )
    model = train(config, train=brackets(60), dev=brackets(20, 1), out=tmp_path)
    made = estimate(brackets(60), order=3)
    test = brackets(50, 2)
    # A bit for each sentence of six tokens is what there is not to know; 3-grams lack one more.
    assert model.perplexity(test).including_unknown < 1.05 * 2 ** (1 / 6)
    assert NgramModel(made.words, made.levels).perplexity(test).including_unknown > 2 ** (2 / 6)
    log = (tmp_path / "run" / "train.log").read_text()
    best = min(float(line.split("dev perplexity ")[1].split()[0]) for line in log.splitlines())
    card = (tmp_path / "model" / "README.md").read_text()
    assert f"perplexity {model.perplexity(brackets(20, 1)).including_unknown:.2f}" in card
    assert model.perplexity(brackets(20, 1)).including_unknown == pytest.approx(best, abs=0.006)
    assert "60 sentences, 300 words" in card


def weights(model: LstmModel) -> bytes:
    return (model.directory / "weights.safetensors").read_bytes()


@pytest.mark.parametrize("interval", [None, 4])
def test_resumed_is_as_if_never_interrupted(tmp_path: Path, monkeypatch, interval: int | None) -> None:
    config = replace(SMALL, loop=replace(SMALL.loop, interval_batches=interval))
    text = [*brackets(40), ["once"], ["and", "once"], ["x", "seldom"]]
    data = {"train": text, "dev": brackets(9, 1)}
    whole = weights(train(config, out=tmp_path / "whole", **data))
    step = Training.training_step

    def failing(self, batch, batch_idx):
        if self.global_step == 11:
            raise KeyboardInterrupt
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Training, "training_step", failing)
    with pytest.raises(KeyboardInterrupt):
        train(config, out=tmp_path / "again", **data)
    monkeypatch.setattr(Training, "training_step", step)
    again = train(config, out=tmp_path / "again", **data)
    assert "going on from" in (tmp_path / "again" / "run" / "train.log").read_text()
    assert weights(again) == whole
    monkeypatch.setattr(train_lm, "fit", None)  # a run that is finished is not begun again
    assert weights(train(config, out=tmp_path / "again", **data)) == whole
    with pytest.raises(ManifestError, match="other settings \\(data\\)"):
        train(config, out=tmp_path / "again", train=text[1:], dev=brackets(9, 1))


def test_the_loss_is_that_of_the_tokens_alone() -> None:
    torch.manual_seed(0)
    network = LanguageNetwork(np.zeros(5), LanguageConfig(hidden_size=6, embedding_size=4)).eval()
    texts = [np.array([0, 3, 2, 0]), np.array([0, 0]), np.array([0, 1, 0])]
    batch = collate([(f"{k}", Example(text[:-1], text[1:])) for k, text in enumerate(texts)])
    scores, lengths = network(batch.frames_BTF, batch.lengths_B)
    found = NextTokenObjective().loss(scores, lengths, batch)
    alone = []
    for text in texts:
        own, _ = network(torch.tensor(text[:-1])[None], torch.tensor([len(text) - 1]))
        alone += [-own[0, t, token] for t, token in enumerate(text[1:])]
    torch.testing.assert_close(found.loss, torch.stack(alone).mean())
    assert found.counted == len(alone) == 6
    errors = NextTokenObjective().errors(scores, lengths, batch)
    best = torch.cat([scores[k, : len(text) - 1].argmax(-1) for k, text in enumerate(texts)])
    assert errors.errors == int((best != torch.from_numpy(np.concatenate([text[1:] for text in texts]))).sum())
    assert errors.reference == 6


def test_the_vocabulary_is_what_is_frequent() -> None:
    text = [["b", "a", "b", "<unk>"], ["c", "b", "c", "d"]]
    every = Vocabulary(text, TextConfig())
    assert every.words == ("</s>", "<unk>", "b", "c", "a", "d")
    assert every.counts.tolist() == [2, 1, 3, 2, 1, 1]
    assert every.encode(["c", "x", "a"]).tolist() == [0, 3, 1, 4, 0]
    for config in (TextConfig(vocabulary_size=2), TextConfig(least_count=2)):
        some = Vocabulary(text, config)
        assert some.words == ("</s>", "<unk>", "b", "c")
        assert some.counts.tolist() == [2, 3, 3, 2]
    unigram_V = np.exp(every.unigram(0.5))
    assert unigram_V.sum() == pytest.approx(1)
    assert unigram_V[2] / unigram_V[3] == pytest.approx(3.5 / 2.5)
    assert unigram_V[1] / unigram_V[3] == pytest.approx(2.5 / 2.5)  # half of a and d besides


def test_what_comes_once_is_sometimes_unknown_in_training_alone() -> None:
    vocabulary = Vocabulary([["b", "a", "b", "c", "d"]], TextConfig())
    load = LoadText(vocabulary.counts, 0.5)
    line = train_lm.Line("1", vocabulary.encode(["b", "a", "b", "c", "d"]))
    plain = load(line, None)
    assert plain.frames_TF.tolist() == line.tokens_T[:-1].tolist()
    assert plain.targets_L.tolist() == line.tokens_T[1:].tolist()
    drawn = np.array([load(line, np.random.default_rng(k)).targets_L for k in range(2000)])
    changed = (drawn != plain.targets_L).mean(axis=0)
    assert changed[[0, 2, 5]].tolist() == [0, 0, 0]
    np.testing.assert_allclose(changed[[1, 3, 4]], 0.5, atol=0.05)
    assert set(drawn[:, 1].tolist()) == {1, vocabulary.words.index("a")}


def test_long_sentences_are_cut_and_nothing_is_lost() -> None:
    vocabulary = Vocabulary([["a", "b"]], TextConfig())
    sentence = ["a", "b", "b", "a", "b", "a", "a"]
    pieces = train_lm._lines([sentence], vocabulary, 3)
    assert [piece.duration for piece in pieces] == [3, 3, 2]
    targets = np.concatenate([piece.tokens_T[1:] for piece in pieces])
    assert targets.tolist() == vocabulary.encode(sentence)[1:].tolist()
    assert all(one.tokens_T[-1] == two.tokens_T[0] for one, two in itertools.pairwise(pieces))


OPTIONS = ["--network.hidden_size=8", "--network.embedding_size=4", "--loop.epochs=2", "--loop.threads=1"]


@pytest.mark.parametrize("unit", ["word", "letter"])
def test_the_command_makes_a_model_that_the_others_use(tmp_path: Path, capsys, unit: str) -> None:
    text = tmp_path / "text.txt"
    text.write_text("The cat sat.\nA dog saw the cat!\n" * 10)
    out = tmp_path / "lm"
    assert main(["lm", "train", str(text), "--out", str(out), f"--text.unit={unit}", *OPTIONS]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(out / "model")
    words = (out / "model" / "labels.txt").read_text().split()
    assert words[:2] == ["</s>", "<unk>"]
    assert ("<space>" in words) == (unit == "letter")
    assert f"asr lm train {text} --out {out}" in (out / "model" / "README.md").read_text()
    assert main(["lm", "perplexity", str(out / "model"), str(text)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"20 sentences, {80 if unit == 'word' else 280} {unit}s, 0 of them unknown")
    if unit == "letter":
        each = LstmModel(out / "model").log_probabilities([list("the")])
        assert math.isfinite(each[0])
        per_letter, per_word = float(said[1].split()[-1]), float(said[3].split()[3])
        assert per_word == pytest.approx(per_letter ** (300 / 100), rel=0.02)
    assert main(["lm", "perplexity", str(out), str(text)]) == 2
    assert f"give {out / 'model'}" in capsys.readouterr().err
    other = {"word": "letter", "letter": "word"}[unit]
    assert main(["lm", "perplexity", str(out / "model"), str(text), "--unit", other]) == 2
    assert capsys.readouterr().err.endswith(f"is of {unit}s; leave --unit {other} out\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["absent.txt"], "absent.txt: No such file or directory"),
        (["one.txt"], "a single sentence cannot be divided"),
        (["text.txt", "--dev", "empty.txt"], "no sentence in the development text"),
        (["text.txt", "--text.least_count=9"], "no word comes 9 times in the training text"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, monkeypatch, capsys, arguments: list[str], said: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text("a b\nb c\n")
    Path("one.txt").write_text("a b\n")
    Path("empty.txt").write_text("...\n")
    assert main(["lm", "train", *arguments, "--out", "lm", *OPTIONS]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1
