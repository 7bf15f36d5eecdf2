"""Small recordings in every format, and ways of damaging them: what `fuzz_audio.py` feeds to the readers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

CONTAINERS = [("sound.m4a", "aac"), ("sound.webm", "libopus"), ("sound.mka", "pcm_s16le")]


def make_seeds(folder: Path) -> list[Path]:
    """Small recordings in every format, made here: one second of noise with the rhythm of syllables."""
    import soundfile

    rng = np.random.default_rng(0)
    rate = 16000
    time_S = np.arange(rate * 5 // 4) / rate
    mono = (0.2 * rng.standard_normal(len(time_S)) * np.sin(2 * np.pi * 2 * time_S) ** 2).astype(np.float32)
    stereo = np.stack([mono, mono[::-1]], axis=1)
    plan = [
        ("pcm16.wav", mono, "WAV", "PCM_16"),
        ("pcm24.wav", stereo, "WAV", "PCM_24"),
        ("float.wav", mono, "WAV", "FLOAT"),
        ("adpcm.wav", mono, "WAV", "IMA_ADPCM"),
        ("extensible.wav", stereo, "WAVEX", "PCM_16"),
        ("sound.rf64", mono, "RF64", "PCM_16"),
        ("sound.aiff", mono, "AIFF", "PCM_16"),
        ("sound.au", mono, "AU", "PCM_16"),
        ("sound.caf", mono, "CAF", "ALAC_16"),
        ("sound.flac", stereo, "FLAC", "PCM_16"),
        ("sound.ogg", mono, "OGG", "VORBIS"),
        ("stereo.ogg", stereo, "OGG", "VORBIS"),
        ("sound.opus", mono, "OGG", "OPUS"),
        ("sound.mp3", mono, "MP3", "MPEG_LAYER_III"),
        ("stereo.mp3", stereo, "MP3", "MPEG_LAYER_III"),
    ]
    paths = []
    for name, samples, kind, subtype in plan:
        soundfile.write(folder / name, samples, rate, format=kind, subtype=subtype)
        paths.append(folder / name)
    # As an encoder writes it to a pipe, and without the frame that tells an mp3's length.
    streamed = bytearray((folder / "pcm16.wav").read_bytes())
    streamed[4:8] = streamed[40:44] = b"\xff\xff\xff\xff"
    (folder / "streamed.wav").write_bytes(streamed)
    mp3 = (folder / "sound.mp3").read_bytes()
    (folder / "untagged.mp3").write_bytes(mp3[mp3.index(mp3[:2], 4) :])
    paths += [folder / "streamed.wav", folder / "untagged.mp3"]
    with contextlib.suppress(ImportError):
        paths += [encode_container(folder / name, mono, rate, codec) for name, codec in CONTAINERS]
    return paths


def encode_container(path: Path, samples_S: np.ndarray, rate: int, codec: str) -> Path:
    """Mono samples as the sound track of a container that PyAV writes."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.layout = "mono"
        whole = av.AudioFrame.from_ndarray(samples_S[None], format="fltp", layout="mono")
        whole.sample_rate, whole.pts = rate, 0
        context = stream.codec_context
        fit = av.AudioResampler(context.format, "mono", rate, frame_size=context.frame_size or 1024)
        for frame in [*fit.resample(whole), *fit.resample(None), None]:
            container.mux(stream.encode(frame))
    return path


# ---------------------------------------------------------------- mutations


def flip_bits(data: bytearray, rng: np.random.Generator, other: bytes) -> None:
    for _ in range(int(2 ** rng.uniform(0, 7))):
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))


def flip_header_bits(data: bytearray, rng: np.random.Generator, other: bytes) -> None:
    for _ in range(int(rng.integers(1, 9))):
        data[rng.integers(min(len(data), 512))] ^= 1 << int(rng.integers(8))


def truncate(data: bytearray, rng: np.random.Generator, other: bytes) -> None:
    # Evenly over the file, and as often close to one of its ends.
    near = int(2 ** rng.uniform(0, 10))
    del data[int(rng.choice([rng.integers(len(data)), near, max(0, len(data) - near)])) :]


def change_field(data: bytearray, rng: np.random.Generator, other: bytes) -> None:
    """Write a number where a header may have one: lengths, counts and rates, in either byte order."""
    for _ in range(int(rng.integers(1, 4))):
        width = int(rng.choice([1, 2, 4, 8]))
        at = int(rng.integers(min(len(data), int(rng.choice([64, 256, 4096])))))
        ones = (1 << 8 * width) - 1
        values = [
            0,
            1,
            ones,
            ones >> 1,
            (ones >> 1) + 1,
            ones - 1,
            9,
            255,
            384000,
            len(data),
            int(rng.integers(1 << 31)),
        ]
        value = values[rng.integers(len(values))] & ones
        data[at : at + width] = value.to_bytes(width, "little" if rng.random() < 0.5 else "big")


def splice(data: bytearray, rng: np.random.Generator, other: bytes) -> None:
    """The start of one file and the end of another."""
    data[rng.integers(len(data)) :] = other[rng.integers(len(other)) :]


def zero_run(data: bytearray, rng: np.random.Generator, other: bytes) -> None:
    at, count = int(rng.integers(len(data))), int(2 ** rng.uniform(0, 14))
    data[at : at + count] = bytes(len(data[at : at + count]))


def remove_part(data: bytearray, rng: np.random.Generator, other: bytes) -> None:
    at = int(rng.integers(len(data)))
    del data[at : at + int(2 ** rng.uniform(0, 12))]


def repeat_part(data: bytearray, rng: np.random.Generator, other: bytes) -> None:
    at = int(rng.integers(len(data)))
    data[at:at] = data[at : at + int(2 ** rng.uniform(0, 12))]


def insert_noise(data: bytearray, rng: np.random.Generator, other: bytes) -> None:
    at = int(rng.integers(len(data)))
    data[at:at] = rng.bytes(int(2 ** rng.uniform(0, 10)))


MUTATIONS: list[Callable[[bytearray, np.random.Generator, bytes], None]] = [
    flip_bits,
    flip_header_bits,
    truncate,
    change_field,
    splice,
    zero_run,
    remove_part,
    repeat_part,
    insert_noise,
]


def mutate(seeds: list[Path], rng: np.random.Generator) -> tuple[bytes, str, str]:
    """A damaged file: its bytes, the suffix of its name, and what was done to it."""
    source = seeds[rng.integers(len(seeds))]
    other = seeds[rng.integers(len(seeds))].read_bytes()
    data = bytearray(source.read_bytes())
    steps = []
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        if not data:
            break
        mutation = MUTATIONS[rng.integers(len(MUTATIONS))]
        mutation(data, rng, other)
        steps.append(mutation.__name__)
    # A wrong suffix now and then.
    suffix = source.suffix if rng.random() < 0.9 else seeds[rng.integers(len(seeds))].suffix
    return bytes(data), suffix, f"{source.name}: {', '.join(steps)}"
