"""Sentences that nobody wrote: drawn from n-grams of the training transcripts, for synthesisers to say.

Books tell stories, and learners read of zoos and numbers. A small n-gram model of what is read in training makes up
more of that kind.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from asr.language.generate import Generator
from asr.language.kneser_ney import estimate
from inference.ngram import NgramModel
from recipes.english.texts import SPEECH_WORDS, HeldOut, SpokenForm, speakable

ORDER = 3
TRIES = 50  # sentences that are drawn for a clip until one may be said
KIND = 3  # tells draws of what kind of sentence a clip has from draws of who says it


class Generated:
    """Sentences for clips: `generated(seed, number) -> sentence`, or none where the clip is to say one of a book.

    What is drawn depends on the seed, the number of the clip, the transcripts and what is held out alone. Sentences are
    as `recipes.english.texts.speakable` wants them, and none touches one that is held out. Where none of `TRIES` may be
    said, there is none. `digest` tells all that they are drawn from and checked against from anything else.

    Args:
        transcripts: What the n-grams are counted in.
        held_out: What is tested or chosen on.
        share: Of the clips, in [0, 1].

    Raises:
        asr.language.kneser_ney.EstimationError: there are no transcripts.
    """

    def __init__(self, transcripts: Sequence[str], held_out: HeldOut, *, share: float):
        assert 0 <= share <= 1
        self._form, self._held_out, self.share = SpokenForm(), held_out, share
        words = [form for text in transcripts if (form := self._form(text))]
        made = estimate(words, order=ORDER)
        self._draw = Generator(NgramModel(made.words, made.levels), "word")
        # With other sentences held out, clips that are there may say what is tested now.
        told = "\n".join([held_out.digest, *map(" ".join, words)])
        self.digest = hashlib.sha256(told.encode()).hexdigest()

    def __call__(self, seed: int, number: int) -> str | None:
        if np.random.default_rng((seed, number, KIND)).random() >= self.share:
            return None
        for attempt in range(TRIES):
            drawn = self._draw(words=SPEECH_WORDS[1] + 1, seed=seed, number=number * TRIES + attempt)
            said = " ".join("I" if word == "i" else word for word in drawn.split())
            sentence = speakable(f"{said[:1].upper()}{said[1:]}.")
            words = self._form(sentence) if sentence else None
            if words and not self._held_out.touches(words):
                return sentence
        return None
