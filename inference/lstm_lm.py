"""LSTM language models at work: what a beam search asks of them, and the probabilities of whole texts.

It answers like `inference.ngram.NgramModel`, so that either serves where the other does. What differs is where states
come from: they are computed when they are first asked for, those of a frame in one batch, and a hypothesis that leaves
the beam before it is asked for costs nothing.

Shapes: K pairs of state and word, B batch, T tokens, V words of the vocabulary, L layers, H hidden units.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
import yaml
from safetensors import SafetensorError, safe_open

from inference.arpa import END, UNKNOWN
from inference.model import CARD, CONFIG, GRAPH, LABELS, LANGUAGE, SUMMED, WEIGHTS, ModelError, check_sums, write
from inference.ngram import NgramError, Perplexity
from inference.onnx_session import open_graph

FORMAT = 1
UNITS = ("word", "letter")
WITHOUT_CONTEXT = 0  # the state, as of n-gram models
UNIGRAM = "unigram"  # among the weights

BATCH = 64  # sentences
BATCH_SCORES = 1 << 22  # scores that are held at a time: 16 MB


class Step(NamedTuple):
    """What the network says of each of some texts after one more token: scores (V) and its state, h and c (L,H)."""

    scores_V: np.ndarray
    h_LH: np.ndarray
    c_LH: np.ndarray


class LstmModel:
    """An LSTM language model: log probabilities (natural) of words after what came before them.

    A state is the state of the network after some words, and one word more that it has not read yet: the number of the
    one, times V + 1, plus the number of the other and 1. The network reads that word when the state is first asked for,
    and only what is asked for is kept, until `keep` says that it is no longer needed.

    Args:
        directory: A model directory of `asr lm train`.
        threads: Threads for one product; 0 lets ONNX Runtime take every core.

    Attributes:
        words: The vocabulary; a word's number is its place here. </s> and <unk> are among them.
        unit: What it is of: `word` or `letter`.
        unknown, end: Numbers of <unk> and </s>.

    Raises:
        ModelError: it is no such directory, or damaged.
    """

    def __init__(self, directory: str | Path, *, threads: int = 1):
        self.directory = Path(directory)
        self.words, self.unit = _read(self.directory)
        self._numbers = {word: number for number, word in enumerate(self.words)}
        self.unknown, self.end = self._numbers[UNKNOWN], self._numbers[END]
        self._session = _session(self.directory, len(self.words), threads)
        self._layers, _, self._hidden = self._session.get_inputs()[2].shape
        zeros_LH = np.zeros((self._layers, self._hidden), dtype=np.float32)
        self._steps = {0: Step(_unigram(self.directory, len(self.words)), zeros_LH, zeros_LH)}
        self._number_of = {WITHOUT_CONTEXT: 0}
        self._free: list[int] = []

    @classmethod
    def read(cls, directory: str | Path) -> LstmModel:
        """The model in a directory, as `NgramModel.read` has it of a file."""
        return cls(directory)

    def id(self, word: str) -> int:
        """The number of a word; an unknown one has that of <unk>."""
        return self._numbers.get(word, self.unknown)

    def begin(self) -> int:
        """The state at the beginning of a sentence: after an end."""
        return self.end + 1

    def scores(self, states_K: np.ndarray, words_K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log probabilities (float64) of K words after K states, and the states (int64) after them."""
        states_K, words_K = np.asarray(states_K, np.int64), np.asarray(words_K, np.int64)
        each, place_K = np.unique(states_K, return_inverse=True)
        numbers = np.array(self._computed(each.tolist()), np.int64)
        rows = [self._steps[number].scores_V for number in numbers.tolist()]
        pairs = zip(place_K.tolist(), words_K.tolist(), strict=True)
        log_prob_K = np.fromiter((rows[place][word] for place, word in pairs), np.float64, len(words_K))
        return log_prob_K, numbers[place_K] * (len(self.words) + 1) + words_K + 1

    def score(self, state: int, word: int) -> tuple[float, int]:
        """Log probability of a word after a state, and the state after it."""
        log_prob_K, after_K = self.scores(np.array([state]), np.array([word]))
        return float(log_prob_K[0]), int(after_K[0])

    def finish(self, state: int) -> float:
        """Log probability that the sentence ends after a state."""
        return self.score(state, self.end)[0]

    def ready(self, states_K: np.ndarray) -> None:
        """Compute what these states predict in one batch, so that asking for one after the other takes no time."""
        self._computed(np.unique(states_K).tolist())

    def fork(self) -> LstmModel:
        """The same with the same memories: what one of the two forgets, the other still has."""
        other = copy.copy(self)
        other._steps, other._number_of, other._free = dict(self._steps), dict(self._number_of), list(self._free)
        return other

    def keep(self, states_N: np.ndarray) -> None:
        """Forget all but these states, and the one without context."""
        kept = {WITHOUT_CONTEXT, *states_N.tolist()}
        self._number_of = {state: self._number_of[state] for state in kept if state in self._number_of}
        # A number may not be given to others as long as a state is counted from it.
        used = {*self._number_of.values(), *(state // (len(self.words) + 1) for state in kept)}
        self._steps = {number: self._steps[number] for number in sorted(used)}
        self._free = [number for number in range(max(used), -1, -1) if number not in used]

    @property
    def held(self) -> int:
        """How many states of the network are in memory."""
        return len(self._steps)

    def _computed(self, states: list[int]) -> list[int]:
        """The numbers that these states have once the network has read their last words."""
        new = [state for state in states if state not in self._number_of]
        if new:
            befores, words = zip(*(divmod(state, len(self.words) + 1) for state in new), strict=True)
            h_LKH = np.stack([self._steps[before].h_LH for before in befores], axis=1)
            c_LKH = np.stack([self._steps[before].c_LH for before in befores], axis=1)
            tokens_K1 = np.array(words)[:, None] - 1
            scores_K1V, h_LKH, c_LKH = self._run(tokens_K1, np.ones(len(new)), h_LKH, c_LKH)
            for k, state in enumerate(new):
                number = self._free.pop() if self._free else len(self._steps)
                # Copies, so that what is forgotten is freed.
                self._steps[number] = Step(scores_K1V[k, 0].copy(), h_LKH[:, k].copy(), c_LKH[:, k].copy())
                self._number_of[state] = number
        return [self._number_of[state] for state in states]

    def _run(
        self, tokens_BT: np.ndarray, lengths_B: np.ndarray, h_LBH: np.ndarray, c_LBH: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        feeds = {
            "tokens": np.ascontiguousarray(tokens_BT, dtype=np.int64),
            "lengths": np.asarray(lengths_B, dtype=np.int64),
            "state_h": h_LBH,
            "state_c": c_LBH,
        }
        return self._session.run(("scores", "next_h", "next_c"), feeds)

    def log_probability(self, sentence: Sequence[str]) -> float:
        """Log probability of a whole sentence with its end."""
        return next(self._each([sentence]))[0]

    def log_probabilities(self, sentences: Iterable[Sequence[str]]) -> list[float]:
        """Those of many, such as the hypotheses of an n-best list, computed together."""
        return [log_prob for log_prob, _ in self._each(sentences)]

    def perplexity(self, sentences: Iterable[Sequence[str]]) -> Perplexity:
        """How well the model predicts sentences, each a sequence of words (or letters).

        Raises:
            NgramError: there are none.
        """
        total, words, unknown, log_prob, unknown_log_prob = 0, 0, 0, 0.0, 0.0
        for found, scores_T in self._each(sentences):
            total, words = total + 1, words + len(scores_T)
            log_prob += found
            unknown_log_prob += float(scores_T[np.isfinite(scores_T)].sum())
            unknown += int(np.isfinite(scores_T).sum())
        if not total:
            raise NgramError("there is no sentence to measure a perplexity on")
        return Perplexity(total, words, unknown, log_prob, unknown_log_prob)

    def _each(self, sentences: Iterable[Sequence[str]]) -> Iterator[tuple[float, np.ndarray]]:
        """Of each sentence its log probability and (T) that of its unknown words, NaN where a word is known."""
        rest = iter(sentences)
        # Some batches at a time, so that those of a length come together.
        while some := list(islice(rest, 16 * BATCH)):
            numbers = [np.array([self.end, *map(self.id, sentence), self.end]) for sentence in some]
            order = sorted(range(len(some)), key=lambda k: len(numbers[k]))
            found: dict[int, np.ndarray] = {}
            for first in range(0, len(some), BATCH):
                batch = order[first : first + BATCH]
                found.update(zip(batch, self._token_scores([numbers[k] for k in batch]), strict=True))
            for k in range(len(some)):
                unknown_T = numbers[k][1:-1] == self.unknown
                yield float(found[k].sum()), np.where(unknown_T, found[k][:-1], np.nan)

    def _token_scores(self, numbers: list[np.ndarray]) -> list[np.ndarray]:
        """Of each text the log probability of each token after the first, in pieces that fit into memory."""
        lengths_B = np.array([len(one) - 1 for one in numbers])
        steps = max(1, BATCH_SCORES // (len(numbers) * len(self.words)))
        state = (np.zeros((self._layers, len(numbers), self._hidden), dtype=np.float32),) * 2
        found: list[list[np.ndarray]] = [[] for _ in numbers]
        for start in range(0, int(lengths_B.max()), steps):
            here_B = np.clip(lengths_B - start, 0, steps)
            tokens_BT = np.zeros((len(numbers), int(here_B.max())), dtype=np.int64)
            for k, one in enumerate(numbers):
                tokens_BT[k, : here_B[k]] = one[start : start + here_B[k]]
            # An LSTM over no tokens is no error here: such an item's scores are not looked at.
            scores_BTV, *state = self._run(tokens_BT, here_B, *state)
            for k, one in enumerate(numbers):
                t = np.arange(here_B[k])
                found[k].append(scores_BTV[k, t, one[start + 1 + t]].astype(np.float64))
        return [np.concatenate(pieces) for pieces in found]


def save(
    directory: str | Path, *, graph: bytes, weights: bytes, words: Sequence[str], unit: str, network: dict, card: str
) -> LstmModel:
    """Write a model directory beside its place and rename it; the model, loaded from what was written.

    Args:
        directory: Its place.
        graph, weights: As `encoders.export_language` makes them.
        words: The vocabulary.
        unit: What it is of.
        network: Shape of the network, for who reads it.
        card: The model card, Markdown.
    """
    config = {"format": FORMAT, LANGUAGE: {"unit": unit, **network}}
    files = {
        GRAPH: graph,
        WEIGHTS: weights,
        CONFIG: yaml.safe_dump(config, sort_keys=False).encode(),
        LABELS: ("\n".join(words) + "\n").encode(),
        CARD: card.encode(),
    }
    write(Path(directory), files, check=LstmModel)
    return LstmModel(directory)


def _read(directory: Path) -> tuple[tuple[str, ...], str]:
    """Vocabulary and unit of a model directory, its files held against their sums."""
    if not directory.is_dir():
        raise ModelError(f"{directory}: no such model directory")
    missing = [name for name in SUMMED if not (directory / name).is_file()]
    if missing:
        hint = f"; give {directory / 'model'}" if (directory / "model").is_dir() else ""
        raise ModelError(f"{directory}: no language model, {', '.join(missing)} missing{hint}")
    try:
        check_sums(directory)
        config = yaml.safe_load((directory / CONFIG).read_text(encoding="utf-8"))
        words = (directory / LABELS).read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise ModelError(f"{directory}: cannot be read ({error.strerror}); check its permissions") from error
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise ModelError(f"{directory}: {CONFIG} or {LABELS} cannot be read; fetch the model anew") from error
    found = config.get(LANGUAGE) if isinstance(config, dict) else None
    if not isinstance(found, dict):
        raise ModelError(f"{directory}: is no language model; `asr lm train` and `asr lm make` make them")
    if config.get("format") != FORMAT:
        raise ModelError(
            f"{directory}: format {config.get('format')!r} of language models; this program knows {FORMAT}: upgrade it"
        )
    if found.get("unit") not in UNITS:
        raise ModelError(f"{directory / CONFIG}: unit is {found.get('unit')!r}; fetch the model anew")
    if words.pop() or len(set(words)) != len(words) or not {END, UNKNOWN} <= set(words):
        raise ModelError(f"{directory / LABELS}: is damaged, or lacks {END} or {UNKNOWN}; fetch the model anew")
    return tuple(words), found["unit"]


def _session(directory: Path, words: int, threads: int) -> onnxruntime.InferenceSession:
    try:
        session = open_graph(directory / GRAPH, threads=threads)
    except Exception as error:  # ONNX Runtime raises classes of its own for a damaged file
        raise ModelError(f"{directory}: {GRAPH} or {WEIGHTS} is damaged; fetch the model anew") from error
    names = [value.name for value in session.get_inputs()]
    if names != ["tokens", "lengths", "state_h", "state_c"] or session.get_outputs()[0].shape[2] != words:
        raise ModelError(f"{directory}: {GRAPH} and {LABELS} are of different models; fetch the model anew")
    return session


def _unigram(directory: Path, words: int) -> np.ndarray:
    try:
        with safe_open(directory / WEIGHTS, framework="numpy") as weights:
            unigram_V = weights.get_tensor(UNIGRAM)
    except SafetensorError as error:
        raise ModelError(f"{directory}: {WEIGHTS} is damaged or lacks {UNIGRAM}; fetch the model anew") from error
    if unigram_V.shape != (words,):
        raise ModelError(f"{directory}: {WEIGHTS} and {LABELS} are of different models; fetch the model anew")
    return unigram_V
