"""How commands end: the exit code, and one line that says why."""

from __future__ import annotations

import atexit
import subprocess
import sys

import pytest

from inference.shell import guarded, one_line


def test_errors_are_put_on_one_line() -> None:
    assert one_line(ValueError("a\n  b\n")) == "a b"
    assert one_line(ValueError()) == "ValueError"
    assert one_line(FileNotFoundError(2, "No such file or directory", "x.wav")) == "x.wav: No such file or directory"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ValueError("no such\nmodel"), 2, "asr: no such model\n"),
        (FileNotFoundError(2, "No such file or directory", "x.wav"), 2, "asr: x.wav: No such file or directory\n"),
        (KeyboardInterrupt(), 130, "asr: stopped\n"),
    ],
)
def test_mistakes_end_with_a_code_and_a_line(capsys, error: BaseException, code: int, said: str) -> None:
    def run() -> int:
        raise error

    assert guarded("asr", run) == code
    assert capsys.readouterr() == ("", said)


def test_mistakes_of_the_program_are_not_hidden() -> None:
    def run() -> int:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        guarded("asr", run)


def test_what_ends_well_has_its_own_code() -> None:
    assert guarded("asr", lambda: 1) == 1


ENDS = """
import atexit, gc, sys
from inference.shell import guarded

atexit.register(lambda: print(gc.get_freeze_count()))  # after what is registered later
sys.exit(guarded("asr", lambda: 3))
"""


def test_nothing_is_looked_through_as_a_command_ends() -> None:
    ended = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (3, "")
    assert int(ended.stdout) > 1000


def test_many_commands_in_one_process_leave_no_more_to_do_at_its_end_than_one() -> None:
    assert guarded("asr", lambda: 0) == 0
    before = atexit._ncallbacks()
    assert guarded("asr", lambda: 0) == 0
    assert atexit._ncallbacks() == before
