"""The little Markdown that reports are made of."""

from __future__ import annotations


def table(header: list[str], rows: list[list[str]], *, text_columns: int = 1) -> str:
    """A Markdown table: the first columns hold text, the others figures, which stand to the right."""
    rule = ["---"] * text_columns + ["---:"] * (len(header) - text_columns)
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, rule, *rows])


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>#|~&$" else letter for letter in " ".join(text.split()))
