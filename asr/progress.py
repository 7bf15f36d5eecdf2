"""One bar for many recordings: how much sound has been heard of all there is, and when the end may be expected."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


class AudioProgress:
    """Progress in seconds of sound, over any number of recordings at once. Nothing is shown where nobody looks.

    Args:
        lengths: Seconds of each recording; 0 where that is not known.
        console: Where it is shown; nowhere if not given, and then rich is not imported.

    Attributes:
        heard: Seconds that have been heard.
        total: Seconds that there are, as far as is known.
    """

    def __init__(self, lengths: Mapping[str, float], console: Console | None):
        self._lengths = dict(lengths)
        self._heard = dict.fromkeys(lengths, 0.0)
        # Kept up to date: adding up a hundred thousand recordings each time would cost more than hearing them.
        self.total = sum(lengths.values())
        self.heard = 0.0
        self._ended = 0
        self._bar = None if console is None or not console.is_terminal else _bar(console)
        if self._bar is not None:
            self._task = self._bar.add_task("", sound="")
            self._show()

    def __enter__(self) -> AudioProgress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Take the bar away while something is printed."""
        if self._bar is not None:
            self._bar.stop()
        try:
            yield
        finally:
            if self._bar is not None:
                self._bar.start()

    def hear(self, source: str, seconds: float) -> None:
        """So much of a recording has been heard; less than before if it was begun anew."""
        self.heard += seconds - self._heard[source]
        self._heard[source] = seconds
        more = max(0.0, seconds - self._lengths[source])  # a header may be wrong, or say nothing
        self._lengths[source] += more
        self.total += more
        self._show()

    def hearing(self, source: str) -> Callable[[float], None]:
        """What is told the seconds of each block of a recording that is heard from its beginning on."""
        so_far = 0.0

        def hear(seconds: float) -> None:
            nonlocal so_far
            so_far += seconds
            self.hear(source, so_far)

        return hear

    def end(self, source: str) -> None:
        """Nothing more comes of this recording, whether it was heard or could not be."""
        self._ended += 1
        self.hear(source, self._lengths[source])

    def _show(self) -> None:
        if self._bar is None:
            return
        self._bar.update(
            self._task,
            description=f"{self._ended}/{len(self._lengths)} files",
            completed=self.heard,
            total=self.total or None,
            sound=f"{hours(self.heard)} of {hours(self.total)}",
        )


def _bar(console: Console) -> Progress:
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from inference.progress import bar

    return bar(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[sound]} of sound, to go"),
        TimeRemainingColumn(),
        console=console,
    )


def hours(seconds: float) -> str:
    """A time as hours, minutes and seconds: 1:02:03."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
