"""Texts that are made up: the same of the same seed, and as often as the model says."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from asr.cli import main
from asr.language import generate
from asr.language import models as language_models
from asr.language.generate import Generator
from asr.language.kneser_ney import estimate
from inference import arpa

TEXT = ["the cat sat", "the dog sat", "a cat saw the dog", "the dog saw a bird"] * 3


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, lstm_directory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    for unit in ("word", "letter"):
        pieces = [line.split() if unit == "word" else ["<space>" if c == " " else c for c in line] for line in TEXT]
        made = estimate(pieces, order=3)
        arpa.write(folder / f"{unit}.arpa", made.words, made.levels)
    words = sorted({word for line in TEXT for word in line.split()})
    return {
        "3-grams of words": folder / "word.arpa",
        "3-grams of letters": folder / "letter.arpa",
        "LSTM of words": lstm_directory(words, seed=5),
        "LSTM of letters": lstm_directory(["<space>", *sorted(set("".join(TEXT)) - {" "})], "letter", seed=6),
    }


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of drawn weights words of letters hardly end."""
    monkeypatch.setattr(generate, "LONGEST", 60)


KINDS = ["3-grams of words", "3-grams of letters", "LSTM of words", "LSTM of letters"]


def generator(path: Path, **settings) -> Generator:
    model = language_models.read(path)
    return Generator(model, language_models.unit(model), **settings)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
@pytest.mark.parametrize("kind", KINDS)
def test_what_follows_comes_as_often_as_the_model_says(models: dict[str, Path], kind: str, temperature: float) -> None:
    """Pearson's test over 2,000 draws of what follows a text."""
    made = generator(models[kind], temperature=temperature)
    model = made._model
    state = model.begin()
    for piece in ("the",) if "words" in kind else ("<space>",):
        state = model.score(state, model.id(piece))[1]
    counts = Counter(made._drawn(state, np.random.default_rng([7, k]))[0] for k in range(2000))
    numbers = [number for number, word in enumerate(model.words) if word not in ("<unk>", "<s>")]
    share = np.exp(model.scores(np.full(len(numbers), state), np.array(numbers))[0] / temperature)
    expected = 2000 * share / share.sum()
    assert set(counts) <= set(numbers)
    often = expected >= 5
    seen = np.array([counts[number] for number in numbers])
    squares = ((seen - expected) ** 2 / expected)[often]
    # Mean and deviation of a chi square of so many degrees of freedom.
    assert squares.sum() < often.sum() + 4 * np.sqrt(2 * often.sum())
    assert len(squares) > 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_is_a_text(models: dict[str, Path], kind: str) -> None:
    made, other = generator(models[kind]), generator(models[kind])
    texts = [made("the", words=6, seed=3, number=k) for k in range(20)]
    assert [other("the", words=6, seed=3, number=k) for k in reversed(range(20))] == texts[::-1]
    assert len(set(texts)) > 3
    assert texts != [made("the", words=6, seed=4, number=k) for k in range(20)]
    assert all(text.startswith("the") and len(text.split()) <= 7 for text in texts)
    assert not any("<" in text for text in texts)


@pytest.mark.parametrize("kind", KINDS)
def test_temperature_0_takes_the_likeliest(models: dict[str, Path], kind: str) -> None:
    made = generator(models[kind], temperature=0)
    (text,) = {made(words=4, seed=seed) for seed in range(5)}
    pieces = made._pieces(text)
    if "LSTM" in kind:  # n-grams of so little text tie
        for k, piece in enumerate(pieces):
            others = [word for word in made._model.words if word not in ("<unk>", "</s>", piece)]
            state = made._after(pieces[:k])
            assert all(made._model.score(state, made._model.id(word))[0] <
                       made._model.score(state, made._model.id(piece))[0] for word in others)  # fmt: skip


def test_letters_go_on_within_the_word_or_after_it(models: dict[str, Path]) -> None:
    made = generator(models["3-grams of letters"])
    assert {made("d", words=0, seed=k) for k in range(3)} == {"d"}
    begun = [made("the d", words=1, seed=k) for k in range(20)]
    assert any(text.startswith("the dog") for text in begun)
    assert all(len(text.split()) <= 3 for text in begun)
    assert all(len(made("the ", words=1, seed=k).split()) <= 2 for k in range(20))


@pytest.mark.parametrize("kind", KINDS)
def test_the_command(models: dict[str, Path], kind: str, capsys) -> None:
    command = ["lm", "generate", str(models[kind])]
    assert main([*command, "The", "--words", "3", "--count", "4", "--seed", "2"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [generator(models[kind])("The", words=3, seed=2, number=k) for k in range(4)]
    assert said.err == ""
    assert main([*command, "the zebra", "--temperature", "0"]) == 0
    assert "does not know z" in capsys.readouterr().err
    assert main([*command, "--temperature", "-1"]) == 2
    assert capsys.readouterr().err == "asr: the temperature is -1.0; give a number from 0 on\n"
