"""What Numba keeps of compiled functions from one run to the next, for several processes at once.

Numba notes in an index which file holds the code for which types, without a lock. Two processes that compile the same
function for different types can so be noted with one file, and a process that is killed in between leaves a note of a
file from before. Numba does not look whether the code that it loads is for the types that it is called with: it would
write where it must not.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from types import ModuleType

import numba
from filelock import FileLock
from numba.core.caching import FunctionCache


def kept(function: Callable, rests_on: Sequence[ModuleType] = (), **options) -> Callable:
    """`function` compiled when it is first called, and kept beside its file or in the user's cache.

    Args:
        rests_on: Modules other than its own whose functions are compiled into it: when their source changes, it is
            compiled anew, as it is when its own does.
        options: Of `numba.njit`.
    """
    dispatcher = numba.njit(**options)(function)
    try:
        dispatcher._cache = LockedCache(dispatcher.py_func)  # as `cache=True` does with Numba's own
        dispatcher._cache.add_to_stamp([inspect.getsource(module) for module in rests_on])
    except (RuntimeError, OSError):  # neither place can be written to, or there is no source
        return dispatcher
    return dispatcher


class LockedCache(FunctionCache):
    """Numba's cache of a function, read and written by one process at a time."""

    def add_to_stamp(self, sources: list[str]) -> None:
        """Take what is kept for good only where it was compiled beside these, too."""
        hashes = [sha256(source.encode()).digest() for source in sources]
        self._cache_file._source_stamp = (self._cache_file._source_stamp, *hashes)

    def _load_overload(self, sig, target_context):
        try:
            self._impl.locator.ensure_cache_path()
            with self._lock():
                return super()._load_overload(sig, target_context)
        except OSError:  # what cannot be read is compiled
            return None

    def _save_overload(self, sig, data):
        try:
            self._impl.locator.ensure_cache_path()
            with self._lock():
                self._remove_unnoted()
                super()._save_overload(sig, data)
        except OSError as error:  # of a full disk; the function is compiled all the same
            warnings.warn(f"{self.cache_path}: compiled code cannot be kept for the next run ({error})", stacklevel=2)

    def _lock(self) -> FileLock:
        return FileLock(Path(self.cache_path) / f"{self._impl.filename_base}.lock")

    def _remove_unnoted(self) -> None:
        """Files that the index does not name, lest a note that is made before its file is written finds one of them."""
        noted = set(self._cache_file._load_index().values())
        for path in Path(self.cache_path).glob("*.nbc"):
            if path.name.startswith(f"{self._impl.filename_base}.") and path.name not in noted:
                path.unlink()
