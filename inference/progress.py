"""The bar of long work: on standard error, on a terminal alone, and gone when the work is done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

One = TypeVar("One")
DEFAULT = (
    TextColumn("{task.description}"),
    BarColumn(),
    TextColumn("{task.completed}/{task.total}"),
    TimeRemainingColumn(),
)


def bar(*columns: ProgressColumn, console: Console | None = None) -> Progress:
    """A bar that leaves standard output alone: what is printed meanwhile goes where it was sent.

    Args:
        columns: What it shows; by default what is done, how far it is and when it will end.
        console: Where it is shown; standard error if not given.
    """
    console = console or Console(stderr=True)
    return Progress(
        *(columns or DEFAULT),
        console=console,
        transient=True,
        disable=not console.is_terminal,
        redirect_stdout=False,  # it would go to the bar's own stream
    )


def with_bar(items: Iterable[One], what: str, *, total: int | None = None) -> Iterator[One]:
    """The items, with a bar that says what is done with them.

    Args:
        items: What is worked on.
        what: One or two words.
        total: How many there are, where the items themselves do not tell.
    """
    with bar() as progress:
        yield from progress.track(items, total=total, description=what)
