"""Texts become an LSTM language model: what is predicted, what is unknown, and the directory that comes out.

The loop is the one that trains recognisers; a sentence takes the place of a recording, and a token that of a frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from encoders.export_language import export
from encoders.language import LanguageConfig, LanguageNetwork
from inference import lstm_lm
from inference.arpa import END, UNKNOWN
from inference.lstm_lm import LstmModel
from training.config import LoopConfig, OptimizerConfig
from training.data import Example
from training.devices import first_process, wait_for_all
from training.latency import LatencyConfig
from training.loop import fit
from training.manifests import ManifestError
from training.objectives import NextTokenObjective
from training.run import is_finished

DEV_SHARE = 0.1
DEV_MOST = 2000  # sentences: more cost time at each interval and choose no better


@dataclass
class TextConfig:
    """What is predicted.

    Args:
        unit: `word`, or `letter` for letters and <space>, as models that write letters do.
        vocabulary_size: The most frequent words (or letters) that are kept; the others are <unk>.
        least_count: Words that come less often are <unk> too.
        unknown_share: Share of the words that come once which training takes for unknown, drawn anew in each pass, so
            that it learns where words stand that it does not know; 0 takes all as they are.
        longest: Tokens after which a sentence is cut for training: as far back as it learns to remember.
    """

    unit: Literal["word", "letter"] = "word"
    vocabulary_size: int = 20_000
    least_count: int = 1
    unknown_share: float = 0.5
    longest: int = 256

    def __post_init__(self) -> None:
        for name in ("vocabulary_size", "least_count", "longest"):
            if getattr(self, name) < 1:
                raise ValueError(f"text.{name} is {getattr(self, name)}; it must be at least 1")
        if not 0 <= self.unknown_share <= 1:
            raise ValueError(f"text.unknown_share is {self.unknown_share}; it is a share, 0 to 1")


@dataclass
class TrainLanguageConfig:
    """Every setting of the training of a language model.

    Args:
        text: What is predicted.
        network: The network.
        optimizer: How its weights move.
        loop: How long, in what batches (of tokens, which are its frames), from which seed.
    """

    text: TextConfig = field(default_factory=TextConfig)
    network: LanguageConfig = field(default_factory=LanguageConfig)
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(learning_rate=3e-3, warmup_steps=50))
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(epochs=60, batch_frames=500, patience=5, workers=0, average=0.99)
    )

    def __post_init__(self) -> None:
        if self.loop.truncate_ms:
            raise ValueError(
                "loop.truncate_ms is for recordings; text.longest says after how many tokens a sentence is cut"
            )


@dataclass(frozen=True, eq=False)
class Line:
    """A sentence, or a piece of a long one, as the numbers of its tokens, with what comes before the first of them."""

    id: str
    tokens_T: np.ndarray

    @property
    def duration(self) -> float:
        """How many tokens are predicted."""
        return float(len(self.tokens_T) - 1)

    @property
    def content(self) -> tuple:
        return (self.tokens_T.tobytes(),)


class Vocabulary:
    """The words (or letters) of a language model, the most frequent first.

    Args:
        sentences: The training text.
        config: What is kept of it.

    Attributes:
        words: </s>, <unk>, and the others.
        counts: How often each comes in the training text.

    Raises:
        ManifestError: the text is empty.
    """

    def __init__(self, sentences: Sequence[Sequence[str]], config: TextConfig):
        counts: dict[str, int] = {}
        for sentence in sentences:
            for piece in sentence:
                counts[piece] = counts.get(piece, 0) + 1
        strange = counts.pop(UNKNOWN, 0)
        ranked = sorted(counts, key=lambda piece: (-counts[piece], piece))
        kept = [piece for piece in ranked if counts[piece] >= config.least_count][: config.vocabulary_size]
        if not kept:
            raise ManifestError(
                f"no {config.unit} comes {config.least_count} times in the training text: give more text, or a lower "
                "text.least_count"
            )
        strange += sum(counts.values()) - sum(counts[piece] for piece in kept)
        self.words = (END, UNKNOWN, *kept)
        self.counts = np.array([len(sentences), strange, *(counts[piece] for piece in kept)])
        self._numbers = {word: number for number, word in enumerate(self.words)}

    def encode(self, sentence: Sequence[str]) -> np.ndarray:
        """The numbers of a sentence, an end before it and after it."""
        strange = self._numbers[UNKNOWN]
        return np.array([0, *(self._numbers.get(piece, strange) for piece in sentence), 0], dtype=np.int32)

    def unigram(self, unknown_share: float) -> np.ndarray:
        """Log probability (V) of each word without context, none of them impossible."""
        counts_V = self.counts + 0.5
        once_V = self.counts == 1
        once_V[:2] = False
        counts_V[1] += unknown_share * once_V.sum()
        return np.log(counts_V / counts_V.sum())


class LoadText:
    """Makes an example of a sentence: its tokens and those that follow them.

    Args:
        counts: How often each token comes in the training text.
        unknown_share: Share of those that come once which are taken for unknown, in training.
    """

    def __init__(self, counts: np.ndarray, unknown_share: float):
        self._once_V = counts == 1
        self._once_V[:2] = False
        self._unknown_share = unknown_share

    def __call__(self, line: Line, rng: np.random.Generator | None) -> Example:
        tokens_T = line.tokens_T.astype(np.int64)
        if rng is not None:
            taken_T = rng.random(len(tokens_T)) < self._unknown_share
            tokens_T = np.where(self._once_V[tokens_T] & taken_T, 1, tokens_T)
        return Example(tokens_T[:-1], tokens_T[1:])


def train(
    config: TrainLanguageConfig,
    *,
    train: Iterable[Sequence[str]],
    dev: Iterable[Sequence[str]] | None = None,
    out: str | Path,
    command: str = "",
    data_note: str = "",
) -> LstmModel:
    """Train a language model and write it to `out/model`.

    A run that was interrupted goes on from its last checkpoint when it is called again with the same settings; a run
    that is finished gives back its model.

    Args:
        config: All settings.
        train: Sentences, each a sequence of what `config.text.unit` says.
        dev: Sentences on which the best weights are chosen; if not given, a tenth of `train`, drawn by the seed.
        out: Folder for checkpoints, logs and the model.
        command: The command that this run can be repeated with, for the model card.
        data_note: What the texts are and under which terms, for the model card.

    Raises:
        ManifestError: there is too little text, or `out` holds a run with other settings.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    sentences, dev = list(train), None if dev is None else list(dev)
    if dev is None:
        sentences, dev = _divided(sentences, seed=config.loop.seed)
    if not dev:
        raise ManifestError("there is no sentence in the development text")
    vocabulary = Vocabulary(sentences, config.text)
    lines, dev_lines = (_lines(part, vocabulary, config.text.longest) for part in (sentences, dev))
    if is_finished(out, config, [*lines, *dev_lines], {"vocabulary": len(vocabulary.words)}):
        return LstmModel(out / "model")
    torch.manual_seed(config.loop.seed)
    network = fit(
        LanguageNetwork(vocabulary.unigram(config.text.unknown_share), config.network),
        lines,
        dev_lines,
        LoadText(vocabulary.counts, config.text.unknown_share),
        frame_seconds=1.0,
        objective=NextTokenObjective(),
        optimizer=config.optimizer,
        loop=config.loop,
        latency=LatencyConfig(),
        out=out / "run",
    )
    if first_process():
        _write(out / "model", network, vocabulary, config, sentences, dev, command, data_note)
    wait_for_all()
    return LstmModel(out / "model")


def _divided(sentences: list[Sequence[str]], *, seed: int) -> tuple[list[Sequence[str]], list[Sequence[str]]]:
    if len(sentences) < 2:
        raise ManifestError("a single sentence cannot be divided: give more text, or development text of its own")
    count = min(max(1, round(DEV_SHARE * len(sentences))), DEV_MOST)
    chosen = set(np.random.default_rng(seed).permutation(len(sentences))[:count].tolist())
    return (
        [sentence for k, sentence in enumerate(sentences) if k not in chosen],
        [sentences[k] for k in sorted(chosen)],
    )


def _lines(sentences: Sequence[Sequence[str]], vocabulary: Vocabulary, longest: int) -> list[Line]:
    """Sentences as lines, long ones in pieces that begin with the last token of the piece before."""
    lines = []
    for number, sentence in enumerate(sentences, start=1):
        tokens_T = vocabulary.encode(sentence)
        for start in range(0, len(tokens_T) - 1, longest):
            lines.append(Line(f"sentence {number}", tokens_T[start : start + longest + 1]))
    return lines


def _write(
    directory: Path,
    network: LanguageNetwork,
    vocabulary: Vocabulary,
    config: TrainLanguageConfig,
    train: Sequence[Sequence[str]],
    dev: Sequence[Sequence[str]],
    command: str,
    data_note: str,
) -> None:
    """The model directory, written twice: the card says what the exported model makes of the development text."""
    exported, shape, unit = export(network), config.network, config.text.unit

    def save(perplexity: str) -> LstmModel:
        total = sum(map(len, train))
        lines = [
            "# Model card",
            "",
            f"- Language model: what follows in a text, {unit} by {unit}; {shape.layers} LSTM layers of "
            f"{shape.hidden_size} units, {len(vocabulary.words):,} tokens",
            f"- Trained on: {len(train):,} sentences, {total:,} {unit}s, {vocabulary.counts[1] / total:.2%} of them "
            "not in the vocabulary",
            f"- Best weights chosen on: {len(dev):,} sentences, {sum(map(len, dev)):,} {unit}s{perplexity}",
            f"- Seed: {config.loop.seed}",
            f"- Data: {data_note}"
            if data_note
            else "- Data and licence: not stated; say here what it was trained on and under which terms",
        ]
        if command:
            lines += ["", "Made with:", "", f"    {command}"]
        return lstm_lm.save(
            directory,
            graph=exported.graph,
            weights=exported.weights,
            words=vocabulary.words,
            unit=unit,
            network=asdict(shape),
            card="\n".join(lines) + "\n",
        )

    found = save("").perplexity(dev)
    save(f"; perplexity {found.including_unknown:.2f}, without unknown {unit}s {found.excluding_unknown:.2f}")
