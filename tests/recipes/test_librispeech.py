"""librispeech on a miniature of the official layout: prepared as lhotse does, interrupted, damaged, run whole."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from lhotse.recipes.librispeech import prepare_librispeech

from recipes.cli import main
from recipes.librispeech import prepare as module
from recipes.librispeech.chapters import Chapter, read_chapter, read_chapters
from recipes.librispeech.prepare import PUBLISHED, prepare
from training.manifests import Item, ManifestError, read

SENTENCES = ("NORTHANGER ABBEY", "A CAB IN THE RAIN", "HE'D BEEN THERE")


def write_chapter(part: Path, speaker: int, chapter: int, *, utterances: int = 3) -> Path:
    folder = part / str(speaker) / str(chapter)
    folder.mkdir(parents=True)
    rng = np.random.default_rng([speaker, chapter])
    lines = []
    for number in range(utterances):
        id = f"{speaker}-{chapter}-{number:04d}"
        soundfile.write(folder / f"{id}.flac", 0.1 * rng.standard_normal(rng.integers(16000, 32000)), 16000)
        lines.append(f"{id} {SENTENCES[number % len(SENTENCES)]}")
    (folder / f"{speaker}-{chapter}.trans.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All seven parts, with two speakers of two chapters of three utterances each."""
    data = tmp_path_factory.mktemp("corpus")
    (data / "LibriSpeech").mkdir()
    (data / "LibriSpeech" / "SPEAKERS.TXT").write_text(";ID |SEX| SUBSET |MINUTES| NAME\n19 | F | train-clean-100\n")
    speaker = 9
    for part in PUBLISHED:
        for _ in range(2):
            speaker += 10
            for chapter in (198, 1200):
                write_chapter(data / "LibriSpeech" / part, speaker, chapter)
    return data


@pytest.fixture
def corpus(original: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return shutil.copytree(original, tmp_path / "corpus")


def manifests(out: Path) -> dict[str, list[Item]]:
    return {path.name.removesuffix(".jsonl.gz"): read(path) for path in (out / "manifests").glob("*.jsonl.gz")}


def by_lhotse(data: Path, parts: list[str]) -> set[Item]:
    found = prepare_librispeech(data / "LibriSpeech", dataset_parts=parts)
    items = set()
    for part in found.values():
        for said in part["supervisions"]:
            path = part["recordings"][said.recording_id].sources[0].source
            items.add(Item(said.id, str(Path(path).resolve()), said.start, said.duration, said.text, said.speaker))
    return items


@pytest.mark.parametrize(
    ("size", "dev_other", "train", "dev"),
    [
        ("100", False, ["train-clean-100"], ["dev-clean"]),
        ("960", True, ["train-clean-100", "train-clean-360", "train-other-500"], ["dev-clean", "dev-other"]),
    ],
)
def test_manifests_hold_what_lhotse_finds(
    original: Path, tmp_path: Path, size: str, dev_other: bool, train: list[str], dev: list[str]
) -> None:
    prepare(original, tmp_path, size=size, dev_other=dev_other)
    found = manifests(tmp_path)
    assert set(found) == {"train", "dev", "test_clean", "test_other"}
    for name, parts in (("train", train), ("dev", dev), ("test_clean", ["test-clean"]), ("test_other", ["test-other"])):
        assert len(found[name]) == 12 * len(parts)
        assert set(found[name]) == by_lhotse(original, parts)
    assert len({frozenset(item.speaker for item in items) for items in found.values()}) == 4


def test_the_folder_itself_may_be_named_and_a_part_alone_is_enough_for_its_size(corpus: Path, tmp_path: Path) -> None:
    for part in ("train-clean-360", "train-other-500", "dev-other"):
        shutil.rmtree(corpus / "LibriSpeech" / part)
    prepare(corpus / "LibriSpeech", tmp_path / "out")
    assert len(manifests(tmp_path / "out")["train"]) == 12


def test_finished_parts_are_not_made_again(
    original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(original, tmp_path)
    assert "train-clean-100: 12 utterances, 0.0 h (as published it has 28,539)" in capsys.readouterr().err
    before, items = _times(tmp_path), manifests(tmp_path)
    assert len(before) == 4
    monkeypatch.setattr(module, "read_chapters", _refuse)
    prepare(original, tmp_path)
    assert (_times(tmp_path), manifests(tmp_path)) == (before, items)
    assert capsys.readouterr().err == ""
    monkeypatch.undo()
    prepare(original, tmp_path, size="960")
    after = _times(tmp_path)
    assert len(after) == 6
    assert before.items() <= after.items()


def _times(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (out / "manifests" / "parts").iterdir()}


def _refuse(folders: list[Path], *, processes: int) -> Iterator[object]:
    raise AssertionError(f"{folders} are read again")


def test_an_interrupted_preparation_goes_on(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(original, tmp_path / "whole")
    first: list[str] = []
    monkeypatch.setattr(module, "read_chapters", _recording(first, stop_after=6))
    with pytest.raises(KeyboardInterrupt):
        prepare(original, tmp_path / "halves")
    journal = tmp_path / "halves" / "manifests" / "parts" / ".partial.dev-clean.jsonl"
    assert journal.read_bytes().count(b"\n") == 3, "a heading and two chapters"
    journal.write_bytes(journal.read_bytes()[:-20])  # as if the second had been written in part
    assert not (tmp_path / "halves" / "manifests" / "dev.jsonl.gz").exists()
    second: list[str] = []
    monkeypatch.setattr(module, "read_chapters", _recording(second))
    prepare(original, tmp_path / "halves")
    assert manifests(tmp_path / "halves") == manifests(tmp_path / "whole")
    assert not journal.exists()
    parts = ("train-clean-100", "dev-clean", "test-clean", "test-other")
    chapters = [str(path) for part in parts for path in sorted((original / "LibriSpeech" / part).glob("*/*"))]
    assert first == chapters[:6]
    assert second == chapters[5:]


def _recording(into: list[str], *, stop_after: int | None = None) -> Callable[..., Iterator[object]]:
    """`read_chapters` that notes what it has read, and is interrupted once that is so many chapters."""

    def read_and_note(folders: list[Path], *, processes: int) -> Iterator[object]:
        for folder in folders:
            if len(into) == stop_after:
                raise KeyboardInterrupt
            into.append(str(folder))
            yield read_chapter(folder)

    return read_and_note


def test_a_missing_part_names_its_archive(corpus: Path, tmp_path: Path) -> None:
    for part in ("train-clean-360", "test-other"):
        shutil.rmtree(corpus / "LibriSpeech" / part)
    with pytest.raises(
        ManifestError,
        match=r"LibriSpeech: no folder train-clean-360, test-other; "
        r"unpack train-clean-360\.tar\.gz, test-other\.tar\.gz of OpenSLR 12 in .*corpus",
    ):
        prepare(corpus, tmp_path, size="960")
    with pytest.raises(ManifestError, match=r"train-clean-100\.tar\.gz"):
        prepare(tmp_path / "absent", tmp_path)
    assert not (tmp_path / "manifests").exists()


def test_an_empty_part_is_an_error(corpus: Path, tmp_path: Path) -> None:
    for path in (corpus / "LibriSpeech" / "dev-clean").iterdir():
        shutil.rmtree(path)
    with pytest.raises(ManifestError, match=r"dev-clean: holds no recording with a transcript; unpack dev-clean\.tar"):
        prepare(corpus, tmp_path / "out")


def test_damaged_recordings_are_named_and_read_again_once_they_are_whole(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = sorted((corpus / "LibriSpeech" / "train-clean-100" / "19" / "198").glob("*.flac"))
    whole = [path.read_bytes() for path in damaged]
    damaged[0].write_bytes(whole[0][:20])
    damaged[1].write_bytes(b"")
    damaged[2].write_text("not found")
    with pytest.raises(ManifestError) as raised:
        prepare(corpus, tmp_path / "out")
    message = str(raised.value)
    assert "\n" not in message
    assert all(path.name in message for path in damaged)
    assert "unpack train-clean-100.tar.gz of OpenSLR 12 again" in message
    assert not (tmp_path / "out" / "manifests" / "train.jsonl.gz").exists()
    for path, content in zip(damaged, whole, strict=True):
        path.write_bytes(content)
    again: list[str] = []
    monkeypatch.setattr(module, "read_chapters", _recording(again))
    prepare(corpus, tmp_path / "out")
    assert [path for path in again if "train-clean-100" in path] == [str(damaged[0].parent)]
    prepare(corpus, tmp_path / "at once")
    assert manifests(tmp_path / "out") == manifests(tmp_path / "at once")


def test_what_has_no_partner_is_left_out_and_counted(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = corpus / "LibriSpeech" / "test-clean"
    first, second = sorted(part.iterdir())
    (first / "198" / f"{first.name}-198-0001.flac").unlink()
    (second / "198" / f"{second.name}-198.trans.txt").unlink()
    prepare(corpus, tmp_path / "out")
    said = capsys.readouterr().err
    assert f"test-clean: 1 transcripts without a recording were left out: {first.name}-198-0001" in said
    assert f"test-clean: 3 recordings without a transcript were left out: {second.name}-198-0000" in said
    assert f"remove {tmp_path / 'out' / 'manifests' / 'parts' / 'test-clean.jsonl.gz'}" in said
    ids = {item.id for item in manifests(tmp_path / "out")["test_clean"]}
    assert len(ids) == 12 - 1 - 3
    assert f"{first.name}-198-0001" not in ids


def test_a_corpus_that_has_moved_is_read_where_it_is_now(corpus: Path, tmp_path: Path) -> None:
    prepare(corpus, tmp_path / "out")
    moved = corpus.rename(tmp_path / "moved")
    prepare(moved, tmp_path / "out")
    assert all(Path(item.path).is_file() for items in manifests(tmp_path / "out").values() for item in items)


def test_several_processes_find_the_same(tmp_path: Path) -> None:
    folders = [write_chapter(tmp_path / "dev-clean", 7, chapter, utterances=1) for chapter in range(100, 132)]
    alone = list(read_chapters(folders, processes=1))
    assert alone == list(read_chapters(folders, processes=2))
    assert [chapter.name for chapter in alone] == [f"7/{chapter}" for chapter in range(100, 132)]
    assert [Chapter(*fields) for fields in json.loads(json.dumps(alone))] == [
        chapter._replace(utterances=[list(utterance) for utterance in chapter.utterances]) for chapter in alone
    ]


def test_whole_run_ends_in_a_result_for_each_test(
    original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = ["--encoder.layers", "2", "--encoder.hidden_size", "8", "--loop.epochs", "1", "--loop.workers", "0"]
    arguments = ["librispeech", "--data", str(original), "--out", str(tmp_path), "--prepare.size", "960", *tiny]
    assert main([*arguments, "--loop.interval_batches", "null", "--loop.threads", "1"]) == 0
    *_, clean, other = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"test clean WER \d+\.\d\d %", clean)
    assert re.fullmatch(r"test other WER \d+\.\d\d %", other)
    assert (tmp_path / "model" / "model.onnx").is_file()
    card = (tmp_path / "model" / "README.md").read_text()
    assert "CC BY 4.0" in card
    assert "36 utterances" in card
    for name in ("test_clean.md", "test_other.md"):
        assert "12 utterances" in (tmp_path / name).read_text()
