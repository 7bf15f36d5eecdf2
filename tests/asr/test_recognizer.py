"""A model and a recording become words with times, in bounded memory, whatever the recording."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import asr
from asr.recognizer import Recognizer
from asr.scoring import WHOLE, Window
from asr.scoring import scores as scores_of
from asr.search import SearchConfig
from asr.tokens import SPACE
from features import audio
from inference import beam, ctc
from inference import model as models
from inference.model import BLANK, ModelError

RATE = 8000
LETTERS = (BLANK, SPACE, "a", "क", "ש", "好")


def words_of(transcript) -> list[str]:
    return [word.text for word in transcript.words]


@pytest.mark.parametrize("beam", [0, 4])
@pytest.mark.parametrize("spoken", [["la"], ["so", "mi", "la"], ["mi", "la", "mi", "so", "la"]])
def test_words_with_their_times(tone_recognizer: Recognizer, speak, spoken: list[str], beam: int) -> None:
    samples = speak(spoken, seed=77)
    transcript = tone_recognizer.transcribe((samples, RATE), search=tone_recognizer.search(beam=beam))
    assert transcript.text == " ".join(spoken)
    assert words_of(transcript) == spoken
    assert transcript.duration == pytest.approx(len(samples) / RATE)
    assert transcript.model == "model"
    # Each lies in its tone or close by.
    loud = np.convolve(np.abs(samples) > 0.05, np.ones(400), "same") > 0
    edges = np.flatnonzero(np.diff(loud)).reshape(-1, 2) / RATE
    for word, (begin, end) in zip(transcript.words, edges, strict=True):
        assert begin - 0.1 < word.start < word.end < end + 0.1
        assert 0.3 < word.confidence <= 1


def test_every_kind_of_source_gives_the_same(tone_recognizer: Recognizer, speak, tmp_path: Path) -> None:
    audio.write(tmp_path / "a.wav", speak(["la", "so"]), RATE)
    samples, _ = audio.read(tmp_path / "a.wav")
    expected = tone_recognizer.transcribe(tmp_path / "a.wav")
    assert expected.text == "la so"
    assert tone_recognizer.transcribe(str(tmp_path / "a.wav")) == expected
    assert tone_recognizer.transcribe((samples, RATE)) == expected
    assert tone_recognizer.transcribe(io.BytesIO((tmp_path / "a.wav").read_bytes())) == expected
    assert tone_recognizer.transcribe((np.stack([samples, samples], 1), RATE)) == expected


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
def test_other_rates_are_heard_alike(tone_recognizer: Recognizer, speak, rate: int) -> None:
    assert tone_recognizer.transcribe((speak(["la", "so", "mi"], rate=rate), rate)).text == "la so mi"


def test_part_of_a_recording(tone_recognizer: Recognizer, speak) -> None:
    first, second = speak(["la", "mi"], seed=1), speak(["so", "la"], seed=2)
    both, border = np.concatenate([first, second]), len(first) / RATE
    recording = (both, RATE)
    assert tone_recognizer.transcribe(recording).text == "la mi so la"
    assert tone_recognizer.transcribe(recording, duration=border).text == "la mi"
    later = tone_recognizer.transcribe(recording, start=border)
    assert later == tone_recognizer.transcribe((second, RATE))
    assert tone_recognizer.transcribe(recording, start=100.0).text == ""


def test_progress_is_told_in_seconds(tone_recognizer: Recognizer) -> None:
    heard: list[float] = []
    tone_recognizer.transcribe((np.zeros(25 * RATE, np.float32), RATE), progress=heard.append)
    assert sum(heard) == pytest.approx(25.0)
    assert len(heard) == 3


# --- silence and the like ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beam", [0, 4])
@pytest.mark.parametrize("samples", [0, 1, 10, 199, 200, 201, 280, 8000], ids=lambda count: f"{count} samples")
def test_silence_of_any_length_is_an_empty_transcript(tone_recognizer: Recognizer, samples: int, beam: int) -> None:
    transcript = tone_recognizer.transcribe(
        (np.zeros(samples, np.float32), RATE), search=tone_recognizer.search(beam=beam)
    )
    assert transcript.words == ()
    assert transcript.text == ""
    assert transcript.duration == pytest.approx(samples / RATE)


def test_silence_in_a_file_that_holds_no_samples(tone_recognizer: Recognizer, tmp_path: Path) -> None:
    audio.write(tmp_path / "empty.wav", np.zeros(0, np.float32), RATE)
    assert tone_recognizer.transcribe(tmp_path / "empty.wav").text == ""


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused(tone_recognizer: Recognizer, speak, bad: float) -> None:
    samples = speak(["la"])
    samples[1000] = bad
    with pytest.raises(audio.AudioError, match="the array"):
        tone_recognizer.transcribe((samples, RATE))
    assert tone_recognizer.transcribe((speak(["la"]), RATE)).text == "la", "and nothing of it stays"


def test_noise_and_clipping_do_no_harm(tone_recognizer: Recognizer) -> None:
    rng = np.random.default_rng(0)
    for samples in (rng.uniform(-1, 1, 8000), np.ones(8000), np.sign(rng.standard_normal(8000)), 1e-30 * np.ones(8000)):
        transcript = tone_recognizer.transcribe((samples.astype(np.float32), RATE))
        assert all(0 <= word.confidence <= 1 for word in transcript.words)


# --- long recordings --------------------------------------------------------------------------------------------------


def test_a_long_recording_is_heard_in_windows_as_if_they_were_one(tone_recognizer: Recognizer, speak) -> None:
    spoken = np.random.default_rng(5).choice(["la", "mi", "so"], size=400).tolist()
    samples = speak(spoken, seed=5, pause=0.15)
    assert len(samples) / RATE > 4 * WHOLE.chunk
    transcript = tone_recognizer.transcribe((samples, RATE))
    assert words_of(transcript) == spoken
    starts = [word.start for word in transcript.words]
    assert starts == sorted(starts)
    assert transcript.duration - 1 < transcript.words[-1].end <= transcript.duration


def test_shorter_than_a_window_is_full_context(tone_recognizer: Recognizer, speak) -> None:
    model = tone_recognizer.model
    samples = speak(["la", "mi", "so"] * 20)
    assert len(samples) / RATE < WHOLE.chunk
    scores = np.concatenate(list(scores_of(tone_recognizer.model, [samples[:5000], samples[5000:]], WHOLE)))
    np.testing.assert_array_equal(scores, model.scorer.full(model.extractor(samples)))


@pytest.mark.parametrize("window", [WHOLE, Window(0.4, 0.2)], ids=["whole", "stream"])
def test_longer_than_a_window_is_windows_with_lookahead(tone_recognizer: Recognizer, window: Window) -> None:
    model = tone_recognizer.model
    samples = 0.1 * np.random.default_rng(0).standard_normal(70 * RATE).astype(np.float32)
    scores = np.concatenate(list(scores_of(tone_recognizer.model, np.split(samples, 7), window)))
    chunk, lookahead = (model.scorer.round_up(round(seconds * 100)) for seconds in window)
    expected = model.scorer.windowed([model.extractor(samples)], chunk=chunk, lookahead=lookahead)
    np.testing.assert_array_equal(scores, expected)


@pytest.mark.parametrize("beam", [0, 3])
def test_memory_does_not_grow_with_the_recording(tone_recognizer: Recognizer, speak, beam: int, monkeypatch) -> None:
    """No block of samples is asked for before what the last ones gave has been used, but for one window."""
    asked: list[float] = []
    monkeypatch.setattr(audio, "blocks", lambda *_, **__: count(asked, speak(["la", "mi", "so"] * 4, pause=0.3)))
    seen: list[tuple[float, float]] = []
    divide, step_seconds = tone_recognizer.tokens.divided, tone_recognizer.model.step_seconds

    def divided(emissions):
        def watched():
            for emission in emissions:
                seen.append((emission.end * step_seconds, sum(asked)))
                yield emission

        return divide(watched())

    monkeypatch.setattr(tone_recognizer.tokens, "divided", divided)
    transcript = tone_recognizer.transcribe("whatever", search=tone_recognizer.search(beam=beam))
    assert sum(asked) > 200
    assert len(transcript.words) == 12 * len(asked)
    assert max(ahead - at for at, ahead in seen) < 2 * WHOLE.chunk + WHOLE.lookahead + 20


def count(asked: list[float], block: np.ndarray):
    for _ in range(40):
        asked.append(len(block) / RATE)
        yield block


def test_no_word_ends_after_the_recording(untrained) -> None:
    recognizer = Recognizer.open(untrained(LETTERS, "char", seed=4))
    for length in range(RATE, RATE + 300, 50):
        samples = 0.3 * np.random.default_rng(length).standard_normal(length).astype(np.float32)
        transcript = recognizer.transcribe((samples, RATE))
        assert transcript.words[-1].end <= transcript.duration == length / RATE


# --- labels of characters, and models as they come --------------------------------------------------------------------


@pytest.mark.parametrize("beam", [0, 3])
def test_letters_of_any_script_become_words(untrained, beam: int) -> None:
    """An untrained model is a fine source of strange transcripts: they are those of its scores."""
    recognizer = Recognizer.open(untrained(LETTERS, "char"))
    samples = 0.3 * np.random.default_rng(3).standard_normal(4 * RATE).astype(np.float32)
    transcript = recognizer.transcribe((samples, RATE), search=recognizer.search(beam=beam))
    scores = recognizer.model.scorer.full(recognizer.model.extractor(samples))
    if not beam:
        assert transcript.text == recognizer.tokens.decode(one.label for one in ctc.greedy(scores))
    assert len(transcript.words) > 3
    assert set("".join(words_of(transcript))) <= set("aकש好")
    assert transcript.text == " ".join(words_of(transcript))
    times = [time for word in transcript.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert times[-1] <= transcript.duration


def test_beam_search_is_that_of_the_whole_recording(untrained) -> None:
    recognizer = Recognizer.open(untrained(LETTERS, "char", seed=4))
    samples = 0.3 * np.random.default_rng(4).standard_normal(3 * RATE).astype(np.float32)
    transcript = recognizer.transcribe((samples, RATE), search=recognizer.search(beam=5))
    scores = recognizer.model.scorer.full(recognizer.model.extractor(samples))
    assert transcript.text == recognizer.tokens.decode(beam.prefix_beam(scores, beam=5)[0].labels)


def test_a_model_with_whole_utterance_statistics_transcribes_files(untrained, speak) -> None:
    recognizer = Recognizer.open(untrained((BLANK, "one", "two"), "word", normalization="utterance"))
    model, samples = recognizer.model, speak(["la", "mi"])
    transcript = recognizer.transcribe((samples, RATE))
    assert transcript.text == recognizer.tokens.decode(
        one.label for one in ctc.greedy(model.scorer.full(model.extractor(samples)))
    )
    assert recognizer.transcribe((np.zeros(0, np.float32), RATE)).text == ""


def test_opening_checks_the_whole_model(tone_model: Path, tmp_path: Path) -> None:
    assert asr.load(str(tone_model)).model.name == "model"
    with pytest.raises(ModelError, match="nowhere: neither a shipped model"):
        asr.load("nowhere")
    for file in tone_model.iterdir():
        if file.name != models.SUMS:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / models.GRAPH).write_bytes(b"\x00" * 100)
    with pytest.raises(ModelError, match="damaged"):
        asr.load(str(tmp_path))
    nothing = SearchConfig(lm=str(tmp_path / "nothing.ngram"))
    with pytest.raises(ModelError, match="damaged"):  # of two mistakes the model's is told
        Recognizer.with_search(tmp_path, nothing)
    with pytest.raises(FileNotFoundError, match="nothing"):
        Recognizer.with_search(tone_model, nothing)


def test_a_search_made_with_the_recognizer_is_its_own(tone_model: Path, tone_recognizer: Recognizer, speak) -> None:
    samples = speak(["so", "la"], seed=5)
    recognizer, search = Recognizer.with_search(tone_model, SearchConfig(beam=4))
    own = tone_recognizer.search(beam=4)
    assert search.beam == own.beam == 4
    assert recognizer.transcribe((samples, RATE), search=search) == tone_recognizer.transcribe(
        (samples, RATE), search=own
    )


@settings(max_examples=15, derandomize=True)  # a model may err
@given(st.lists(st.sampled_from(["la", "mi", "so"]), max_size=4), st.integers(0, 1000))
def test_any_sequence_of_words(tone_recognizer: Recognizer, speak, spoken: list[str], seed: int) -> None:
    transcript = tone_recognizer.transcribe((speak(spoken, seed=seed + 10_000, pause=0.15), RATE))
    assert transcript.text == " ".join(spoken)


def test_a_model_of_gestures_is_refused() -> None:
    from gestures.shipped import find

    with pytest.raises(ModelError, match="recognises gestures, not speech; use `gestures recognize`"):
        Recognizer.open(find("hands"))
