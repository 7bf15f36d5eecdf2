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


class Generated:
    """Says for each clip what it says, if it is to be one of these: `generated(seed, number) -> sentence`, or none.

    What is drawn depends on the seed, the number of the clip and the transcripts alone. Sentences are as
    `recipes.english.texts.speakable` wants them, and none touches one that is held out. Where `TRIES` of them do not
    do, there is none.

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
        self.digest = hashlib.sha256("\n".join(map(" ".join, words)).encode()).hexdigest()

    def __call__(self, seed: int, number: int) -> str | None:
        if np.random.default_rng((seed, number, ORDER)).random() >= self.share:
            return None
        for attempt in range(TRIES):
            drawn = self._draw(words=SPEECH_WORDS[1] + 1, seed=seed, number=number * TRIES + attempt)
            said = " ".join("I" if word == "i" else word for word in drawn.split())
            sentence = speakable(f"{said[:1].upper()}{said[1:]}.")
            words = self._form(sentence) if sentence else None
            if words and not self._held_out.touches(words):
                return sentence
        return None
