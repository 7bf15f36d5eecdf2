"""Settings of a search are chosen by what they do to errors, on the scores of a model."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.cli import main
from asr.language import models as language_models
from asr.recognizer import Recognizer
from asr.search import Search, SearchConfig
from asr.tune import log_priors, moves, pattern_search, report, score, tune
from training.manifests import read


@given(x=st.floats(-3, 3), y=st.floats(-3, 3), slant=st.floats(-0.5, 0.5))
def test_a_bowl_is_descended_to_within_the_last_step(x: float, y: float, slant: float) -> None:
    seen = []

    def cost(point) -> float:
        seen.append(tuple(point.values()))
        u, v = point["u"] - x, point["v"] - y
        return u * u + v * v + slant * u * v

    found = pattern_search({"u": 0.0, "v": 0.0}, [{"u": 1.0}, {"v": 1.0}], cost, halvings=5)
    assert abs(found["u"] - x) <= 2 / 32
    assert abs(found["v"] - y) <= 2 / 32
    assert len(seen) == len(set(seen)), "a point looked at twice"


def test_a_narrow_valley_is_followed_by_moves_along_it() -> None:
    """As of weight and bonus, which are worse if one of them is moved alone."""

    def cost(point) -> float:
        return 10 * abs(point["u"] / 0.4 - point["v"]) + abs(point["v"] - 3.0)

    start, alone = {"u": 0.0, "v": 0.0}, [{"u": 0.4}, {"v": 1.0}]
    assert pattern_search(start, alone, cost, halvings=2) == start
    found = pattern_search(start, [*alone, {"u": 0.4, "v": 1.0}], cost, halvings=2)
    assert found == pytest.approx({"u": 1.2, "v": 3.0})


def test_what_costs_the_same_everywhere_stays_where_it_began() -> None:
    assert pattern_search({"u": 0.8}, [{"u": 0.4}], lambda point: 1.0, halvings=2) == {"u": 0.8}


@pytest.fixture
def models(tone_recognizer: Recognizer, tones, tmp_path):
    """The tones' model, scored utterances, and a language model for which "la" is all that is ever said."""
    items = read(tones / "dev")[:8]
    (tmp_path / "la.txt").write_text("la la la la\nla la\n" * 20 + "mi so\n")
    assert main(["lm", "make", str(tmp_path / "la.txt"), "--output", str(tmp_path / "la.arpa")]) == 0
    # The model is so sure of itself that nothing would mislead it.
    scored = [one._replace(scores_TV=unsure(one.scores_TV)) for one in score(tone_recognizer, items)]
    return tone_recognizer, scored, str(tmp_path / "la.arpa")


def unsure(scores_TV: np.ndarray) -> np.ndarray:
    """The same best labels with probabilities that are nearer to each other."""
    flat_TV = 0.3 * scores_TV
    return flat_TV - np.log(np.exp(flat_TV).sum(axis=1, keepdims=True))


def test_a_language_model_that_misleads_loses_its_weight(models) -> None:
    recognizer, scored, lm = models
    start = SearchConfig(lm=lm, lm_weight=3.0, word_bonus=0.0, beam=4)
    before = report(recognizer, scored, Search(recognizer.tokens, start)).words.errors
    tried = []
    found = tune(
        recognizer, scored, start, settings=("lm_weight",), progress=lambda config, _: tried.append(config.lm_weight)
    )
    after = report(recognizer, scored, Search(recognizer.tokens, found)).words.errors
    assert after < before
    assert found.lm_weight < 3.0
    assert found.lm_weight in tried
    assert (found.word_bonus, found.lm) == (0.0, lm)


def test_priors_are_of_the_mean_over_all_steps(models) -> None:
    recognizer, scored, _ = models
    total_V, steps = np.zeros(len(recognizer.tokens.labels)), 0
    for one in scored:
        for scores_V in one.scores_TV:
            total_V += np.exp(scores_V.astype(np.float64))
            steps += 1
    np.testing.assert_allclose(log_priors(scored), np.log(total_V / steps), rtol=0, atol=1e-9)
    assert sum(np.exp(log_priors(scored))) == pytest.approx(1, abs=1e-5)


def test_labels_that_a_model_is_too_shy_to_give_come_back_by_their_priors(models) -> None:
    """Scores in which the blank is always some nats ahead: words are left out until priors are taken off."""
    recognizer, scored, lm = models
    shy = []
    for one in scored:
        scores_TV = one.scores_TV.copy()
        scores_TV[:, 0] += 4.0
        shy.append(one._replace(scores_TV=scores_TV - np.log(np.exp(scores_TV).sum(axis=1, keepdims=True))))
    start = SearchConfig(lm=lm, lm_weight=0.0, word_bonus=0.0, unknown_bonus=0.0, beam=4, log_priors=log_priors(shy))
    before = report(recognizer, shy, Search(recognizer.tokens, start))
    found = tune(recognizer, shy, start, settings=("prior_weight",))
    after = report(recognizer, shy, Search(recognizer.tokens, found))
    assert found.prior_weight > 0
    assert after.words.errors < before.words.errors
    assert after.words.deletions < before.words.deletions


def test_language_models_are_read_once(models, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of millions of n-grams that takes longer than all searches."""
    recognizer, scored, lm = models
    read_here = []
    real = language_models.read
    monkeypatch.setattr(language_models, "read", lambda path: read_here.append(path) or real(path))
    tried = []
    tune(recognizer, scored[:2], SearchConfig(lm=lm, beam=2), progress=lambda config, _: tried.append(config))
    assert read_here == [lm]
    assert len(tried) > 5


def test_a_weight_and_the_bonus_are_moved_together_too() -> None:
    assert moves(["lm_weight", "word_bonus"]) == [
        {"lm_weight": 0.4},
        {"word_bonus": 1.0},
        {"lm_weight": 0.4, "word_bonus": 1.0},
    ]
    assert moves(["lm_weight", "unknown_bonus"]) == [{"lm_weight": 0.4}, {"unknown_bonus": 4.0}]
    several = moves(["a.arpa", "b.arpa", "word_bonus"])
    assert moves(["prior_weight", "word_bonus"]) == [{"prior_weight": 0.2}, {"word_bonus": 1.0}]
    assert [one for one in several if len(one) > 1] == [
        {"a.arpa": 0.2, "word_bonus": 1.0},
        {"b.arpa": 0.2, "word_bonus": 1.0},
    ]


def test_scores_give_the_words_that_the_recording_gives(tone_recognizer: Recognizer, tones) -> None:
    items = read(tones / "dev")
    pairs = report(tone_recognizer, list(score(tone_recognizer, items)), Search(tone_recognizer.tokens)).utterances
    assert [one.hypothesis for one in pairs] == [tone_recognizer.transcribe(item.path).text for item in items]


def test_the_command_prints_options_that_can_be_used(models, tone_model, tones, tmp_path, capsys) -> None:
    _, _, lm = models
    capsys.readouterr()
    common = ["--model", str(tone_model), "--lm", lm]
    assert main(["tune", str(tones / "dev"), *common, "--beam", "4"]) == 0
    said = capsys.readouterr()
    options = said.out.split()
    assert options[0::2] == ["--lm-weight", "--word-bonus", "--unknown-bonus"]
    assert "greedy" in said.err
    assert main(["evaluate", str(tones / "test"), *common, *options]) == 0


def test_recordings_that_cannot_be_read_are_listed_and_not_used(models, tone_model, tones, tmp_path, capsys) -> None:
    _, _, lm = models
    command = ["tune", str(tmp_path / "dev"), "--model", str(tone_model), "--lm", lm, "--beam", "4"]
    shutil.copytree(tones / "dev", tmp_path / "dev")
    recordings = sorted((tmp_path / "dev").rglob("*.wav"))
    recordings[0].write_text("no sound")
    recordings[1].write_bytes(recordings[1].read_bytes()[:-100])
    for left_out in recordings[4:]:
        left_out.unlink()
    capsys.readouterr()
    assert main(command) == 1
    said = capsys.readouterr()
    assert said.out.startswith("--lm-weight ")
    assert "asr: 2 recordings could not be read and are not used:" in said.err
    assert all(path.name in said.err for path in recordings[:2])
    for path in recordings[2:4]:
        path.write_text("no sound")
    assert main(command) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to choose: give --lm"),
        (["--lm", "none.arpa"], "none.arpa"),
    ],
)
def test_what_cannot_be_tuned(arguments, message, tone_model, tones, capsys) -> None:
    assert main(["tune", str(tones / "dev"), "--model", str(tone_model), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_weight_does_not_become_negative(models) -> None:
    """On few utterances it would at times pay to have what a language model finds unlikely gain by it."""
    recognizer, scored, lm = models
    for models_given in (lm, {lm: 0.0}):
        tried = []
        config = SearchConfig(lm=models_given, lm_weight=0.0, word_bonus=0.0, beam=4)
        tune(
            recognizer,
            scored,
            config,
            settings=("lm_weight", lm),
            progress=lambda one, _, tried=tried: tried.append(one),
        )
        weights = [weight for one in tried for weight in one.language_models().values()]
        assert min(weights) == 0
        assert max(weights) > 0
