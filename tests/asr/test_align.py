"""When each word of a known text is said: times, words that are not said, and texts that cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import asr
from asr.align import AlignError, align_text
from asr.cli import main
from asr.recognizer import Recognizer
from inference.ctc import align, greedy

DEMO = Path(asr.__file__).parent / "demo" / "digits.flac"
RATE = 8000
DIGITS = ("--model", "digits")  # the smaller of the shipped models: nothing here depends on which one it is


def test_the_times_are_those_of_the_words(tone_recognizer: Recognizer, speak) -> None:
    words = ["la", "mi", "mi", "so", "la"]
    samples = speak(words, seed=5)
    transcript, missing = align_text(tone_recognizer, (samples, RATE), "La mi, mi — so la!")
    assert [word.text for word in transcript.words] == ["La", "mi,", "mi", "so", "la!"]
    assert (transcript.text, missing) == ("La mi, mi — so la!", ())
    heard = tone_recognizer.transcribe((samples, RATE))
    assert [(word.start, word.end) for word in transcript.words] == [(word.start, word.end) for word in heard.words]
    assert all(word.confidence > 0.5 for word in transcript.words)


def test_a_word_that_is_not_said_is_named_and_moves_no_other(tone_recognizer: Recognizer, speak) -> None:
    samples = speak(["la", "mi", "so"], seed=6)
    plain, _ = align_text(tone_recognizer, (samples, RATE), "la mi so")
    for number, text in enumerate(("so la mi so", "la so mi so", "la mi la so", "la mi so la")):
        transcript, missing = align_text(tone_recognizer, (samples, RATE), text)
        assert [one.number for one in missing] == [number]
        assert transcript.words == plain.words
        assert transcript.text == text


def test_letters_with_spaces_between_the_words(untrained) -> None:
    """An untrained model is sure of what it writes; its own text comes back with the times of its labels."""
    recognizer = Recognizer.open(untrained(("<blank>", "<space>", *"abcde"), "char", seed=3))
    samples = np.random.default_rng(0).normal(0, 0.1, 3 * RATE).astype(np.float32)
    scores_TV, seconds = recognizer.scores((samples, RATE))
    assert seconds == 3.0
    labels = [one.label for one in greedy(scores_TV)]
    text = recognizer.tokens.decode(labels)
    assert " " in text
    transcript, missing = align_text(recognizer, (samples, RATE), text)
    said = transcript.text.split()
    assert len(transcript.words) + len(missing) == len(said)
    assert len(missing) <= len(said) // 4
    own = align(scores_TV, labels)
    assert transcript.words[0].start in {one.start * recognizer.model.step_seconds for one in own}
    starts = [word.start for word in transcript.words]
    assert starts == sorted(starts)


def test_silence_says_nothing(tone_recognizer: Recognizer) -> None:
    transcript, missing = align_text(tone_recognizer, (np.zeros(RATE, np.float32), RATE), "la mi")
    assert transcript.words == ()
    assert [one.text for one in missing] == ["la", "mi"]
    transcript, missing = align_text(tone_recognizer, (np.zeros(0, np.float32), RATE), "la")
    assert (transcript.duration, len(missing)) == (0.0, 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no words: give what is said in the recording"),
        (" — !", "has no words"),
        ("la ti", "no label for 'ti' in 'ti': write it as it is said"),
    ],
)
def test_texts_that_cannot_be(tone_recognizer: Recognizer, text: str, said: str) -> None:
    with pytest.raises(AlignError, match=said):
        align_text(tone_recognizer, (np.zeros(RATE, np.float32), RATE), text)


def test_too_much_at_once_is_told(tone_recognizer: Recognizer, monkeypatch) -> None:
    monkeypatch.setattr("asr.align.LARGEST", 100)
    with pytest.raises(AlignError, match="3 words in 1 s are too much at once: divide both at a pause"):
        align_text(tone_recognizer, (np.zeros(RATE, np.float32), RATE), "la mi so")


@pytest.mark.parametrize(
    ("name", "begin"),
    [("a.TextGrid", "File type"), ("a.JSON", "{"), ("a.srt", "1\n"), ("a.ctm", "digits 1 "), ("a", "digits")],
)
def test_a_file_is_of_the_format_that_it_ends_in(tmp_path: Path, name: str, begin: str) -> None:
    (tmp_path / "said.txt").write_text("three one four one five nine two six")
    arguments = ["align", str(DEMO), str(tmp_path / "said.txt"), *DIGITS, "--output", str(tmp_path / name)]
    assert main(arguments) == 0
    assert (tmp_path / name).read_text().startswith(begin)
    assert main([*arguments, "--format", "vtt"]) == 0
    assert (tmp_path / name).read_text().startswith("WEBVTT")


def test_the_command(capsys, tmp_path: Path) -> None:
    text = tmp_path / "said.txt"
    text.write_text("\ufeffThree, one, four.\nOne seven five nine two six\n", encoding="utf-8")
    assert main(["align", str(DEMO), str(text), *DIGITS]) == 0
    out, err = capsys.readouterr()
    rows = [line.split() for line in out.splitlines()]
    assert [row[4] for row in rows] == ["Three,", "one,", "four.", "One", "five", "nine", "two", "six"]
    heard = asr.load("digits").transcribe(DEMO)
    assert [float(row[2]) for row in rows] == pytest.approx([word.start for word in heard.words], abs=1e-3)
    assert err == f"asr: {text}: word 5, 'seven', is not said (about {heard.words[3].end:.2f} s)\n"
    output = tmp_path / "a.TextGrid"
    assert main(["align", str(DEMO), str(text), *DIGITS, "--format", "textgrid", "--output", str(output)]) == 0
    assert '"nine"' in output.read_text()
    assert main(["align", str(DEMO), str(text), *DIGITS, "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["missing"] == [{"word": "seven", "number": 5, "start": pytest.approx(heard.words[3].end, abs=1e-3)}]
    assert "".join(word["word"] for segment in told["segments"] for word in segment["words"]) == told["text"]
    text.write_bytes(b"\xff\xfe\xfa")
    assert main(["align", str(DEMO), str(text), *DIGITS]) == 2
    assert "said.txt: is not text in UTF-8: save it so" in capsys.readouterr().err
    assert main(["align", str(DEMO), str(tmp_path / "none.txt"), *DIGITS]) == 2
    assert "none.txt: No such file or directory" in capsys.readouterr().err
