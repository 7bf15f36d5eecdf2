"""The bar is on the terminal, and what is printed meanwhile is where standard output was sent."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from inference.progress import with_bar

PROGRAM = """
from inference.progress import with_bar
for number in with_bar(iter(range(3)), "counting", total=3):
    print(number)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_the_bar_is_on_the_terminal_and_the_output_where_it_was_sent(tmp_path: Path, on_terminal) -> None:
    code, shown = on_terminal([sys.executable, "-c", PROGRAM], tmp_path / "out.txt")
    assert code == 0
    assert (tmp_path / "out.txt").read_text() == "0\n1\n2\n"
    assert b"counting" in shown
    assert b"3/3" in shown


def test_without_a_terminal_there_is_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(with_bar([1, 2, 3], "counting")) == [1, 2, 3]
    assert capsys.readouterr() == ("", "")
