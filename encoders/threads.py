"""Work of our own on the threads with which torch computes.

Between two operations of torch its OpenMP threads do not sleep: they wait in a loop for some milliseconds, on the very
processors that threads of ours would need. So where torch uses GNU's OpenMP, we ask it for the same threads, by the
function that compilers call for a parallel region (libgomp's manual, "Implementing PARALLEL construct"). Elsewhere work
goes to threads of Python.

What holds of torch's threads holds here: a forked process, in which they are not, has to keep to one
(`torch.set_num_threads(1)`), as the processes of a DataLoader do.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

Part = TypeVar("Part")
_Region = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def in_threads(run: Callable[[Part], None], parts: Sequence[Part]) -> None:
    """Call `run` with each part, at the same time on as many threads as torch uses; `run` should release the GIL.

    Raises:
        Exception: the first that `run` has raised, when no part runs any more; some may not have begun.
    """
    threads = min(torch.get_num_threads(), len(parts))
    if threads <= 1:
        for part in parts:
            run(part)
    elif (library := _openmp()) is None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(run, parts))
    else:
        _in_region(library, run, parts, threads)


def _in_region(library: ctypes.CDLL, run: Callable[[Part], None], parts: Sequence[Part], threads: int) -> None:
    raised: list[BaseException] = []
    ended: list[Part] = []

    @_Region
    def region(_: object) -> None:
        try:
            # There may be fewer threads than were asked for.
            for part in parts[library.omp_get_thread_num() :: library.omp_get_num_threads()]:
                run(part)
                ended.append(part)
        except BaseException as error:
            raised.append(error)

    library.GOMP_parallel(region, None, threads, 0)
    if raised:
        raise raised[0]
    if len(ended) < len(parts):
        # Ctrl-C has come before `region` could catch it, and ctypes drops what its functions raise.
        raise KeyboardInterrupt


@cache
def _openmp() -> ctypes.CDLL | None:
    """GNU's OpenMP, if this process has it, which torch then uses."""
    try:
        library = ctypes.CDLL("libgomp.so.1", mode=os.RTLD_NOLOAD | os.RTLD_LAZY)
    except (AttributeError, OSError):  # Windows and macOS have no such flag or no such library
        return None
    library.GOMP_parallel.argtypes = (_Region, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
    library.GOMP_parallel.restype = None
    return library
