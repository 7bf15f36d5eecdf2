"""english: nothing that is tested or chosen on trains, by speaker or by sentence; what is missing is said."""

from __future__ import annotations

import gzip
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest

from asr.text import normalize
from features import audio
from recipes.corpora.one_reader import first_takes
from recipes.corpora.spoken import Utterance
from recipes.english import digits, noisy
from recipes.english.generated import Generated
from recipes.english.prepare import prepare
from recipes.english.texts import HeldOut
from training.manifests import Item, ManifestError, read

corpora = runpy.run_path(str(Path(__file__).with_name("read_corpora.py")))
needs_programs = pytest.mark.skipif(
    not (shutil.which("flite") and shutil.which("espeak-ng")), reason="flite and espeak-ng are not installed"
)
LEARNERS = ("mark likes a very big cake", "we call it bear")
TRAINED = "Author of the danger trail, etc."


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """All corpora: 60 volunteers, each with a sentence of their own; one of Kathleen's is also read by a volunteer."""
    data = tmp_path / "data"
    corpora["write_learners"](data / "speechocean762", LEARNERS)
    numbers = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    clips = [(f"c{k}", f"Volunteer {numbers[k // 10]} and {numbers[k % 10]} here.") for k in range(60)]
    corpora["write_volunteers"](data / "commonvoice-en", clips)
    rows = ["path\tsentence"]
    prompts = {"a1": LEARNERS[0], "a2": LEARNERS[0], "b1": TRAINED, "b2": TRAINED, "c1": "In 1892."}
    for name, sentence in prompts.items():
        corpora["write_sound"](data / "kathleen" / "audio" / f"{name}.flac")
        rows.append(f"{name}.flac\t{sentence}")
    (data / "kathleen" / "metadata.tsv").write_text("\n".join(rows) + "\n")
    corpora["write_sound"](data / "ljspeech-part" / "wavs" / "LJ001-0001.wav")
    lines = "LJ001-0001|In 18,|In eighteen,\nLJ001-0002|Not here.|Not here.\n"
    (data / "ljspeech-part" / "metadata.csv").write_text(lines)
    book = "It was a dark and stormy night. Mark likes a very big cake. The rain fell in torrents!\n"
    (data / "books-en.txt.gz").write_bytes(gzip.compress(book.encode()))
    return data


def manifest(out: Path, name: str) -> list[Item]:
    return read(out / "manifests" / f"{name}.jsonl.gz")


def test_nobody_and_nothing_that_is_tested_trains(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(data, out, hours=0)
    parts = {name: manifest(out, name) for name in ("train", "dev", "test", "test_commonvoice")}
    speakers = {name: {item.speaker for item in items} for name, items in parts.items()}
    assert len(set.union(*speakers.values())) == sum(map(len, speakers.values()))
    assert [len(parts[name]) for name in ("dev", "test", "test_commonvoice")] == [4 + 6, 6, 6]
    others = [item.text for item in parts["train"] if item.speaker in ("kathleen", "ljspeech")]
    assert sorted(others) == ["author of the danger trail etc", "author of the danger trail etc", "in eighteen"]
    tested = {item.text.lower().rstrip(".") for name in ("dev", "test_commonvoice") for item in parts[name]}
    assert {text for text in tested if text.startswith("volunteer")}.isdisjoint(item.text for item in parts["train"])
    language = gzip.decompress((out / "language.txt.gz").read_bytes()).decode().splitlines()
    assert not tested & set(language)
    assert {"it was a dark and stormy night", "the rain fell in torrents", "in eighteen"} <= set(language)
    groups = {path.name.split(".")[0]: len(read(path)) for path in (out / "manifests" / "groups").iterdir()}
    assert groups == {"child": 4, "adult": 2, "dev_speechocean762": 4, "dev_commonvoice": 6}


@needs_programs
def test_synthetic_speech_trains_and_real_speech_is_repeated(data: Path, tmp_path: Path) -> None:
    prepare(data, tmp_path / "once", hours=0)
    prepare(data, tmp_path / "out", hours=2 / 3600, repeat_real=3)
    real = manifest(tmp_path / "once", "train")
    train = manifest(tmp_path / "out", "train")
    spoken = [item for item in train if item.speaker.startswith(("flite", "espeak", "festival"))]
    assert spoken
    assert {item.text for item in spoken} <= {"it was a dark and stormy night", "the rain fell in torrents"}
    assert len(train) - len(spoken) == 3 * len(real)
    assert len({item.id for item in train}) == len(train)


@needs_programs
def test_made_up_sentences_are_of_training_and_none_is_tested(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(data, out, hours=20 / 3600, generated=1.0, seed=11)
    tested = {
        " ".join(normalize(item.text).split()) for name in ("dev", "test_commonvoice") for item in manifest(out, name)
    }
    transcripts = gzip.decompress((out / "transcripts.txt.gz").read_bytes()).decode().splitlines()
    language = gzip.decompress((out / "language.txt.gz").read_bytes()).decode().splitlines()
    assert language[: len(transcripts)] == transcripts
    assert {*transcripts} < {item.text for item in manifest(out, "train")}
    assert not tested & {*transcripts}
    spoken = {item.text for item in manifest(out, "train") if item.speaker.startswith(("flite", "espeak", "festival"))}
    assert spoken - {*language}, "something new"
    assert {word for text in spoken for word in text.split()} <= {word for text in transcripts for word in text.split()}
    assert not any(one in text for one in tested for text in spoken)
    clips = len([item for item in manifest(out, "train") if item.text in spoken])
    unchecked = [normalize(Generated(transcripts, HeldOut([]), share=1)(11, number) or "") for number in range(clips)]
    assert any(one in text for one in tested for text in unchecked), "else nothing was to be avoided"


def test_without_the_other_corpora_it_says_so_and_goes_on(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(data, tmp_path / "out", hours=0)
    said = capsys.readouterr().err
    assert f"{data / 'fsdd'} is not there; goes on without it" in said
    assert said.count("is not there") == 1
    for name in ("commonvoice-en", "kathleen", "ljspeech-part"):
        shutil.rmtree(data / name)
    (data / "books-en.txt.gz").unlink()
    prepare(data, tmp_path / "out", hours=1)
    said = capsys.readouterr().err
    for name in ("commonvoice-en", "kathleen", "LJSpeech-1.1", "books-en.txt.gz"):
        assert f"{name} is not there; goes on without it" in said
    assert not (tmp_path / "out" / "manifests" / "test_commonvoice.jsonl.gz").exists(), "of a run before"
    shutil.rmtree(data / "speechocean762")
    with pytest.raises(ManifestError, match="no folder speechocean762; --data is the folder that holds it"):
        prepare(data, tmp_path / "out")


@needs_programs
def test_strings_of_digits_are_added_and_nothing_else_changes(data: Path, small_fsdd: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    settings = {"hours": 2 / 3600, "generated": 0.5, "repeat_real": 2}
    prepare(data, out, **settings)
    names = sorted(path.relative_to(out) for path in out.rglob("*.gz"))
    before = {name: gzip.decompress((out / name).read_bytes()) for name in names}
    written = {path: path.stat().st_mtime_ns for path in (out / "synthetic").glob("*.wav")}
    (data / "fsdd").symlink_to(small_fsdd)
    prepare(data, out, **settings)
    digit_lines = [line for line in lines(out, "train") if b"/digits/audio/train/" in line]
    after = {name: gzip.decompress((out / name).read_bytes()) for name in names}
    train = Path("manifests") / "train.jsonl.gz"
    after[train] = b"".join(line for line in lines(out, "train") if line not in digit_lines)
    assert after == before
    kept = {path: path.stat().st_mtime_ns for path in (out / "synthetic").glob("*.wav")}
    assert kept
    assert kept.items() <= written.items(), "synthetic speech is not made again"
    new = {path.relative_to(out) for path in out.rglob("*.gz")} - {*names}
    assert new == {Path("manifests") / "test_digits.jsonl.gz"}
    items = {item.id: item for item in manifest(out, "train")}
    assert len(items) == len(lines(out, "train")), "each string stands there once"
    for part, expected, taken in (("train", {10, 11}, digit_lines), ("test", {*range(5)}, lines(out, "test_digits"))):
        rows = (out / "digits" / "audio" / part / "strings.tsv").read_text().splitlines()[1:]
        assert len(rows) == len(taken) > 5
        assert {int(clip.rpartition("_")[2]) for row in rows for clip in row.split("\t")[2].split()} == expected
    (data / "fsdd").unlink()
    prepare(data, out, hours=0)
    assert not (out / "manifests" / "test_digits.jsonl.gz").exists(), "of a run before"
    assert not any(b"/digits/" in line for line in lines(out, "train"))


def lines(out: Path, name: str) -> list[bytes]:
    return gzip.decompress((out / "manifests" / f"{name}.jsonl.gz").read_bytes()).splitlines(keepends=True)


def test_no_string_of_digits_says_what_is_held_out(small_fsdd: Path, tmp_path: Path) -> None:
    free = digits.strings(small_fsdd, tmp_path, HeldOut([]), seed=0)
    said = [one.supervisions[0].text.split() for one in free.train]
    longest = max(said, key=len)
    held_out = HeldOut([said[0], longest[1:5]])
    touched = [words for words in said if held_out.touches(words)]
    assert len(longest) > 5, "holds more than what is held out of it"
    assert longest in touched
    assert said[0] in touched
    found = digits.strings(small_fsdd, tmp_path, held_out, seed=0)
    assert found.touched == len(touched) < len(said)
    assert free.touched == 0
    assert [one.supervisions[0].text.split() for one in found.train] == [one for one in said if one not in touched]
    assert found.test == free.test


@pytest.mark.slow
def test_strings_of_digits_of_the_whole_corpora(shared_data: Path, tmp_path: Path) -> None:
    for name in ("speechocean762", "commonvoice-en", "kathleen", "fsdd"):
        (tmp_path / name).symlink_to(shared_data / name)
    prepare(tmp_path, tmp_path / "out", hours=0, takes=1)
    train = manifest(tmp_path / "out", "train")
    read_in_strings = [item for item in train if "digits" in Path(item.path).parts]
    assert len(read_in_strings) == 611 - 15
    assert len({item.speaker for item in read_in_strings}) == 6
    assert len(manifest(tmp_path / "out", "test_digits")) == 320
    by_kathleen = [item.text for item in train if item.speaker == "kathleen"]
    assert len(by_kathleen) == len({*by_kathleen}) > 1100


def test_first_readings_of_a_sentence_are_kept(data: Path, tmp_path: Path) -> None:
    read_by = {takes: tmp_path / str(takes) for takes in (0, 1)}
    for takes, out in read_by.items():
        prepare(data, out, hours=0, takes=takes)
    ids = {takes: [item.id for item in manifest(out, "train")] for takes, out in read_by.items()}
    assert [id for id in ids[0] if id.startswith("kathleen")] == ["kathleen-b1", "kathleen-b2"]
    assert ids[1] == [id for id in ids[0] if id != "kathleen-b2"], "learners and volunteers are not counted"
    for name in ("language.txt.gz", "transcripts.txt.gz"):
        assert (read_by[1] / name).read_bytes() == (read_by[0] / name).read_bytes()
    takes = [("a", "Stay, Tom."), ("b", "stay tom"), ("a", "Go."), ("a", "stay Tom"), ("a", "Stay Tom!")]
    found = [Utterance(str(k), Path("x.wav"), text, speaker) for k, (speaker, text) in enumerate(takes)]
    assert [one.id for one in first_takes(found, 1)] == ["0", "1", "2"]
    assert [one.id for one in first_takes(found, 2)] == ["0", "1", "2", "3"]


def test_the_whole_of_a_reader_is_taken_instead_of_a_part(data: Path, tmp_path: Path) -> None:
    whole = shutil.copytree(data / "ljspeech-part", data / "LJSpeech-1.1")
    shutil.copyfile(whole / "wavs" / "LJ001-0001.wav", whole / "wavs" / "LJ001-0002.wav")
    prepare(data, tmp_path, hours=0)
    read_by_lj = [item for item in manifest(tmp_path, "train") if item.speaker == "ljspeech"]
    assert sorted(item.id for item in read_by_lj) == ["LJ001-0001", "LJ001-0002"]


def test_noises_of_the_test_are_not_those_of_training(data: Path, tmp_path: Path) -> None:
    noises = tmp_path / "noises"
    for number in range(5):
        for take in "AB":
            corpora["write_sound"](noises / f"1-{number}-{take}.wav", 0.5)
    parts = noisy.divided(noises, seed=0)
    names = {part: {path.stem.rpartition("-")[0] for path in paths} for part, paths in parts.items()}
    assert {part: len(found) for part, found in names.items()} == {"train": 4, "test": 1}
    assert not names["train"] & names["test"]
    out = tmp_path / "out"
    prepare(data, out, hours=0, noise=str(noises))
    copied = {path.stem.split("-", 1)[1].rpartition("-")[0] for path in (out / "noise").iterdir()}
    assert copied == names["train"]
    noisy_items, clean = manifest(out, "groups/noisy_speechocean762"), manifest(out, "test")
    assert [(item.text, item.duration) for item in noisy_items] == [(item.text, item.duration) for item in clean]
    for item, before in zip(noisy_items, clean, strict=True):
        heard, said = (audio.read(path)[0].astype(np.float64) for path in (item.path, before.path))
        scale = np.dot(heard, said) / np.dot(said, said)
        ratio = 10 * np.log10(np.sum((scale * said) ** 2) / np.sum((heard - scale * said) ** 2))
        assert 4 < ratio < 16
    first = Path(noisy_items[0].path).read_bytes()
    prepare(data, out, hours=0, noise=str(noises))
    assert Path(noisy_items[0].path).read_bytes() == first


def test_counts_on_the_whole_corpora(shared_data: Path, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be divided"):
        noisy.divided(shared_data / "noise-kitchen", seed=0)
    parts = noisy.divided(shared_data / "noise-esc10", seed=0)
    assert len(parts["test"]) > 20
    with pytest.raises(ValueError, match=r"prepare\.repeat_real is 0: give 1 or more"):
        prepare(shared_data, tmp_path, repeat_real=0)
    with pytest.raises(ValueError, match=r"prepare\.hours is -1: give 0 to 100000"):
        prepare(shared_data, tmp_path, hours=-1)
    (tmp_path / "file").touch()
    # What is wrong with folders is said before corpora are read, of which there are none here.
    with pytest.raises(ManifestError, match=r"nowhere: 0 recordings of noise cannot be divided"):
        prepare(tmp_path, tmp_path / "out", noise=str(tmp_path / "nowhere"))
    with pytest.raises(NotADirectoryError):
        prepare(tmp_path, tmp_path / "file" / "out")
    with pytest.raises(
        ValueError, match=r"prepare\.generated is 1\.5: give a share of the synthetic clips from 0 to 1"
    ):
        prepare(shared_data, tmp_path, generated=1.5)
    for settings, data in (({"hours": 0}, shared_data), ({}, tmp_path)):
        with pytest.raises(
            ValueError, match=r"prepare\.generated is 0\.5, but no clips are synthetic without .*books-en"
        ):
            prepare(data, tmp_path / "out", generated=0.5, **settings)
    with pytest.raises(ValueError, match=r"prepare\.takes is -1: give how many readings of a sentence train, or 0"):
        prepare(shared_data, tmp_path, takes=-1)
