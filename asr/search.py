"""How words are looked for in the scores: greedily, or by a beam search with a language model and hot words.

Without any of these a `Search` is greedy. It is made once for a model, since the tree of a large vocabulary takes a
moment, and serves any number of recordings and streams.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from asr.flashlight import Flashlight, SearchError
from asr.lexicon import Lexicon, LexiconTokens
from asr.tokens import SPACE, TokenError, Tokens
from inference.beam import BeamDecoder, Fusion
from inference.ctc import GreedyDecoder
from inference.fusion import LabelModel, WithHotWords, WordModel
from inference.hotwords import HotWords
from inference.lexicon import LexiconModel
from inference.ngram import NgramModel
from inference.session import Decoder

BEAM = 32  # where a language model or hot words ask for one
BOOST = 3.0  # a hot word wins where it has a twentieth of the probability of what it stands against


@dataclass(frozen=True)
class SearchConfig:
    """What is known beside the scores. The defaults are not tuned: choose on recordings that are not tested on.

    Args:
        beam: Hypotheses kept; 0 is greedy, unless there is a language model or hot words.
        lm: Language model over words, or over the model's own labels (letters and <space>), as an ARPA file.
        lm_weight: What its log probabilities are multiplied by.
        word_bonus: Gain of each word (or label) in nats, against the shortness that a language model prefers.
        unknown_bonus: Gain of a word that the language model does not know, besides; -1000 allows for none.
        hot_words: Words and phrases to be expected, with their boosts in nats.
        alternatives: Texts of each utterance that are given at most, the best one among them; 0 gives none. A list
            needs a beam some times as wide.
        lexicon: Words that may be written, and no others, as `asr.lexicon` reads them.
        decoder: `beam` is our own; `flashlight` is flashlight-text's, which takes a lexicon, reads KenLM's binary
            files, and searches whole utterances.

    Raises:
        SearchError: one of them is out of range.
    """

    beam: int = 0
    lm: str | Path | None = None
    lm_weight: float = 0.8
    word_bonus: float = 1.0
    unknown_bonus: float = -5.0
    hot_words: Mapping[str, float] = field(default_factory=dict)
    alternatives: int = 0
    lexicon: str | Path | None = None
    decoder: Literal["beam", "flashlight"] = "beam"

    def __post_init__(self) -> None:
        for name in ("beam", "alternatives"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 0:
                raise SearchError(f"{name} is {getattr(self, name)}; give a whole number from 0 on")
        if 0 < self.beam < self.alternatives:
            raise SearchError(
                f"a beam of {self.beam} has no {self.alternatives} alternatives; give one several times that"
            )
        gains = {name: getattr(self, name) for name in ("lm_weight", "word_bonus", "unknown_bonus")}
        gains.update((f"the boost of {text!r}", nats) for text, nats in self.hot_words.items())
        for name, value in gains.items():
            if not math.isfinite(value):
                raise SearchError(f"{name} is {value}; give a number")
        if self.decoder not in ("beam", "flashlight"):
            raise SearchError(f"decoder is {self.decoder!r}; it is beam or flashlight")
        if self.decoder == "flashlight" and self.lexicon is None:
            raise SearchError("the decoder flashlight needs a lexicon of the words that it may write")
        if self.decoder == "flashlight" and self.hot_words:
            raise SearchError("the decoder flashlight takes no hot words; the decoder beam does")


class Search:
    """Finds the labels in scores.

    Args:
        tokens: The labels.
        config: What is known beside the scores.

    Attributes:
        beam: Hypotheses kept; 0 is greedy.
        alternatives: Texts of each utterance that are asked for at most.
        tokens: The labels, or symbols, of its emissions.
        of_utterances: Whether it can only search utterances as wholes.

    Raises:
        SearchError: hot words cannot be written with the labels, or none of the language model's words can.
        inference.ngram.NgramError: the language model cannot be read.
    """

    def __init__(self, tokens: Tokens, config: SearchConfig | None = None):
        config = config or SearchConfig()
        self.tokens = tokens if config.lexicon is None else LexiconTokens(tokens, Lexicon.read(config.lexicon, tokens))
        self.of_utterances = config.decoder == "flashlight"
        self._flashlight = Flashlight(self.tokens, config) if self.of_utterances else None
        self._fusion = None if self.of_utterances else _fusion(self.tokens, config)
        self.alternatives = config.alternatives
        known = self._fusion is not None or self.of_utterances or config.alternatives > 0
        self.beam = config.beam or (max(BEAM, 4 * config.alternatives) if known else 0)

    def decoder(self) -> Decoder:
        """A fresh decoder of a stream."""
        if self._flashlight is not None:
            return self._flashlight.decoder(self.beam)
        if not self.beam:
            return GreedyDecoder()
        sounds = self.tokens.spellings.sounds if isinstance(self.tokens, LexiconTokens) else None
        return BeamDecoder(beam=self.beam, fusion=self._fusion, sounds=sounds)


def _fusion(tokens: Tokens, config: SearchConfig) -> Fusion | None:
    if isinstance(tokens, LexiconTokens):
        return _lexicon(tokens, config)
    hot = _hot_words(tokens, config.hot_words) if config.hot_words else None
    if config.lm is None:
        return hot
    model = _language_model(tokens, NgramModel.read(config.lm), config)
    return model if hot is None else WithHotWords(model, hot)


def _lexicon(tokens: LexiconTokens, config: SearchConfig) -> LexiconModel:
    words = tokens.lexicon.words
    model, numbers_W, bonus_W = None, [0] * len(words), [0.0] * len(words)
    if config.lm is not None:
        model = NgramModel.read(config.lm)
        numbers = {tokens.normalize(word): number for number, word in reversed(tuple(enumerate(model.words)))}
        numbers_W = [model.id(word) for word in words]
        numbers_W = [
            numbers.get(tokens.normalize(word), model.unknown) if number == model.unknown else number
            for word, number in zip(words, numbers_W, strict=True)
        ]
        if all(number == model.unknown for number in numbers_W):
            raise SearchError(f"{config.lm}: knows none of the words in {config.lexicon}; make one of texts with them")
        bonus_W = [
            config.word_bonus + (config.unknown_bonus if number == model.unknown else 0.0) for number in numbers_W
        ]
    hot = None
    if config.hot_words:
        phrases: dict[tuple[int, ...], float] = {}
        for text, boost in config.hot_words.items():
            found = tokens.lexicon.find(text)
            if not found:
                raise SearchError(f"hot word {text!r}: is not in {config.lexicon}; add it there, or leave it out")
            phrases[tuple(found)] = boost
        hot = HotWords(phrases, labels=len(words), space=None)
    return LexiconModel(
        tokens.spellings,
        model=model,
        numbers_W=numbers_W,
        bonus_W=bonus_W,
        weight=config.lm_weight,
        space=tokens.space,
        hot_words=hot,
    )


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


def _language_model(tokens: Tokens, lm: NgramModel, config: SearchConfig) -> Fusion:
    settings = {"weight": config.lm_weight, "bonus": config.word_bonus, "unknown_bonus": config.unknown_bonus}
    if tokens.space is None or SPACE in lm.words:
        # Of what the labels are of: words, or letters.
        numbers = {tokens.normalize(word): number for number, word in reversed(tuple(enumerate(lm.words)))}
        numbers.update((word, number) for number, word in enumerate(lm.words))  # of an apostrophe alone nothing is left
        numbers[SPACE] = lm.id(SPACE)
        words_V = [lm.unknown, *(numbers.get(label, lm.unknown) for label in tokens.labels[1:])]
        if all(word == lm.unknown for word in words_V):
            unit = "words" if tokens.unit == "word" else "letters"
            raise SearchError(f"{config.lm}: knows none of the model's {unit}; make one of texts that have them")
        return LabelModel(lm, words_V, unknown=lm.unknown, **settings)
    spellings = [_spelling(tokens, word) for word in lm.words]
    if not any(spellings):
        raise SearchError(f"{config.lm}: none of its words can be written with the model's letters")
    return WordModel(lm, spellings, unknown=lm.unknown, labels=len(tokens.labels), space=tokens.space, **settings)


def _spelling(tokens: Tokens, word: str) -> Sequence[int] | None:
    """Labels of a word of the language model; none for what is not written, such as <s>, or has other letters."""
    if word.startswith("<") and word.endswith(">"):
        return None
    try:
        labels = tokens.encode(word)
    except TokenError:
        return None
    return None if tokens.space in labels else labels


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
