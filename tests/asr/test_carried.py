"""What a model directory carries for its search: used where nothing else is asked for, whole, and said in its card."""

from __future__ import annotations

import hashlib
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

import asr.tune
from asr import carried
from asr.carried import CarriedError, merged
from asr.cli import main
from asr.language import models as language_models
from asr.language.kneser_ney import estimate
from asr.search import SearchConfig
from features import audio
from inference.model import ModelError, load
from inference.model_changes import store_calibration

RATE = 8000


@pytest.fixture(scope="module")
def plain(untrained) -> Path:
    return untrained(("<blank>", "<space>", *"abelost"), "char", seed=4)


@pytest.fixture
def model(plain: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(plain, tmp_path / "model"))


@pytest.fixture
def known(tmp_path: Path) -> dict[str, str]:
    """A language model and a lexicon, as settings."""
    words = [line.split() for line in ("a lost seat", "a boat", "so at last", "stable as a boat", "at least a lot")]
    made = estimate(words, order=2)
    language_models.write(tmp_path / "small.ngram", made.words, made.levels)
    language_models.write(tmp_path / "small.arpa", made.words, made.levels)
    (tmp_path / "words.txt").write_text("a\nlost\nseat\nboat\nso\nat\nlast\nbea\n")
    return {"lm": str(tmp_path / "small.ngram"), "lexicon": str(tmp_path / "words.txt")}


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    audio.write(tmp_path / "a.wav", 0.2 * np.random.default_rng(0).standard_normal(3 * RATE), RATE)
    return tmp_path / "a.wav"


def transcribed(capsys, recording: Path, model: Path, *options: str) -> str:
    capsys.readouterr()
    assert main(["transcribe", str(recording), "--model", str(model), *options]) == 0
    return capsys.readouterr().out


def test_it_is_used_where_nothing_else_is_asked_for(capsys, model: Path, known: dict, recording: Path) -> None:
    given = ["--lm", known["lm"], "--lexicon", known["lexicon"], "--lm-weight", "0.6", "--word-bonus", "2"]
    greedy, searched = (transcribed(capsys, recording, model, *options) for options in ([], given))
    of_words = transcribed(capsys, recording, model, "--lexicon", known["lexicon"])
    assert len({greedy, searched, of_words}) == 3
    carried.store(model, SearchConfig(**known, lm_weight=0.6, word_bonus=2.0))
    Path(known["lm"]).unlink()  # it is in the directory now
    assert transcribed(capsys, recording, model) == searched
    assert transcribed(capsys, recording, model, "--lm", "none") == greedy
    assert transcribed(capsys, recording, model, "--beam", "0") == greedy
    assert transcribed(capsys, recording, model, "--lm", "none", "--lexicon", known["lexicon"]) == of_words
    arpa = str(Path(known["lm"]).with_suffix(".arpa"))
    assert transcribed(capsys, recording, model, "--lm", arpa) != searched  # with another weight, and any words
    weighted = ("--lm-weight", "0.8", "--word-bonus", "1", "--lexicon", "none")
    assert transcribed(capsys, recording, model, *weighted) == transcribed(capsys, recording, model, "--lm", arpa)
    assert set(transcribed(capsys, recording, model, "--lm-weight", "0").split()) <= set(
        Path(known["lexicon"]).read_text().split()
    )


def test_it_is_used_in_python(model: Path, known: dict, recording: Path) -> None:
    before = asr.load(str(model))
    greedy = before.transcribe(recording).text
    assert before.own_search is None
    carried.store(model, SearchConfig(**known, word_bonus=2.0))
    after = asr.load(str(model))
    searched = before.transcribe(recording, search=before.search(**known, word_bonus=2.0, beam=32))
    assert after.transcribe(recording).words == searched.words
    assert searched.text != greedy
    assert after.transcribe(recording, search=after.search(lm=None)).text == greedy
    assert after.search(beam=7).beam == 7
    heard = [asr.load(str(model)).stream(search=search) for search in (None, after.own_search)]
    samples_S = np.concatenate(list(audio.blocks(recording, rate=heard[0].rate)))
    texts = [[event.text for event in (*one.push(samples_S), *one.flush()) if event.final] for one in heard]
    assert texts[0] == texts[1]


def test_the_directory_says_what_it_carries(model: Path, known: dict) -> None:
    config = SearchConfig(**known, lm_weight=0.5, beam=16, prune=7.0)
    stored = carried.store(model, config, note="Chosen on nothing.")
    assert stored.search == {
        "lm": "language.ngram",
        "lexicon": "lexicon.txt",
        "lm_weight": 0.5,
        "word_bonus": 1.0,
        "unknown_bonus": -5.0,
        "beam": 16,
        "prune": 7.0,
    }
    assert "## Search\n\nChosen on nothing.\n" in stored.card
    store_calibration(model, {"times": {"start": 0.1, "end": 0.1}}, note="None.")
    sums = dict(line.split("  ")[::-1] for line in (model / "SHA256SUMS").read_text().splitlines())
    assert {"language.ngram", "lexicon.txt"} <= set(sums)
    assert all(hashlib.sha256((model / name).read_bytes()).hexdigest() == digest for name, digest in sums.items())
    assert load(model).search == stored.search
    # Another one takes its place, and none.
    carried.store(model, SearchConfig(lm=model / "language.ngram"))
    assert not (model / "lexicon.txt").exists()
    carried.store(model, None)
    kept = load(model)
    assert (kept.search, kept.calibration["times"]["start"]) == (None, 0.1)
    assert "Search" not in kept.card
    assert not (model / "language.ngram").exists()


def test_what_is_given_comes_before_what_is_carried() -> None:
    own = {"lm": "own", "lexicon": "words", "lm_weight": 0.5, "beam": 16}
    assert merged(own, {}) == own
    assert merged(own, {"beam": 8, "lm_weight": 0.1}) == own | {"beam": 8, "lm_weight": 0.1}
    assert merged(own, {"lexicon": "others"}) == own | {"lexicon": "others"}
    assert merged(own, {"lm": "other"}) == {"lm": "other"}
    priors = {"prior_weight": 0.3, "log_priors": (-0.4, -5.1)}
    assert merged(own | priors, {"lm": "other"}) == {"lm": "other", "log_priors": (-0.4, -5.1)}
    of_beam = {"prune": 7.0, "unknown_bonus": -3.0}
    assert merged(own | of_beam | priors, {"decoder": "flashlight"}) == own | {
        "log_priors": (-0.4, -5.1),
        "decoder": "flashlight",
    }
    assert merged(own, {"lm": None, "lexicon": "others"}) == {"lm": None, "lexicon": "others"}
    assert merged(own, {"beam": 0}) == {"beam": 0}


def test_damage_is_one_line(capsys, model: Path, known: dict, recording: Path) -> None:
    carried.store(model, SearchConfig(**known))
    whole = (model / "language.ngram").read_bytes()

    def refused() -> str:
        capsys.readouterr()
        assert main(["transcribe", str(recording), "--model", str(model)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    (model / "language.ngram").write_bytes(whole[:-5])
    assert "language.ngram is damaged" in refused()
    (model / "SHA256SUMS").unlink()
    assert "language.ngram: was cut short" in refused()
    (model / "language.ngram").unlink()
    assert "search.lm is 'language.ngram'; fetch the model anew" in refused()
    (model / "language.ngram").write_bytes(whole)
    config = yaml.safe_load((model / "config.yaml").read_text())
    lm = {"lm": "language.ngram"}
    beams = [lm | {"beam": beam} for beam in (1.5, 0, -1, True)]
    weights = [lm | {"lm_weight": weight} for weight in (math.nan, math.inf, 10**400, "much")]
    prunes = [lm | {"prune": prune} for prune in (-1.0, math.inf, "little")]
    for search in ({"lm": "../small.ngram"}, {"lm": 3}, {"beam": 8}, {"boost": 3}, ["lm"], *beams, *weights, *prunes):
        (model / "config.yaml").write_text(yaml.safe_dump(config | {"search": search}))
        assert "fetch the model anew" in refused()
    carried_before = config | {"search": {"lm": "language.ngram"}}
    (model / "config.yaml").write_text(yaml.safe_dump(carried_before))
    assert carried.of_directory(model) == {"lm": str(model / "language.ngram")}
    assert carried.of_directory(model.parent) == {}


def test_a_file_that_the_sums_name_must_be_there(model: Path, known: dict) -> None:
    carried.store(model, SearchConfig(**known))
    (model / "lexicon.txt").unlink()
    with pytest.raises(ModelError, match=r"lexicon\.txt is missing"):
        load(model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lm": None}, "carries one language model"),
        ({"lm": {"small.ngram": 0.4}}, "carries one language model"),
        ({"lm": "small.arpa"}, "asr lm convert small.arpa FILE.ngram"),
        ({"lm": "named.ngram"}, "carries n-grams in the compact format"),
        ({"lm": "lstm"}, "carries n-grams and no LSTM"),
        ({"hot_words": {"boat": 3.0}}, "carries no hot words"),
        ({"decoder": "flashlight"}, "carries no hot words, alternatives or other decoder"),
    ],
)
def test_what_cannot_be_carried(
    model: Path, known: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict, message: str
) -> None:
    """Whatever its name says."""
    monkeypatch.chdir(tmp_path)
    shutil.copy("small.arpa", "named.ngram")
    Path("lstm").mkdir()
    with pytest.raises(CarriedError, match=message):
        carried.store(model, SearchConfig(**(known | change)))
    assert load(model).search is None


def test_a_compact_file_is_carried_by_any_name(model: Path, known: dict) -> None:
    other = shutil.copy(known["lm"], Path(known["lm"]).with_suffix(".bin"))
    carried.store(model, SearchConfig(lm=other))
    assert (model / "language.ngram").read_bytes() == Path(known["lm"]).read_bytes()


def test_priors_of_labels_are_the_models_and_stay_with_another_language_model(
    capsys, model: Path, known: dict, recording: Path
) -> None:
    with_weight = ("--lm", known["lm"], "--word-bonus", "2", "--prior-weight", "3")
    assert main(["transcribe", str(recording), "--model", str(model), *with_weight]) == 2
    assert "the model carries no priors of its labels; `asr tune --write` stores them" in capsys.readouterr().err
    priors = tuple(np.log(np.linspace(0.01, 0.9, len(load(model).labels))).tolist())
    carried.store(model, SearchConfig(**known, word_bonus=2.0, prior_weight=3.0, log_priors=priors))
    weighed = transcribed(capsys, recording, model)
    plain = transcribed(capsys, recording, model, "--prior-weight", "0")
    assert weighed != plain
    assert transcribed(capsys, recording, model, *with_weight, "--lexicon", known["lexicon"]) == weighed
    assert transcribed(capsys, recording, model, *with_weight[:-2], "--lexicon", known["lexicon"]) == plain
    carried.store(model, SearchConfig(**known, prior_weight=3.0, log_priors=priors[1:]))
    assert main(["transcribe", str(recording), "--model", str(model)]) == 2
    assert "carries no priors of its labels" in capsys.readouterr().err


def test_the_command_takes_it_away(capsys, model: Path, known: dict, recording: Path) -> None:
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    greedy = transcribed(capsys, recording, model)
    carried.store(model, SearchConfig(**known), note="Chosen on nothing.")
    assert transcribed(capsys, recording, model) != greedy
    command = ["tune", "--model", str(model), "--remove"]
    assert main(command) == 0
    assert capsys.readouterr().err == f"removed from {model}\n"
    assert transcribed(capsys, recording, model) == greedy
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before

    refusals = {
        (*command,): "carries no language model; there is nothing to remove",
        (*command, "--write"): "leave the rest out",
        (*command, "--lm", known["lm"]): "leave the rest out",
        (*command, str(recording.parent)): "leave the rest out",
        ("tune", "--remove"): "english: comes with saywave and stays as it is",
        ("tune", str(recording.parent), "--lm", known["lm"], "--write"): "english: comes with saywave",
        ("tune", "--lm", known["lm"]): "no recordings to choose on",
        ("calibrate", "digits", str(recording.parent)): "digits: comes with saywave and stays as it is",
    }
    for arguments, message in refusals.items():
        assert main(list(arguments)) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line


def test_the_command_tunes_and_writes(
    capsys, model: Path, known: dict, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asr.tune, "HALVINGS", 0)
    data = recording.parent / "dev"
    data.mkdir()
    shutil.copy(recording, data / "a.wav")
    (data / "a.txt").write_text("a lost boat\n")
    common = ["tune", str(data), "--model", str(model), "--beam", "4"]
    arpa = str(Path(known["lm"]).with_suffix(".arpa"))
    assert main([*common, "--lm", arpa, "--write"]) == 2
    assert "asr lm convert" in capsys.readouterr().err
    assert main([*common, "--lm", known["lm"], "--lexicon", known["lexicon"], "--write"]) == 0
    options = capsys.readouterr().out.split()
    stored = load(model)
    assert stored.search["beam"] == 4
    assert stored.search["lm_weight"] == pytest.approx(float(options[options.index("--lm-weight") + 1]))
    assert "Carries small.ngram and words.txt, with settings chosen by `asr tune` on dev: WER " in stored.card
    assert len(stored.search["log_priors"]) == len(stored.labels)
    given = ["--lm", known["lm"], "--lexicon", known["lexicon"], "--beam", "4", *options]
    assert transcribed(capsys, recording, model) == transcribed(capsys, recording, model, *given)
    # And once more from there.
    assert main([*common, "--write", "--prior-weight", "0.4"]) == 0
    assert load(model).search.keys() == stored.search.keys()
