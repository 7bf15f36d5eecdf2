"""How words are looked for in the scores: greedily, or by a beam search with a language model and hot words.

Without any of these a `Search` is greedy. It is made once for a model, since the tree of a large vocabulary takes a
moment, and serves any number of recordings and streams.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from asr import language_models
from asr.language_models import AnyLanguageModel
from asr.tokens import SPACE, TokenError, Tokens
from inference.beam import BeamDecoder, Fusion
from inference.ctc import GreedyDecoder
from inference.fusion import LabelModel, Together, WithHotWords, WordModel
from inference.hotwords import HotWords
from inference.in_a_row import InARow
from inference.lstm_lm import LstmModel
from inference.session import Decoder

BEAM = 32  # where a language model or hot words ask for one
BOOST = 3.0  # a hot word wins where it has a twentieth of the probability of what it stands against


class SearchError(ValueError):
    """A language model or hot words that do not go with the model; the message says why."""


@dataclass(frozen=True)
class SearchConfig:
    """What is known beside the scores. The defaults are not tuned: choose on recordings that are not tested on.

    Args:
        beam: Hypotheses kept; 0 is greedy, unless there is a language model or hot words.
        lm: Language model over words, or over the model's own labels (letters and <space>): an ARPA file, or the
            directory of an LSTM. Of several, a mapping from each to its weight, or to none; their log probabilities add
            up.
        lm_weight: What its log probabilities are multiplied by; those of several without a weight share it.
        word_bonus: Gain of each word (or label) in nats, against the shortness that a language model prefers; each of
            several gives its share.
        unknown_bonus: Gain of a word that the language model does not know, besides; -1000 allows for none. Each of
            several that does not know it gives its share.
        hot_words: Words and phrases to be expected, with their boosts in nats.

    Raises:
        SearchError: one of them is out of range.
    """

    beam: int = 0
    lm: str | Path | Mapping[str, float | None] | None = None
    lm_weight: float = 0.8
    word_bonus: float = 1.0
    unknown_bonus: float = -5.0
    hot_words: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.beam, int) or self.beam < 0:
            raise SearchError(f"beam is {self.beam}; give a whole number from 0 on")
        gains = {name: getattr(self, name) for name in ("lm_weight", "word_bonus", "unknown_bonus")}
        gains.update((f"the boost of {text!r}", nats) for text, nats in self.hot_words.items())
        gains.update((f"the weight of {path}", weight) for path, weight in self.language_models().items())
        for name, value in gains.items():
            if not math.isfinite(value):
                raise SearchError(f"{name} is {value}; give a number")

    def language_models(self) -> dict[str | Path, float]:
        """The language models and their weights."""
        given = self.lm if isinstance(self.lm, Mapping) else {} if self.lm is None else {self.lm: None}
        return {path: self.lm_weight / len(given) if weight is None else weight for path, weight in given.items()}

    def files(self) -> list[Path]:
        """The files that the language models are in."""
        paths = map(Path, self.language_models())
        return [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])]

    def absolute(self) -> SearchConfig:
        """The same, wherever a program runs."""
        if isinstance(self.lm, Mapping):
            return replace(self, lm={os.path.abspath(path): weight for path, weight in self.lm.items()})
        return self if self.lm is None else replace(self, lm=os.path.abspath(self.lm))


class Search:
    """Finds the labels in scores.

    Args:
        tokens: The labels.
        config: What is known beside the scores.

    Raises:
        SearchError: hot words cannot be written with the labels, or none of the language model's words can.
        inference.ngram.NgramError, inference.model.ModelError: a language model cannot be read.
    """

    def __init__(self, tokens: Tokens, config: SearchConfig | None = None):
        config = config or SearchConfig()
        self._fusion = _fusion(tokens, config)
        self.beam = config.beam or (0 if self._fusion is None else BEAM)

    def decoder(self) -> Decoder:
        """A fresh decoder of a stream."""
        return BeamDecoder(beam=self.beam, fusion=self._fusion) if self.beam else GreedyDecoder()


def _fusion(tokens: Tokens, config: SearchConfig) -> Fusion | None:
    hot = _hot_words(tokens, config.hot_words) if config.hot_words else None
    weights = config.language_models()
    if not weights:
        return hot
    # What a word gains beside its probability, it gains once.
    bonuses = {"bonus": config.word_bonus / len(weights), "unknown_bonus": config.unknown_bonus / len(weights)}
    models: list[Fusion] = [
        _language_model(tokens, language_models.read(path), str(path), weight=weight, **bonuses)
        for path, weight in weights.items()
    ]
    model = models[0] if len(models) == 1 else Together(models)
    return model if hot is None else WithHotWords(model, hot)


def _hot_words(tokens: Tokens, boosts: Mapping[str, float]) -> HotWords:
    phrases: dict[tuple[int, ...], float] = {}
    for text, boost in boosts.items():
        try:
            labels = tuple(tokens.encode(text))
        except TokenError as error:
            raise SearchError(f"hot word {text!r}: {error}; the model cannot write it") from None
        if not labels:
            raise SearchError(f"hot word {text!r}: holds neither letters nor digits")
        phrases[labels] = boost
    return HotWords(phrases, labels=len(tokens.labels), space=tokens.space)


def _language_model(tokens: Tokens, lm: AnyLanguageModel, path: str, **settings: float) -> Fusion:
    letters = language_models.unit(lm) == "letter"
    # Where a sentence ends nobody says. N-grams forget it by themselves.
    model = InARow(lm, end=lm.end, space=lm.id(SPACE) if letters else None) if isinstance(lm, LstmModel) else lm
    if tokens.space is None or letters:
        # Of what the labels are of: words, or letters.
        numbers = {tokens.normalize(word): number for number, word in reversed(tuple(enumerate(lm.words)))}
        numbers.update((word, number) for number, word in enumerate(lm.words))  # of an apostrophe alone nothing is left
        numbers[SPACE] = lm.id(SPACE)
        words_V = [lm.unknown, *(numbers.get(label, lm.unknown) for label in tokens.labels[1:])]
        if all(word in (lm.unknown, lm.id(SPACE)) for word in words_V):
            unit = "words" if tokens.unit == "word" else "letters"
            raise SearchError(f"{path}: knows none of the model's {unit}; make one of texts that have them")
        return LabelModel(model, words_V, unknown=lm.unknown, **settings)
    spellings = [_spelling(tokens, word) for word in lm.words]
    if not any(spellings):
        raise SearchError(f"{path}: none of its words can be written with the model's letters")
    return WordModel(model, spellings, unknown=lm.unknown, labels=len(tokens.labels), space=tokens.space, **settings)


def _spelling(tokens: Tokens, word: str) -> Sequence[int] | None:
    """Labels of a word of the language model; none for what is not written, such as <s>, or has other letters."""
    if word.startswith("<") and word.endswith(">"):
        return None
    try:
        labels = tokens.encode(word)
    except TokenError:
        return None
    return None if tokens.space in labels else labels


def language_model(given: str) -> tuple[str, float | None]:
    """A language model as it is given on a command line, `PATH` or `PATH=WEIGHT`, and its weight if it has one.

    Raises:
        SearchError: what stands behind the = is no number.
    """
    path, stands, weight = given.rpartition("=")
    return (path, _number(weight, f"--lm {given}")) if stands and not Path(given).exists() else (given, None)


def hot_word(given: str, *, boost: float = BOOST) -> tuple[str, float]:
    """A hot word as it is given on a command line, `TEXT` or `TEXT=NATS`, and its boost.

    Raises:
        SearchError: what stands behind the = is no number.
    """
    text, stands, nats = given.rpartition("=")
    return (text, _number(nats, f"--hot-word {given}")) if stands else (given, boost)


def read_hot_words(path: str | Path, *, boost: float = BOOST) -> dict[str, float]:
    """Hot words from a text file: one word or phrase on a line, if need be with its boost behind a tab.

    Args:
        path: The file, in UTF-8. Empty lines, and those that begin with #, are left out.
        boost: Of the lines without one.

    Raises:
        SearchError: it is not text, or has no words, or a boost is no number; the message names the line.
        OSError: it cannot be read.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise SearchError(f"{path}: is not text in UTF-8: save it so") from None
    found: dict[str, float] = {}
    for number, line in enumerate(lines, start=1):
        text, tab, given = line.partition("\t")
        if not text.strip() or text.startswith("#"):
            continue
        found[text.strip()] = _number(given, f"{path}: line {number}") if tab else boost
    if not found:
        raise SearchError(f"{path}: holds no words")
    return found


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SearchError(f"{where}: {text!r} is not a number")
    return value
