"""A model and a recording become a transcript, in bounded memory; `asr.scoring` says how the recording is heard."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from asr import carried
from asr.alternatives import alternatives as make_list
from asr.scoring import WHOLE, Counted, Window
from asr.scoring import scores as scores_of
from asr.search import Search, SearchConfig, SearchError
from asr.stream import SpeechSession
from asr.stretches import Segments, stretches
from asr.transcript import Alternative, Transcript, Word
from asr.words import WordMaker
from features import audio
from features.extractor import FeatureExtractor
from inference import model as models
from inference.beside import Beside
from inference.ctc import Emission, GreedyDecoder
from inference.decoding import Decoder
from inference.utterances import Utterance, utterances

PAUSE = 1.0
"""Seconds without words that divide a recording into utterances."""

Found = tuple[list[Word], tuple[Alternative, ...]]
"""Words of an utterance, and the texts that it may be."""


class Recognizer:
    """Transcribes recordings with one model.

    Args:
        model: A loaded model directory.

    Raises:
        ModelError: the model reads landmarks.
        asr.tokens.TokenError: it writes no words.
    """

    def __init__(self, model: models.Model):
        if not isinstance(model.extractor, FeatureExtractor):
            raise models.ModelError(f"{model.directory}: recognises gestures, not speech; use `gestures recognize`")
        self.model = model
        self.words = WordMaker.of(model)
        self.tokens = self.words.tokens

    @classmethod
    def open(cls, directory: str | Path, *, threads: int = 1) -> Recognizer:
        """Load the model directory and check that it is a whole one."""
        model = models.load(directory, threads=threads)
        _ = model.scorer
        return cls(model)

    @classmethod
    def with_search(
        cls, directory: str | Path, config: SearchConfig | None, *, threads: int = 1
    ) -> tuple[Recognizer, Search]:
        """As :meth:`open`, and how words are looked for, made at once: the graph opens while a language model is read.

        Raises:
            ModelError: no such model, or a damaged one.
            SearchError, inference.ngram.NgramError: the search does not go with it.
        """
        recognizer = cls(models.load(directory, threads=threads))
        graph = Beside(lambda: recognizer.model.scorer)
        try:
            search = Search(recognizer.tokens, config)
        finally:
            graph.result()
        return recognizer, search

    def transcribe(
        self,
        source: audio.Source,
        *,
        start: float = 0.0,
        duration: float | None = None,
        search: Search | None = None,
        alternatives: int = 0,
        window: Window = WHOLE,
        segments: Segments | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> Transcript:
        """Words of a recording with their times in seconds.

        Args:
            source: A file, `-` for standard input, an open file, or (samples, rate); for a model of given frames, a
                file of these.
            start: Where to begin, in seconds; times in the transcript count from there.
            duration: How much to read; none reads to the end.
            search: How the words are looked for in the scores, as :meth:`search` makes it; if not given, with what the
                model carries, and greedily where it carries nothing.
            alternatives: Texts that each utterance may be, at most; takes a beam search, or makes one.
                With them a recording is searched from one pause (of `PAUSE` seconds) to the next, each stretch as if it
                came alone.
            window: Chunk and look-ahead in seconds, rounded up to whole steps; by default so long that a recording of
                half a minute is seen with full context. With those of a stream the scores are the stream's, up to its
                first endpoint.
            segments: How the recording is divided at pauses. From one endpoint to the next the words are those of that
                stretch alone. If not given it is not divided.
            progress: Called with the seconds of sound of each block that has been read.

        Raises:
            features.audio.AudioError: the recording cannot be read.
            features.given.FramesError: the frames cannot be read.
            ModelError: it is to be divided, and the model normalises by the whole utterance.
        """
        extractor = self.model.extractor
        if search is None:
            search = self.search(alternatives=alternatives) if alternatives else self.own_search
        count = alternatives or (0 if search is None else search.alternatives)
        blocks = Counted(
            extractor.blocks(source, start=start, duration=duration), rate=extractor.rate, progress=progress
        )
        found: list[Found] = []
        firsts: list[int] = []
        whole = [(0, blocks)]
        for first, pieces in whole if segments is None else stretches(iter(blocks), self.model, segments):
            firsts.append(first)
            stretch = Counted(pieces, rate=extractor.rate)
            found += self._words(scores_of(self.model, stretch, window), stretch, first, search, count)
        endpoints = None if segments is None else tuple(first / extractor.rate for first in firsts[1:])
        return self._transcript(found, blocks, count, endpoints)

    def transcribe_scores(
        self, scores: Iterable[np.ndarray], heard: Counted, *, search: Search | None = None
    ) -> Transcript:
        """As :meth:`transcribe` of a recording whose scores are made elsewhere, as `asr.together` makes them.

        Args:
            scores: Of the whole recording, (T,V) in pieces.
            heard: What they were made of; read to its end when the scores are.
            search: How the words are looked for in the scores.
        """
        search = self.own_search if search is None else search
        count = 0 if search is None else search.alternatives
        return self._transcript(self._words(scores, heard, 0, search, count), heard, count)

    def _transcript(
        self, found: Sequence[Found], heard: Counted, count: int, endpoints: tuple[float, ...] | None = None
    ) -> Transcript:
        words = tuple(word for group, _ in found for word in group)
        return Transcript(
            words=words,
            duration=heard.samples / self.model.extractor.rate,
            text=" ".join(word.text for word in words),
            model=self.model.name,
            endpoints=endpoints,
            alternatives=tuple((len(group), of) for group, of in found if group and count),
        )

    def _words(
        self, scores: Iterable[np.ndarray], heard: Counted, first: int, search: Search | None, count: int
    ) -> list[Found]:
        """Words of samples that are heard as one, with times of the recording, in which they begin with `first`.

        Each utterance comes with the texts that it may be; if they are not asked for, all is one.
        """
        if count or (search is not None and search.of_utterances):
            found = [
                (one.emissions, make_list(one.hypotheses, search.tokens, count=count))
                for one in self._utterances(search, scores)
            ]
        else:
            decoder = GreedyDecoder() if search is None else search.decoder()
            found = [(_emissions(decoder, scores), ())]
        maker = self.words if search is None else replace(self.words, tokens=search.tokens)
        # How much was heard is known when all emissions are.
        divided = [(maker.tokens.divided(one), of) for one, of in found]
        begin, end = (sample / self.model.extractor.rate for sample in (first, first + heard.samples))
        groups, now = [], begin
        for spoken, of in divided:
            words = maker.made(spoken, begin=begin, earliest=now, latest=end)
            now = words[-1].end if words else now
            groups.append((words, of))
        return groups

    def _utterances(self, search: Search, scores: Iterable[np.ndarray]) -> Iterator[Utterance]:
        if not search.beam:
            raise SearchError("alternatives come of a beam search, and this one is greedy: give it a beam")
        pause = math.ceil(PAUSE / self.model.step_seconds - 1e-6)
        silent = {0, self.tokens.space} - {None}
        return utterances(search.decoder, scores, silent=silent, pause=pause, count=search.beam)

    def scores(
        self, source: audio.Source, *, start: float = 0.0, duration: float | None = None, window: Window = WHOLE
    ) -> tuple[np.ndarray, float]:
        """Log probabilities (T,V) of a recording, and its length in seconds.

        Args:
            source: As of :meth:`transcribe`.
            start: Where to begin, in seconds.
            duration: How much to read; none reads to the end.
            window: Chunk and look-ahead in seconds.

        Raises:
            features.audio.AudioError: the recording cannot be read.
        """
        blocks = list(self.model.extractor.blocks(source, start=start, duration=duration))
        scores = [np.zeros((0, len(self.model.labels)), dtype=np.float32), *scores_of(self.model, blocks, window)]
        return np.concatenate(scores), sum(map(len, blocks)) / self.model.extractor.rate

    def search(self, **settings) -> Search:
        """How words are looked for, made once and used for any number of recordings and streams.

        Args:
            settings: Those of `asr.search.SearchConfig`, such as `beam=32`, `lm="words.arpa"` or
                `hot_words={"saywave": 6.0}`, before those that the model carries. Another `lm`, also None, takes the
                place of all that it carries.

        Raises:
            SearchError: they do not go with the model.
            inference.ngram.NgramError: the language model cannot be read.
        """
        own = carried.settings(self.model.directory, self.model.search)
        return Search(self.tokens, SearchConfig(**carried.merged(own, settings)))

    @cached_property
    def own_search(self) -> Search | None:
        """The search that the model carries; none where it carries nothing, which is greedy.

        Raises:
            inference.ngram.NgramError, ModelError: what it carries cannot be read.
        """
        return self.search() if self.model.search else None

    def stream(self, *, rate: int | None = None, **settings) -> SpeechSession:
        """A session that hears one stream of samples as it comes; `asr.stream.SpeechSession` says with which settings.

        Args:
            rate: Samples a second of what will be pushed; the model's own if not given.
            settings: `chunk` and `lookahead` in seconds, `rules` for endpoints, and so on. A `search` that is not given
                is the one that the model carries.
        """
        if settings.get("search") is None:
            settings["search"] = self.own_search
        return SpeechSession(self.model, rate=rate, **settings)


def _emissions(decoder: Decoder, scores: Iterable[np.ndarray]) -> Iterator[Emission]:
    for scores_TV in scores:
        yield from decoder.push(scores_TV)
    yield from decoder.flush()
