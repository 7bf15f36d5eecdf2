"""What bad input gets: one line that names the file and says what to do."""

from __future__ import annotations

import io
import os
import resource
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from features import audio

NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, 32000).astype(np.float32)


def refuse(source: audio.Source, *words: str, **options: float) -> str:
    """Reading must fail with one line that holds these words; returns it."""
    with pytest.raises(audio.AudioError) as caught:
        audio.read(source, **options)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
    with pytest.raises(audio.AudioError):
        list(audio.blocks(source, **options))
    return message


def save(path: Path, samples: np.ndarray = NOISE, rate: int = 16000, **options: str) -> Path:
    soundfile.write(path, samples, rate, **options)
    return path


# ---------------------------------------------------------------- no file


def test_missing_file(tmp_path):
    refuse(tmp_path / "no.wav", "no.wav", "no such file")


def test_folder(tmp_path):
    refuse(tmp_path, tmp_path.name, "is a folder")


def test_empty_file(tmp_path):
    (tmp_path / "a.wav").touch()
    refuse(tmp_path / "a.wav", "a.wav", "empty (0 bytes)")
    refuse(io.BytesIO(), "the open file", "empty")


def test_device():
    refuse("/dev/zero", "is a device")


def test_no_permission(tmp_path):
    path = save(tmp_path / "a.wav")
    path.chmod(0)
    try:
        if os.geteuid() == 0:  # root reads everything, so be somebody else for a moment
            os.seteuid(65534)
        refuse(path, "a.wav", "no permission")
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        path.chmod(0o600)


def test_impossible_names(tmp_path):
    refuse(str(tmp_path / ("a" * 300)), "cannot be opened")
    refuse("a\0b.wav", "cannot be opened")
    refuse(str(tmp_path / "two\nlines.wav"), r"two\nlines.wav", "no such file")
    refuse(os.fsdecode(bytes(tmp_path) + b"/\xff.wav"), "no such file")


def test_file_objects_that_are_none(tmp_path):
    path = save(tmp_path / "a.wav")
    with open(path, errors="replace") as text:
        refuse(text, "mode 'rb'")
    with open(path, "rb") as file:
        pass
    refuse(file, "a.wav", "is closed")
    refuse(42, "not an open binary file")


def test_file_closed_while_it_is_read(tmp_path):
    path = save(tmp_path / "a.wav")
    with open(path, "rb") as file:
        parts = audio.blocks(file, block_seconds=0.5)
        next(parts)
    with pytest.raises(audio.AudioError, match=r"a\.wav: cannot be read: .*closed file"):
        list(parts)


class Failing(io.BytesIO):
    """A file whose medium fails after a while."""

    def read(self, count: int = -1) -> bytes:
        if self.tell() > 10_000:
            raise OSError(5, "Input/output error")
        return super().read(count)


@pytest.mark.parametrize("options", [{"format": "WAV", "subtype": "PCM_16"}, {"format": "FLAC"}, {"format": "MP3"}])
def test_medium_that_fails_while_it_is_read(options, capfd):
    file = Failing()
    soundfile.write(file, np.tile(NOISE, 10), 16000, **options)
    file.seek(0)
    refuse(file, "the open file", "cannot be read", "Input/output error")
    assert capfd.readouterr().err == ""


# ---------------------------------------------------------------- no sound


@pytest.mark.parametrize("suffix", ["wav", "mp3", "ogg", "flac", "m4a", "au", "vox", "gsm", "raw", "txt"])
def test_text_by_any_name(tmp_path, suffix):
    path = tmp_path / f"notes.{suffix}"
    path.write_text("Seven o'clock, see you there. Größe, 東京.\n" * 50, encoding="utf-8")
    refuse(path, f"notes.{suffix}", "not")


@pytest.mark.parametrize("suffix", ["wav", "mp3", "ogg", "flac", "m4a", "mp4", "webm", "au"])
def test_noise_by_any_name(tmp_path, suffix):
    path = tmp_path / f"bytes.{suffix}"
    path.write_bytes(np.random.default_rng(1).bytes(5000))
    refuse(path, f"bytes.{suffix}")


@pytest.mark.parametrize(
    "head", [b"RIFF", b"RIFF\0\0\0\0WAVE", b"fLaC", b"OggS", b"ID3", b"\xff\xfb", b"\x1aE\xdf\xa3"]
)
@pytest.mark.parametrize("rest", [b"", b"\0" * 200])
def test_nothing_but_a_signature(tmp_path, head, rest):
    path = tmp_path / "a.wav"
    path.write_bytes(head + rest)
    refuse(path, "a.wav")


def test_signature_of_mp4_alone(tmp_path):
    path = tmp_path / "a.m4a"
    path.write_bytes(b"\0\0\0\x14ftypM4A \0\0\0\0mp42")
    refuse(path, "a.m4a")


# ---------------------------------------------------------------- out of range


@pytest.mark.parametrize("channels", [9, 16])
def test_more_than_8_channels(tmp_path, channels):
    path = save(tmp_path / "a.wav", np.zeros((100, channels)))
    refuse(path, "a.wav", f"{channels} channels")
    refuse((np.zeros((100, channels)), 16000), "the array", f"{channels} channels")
    with pytest.raises(audio.AudioError, match="channels"):
        audio.info(path)


@pytest.mark.parametrize("rate", [1, 4000, 7999, 192001, 384000])
def test_rates_outside_8_to_192_khz(tmp_path, rate):
    refuse(save(tmp_path / "a.wav", rate=rate), "a.wav", f"{rate} samples a second")
    refuse((NOISE, rate), "the array", f"{rate} samples a second")
    refuse((NOISE, 16000), f"{rate} samples a second", rate=rate)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_samples_that_are_no_numbers_are_placed_in_time(tmp_path, value, subtype):
    samples = np.zeros((32000, 2))
    samples[20000, 1] = value
    path = save(tmp_path / "a.wav", samples, subtype=subtype)
    refuse(path, "a.wav", "at 1.250 s", f"{value:g}")
    refuse(path, "at 1.250 s", start=1.2)
    refuse((samples, 16000), "the array", "at 1.250 s")
    assert len(audio.read(path, duration=1.25)[0]) == 20000  # what lies before is read


def test_double_too_large_for_a_float(tmp_path):
    path = save(tmp_path / "a.wav", np.array([0.0, 1e300]), subtype="DOUBLE")
    refuse(path, "inf")
    refuse((np.array([0.0, 1e300]), 16000), "inf")


@pytest.mark.parametrize(
    ("samples", "rate", "word"),
    [
        (np.zeros((2, 16000)), 16000, "transpose"),
        (np.zeros((2, 2, 2)), 16000, "shape"),
        (np.zeros(()), 16000, "shape"),
        (np.zeros(10, complex), 16000, "type"),
        (np.zeros(10, bool), 16000, "type"),
        (np.zeros(10, np.int64), 16000, "type"),
        (np.array(["a"]), 16000, "type"),
        (np.zeros(10), 16000.5, "rate"),
        (np.zeros(10), None, "rate"),
        (np.zeros(10), float("nan"), "rate"),
        (np.zeros((10, 0)), 16000, "0 channels"),
    ],
)
def test_arrays_that_are_no_sound(samples, rate, word):
    refuse((samples, rate), "the array", word)


@pytest.mark.parametrize("options", [{"start": -1.0}, {"start": np.nan}, {"duration": -0.1}, {"duration": np.inf}])
def test_parts_that_do_not_exist(tmp_path, options):
    refuse(save(tmp_path / "a.wav"), "a.wav", **options)


def test_blocks_of_no_length(tmp_path):
    for seconds in [0.0, -1.0, np.nan]:
        with pytest.raises(audio.AudioError, match="blocks of"):
            list(audio.blocks(save(tmp_path / "a.wav"), block_seconds=seconds))


# ---------------------------------------------------------------- truncated


def complete_files(folder: Path) -> list[Path]:
    stereo = np.stack([NOISE, NOISE[::-1]], axis=1)
    return [
        save(folder / "a.wav", subtype="PCM_16"),
        save(folder / "f.wav", stereo, subtype="FLOAT"),
        save(folder / "a.rf64", format="RF64", subtype="PCM_16"),
        save(folder / "a.aiff", subtype="PCM_16"),
        save(folder / "a.au", subtype="PCM_16"),
        save(folder / "a.sph", format="NIST", subtype="PCM_16"),
        save(folder / "u.sph", stereo, format="NIST", subtype="ULAW"),
        save(folder / "a.flac"),
        save(folder / "a.ogg", stereo, format="OGG", subtype="VORBIS"),
        save(folder / "a.opus", format="OGG", subtype="OPUS"),
        save(folder / "a.mp3", format="MP3"),
    ]


def test_a_file_cut_anywhere_is_never_taken_for_a_whole_one(tmp_path):
    rng = np.random.default_rng(0)
    for path in complete_files(tmp_path):
        data = path.read_bytes()
        assert len(audio.read(path)[0]) == len(NOISE)
        cut = path.with_name(f"cut{path.suffix}")
        for length in [1, 4, 12, 40, *rng.integers(44, len(data) * 9 // 10, 12), len(data) * 9 // 10]:
            cut.write_bytes(data[:length])
            refuse(cut, cut.name)


def test_the_last_bytes_are_missed_too(tmp_path):
    for path in complete_files(tmp_path):
        if path.suffix == ".mp3":
            continue  # its last frame cannot be told from the one that some encoders count too much
        data = path.read_bytes()
        for missing in [1, 2, 30]:
            path.write_bytes(data[:-missing])
            refuse(path, path.name)


@pytest.mark.parametrize("name", ["a.wav", "a.rf64", "a.aiff", "a.au", "a.ogg", "a.opus"])
def test_truncation_is_seen_before_anything_is_decoded(tmp_path, name):
    path = next(path for path in complete_files(tmp_path) if path.name == name)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(audio.AudioError, match=f"{name}: is cut short: .*: copy or record it again"):
        audio.info(path)


@pytest.mark.parametrize("name", ["a.flac", "a.mp3"])
def test_truncation_of_what_promises_samples_is_seen_at_the_end(tmp_path, name):
    path = next(path for path in complete_files(tmp_path) if path.name == name)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    refuse(path, name, "is cut short or damaged", "copy or record it again")


def test_ogg_recordings_in_a_row_are_not_read_as_one(tmp_path):
    for subtype in ["VORBIS", "OPUS"]:
        files = [save(tmp_path / f"{k}.ogg", format="OGG", subtype=subtype).read_bytes() for k in range(2)]
        (tmp_path / "both.ogg").write_bytes(b"".join(files))
        refuse(tmp_path / "both.ogg", "both.ogg", "one after another")


def test_wav_that_promises_more_than_it_holds():
    form = struct.pack("<IHHIIHH", 16, 1, 1, 16000, 32000, 2, 16)
    for promised in [201, 2000, 1 << 20, 1 << 30]:
        data = b"RIFF" + struct.pack("<I", 36 + promised) + b"WAVEfmt " + form + b"data" + struct.pack("<I", promised)
        refuse(io.BytesIO(data + bytes(200)), "the open file", "200 of the", f"{promised:,} bytes")


# ---------------------------------------------------------------- writing


def refuse_to_write(path: Path, samples: np.ndarray, *words: str, rate: int = 16000) -> None:
    with pytest.raises(audio.AudioError) as caught:
        audio.write(path, samples, rate)
    assert "\n" not in str(caught.value)
    for word in (path.name, *words):
        assert word in str(caught.value)


def test_what_cannot_be_written(tmp_path):
    refuse_to_write(tmp_path / "no" / "a.wav", NOISE, "cannot be written", "No such file")
    refuse_to_write(tmp_path / "a.wav", np.array([0.0, np.nan]), "nan")
    refuse_to_write(tmp_path / "a.wav", np.zeros((10, 2)), "mono")
    refuse_to_write(tmp_path / "a.wav", NOISE, "1000 samples a second", rate=1000)
    (tmp_path / "folder.wav").mkdir()
    refuse_to_write(tmp_path / "folder.wav", NOISE, "cannot be written")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.wav"]


def test_full_disk_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.wav"
    audio.write(path, NOISE[:100], 16000)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        refuse_to_write(path, NOISE, "cannot be written")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.wav"]
