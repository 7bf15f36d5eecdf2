"""Keeps the messages of C libraries off the user's terminal.

libsndfile decodes mp3 with mpg123, which writes notes about odd headers to the C stream `stderr` and cannot be asked
through libsndfile not to; PortAudio and ALSA write there where in their source code something failed. Descriptor 2 is
left alone, so what Python and its threads write there is never lost.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_c_stderr() -> Iterator[None]:
    """While in here, what C code prints to its `stderr` is dropped (glibc and macOS; elsewhere nothing is done)."""
    swap = _stream()
    if swap is None:
        yield
        return
    variable, original, nowhere = swap
    variable.value = nowhere
    try:
        yield
    finally:
        # Two threads in here at once cost at worst a message: nobody can take the other's `nowhere` for the original.
        variable.value = original


@functools.cache
def _stream() -> tuple[ctypes.c_void_p, int, int] | None:
    """The C variable, what it holds, and a stream that leads nowhere; None where the variable cannot be set."""
    if sys.platform == "darwin":
        symbol = "__stderrp"
    elif sys.platform == "linux" and _is_glibc():
        symbol = "stderr"
    else:
        return None
    library = ctypes.CDLL(None)
    library.fopen.restype = ctypes.c_void_p
    nowhere = library.fopen(os.devnull.encode(), b"w")
    variable = ctypes.c_void_p.in_dll(library, symbol)
    if nowhere is None or variable.value is None:
        return None
    return variable, variable.value, nowhere


def _is_glibc() -> bool:
    """Other C libraries of Linux keep `stderr` in memory that may not be written."""
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (ValueError, OSError):
        return False
