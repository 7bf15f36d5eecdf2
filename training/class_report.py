"""How well items of one label each were recognised: accuracy with its interval, and what was taken for what.

The same for clips of gestures and for recordings of speech; they differ in what their readers call them.
"""

from __future__ import annotations

import importlib.util
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from inference.files import write_bytes, write_text
from inference.markdown import escaped, table
from training.metrics import Confusion, accuracy_interval

LEVEL = 0.95
# More classes than this do not fit a page: their confusions are listed, and the picture shows them all.
WIDEST_TABLE = 30
# Letters of a label in the picture.
LONGEST_LABEL = 24


class ReportError(ValueError):
    """There is nothing to evaluate, or nothing to draw with."""


class Naming(NamedTuple):
    """What items, whoever made them, and the label that they truly have are called, in the words of their readers."""

    items: str = "clips"
    people: str = "signers"
    truly: str = "shown"

    @property
    def item(self) -> str:
        return self.items.removesuffix("s")

    @property
    def person(self) -> str:
        return self.people.removesuffix("s")


CLIPS = Naming()
RECORDINGS = Naming("recordings", "speakers", "known")


class Judged(NamedTuple):
    """One item: its label, what was recognised, and how sure that was, in [0, 1].

    Where it is not known who made it, `person` is None. A clip that was rejected is recognised as `none`.
    """

    id: str
    person: str | None
    reference: str
    recognised: str
    confidence: float

    @property
    def right(self) -> bool:
        return self.reference == self.recognised


def make_report(labels: Sequence[str], items: Iterable[Judged], naming: Naming = CLIPS) -> ClassReport:
    """Compare what was recognised with what is known, item by item.

    Args:
        labels: All classes, in the order in which they are to be listed.
        items: What was recognised.
        naming: What the report calls them.

    Raises:
        ReportError: there are no items.
        training.metrics.MetricsError: an item has a class that is not in `labels`.
    """
    report = ClassReport(tuple(labels), tuple(one._replace(person=one.person or None) for one in items), naming)
    if not report.items:
        raise ReportError(f"no {naming.items} to evaluate: give at least one with its label")
    assert report.confusion.total == len(report.items), "each item is counted once"
    return report


@dataclass(frozen=True)
class ClassReport:
    """The figures of a test set, computed from its items when asked for."""

    labels: tuple[str, ...]
    items: tuple[Judged, ...]
    naming: Naming = CLIPS

    @cached_property
    def confusion(self) -> Confusion:
        """How often each label was taken for each."""
        return Confusion.of(self.labels, [one.reference for one in self.items], [one.recognised for one in self.items])

    @cached_property
    def people(self) -> list[tuple[str | None, int, int]]:
        """Person, items, and how many of them were right, by name; items without one come last, as person None."""
        groups: dict[str | None, list[bool]] = {}
        for one in self.items:
            groups.setdefault(one.person, []).append(one.right)
        names = sorted(groups, key=lambda name: (name is None, name or ""))
        return [(name, len(groups[name]), sum(groups[name])) for name in names]

    @property
    def drawn(self) -> str:
        """What the interval is taken over: people where there are two and each item has one, else items; by name.

        People are the honest choice, since the items of one are right or wrong together. Where every item is right
        their bootstrap has no width, so that it is over items then, too.
        """
        known = all(one.person is not None for one in self.items) and len(self.people) > 1
        over_people = known and not all(one.right for one in self.items)
        return self.naming.people if over_people else self.naming.items

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy: bootstrap over people, or Wilson's over items."""
        groups = [one.person or "" for one in self.items] if self.drawn == self.naming.people else None
        return accuracy_interval([one.right for one in self.items], level=LEVEL, groups=groups)

    @property
    def confidence(self) -> float:
        """The mean confidence; where it is that of the accuracy, confidences are as sure as they should be."""
        return math.fsum(one.confidence for one in self.items) / len(self.items)

    def worst(self, limit: int) -> list[Judged]:
        """Wrong items, those first of which the recogniser was most sure."""
        return sorted((one for one in self.items if not one.right), key=lambda one: (-one.confidence, one.id))[:limit]

    def figures(self) -> dict[str, float]:
        """The figures by their names, as shares."""
        return {"accuracy": self.confusion.accuracy, "macro F1": self.confusion.macro_f1}

    def summary(self) -> str:
        """The totals in two lines of plain text."""
        right, total = sum(one.right for one in self.items), len(self.items)
        return (
            f"accuracy {_percent(self.confusion.accuracy)} (95 % interval: {self._range()}): {right} of {total} "
            f"{self.naming.items}\n"
            f"macro F1 {_percent(self.confusion.macro_f1)} over {self._occurring()} classes; mean confidence "
            f"{_percent(self.confidence)}; {self._interval_note()}"
        )

    def to_markdown(
        self, *, picture: str | None = None, title: str = "Evaluation", confusions: int = 20, worst: int = 10
    ) -> str:
        """The whole report: totals, people, classes, confusions.

        Args:
            title: Its heading.
            confusions: How many of the most frequent confusions to list.
            worst: How many of the worst items to list.
            picture: Address of the confusion matrix as a picture, to be shown in the report.
        """
        items, people, truly = self.naming
        right, total = sum(one.right for one in self.items), len(self.items)
        parts = [
            f"# {escaped(title)}",
            f"{total} {items} of {self._occurring()} classes, {total - right} of them wrong.",
            table(
                ["", "share", "95 % interval"],
                [
                    ["accuracy", _percent(self.confusion.accuracy), self._range()],
                    ["macro F1", _percent(self.confusion.macro_f1), ""],
                    ["mean confidence", _percent(self.confidence), ""],
                ],
            ),
            self._interval_note() + ".",
        ]
        if any(name is not None for name, _, _ in self.people):
            rows = [
                [
                    "(not stated)" if name is None else escaped(name),
                    str(count),
                    str(count - good),
                    _percent(good / count),
                ]
                for name, count, good in self.people
            ]
            parts += [f"## {people.capitalize()}", table([self.naming.person, items, "wrong", "accuracy"], rows)]
        parts += ["## Classes", self._classes()]
        if len(self.labels) <= WIDEST_TABLE:
            sides = f"Rows: what was {truly}. Columns: what was recognised."
            parts += ["## Confusion matrix", sides, self._matrix()]
        elif picture is not None:
            parts.append("## Confusion matrix")
        if picture is not None:
            parts.append(f"![Confusion matrix](<{picture}>)")
        if right < total:
            rows = [
                [escaped(ours), escaped(theirs), str(count)]
                for ours, theirs, count in self.confusion.confused(confusions)
            ]
            parts += ["## Most confused", table([truly, "recognised", "times"], rows, text_columns=2)]
            rows = [
                [escaped(one.id), escaped(one.reference), escaped(one.recognised), _percent(one.confidence)]
                for one in self.worst(worst)
            ]
            header = [self.naming.item, truly, "recognised", "confidence"]
            parts += [f"## Worst {items}", table(header, rows, text_columns=3)]
        return "\n\n".join(parts) + "\n"

    def draw(self, path: str | Path, *, title: str = "") -> bool:
        """Write the confusion matrix as a PNG: colours are shares of a row, numbers are items. There always is one.

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
        axes.set_ylabel(self.naming.truly)
        axes.set_title(title, parse_math=False)
        figure.colorbar(image, ax=axes, label=f"share of the {self.naming.items}", shrink=min(1.0, 5 / (size * inch)))
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png", metadata={"Software": None})
        write_bytes(path, drawn.getvalue())
        return True

    def _occurring(self) -> int:
        return int((~np.isnan(self.confusion.f1_V)).sum())

    def _range(self) -> str:
        return f"{100 * self.interval[0]:.2f} to {100 * self.interval[1]:.2f} %"

    def _interval_note(self) -> str:
        if self.drawn == self.naming.people:
            return f"95 % interval by bootstrap over {len(self.people)} {self.drawn}"
        return f"95 % interval by Wilson over {len(self.items)} {self.drawn}"

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
        return table(["class", self.naming.items, "precision", "recall", "F1"], rows)

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


class Drawable(Protocol):
    """A report with a picture."""

    def to_markdown(self, *, picture: str | None = None) -> str: ...

    def draw(self, path: str | Path, *, title: str = "") -> bool:
        """Write the picture, if there is one; whether there is."""
        ...


def write_page(page: Path, report: Drawable, *, title: str) -> str:
    """Write a report in Markdown and, where matplotlib is installed, its picture beside it; says what was written.

    Raises:
        OSError: it cannot be written.
    """
    picture = page.with_suffix(".png")
    drawable = importlib.util.find_spec("matplotlib") is not None
    drawn = drawable and report.draw(picture, title=title)
    write_text(page, report.to_markdown(picture=picture.name if drawn else None))
    if not drawable:
        return f"report: {page}; the confusion matrix is not drawn: pip install matplotlib"
    return f"report: {page}" + (f" and {picture}" if drawn else "")
