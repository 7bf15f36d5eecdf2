"""Words that are probably wrong: marked for whoever reads the transcript, or left out of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from asr.transcript import Transcript, Word

MARK, DROP = "mark", "drop"


class DoubtError(ValueError):
    """No confidence can be compared with this."""


@dataclass(frozen=True)
class Doubt:
    """Which words are doubtful, and what becomes of them.

    Args:
        least: Confidence that a word must have, from 0 to 1; at 0 none is doubtful.
        below: `mark` those that have less, or `drop` them.

    Raises:
        DoubtError: one of them is something else.
    """

    least: float = 0.0
    below: str = MARK

    def __post_init__(self) -> None:
        if not 0 <= self.least <= 1:
            raise DoubtError(f"a least confidence of {self.least:g} cannot be: give one from 0 to 1")
        if self.below not in (MARK, DROP):
            raise DoubtError(f"doubtful words cannot be treated by {self.below!r}: {MARK} or {DROP}")

    @property
    def marks_below(self) -> float:
        """The confidence below which words are to be marked by whoever writes them."""
        return self.least if self.below == MARK else 0.0

    def kept(self, transcript: Transcript) -> Transcript:
        """The transcript without the words that are to be dropped."""
        return dropped(transcript, self.least) if self.below == DROP else transcript

    def kept_words(self, words: Sequence[Word]) -> list[Word]:
        """Those of the words that are not to be dropped."""
        return [word for word in words if self.below != DROP or word.confidence >= self.least]

    def line(self, words: Sequence[Word]) -> str:
        """The words as people read them, with single spaces."""
        return " ".join(
            mark(word.text) if word.confidence < self.marks_below else word.text for word in self.kept_words(words)
        )


def mark(text: str) -> str:
    """A doubtful word as people read it."""
    return f"[{text}?]"


def marked(transcript: Transcript, least: float) -> Transcript:
    """The transcript with `[word?]` for each word whose confidence is less than `least`."""
    return _rewritten(transcript, lambda word: mark(word.text) if word.confidence < least else word.text)


def dropped(transcript: Transcript, least: float) -> Transcript:
    """The transcript without the words whose confidence is less than `least`, and without their punctuation.

    Alternatives stay what was recognised; an utterance of which no word is left is left out with its own.
    """
    return _rewritten(transcript, lambda word: None if word.confidence < least else word.text)


def _rewritten(transcript: Transcript, write: Callable[[Word], str | None]) -> Transcript:
    """Each word written anew, or left out where that is none; white space and punctuation stay as they are."""
    words, pieces, stays = [], [], []
    for word, (space, piece) in zip(transcript.words, transcript.pieces(), strict=True):
        written = write(word)
        stays.append(written is not None)
        if written is not None:
            words.append(replace(word, text=written))
            # The first that stays has nothing before it, whatever was left out.
            pieces.append((space if pieces else "") + piece.replace(word.text, written, 1))
    if not transcript.words:
        return transcript
    left = iter(stays)
    counted = [(sum(islice(left, count)), of) for count, of in transcript.alternatives]
    alternatives = tuple((count, of) for count, of in counted if count)
    return replace(transcript, words=tuple(words), text="".join(pieces), alternatives=alternatives)
