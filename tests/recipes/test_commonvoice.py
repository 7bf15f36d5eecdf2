"""commonvoice: the publisher's division where there is one, else no speaker in two parts, and many in the tests."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.commonvoice.prepare import prepare
from recipes.corpora import common_voice
from recipes.corpora.common_voice import divide, divided
from recipes.corpora.spoken import Utterance
from training.manifests import ManifestError, read

write_volunteers = runpy.run_path(str(Path(__file__).with_name("read_corpora.py")))["write_volunteers"]


def said(*counts: int) -> list[Utterance]:
    """So many utterances of each speaker, one by one."""
    speakers = [f"s{number}" for number, count in enumerate(counts) for _ in range(count)]
    return [Utterance(f"u{k}", Path(f"u{k}.mp3"), "hello", speaker) for k, speaker in enumerate(speakers)]


@given(st.lists(st.integers(1, 30), min_size=3, max_size=60), st.integers(0, 9))
def test_every_utterance_is_in_one_part_and_every_speaker_too(counts: list[int], seed: int) -> None:
    found = said(*counts)
    try:
        parts = divide(found, seed=seed)
    except ManifestError:
        assert sum(count <= max(1, 0.02 * len(found)) for count in counts) < 3
        return
    assert sorted(one for part in parts.values() for one in part) == sorted(found)
    speakers = [{one.speaker for one in part} for part in parts.values()]
    assert all(speakers)
    assert len(set.union(*speakers)) == sum(map(len, speakers)) == len(counts)
    assert parts == divide(found, seed=seed)


def test_who_read_much_trains() -> None:
    parts = divide(said(300, 200, *[5] * 100), seed=1)
    assert {one.speaker for one in parts["train"]} >= {"s0", "s1"}
    for part in ("dev", "test"):
        assert 100 <= len(parts[part]) <= 105
        assert len({one.speaker for one in parts[part]}) >= 20


def test_the_publishers_division_is_kept(tmp_path: Path) -> None:
    for part in ("train", "dev", "test"):
        write_volunteers(tmp_path / "en", [(f"{part}-client", "One of many.")] * 2, table=part)
    prepare(tmp_path / "en", tmp_path / "out")
    for part in ("train", "dev", "test"):
        items = read(tmp_path / "out" / "manifests" / f"{part}.jsonl.gz")
        assert [(item.speaker, item.text) for item in items] == [(f"commonvoice-{part}-client", "One of many.")] * 2
    assert (tmp_path / "out" / "train.txt").read_text() == 2 * "One of many.\n"


def test_division_of_the_clips_that_are_here(shared_data: Path) -> None:
    parts = divided(shared_data / "commonvoice-en")
    assert sum(map(len, parts.values())) == 1469
    for part in ("dev", "test"):
        assert 147 <= len(parts[part]) <= 175
        assert len({one.speaker for one in parts[part]}) > 15
    assert all(one.path.is_file() for one in parts["test"])


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"validated\.tsv: missing; unpack the archive of Common Voice"):
        common_voice.utterances(tmp_path)
    write_volunteers(tmp_path, [("a", "One."), ("b", "Two.")])
    with pytest.raises(ManifestError, match="2 speakers are too few to keep some"):
        divided(tmp_path)
    table = tmp_path / "validated.tsv"
    table.write_text(table.read_text() + "c\tpath-alone.mp3\n")
    with pytest.raises(ManifestError, match=r"validated\.tsv: line 4 is cut short"):
        common_voice.utterances(tmp_path)
    table.write_text("client_id\tpath\n")
    with pytest.raises(ManifestError, match=r"validated\.tsv: no column sentence"):
        common_voice.utterances(tmp_path)
