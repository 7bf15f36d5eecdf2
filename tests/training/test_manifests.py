"""Folders, tables and lhotse manifests become the same items; what cannot be used is one line that names it."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from lhotse import CutSet, MonoCut, RecordingSet, SupervisionSet

from features import audio
from training.manifests import Item, ManifestError, cut, from_folder, from_tsv, read, write


def sound(path: Path, seconds: float = 0.5, rate: int = 8000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    audio.write(path, np.zeros(round(seconds * rate), np.float32), rate)
    return path


def utterance(path: Path, text: str, **settings: float) -> None:
    sound(path, **settings)
    path.with_suffix(".txt").write_text(text, encoding="utf-8")


def refused(source: Path) -> str:
    with pytest.raises(ManifestError) as caught:
        read(source)
    assert len(str(caught.value).splitlines()) == 1
    assert str(source) in str(caught.value)
    return str(caught.value)


# --- folders ----------------------------------------------------------------------------------------------------------


def test_a_folder_of_recordings_with_their_words_beside_them(tmp_path: Path) -> None:
    utterance(tmp_path / "b.wav", "two\n  words \n", seconds=0.25)
    utterance(tmp_path / "anna" / "a.WAV", "नमस्ते दुनिया")
    utterance(tmp_path / "anna" / "later" / "c.wav", "")
    sound(tmp_path / "without words.wav")
    (tmp_path / "LICENSE.txt").write_text("not a transcript")
    assert read(tmp_path) == [
        Item("anna/a", str(tmp_path / "anna" / "a.WAV"), 0.0, 0.5, "नमस्ते दुनिया", "anna"),
        Item("anna/later/c", str(tmp_path / "anna" / "later" / "c.wav"), 0.0, 0.5, "", "anna"),
        Item("b", str(tmp_path / "b.wav"), 0.0, 0.25, "two words", ""),
    ]


def test_only_the_sound_of_the_same_name_belongs_to_a_transcript(tmp_path: Path) -> None:
    """Others begin with the same letters, or are of another kind."""
    utterance(tmp_path / "a.wav", "first", seconds=0.1)
    utterance(tmp_path / "a.1.wav", "second", seconds=0.2)
    utterance(tmp_path / "take [1]*.wav", "third", seconds=0.3)
    (tmp_path / "a.TextGrid").write_text("intervals")
    (tmp_path / "a.json").write_text("{}")
    found = {item.id: (item.text, item.duration) for item in read(tmp_path)}
    assert found == {"a": ("first", 0.1), "a.1": ("second", 0.2), "take [1]*": ("third", 0.3)}


def test_of_two_sounds_with_one_transcript_one_is_taken(tmp_path: Path) -> None:
    """Twice the same words could come into training and development data."""
    utterance(tmp_path / "a.wav", "words")
    (tmp_path / "a.aiff").write_bytes((tmp_path / "a.wav").read_bytes())
    assert [item.id for item in read(tmp_path)] == ["a"]


def test_leavings_of_other_systems(tmp_path: Path) -> None:
    utterance(tmp_path / "a.wav", "words")
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfwords\r\n")
    (tmp_path / "._a.wav").write_bytes(b"\x00\x05\x16\x07")
    (tmp_path / "._a.txt").write_bytes(b"\x00\x05\x16\xff")
    assert [item.text for item in read(tmp_path)] == ["words"]


def test_a_folder_without_any(tmp_path: Path) -> None:
    assert "put the words of a.wav into a.txt" in refused(tmp_path)
    sound(tmp_path / "a.wav")
    assert "put the words of a.wav into a.txt" in refused(tmp_path)


def test_a_transcript_in_another_encoding_is_named(tmp_path: Path) -> None:
    utterance(tmp_path / "a.wav", "")
    (tmp_path / "a.txt").write_bytes("été".encode("latin-1"))
    with pytest.raises(ManifestError, match=r"a\.txt: is not text in UTF-8"):
        read(tmp_path)


def test_a_sound_that_cannot_be_read_ends_it_or_is_listed(tmp_path: Path) -> None:
    utterance(tmp_path / "a.wav", "good")
    utterance(tmp_path / "b.wav", "bad")
    (tmp_path / "b.wav").write_text("this is no sound")
    with pytest.raises(audio.AudioError, match=r"b\.wav"):
        read(tmp_path)
    unreadable: list[str] = []
    assert [item.id for item in read(tmp_path, unreadable=unreadable)] == ["a"]
    assert [str(tmp_path / "b.wav") in line for line in unreadable] == [True]
    (tmp_path / "a.wav").unlink()
    unreadable.clear()
    assert read(tmp_path, unreadable=unreadable) == []
    assert len(unreadable) == 1


# --- tables -----------------------------------------------------------------------------------------------------------


def table(tmp_path: Path, content: str, *, encoding: str = "utf-8") -> Path:
    path = tmp_path / "data.tsv"
    path.write_bytes(content.encode(encoding))
    return path


def test_a_table(tmp_path: Path) -> None:
    for name in ("one.wav", "two.wav", "sub/three.wav"):
        sound(tmp_path / name)
    path = table(
        tmp_path, "speaker\tpath\tnote\ttext\nanna\tone.wav\tx\teins\n\ttwo.wav\t\tzwei\nbob\tsub/three.wav\t-\t\n"
    )
    assert [(item.id, item.text, item.speaker) for item in read(path)] == [
        ("one.wav", "eins", "anna"),
        ("two.wav", "zwei", ""),
        ("sub/three.wav", "", "bob"),
    ]
    assert [Path(item.path) for item in read(path)] == [
        tmp_path / name for name in ("one.wav", "two.wav", "sub/three.wav")
    ]


def test_paths_in_a_table_may_be_absolute(tmp_path: Path) -> None:
    elsewhere = sound(tmp_path / "elsewhere" / "a.wav")
    (tmp_path / "here").mkdir()
    assert read(table(tmp_path / "here", f"path\ttext\n{elsewhere}\tx\n"))[0].path == str(elsewhere)


@pytest.mark.parametrize("text", ['"', '"quoted"', 'he said "no', "it''s", "a,b;c", "a\u2028b\x0bc", "#hash", "\\n"])
def test_quotes_and_the_like_are_part_of_the_text(tmp_path: Path, text: str) -> None:
    sound(tmp_path / "a.wav")
    sound(tmp_path / "b.wav")
    items = read(table(tmp_path, f"path\ttext\na.wav\t{text}\nb.wav\tlast\n"))
    assert [item.text for item in items] == [text, "last"]


@pytest.mark.parametrize(
    "content",
    ["\ufeffpath\ttext\r\na.wav\tx\r\n", "path\ttext\n\na.wav\tx\n\n", "path\ttext\na.wav\tx"],
    ids=["of a spreadsheet", "blank lines", "no last line end"],
)
def test_tables_as_programs_write_them(tmp_path: Path, content: str) -> None:
    sound(tmp_path / "a.wav")
    assert [(item.id, item.text) for item in read(table(tmp_path, content))] == [("a.wav", "x")]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("path\tspeaker\na.wav\tanna\n", "missing: text$"),
        ("file\twords\na.wav\tx\n", "missing: path, text$"),
        ("path,text\na.wav,x\n", "tabs.*missing: path, text$"),
        ("", "missing: path, text$"),
        ("path\ttext\n", "holds no utterances"),
        ("path\ttext\na.wav\tx\na.wav\n", "line 3 lacks its text"),
        ("path\ttext\n\tx\n", "line 2 lacks its path"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, content: str, named: str) -> None:
    sound(tmp_path / "a.wav")
    path = table(tmp_path, content)
    refused(path)
    with pytest.raises(ManifestError, match=named):
        read(path)


def test_a_table_in_another_encoding_is_named(tmp_path: Path) -> None:
    assert "is not text in UTF-8" in refused(table(tmp_path, "path\ttext\na.wav\tété\n", encoding="latin-1"))


def test_a_sound_that_a_table_names_and_that_is_not_there(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    path = table(tmp_path, "path\ttext\na.wav\tx\nnowhere.wav\ty\n")
    with pytest.raises(audio.AudioError, match=r"nowhere\.wav: no such file"):
        read(path)
    unreadable: list[str] = []
    assert [item.id for item in read(path, unreadable=unreadable)] == ["a.wav"]
    assert len(unreadable) == 1


# --- lhotse manifests -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cuts.jsonl", "cuts.jsonl.gz"])
def test_a_folder_or_table_as_a_manifest_is_the_same(tmp_path: Path, name: str) -> None:
    utterance(tmp_path / "data" / "anna" / "a.wav", "eins")
    utterance(tmp_path / "data" / "bob" / "b.wav", "שלום", seconds=0.3)
    data = tmp_path / "data"
    assert read(write(tmp_path / "deep" / name, from_folder(data))) == read(data)
    listed = table(tmp_path, "path\ttext\tspeaker\ndata/anna/a.wav\teins\tanna\n")
    assert read(write(tmp_path / name, from_tsv(listed))) == read(listed)
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == [name], "nothing is left beside it"


def test_lhotse_reads_what_was_written(tmp_path: Path) -> None:
    utterance(tmp_path / "a.wav", "eins zwei", seconds=0.25)
    [found] = CutSet.from_file(
        write(tmp_path / "cuts.jsonl.gz", [cut("x", tmp_path / "a.wav", "eins zwei", speaker="anna")])
    )
    assert isinstance(found, MonoCut)
    assert (found.id, found.duration, found.sampling_rate, found.num_samples) == ("x", 0.25, 8000, 2000)
    assert [(s.text, s.speaker) for s in found.supervisions] == [("eins zwei", "anna")]
    assert found.load_audio().shape == (1, 2000)


def test_a_cut_may_be_part_of_a_recording_with_several_supervisions(tmp_path: Path) -> None:
    utterance(tmp_path / "a.wav", "eins", seconds=1.0)
    part = cut("a", tmp_path / "a.wav", "eins").truncate(offset=0.25, duration=0.5)
    part.supervisions.append(part.supervisions[0].with_offset(0.1))
    part.supervisions[1].text = "zwei"
    part.supervisions[1].speaker = "anna"
    [item] = read(write(tmp_path / "cuts.jsonl.gz", [part]))
    assert (item.start, item.duration, item.text, item.speaker) == (0.25, 0.5, "eins zwei", "anna")


def test_cuts_on_which_more_is_to_be_done_than_reading_are_refused(tmp_path: Path) -> None:
    one = cut("one", sound(tmp_path / "a.wav", 1.0), "x")
    cases = {
        "perturbed already": one.perturb_speed(1.1),
        "not a cut from one sound file": one.pad(duration=3.0),
        "one of 2 channels": two_channels(one),
    }
    for number, (named, bad) in enumerate(cases.items()):
        path = tmp_path / f"{number}.jsonl"
        CutSet.from_cuts([bad]).to_file(path)
        assert named in refused(path)
        assert bad.id in refused(path)
    assert len(read(write(tmp_path / "resampled.jsonl", [one.resample(16000)]))) == 1


def two_channels(one: MonoCut) -> MonoCut:
    copied = MonoCut.from_dict(one.to_dict())
    copied.recording.sources[0].channels = [0, 1]
    copied.recording.channel_ids = [0, 1]
    return copied


@pytest.mark.parametrize(
    "content", [b"", b"{nonsense\n", b'{"a": 1}\n', b"\xff\xfe\n", b"[]\n", b"1\n", b'{"id": "x", "type": "MonoCut"}\n']
)
@pytest.mark.parametrize("name", ["cuts.jsonl", "cuts.jsonl.gz"])
def test_a_manifest_that_is_damaged_is_one_line_that_names_it(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    refused(path)
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(content))
        refused(path)


def test_a_manifest_cut_short_or_of_another_kind(tmp_path: Path) -> None:
    one = cut("one", sound(tmp_path / "a.wav"), "x")
    whole = write(tmp_path / "cuts.jsonl.gz", [one] * 50).read_bytes()
    (tmp_path / "short.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path / "short.jsonl.gz")
    RecordingSet.from_recordings([one.recording]).to_file(tmp_path / "recordings.jsonl")
    refused(tmp_path / "recordings.jsonl")
    SupervisionSet.from_segments(one.supervisions).to_file(tmp_path / "supervisions.jsonl")
    refused(tmp_path / "supervisions.jsonl")


def test_what_is_none_of_these(tmp_path: Path) -> None:
    assert "no such file or folder" in refused(tmp_path / "nowhere")
    assert "no such file or folder" in refused(tmp_path / "nowhere.tsv")
    assert "not a folder, a .tsv table or a .jsonl" in refused(sound(tmp_path / "a.wav"))


def test_a_file_whose_header_does_not_tell_its_length_is_measured(tmp_path: Path) -> None:
    whole = bytearray(sound(tmp_path / "a.wav", 0.25).read_bytes())
    whole[4:8] = whole[40:44] = b"\xff\xff\xff\xff"  # what a program that writes into a pipe leaves there
    (tmp_path / "b.wav").write_bytes(whole)
    assert cut("b", tmp_path / "b.wav", "x").duration == 0.25
