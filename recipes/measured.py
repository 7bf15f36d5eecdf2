"""What measuring a model on a test set gives, whatever the recipe is about."""

from __future__ import annotations

from typing import NamedTuple


class Measured(NamedTuple):
    """A few lines, a report in Markdown, and figures by their names: shares, or counts where the name says so."""

    summary: str
    report: str
    figures: dict[str, float]


def shown(figure: str, value: float) -> str:
    """An error rate in per cent, any other figure as a share."""
    return f"{100 * value:.2f} %" if figure in ("WER", "label error rate", "live label error rate") else f"{value:.4f}"
