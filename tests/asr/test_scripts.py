"""Devanagari and Hebrew from a corpus to a transcript, each letter a tone: labels, hot words, language models, files.

The alphabet is one's own, with a cluster as one label, and texts hold what must not pass: marks of direction, niqqud in
another order, joiners at the edge of a word.
"""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from asr.cli import main
from asr.text import normalize
from asr.tokens import SPACE, TokenConfig, Tokens
from features import audio
from inference.model import BLANK

RATE = 8000
SCRIPT_OF = {"devanagari": "DEVANAGARI", "hebrew": "HEBREW"}


class Script(NamedTuple):
    """A script: labels of its own, words, one of them as careless typists write it, and a pair that sounds alike."""

    alphabet: str
    words: list[str]
    typed: dict[str, str]


SCRIPTS = {
    # क्ष is one letter to who reads it, and three code points.
    "devanagari": Script("क्ष म ा न द ि", ["मन", "दिन", "क्षमा", "दान"], {"क्षमा": "क्षमा\u200d।", "दिन": "“दिन”"}),
    # Bet with dagesh and qamats, in the order in which it is typed and not in Unicode's.
    "hebrew": Script(
        "שׁ ש ל ו ם \u05b8 \u05bc ב ת",
        ["שלום", "שׁל", "ב\u05b8\u05bcת", "לו"],
        {"שלום": "\u200fשלום\u200e", "ב\u05b8\u05bcת": "ב\u05bc\u05b8ת־"},
    ),
}


def labels_of(name: str) -> list[str]:
    return [unicodedata.normalize("NFC", label) for label in SCRIPTS[name].alphabet.split()]


def tokens_of(name: str) -> Tokens:
    return Tokens([BLANK, SPACE, *labels_of(name)], "char")


def say(tokens: Tokens, text: str, *, seed: int) -> np.ndarray:
    """Each label a tone of 0.1 s, that of the space too, in a little noise."""
    rng = np.random.default_rng(seed)
    pieces = [np.zeros(800)]
    for label in tokens.encode(text):
        t = np.arange(800) / RATE
        tone = 0.3 * np.sin(2 * np.pi * 250 * 1.28**label * rng.uniform(0.98, 1.02) * t) * np.hanning(800) ** 0.25
        pieces += [tone, np.zeros(160)]
    samples = np.concatenate([*pieces, np.zeros(640)])
    return (samples + 0.003 * rng.standard_normal(len(samples))).astype(np.float32)


def corpus(folder: Path, name: str, count: int, *, seed: int) -> Path:
    rng, tokens, script = np.random.default_rng(seed), tokens_of(name), SCRIPTS[name]
    for k in range(count):
        words = rng.choice(script.words, size=rng.integers(2, 6)).tolist()
        path = folder / f"speaker{k % 3}" / f"{k}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        audio.write(path, say(tokens, " ".join(words), seed=1000 * seed + k), RATE)
        typed = " ".join(script.typed.get(word, word) for word in words)
        path.with_suffix(".txt").write_text(typed, encoding="utf-8")
    return folder


class Made(NamedTuple):
    """What a script's test has: the script's name, its corpus, and the model directory."""

    name: str
    folder: Path
    model: Path


@pytest.fixture(scope="module", params=SCRIPTS)
def made(request: pytest.FixtureRequest, tone_config, tmp_path_factory: pytest.TempPathFactory) -> Made:
    from asr.train import train
    from training.manifests import read

    name, folder = request.param, tmp_path_factory.mktemp("scripts")
    for part, count, seed in (("train", 24, 1), ("dev", 8, 2), ("test", 8, 3)):
        corpus(folder / part, name, count, seed=seed)
    (folder / "alphabet.txt").write_text(
        "\n".join([f"# {name}", SPACE, *SCRIPTS[name].alphabet.split()]), encoding="utf-8"
    )
    config = replace(
        tone_config,
        tokens=TokenConfig(alphabet=str(folder / "alphabet.txt")),
        optimizer=replace(tone_config.optimizer, learning_rate=0.03),
        loop=replace(tone_config.loop, epochs=10, batch_frames=400, keep="last"),
    )
    model = train(config, train=read(folder / "train"), dev=read(folder / "dev"), out=folder / "out")
    return Made(name, folder, model.directory)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out


def test_labels_are_those_of_the_alphabet(made: Made) -> None:
    lines = (made.model / "labels.txt").read_text(encoding="utf-8").splitlines()
    assert lines == [BLANK, SPACE, *labels_of(made.name)]
    assert all(len(Tokens(lines, "char").encode(label)) == 1 for label in labels_of(made.name))


def test_what_is_said_is_written_and_evaluation_finds_no_error(made: Made, capsys, tmp_path: Path) -> None:
    out = run(capsys, "evaluate", made.folder / "test", "--model", made.model, "--output", tmp_path / "report.md")
    assert out.startswith("WER 0.00 %")
    assert "CER 0.00 %" in out
    references = [normalize(path.read_text(encoding="utf-8")) for path in sorted((made.folder / "test").rglob("*.txt"))]
    files = sorted((made.folder / "test").rglob("*.wav"))
    assert run(capsys, "transcribe", *files, "--model", made.model).count("\n") >= len(files)
    for file, reference in zip(files, references, strict=True):
        assert run(capsys, "transcribe", file, "--model", made.model).strip() == reference


def test_files_hold_the_words_and_no_mark_of_direction(made: Made, capsys, tmp_path: Path) -> None:
    text = " ".join(SCRIPTS[made.name].words)
    audio.write(tmp_path / "a.wav", say(tokens_of(made.name), text, seed=7), RATE)
    run(capsys, "transcribe", tmp_path / "a.wav", "--model", made.model, "--format", "all", "--output", tmp_path)
    for name in ("txt", "srt", "vtt", "tsv", "ctm", "TextGrid", "json"):
        written = (tmp_path / f"a.{name}").read_text(encoding="utf-8")
        assert all(normalize(word) in written for word in text.split()), name
        assert not [letter for letter in written if unicodedata.category(letter) == "Cf"], name
    document = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert document["text"].strip() == normalize(text)
    assert [word["word"].strip() for part in document["segments"] for word in part["words"]] == normalize(text).split()


def test_hot_words_and_language_models(made: Made, capsys, tmp_path: Path) -> None:
    """Of two labels with the same tone either could be meant; what is known of the language decides."""
    from asr.recognizer import Recognizer

    recognizer = Recognizer.open(made.model)
    word, typed = next(iter(SCRIPTS[made.name].typed.items()))
    hot = recognizer.search(hot_words={typed: 3.0})
    source = (say(tokens_of(made.name), f"{word} {word}", seed=5), RATE)
    assert recognizer.transcribe(source, search=hot).text == normalize(f"{word} {word}")
    assert recognizer.transcribe(source, search=recognizer.search(hot_words={typed: -30.0})).text != normalize(
        f"{word} {word}"
    )
    for unit in ("word", "letter"):
        lm = tmp_path / f"{unit}.arpa"
        run(capsys, "lm", "make", made.folder / "train", "--unit", unit, "--for", made.model, "--output", lm)
        assert all(label in lm.read_text(encoding="utf-8") for label in labels_of(made.name))
        assert "0 of them unknown" in run(capsys, "lm", "perplexity", lm, made.folder / "test", "--for", made.model)
        found = recognizer.transcribe(source, search=recognizer.search(lm=lm)).text
        assert found == normalize(f"{word} {word}")


def test_a_stream_hears_it_too(made: Made, capsys) -> None:
    file = sorted((made.folder / "test").rglob("*.wav"))[0]
    said = normalize(file.with_suffix(".txt").read_text(encoding="utf-8"))
    assert run(capsys, "transcribe", file, "--model", made.model, "--streaming", "--chunk", "5s").strip() == said
    text = file.with_suffix(".txt")
    aligned = run(capsys, "align", file, text, "--model", made.model)
    assert len(aligned.splitlines()) == len(said.split())


def test_nothing_in_the_corpus_is_unknown_to_the_model(made: Made, capsys) -> None:
    out = run(capsys, "check", made.folder / "train", "--model", made.model)
    assert SCRIPT_OF[made.name] in out
    assert "no label" not in out
