"""Long recordings divided at pauses: stretches adjoin, each is heard as if it came alone, and no word is lost."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import asr
from asr.formats import WRITERS
from asr.recognizer import Recognizer
from asr.stretches import Segments, stretches
from features import audio
from inference.endpoint import EndpointRules
from inference.model import ModelError

RATE = 8000
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
HASTY = EndpointRules(after_text=0.15, without_text=0.5, longest=1.0, short_pause=0.06, patience=0.5)
JUDGES = [
    "decoder",
    pytest.param(
        "silero",
        marks=pytest.mark.skipif(importlib.util.find_spec("silero_vad") is None, reason="silero-vad is not installed"),
    ),
]


@pytest.fixture(scope="module")
def digits() -> Recognizer:
    return asr.load("digits")


@pytest.fixture(scope="module")
def joined(shared_data: Path) -> tuple[np.ndarray, list[tuple[str, float, float]]]:
    """A minute of digits that people say, with pauses of many lengths, and each word with start and end in seconds."""
    rng = np.random.default_rng(5)
    names = sorted(
        path for path in (shared_data / "fsdd" / "recordings").glob("*.wav") if 5 <= int(path.stem.split("_")[2]) < 10
    )
    parts, said, now = [], [], 0
    for k in rng.permutation(len(names))[:40]:
        gap = np.zeros(round(rng.choice([0.1, 0.3, 0.9, 1.5, 6.5], p=[0.4, 0.2, 0.2, 0.15, 0.05]) * RATE), np.float32)
        samples, _ = audio.read(names[k], rate=RATE)
        parts += [gap, samples]
        begin = now + len(gap)
        now = begin + len(samples)
        said.append((DIGITS[int(names[k].name[0])], begin / RATE, now / RATE))
    return np.concatenate(parts), said


def divided(recognizer: Recognizer, blocks: Sequence[np.ndarray], segments: Segments) -> list[tuple[int, np.ndarray]]:
    return [(first, np.concatenate(list(pieces))) for first, pieces in stretches(blocks, recognizer.model, segments)]


def alone(recognizer: Recognizer, samples: np.ndarray, endpoints: Sequence[float]) -> list[tuple[str, float, float]]:
    """Words of each stretch that is cut out and transcribed as a recording of its own, with times of the whole."""
    rate = recognizer.model.extractor.rate
    borders = [0, *(round(second * rate) for second in endpoints), len(samples)]
    return [
        (word.text, word.start + first / rate, word.end + first / rate)
        for first, end in pairwise(borders)
        for word in recognizer.transcribe((samples[first:end], rate)).words
    ]


@pytest.mark.parametrize("by", JUDGES)
def test_from_one_endpoint_to_the_next_it_is_that_stretch_alone(digits: Recognizer, joined, by: str) -> None:
    samples, _ = joined
    whole = digits.transcribe((samples, RATE), segments=Segments(by))
    assert len(whole.endpoints) > 5
    apart = alone(digits, samples, whole.endpoints)
    assert [word.text for word in whole.words] == [text for text, _, _ in apart]
    times = [(word.start, word.end) for word in whole.words]
    np.testing.assert_allclose(times, [(start, end) for _, start, end in apart], atol=1e-9)
    assert whole.duration == len(samples) / RATE


@pytest.mark.parametrize("by", JUDGES)
def test_no_endpoint_lies_in_a_word_and_every_long_pause_has_one(digits: Recognizer, joined, by: str) -> None:
    """Then no word can be cut in two at a joint."""
    samples, said = joined
    endpoints = digits.transcribe((samples, RATE), segments=Segments(by)).endpoints
    assert list(endpoints) == sorted(set(endpoints))
    for text, begin, end in said:
        assert not any(begin < cut < end for cut in endpoints), text
    pauses = [(end, begin) for (_, _, end), (_, begin, _) in pairwise(said) if begin - end > 1.4]
    assert pauses
    assert all(any(end <= cut <= begin for cut in endpoints) for end, begin in pauses)


@pytest.mark.parametrize("by", JUDGES)
def test_no_word_is_lost_or_doubled_at_a_joint(digits: Recognizer, shared_data: Path, by: str) -> None:
    """In each of ten clips with pauses between them lies one word, and the segments are these words."""
    folder = shared_data / "fsdd" / "recordings"
    clips = [audio.read(folder / f"{digit}_george_{digit % 5 + 5}.wav", rate=RATE)[0] for digit in range(10)]
    gap = np.zeros(2 * RATE, np.float32)
    joined = np.concatenate([part for clip in clips for part in (gap, clip)] + [gap])
    found = digits.transcribe((joined, RATE), segments=Segments(by))
    ends = np.cumsum([len(gap) + len(clip) for clip in clips]) / RATE
    assert len(found.words) == 10
    for word, clip, end in zip(found.words, clips, ends, strict=True):
        # Offsets of times are right in the mean; the next clip is two seconds away.
        assert end - len(clip) / RATE - 0.1 <= word.start < word.end <= end + 0.15
    assert sum(word.text == digit for word, digit in zip(found.words, DIGITS, strict=True)) >= 9
    assert [segment.words for segment in found.segments()] == [(word,) for word in found.words]


@given(seed=st.integers(0, 2**32 - 1), pause=st.floats(0.05, 0.8), sizes=st.lists(st.integers(1, 30000), min_size=1))
@settings(max_examples=10)
def test_stretches_adjoin_whatever_the_blocks(digits: Recognizer, seed: int, pause: float, sizes: list[int]) -> None:
    rng = np.random.default_rng(seed)
    spoken, _ = audio.read(Path(asr.__file__).parent / "demo" / "digits.flac", rate=RATE)
    parts = []
    for _ in range(4):
        begin = int(rng.integers(0, len(spoken) - RATE))
        parts += [spoken[begin : begin + int(rng.integers(100, RATE))], np.zeros(int(pause * RATE), np.float32)]
    samples = np.concatenate(parts)
    blocks, position = [], 0
    while position < len(samples):
        size = sizes[len(blocks) % len(sizes)] + 50
        blocks.append(samples[position : position + size])
        position += size
    found = divided(digits, blocks, Segments(rules=HASTY))
    assert [first for first, _ in found] == [0, *np.cumsum([len(piece) for _, piece in found])[:-1]]
    np.testing.assert_array_equal(np.concatenate([piece for _, piece in found]), samples)
    whole = divided(digits, [samples], Segments(rules=HASTY))
    assert [first for first, _ in found] == [first for first, _ in whole]


def test_an_endpoint_at_the_very_end_is_one_too(digits: Recognizer) -> None:
    """The look-ahead of the last windows is cut short, and what they say comes with the end of the stream."""
    spoken, _ = audio.read(Path(asr.__file__).parent / "demo" / "digits.flac", rate=RATE)
    counts = set()
    for silence in np.arange(0.0, 2.0, 0.1):
        samples = np.concatenate([spoken[: int(1.7 * RATE)], np.zeros(int(silence * RATE), np.float32)])
        found = divided(digits, [samples], Segments())
        np.testing.assert_array_equal(np.concatenate([piece for _, piece in found]), samples)
        counts.add(len(found))
    assert counts == {1, 2}


def test_nothing_and_silence(digits: Recognizer) -> None:
    assert divided(digits, [], Segments()) == []
    for seconds in (0.0, 0.001, 0.02, 13.0):
        found = digits.transcribe((np.zeros(round(seconds * RATE), np.float32), RATE), segments=Segments())
        assert (found.text, found.words, found.duration) == ("", (), round(seconds * RATE) / RATE)
        assert WRITERS["txt"](found) == "\n"


def test_what_is_held_does_not_grow(digits: Recognizer) -> None:
    """A stretch of any length is given out while it is going on, pause or none."""
    spoken, _ = audio.read(Path(asr.__file__).parent / "demo" / "digits.flac", rate=RATE)
    speech = np.tile(spoken[int(0.3 * RATE) : int(1.7 * RATE)], 40)
    taken = 0

    def blocks():
        for start in range(0, len(speech), RATE):
            assert start - taken < 5 * RATE, "seconds that are held"
            yield speech[start : start + RATE]

    for _, pieces in stretches(blocks(), digits.model, Segments()):
        for piece in pieces:
            taken += len(piece)
    assert taken == len(speech)


def test_formats_follow_the_endpoints(digits: Recognizer) -> None:
    found = digits.transcribe(Path(asr.__file__).parent / "demo" / "digits.flac", segments=Segments())
    lines = [segment.text for segment in found.segments()]
    assert len(lines) > 1
    assert " ".join(lines) == found.text
    assert WRITERS["txt"](found).splitlines() == lines
    assert [row.split("\t")[2] for row in WRITERS["tsv"](found).splitlines()[1:]] == lines
    cues = WRITERS["srt"](found).strip().split("\n\n")
    assert [" ".join(cue.splitlines()[2:]) for cue in cues] == lines
    for cut, (one, other) in zip(found.endpoints, pairwise(found.segments()), strict=False):
        assert one.end <= cut <= other.start


def test_rules_are_the_users(digits: Recognizer) -> None:
    demo = Path(asr.__file__).parent / "demo" / "digits.flac"
    counts = [
        len(digits.transcribe(demo, segments=Segments(rules=EndpointRules(after_text=pause))).endpoints)
        for pause in (0.2, 0.8, 30.0)
    ]
    assert counts[0] > counts[1] > counts[2] == 0


def test_what_cannot_be_divided(untrained: Callable) -> None:
    with pytest.raises(ValueError, match="choose decoder or silero"):
        Segments("ear")
    whole = Recognizer.open(untrained(("<blank>", "a"), "word", normalization="utterance"))
    with pytest.raises(ModelError, match="normalises by the whole utterance"):
        whole.transcribe((np.zeros(RATE, np.float32), RATE), segments=Segments())
