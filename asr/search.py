"""How words are looked for in the scores: greedily, or by a beam search with a language model and hot words.

Without any of these a `Search` is greedy. It is made once for a model, since the tree of a large vocabulary takes a
moment, and serves any number of recordings and streams.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from asr.flashlight import LACKING, Flashlight, SearchError
from asr.knowledge import Knowledge, Known
from asr.lexicon import LexiconTokens
from asr.tokens import TokenError, Tokens
from inference.beam import PRUNE, BeamDecoder, Fusion
from inference.ctc import GreedyDecoder
from inference.files import read_text
from inference.fusion import LabelModel, Together, WithHotWords, WordModel
from inference.hotwords import HotWords
from inference.lexicon import LexiconModel
from inference.session import Decoder

BEAM = 32  # where a language model or hot words ask for one
BOOST = 3.0  # a hot word wins where it has a twentieth of the probability of what it stands against


@dataclass(frozen=True)
class SearchConfig:
    """What is known beside the scores. The defaults are not tuned: choose on recordings that are not tested on.

    Args:
        beam: Hypotheses kept; 0 is greedy, unless there is a language model or hot words.
        prune: In each step labels that are so many nats less probable than the best one are not looked at. Fewer make
            the search faster, and leave less to what is known beside the scores.
        lm: Language model over words, or over the model's own labels (letters and <space>): a file of n-grams, ARPA or
            compact, or the directory of an LSTM. Of several, a mapping from each to its weight, or to none; their log
            probabilities add up.
        lm_weight: What its log probabilities are multiplied by; those of several without a weight share it.
        word_bonus: Gain of each word (or label) in nats, against the shortness that a language model prefers; each of
            several gives its share.
        unknown_bonus: Gain of a word that the language model does not know, besides; -1000 allows for none. Each of
            several that does not know it gives its share; flashlight gives none.
        prior_weight: Share of the labels' log priors that is taken off the scores, for labels that a network trained by
            CTC is too shy to give, all but the blank; 0 searches the scores as they are.
        log_priors: Log priors of all labels (V), which models carry where `asr tune` has stored them.
        hot_words: Words and phrases to be expected, with their boosts in nats.
        alternatives: Texts of each utterance that are given at most, the best one among them; 0 gives none. A list
            needs a beam some times as wide.
        lexicon: Words that may be written, and no others, as `asr.lexicon` reads them.
        decoder: `beam` is our own; `flashlight` is flashlight-text's, which takes a lexicon, reads ARPA and KenLM's
            binary files, and searches whole utterances.

    Raises:
        SearchError: one of them is out of range.
    """

    beam: int = 0
    prune: float = PRUNE
    lm: str | Path | Mapping[str, float | None] | None = None
    lm_weight: float = 0.8
    word_bonus: float = 1.0
    unknown_bonus: float = -5.0
    prior_weight: float = 0.0
    log_priors: tuple[float, ...] | None = None
    hot_words: Mapping[str, float] = field(default_factory=dict)
    alternatives: int = 0
    lexicon: str | Path | None = None
    decoder: Literal["beam", "flashlight"] = "beam"

    def __post_init__(self) -> None:
        for name in ("beam", "alternatives"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 0:
                raise SearchError(f"{name} is {getattr(self, name)}; give a whole number from 0 on")
        if not 0 <= self.prune < math.inf:
            raise SearchError(f"prune is {self.prune}; give a number of nats from 0 on")
        if 0 < self.beam < self.alternatives:
            raise SearchError(
                f"a beam of {self.beam} has no {self.alternatives} alternatives; give one several times that"
            )
        gains = {name: getattr(self, name) for name in ("lm_weight", "word_bonus", "unknown_bonus", "prior_weight")}
        gains.update((f"the boost of {text!r}", nats) for text, nats in self.hot_words.items())
        gains.update((f"the weight of {path}", weight) for path, weight in self.language_models().items())
        for name, value in gains.items():
            if not math.isfinite(value):
                raise SearchError(f"{name} is {value}; give a number")
        if self.prior_weight < 0:
            raise SearchError(f"prior_weight is {self.prior_weight:g}; give a number from 0 on")
        if self.decoder not in ("beam", "flashlight"):
            raise SearchError(f"decoder is {self.decoder!r}; it is beam or flashlight")
        if self.decoder == "flashlight" and self.lexicon is None:
            raise SearchError("the decoder flashlight needs a lexicon of the words that it may write")
        if self.decoder == "flashlight" and any(Path(path).is_dir() for path in self.language_models()):
            raise SearchError("the decoder flashlight takes no LSTM; the decoder beam does")
        if self.decoder == "flashlight" and len(self.language_models()) > 1:
            raise SearchError("the decoder flashlight takes one language model; the decoder beam takes several")
        if self.decoder == "flashlight" and self.hot_words:
            raise SearchError("the decoder flashlight takes no hot words; the decoder beam does")
        for name in LACKING:
            if self.decoder == "flashlight" and getattr(self, name) != getattr(SearchConfig, name):
                raise SearchError(f"the decoder flashlight takes no {name}; the decoder beam does")

    @property
    def width(self) -> int:
        """Hypotheses that are kept, as `beam` says or what else there is asks for; 0 is greedy."""
        known = self.language_models() or self.hot_words or self.lexicon is not None or self.alternatives
        return self.beam or (max(BEAM, 4 * self.alternatives) if known else 0)

    def language_models(self) -> dict[str | Path, float]:
        """The language models and their weights."""
        given = self.lm if isinstance(self.lm, Mapping) else {} if self.lm is None else {self.lm: None}
        return {path: self.lm_weight / len(given) if weight is None else weight for path, weight in given.items()}

    def files(self) -> list[Path]:
        """The files that the language models and the lexicon are in."""
        paths = [Path(path) for path in (*self.language_models(), self.lexicon) if path is not None]
        return [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])]

    def absolute(self) -> SearchConfig:
        """The same, wherever a program runs."""
        lexicon = None if self.lexicon is None else os.path.abspath(self.lexicon)
        lm = self.lm if self.lm is None else _absolute(self.lm)
        return replace(self, lm=lm, lexicon=lexicon)


def _absolute(lm: str | Path | Mapping[str, float | None]) -> str | dict[str, float | None]:
    if isinstance(lm, Mapping):
        return {os.path.abspath(path): weight for path, weight in lm.items()}
    return os.path.abspath(lm)


class Search:
    """Finds the labels in scores.

    Args:
        tokens: The labels.
        config: What is known beside the scores.
        knowledge: The language models and the lexicon of the configuration, where they have been read before.

    Attributes:
        beam: Hypotheses kept; 0 is greedy.
        alternatives: Texts of each utterance that are asked for at most.
        tokens: The labels, or symbols, of its emissions.
        of_utterances: Whether it can only search utterances as wholes.

    Raises:
        SearchError: hot words cannot be written with the labels, or none of the language model's words can, or there
            are no priors of the labels to weigh.
        asr.lexicon.LexiconError, inference.ngram.NgramError, inference.model.ModelError: one cannot be read.
    """

    def __init__(
        self,
        tokens: Tokens,
        config: SearchConfig | None = None,
        *,
        knowledge: Knowledge | None = None,
    ):
        config = config or SearchConfig()
        self._prior_V = _weighed_priors(tokens, config)
        knowledge = knowledge or Knowledge(tokens, config)
        self.tokens = knowledge.tokens
        self.of_utterances = config.decoder == "flashlight"
        self._flashlight = Flashlight(self.tokens, config) if self.of_utterances else None
        self._fusion = None if self.of_utterances else _fusion(knowledge, config)
        self.alternatives = config.alternatives
        self.beam = config.width
        self._prune = config.prune

    def decoder(self) -> Decoder:
        """A fresh decoder of a stream."""
        if self._flashlight is not None:
            return self._flashlight.decoder(self.beam)
        if not self.beam:
            return GreedyDecoder()
        sounds = self.tokens.spellings.sounds if isinstance(self.tokens, LexiconTokens) else None
        return BeamDecoder(beam=self.beam, prune=self._prune, fusion=self._fusion, sounds=sounds, prior_V=self._prior_V)


def _weighed_priors(tokens: Tokens, config: SearchConfig) -> np.ndarray | None:
    if not config.prior_weight:
        return None
    if config.log_priors is None or len(config.log_priors) != len(tokens.labels):
        raise SearchError(
            f"prior_weight is {config.prior_weight:g}, but the model carries no priors of its labels; "
            "`asr tune --write` stores them"
        )
    return config.prior_weight * np.array(config.log_priors)


def _fusion(knowledge: Knowledge, config: SearchConfig) -> Fusion | None:
    tokens, hot = knowledge.tokens, None
    if config.hot_words:
        of_words = isinstance(tokens, LexiconTokens)
        hot = _hot_phrases(tokens, config) if of_words else _hot_words(tokens, config.hot_words)
    models = [(knowledge.models[str(path)], weight) for path, weight in config.language_models().items()]
    # What a word gains beside its probability, it gains once.
    share = 1 / max(len(models), 1)
    bonuses = {"bonus": share * config.word_bonus, "unknown_bonus": share * config.unknown_bonus}
    if isinstance(tokens, LexiconTokens):
        if not models:
            return _words_alone(tokens, hot)
        # The first also takes care of hot words.
        fusions: list[Fusion] = [
            _lexicon(tokens, model, weight=weight, hot_words=None if k else hot, **bonuses)
            for k, (model, weight) in enumerate(models)
        ]
        return fusions[0] if len(fusions) == 1 else Together(fusions)
    if not models:
        return hot
    fusions = [_language_model(tokens, model, weight=weight, **bonuses) for model, weight in models]
    model = fusions[0] if len(fusions) == 1 else Together(fusions)
    return model if hot is None else WithHotWords(model, hot)


def _words_alone(tokens: LexiconTokens, hot: HotWords | None) -> LexiconModel:
    """The words of a lexicon, each as likely as the others."""
    nothing_W = np.zeros(len(tokens.lexicon.words))
    return LexiconModel(tokens.spellings, numbers_W=nothing_W, bonus_W=nothing_W, space=tokens.space, hot_words=hot)


def _lexicon(
    tokens: LexiconTokens,
    known: Known,
    *,
    weight: float,
    bonus: float,
    unknown_bonus: float,
    hot_words: HotWords | None,
) -> LexiconModel:
    return LexiconModel(
        tokens.spellings,
        model=known.in_a_row,
        numbers_W=known.lexicon_W,
        bonus_W=np.where(known.lexicon_W == known.lm.unknown, bonus + unknown_bonus, bonus),
        weight=weight,
        space=tokens.space,
        hot_words=hot_words,
    )


def _language_model(tokens: Tokens, known: Known, **settings: float) -> Fusion:
    if known.of_labels:
        return LabelModel(known.in_a_row, known.labels_V, unknown=known.lm.unknown, **settings)
    assert tokens.space is not None
    return WordModel(known.in_a_row, known.spellings, unknown=known.lm.unknown, space=tokens.space, **settings)


def _hot_phrases(tokens: LexiconTokens, config: SearchConfig) -> HotWords:
    """Hot words as phrases of the lexicon's words."""
    phrases: dict[tuple[int, ...], float] = {}
    for text, boost in config.hot_words.items():
        found = tokens.lexicon.find(text)
        if not found:
            raise SearchError(f"hot word {text!r}: is not in {config.lexicon}; add it there, or leave it out")
        phrases[tuple(found)] = boost
    return HotWords(phrases, labels=len(tokens.lexicon.words), space=None)


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
    lines = read_text(path, error=SearchError).splitlines()
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
