"""When each word of a known text was said: forced alignment, in which words that were not said may be left out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import asr
from asr.formats import WRITERS, Options, write
from asr.recognizer import Recognizer
from asr.tokens import TokenError, Tokens
from asr.transcript import Transcript, Word
from features import audio
from inference.forced import align_words

# Leaving a word out costs so many nats, and so many more for each of its labels: a word whose labels are less likely to
# the model than that was not said.
PRICE, PRICE_OF_LABEL = 4.0, 2.0
PRICE_OF_SPACE = 0.5

LARGEST = 2_000_000_000
"""Bytes that an alignment may take: some forty minutes of speech."""


class AlignError(ValueError):
    """The text and the recording do not go together; the message says what to do."""


class Missing(NamedTuple):
    """A word of the text that was not said: its place among the words, counted from 0, and in time, in seconds."""

    text: str
    number: int
    time: float


class Aligned(NamedTuple):
    """The words that were said, with their times, and those that were not. The transcript's text has them all."""

    transcript: Transcript
    missing: tuple[Missing, ...]


def align_text(recognizer: Recognizer, source: audio.Source, text: str) -> Aligned:
    """The words of `text`, as they are written there, with their times in `source`.

    What has neither letters nor digits, such as a dash on its own, belongs to no word and has no time.

    Args:
        recognizer: The model.
        source: A recording.
        text: What is said in it, to be seen.

    Raises:
        AlignError: the text has no words, or letters that the model does not know, or text and recording are too long.
        features.audio.AudioError: the recording cannot be read.
    """
    text = " ".join(text.split())
    tokens = recognizer.tokens
    spelled = [(written, labels) for written in text.split() if (labels := _labels(tokens, written))]
    if not spelled:
        raise AlignError("has no words: give what is said in the recording")
    scores_TV, seconds = recognizer.scores(source)
    pieces, prices = _with_spaces(tokens, [labels for _, labels in spelled])
    if len(scores_TV) * (2 * sum(map(len, pieces)) + 4 * len(pieces)) > LARGEST:
        raise AlignError(f"{len(spelled)} words in {seconds:.0f} s are too much at once: divide both at a pause")
    found = align_words(scores_TV, pieces, prices)[:: 2 if len(pieces) > len(spelled) else 1]
    step = recognizer.model.step_seconds
    words: list[Word] = []
    missing: list[Missing] = []
    for number, ((written, _), own) in enumerate(zip(spelled, found, strict=True)):
        if own is None:
            missing.append(Missing(written, number, words[-1].end if words else 0.0))
            continue
        start, end = (min(frame * step, seconds) for frame in (own[0].start, own[-1].end))
        words.append(Word(written, start, end, sum(one.score for one in own) / len(own)))
    return Aligned(Transcript(tuple(words), seconds, text, recognizer.model.name), tuple(missing))


def align_file(
    recording: str, text: str, *, model: str, format: str = "ctm", output: str | None = None, threads: int = 1
) -> int:
    """Align a text file with a recording, and print or write it; what was not said is named on standard error.

    Args:
        recording: Sound file, or - for standard input.
        text: Text file in UTF-8.
        model: Shipped model or model directory.
        format: One of `asr.formats.WRITERS`.
        output: File to write; none prints.
        threads: Threads for scoring.

    Returns:
        0, also where words were not said.

    Raises:
        AlignError: the text cannot be read, or does not go with the recording.
    """
    try:
        words = Path(text).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise AlignError(f"{text}: is not text in UTF-8: save it so") from None
    try:
        transcript, missing = align_text(asr.load(model, threads=threads), recording, words)
    except AlignError as error:
        raise AlignError(f"{text}: {error}") from None
    options = Options(recording=Path(recording).stem)
    if output is None:
        print(WRITERS[format](transcript, options), end="")
    else:
        write(transcript, output, format, options)
    for word in missing:
        print(
            f"asr: {text}: word {word.number + 1}, {word.text!r}, is not said (about {word.time:.2f} s)",
            file=sys.stderr,
        )
    return 0


def _labels(tokens: Tokens, written: str) -> list[int]:
    try:
        return tokens.encode(written)
    except TokenError as error:
        raise AlignError(f"{error}: write it as it is said") from None


def _with_spaces(tokens: Tokens, words: list[list[int]]) -> tuple[list[list[int]], list[float]]:
    """The words, with spaces between them where the model writes them, and what leaving each of these out costs."""
    prices = [PRICE + PRICE_OF_LABEL * len(labels) for labels in words]
    if tokens.space is None:
        return words, prices
    pieces = [piece for labels in words for piece in (labels, [tokens.space])][:-1]
    return pieces, [price for one in prices for price in (one, PRICE_OF_SPACE)][:-1]
