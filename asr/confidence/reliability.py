"""Whether confidences are probabilities: of the words that are said to be right in nine of ten cases, are nine right?

The expected calibration error (Naeini et al. 2015; Guo et al. 2017, equation 3) divides the words into bins by their
confidence and takes the mean, over words, of the difference between the share of right words in a bin and the mean
confidence there. Bins of equal width are the usual ones; where most words lie in the last of them, bins of equal mass
say more. Both rise by chance where there are few words in a bin.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asr.text import PLAIN, normalize
from asr.transcript import Word
from inference.files import write_bytes
from inference.markdown import table
from training.metrics import align_tokens

BINS = 15


class ReliabilityError(ValueError):
    """There is nothing to show, or nothing to show it with."""


class Judged(NamedTuple):
    """A word that was recognised: how probable it was said to be right, and whether it is."""

    confidence: float
    right: bool


class Bin(NamedTuple):
    """The words of a bin: how many, their mean confidence, and the share of right ones."""

    words: int
    confidence: float
    right: float


def judge(words: Sequence[Word], reference: str, form: str = PLAIN) -> list[Judged]:
    """Hold each recognised word against what was said; substituted and inserted words are wrong.

    Words are compared as `asr.text.normalize` writes them in this form, in the alignment by which errors are counted.
    """
    _, alignment = align_tokens(normalize(reference, form).split(), [normalize(word.text, form) for word in words])
    right = [edit.op == "=" for edit in alignment if edit.hypothesis is not None]
    return [Judged(word.confidence, one) for word, one in zip(words, right, strict=True)]


@dataclass(frozen=True)
class Reliability:
    """Figures of confidences, from the judged words of a test set.

    Raises:
        ReliabilityError: there are no words.
    """

    words: tuple[Judged, ...]

    def __post_init__(self) -> None:
        if not self.words:
            raise ReliabilityError("no word was recognised: there are no confidences to judge")

    @cached_property
    def _confidence_N(self) -> np.ndarray:
        return np.array([word.confidence for word in self.words], dtype=np.float64)

    @cached_property
    def _right_N(self) -> np.ndarray:
        return np.array([word.right for word in self.words], dtype=np.float64)

    @property
    def right(self) -> float:
        """The share of right words."""
        return float(self._right_N.mean())

    @property
    def confidence(self) -> float:
        """The mean confidence."""
        return float(self._confidence_N.mean())

    def by_width(self, bins: int = BINS) -> list[Bin]:
        """Bins of equal width from 0 to 1, each without its lower bound, the first with it; empty ones too."""
        numbers_N = np.clip(np.ceil(self._confidence_N * bins).astype(int) - 1, 0, bins - 1)
        return self._bins(np.flatnonzero(numbers_N == number) for number in range(bins))

    def by_mass(self, bins: int = BINS) -> list[Bin]:
        """Bins of as many words each, as far as that goes, from the least to the most confident."""
        order_N = np.argsort(self._confidence_N, kind="stable")
        return self._bins(np.array_split(order_N, min(bins, len(order_N))))

    def _bins(self, members: Iterable[np.ndarray]) -> list[Bin]:
        return [
            Bin(len(of), float(self._confidence_N[of].mean()), float(self._right_N[of].mean()))
            if len(of)
            else Bin(0, 0.0, 0.0)
            for of in members
        ]

    def ece(self, bins: int = BINS) -> float:
        """Expected calibration error in bins of equal width."""
        return _error(self.by_width(bins))

    def ece_by_mass(self, bins: int = BINS) -> float:
        """Expected calibration error in bins of equal mass."""
        return _error(self.by_mass(bins))

    @property
    def brier(self) -> float:
        """Mean squared difference between confidence and outcome (Brier 1950): 0 is perfect, 0.25 is a coin's."""
        return float(np.square(self._confidence_N - self._right_N).mean())

    @property
    def auc(self) -> float | None:
        """How probable it is that a right word has more confidence than a wrong one; none where all are right or wrong.

        By ranks (Mann & Whitney 1947), ties counted half.
        """
        count, positive = len(self.words), int(self._right_N.sum())
        if positive in (0, count):
            return None
        _, inverse, sizes = np.unique(self._confidence_N, return_inverse=True, return_counts=True)
        ranks_N = (np.cumsum(sizes) - (sizes - 1) / 2)[inverse]
        above = ranks_N[self._right_N == 1].sum() - positive * (positive + 1) / 2
        return float(above / (positive * (count - positive)))

    def summary(self) -> str:
        """One line for people."""
        auc = "" if self.auc is None else f", AUC {self.auc:.3f}"
        return (
            f"confidence {100 * self.confidence:.1f} % in the mean of {len(self.words)} words, "
            f"{100 * self.right:.1f} % are right: ECE {self.ece():.3f} (bins of equal mass: {self.ece_by_mass():.3f}), "
            f"Brier score {self.brier:.4f}{auc}"
        )

    def to_markdown(self) -> str:
        """The summary, and a table of the bins of equal width that are not empty."""
        bins = self.by_width()
        rows = [
            [
                f"{number / len(bins):.2f} to {(number + 1) / len(bins):.2f}",
                str(one.words),
                f"{100 * one.confidence:.1f} %",
                f"{100 * one.right:.1f} %",
            ]
            for number, one in enumerate(bins)
            if one.words
        ]
        summary = self.summary()
        return (
            f"{summary[0].upper()}{summary[1:]}. ECE is the mean over words of the difference between confidence and "
            f"share of right words, in {len(bins)} bins.\n\n" + table(["confidence", "words", "mean", "right"], rows)
        )

    def plot(self, path: str | Path) -> None:
        """Write a reliability diagram as a picture: share of right words over confidence, and how many words lie where.

        Raises:
            ReliabilityError: matplotlib is not installed, or does not know the kind of file.
            OSError: the file cannot be written.
        """
        check_plot(path)
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5, 6), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        bins = self.by_width()
        middles = [(number + 0.5) / len(bins) for number in range(len(bins))]
        filled = [(middle, one) for middle, one in zip(middles, bins, strict=True) if one.words]
        above.plot([0, 1], [0, 1], color="0.6", linestyle="--", label="as it should be")
        above.bar([middle for middle, _ in filled], [one.right for _, one in filled], width=0.9 / len(bins), alpha=0.5)
        above.plot(
            [one.confidence for _, one in filled], [one.right for _, one in filled], "o-", color="C1", label="words"
        )
        above.set(ylabel="share of right words", ylim=(0, 1.02), title=f"ECE {self.ece():.3f}, {len(self.words)} words")
        above.legend()
        below.bar(middles, [one.words for one in bins], width=0.9 / len(bins))
        below.set(xlabel="confidence", ylabel="words", xlim=(0, 1), yscale="symlog")
        picture = io.BytesIO()
        figure.savefig(picture, format=Path(path).suffix[1:].lower(), dpi=150)
        write_bytes(path, picture.getvalue())


def check_plot(path: str | Path) -> None:
    """Raise `ReliabilityError` where no plot can be written to a file of this name."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ReliabilityError("plots need matplotlib: pip install 'saywave[bench]'") from error
    if Path(path).suffix[1:].lower() not in Figure().canvas.get_supported_filetypes():
        raise ReliabilityError(f"{path}: no picture can be of this kind; give a name that ends in .png, .svg or .pdf")
    if not Path(path).parent.is_dir():
        raise ReliabilityError(f"{path}: there is no such folder; make it, or give another name")


def _error(bins: Sequence[Bin]) -> float:
    return sum(one.words * abs(one.right - one.confidence) for one in bins) / sum(one.words for one in bins)
