"""A model that carries a search: in int8 weights and tuned there, as a stream, damaged, and of the first format."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

import asr.tune
from asr import carried
from asr.cli import main
from asr.evaluate import evaluate
from asr.language import models as language_models
from asr.language.kneser_ney import estimate
from asr.scoring import Window
from asr.search import SearchConfig
from asr.train_export import CALIBRATED
from features import audio
from inference import model as models
from inference.endpoint import NEVER
from inference.model_changes import store_calibration

RATE = 8000
SENTENCES = ("a lost seat", "a boat", "so at last", "stable as a boat", "at least a lot")


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> SearchConfig:
    folder = tmp_path_factory.mktemp("known")
    made = estimate([line.split() for line in SENTENCES], order=2)
    language_models.write(folder / "small.ngram", made.words, made.levels)
    (folder / "words.txt").write_text("a\nlost\nseat\nboat\nso\nat\nlast\n")
    return SearchConfig(lm=folder / "small.ngram", lexicon=folder / "words.txt", word_bonus=2.0, beam=8)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings of noise, and what is said in them."""
    folder = tmp_path_factory.mktemp("data") / "dev"
    folder.mkdir()
    for seed, text in enumerate(SENTENCES[:2]):
        samples_S = 0.2 * np.random.default_rng(seed).standard_normal(2 * RATE)
        audio.write(folder / f"{seed}.wav", samples_S, RATE)
        (folder / f"{seed}.txt").write_text(f"{text}\n")
    return folder


@pytest.fixture(scope="module")
def whole(untrained, known: SearchConfig) -> Path:
    """A model that carries a search."""
    directory = untrained(("<blank>", "<space>", *"abelost"), "char", seed=4)
    carried.store(directory, known, note="Chosen on nothing.")
    return directory


@pytest.fixture(scope="module")
def exported(whole: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "small"
    assert main(["export", str(whole), "--int8", "--dev", str(data), "--out", str(out)]) == 0
    return out


def test_int8_carries_what_the_model_carries_and_is_measured_with_it(exported: Path, whole: Path, data: Path) -> None:
    before, after = asr.load(str(whole)), asr.load(str(exported))
    assert after.model.search == before.model.search
    assert (exported / "language.ngram").read_bytes() == (whole / "language.ngram").read_bytes()
    assert {"language.ngram", "lexicon.txt"} <= {line.split()[1] for line in (exported / "SHA256SUMS").open()}
    assert CALIBRATED not in after.model.card, "it has no calibration"
    assert "## Search\n\nChosen on nothing.\n\n## Weights of 8 bits\n" in after.model.card
    searched, greedy = (
        [f"{100 * evaluate(one, data, search=search)[0].words.rate:.2f} %" for one in (before, after)]
        for search in (None, after.search(beam=0))
    )
    assert f"| WER | {searched[0]} | {searched[1]} |" in after.model.card
    assert searched != greedy


def test_settings_and_calibration_of_a_model_of_int8(
    exported: Path, known: SearchConfig, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asr.tune, "HALVINGS", 0)
    before, small = models.load(exported), Path(shutil.copytree(exported, tmp_path / "small"))
    command = ["tune", str(data), "--model", str(small), "--lm", str(known.lm), "--beam", "2", "--write"]
    assert main(command) == 0
    store_calibration(small, {"times": {"start": 0.1, "end": 0.1}}, note="None.")
    after = models.load(small)
    assert yaml.safe_load((small / "config.yaml").read_text())["format"] == models.FORMAT_OF_INT8
    assert (after.int8, after.labels) == (before.int8, before.labels)
    assert after.search["beam"] == 2
    assert after.calibration["times"]["end"] == 0.1
    assert "lexicon" not in after.search
    assert not (small / "lexicon.txt").exists()
    # What was measured in int8 comes below the line that says so.
    above, below = after.card.split("Figures in the sections above are of the model in float32.")
    assert "## Weights of 8 bits\n" in above
    assert re.findall("^## .*", below, re.MULTILINE) == ["## Search", "## Calibration"]
    assert (small / "weights.safetensors").read_bytes() == (exported / "weights.safetensors").read_bytes()


def test_a_stream_is_recognised_as_the_file(whole: Path, data: Path) -> None:
    recognizer, window = asr.load(str(whole)), Window(0.4, 0.2)
    expected = recognizer.transcribe(data / "0.wav", window=window)
    greedy = recognizer.transcribe(data / "0.wav", window=window, search=recognizer.search(beam=0))
    session = recognizer.stream(chunk=window.chunk, lookahead=window.lookahead, rules=NEVER)
    events = [event for block in audio.blocks(data / "0.wav", rate=session.rate) for event in session.push(block)]
    heard = session.transcript([*events, *session.flush()], duration=2.0)
    assert heard.words == expected.words
    assert heard.text != greedy.text


def test_a_damaged_search_is_no_fault_of_recordings(whole: Path, data: Path, tmp_path: Path, capsys) -> None:
    """Found before the work, where there are no sums that say so."""
    model = Path(shutil.copytree(whole, tmp_path / "model"))
    (model / "SHA256SUMS").unlink()
    content = bytearray((model / "language.ngram").read_bytes())
    content[-9] ^= 1
    (model / "language.ngram").write_bytes(content)
    assert main(["export", str(model), "--int8", "--dev", str(data), "--out", str(tmp_path / "small")]) == 2
    assert capsys.readouterr().err.startswith(f"asr: {model / 'language.ngram'}: is damaged (its checksum")
    assert not (tmp_path / "small").exists()


def test_a_model_of_the_first_format(whole: Path, data: Path, known: SearchConfig, tmp_path: Path) -> None:
    """Whose configuration has no head."""
    old = Path(shutil.copytree(whole, tmp_path / "old"))
    config = yaml.safe_load((old / "config.yaml").read_text())
    del config["head"], config["search"]
    (old / "config.yaml").write_text(yaml.safe_dump(config | {"format": 1}))
    (old / "SHA256SUMS").unlink()
    carried.store(old, known)
    assert yaml.safe_load((old / "config.yaml").read_text())["format"] == 1
    expected = asr.load(str(whole)).transcribe(data / "0.wav")
    assert asr.load(str(old)).transcribe(data / "0.wav").words == expected.words
    out = tmp_path / "small"
    assert main(["export", str(old), "--int8", "weights", "--dev", str(data), "--out", str(out)]) == 0
    assert models.load(out).search == models.load(whole).search
