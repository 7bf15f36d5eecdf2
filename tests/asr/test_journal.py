"""What is heard is kept line by line, and neither a cut line, another file nor a changed recording does harm."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

import pytest

from asr.journal import FileState, Journal
from asr.sources import InputError

SETTINGS = {"model": "a", "search": {"beam": 8, "lm": None}}


def recordings(folder: Path, count: int) -> list[FileState]:
    paths = [folder / f"{number}.wav" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes(number))
    return [FileState.of(str(path)) for path in paths]


def filled(path: Path, found: list[FileState]) -> None:
    with Journal(path, SETTINGS) as journal:
        for number, recording in enumerate(found):
            journal.add(recording, [number / 3, [[0.1, 0.2, "é \n", 0.3]]])


def test_it_goes_on_after_the_last_whole_line_wherever_it_was_cut(tmp_path: Path) -> None:
    path, found = tmp_path / "out.part", recordings(tmp_path, 3)
    filled(path, found)
    content = path.read_bytes()
    ends = [place for place, byte in enumerate(content, start=1) if byte == ord("\n")]
    for cut in range(ends[0], len(content) + 1):
        path.write_bytes(content[:cut])
        whole = sum(end <= cut for end in ends[1:])
        with Journal(path, SETTINGS) as journal:
            heard = [journal.get(recording) for recording in found]
            assert heard == [[n / 3, [[0.1, 0.2, "é \n", 0.3]]] if n < whole else None for n in range(3)]
            for number in range(whole, 3):
                journal.add(found[number], [number / 3, [[0.1, 0.2, "é \n", 0.3]]])
        assert path.read_bytes() == content


def test_a_recording_that_changed_or_went_is_not_the_one_that_was_heard(tmp_path: Path) -> None:
    path, found = tmp_path / "out.part", recordings(tmp_path, 3)
    filled(path, found)
    os.utime(found[0].path, ns=(1, 1))
    Path(found[1].path).unlink()
    with Journal(path, SETTINGS) as journal:
        assert [journal.get(FileState.of(one.path)) is not None for one in found] == [False, False, True]


def test_it_is_gone_where_it_is_empty_or_of_no_more_use(tmp_path: Path) -> None:
    path, found = tmp_path / "out.part", recordings(tmp_path, 1)
    with Journal(path, SETTINGS):
        assert path.exists()
    assert not path.exists()
    filled(path, found)
    with Journal(path, SETTINGS) as journal:
        journal.remove()
    assert not path.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is in the way"),
        (b"words", "is in the way"),
        (b"[]\n", "is in the way"),
        (b"\xff\n", "is in the way"),
        (b'{"model": "b", "pause": 1}\n', r"other settings \(model, pause, search\)"),
        (b'{"model": "a", "search": {"beam": 8, "lm": null}}\n[1]\n', "is damaged"),
    ],
)
def test_another_file_stays_as_it_is(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "out.part"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        Journal(path, SETTINGS)
    assert path.read_bytes() == content


def test_a_full_disk_is_said_and_what_was_kept_is_there(tmp_path: Path) -> None:
    path, found = tmp_path / "out.part", recordings(tmp_path, 2)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Journal(path, SETTINGS) as journal:
        journal.add(found[0], "words")
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, before[1]))
        try:
            with pytest.raises(OSError, match=r"out\.part") as raised:
                journal.add(found[1], "more words")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert raised.value.errno == errno.EFBIG
    with Journal(path, SETTINGS) as journal:
        assert [journal.get(one) for one in found] == ["words", None]
