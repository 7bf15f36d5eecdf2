"""Sounds in a tar archive are those of the files that were put into it; what is wrong with one is a line."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from features import audio
from features.archive import Member, contents


@pytest.fixture(autouse=True)
def no_tables() -> None:
    contents.cache_clear()


def packed(folder: Path, **files: bytes) -> str:
    with tarfile.open(folder / "sounds.tar", "w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return str(folder / "sounds.tar")


def sound(folder: Path, seed: int, suffix: str = "flac") -> bytes:
    path = folder / f"{seed}.{suffix}"
    samples_S = (0.3 * np.random.default_rng(seed).standard_normal(4000)).clip(-1, 1).astype(np.float32)
    audio.write(path, samples_S, 8000)
    return path.read_bytes()


def test_what_is_in_an_archive_sounds_as_its_file_does(tmp_path: Path) -> None:
    archive = packed(
        tmp_path,
        **{"a.1.flac": sound(tmp_path, 1), "a.1.json": b"{}", "who/b.wav": sound(tmp_path, 2, "wav"), "a.flac": b""},
    )
    for name, file in (("a.1", "1.flac"), ("who/b", "2.wav")):
        whole, rate = audio.read(Member(archive, name))
        np.testing.assert_array_equal(whole, audio.read(tmp_path / file)[0])
        assert rate == 8000
        part, _ = audio.read(Member(archive, name), rate=16000, start=0.1, duration=0.2)
        np.testing.assert_array_equal(part, audio.read(tmp_path / file, rate=16000, start=0.1, duration=0.2)[0])
        assert audio.info(Member(archive, name)) == audio.info(tmp_path / file)
    with pytest.raises(audio.AudioError, match=r"sounds\.tar/a: is empty"):
        audio.read(Member(archive, "a"))


def test_every_table_is_kept_and_small(tmp_path: Path) -> None:
    """A corpus has thousands of archives, and each batch reads from any of them."""
    archives = []
    for k in range(300):
        (tmp_path / str(k)).mkdir()
        archives.append(packed(tmp_path / str(k), **{f"{k}-{n}.wav": bytes([n]) for n in range(5)}))
    for _ in range(2):
        for k, archive in enumerate(archives):
            assert Member(archive, f"{k}-3").open().read() == b"\x03"
    assert contents.cache_info().misses == 300
    table = contents(archives[0])
    assert len(table.keys_N) == 5
    assert sum(field.itemsize for field in table) == 24


def test_what_is_no_archive_or_cut_short_or_not_in_it_is_named(tmp_path: Path) -> None:
    archive = Path(packed(tmp_path, **{"a.flac": sound(tmp_path, 1), "b.flac": sound(tmp_path, 2)}))
    with pytest.raises(audio.AudioError, match=r"sounds\.tar: has no file c: "):
        audio.read(Member(str(archive), "c"))
    whole = archive.read_bytes()
    archive.write_bytes(whole[:2000])
    with pytest.raises(audio.AudioError, match=r"sounds\.tar: is cut short in a: copy it again"):
        audio.read(Member(str(archive), "a"))
    for content in (whole[:2000], b"no archive at all", b"\x1f\x8b" + bytes(2000)):
        contents.cache_clear()
        archive.write_bytes(content)
        with pytest.raises(audio.AudioError, match=r"sounds\.tar: is no tar archive, or damaged"):
            audio.read(Member(str(archive), "a"))
    contents.cache_clear()
    archive.unlink()
    with pytest.raises(audio.AudioError, match=r"sounds\.tar: cannot be read: No such file"):
        audio.read(Member(str(archive), "a"))
