"""Reading sound: every format, any block size, any part, against soundfile and soxr used directly."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from features import audio

RATES = [8000, 11025, 16000, 22050, 44100, 48000, 96000, 192000]

# suffix, libsndfile's format and subtype, channels, rates, largest difference from what was written (None: lossy)
FORMATS = [
    ("wav", "WAV", "PCM_U8", range(1, 9), RATES, 2.0**-7),
    ("wav", "WAV", "PCM_16", range(1, 9), RATES, 2.0**-15),
    ("wav", "WAV", "PCM_24", range(1, 9), RATES, 2.0**-23),
    ("wav", "WAV", "PCM_32", range(1, 9), RATES, 1e-7),
    ("wav", "WAV", "FLOAT", range(1, 9), RATES, 1e-7),
    ("wav", "WAV", "DOUBLE", range(1, 9), RATES, 1e-7),
    ("wav", "WAV", "ULAW", [1, 2], [8000], None),
    ("wav", "WAV", "IMA_ADPCM", [1, 2], [8000, 16000], None),
    ("rf64", "RF64", "PCM_16", [1, 2], [16000], 2.0**-15),
    ("w64", "W64", "PCM_16", [1, 2], [16000], 2.0**-15),
    ("aiff", "AIFF", "PCM_16", [1, 2], [16000], 2.0**-15),
    ("au", "AU", "PCM_16", [1, 2], [16000], 2.0**-15),
    ("caf", "CAF", "ALAC_16", [1, 2], [16000], 2.0**-15),
    ("sph", "NIST", "PCM_16", [1], [16000], 2.0**-15),
    ("flac", "FLAC", "PCM_16", range(1, 9), RATES, 2.0**-15),
    ("flac", "FLAC", "PCM_24", range(1, 9), RATES, 2.0**-23),
    ("ogg", "OGG", "VORBIS", range(1, 9), RATES, None),
    ("opus", "OGG", "OPUS", range(1, 9), [8000, 16000, 24000, 48000], None),
    ("mp3", "MP3", "MPEG_LAYER_III", [1, 2], [8000, 11025, 16000, 22050, 44100, 48000], None),
]
EVERY_FORMAT = [pytest.param(*row, id=f"{row[1]}-{row[2]}") for row in FORMATS]
SEEKABLE_AND_NOT = [
    ("wav", "PCM_16"),
    ("flac", "PCM_16"),
    ("ogg", "VORBIS"),
    ("opus", "OPUS"),
    ("mp3", "MPEG_LAYER_III"),
]


def signal(rate: int, seconds: float = 0.5, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Noise and a tone, different in each channel, (S, channels), in [-0.8, 0.8]."""
    rng = np.random.default_rng(seed)
    time_S = np.arange(round(rate * seconds)) / rate
    tones = [0.4 * np.sin(2 * np.pi * (200 + 70 * channel) * time_S) for channel in range(channels)]
    return (np.stack(tones, axis=1) + rng.uniform(-0.4, 0.4, (len(time_S), channels))).astype(np.float32)


def save(folder: Path, samples: np.ndarray, rate: int, suffix: str, subtype: str, kind: str | None = None) -> Path:
    path = folder / f"sound.{suffix}"
    kind = kind or {"opus": "OGG", "aiff": "AIFF"}.get(suffix, suffix.upper())
    soundfile.write(path, samples, rate, format=kind, subtype=subtype)
    return path


def read_blocks(source: audio.Source, sizes: list[float], **options: object) -> list[np.ndarray]:
    return [np.concatenate(list(audio.blocks(source, block_seconds=size, **options))) for size in sizes]


# ---------------------------------------------------------------- formats


@pytest.mark.parametrize(("suffix", "kind", "subtype", "channels", "rates", "error"), EVERY_FORMAT)
def test_every_format_is_read_mixed_down_and_described(tmp_path, suffix, kind, subtype, channels, rates, error):
    for count, rate in [(count, rates[0]) for count in channels] + [(min(2, max(channels)), rate) for rate in rates]:
        written = signal(rate, 0.2, count)
        path = save(tmp_path, written, rate, suffix, subtype, kind)
        expected, _ = soundfile.read(path, dtype="float32", always_2d=True)

        described = audio.info(path)
        samples, got_rate = audio.read(path)

        assert path.suffix in audio.SUFFIXES
        assert (described.rate, described.channels, described.frames) == (rate, count, len(expected))
        assert described.duration == len(expected) / rate
        assert got_rate == rate
        assert samples.dtype == np.float32
        assert samples.shape == (len(expected),)
        np.testing.assert_allclose(samples, expected.mean(axis=1, dtype=np.float64), atol=1e-6)
        if error is not None:
            np.testing.assert_allclose(samples, written.mean(axis=1, dtype=np.float64), atol=error)


def test_full_scale_integers_become_one(tmp_path):
    for subtype in ["PCM_16", "PCM_24", "PCM_32"]:
        path = save(tmp_path, np.array([-1.0, 0.0, 0.5], np.float32), 16000, "wav", subtype)
        np.testing.assert_allclose(audio.read(path)[0], [-1.0, 0.0, 0.5], atol=2.0**-15)


def test_mean_of_channels_does_not_depend_on_the_block(tmp_path):
    path = save(tmp_path, signal(16000, 0.3, 8), 16000, "wav", "FLOAT")
    whole, _ = audio.read(path)
    for pieces in read_blocks(path, [1 / 16000, 3 / 16000, 0.01]):
        np.testing.assert_array_equal(pieces, whole)


def test_real_opus_recordings(shared_data):
    folder = shared_data / "speechocean762"
    paths = sorted(folder.rglob("*.opus"))[:20]
    assert paths
    for path in paths:
        expected, rate = soundfile.read(path, dtype="float32")
        samples, got_rate = audio.read(path)
        np.testing.assert_array_equal(samples, expected)
        assert got_rate == rate == 16000
        resampled, _ = audio.read(path, rate=8000)
        np.testing.assert_array_equal(resampled, soxr.resample(expected, 16000, 8000))


# ---------------------------------------------------------------- resampling and blocks


@pytest.mark.parametrize(
    ("from_rate", "to_rate"),
    [
        (8000, 16000),
        (11025, 16000),
        (22050, 8000),
        (44100, 16000),
        (44100, 48000),
        (48000, 16000),
        (96000, 16000),
        (192000, 8000),
        (16000, 44100),
        (16000, 16001),
        (8000, 191999),
    ],
)
def test_resampled_in_blocks_equals_the_whole_bit_for_bit(tmp_path, from_rate, to_rate):
    path = save(tmp_path, signal(from_rate, 0.6), from_rate, "wav", "FLOAT")
    samples, _ = soundfile.read(path, dtype="float32")
    whole, rate = audio.read(path, rate=to_rate)

    assert rate == to_rate
    assert abs(len(whole) - len(samples) * to_rate / from_rate) <= 1
    np.testing.assert_array_equal(whole, soxr.resample(samples, from_rate, to_rate))

    rng = np.random.default_rng(from_rate)
    for pieces in read_blocks(path, [*rng.uniform(0.001, 0.5, 5), 0.0001], rate=to_rate):
        np.testing.assert_array_equal(pieces, whole)

    resampler = audio.Resampler(from_rate, to_rate)
    for _ in range(2):  # after flush it is fresh again
        cuts = np.sort(rng.integers(0, len(samples), 40))
        pushed = [resampler.push(part) for part in np.split(samples, cuts)] + [resampler.flush()]
        np.testing.assert_array_equal(np.concatenate(pushed), whole)


def test_resampler_takes_single_samples():
    samples = signal(16000, 0.05)[:, 0]
    resampler = audio.Resampler(16000, 8000)
    pushed = [resampler.push(samples[i : i + 1]) for i in range(len(samples))] + [resampler.flush()]
    np.testing.assert_array_equal(np.concatenate(pushed), soxr.resample(samples, 16000, 8000))


def test_equal_rates_pass_through():
    samples = signal(16000)[:, 0]
    resampler = audio.Resampler(16000, 16000)
    np.testing.assert_array_equal(np.concatenate([resampler.push(samples), resampler.flush()]), samples)


def test_a_tone_stays_that_tone_at_another_rate():
    for from_rate in [8000, 44100, 192000]:
        tone = np.sin(2 * np.pi * 1000 * np.arange(from_rate) / from_rate).astype(np.float32)
        samples, _ = audio.read((tone, from_rate), rate=16000)
        inner = slice(2000, 14000)
        expected = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
        np.testing.assert_allclose(samples[inner], expected[inner], atol=1e-4)


@pytest.mark.parametrize(("suffix", "subtype"), SEEKABLE_AND_NOT)
def test_decoding_in_blocks_equals_the_whole(tmp_path, suffix, subtype):
    path = save(tmp_path, signal(48000, 1.3, 2), 48000, suffix, subtype)
    whole, _ = audio.read(path)
    for pieces in read_blocks(path, [0.0071, 0.1, 1.0, 60.0]):
        np.testing.assert_array_equal(pieces, whole)


def test_blocks_have_the_length_asked_for():
    lengths = [len(block) for block in audio.blocks((np.zeros(2500, np.float32), 8000), block_seconds=0.125)]
    assert lengths == [1000, 1000, 500]


# ---------------------------------------------------------------- parts


@pytest.mark.parametrize(("suffix", "subtype"), SEEKABLE_AND_NOT)
def test_a_part_is_exactly_that_part(tmp_path, suffix, subtype):
    rate = 16000
    path = save(tmp_path, signal(rate, 3.0, 2), rate, suffix, subtype)
    whole, _ = audio.read(path)
    rng = np.random.default_rng(0)
    for start, duration in [(0.0, 0.5), (2.9, None), (1.0, 5.0), (0.0, 0.0), *rng.uniform(0, 2.5, (10, 2))]:
        first = round(start * rate)
        last = None if duration is None else round((start + duration) * rate)
        for block_seconds in [0.05, 10.0]:
            part = list(audio.blocks(path, start=start, duration=duration, block_seconds=block_seconds))
            expected = whole[first:last]
            np.testing.assert_array_equal(np.concatenate([*part, np.zeros(0, np.float32)]), expected)


def test_parts_that_adjoin_make_the_whole(tmp_path):
    path = save(tmp_path, signal(11025, 2.0), 11025, "flac", "PCM_16")
    parts = [audio.read(path, start=0.1 * k, duration=0.1)[0] for k in range(21)]
    np.testing.assert_array_equal(np.concatenate(parts), audio.read(path)[0])


def test_a_part_is_cut_out_and_then_resampled(tmp_path):
    path = save(tmp_path, signal(44100, 2.0), 44100, "wav", "PCM_16")
    cut, _ = audio.read(path, start=0.5, duration=0.75)
    part, _ = audio.read(path, start=0.5, duration=0.75, rate=16000)
    np.testing.assert_array_equal(part, soxr.resample(cut, 44100, 16000))


@pytest.mark.parametrize(("suffix", "subtype"), SEEKABLE_AND_NOT)
def test_a_part_behind_the_end_is_empty(tmp_path, suffix, subtype):
    path = save(tmp_path, signal(16000), 16000, suffix, subtype)
    samples, rate = audio.read(path, start=100.0)
    assert (len(samples), rate) == (0, 16000)


# ---------------------------------------------------------------- arrays


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (np.array([-32768, 0, 16384], np.int16), [-1, 0, 0.5]),
        (np.array([-(2**31), 0, 2**30], np.int32), [-1, 0, 0.5]),
        (np.array([-128, 0, 64], np.int8), [-1, 0, 0.5]),
        (np.array([0, 128, 192], np.uint8), [-1, 0, 0.5]),
        (np.array([0, 2**15, 3 * 2**14], np.uint16), [-1, 0, 0.5]),
        (np.array([-1, 0, 0.5], np.float64), [-1, 0, 0.5]),
        (np.array([-1, 0, 0.5], np.float16), [-1, 0, 0.5]),
        (np.array([[-1, 1], [0, 1]], np.float32), [0, 0.5]),
        (np.array([[-32768, 0], [16384, 0]], np.int16), [-0.5, 0.25]),
        (np.zeros(0, np.float32), []),
    ],
)
def test_arrays_of_any_type(samples, expected):
    result, rate = audio.read((samples, 16000))
    assert result.dtype == np.float32
    assert rate == 16000
    np.testing.assert_array_equal(result, np.array(expected, np.float32))
    assert audio.info((samples, 16000)).frames == len(samples)


def test_arrays_are_not_handed_out_themselves():
    samples = np.ones(100, np.float32)
    audio.read((samples, 16000))[0][:] = 0
    assert samples.all()


def test_arrays_in_parts():
    samples = signal(16000, 1.0)[:, 0]
    part, _ = audio.read((samples, 16000), start=0.25, duration=0.5)
    np.testing.assert_array_equal(part, samples[4000:12000])


# ---------------------------------------------------------------- open files, pipes, standard input


def test_open_files_are_read_from_where_they_stand_and_put_back(tmp_path):
    path = save(tmp_path, signal(16000), 16000, "flac", "PCM_16")
    expected, _ = audio.read(path)
    embedded = io.BytesIO(b"sixteen bytes..." + path.read_bytes())
    embedded.seek(16)
    for _ in range(2):
        np.testing.assert_array_equal(audio.read(embedded)[0], expected)
        assert audio.info(embedded).frames == len(expected)
        assert embedded.tell() == 16
    with open(path, "rb") as file:
        np.testing.assert_array_equal(audio.read(file)[0], expected)
        assert not file.closed


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_named_pipe(tmp_path):
    path = save(tmp_path, signal(16000), 16000, "wav", "PCM_16")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(path.read_bytes()))
    writer.start()
    samples, _ = audio.read(pipe)
    writer.join()
    np.testing.assert_array_equal(samples, audio.read(path)[0])


def test_file_object_that_cannot_seek(tmp_path):
    path = save(tmp_path, signal(16000), 16000, "ogg", "VORBIS")
    with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as process:
        samples, _ = audio.read(process.stdout)
    np.testing.assert_array_equal(samples, audio.read(path)[0])


def test_standard_input_can_be_asked_about_and_read(tmp_path):
    path = save(tmp_path, signal(16000), 16000, "flac", "PCM_16")
    code = (
        "import sys; from features import audio; "
        "print(audio.info('-').frames); sys.stdout.flush(); sys.stdout.buffer.write(audio.read('-')[0].tobytes())"
    )
    with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as cat:
        done = subprocess.run([sys.executable, "-c", code], stdin=cat.stdout, capture_output=True, check=True)
    frames, samples = done.stdout.split(b"\n", 1)
    assert int(frames) == 8000
    np.testing.assert_array_equal(np.frombuffer(samples, np.float32), audio.read(path)[0])


# ---------------------------------------------------------------- memory


def test_memory_does_not_grow_with_the_length(tmp_path):
    peaks = []
    for minutes in [1, 4]:
        path = tmp_path / "long.wav"
        soundfile.write(path, np.zeros((0, 2), np.float32), 44100, subtype="PCM_16")
        data = minutes * 60 * 44100 * 4
        with open(path, "r+b") as file:  # nearly all of it a hole
            file.seek(4)
            file.write((data + 36).to_bytes(4, "little"))
            file.seek(40)
            file.write(data.to_bytes(4, "little"))
            file.truncate(44 + data)
        tracemalloc.start()
        total = sum(len(block) for block in audio.blocks(path, rate=16000))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert total == minutes * 60 * 16000
    assert peaks[1] < 20e6
    assert peaks[1] < 1.1 * peaks[0]


# ---------------------------------------------------------------- writing


def test_what_was_read_from_16_bits_is_written_the_same(tmp_path):
    path = save(tmp_path, signal(16000), 16000, "wav", "PCM_16")
    samples, rate = audio.read(path)
    audio.write(tmp_path / "copy.wav", samples, rate)
    np.testing.assert_array_equal(
        soundfile.read(tmp_path / "copy.wav", dtype="int16")[0], soundfile.read(path, dtype="int16")[0]
    )
    described = soundfile.info(tmp_path / "copy.wav")
    assert (described.samplerate, described.channels, described.subtype) == (16000, 1, "PCM_16")


def test_writing_clips_and_leaves_nothing_beside(tmp_path):
    audio.write(str(tmp_path / "loud.wav"), np.array([-3.0, 0.25, 3.0]), 8000)
    np.testing.assert_array_equal(soundfile.read(tmp_path / "loud.wav", dtype="int16")[0], [-32768, 8192, 32767])
    audio.write(tmp_path / "loud.wav", np.zeros(0, np.float32), 8000)
    assert len(audio.read(tmp_path / "loud.wav")[0]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["loud.wav"]


# ---------------------------------------------------------------- quiet


def test_messages_of_the_mp3_decoder_stay_off_the_terminal(tmp_path, capfd):
    if sys.platform not in ("linux", "darwin"):
        pytest.skip("the C library's stderr can be set aside on Linux and macOS only")
    path = tmp_path / "noisy.mp3"
    path.write_bytes(b"ID3\x04" + bytes(3000))
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.info(path)
    assert "Illegal Audio-MPEG-Header" in capfd.readouterr().err  # there is something to silence
    with pytest.raises(audio.AudioError):
        audio.read(path)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.info(path)
    assert "Illegal Audio-MPEG-Header" in capfd.readouterr().err  # and only while reading
