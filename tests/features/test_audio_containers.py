"""Sound in containers and streams: m4a, mp4, webm through PyAV; mp3 and wav files that do not know their length."""

from __future__ import annotations

import io
import struct
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile

from features import audio
from features.mpeg import _parse

RATE = 48000


def tones(seconds: float = 1.0, channels: int = 1) -> np.ndarray:
    """A tone of 440 Hz and its octaves, (S, channels)."""
    time_S = np.arange(round(RATE * seconds)) / RATE
    return np.stack([0.3 * np.sin(2 * np.pi * 440 * 2**k * time_S) for k in range(channels)], axis=1).astype(np.float32)


def encode(path: Path, samples_SC: np.ndarray, codec: str, *, pictures: bool = False, **options: str) -> Path:
    av = pytest.importorskip("av", reason="PyAV (the extra `video`) is not installed")
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[samples_SC.shape[1]]
    packets = []
    with av.open(str(path), "w", options=options) as container:
        if pictures:
            video = container.add_stream("mpeg4", rate=25)
            video.width = video.height = 64
            video.pix_fmt = "yuv420p"
            for k in [*range(25), None]:
                picture = None if k is None else av.VideoFrame.from_ndarray(np.full((64, 64, 3), k, np.uint8))
                if picture is not None:
                    picture.pts, picture.time_base = k, Fraction(1, 25)
                packets.append(video.encode(picture))
        stream = container.add_stream(codec, rate=RATE)
        stream.layout = layout
        stream.bit_rate = 192_000
        for packet in packets:
            container.mux(packet)
        whole = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples_SC.T), format="fltp", layout=layout)
        whole.sample_rate, whole.pts = RATE, 0
        context = stream.codec_context
        fit = av.AudioResampler(context.format, layout, RATE, frame_size=context.frame_size or 1024)
        for frame in [*fit.resample(whole), *fit.resample(None), None]:
            container.mux(stream.encode(frame))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "channels"),
    [
        ("a.m4a", "aac", 1),
        ("a.m4a", "aac", 2),
        ("a.m4a", "alac", 2),
        ("a.mp4", "aac", 1),
        ("a.mov", "pcm_s24le", 2),
        ("a.webm", "libopus", 1),
        ("a.webm", "libopus", 2),
        ("a.mkv", "pcm_f32le", 2),
        ("a.mka", "pcm_s16le", 6),
        ("a.mka", "pcm_u8", 1),
        ("a.aac", "aac", 1),
        ("a.avi", "pcm_s16le", 1),
    ],
)
def test_containers(tmp_path, name, codec, channels):
    written = tones(channels=channels)
    path = encode(tmp_path / name, written, codec)
    described = audio.info(path)
    samples, rate = audio.read(path)

    assert path.suffix in audio.SUFFIXES
    assert (rate, described.rate, described.channels) == (RATE, RATE, channels)
    assert abs(described.frames - RATE) <= 2500
    assert 0 <= len(samples) - RATE <= 2048  # lossy codecs fill up their last frame
    # adts has no place for the delay of the encoder, one frame
    delay = 1024 if name.endswith(".aac") else 0
    expected = written.mean(axis=1)[2000:40000]
    errors = {lag: np.abs(samples[delay + lag + 2000 :][:38000] - expected) for lag in range(-50, 50)}
    assert min(errors, key=lambda lag: errors[lag].mean()) == 0
    assert errors[0].max() < (0.08 if codec in ("aac", "libopus") else 1e-4 if codec != "pcm_u8" else 0.01)
    for block_seconds in [0.013, 0.4]:
        pieces = np.concatenate(list(audio.blocks(path, block_seconds=block_seconds)))
        np.testing.assert_array_equal(pieces, samples)
    part, _ = audio.read(path, start=0.3, duration=0.25)
    np.testing.assert_array_equal(part, samples[14400:26400])


def test_container_of_pcm_equals_the_wav(tmp_path):
    samples = tones(channels=2)
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="PCM_16")
    exact = soundfile.read(tmp_path / "a.wav", dtype="float32")[0]
    path = encode(tmp_path / "a.mka", exact, "pcm_s16le")
    np.testing.assert_array_equal(audio.read(path, rate=16000)[0], audio.read(tmp_path / "a.wav", rate=16000)[0])


def test_sound_of_a_video_and_of_an_open_file(tmp_path):
    path = encode(tmp_path / "film.mp4", tones(), "aac", pictures=True)
    samples, _ = audio.read(path)
    assert abs(np.abs(samples).max() - 0.3) < 0.05
    np.testing.assert_array_equal(audio.read(io.BytesIO(path.read_bytes()))[0], samples)
    # Known by its content too.
    np.testing.assert_array_equal(audio.read(path.rename(tmp_path / "film.wav"))[0], samples)


def test_containers_cut_short(tmp_path):
    for name, codec in [("a.m4a", "aac"), ("a.webm", "libopus"), ("a.mka", "pcm_s16le")]:
        path = encode(tmp_path / name, tones(), codec)
        data = path.read_bytes()
        for length in [len(data) // 5, len(data) * 2 // 3, len(data) - 1]:
            path.write_bytes(data[:length])
            with pytest.raises(audio.AudioError, match=rf"{name}: is cut short: .*: copy or record it again\Z"):
                audio.info(path)


def test_fragmented_mp4(tmp_path):
    path = encode(tmp_path / "a.mp4", tones(), "aac", movflags="frag_keyframe+empty_moov")
    assert len(audio.read(path)[0]) >= RATE


def test_without_pyav_the_message_says_what_to_install(tmp_path, monkeypatch):
    path = encode(tmp_path / "a.m4a", tones(), "aac")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(audio.AudioError, match=r"a\.m4a: needs PyAV to be read: pip install 'saywave\[video\]'"):
        audio.read(path)


def test_a_video_without_sound(shared_data):
    pytest.importorskip("av", reason="PyAV (the extra `video`) is not installed")
    with pytest.raises(audio.AudioError, match="no sound track"):
        audio.info(shared_data / "video" / "sign.mp4")


def test_a_playlist_does_not_open_other_files(tmp_path):
    encode(tmp_path / "secret.m4a", tones(), "aac")
    playlist = tmp_path / "list.m4a"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{tmp_path}/secret.m4a\n#EXT-X-ENDLIST\n")
    with pytest.raises(audio.AudioError, match="not a sound file"):
        audio.read(playlist)


# ---------------------------------------------------------------- wav files written to a pipe


def wav_bytes(riff: int, data: int, samples: bytes, *, after: bytes = b"") -> bytes:
    form = struct.pack("<IHHIIHH", 16, 1, 1, 16000, 32000, 2, 16)
    return b"RIFF" + struct.pack("<I", riff) + b"WAVEfmt " + form + b"data" + struct.pack("<I", data) + samples + after


@pytest.mark.parametrize(
    ("riff", "data"),
    [
        (0xFFFFFFFF, 0xFFFFFFFF),  # ffmpeg
        (0x7FFFF024, 0x7FFFF000),  # espeak, sox
        (0x7FFFFFFF, 0x7FFFFFFF - 36),
        (0x80000024, 0x80000000),
        (0xFFFFFFFF - 8, 0xFFFFFFFF - 44),
        (0, 0),
        (36, 0),  # the wave module of Python
        (0xFFFFFFFF, 0),
    ],
)
@pytest.mark.parametrize("values", [np.arange(-3000, 3000), np.zeros(6000)], ids=["sound", "silence"])
def test_wav_of_unknown_length_is_read_to_its_end(riff, data, values):
    values = values.astype("<i2")
    source = io.BytesIO(wav_bytes(riff, data, values.tobytes()))
    assert audio.info(source).frames == len(values)
    np.testing.assert_array_equal(audio.read(source)[0], values.astype(np.float32) / 32768)


@pytest.mark.parametrize("after", [b"", b"LIST" + struct.pack("<I", 4) + b"INFO"])
def test_wav_without_samples_gives_no_samples(after):
    source = io.BytesIO(wav_bytes(36 + len(after), 0, b"", after=after))
    samples, rate = audio.read(source, rate=8000)
    assert (len(samples), rate) == (0, 8000)
    assert audio.info(source).frames == 0
    assert list(audio.blocks(source)) == []


def test_chunks_behind_the_samples_are_not_sound():
    values = np.arange(100, dtype="<i2")
    source = io.BytesIO(wav_bytes(36 + 200 + 12, 200, values.tobytes(), after=b"LIST" + struct.pack("<I", 4) + b"INFO"))
    assert len(audio.read(source)[0]) == 100


def test_flac_behind_a_tag_still_knows_its_length(tmp_path):
    soundfile.write(tmp_path / "a.flac", tones(), RATE)
    tagged = b"ID3\x04\x00\x00\x00\x00\x00\x20" + bytes(32) + (tmp_path / "a.flac").read_bytes()
    assert audio.info(io.BytesIO(tagged)).frames == RATE
    np.testing.assert_array_equal(audio.read(io.BytesIO(tagged))[0], audio.read(tmp_path / "a.flac")[0])


def test_flac_of_unknown_length(tmp_path):
    soundfile.write(tmp_path / "a.flac", tones(), RATE)
    data = bytearray((tmp_path / "a.flac").read_bytes())
    data[21] &= 0xF0  # the 36 bits of the number of samples
    data[22:26] = bytes(4)
    assert audio.info(io.BytesIO(data)) == audio.AudioInfo(RATE, 1, None)
    assert audio.info(io.BytesIO(data)).duration is None
    np.testing.assert_array_equal(audio.read(io.BytesIO(data))[0], audio.read(tmp_path / "a.flac")[0])
    assert len(audio.read(io.BytesIO(data), start=0.75)[0]) == RATE // 4


# ---------------------------------------------------------------- mp3 files that do not know their length


def mp3(rate: int, samples: np.ndarray, mode: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="MP3", bitrate_mode=mode, compression_level=0.3)
    return file.getvalue()


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("mode", ["VARIABLE", "CONSTANT"])
def test_mp3_without_a_length_is_read_to_its_end(rate, channels, mode):
    # Loud first: from the bit rate of its first frame libsndfile would take the file for a third of its length.
    samples = np.zeros((6 * rate, channels), np.float32)
    samples[: 3 * rate] = np.random.default_rng(0).uniform(-0.3, 0.3, (3 * rate, channels))
    tagged = mp3(rate, samples, mode)
    untagged = tagged[_parse(tagged[:4]).length :]
    expected, _ = audio.read(io.BytesIO(tagged))
    got, _ = audio.read(io.BytesIO(untagged))

    assert audio.info(io.BytesIO(tagged)).frames == len(samples) == len(expected)
    assert audio.info(io.BytesIO(untagged)).frames is None
    delay = 576  # of the encoder, which the tag tells the decoder to leave out
    np.testing.assert_array_equal(got[delay : delay + len(expected)], expected)
    assert len(got) < len(expected) + 3 * 1152
    behind_a_tag = b"ID3\x04\x00\x00\x00\x00\x00\x20" + bytes(32) + untagged
    np.testing.assert_array_equal(audio.read(io.BytesIO(behind_a_tag))[0], got)


def test_mp3_files_joined_are_read_to_the_end():
    first, second = (mp3(16000, np.random.default_rng(k).uniform(-0.3, 0.3, 32000), "CONSTANT") for k in range(2))
    for joined in [first + second, first + b"TAG" + bytes(125) + b"ID3\x04\x00\x00\x00\x00\x00\x00" + second]:
        samples, _ = audio.read(io.BytesIO(joined))
        assert 64000 <= len(samples) < 64000 + 6 * 1152
        assert np.abs(samples[-20000:]).max() > 0.2
