"""What coding with loss does to speech: telephones, calls over the net and archives leave their own traces in sound.

Each codec is the real one, of libsndfile, in memory; what it does is bound to one version of the library on one
machine, not to a generator. Telephones of old, whose loss is in the band and in mu-law, are in `features.effects`.

Shapes: S samples.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr

from features.effects import within_full_scale
from features.quiet import quiet_c_stderr

_MP3_DELAY = 576 + 529  # samples of LAME and of a decoder


class CodecError(ValueError):
    """A codec that is not there or does not work; the message says what to do."""


@dataclass(frozen=True)
class Codec:
    """A format of libsndfile, at the bit rates that speech gets.

    Args:
        container: libsndfile's name of the file format.
        coding: libsndfile's name of the coding.
        rate: Highest sampling rate in Hz at which speech is coded; 8 kHz below that.
        share: How often `draw_codec` draws it.
        loss: Range of libsndfile's compression level, 0 (best) to 1 (smallest); none where there is but one.
    """

    container: str
    coding: str
    rate: int
    share: float
    loss: tuple[float, float] | None = None


# Bit rates as measured with libsndfile 1.2.2 on read speech at 16 kHz. Its Opus takes ten times as long as the others.
CODECS = {
    "opus": Codec("OGG", "OPUS", 16000, 0.05, (0.9, 0.98)),  # 33 to 15 kbit/s: calls over the net
    "mp3": Codec("MP3", "MPEG_LAYER_III", 16000, 0.2, (0.7, 0.95)),  # 59 to 17 kbit/s: archives, podcasts
    "vorbis": Codec("OGG", "VORBIS", 16000, 0.25, (0.5, 0.99)),  # 62 to 40 kbit/s
    "gsm": Codec("WAV", "GSM610", 8000, 0.25),  # 13 kbit/s: mobile telephones (GSM 06.10)
    "adpcm": Codec("WAV", "IMA_ADPCM", 8000, 0.25),  # 32 kbit/s: cordless telephones, recorders
}


def draw_codec(rng: np.random.Generator) -> str:
    """The name of one of `CODECS`, each as often as its share says."""
    return str(rng.choice(list(CODECS), p=[codec.share for codec in CODECS.values()]))


def check_codecs() -> None:
    """Raise CodecError where libsndfile cannot write one of `CODECS`."""
    formats = soundfile.available_formats()
    missing = [
        name
        for name, codec in CODECS.items()
        if codec.container not in formats or codec.coding not in soundfile.available_subtypes(codec.container)
    ]
    if missing:
        raise CodecError(
            f"libsndfile {soundfile.__libsndfile_version__} cannot write {', '.join(missing)}; pip's soundfile brings "
            "one that can, or leave out augment.codec_probability"
        )


def code(samples_S: np.ndarray, rate: int, name: str, loss: float = 0.0) -> np.ndarray:
    """The samples, coded by one of `CODECS` and decoded: (S,) float32, in their places.

    Args:
        samples_S: In [-1, 1]; what is louder is scaled down first.
        rate: Their sampling rate in Hz. What is above half the codec's own rate is lost.
        name: Of the codec.
        loss: 0 for the highest of its bit rates, 1 for the lowest.

    Raises:
        CodecError: libsndfile cannot do it.
    """
    codec = CODECS[name]
    samples_S = within_full_scale(np.asarray(samples_S, np.float32))
    if not len(samples_S):
        return samples_S
    inner = codec.rate if rate >= codec.rate else 8000
    plain_S = samples_S if inner == rate else soxr.resample(samples_S, rate, inner)
    plain_S = np.pad(plain_S, (0, max(0, inner // 10 - len(plain_S))))  # less makes files that cannot be read again
    options = {}
    if codec.loss is not None:
        low, high = codec.loss
        options["compression_level"] = low + loss * (high - low)
        if name == "mp3":
            options["bitrate_mode"] = "CONSTANT"
    memory = io.BytesIO()
    try:
        with quiet_c_stderr():
            with soundfile.SoundFile(
                memory, "w", inner, 1, format=codec.container, subtype=codec.coding, **options
            ) as file:
                file.write(plain_S)
            memory.seek(0)
            coded_S, _ = soundfile.read(memory, dtype="float32")
    except soundfile.LibsndfileError as error:
        raise CodecError(
            f"libsndfile {soundfile.__libsndfile_version__} fails at {name}: {error.error_string}"
        ) from error
    if name == "mp3" and len(coded_S) > len(plain_S):
        # Frames below some 32 kbit/s cannot hold LAME's note on its delay, by which decoders else leave it out.
        coded_S = coded_S[_MP3_DELAY:]
    if inner != rate:
        coded_S = soxr.resample(coded_S, inner, rate)
    return np.pad(coded_S[: len(samples_S)], (0, max(0, len(samples_S) - len(coded_S))))
