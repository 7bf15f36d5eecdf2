"""What a recogniser returns for one recording: the text, its words with their times, and the pauses that divide it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple


class Part(NamedTuple):
    """A letter or phone of a word, from `start` to `end` in seconds, with the score of its label in [0, 1]."""

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Word:
    """One word as it was recognised, from `start` to `end` in seconds.

    Its `confidence` in [0, 1] is the probability that it is right, as far as the model is calibrated, and else the mean
    score of its labels. `parts` are its letters or phones, in order, where they were asked for.
    """

    text: str
    start: float
    end: float
    confidence: float
    parts: tuple[Part, ...] = ()

    def __post_init__(self) -> None:
        assert 0 <= self.start <= self.end, f"times of {self}"
        assert 0 <= self.confidence <= 1, f"confidence of {self}"


def mean_confidence(words: Sequence[Word]) -> float:
    """The share of these words that can be expected to be right."""
    return sum(word.confidence for word in words) / len(words)


class Missing(NamedTuple):
    """A word of a given text that was not said: its place among the words, counted from 0, and in time, in seconds."""

    text: str
    number: int
    time: float


@dataclass(frozen=True, slots=True)
class Alternative:
    """One of the texts that an utterance may be.

    `score` is what the search gave it: a log probability in nats, with the gains of language model and hot words.
    `share`, in [0, 1], is its part of the probability of all texts in the list (a softmax of the scores).
    """

    text: str
    score: float
    share: float


@dataclass(frozen=True, slots=True)
class Segment:
    """Words that follow each other without a long pause; `start` and `end` in seconds are those of its words.

    `alternatives` are the texts that it may be, its own first, if they were asked for.
    """

    text: str
    words: tuple[Word, ...]
    alternatives: tuple[Alternative, ...] = ()

    @property
    def start(self) -> float:
        return self.words[0].start

    @property
    def end(self) -> float:
        return self.words[-1].end

    @property
    def confidence(self) -> float:
        """The mean of its words'."""
        return mean_confidence(self.words)


@dataclass(frozen=True, slots=True)
class Transcript:
    """The words of one recording in their order.

    `text` is the whole of it, with whatever the script puts between words; each word occurs in it, in the same order.
    `duration` is the length of the recording in seconds, `model` the name of the model that heard it. `endpoints` are
    the seconds at which it was divided before it was recognised; none says that it was heard as one. Where they were
    asked for, `alternatives` has for each utterance the number of its words and the texts that it may be, its own
    first.
    """

    words: tuple[Word, ...]
    duration: float
    text: str
    model: str = ""
    endpoints: tuple[float, ...] | None = None
    alternatives: tuple[tuple[int, tuple[Alternative, ...]], ...] = ()

    def __post_init__(self) -> None:
        read = 0
        for word in self.words:
            found = self.text.find(word.text, read)
            assert found >= 0, f"{word} does not follow in the text {self.text!r}"
            read = found + len(word.text)
        assert not self.alternatives or sum(count for count, _ in self.alternatives) == len(self.words), "of all words"

    def pieces(self) -> list[tuple[str, str]]:
        """Each word as (what divides it from the word before, the word with the punctuation that touches it).

        The first is the white space between them, and empty where the script has none. Joined, the pieces are the text.
        """
        pieces: list[tuple[str, str]] = []
        read = 0
        for word in self.words:
            found = self.text.index(word.text, read)
            between = self.text[read:found]
            if pieces:
                behind, space, ahead = _divided(between)
                pieces[-1] = (pieces[-1][0], pieces[-1][1] + behind)
            else:
                space, ahead = "", between
            pieces.append((space, ahead + word.text))
            read = found + len(word.text)
        if pieces:
            pieces[-1] = (pieces[-1][0], pieces[-1][1] + self.text[read:])
        return pieces

    @property
    def confidence(self) -> float | None:
        """The share of its words that can be expected to be right, the mean of their confidences; none without words.

        Words that were left out do not show in it.
        """
        return mean_confidence(self.words) if self.words else None

    def segments(self, *, pause: float = 1.0) -> list[Segment]:
        """The transcript in pieces, none of them empty.

        Where the recording was divided, so is the transcript, and one with alternatives into the utterances that they
        are of; else where at least `pause` seconds of silence lie between two words.
        """
        borders = [0, *self.cuts(pause=pause), len(self.words)] if self.words else []
        pieces = self.pieces()
        lists = [of for _, of in self.alternatives] or [()] * (len(borders) - 1)
        return [
            Segment(
                "".join(space + piece for space, piece in pieces[first:behind]).strip(), self.words[first:behind], of
            )
            for (first, behind), of in zip(pairwise(borders), lists, strict=True)
        ]

    def cuts(self, *, pause: float = 1.0) -> list[int]:
        """Numbers of the words, but for the first, that begin a segment."""
        if self.alternatives:
            return list(accumulate(count for count, _ in self.alternatives))[:-1]
        if self.endpoints is None:
            return [k for k in range(1, len(self.words)) if self.words[k].start - self.words[k - 1].end >= pause]
        stretch = [bisect_right(self.endpoints, word.start) for word in self.words]
        return [k for k in range(1, len(stretch)) if stretch[k] != stretch[k - 1]]


def _divided(between: str) -> tuple[str, str, str]:
    """What stands between two words: what belongs to the first, the last white space, what belongs to the second."""
    behind_space = 1 + max((k for k, letter in enumerate(between) if letter.isspace()), default=-1)
    if not behind_space:
        return between, "", ""
    behind = between[:behind_space].rstrip()
    return behind, between[len(behind) : behind_space], between[behind_space:]
