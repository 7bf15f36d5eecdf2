"""Words as phones: lexicons, and alignments of words with their phones against torchaudio's and other readers."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torchaudio
from praatio import textgrid

from asr.align import align_text
from asr.cli import main
from asr.lexicon import Lexicon
from asr.recognizer import Recognizer
from asr.tokens import Tokens
from features import audio
from inference.forced import log_likelihood
from inference.model import BLANK

PHONES = Tokens([BLANK, "ah", "b", "ey", "l", "t"], "word")
LINES = """\
;;; a comment
A  AH0
A(2)  EY1
able EY1 B AH0 L
TABLE  T EY1 B AH0 L
"""


def written(folder: Path, text: str = LINES) -> Path:
    (folder / "lexicon.txt").write_text(text, encoding="utf-8")
    return folder / "lexicon.txt"


def test_words_are_found_in_any_case_and_phones_without_their_stress(tmp_path: Path) -> None:
    lexicon = Lexicon.read(written(tmp_path), PHONES)
    assert lexicon.ways("a") == lexicon.ways("A") == [[1], [3]]
    assert lexicon.ways("table") == [[5, 3, 2, 1, 4]]
    assert lexicon.ways("a able") == [[1, 3, 2, 1, 4], [3, 3, 2, 1, 4]]
    assert lexicon.ways("bee") is None


def test_labels_that_tell_stress_keep_it(tmp_path: Path) -> None:
    stressed = Tokens([BLANK, "ah0", "ah1", "ah"], "word")
    assert Lexicon.read(written(tmp_path, "a AH0\na AH1\na AH2\n"), stressed).ways("a") == [[1], [2], [3]]


@pytest.mark.parametrize("labels", [[], [1], [1, 1], [2, 1, 1, 3], [4, 4, 4]])
def test_likelihoods_are_those_of_torch(labels: list[int]) -> None:
    scores = torch.log_softmax(torch.randn(12, 5, generator=torch.manual_seed(len(labels)), dtype=torch.float64), 1)
    loss = torch.nn.functional.ctc_loss(
        scores[:, None], torch.tensor([labels], dtype=torch.long).reshape(1, -1), [12], [len(labels)], reduction="none"
    )
    assert log_likelihood(scores.numpy(), labels) == pytest.approx(-float(loss[0]))
    assert log_likelihood(scores.numpy()[:1], [1, 2]) == -np.inf


@pytest.fixture
def spelled(tone_model: Path, tmp_path: Path) -> tuple[Recognizer, Path]:
    """The model of tones, whose labels la, mi and so are taken for phones, and a lexicon of words made of them."""
    path = written(tmp_path, "lami LA MI\nsola SO1 LA\nmi MI\nambi LA LA\nambi MI SO\n")
    return Recognizer.open(tone_model), path


def test_phones_are_those_of_the_best_path(spelled: tuple[Recognizer, Path], speak) -> None:
    recognizer, path = spelled
    samples = speak(["la", "mi", "so", "la", "mi"], seed=4)
    lexicon = Lexicon.read(path, recognizer.tokens)
    transcript, missing = align_text(recognizer, (samples, 8000), "Lami, sola mi", lexicon=lexicon)
    assert not missing
    assert [[part.text for part in word.parts] for word in transcript.words] == [["la", "mi"], ["so", "la"], ["mi"]]
    scores_TV, _ = recognizer.scores((samples, 8000))
    labels = [recognizer.tokens.labels.index(phone) for phone in ("la", "mi", "so", "la", "mi")]
    path_T, _ = torchaudio.functional.forced_align(torch.from_numpy(scores_TV)[None], torch.tensor([labels]))
    path_T = path_T[0].tolist()
    spans = [k for k, label in enumerate(path_T) if label and (k == 0 or path_T[k - 1] != label)]
    starts = [part.start for word in transcript.words for part in word.parts]
    assert starts == pytest.approx([k * recognizer.model.step_seconds for k in spans])
    for word in transcript.words:
        assert (word.parts[0].start, word.parts[-1].end) == (word.start, word.end)
        assert all(one.end == other.start for one, other in pairwise(word.parts))


@pytest.mark.parametrize("said", [["la", "la"], ["mi", "so"]])
def test_of_several_ways_the_one_is_taken_that_was_said(spelled, speak, said: list[str]) -> None:
    recognizer, path = spelled
    samples = speak(["so", "la", *said, "mi"], seed=8)
    transcript, missing = align_text(
        recognizer, (samples, 8000), "sola ambi mi", lexicon=Lexicon.read(path, recognizer.tokens)
    )
    assert not missing
    assert [part.text for part in transcript.words[1].parts] == said


def test_the_command_writes_phones_that_praatio_reads(spelled, speak, tmp_path: Path, capsys) -> None:
    recognizer, path = spelled
    audio.write(tmp_path / "a.wav", speak(["la", "mi", "so", "la"], seed=2), 8000)
    (tmp_path / "a.txt").write_text("lami sola")
    command = ["align", str(tmp_path / "a.wav"), str(tmp_path / "a.txt"), "--model", str(recognizer.model.directory)]
    command += ["--lexicon", str(path)]
    assert main([*command, "--format", "textgrid", "--output", str(tmp_path / "a.TextGrid")]) == 0
    grid = textgrid.openTextgrid(str(tmp_path / "a.TextGrid"), includeEmptyIntervals=False)
    assert grid.tierNames == ("words", "segments", "phones")
    assert [entry.label for entry in grid.getTier("phones").entries] == ["la", "mi", "so", "la"]
    assert [entry.label for entry in grid.getTier("words").entries] == ["lami", "sola"]
    assert main([*command, "--format", "json"]) == 0
    (segment,) = json.loads(capsys.readouterr().out)["segments"]
    assert [[phone["text"] for phone in word["phones"]] for word in segment["words"]] == [["la", "mi"], ["so", "la"]]
    (tmp_path / "a.txt").write_text("lami gone")
    assert main(command) == 2
    assert "'gone' is not in the lexicon" in capsys.readouterr().err


def test_letters_are_the_parts_where_labels_are_letters(untrained) -> None:
    recognizer = Recognizer.open(untrained((BLANK, "<space>", *"abcde"), "char", seed=3))
    samples = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    heard = recognizer.transcribe((samples, 8000))
    assert not any(word.parts for word in heard.words)
    transcript, _ = align_text(recognizer, (samples, 8000), heard.text)
    assert all("".join(part.text for part in word.parts) == word.text for word in transcript.words)
