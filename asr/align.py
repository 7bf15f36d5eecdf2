"""When each word of a known text was said: forced alignment, in which words that were not said may be left out."""

from __future__ import annotations

import sys
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np

import asr
from asr.formats import WRITERS, Options, write
from asr.lexicon import Lexicon
from asr.recognizer import Recognizer
from asr.tokens import TokenError, Tokens
from asr.transcript import Missing, Transcript
from features import audio
from inference.ctc import Emission
from inference.files import read_text
from inference.forced import align_words, log_likelihood

# Leaving a word out costs so many nats, and so many more for each of its labels: a word whose labels are less likely to
# the model than that was not said.
PRICE, PRICE_OF_LABEL = 4.0, 2.0
PRICE_OF_SPACE = 0.5

LARGEST = 2_000_000_000
"""Bytes that an alignment may take: some forty minutes of speech."""


class AlignError(ValueError):
    """The text and the recording do not go together; the message says what to do."""


class Aligned(NamedTuple):
    """The words that were said, with their times, and those that were not. The transcript's text has them all."""

    transcript: Transcript
    missing: tuple[Missing, ...]


def align_text(recognizer: Recognizer, source: audio.Source, text: str, *, lexicon: Lexicon | None = None) -> Aligned:
    """The words of `text`, as they are written there, with their times in `source`.

    What has neither letters nor digits, such as a dash on its own, belongs to no word and has no time. Words of letters
    or phones have these as their parts: each begins where it was recognised, and lasts until the next one.

    Args:
        recognizer: The model.
        source: A recording.
        text: What is said in it, to be seen.
        lexicon: Of which phones the words are made, for a model whose labels are phones. Of several ways to say a word
            the one is taken that goes best with the sound from the word before to the one after.

    Raises:
        AlignError: a word is not in the lexicon, the text has no words, or letters that the model does not know, or
            text and recording are too long.
        features.audio.AudioError: the recording cannot be read.
    """
    text = " ".join(text.split())
    tokens = recognizer.tokens
    spelled = [(written, ways) for written in text.split() if (ways := _ways(tokens, lexicon, written))]
    if not spelled:
        raise AlignError("has no words: give what is said in the recording")
    scores_TV, seconds = recognizer.scores(source)
    chosen = [ways[0] for _, ways in spelled]
    if len(scores_TV) * sum(2 * len(labels) + 10 for labels in chosen) > LARGEST:
        raise AlignError(f"{len(spelled)} words in {seconds:.0f} s are too much at once: divide both at a pause")
    found = _aligned(tokens, scores_TV, chosen)
    better = _best_ways(scores_TV, [ways for _, ways in spelled], found)
    if better != chosen:
        found = _aligned(tokens, scores_TV, better)
    said = [(written, own) for (written, _), own in zip(spelled, found, strict=True) if own is not None]
    words = recognizer.words.made(said, latest=seconds, parts=lexicon is not None or tokens.unit == "char")
    missing, done = [], 0
    for number, ((written, _), own) in enumerate(zip(spelled, found, strict=True)):
        if own is None:
            missing.append(Missing(written, number, words[done - 1].end if done else 0.0))
        done += own is not None
    return Aligned(Transcript(tuple(words), seconds, text, recognizer.model.name), tuple(missing))


def _aligned(tokens: Tokens, scores_TV: np.ndarray, words: list[list[int]]) -> list[list[Emission] | None]:
    pieces, prices = _with_spaces(tokens, words)
    return align_words(scores_TV, pieces, prices)[:: 2 if len(pieces) > len(words) else 1]


def _best_ways(
    scores_TV: np.ndarray, ways: list[list[list[int]]], found: list[list[Emission] | None]
) -> list[list[int]]:
    """The way of each word whose labels are likeliest from the end of the word before to the start of the one after."""
    # A word that was left out lies at the end of the one before it and the start of the one after.
    ends = list(accumulate((own[-1].end if own else 0 for own in found), max, initial=0))[:-1]
    starts = accumulate(
        (own[0].start if own else len(scores_TV) for own in reversed(found)), min, initial=len(scores_TV)
    )
    between = zip(ends, reversed(list(starts)[:-1]), strict=True)
    return [
        of[0] if len(of) == 1 else max(of, key=lambda labels: log_likelihood(scores_TV[begin:end], labels))
        for of, (begin, end) in zip(ways, between, strict=True)
    ]


def align_file(
    recording: str,
    text: str,
    *,
    model: str,
    format: str | None = None,
    output: str | None = None,
    threads: int = 1,
    lexicon: str | None = None,
) -> int:
    """Align a text file with a recording, and print or write it; what was not said is named on standard error.

    Args:
        recording: Sound file, or - for standard input.
        text: Text file in UTF-8.
        model: Shipped model or model directory.
        format: One of `asr.formats.WRITERS`; if not given, the one that `output` ends in, and else ctm.
        output: File to write; none prints.
        threads: Threads for scoring.
        lexicon: File with the phones of the words; see `asr.lexicon`.

    Returns:
        0, also where words were not said.

    Raises:
        AlignError: the text cannot be read, or does not go with the recording.
    """
    words = read_text(text, error=AlignError)
    try:
        recognizer = asr.load(model, threads=threads)
        phones = None if lexicon is None else Lexicon.read(lexicon, recognizer.tokens)
        transcript, missing = align_text(recognizer, recording, words, lexicon=phones)
    except AlignError as error:
        raise AlignError(f"{text}: {error}") from None
    options = Options(
        recording=Path(recording).stem,
        parts="letters" if recognizer.tokens.unit == "char" else "phones",
        missing=missing,
    )
    format = format or _format_of(output)
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


def _format_of(output: str | None) -> str:
    ending = Path(output or "").suffix.lower().removeprefix(".")
    return ending if ending in WRITERS else "ctm"


def _ways(tokens: Tokens, lexicon: Lexicon | None, written: str) -> list[list[int]]:
    """The ways to say a word, as labels; none of what has neither letters nor digits."""
    if lexicon is not None:
        if not (plain := tokens.normalize(written)):
            return []
        if not (ways := lexicon.ways(plain)):
            raise AlignError(f"{plain!r} is not in the lexicon: add a line with its phones")
        return ways
    try:
        return [labels] if (labels := tokens.encode(written)) else []
    except TokenError as error:
        raise AlignError(f"{error}: write it as it is said") from None


def _with_spaces(tokens: Tokens, words: list[list[int]]) -> tuple[list[list[int]], list[float]]:
    """The words, with spaces between them where the model writes them, and what leaving each of these out costs."""
    prices = [PRICE + PRICE_OF_LABEL * len(labels) for labels in words]
    if tokens.space is None:
        return words, prices
    pieces = [piece for labels in words for piece in (labels, [tokens.space])][:-1]
    return pieces, [price for one in prices for price in (one, PRICE_OF_SPACE)][:-1]
