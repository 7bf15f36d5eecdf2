"""Commands called as tests call them: in this process, or in one of their own.

This file is no package's part: take it with `runpy.run_path`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence

import pytest

Said = tuple[int, str, str]


def calling(main: Callable[[Sequence[str]], int], *beginning: str) -> Callable[..., Said]:
    """Makes what calls `main` with arguments that begin so: (capsys, *arguments) -> exit code, output, errors."""

    def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> Said:
        capsys.readouterr()
        try:
            code = main([*beginning, *map(str, arguments)])
        except SystemExit as ended:  # how argparse ends
            code = ended.code
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return call


def running(module: str) -> Callable[..., subprocess.CompletedProcess]:
    """Makes what runs `python -m MODULE` with its arguments, and with the settings of `subprocess.run`."""

    def run(*arguments: object, **settings) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", module, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, timeout=120, **settings)

    return run
