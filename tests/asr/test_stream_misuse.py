"""Windows and sound that cannot be, silence, and sessions that begin again."""

from __future__ import annotations

import math
import runpy
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest

from asr.stream import SpeechSession
from asr.tokens import SPACE
from features.audio import AudioError
from inference import model as models
from inference.ctc import Emission
from inference.model import BLANK, Model, ModelError
from inference.session import Update

RATE, final_text, run, sound, tones = itemgetter("RATE", "final_text", "run", "sound", "tones")(
    runpy.run_path(str(Path(__file__).with_name("detected_tones.py")))
)


# --- windows ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "used"), [((0.4, 0.2), (0.42, 0.21)), ((0.3, 0.0), (0.3, 0.0)), ((0.001, 0.031), (0.03, 0.06))]
)
def test_windows_round_up_to_whole_steps(tones: Model, asked, used) -> None:
    session = SpeechSession(tones, chunk=asked[0], lookahead=asked[1])
    assert (session.chunk, session.lookahead) == (pytest.approx(used[0]), pytest.approx(used[1]))


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_windows_out_of_range_are_refused(tones: Model, value: float) -> None:
    for name in ("chunk", "lookahead"):
        with pytest.raises(ValueError, match="no chunk or look-ahead"):
            SpeechSession(tones, **{name: value})
    with pytest.raises(ValueError, match="chunk is 0"):
        SpeechSession(tones, chunk=0.0)


def test_a_model_of_whole_utterances_is_refused(untrained) -> None:
    with pytest.raises(ModelError, match=r"whole utterance.*cannot hear a stream.*normalization global or running"):
        SpeechSession(models.load(untrained((BLANK, SPACE, "a"), "char", normalization="utterance")))


# --- bad input and misuse ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.0, 1e-6, 1e-3])
def test_silence_says_nothing(tones: Model, level: float) -> None:
    noise = level * np.random.default_rng(0).standard_normal(60 * RATE)
    assert run(SpeechSession(tones), noise.astype(np.float32), [5000]) == []


def test_loud_and_clipped_sound_is_heard(tones: Model) -> None:
    samples = np.clip(20 * sound((0, 0.3), (2, 0.3), (0, 1.5), (2, 0.3), (0, 0.3)), -1, 1)
    assert "mi" in final_text(run(SpeechSession(tones), samples))


@pytest.mark.parametrize(
    "block",
    [
        np.array([0.1, np.nan], np.float32),
        np.array([np.inf]),
        np.full((5, 2), -np.inf),
        np.array([1e30], np.float32),
        np.zeros((2, 2, 2)),
        np.array(["a"]),
        np.array([True]),
        np.zeros(3, np.complex64),
        np.zeros(3, np.int64),
        np.float32(0.5),
    ],
    ids=lambda block: f"{block.dtype}{block.shape}",
)
def test_a_block_that_is_no_sound_is_left_out_and_the_session_goes_on(tones: Model, block: np.ndarray) -> None:
    samples = sound((0, 0.2), (1, 0.3), (0, 1.2), (2, 0.3), rate=16_000)
    session = SpeechSession(tones, rate=16_000)
    expected = run(session, samples, [900])
    events = []
    for start in range(0, len(samples), 900):
        with pytest.raises(AudioError):
            session.push(block)
        events += session.push(samples[start : start + 900])
    with pytest.raises(AudioError):
        session.push(block)
    assert session.seconds == pytest.approx(2.0)
    assert events + session.flush() == expected


def test_a_damaged_block_is_named_by_its_place_in_the_stream(tones: Model) -> None:
    session = SpeechSession(tones, rate=16_000)
    session.push(np.zeros(16_000, np.float32))
    with pytest.raises(AudioError, match=r"at 1\.500 s is nan"):
        session.push(np.r_[np.zeros(8000), np.nan].astype(np.float32))


def test_what_was_shown_before_a_reset_is_shown_again(tones: Model) -> None:
    session, samples = SpeechSession(tones), sound((1, 0.9))
    (event,) = session.push(samples)
    session.reset()
    assert session.push(samples) == [event]


def test_what_was_shown_and_came_to_nothing_is_taken_back(tones: Model) -> None:
    """The look-ahead said a word; then an endpoint comes, and it was none."""
    guess = Update(0, (), (Emission(1, 12, 14, 0.5),), final=False, heard=8000)
    none, later = Update(0, (), (), final=True, heard=900), Update(900, (), (), final=False, heard=8000)
    session = SpeechSession(tones)
    events = [event for update in (guess, guess, none, later) for event in session._events(update)]
    assert [(event.text, event.stable, event.final) for event in events] == [("la", "", False), ("", "", False)]
