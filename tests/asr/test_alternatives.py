"""Lists of alternatives, against the enumeration of everything that scores may say, in recordings and on streams."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.alternatives import alternatives
from asr.cli import main
from asr.recognizer import PAUSE, Recognizer
from asr.search import SearchError
from asr.tokens import SPACE, Tokens
from features import audio
from inference.beam import BeamDecoder, prefix_beam
from inference.model import BLANK
from inference.utterances import utterances

LETTERS = Tokens([BLANK, SPACE, "a", "b"], "char")


def random_scores(seed: int, frames: int, size: int) -> np.ndarray:
    scores_TV = 2 * np.random.default_rng(seed).standard_normal((frames, size))
    return scores_TV - np.logaddexp.reduce(scores_TV, axis=1, keepdims=True)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), frames=st.integers(0, 6), count=st.integers(1, 40))
def test_the_list_is_that_of_all_texts(seed: int, frames: int, count: int) -> None:
    """Every path is written down; of labellings of one text, such as those with other spaces, the best counts."""
    scores_TV = random_scores(seed, frames, 4)
    mass: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(4), repeat=frames):
        labels = tuple(label for label, _ in itertools.groupby(path) if label)
        mass[labels] = mass.get(labels, 0.0) + math.exp(sum(scores_TV[t, v] for t, v in enumerate(path)))
    best: dict[str, float] = {}
    for labels, probability in mass.items():
        text = LETTERS.decode(labels)
        best[text] = max(best.get(text, 0.0), probability)
    expected = sorted(best.items(), key=lambda item: -item[1])[:count]
    found = alternatives(prefix_beam(scores_TV, beam=4000, nbest=4000, prune=math.inf), LETTERS, count=count)
    assert [one.text for one in found] == [text for text, _ in expected]
    assert [one.score for one in found] == pytest.approx([math.log(p) for _, p in expected], abs=1e-9)
    total = sum(p for _, p in expected)
    assert [one.share for one in found] == pytest.approx([p / total for _, p in expected])


def spoken(seed: int, frames: int) -> np.ndarray:
    """Scores with stretches of silence, of 12 frames and of 5."""
    scores_TV = random_scores(seed, frames, 4)
    for start, length in ((20, 12), (50, 5), (80, 12)):
        scores_TV[start : start + length] = np.log([0.97, 0.01, 0.01, 0.01])
    return scores_TV


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), pieces=st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_each_utterance_is_what_its_stretch_alone_would_be(seed: int, pieces: list[int]) -> None:
    scores_TV = spoken(seed, 120)
    cuts = np.cumsum(list(itertools.islice(itertools.cycle(pieces), 120)))
    options = {"silent": {0, 1}, "pause": 10, "count": 8}
    whole = list(utterances(lambda: BeamDecoder(beam=8), [scores_TV], **options))
    assert whole == list(utterances(lambda: BeamDecoder(beam=8), np.split(scores_TV, cuts[cuts < 120]), **options))
    quiet, start, ends = 0, 0, []
    for t, label in enumerate(scores_TV.argmax(axis=1)):
        quiet = quiet + 1 if label < 2 else 0
        if quiet == 10:
            ends.append(t + 1)
    assert len(whole) == len(ends) + 1
    assert len(ends) >= 2
    for one, end in zip(whole, [*ends, 120], strict=True):
        alone = BeamDecoder(beam=8)
        emissions = alone.push(scores_TV[start:end]) + alone.flush()
        assert [(e.label, e.start + start, e.end + start) for e in emissions] == [
            (e.label, e.start, e.end) for e in one.emissions
        ]
        listed = prefix_beam(scores_TV[start:end], beam=8, nbest=8)
        assert [h.labels for h in one.hypotheses] == [h.labels for h in listed]
        assert [h.score for h in one.hypotheses] == pytest.approx([h.score for h in listed])
        start = end


def test_a_recording_and_its_stream_give_lists_whose_first_is_the_text(tone_model, tones) -> None:
    recognizer = Recognizer.open(tone_model)
    blocks = audio.blocks(next((tones / "test").rglob("*.wav")), rate=recognizer.model.extractor.rate)
    rate = recognizer.model.extractor.rate
    pause_S = np.zeros(round(2.5 * PAUSE * rate), dtype=np.float32)
    samples_S = np.concatenate([*(heard := list(blocks)), pause_S, *heard])
    transcript = recognizer.transcribe((samples_S, rate), alternatives=3)
    plain = recognizer.transcribe((samples_S, rate))
    assert transcript.text == plain.text
    assert plain.alternatives == ()
    assert [len(segment.words) for segment in transcript.segments()] == [n for n, _ in transcript.alternatives]
    assert len(transcript.segments()) == 2
    session = recognizer.stream(search=recognizer.search(alternatives=3))
    events = session.push(samples_S)
    live = session.transcript([*events, *session.flush()], duration=len(samples_S) / rate)
    for one in (transcript, live):
        for segment in one.segments():
            assert segment.alternatives[0].text == segment.text
            assert 1 < len(segment.alternatives) <= 3
            assert len({other.text for other in segment.alternatives}) == len(segment.alternatives)
            assert sum(other.share for other in segment.alternatives) == pytest.approx(1)
            scores = [other.score for other in segment.alternatives]
            assert scores == sorted(scores, reverse=True)
    with pytest.raises(SearchError, match="this one is greedy"):
        recognizer.transcribe((samples_S, rate), search=recognizer.search(), alternatives=2)


def test_on_the_command_line(capsys, tone_model, tones) -> None:
    recording = str(next((tones / "test").rglob("*.wav")))
    for how in ([], ["--streaming"]):
        assert main(["transcribe", recording, "--model", str(tone_model), "--format", "json", *how]) == 0
        plain = json.loads(capsys.readouterr().out)
        asked = ["--format", "json", "--alternatives", "2", *how]
        assert main(["transcribe", recording, "--model", str(tone_model), *asked]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["text"] == plain["text"]
        for segment in found["segments"]:
            assert [sorted(one) for one in segment["alternatives"]] == [["score", "share", "text"]] * 2
            assert segment["alternatives"][0]["text"] == segment["text"]
            assert {**segment, "alternatives": None}.keys() - {"alternatives"} == plain["segments"][0].keys()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--alternatives", "2"], "--alternatives goes with --format json"),
        (
            ["--alternatives", "2", "--format", "json", "--beam", "0"],
            "--beam 0 is greedy, and alternatives need a beam",
        ),
        (["--alternatives", "9", "--format", "json", "--beam", "4"], "a beam of 4 has no 9 alternatives"),
    ],
)
def test_mistakes_are_one_line(capsys, tone_model, tones, given: list[str], said: str) -> None:
    recording = str(next((tones / "test").rglob("*.wav")))
    assert main(["transcribe", recording, "--model", str(tone_model), *given]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert said in err
