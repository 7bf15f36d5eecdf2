"""Searches with LSTM language models, and with several: what they mend, how they are given, and what cannot be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asr import tune
from asr.cli import _parser, main
from asr.language import models as language_models
from asr.language.kneser_ney import estimate
from asr.language.train import TrainLanguageConfig, train
from asr.search import Search, SearchConfig, SearchError, language_model
from asr.search_cli import search_config
from asr.tokens import SPACE, Tokens
from encoders.language import LanguageConfig
from inference import arpa
from inference.beam import prefix_beam
from inference.model import BLANK, ModelError
from training.config import LoopConfig, OptimizerConfig

LETTERS = Tokens([BLANK, SPACE, *"abeinot"], "char")
SENTENCES = ["no one ate it", "one bit a tie", "no tin is in it", "no one bit it"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Trained in a second on four sentences: an LSTM of words, one of letters, and 2-grams."""
    folder = tmp_path_factory.mktemp("models")
    config = TrainLanguageConfig(
        network=LanguageConfig(hidden_size=24, embedding_size=12, dropout=0.0),
        optimizer=OptimizerConfig(learning_rate=0.03, warmup_steps=2),
        loop=LoopConfig(epochs=30, batch_frames=60, workers=0, threads=1, patience=0, interval_batches=60),
    )
    found = {}
    for unit in ("word", "letter"):
        split = [line.split() if unit == "word" else [SPACE if c == " " else c for c in line] for line in SENTENCES]
        one = replace(config, text=replace(config.text, unit=unit))
        found[unit] = str(train(one, train=split * 3, dev=split, out=folder / unit).directory)
    made = estimate([line.split() for line in SENTENCES], order=2)
    arpa.write(folder / "small.arpa", made.words, made.levels)
    return {**found, "2-grams": str(folder / "small.arpa")}


def heard(text: str, instead: dict[int, str]) -> np.ndarray:
    """Scores of a text, a frame for each label and a blank after it; in places another letter leads by a little."""
    scores_TV = np.full((2 * len(text), len(LETTERS.labels)), -9.0)
    for k, letter in enumerate(text):
        scores_TV[2 * k, LETTERS.labels.index(SPACE if letter == " " else letter)] = 0.0
        for other in instead.get(k, ""):
            scores_TV[2 * k, LETTERS.labels.index(other)] = 1.0
    scores_TV[1::2, 0] = 0.0
    return scores_TV - np.logaddexp.reduce(scores_TV, axis=1, keepdims=True)


def written(scores_TV: np.ndarray, **settings) -> str:
    decoder = Search(LETTERS, SearchConfig(**settings)).decoder()
    streamed = [one for t in range(len(scores_TV)) for one in decoder.push(scores_TV[t : t + 1])] + decoder.flush()
    whole = decoder.push(scores_TV) + decoder.flush()
    assert streamed == whole
    return LETTERS.decode(one.label for one in whole)


@pytest.mark.parametrize("kinds", [["word"], ["letter"], ["2-grams", "word"], ["2-grams", "letter"]])
def test_it_mends_a_letter(models: dict[str, str], kinds: list[str]) -> None:
    scores_TV = heard("no one bit it", {8: "a"})
    assert written(scores_TV) == "no one bat it"
    given = models[kinds[0]] if len(kinds) == 1 else {models[kind]: None for kind in kinds}
    assert written(scores_TV, lm=given) == "no one bit it"
    assert written(scores_TV, lm=given, hot_words={"bat": 20.0}) == "no one bat it"


@pytest.mark.parametrize("kinds", [["word"], ["2-grams", "word"]])
def test_with_a_lexicon(models: dict[str, str], tmp_path: Path, kinds: list[str]) -> None:
    (tmp_path / "words.txt").write_text("no\none\nbat\nbit\nbait\nit\n")
    scores_TV = heard("no one bit it", {8: "a"})
    settings = {"lexicon": str(tmp_path / "words.txt"), "lm": {models[kind]: None for kind in kinds}}
    search = Search(LETTERS, SearchConfig(**settings))
    decoder = search.decoder()
    streamed = [one for t in range(len(scores_TV)) for one in decoder.push(scores_TV[t : t + 1])] + decoder.flush()
    assert streamed == decoder.push(scores_TV) + decoder.flush()
    assert search.tokens.decode(one.label for one in streamed) == "no one bit it"
    hot = Search(LETTERS, SearchConfig(**settings, hot_words={"bat": 20.0}))
    assert hot.tokens.decode(one.label for one in hot.decoder().peek(scores_TV)) == "no one bat it"
    with pytest.raises(SearchError, match="is of letters, and a lexicon needs one of words"):
        Search(LETTERS, SearchConfig(lexicon=settings["lexicon"], lm=models["letter"]))
    for lm, said in ((models["word"], "takes no LSTM"), ({models["2-grams"]: 0.5, "b.arpa": 0.5}, "takes one")):
        with pytest.raises(SearchError, match=said):
            SearchConfig(lexicon=settings["lexicon"], lm=lm, decoder="flashlight")


def test_several_gain_what_each_does_and_bonuses_once(models: dict[str, str]) -> None:
    labels = tuple(LETTERS.encode("no boat ate it"))

    def gained(**settings) -> float:
        fusion = Search(LETTERS, SearchConfig(**settings)).decoder()._settings.fusion
        state, total = np.array([fusion.begin()]), 0.0
        for label in labels:
            gains, state = fusion.extend(state, np.array([label]))
            total += gains[0]
        return total + fusion.finish(state)[0]

    for weights, bonuses in (((0.3, 0.5), (0.0, 0.0)), ((0.0, 0.0), (1.5, -4.0)), ((0.6, 0.6), (1.0, -7.0))):
        bonus = dict(zip(("word_bonus", "unknown_bonus"), bonuses, strict=True))
        pair = dict(zip((models["2-grams"], models["word"]), weights, strict=True))
        own = sum(
            gained(lm=path, lm_weight=weight, word_bonus=bonuses[0] / 2, unknown_bonus=bonuses[1] / 2)
            for path, weight in pair.items()
        )
        assert gained(lm=pair, **bonus) == pytest.approx(own, abs=1e-5)
        if weights[0] == weights[1]:
            assert gained(lm=dict.fromkeys(pair), lm_weight=2 * weights[0], **bonus) == pytest.approx(own, abs=1e-5)
    assert gained(lm=pair, lm_weight=0, word_bonus=1.0, unknown_bonus=-7.0) == pytest.approx(own, abs=1e-5)


def test_what_a_model_says_of_a_sentence_is_in_the_score(models: dict[str, str]) -> None:
    """Of hypotheses of the same letters and times: what lies between them is the language model's."""
    scores_TV = heard("no one bit it", {})
    search = Search(LETTERS, SearchConfig(lm=models["word"], lm_weight=0.5, word_bonus=2.0))
    found = {
        LETTERS.decode(one.labels): one.score
        for one in prefix_beam(scores_TV, beam=32, nbest=32, fusion=search._fusion)
    }
    plain = {LETTERS.decode(one.labels): one.score for one in prefix_beam(scores_TV, beam=500, nbest=500)}
    lm = language_models.read(models["word"])
    said = 0.5 * lm.log_probability(["no", "one", "bit", "it"]) + 4 * 2.0
    assert found["no one bit it"] == pytest.approx(plain["no one bit it"] + said, abs=0.05)


def test_how_they_are_given(models: dict[str, str], tmp_path: Path) -> None:
    assert language_model("a.arpa") == ("a.arpa", None)
    assert language_model("a.arpa=0.5") == ("a.arpa", 0.5)
    odd = tmp_path / "of=1"
    odd.write_text("")
    assert language_model(str(odd)) == (str(odd), None)
    assert language_model(f"{odd}=2") == (str(odd), 2.0)
    with pytest.raises(SearchError, match=r"--lm a\.arpa=much: 'much' is not a number"):
        language_model("a.arpa=much")

    def config(*options: str) -> SearchConfig:
        return search_config(_parser().parse_args(["transcribe", "a.wav", "--model", "digits", *options]))

    assert config().lm is None
    assert config("--lm", "a", "--lm-weight", "2").language_models() == {"a": 2.0}
    assert config("--lm", "a=0.5").language_models() == {"a": 0.5}
    assert config("--lm", "a", "--lm", "b", "--lm-weight", "2").language_models() == {"a": 1.0, "b": 1.0}
    assert config("--lm", "a=0.3", "--lm", "b=0.4").language_models() == {"a": 0.3, "b": 0.4}
    with pytest.raises(SearchError, match="is not a number"):
        config("--lm", "a=0.5", "--lm", "b=1e999")


def test_their_files_and_places(models: dict[str, str], tmp_path: Path, monkeypatch) -> None:
    both = SearchConfig(lm={models["2-grams"]: 0.3, models["word"]: None})
    assert {file.name for file in both.files()} >= {"small.arpa", "model.onnx", "weights.safetensors"}
    assert both.absolute() == both
    assert SearchConfig().files() == []
    monkeypatch.chdir(tmp_path)
    assert SearchConfig(lm={"a": 0.3, "b": None}).absolute().lm == {str(tmp_path / "a"): 0.3, str(tmp_path / "b"): None}
    assert SearchConfig(lm="a").absolute() == SearchConfig(lm=str(tmp_path / "a"))
    assert SearchConfig().absolute() == SearchConfig()


def test_of_several_each_weight_is_chosen(models: dict[str, str]) -> None:
    start = SearchConfig(lm={models["2-grams"]: 0.3, models["word"]: None}, lm_weight=0.8)
    moved = tune._moved(start, {models["word"]: 0.7, "word_bonus": 2.0})
    assert moved.language_models() == {models["2-grams"]: 0.3, models["word"]: 0.7}
    options = tune.options(moved).split()
    assert options[:4] == ["--lm", f"{models['2-grams']}=0.3", "--lm", f"{models['word']}=0.7"]
    assert options[4:] == ["--word-bonus", "2", "--unknown-bonus", "-5"]


@pytest.mark.parametrize(
    ("labels", "unit", "kind", "said"),
    [
        ([BLANK, SPACE, *"קשת"], "char", "word", "none of its words can be written with the model's letters"),
        ([BLANK, SPACE, *"קשת"], "char", "letter", "knows none of the model's letters"),
        ([BLANK, "uno", "due"], "word", "word", "knows none of the model's words"),
    ],
)
def test_one_that_does_not_fit_the_labels_is_told(models, labels, unit: str, kind: str, said: str) -> None:
    with pytest.raises(SearchError) as error:
        Search(Tokens(labels, unit), SearchConfig(lm=models[kind]))
    assert str(error.value).startswith(f"{models[kind]}: ")
    assert said in str(error.value)


def test_a_directory_that_is_none_is_one_line(tmp_path: Path, capsys) -> None:
    with pytest.raises(ModelError, match="no language model"):
        Search(LETTERS, SearchConfig(lm=tmp_path))
    recording = Path(__file__).parents[2] / "asr" / "demo" / "digits.flac"
    assert main(["transcribe", str(recording), "--lm", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"asr: {tmp_path}: no language model")
    assert len(err.splitlines()) == 1


def test_a_language_model_is_no_recogniser(models: dict[str, str], capsys) -> None:
    assert main(["transcribe", "a.wav", "--model", models["word"]]) == 2
    assert "is a language model; give it to --lm" in capsys.readouterr().err
