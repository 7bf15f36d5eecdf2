"""What in a search has a memory: states whose meaning is computed once and kept, such as those of an LSTM.

An n-gram model has all its states from the start. That of a network are made while a search runs, and a stream never
ends, so the search says from time to time which ones it still holds.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cache
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np


@runtime_checkable
class Remembering(Protocol):
    """A fusion or a language model that keeps what it has computed of its states."""

    def fork(self) -> Remembering:
        """The same with the same memories, for a search of its own: what one of them forgets, the other still has.

        Itself, if it has nothing to forget; then its states are the same ones in all searches, which may ask together.
        """
        ...

    def keep(self, states_N: np.ndarray, /) -> None:
        """From now on only these states, what begins, and what follows them will be asked for: forget the others."""
        ...


@runtime_checkable
class Computed(Protocol):
    """A language model that answers for many states at once faster than for one after the other."""

    def ready(self, states_K: np.ndarray, /) -> None:
        """Compute what these states predict."""
        ...


Any = TypeVar("Any")


def fork(one: Any) -> Any:
    """One for a search of its own; itself if it remembers nothing."""
    return one.fork() if _offers(type(one), Remembering) else one


def fork_by_model(one: Any) -> Any:
    """One for a search of its own, of what remembers nothing but what its model does."""
    model = fork(one._model)
    if model is one._model:
        return one
    other = copy.copy(one)
    other._model = model
    return other


def ready(one: object, states_K: np.ndarray) -> None:
    """Have all of these states computed together, where one computes them."""
    if _offers(type(one), Computed):
        one.ready(states_K)


def keep(one: object, states_N: np.ndarray | Sequence[int]) -> None:
    """Tell one that remembers which states are still held."""
    if _offers(type(one), Remembering):
        one.keep(np.asarray(states_N, dtype=np.int64))


@cache
def _offers(kind: type, protocol: type) -> bool:
    """Whether what is of a class has the methods of a protocol: looking takes as long as a frame of the search."""
    return issubclass(kind, protocol)
