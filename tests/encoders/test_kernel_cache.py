"""Compiled code is kept whole, whatever compiles at the same time, is killed or finds no room."""

from __future__ import annotations

import errno
import importlib.util
import linecache
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numba.core.caching import IndexDataCacheFile

from encoders.kernel_cache import kept

SOURCE = "def first(values):\n    return values[0] * 2\n"
WHOLE, REAL = np.array([21]), np.array([10.5])


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch) -> Callable[[], Callable]:
    """The same function as another process would have it: compiled by nobody yet, with the same place to be kept in."""
    file = tmp_path / "doubles.py"
    file.write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)  # by its name Numba finds what another process has kept

    def make() -> Callable:
        spec = importlib.util.spec_from_file_location("doubles", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return kept(module.first)

    return make


def loaded(function: Callable) -> int:
    return sum(function.stats.cache_hits.values())


def test_what_was_compiled_is_found_again(fresh) -> None:
    assert (fresh()(WHOLE), loaded(fresh())) == (42, 0)
    again = fresh()
    assert (again(WHOLE), again(REAL), loaded(again)) == (42, 21.0, 1)


def test_it_is_compiled_anew_when_what_it_rests_on_changes(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "doubles.py").write_text(SOURCE)
    rests = tmp_path / "rests.py"
    monkeypatch.syspath_prepend(tmp_path)

    def made(source: str) -> Callable:
        rests.write_text(source)
        linecache.clearcache()
        modules = []
        for name in ("doubles", "rests"):
            spec = importlib.util.spec_from_file_location(name, tmp_path / f"{name}.py")
            modules.append(importlib.util.module_from_spec(spec))
            spec.loader.exec_module(modules[-1])
        function = kept(modules[0].first, modules[1:])
        function(WHOLE)
        return function

    assert [loaded(made(source)) for source in ("a = 1\n", "a = 1\n", "a = 2\n", "a = 2\n")] == [0, 1, 0, 1]


# A process that has read the index waits, before it writes it, until another has done so, too, or cannot.
COMPILES = """
import sys, time
from pathlib import Path
import numpy as np
from numba.core.caching import IndexDataCacheFile
from encoders.kernel_cache import kept

folder, write = Path(sys.argv[1]), IndexDataCacheFile._save_index
sys.path.insert(0, str(folder))
import doubles

def slow(self, found):
    (folder / f"{sys.argv[2]}.read").touch()
    for _ in range(200):
        if len(list(folder.glob("*.read"))) == 2:
            break
        time.sleep(0.01)
    write(self, found)

IndexDataCacheFile._save_index = slow
kept(doubles.first)(np.ones(1, sys.argv[2]))
"""


def test_two_processes_that_compile_for_different_types_do_not_share_a_file(fresh, tmp_path: Path) -> None:
    last = fresh()
    commands = ([sys.executable, "-c", COMPILES, str(tmp_path), kind] for kind in ("int64", "float64"))
    assert [process.wait() for process in [subprocess.Popen(command) for command in commands]] == [0, 0]
    assert (last(WHOLE), last(REAL), loaded(last)) == (42, 21.0, 2)


def test_who_is_killed_between_note_and_file_leaves_no_code_of_before(fresh, monkeypatch) -> None:
    fresh()(WHOLE)
    last = fresh()
    last._cache.flush()  # as for a source that was changed: no notes, and the file is there

    def killed(self, name, data):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(IndexDataCacheFile, "_save_data", killed)
        with pytest.raises(KeyboardInterrupt):
            last(REAL)
    again = fresh()
    assert (again(REAL), loaded(again)) == (21.0, 0)


def test_a_full_disk_costs_nothing_but_the_next_compilation(fresh, monkeypatch) -> None:
    def full(self, name, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(IndexDataCacheFile, "_save_data", full)
        with pytest.warns(UserWarning, match="cannot be kept for the next run .*No space left"):
            assert fresh()(WHOLE) == 42
    again = fresh()
    assert (again(WHOLE), loaded(again)) == (42, 0)
