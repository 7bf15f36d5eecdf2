"""Kaldi data directories: the utterances that Kaldi finds in them, and no command is run to find out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lhotse.kaldi import load_kaldi_data_dir

from features import audio
from training.manifests import Item, ManifestError, read


def corpus(folder: Path, **files: str) -> Path:
    """Two recordings of 0.5 s and 1 s in `sound`, and a data directory with these files."""
    (folder / "sound").mkdir(parents=True, exist_ok=True)
    (folder / "data").mkdir(exist_ok=True)
    for name, seconds in (("a", 0.5), ("b", 1.0)):
        audio.write(folder / "sound" / f"{name}.wav", np.zeros(round(seconds * 8000), np.float32), 8000)
    for name, content in files.items():
        (folder / "data" / name.replace("_", ".")).write_text(content, encoding="utf-8")
    return folder / "data"


def refused(folder: Path) -> str:
    with pytest.raises(ManifestError) as caught:
        read(f"kaldi:{folder}")
    assert len(str(caught.value).splitlines()) == 1
    assert str(folder) in str(caught.value)
    return str(caught.value)


WAVS = "anna-a sound/a.wav\nbob-b  sound/b.wav\n"
TEXT = "anna-a one  two\nbob-b\n"


def test_a_recording_is_an_utterance_where_there_are_no_segments(tmp_path: Path) -> None:
    """Paths are looked for in the folder above; one text is empty."""
    folder = corpus(tmp_path, wav_scp=WAVS, text=TEXT, utt2spk="anna-a anna\nbob-b bob\n")
    assert read(f"kaldi:{folder}") == [
        Item("anna-a", str(tmp_path / "sound" / "a.wav"), 0.0, 0.5, "one two", "anna"),
        Item("bob-b", str(tmp_path / "sound" / "b.wav"), 0.0, 1.0, "", "bob"),
    ]


def test_a_folder_of_the_home_directory_is_found(tmp_path: Path, monkeypatch) -> None:
    """The shell leaves `~` as it is after a colon."""
    corpus(tmp_path, wav_scp=WAVS, text=TEXT)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert [item.id for item in read("kaldi:~/data")] == ["anna-a", "bob-b"]


def test_texts_are_labels_or_need_not_be_there(tmp_path: Path) -> None:
    folder = corpus(tmp_path, wav_scp=WAVS, text=TEXT, utt2spk="anna-a anna\nbob-b bob\n")
    assert read(f"kaldi:{folder}", labelled=True)[0].labels == {"one two"}
    (folder / "text").unlink()
    found = [(item.id, item.text, item.speaker) for item in read(f"kaldi:{folder}", untold=True)]
    assert found == [("anna-a", "", "anna"), ("bob-b", "", "bob")]
    assert "text: no such file" in refused(folder)


def test_segments_agree_with_what_lhotse_makes_of_them(tmp_path: Path) -> None:
    wavs = WAVS.replace("sound", str(tmp_path / "sound"))
    segments = "u1 anna-a 0.1 0.3\nu2 bob-b 0.25 -1\nu3 bob-b 0 0.25\n"
    text = "u1 uno\nu2 dos dos\nu3 tres\n"
    folder = corpus(tmp_path, wav_scp=wavs, text=text, segments=segments, utt2spk="u1 anna\nu2 bob\nu3 bob\n")
    items = read(f"kaldi:{folder}")
    assert [item.path.rsplit("/")[-1] for item in items] == ["a.wav", "b.wav", "b.wav"]
    _, supervisions, _ = load_kaldi_data_dir(folder, sampling_rate=8000)
    expected = [(one.id, one.text, one.speaker, one.start, one.duration) for one in supervisions]
    for item, (*said, start, duration) in zip(items, expected, strict=True):
        assert [item.id, item.text, item.speaker] == said
        assert (item.start, item.duration) == pytest.approx((start, duration))


@pytest.mark.parametrize("name", ["reco2dur", "utt2dur"])
def test_lengths_that_are_written_down_spare_the_opening(name: str, tmp_path: Path) -> None:
    folder = corpus(tmp_path, wav_scp=WAVS, text=TEXT, **{name: "anna-a 0.5\nbob-b 7\n"})
    (tmp_path / "sound" / "b.wav").write_bytes(b"")
    assert [item.duration for item in read(f"kaldi:{folder}")] == [0.5, 7.0]
    (folder / name).write_text("anna-a 0.5\nbob-b long\n")
    assert "bob-b has the duration 'long'" in refused(folder)


def test_a_recording_that_cannot_be_read_ends_it_or_is_listed(tmp_path: Path) -> None:
    folder = corpus(tmp_path, wav_scp=WAVS, text=TEXT)
    (tmp_path / "sound" / "b.wav").write_text("no sound")
    with pytest.raises(audio.AudioError, match=r"b\.wav"):
        read(f"kaldi:{folder}")
    unreadable: list[str] = []
    assert [item.id for item in read(f"kaldi:{folder}", unreadable=unreadable)] == ["anna-a"]
    assert len(unreadable) == 1


@pytest.mark.parametrize(
    "command",
    [
        "cat {} |",
        "flac -c -d -s {} |",
        "/opt/kaldi/tools/sph2pipe_v2.5/sph2pipe -f wav -p {} |",
        "sox {} -t wav - |",
        "sox -t wav {} -r 16k -c 1 -b 16 -t wav - |",
        "ffmpeg -i {} -f wav -ar 16000 -ab 16 - |",
        "ffmpeg -v 0 -i '{}' -ac 1 -f wav pipe:1|",
    ],
)
def test_a_command_that_decodes_a_file_stands_for_it(command: str, tmp_path: Path) -> None:
    path = tmp_path / "sound" / "a.wav"
    folder = corpus(tmp_path, wav_scp=f"u {command.format(path)}\n", text="u words\n")
    assert [item.path for item in read(f"kaldi:{folder}")] == [str(path)]


@pytest.mark.parametrize(
    "command",
    [
        "sox {} -t wav - speed 1.1 |",
        "sox {} -t wav - remix 2 |",
        "sph2pipe -f wav -p -c 1 {} |",
        "ffmpeg -ss 3 -i {} -f wav - |",
        "sox -m {} noise.wav -t wav - |",
        "cat {}; touch was_run |",
        "touch was_run; cat {} |",
        "cat {} | sox -t wav - -t wav - |",
        "curl http://localhost/a.wav |",
        "cat 'unclosed |",
        "|",
    ],
)
def test_a_command_that_does_more_is_refused_and_not_run(command: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = corpus(tmp_path, wav_scp=f"u {command.format('sound/a.wav')}\n", text="u words\n")
    assert "write its output to a file, and name that" in refused(folder)
    assert not (tmp_path / "was_run").exists()


def test_what_is_missing_or_none_of_its_kind_is_named(tmp_path: Path) -> None:
    assert "wav.scp: no such file" in refused(corpus(tmp_path, text=TEXT))
    assert "there is no file sound/c.wav" in refused(corpus(tmp_path, wav_scp="x sound/c.wav\n", text="x y\n"))
    folder = corpus(tmp_path, wav_scp=WAVS, text="anna-a one\n")
    assert "text: has no text for bob-b; add them, or remove them with Kaldi's utils/fix_data_dir.sh" in refused(folder)
    assert "line 2: anna-a is there twice" in refused(corpus(tmp_path, wav_scp="anna-a x\nanna-a y\n"))
    assert "line 1: anna-a has nothing beside it" in refused(corpus(tmp_path, wav_scp="anna-a\n"))
    corpus(tmp_path, wav_scp=WAVS, text="u one\n")
    for line, said in {
        "u anna-c 0 1": "wav.scp: has no recording anna-c",
        "u anna-a 0": "a line has utterance, recording, start and end",
        "u anna-a 0 soon": "a line has utterance, recording, start and end",
        "u anna-a 0.3 0.2": "u ends at 0.2 s, before it starts at 0.3 s",
        "u anna-a -1 0.2": "is no part of a recording",
        "u anna-a 0 nan": "is no part of a recording",
    }.items():
        (folder / "segments").write_text(line + "\n")
        assert said in refused(folder)
    (folder / "text").write_bytes("u été\n".encode("latin-1"))
    assert "is not text in UTF-8" in refused(folder)
    with pytest.raises(ManifestError, match="nowhere: no such folder"):
        read("kaldi:nowhere")


def test_many_that_are_missing_are_counted(tmp_path: Path) -> None:
    wavs = "".join(f"u{k} sound/a.wav\n" for k in range(9))
    assert "has no text for u1, u2, u3 and 5 more;" in refused(corpus(tmp_path, wav_scp=wavs, text="u0 x\n"))


SPOKEN = Path(__file__).parents[3] / "shared" / "data" / "speechocean762" / "train"


@pytest.mark.skipif(not SPOKEN.is_dir(), reason="no speechocean762 in ../shared/data")
def test_speechocean762_as_it_was_published(tmp_path: Path) -> None:
    """The first 50 of it: its wav.scp names files from the folder above."""
    (tmp_path / "train").mkdir()
    (tmp_path / "WAVE").symlink_to(SPOKEN.parent / "WAVE")
    for name in ("wav.scp", "text", "utt2spk"):
        lines = (SPOKEN / name).read_text().splitlines()[:50]
        (tmp_path / "train" / name).write_text("\n".join(lines))
    items = read(f"kaldi:{tmp_path / 'train'}")
    assert items[0].text == "WE CALL IT BEAR"
    assert items[0].speaker == "0001"
    assert all(0.5 < item.duration < 30 for item in items)
    assert len({item.path for item in items}) == 50
