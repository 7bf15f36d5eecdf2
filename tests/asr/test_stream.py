"""Speech as it comes: the same events however it is pushed, the offline form's words, and nothing lost on the way."""

from __future__ import annotations

import random
import runpy
from dataclasses import replace
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest

import asr
from asr.stream import SpeechSession
from asr.tokens import SPACE
from asr.words import WordMaker
from features import audio
from inference import model as models
from inference.ctc import greedy
from inference.endpoint import NEVER, EndpointRules
from inference.model import BLANK, Model
from inference.session import Update

RATE, STEP, check_promises, detector, final_text, run, sound, tones = itemgetter(
    "RATE", "STEP", "check_promises", "detector", "final_text", "run", "sound", "tones"
)(runpy.run_path(str(Path(__file__).with_name("detected_tones.py"))))

REPOSITORY = Path(__file__).resolve().parents[2]
HASTY = EndpointRules(after_text=0.15, without_text=0.5, longest=1.0, short_pause=0.06, patience=0.5)
LETTERS = (BLANK, SPACE, "a", "क", "好")


@pytest.fixture(scope="session")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return detector(tmp_path_factory.mktemp("detector"), (BLANK, "a", "b", SPACE), "char")


@pytest.fixture(scope="module")
def digits() -> Model:
    return asr.load("digits").model


@pytest.fixture(scope="module")
def demo() -> tuple[np.ndarray, int]:
    return audio.read(REPOSITORY / "asr" / "demo" / "digits.flac")


@pytest.fixture(scope="module")
def clips(shared_data: Path) -> np.ndarray:
    """Digits of several people with a second of silence between them, at 8 kHz."""
    pieces = [np.zeros(RATE // 3, np.float32)]
    for name in ("3_george_11", "0_theo_7", "7_lucas_22", "5_jackson_30", "9_nicolas_4", "1_yweweler_40"):
        samples, _ = audio.read(shared_data / "fsdd" / "recordings" / f"{name}.wav", rate=RATE)
        pieces += [samples, np.zeros(RATE, np.float32)]
    return np.concatenate(pieces)


def patterns(count: int, most: int, *, seed: int = 0) -> list[list[int]]:
    draw, scales = random.Random(seed), (most // 100, most // 10, most)
    return [[draw.randint(0, draw.choice(scales)) for _ in range(9)] + [40] for _ in range(count)]


# --- however it is pushed ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rules", [EndpointRules(), HASTY, NEVER], ids=["default", "hasty", "never"])
def test_push_patterns_give_equal_events(digits: Model, demo, rules: EndpointRules) -> None:
    samples, rate = demo
    session = SpeechSession(digits, rate=rate, rules=rules)
    expected = run(session, samples)
    assert any(event.final for event in expected)
    for sizes in patterns(12, 20_000):
        assert run(session, samples, sizes) == expected, sizes
    check_promises(expected)


def test_push_patterns_give_equal_events_of_real_speech(digits: Model, clips: np.ndarray) -> None:
    session = SpeechSession(digits, chunk=0.8, lookahead=0.4)
    expected = run(session, clips)
    for sizes in patterns(20, 20_000, seed=1):
        assert run(session, clips, sizes) == expected, sizes
    check_promises(expected)


@pytest.mark.parametrize("rules", [HASTY, NEVER], ids=["hasty", "never"])
@pytest.mark.parametrize("seed", range(5))
def test_200_push_patterns_of_letters_without_sense(untrained, demo, rules: EndpointRules, seed: int) -> None:
    """Random weights change their mind all the time, and say spaces in odd places."""
    session = SpeechSession(
        models.load(untrained(LETTERS, "char", seed=seed)), rate=demo[1], chunk=0.1, lookahead=0.2, rules=rules
    )
    samples = np.concatenate([demo[0][:24_000], np.zeros(12_000, np.float32), demo[0][24_000:36_000]])
    expected = run(session, samples)
    check_promises(expected)
    for sizes in patterns(20, 20_000, seed=seed):
        assert run(session, samples, sizes) == expected, sizes


def test_one_sample_at_a_time(tones: Model) -> None:
    samples = sound((0, 0.1), (1, 0.2), (0, 0.3), (2, 0.1), (0, 0.1), rate=11_025)
    session = SpeechSession(tones, rate=11_025, chunk=0.12, lookahead=0.06, rules=HASTY)
    expected = run(session, samples)
    assert final_text(expected) == "la mi"
    assert run(session, samples, [1]) == expected


# --- what is streamed is the offline form -----------------------------------------------------------------------------


@pytest.mark.parametrize(("chunk", "lookahead"), [(0.4, 0.2), (0.1, 0.05), (0.1, 0.4), (3.0, 0.0), (100.0, 0.0)])
def test_without_endpoints_words_and_scores_are_those_of_the_offline_form(
    digits: Model, clips: np.ndarray, chunk: float, lookahead: float
) -> None:
    session = SpeechSession(digits, chunk=chunk, lookahead=lookahead, rules=NEVER)
    shift = digits.extractor.shift_seconds
    window = {"chunk": round(session.chunk / shift), "lookahead": round(session.lookahead / shift)}
    offline = greedy(digits.scorer.windowed([digits.extractor(clips)], **window))
    words = WordMaker.of(digits).words(offline, latest=len(clips) / digits.extractor.rate)
    assert len(words) > 3
    *_, last = events = run(session, clips, [777])
    assert last.final
    assert list(last.words) == words, "with the same times and the same confidence, bit for bit"
    assert session.transcript(events, duration=1.0).text == " ".join(word.text for word in words)
    assert [event.final for event in events].count(True) == 1


def test_after_an_endpoint_speech_is_heard_as_if_it_came_alone(digits: Model, clips: np.ndarray) -> None:
    def updates_of(samples: np.ndarray) -> list[Update]:
        inner = SpeechSession(digits)._session
        return inner.push(samples) + inner.flush()

    updates = updates_of(clips)
    origins = sorted({update.origin for update in updates})
    assert len(origins) > 3
    for origin in origins[1:]:
        alone = [
            replace(update, origin=update.origin + origin, heard=update.heard + origin)
            for update in updates_of(clips[origin:])
        ]
        assert [update for update in updates if update.origin >= origin] == alone


def test_resampled_to_its_last_sample_it_is_still_the_offline_form(tones: Model) -> None:
    for length in np.linspace(1.0, 1.2, 21):
        samples = sound((0, 0.5), (2, length), rate=44_100)
        whole, _ = audio.read((samples, 44_100), rate=RATE)
        offline = greedy(tones.scorer.windowed([tones.extractor(whole)], chunk=42, lookahead=21))
        *_, last = run(SpeechSession(tones, rate=44_100, rules=NEVER), samples)
        (emission,) = offline
        assert last.words[0].start == emission.start * tones.step_seconds
        assert last.end == min(emission.end * tones.step_seconds, len(samples) / 44_100)


@pytest.mark.parametrize("quiet", [12.7, 12.9, 13.2])
def test_a_cut_is_made_where_it_is_quietest(tones: Model, quiet: float) -> None:
    """A word that begins softly, while the decoder still hears a pause, is not cut in two."""
    hum = 0.004 * np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32)
    samples = np.concatenate([sound((1, 12.6)), hum])
    samples[round(quiet * RATE) :][: RATE // 5] *= 0.1
    inner = SpeechSession(tones, rules=EndpointRules(after_text=0.9))._session
    _, origin = sorted({update.origin / RATE for update in inner.push(samples)})[:2]
    assert quiet <= origin <= quiet + 0.2


# --- words and times --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("kind", ["float32", "int16", "stereo", "stereo int16"])
def test_any_rate_and_kind_of_samples_with_times_of_the_stream(tones: Model, rate: int, kind: str) -> None:
    parts = [(0, 0.5), (1, 0.3), (0, 0.2), (2, 0.3), (0, 1.7), (3, 0.3), (0, 0.5)]
    samples = sound(*parts, rate=rate)
    if "stereo" in kind:
        samples = np.stack([1.5 * samples, 0.5 * samples], axis=1)
    if "int16" in kind:
        samples = np.round(32767 * samples).astype(np.int16)
    session = SpeechSession(tones, rate=rate)
    events = run(session, samples, [rate // 7])
    heard = [event for event in events if event.final]
    assert [event.text for event in heard] == ["la mi", "so"]
    words = session.transcript(events, duration=3.8).words
    for word, begin in zip(words, (0.5, 1.0, 3.0), strict=True):
        assert word.start == pytest.approx(begin, abs=STEP + 0.01)
        assert word.end == pytest.approx(begin + 0.3, abs=STEP + 0.01)
        assert word.confidence > 0.9
    assert [(event.start, event.end) for event in heard] == [
        (words[0].start, words[1].end),
        (words[2].start, words[2].end),
    ]


@pytest.mark.parametrize("rate", [8000, 11_025])
def test_times_stay_exact_over_a_long_stream(tones: Model, rate: int) -> None:
    minute = sound((0, 29.0), (1, 0.4), (0, 30.6), rate=rate)
    session = SpeechSession(tones, rate=rate)
    events = [event for _ in range(10) for event in session.push(minute)] + session.flush()
    starts = [event.start for event in events if event.final]
    assert len(starts) == 10
    off = np.array(starts) - 60 * np.arange(10) - 29.0
    assert np.abs(off).max() <= STEP + 0.01, "a step, and the window of a frame"


def test_transcript_holds_the_final_words(tones: Model) -> None:
    session = SpeechSession(tones)
    assert session.seconds == 0
    events = session.push(sound((1, 0.3), (0, 1.5), (3, 0.3), (0, 0.1), (2, 0.3)))
    assert session.seconds == pytest.approx(2.5)
    partial = session.transcript(events, duration=2.5)
    assert partial.text == "la", "the rest is not final yet"
    events += session.flush()
    whole = session.transcript(events, duration=2.5)
    assert (whole.text, whole.duration, whole.model) == ("la so mi", 2.5, "tones")
    assert [segment.text for segment in whole.segments()] == ["la", "so mi"]
    assert session.transcript([], duration=0.0).words == ()


def test_words_of_letters_are_whole_although_nobody_pauses(letters: Model) -> None:
    """`ab ba ab ...` in one breath, far beyond the longest segment: what becomes final ends with a space."""
    ab, ba, space = [(1, 0.09), (2, 0.09)], [(2, 0.09), (1, 0.09)], [(3, 0.09)]
    parts = [*ab, *space, *ba, *space] * 10
    session = SpeechSession(letters, chunk=0.12, lookahead=0.06, rules=HASTY)
    events = run(session, sound(*parts, (0, 0.1)))
    assert final_text(events) == " ".join(["ab", "ba"] * 10)
    assert len([event for event in events if event.final]) == 4, "5.4 s, each 1.5 s of them"
    check_promises(events)


def test_a_word_without_end_becomes_final_in_parts(letters: Model) -> None:
    session = SpeechSession(letters, chunk=0.12, lookahead=0.06, rules=HASTY)
    events = run(session, sound(*[(1, 0.06), (2, 0.06)] * 100, (0, 0.1)))
    assert final_text(events).replace(" ", "") == "ab" * 100
    assert 1 < len([event for event in events if event.final]) <= 4


def test_a_space_alone_takes_nothing_back(letters: Model) -> None:
    """A space is settled and final for itself, while the letter after it is shown already."""
    session = SpeechSession(letters, chunk=0.12, lookahead=0.06, rules=HASTY)
    events = run(session, sound((3, 1.38), (1, 0.6), (2, 0.3), (0, 0.1)))
    assert final_text(events) == "ab"
    check_promises(events)


# --- again, hardly anything, and an hour ------------------------------------------------------------------------------


def test_flush_and_reset_leave_a_fresh_session(digits: Model, demo) -> None:
    samples, rate = demo
    session = SpeechSession(digits, rate=rate)
    expected = run(session, samples)
    assert session.flush() == []
    assert session.flush() == []
    for pushed in (1, 5000, 11_111, 40_000):  # in the middle of words
        session.push(samples[:pushed])
        session.reset()
        assert session.seconds == 0
        assert session.push(np.zeros(0, np.float32)) == session.push(np.zeros((0, 2), np.int16)) == []
        assert run(session, samples) == expected


def test_less_than_a_frame_is_no_event(digits: Model) -> None:
    for count in (0, 1, 80, 199):
        assert run(SpeechSession(digits), np.ones(count, np.float32)) == []


@pytest.mark.slow
def test_an_hour_in_one_push(tones: Model, digits: Model) -> None:
    samples = np.zeros(3600 * RATE, np.float32)
    samples[-RATE:] = sound((2, 0.4), (0, 0.6))
    session = SpeechSession(tones)
    (event,) = [event for event in run(session, samples) if event.final]
    assert event.text == "mi"
    assert event.start == pytest.approx(3599, abs=STEP + 0.01)
    assert sum(map(len, session._session._held)) == 0
    check_promises(run(SpeechSession(digits), samples))
