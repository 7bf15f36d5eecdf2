"""Work in a thread beside other work, where it does not hold the interpreter's lock: so a graph is opened at a start.

`concurrent.futures` does the same, and its import takes a part of the time that is to be gained.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

A = TypeVar("A")


class Beside(Generic[A]):
    """A function that runs in a thread from now on.

    Args:
        work: It.
    """

    def __init__(self, work: Callable[[], A]):
        self._work = work
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def result(self) -> A:
        """What it returns, once it has; or what it raised is raised here."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._result

    def _run(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:  # whoever waits for it is told
            self._error = error
