"""The lexicon decoder of flashlight-text (Kahn et al. 2022, in C++), for language models that only KenLM reads.

It searches as `inference.lexicon` does, with these differences: of a text the best path counts, not the sum of all;
hypotheses that a language model cannot tell apart are one; it hears an utterance to its end before it says a word; and
a word that the language model does not know has its probability of <unk>, and no bonus of its own.
Its scores are ours if its language model, which counts in powers of ten, is given our weight times ln 10, and if a
space must follow each word: spellings end in one, and so that the last word has it too, a frame is added in which a
space and a blank are free. A model that writes no spaces is not for it: without them
it allows the last label of a word one frame only.
"""

from __future__ import annotations

import importlib.util
import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from asr.lexicon import LexiconTokens
from inference.arpa import UNKNOWN
from inference.beam import Hypothesis
from inference.ctc import Emission, align, checked
from inference.ngram_file import is_compact

if TYPE_CHECKING:
    from asr.search import SearchConfig

THRESHOLD = 100.0  # nats behind the best hypothesis after which one is dropped; the beam is what counts
# Settings of a search that it has none of. Given, they are refused; what a model carries of them is left aside.
LACKING = ("prune", "unknown_bonus", "prior_weight")
UNHEARD = -1e4  # log probability of what must not be: frames are single floats, so no infinities


class SearchError(ValueError):
    """A language model, a lexicon or hot words that do not go with the model; the message says why."""


class Flashlight:
    """Tree and language model, made once for any number of decoders.

    Args:
        tokens: The words and their spellings.
        config: Language model, its weight, and the gain of each word.

    Raises:
        SearchError: the model writes no spaces, flashlight-text is not installed, or cannot read the language model.
    """

    def __init__(self, tokens: LexiconTokens, config: SearchConfig):
        if tokens.space is None:
            raise SearchError(
                "the decoder flashlight needs a model that writes spaces; the decoder beam takes this one"
            )
        if importlib.util.find_spec("flashlight") is None:
            raise SearchError("the decoder flashlight needs flashlight-text: pip install 'saywave[lm]'")
        from flashlight.lib.text import decoder as flashlight

        path, self._weight = next(iter(config.language_models().items()), (None, 0.0))
        self._tokens, self._word_bonus = tokens, 0.0 if path is None else config.word_bonus
        self._lm = flashlight.ZeroLM() if path is None else _kenlm(path, tokens.lexicon.words)
        self._trie = flashlight.Trie(len(tokens.labels), tokens.space)
        start = self._lm.start(False)
        # The last one is what words are to the language model that it does not know.
        *scores, unknown = [self._lm.score(start, word)[1] for word in range(len(tokens.lexicon.words) + 1)]
        if path is not None and all(score == unknown for score in scores):
            raise SearchError(
                f"{path}: knows none of the words in {config.lexicon}, which must be written as there; make one "
                "of texts with them"
            )
        for word, spelling in tokens.lexicon.spellings:
            self._trie.insert([*spelling, tokens.space], word, scores[word])
        self._trie.smear(flashlight.SmearingMode.MAX)

    def decoder(self, beam: int) -> FlashlightDecoder:
        """A decoder of one utterance at a time."""
        return FlashlightDecoder(self, self._tokens, beam=beam)

    def search(self, scores_TV: np.ndarray, beam: int) -> list[tuple[float, list[int], list[int]]]:
        """Hypotheses of an utterance, best first: score, and for each frame its label and the word that ends there."""
        from flashlight.lib.text import decoder as flashlight

        # Decoders keep their hypotheses: one is made anew, and the tree and the language model serve all.
        options = flashlight.LexiconDecoderOptions(
            beam_size=beam,
            beam_size_token=scores_TV.shape[1],
            beam_threshold=THRESHOLD,
            lm_weight=self._weight * math.log(10),
            word_score=self._word_bonus,
            unk_score=-math.inf,
            sil_score=0.0,
            log_add=False,
            criterion_type=flashlight.CriterionType.CTC,
        )
        search = flashlight.LexiconDecoder(options, self._trie, self._lm, self._tokens.space, 0, -1, [], False)
        last_V = np.full(scores_TV.shape[1], UNHEARD)
        last_V[[0, self._tokens.space]] = 0.0
        frames = np.ascontiguousarray(np.maximum(np.vstack([scores_TV, last_V]), UNHEARD), dtype=np.float32)
        found = search.decode(frames.ctypes.data, *frames.shape)
        return [(one.score, list(one.tokens), list(one.words)) for one in found]


class FlashlightDecoder:
    """Collects scores, and says at the end what they hold: a `Decoder` whose emissions all come from `flush`.

    Args:
        flashlight: What searches.
        tokens: The words and their spellings; emissions are of its symbols.
        beam: Hypotheses kept.
    """

    def __init__(self, flashlight: Flashlight, tokens: LexiconTokens, *, beam: int):
        self._flashlight, self._tokens, self._beam = flashlight, tokens, beam
        self._scores: list[np.ndarray] = []

    def push(self, log_probs_TV: np.ndarray) -> list[Emission]:
        """Take the next scores.

        Raises:
            inference.ctc.ScoresError: the scores are not an array (T, V) with a finite best label in each frame.
        """
        self._scores.append(np.array(checked(log_probs_TV, 0)))
        return []

    def flush(self) -> list[Emission]:
        """The emissions of all that was pushed; then it is fresh. Times are those of the best path of the labels."""
        found, self._scores = self.peek(), []
        return found

    def sure(self) -> list[Emission]:
        """Nothing is sure before the end."""
        return []

    def peek(self, log_probs_TV: np.ndarray | None = None) -> list[Emission]:
        """What would be said if the utterance ended here, or after these scores; the search begins anew."""
        scores = self._scores if log_probs_TV is None else [*self._scores, log_probs_TV]
        symbols = self._hypotheses(scores)[0].labels
        if not symbols:
            return []
        sounds = self._tokens.spellings.sounds[list(symbols)].tolist()
        emissions = align(np.maximum(np.concatenate(scores), UNHEARD), sounds)
        return [replace(one, label=symbol) for one, symbol in zip(emissions, symbols, strict=True)]

    def hypotheses(self, count: int = 1) -> list[Hypothesis]:
        """The best labellings if the utterance ended here, best first."""
        return self._hypotheses(self._scores)[:count]

    def _hypotheses(self, scores: Sequence[np.ndarray]) -> list[Hypothesis]:
        if not sum(map(len, scores)):
            return [Hypothesis((), 0.0)]
        found = self._flashlight.search(np.concatenate(scores), self._beam)
        return [Hypothesis(self._symbols(tokens, words), score) for score, tokens, words in found]

    def _symbols(self, labels: Sequence[int], words: Sequence[int]) -> tuple[int, ...]:
        """Symbols of a path of labels; where a word's spelling was not finished it is left out."""
        tree, space = self._tokens.spellings, self._tokens.space
        symbols: list[int] = []
        spelled: list[int] = []
        before = 0
        for label, word in zip(labels, words, strict=True):
            if label not in (before, 0):
                spelled.append(label)
            before = label
            if word >= 0:
                letters = list(itertools.dropwhile(lambda one: one == space, spelled))
                letters = letters[:-1]  # the last one is a space
                symbols += [space] * bool(symbols) + letters[:-1] + [tree.ending(letters, word)]
                spelled = []
        return tuple(symbols)


def _kenlm(path: Any, words: Sequence[str]) -> Any:
    from flashlight.lib.text.decoder.kenlm import KenLM
    from flashlight.lib.text.dictionary import Dictionary

    if is_compact(path):  # a file that is missing is one like any other
        raise SearchError(
            f"{path}: is in Saywave's compact format, which KenLM cannot read; give it another with `asr lm convert "
            f"{path} FILE.arpa`, or take the decoder beam"
        )
    try:
        return KenLM(str(path), Dictionary([*words, UNKNOWN]))
    except (RuntimeError, ValueError) as error:
        raise SearchError(f"{path}: KenLM cannot read it: {error}") from None
