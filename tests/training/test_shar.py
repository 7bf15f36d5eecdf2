"""lhotse Shar: the cuts that lhotse wrote, their sound out of the archives, and nothing of it before it is needed."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lhotse import CutSet

from features import audio
from features.archive import contents
from training.manifests import Item, ManifestError, cut, read

RATE = 8000


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    """Seven recordings of different lengths, and what is said in them."""
    folder = tmp_path_factory.mktemp("original")
    for k in range(7):
        samples_S = (0.2 * np.random.default_rng(k).standard_normal(RATE // 4 + 100 * k)).astype(np.float32)
        audio.write(folder / f"u.{k}.wav", samples_S, RATE)
    rows = [f"u.{k}.wav\tword{k} {k}\t{'anna' if k % 2 else ''}" for k in range(7)]
    (folder / "all.tsv").write_text("\n".join(["path\ttext\tspeaker", *rows]))
    return read(folder / "all.tsv")


def shar(folder: Path, items: list[Item], **fields: str) -> Path:
    """As `CutSet.to_shar` writes them, three in a shard."""
    folder.mkdir(parents=True, exist_ok=True)
    cuts = CutSet.from_cuts(cut(item.id, item.path, item.text, speaker=item.speaker) for item in items)
    cuts.to_shar(folder, fields=fields or {"recording": "wav"}, shard_size=3)
    return folder


@pytest.mark.parametrize("form", ["wav", "flac"])
def test_what_lhotse_wrote_comes_back_with_its_sound(form: str, original: list[Item], tmp_path: Path) -> None:
    folder = shar(tmp_path, original, recording=form)
    assert len(list(folder.glob("*.tar"))) == 3
    items = read(f"shar:{folder}")
    assert [item.content for item in items] == [item.content for item in original]
    for one, other, published in zip(items, original, CutSet.from_shar(in_dir=folder), strict=True):
        found, _ = audio.read(one.path, start=one.start, duration=one.duration)
        np.testing.assert_allclose(found, audio.read(other.path)[0], rtol=0, atol=2**-15)
        np.testing.assert_allclose(found, published.load_audio()[0], rtol=0, atol=2**-15)


def test_parts_of_recordings_lie_in_shar_by_themselves(original: list[Item], tmp_path: Path) -> None:
    whole = cut(original[6].id, original[6].path, original[6].text)
    CutSet.from_cuts([whole.truncate(offset=0.1, duration=0.125)]).to_shar(tmp_path, fields={"recording": "wav"})
    (item,) = read(f"shar:{tmp_path}")
    assert (item.start, item.duration) == (0.0, 0.125)
    part, _ = audio.read(original[6].path, start=0.1, duration=0.125)
    found, _ = audio.read(item.path, start=item.start, duration=item.duration)
    np.testing.assert_allclose(found, part, rtol=0, atol=2**-15)


def test_texts_are_labels_or_need_not_be_there(original: list[Item], tmp_path: Path) -> None:
    assert read(f"shar:{shar(tmp_path, original)}", labelled=True)[1].labels == {"word1 1"}
    silent = shar(tmp_path / "silent", [replace(item, text="") for item in original])
    assert [item.text for item in read(f"shar:{silent}", untold=True)] == [""] * 7


def test_archives_are_opened_when_their_sound_is_needed(original: list[Item], tmp_path: Path) -> None:
    folder = shar(tmp_path, original)
    (folder / "recording.000001.tar").write_bytes(b"damaged")
    contents.cache_clear()
    items = read(f"shar:{folder}")
    assert contents.cache_info().currsize == 0
    assert len(audio.read(items[0].path)[0])
    assert contents.cache_info().currsize == 1
    with pytest.raises(audio.AudioError, match=r"recording\.000001\.tar: is no tar archive"):
        audio.read(items[3].path)


def test_what_is_no_shar_is_named(original: list[Item], tmp_path: Path) -> None:
    def refused(folder: Path) -> str:
        with pytest.raises(ManifestError) as caught:
            read(f"shar:{folder}")
        assert len(str(caught.value).splitlines()) == 1
        return str(caught.value)

    assert f"{tmp_path / 'none'}: no such folder" in refused(tmp_path / "none")
    assert "has no shards of lhotse Shar" in refused(tmp_path)
    folder = shar(tmp_path / "gone", original)
    (folder / "recording.000002.tar").unlink()
    assert "recording.000002.tar: no such file, but there is cuts.000002.jsonl.gz" in refused(folder)
    folder = shar(tmp_path / "cut", original)
    whole = (folder / "cuts.000001.jsonl.gz").read_bytes()
    (folder / "cuts.000001.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    assert "cuts.000001.jsonl.gz: not a lhotse manifest of cuts" in refused(folder)
    (folder / "cuts.000001.jsonl.gz").write_bytes(gzip.compress(b'{"id": "x", "type": "PaddingCut"}\n'))
    assert "cuts.000001.jsonl.gz: " in refused(folder)
