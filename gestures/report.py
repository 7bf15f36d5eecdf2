"""How well single gestures were recognised on a test set: accuracy with its interval, and what was taken for what."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from inference.files import write_bytes
from inference.markdown import escaped, table
from training.metrics import Confusion, accuracy_interval

LEVEL = 0.95
# More classes than this do not fit a page: their confusions are listed, and the picture shows them all.
WIDEST_TABLE = 30
# Letters of a label in the picture.
LONGEST_LABEL = 24


class ReportError(ValueError):
    """There is nothing to evaluate, or nothing to draw with."""


class Clip(NamedTuple):
    """One clip: which gesture it is, what was recognised, and how sure that was, in [0, 1].

    Without a known signer, `signer` is None. A clip that was rejected is recognised as `none`.
    """

    id: str
    signer: str | None
    reference: str
    recognised: str
    confidence: float

    @property
    def right(self) -> bool:
        return self.reference == self.recognised


def evaluate_clips(labels: Sequence[str], clips: Iterable[Clip]) -> Report:
    """Compare what was recognised with what was shown, clip by clip.

    Args:
        labels: All classes, in the order in which they are to be listed.
        clips: What was recognised.

    Raises:
        ReportError: there are no clips.
        training.metrics.MetricsError: a clip has a class that is not in `labels`.
    """
    report = Report(tuple(labels), tuple(clip._replace(signer=clip.signer or None) for clip in clips))
    if not report.clips:
        raise ReportError("no clips to evaluate: give at least one with the gesture that it shows")
    assert report.confusion.total == len(report.clips), "each clip is counted once"
    return report


@dataclass(frozen=True)
class Report:
    """The figures of a test set, computed from its clips when asked for."""

    labels: tuple[str, ...]
    clips: tuple[Clip, ...]

    @cached_property
    def confusion(self) -> Confusion:
        """How often each gesture was taken for each."""
        return Confusion.of(
            self.labels, [clip.reference for clip in self.clips], [clip.recognised for clip in self.clips]
        )

    @cached_property
    def signers(self) -> list[tuple[str | None, int, int]]:
        """Signer, clips, and how many of them were right, by name; clips without one come last, as signer None."""
        groups: dict[str | None, list[bool]] = {}
        for clip in self.clips:
            groups.setdefault(clip.signer, []).append(clip.right)
        names = sorted(groups, key=lambda name: (name is None, name or ""))
        return [(name, len(groups[name]), sum(groups[name])) for name in names]

    @property
    def drawn(self) -> str:
        """What the interval is taken over: `signers` where there are two and each clip has one, else `clips`.

        Signers are the honest choice, since the clips of one are right or wrong together. Where every clip is right
        their bootstrap has no width, so that it is over clips then, too.
        """
        known = all(clip.signer is not None for clip in self.clips) and len(self.signers) > 1
        return "signers" if known and not all(clip.right for clip in self.clips) else "clips"

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy: bootstrap over signers, or Wilson's over clips."""
        groups = [clip.signer or "" for clip in self.clips] if self.drawn == "signers" else None
        return accuracy_interval([clip.right for clip in self.clips], level=LEVEL, groups=groups)

    def worst(self, limit: int) -> list[Clip]:
        """Wrong clips, those first of which the recogniser was most sure."""
        return sorted((clip for clip in self.clips if not clip.right), key=lambda clip: (-clip.confidence, clip.id))[
            :limit
        ]

    def figures(self) -> dict[str, float]:
        """The figures by their names, as shares."""
        return {"accuracy": self.confusion.accuracy, "macro F1": self.confusion.macro_f1}

    def summary(self) -> str:
        """The totals in two lines of plain text."""
        right, total = sum(clip.right for clip in self.clips), len(self.clips)
        return (
            f"accuracy {_percent(self.confusion.accuracy)} (95 % interval: {self._range()}): {right} of {total} clips\n"
            f"macro F1 {_percent(self.confusion.macro_f1)} over {self._occurring()} classes; {self._interval_note()}"
        )

    def to_markdown(
        self, *, title: str = "Evaluation", confusions: int = 20, worst: int = 10, picture: str | None = None
    ) -> str:
        """The whole report: totals, signers, classes, confusions.

        Args:
            title: Its heading.
            confusions: How many of the most frequent confusions to list.
            worst: How many of the worst clips to list.
            picture: Address of the confusion matrix as a picture, to be shown in the report.
        """
        right, total = sum(clip.right for clip in self.clips), len(self.clips)
        parts = [
            f"# {escaped(title)}",
            f"{total} clips of {self._occurring()} classes, {total - right} of them wrong.",
            table(
                ["", "share", "95 % interval"],
                [
                    ["accuracy", _percent(self.confusion.accuracy), self._range()],
                    ["macro F1", _percent(self.confusion.macro_f1), ""],
                ],
            ),
            self._interval_note() + ".",
        ]
        if any(name is not None for name, _, _ in self.signers):
            rows = [
                [
                    "(not stated)" if name is None else escaped(name),
                    str(count),
                    str(count - good),
                    _percent(good / count),
                ]
                for name, count, good in self.signers
            ]
            parts += ["## Signers", table(["signer", "clips", "wrong", "accuracy"], rows)]
        parts += ["## Classes", self._classes()]
        if len(self.labels) <= WIDEST_TABLE:
            parts += ["## Confusion matrix", "Rows: what was shown. Columns: what was recognised.", self._matrix()]
        elif picture is not None:
            parts.append("## Confusion matrix")
        if picture is not None:
            parts.append(f"![Confusion matrix](<{picture}>)")
        if right < total:
            rows = [
                [escaped(ours), escaped(theirs), str(count)]
                for ours, theirs, count in self.confusion.confused(confusions)
            ]
            parts += ["## Most confused", table(["shown", "recognised", "times"], rows, text_columns=2)]
            rows = [
                [escaped(one.id), escaped(one.reference), escaped(one.recognised), _percent(one.confidence)]
                for one in self.worst(worst)
            ]
            parts += ["## Worst clips", table(["clip", "shown", "recognised", "confidence"], rows, text_columns=3)]
        return "\n\n".join(parts) + "\n"

    def draw(self, path: str | Path, *, title: str = "") -> None:
        """Write the confusion matrix as a PNG: colours are shares of a row, numbers are clips.

        Raises:
            ReportError: matplotlib is not installed.
            OSError: the file cannot be written; what was there is untouched.
        """
        try:
            from matplotlib.colors import PowerNorm
            from matplotlib.figure import Figure  # without pyplot, which would look for a window
        except ImportError as error:
            raise ReportError("a picture needs matplotlib: pip install 'saywave[train]'") from error

        counts_VV = self.confusion.counts_VV
        size = len(self.labels)
        share_VV = counts_VV / np.maximum(counts_VV.sum(axis=1, keepdims=True), 1)
        names = [_shortened(label) for label in self.labels]
        inch = min(max(0.22, min(0.6, 6 / size)), 60 / size)  # of one cell
        margin = 1.1 + 0.075 * max(map(len, names))
        points = 72 * inch * 0.5 if size > 12 else 10.0
        figure = Figure(figsize=(size * inch + margin + 1.2, size * inch + margin + 0.4), layout="constrained", dpi=120)
        axes = figure.subplots()
        image = axes.imshow(share_VV, cmap="Blues", norm=PowerNorm(0.5, 0, 1))  # rare confusions show
        for turned, axis in ((90, axes.xaxis), (0, axes.yaxis)):
            axis.set_ticks(range(size), names, rotation=turned, fontsize=points, parse_math=False)
        for i, j in zip(*np.nonzero(counts_VV), strict=True):
            ink = "white" if share_VV[i, j] > 0.3 else "black"
            small = min(1.0, 2.6 / len(str(counts_VV[i, j])))
            axes.text(j, i, str(counts_VV[i, j]), ha="center", va="center", color=ink, fontsize=points * small)
        axes.set_xticks(np.arange(size - 1) + 0.5, minor=True)
        axes.set_yticks(np.arange(size - 1) + 0.5, minor=True)
        axes.grid(which="minor", color="0.85", linewidth=0.5)
        axes.tick_params(which="minor", length=0)
        axes.set_xlabel("recognised")
        axes.set_ylabel("shown")
        axes.set_title(title, parse_math=False)
        figure.colorbar(image, ax=axes, label="share of the clips shown", shrink=min(1.0, 5 / (size * inch)))
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png", metadata={"Software": None})
        write_bytes(path, drawn.getvalue())

    def _occurring(self) -> int:
        return int((~np.isnan(self.confusion.f1_V)).sum())

    def _range(self) -> str:
        return f"{100 * self.interval[0]:.2f} to {100 * self.interval[1]:.2f} %"

    def _interval_note(self) -> str:
        if self.drawn == "signers":
            return f"95 % interval by bootstrap over {len(self.signers)} signers"
        return f"95 % interval by Wilson over {len(self.clips)} clips"

    def _classes(self) -> str:
        confusion = self.confusion
        columns = zip(
            self.labels,
            confusion.counts_VV.sum(axis=1).tolist(),
            confusion.precision_V.tolist(),
            confusion.recall_V.tolist(),
            confusion.f1_V.tolist(),
            strict=True,
        )
        rows = [[escaped(label), str(count), *map(_percent, shares)] for label, count, *shares in columns]
        return table(["class", "clips", "precision", "recall", "F1"], rows)

    def _matrix(self) -> str:
        names = [escaped(label) for label in self.labels]
        rows = [
            [name, *(str(count) if count else "." for count in row)]
            for name, row in zip(names, self.confusion.counts_VV.tolist(), strict=True)
        ]
        return table(["", *names], rows)


def _percent(share: float) -> str:
    return "" if math.isnan(share) else f"{100 * share:.2f} %"


def _shortened(label: str) -> str:
    label = " ".join(label.split())
    return label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"
