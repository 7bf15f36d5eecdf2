"""Words of emissions: their order and limits whatever the offsets are, and what a calibration makes of scores."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.confidence.calibration import Calibration, Isotonic, Logistic, Times, evidence
from asr.recognizer import Recognizer
from asr.stream import SpeechSession
from asr.tokens import SPACE, Tokens
from asr.words import WordMaker
from inference.ctc import Emission
from inference.endpoint import NEVER
from inference.model import BLANK, ModelError, load
from inference.model_changes import store_calibration

TOKENS = Tokens([BLANK, SPACE, "a", "b", "ç"], "char")
SECONDS = st.floats(-2, 2)
OFFSETS = st.builds(
    Times, SECONDS, SECONDS, st.dictionaries(st.sampled_from("abç"), SECONDS), st.dictionaries(st.just("b"), SECONDS)
)
EMISSIONS = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 20), st.integers(1, 3), st.floats(0, 1)), max_size=20)


def seen(drawn: list[tuple[int, int, int, float]]) -> list[Emission]:
    found, frame = [], 0
    for label, gap, length, score in drawn:
        frame += gap
        found.append(Emission(label, frame, frame + length, score))
        frame += length
    return found


@given(EMISSIONS, OFFSETS, st.floats(0, 3), st.floats(0, 5))
def test_words_are_in_order_and_within_the_recording_whatever_the_offsets(drawn, times, earliest, length) -> None:
    maker = WordMaker(TOKENS, step_seconds=0.03, calibration=Calibration(times=times))
    groups, latest = TOKENS.divided(seen(drawn)), earliest + length
    words = maker.made(groups, earliest=earliest, latest=latest, parts=True)
    assert [word.text for word in words] == [
        word.text for word in WordMaker(TOKENS, step_seconds=0.03).words(seen(drawn))
    ]
    for word in words:
        assert earliest <= word.start <= word.end <= latest
        assert "".join(part.text for part in word.parts) == word.text
        assert (word.parts[0].start, word.parts[-1].end) == (word.start, word.end)
        assert all(one.start <= one.end == other.start for one, other in pairwise(word.parts))
    assert all(one.end <= other.start for one, other in pairwise(words))


@given(EMISSIONS)
def test_without_a_calibration_times_are_those_of_the_labels(drawn) -> None:
    groups = TOKENS.divided(seen(drawn))
    for word, (_, own) in zip(WordMaker(TOKENS, step_seconds=0.03).made(groups), groups, strict=True):
        assert (word.start, word.end) == (own[0].start * 0.03, own[-1].end * 0.03)
        assert word.confidence == sum(one.score for one in own) / len(own)


def test_offsets_are_those_of_the_first_and_last_label() -> None:
    times = Times(-0.01, 0.1, {"a": -0.02}, {"b": 0.2})
    maker = WordMaker(TOKENS, step_seconds=0.1, calibration=Calibration(times=times))
    first, second = maker.words(
        [Emission(2, 5, 6, 1.0), Emission(3, 7, 8, 1.0), Emission(1, 20, 21, 1.0), Emission(4, 30, 31, 1.0)]
    )
    assert (first.start, first.end) == (pytest.approx(0.48), pytest.approx(1.0))
    assert (second.start, second.end) == (pytest.approx(2.99), pytest.approx(3.2))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.floats(-3, 3), st.floats(-3, 3))
def test_confidences_are_probabilities_at_every_score(scores: list[float], bias: float, weight: float) -> None:
    group = [Emission(2, k, k + 1, score) for k, score in enumerate(scores)]
    for confidence in (Logistic(bias, {"mean": 100 * weight, "least": weight}), Isotonic([-1.0, 2.0], [0.1, 0.8])):
        assert 0 <= Calibration(confidence).probability(group) <= 1
    alone = Calibration(Logistic(0.0, {"mean": 1.0})).probability(group)
    assert alone == pytest.approx(sum(scores) / len(scores), abs=1.1e-4), "log odds and back"


def test_evidence_of_one_label_is_its_score_alone() -> None:
    said = evidence([Emission(2, 0, 1, 0.5)])
    assert said == {"mean": 0.0, "least": 0.0, "labels": 0.0}
    assert evidence([Emission(2, 0, 1, 1.0)])["mean"] < 10, "finite"


CALIBRATION = Calibration(Logistic(-0.4, {"mean": 0.7}), Times(-0.05, 0.11, {"la": -0.02}, {"so": 0.07}))


@pytest.fixture
def calibrated(tone_model: Path, tmp_path: Path) -> Path:
    """The model of tones with a calibration stored."""
    folder = tmp_path / "model"
    folder.mkdir()
    for path in tone_model.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    store_calibration(folder, CALIBRATION.stored())
    return folder


def test_a_calibration_is_stored_with_the_model_and_changes_nothing_else(tone_model: Path, calibrated: Path) -> None:
    before, after = load(tone_model), load(calibrated)
    assert Calibration.of(after) == CALIBRATION
    assert before.calibration is None
    assert Calibration.of(before) == Calibration()
    for name in ("model.onnx", "weights.safetensors", "labels.txt", "README.md"):
        assert (tone_model / name).read_bytes() == (calibrated / name).read_bytes()
    assert (calibrated / "SHA256SUMS").read_text() != (tone_model / "SHA256SUMS").read_text()
    store_calibration(calibrated, {})
    assert (calibrated / "config.yaml").read_bytes() == (tone_model / "config.yaml").read_bytes()
    assert [path.name for path in calibrated.parent.iterdir()] == ["model"], "nothing is left beside it"


@pytest.mark.parametrize(
    "damaged",
    [
        {"confidence": {"kind": "magic"}},
        {"confidence": {"kind": "logistic", "bias": "x", "weights": {}}},
        {"confidence": {"kind": "logistic", "bias": 0.0, "weights": {"mood": 1.0}}},
        {"confidence": {"kind": "isotonic", "logits": [1.0, 0.0], "probabilities": [0.1, 0.2]}},
        {"times": {"start": 0.0}},
        {"times": 3},
    ],
)
def test_a_damaged_calibration_is_an_error_that_names_the_file(tone_model: Path, damaged: dict) -> None:
    with pytest.raises(ModelError, match=r"config\.yaml: calibration cannot be used"):
        Recognizer(replace(load(tone_model), calibration=damaged))


def test_streams_and_files_have_the_same_calibrated_words(calibrated: Path, tone_model: Path, speak) -> None:
    samples = np.concatenate([speak(["la", "mi", "so", "so", "la"], seed=k, pause=0.2) for k in range(3)])
    recognizer, plain = Recognizer.open(calibrated), Recognizer.open(tone_model)
    whole = recognizer.transcribe((samples, 8000))
    for block in (100, 801, 100_000):
        session = SpeechSession(recognizer.model, chunk=60.0, lookahead=0.0, rules=NEVER)
        events = [e for at in range(0, len(samples), block) for e in session.push(samples[at : at + block])]
        assert session.transcript([*events, *session.flush()], duration=whole.duration) == whole
    raw = plain.transcribe((samples, 8000))
    assert [word.text for word in raw.words] == [word.text for word in whole.words]
    assert all(one.confidence != other.confidence for one, other in zip(raw.words, whole.words, strict=True))
    shifts = {"la": -0.02}
    for one, other in zip(raw.words, whole.words, strict=True):
        assert other.start - one.start == pytest.approx(shifts.get(one.text, -0.05))


def test_short_chunks_and_endpoints_keep_words_apart(calibrated: Path, speak) -> None:
    samples = np.concatenate([speak(["la", "mi", "so"], seed=k, pause=0.25) for k in range(4)])
    samples = np.concatenate([samples, np.zeros(12_000, dtype=np.float32), samples])
    session = SpeechSession(load(calibrated), chunk=0.2, lookahead=0.1)
    events = [*session.push(samples), *session.flush()]
    words = [word for event in events if event.final for word in event.words]
    assert len({event.start for event in events if event.final}) >= 2
    assert len(words) >= 20
    assert all(one.end <= other.start for one, other in pairwise(words))
    assert words[-1].end <= len(samples) / 8000
