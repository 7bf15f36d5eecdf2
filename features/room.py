"""Rooms that nobody measured: impulse responses of boxes, by image sources and, where those are too many, by noise.

A wall mirrors the source; mirrored again and again it becomes a lattice of sources, each heard once and undisturbed
(Allen and Berkley 1979). The early reflections, which depend on where one stands, are computed so; the late ones, of
which there are a hundred thousand in the first half second of a living room, have no structure that could be heard, and
are noise with the power that the lattice has there.

Shapes: S samples, N image sources.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SPEED_OF_SOUND = 343.0  # m/s, at 20 degrees Celsius
EARLY_SECONDS = 0.08  # where early reflections end, for speech (ISO 3382-1: 80 ms for music, 50 ms for speech)
_HALF_TAPS = 40  # of the interpolation between samples
_HIGHPASS_HZ = 60.0  # all images push the same way, a pressure that no real room builds up
_SIZES_M = ((3.0, 10.0), (2.5, 8.0), (2.3, 3.5))  # length, width, height of rooms that are drawn
_DECAY_SECONDS = (0.15, 0.8)
_FROM_WALLS_M = 0.3
_APART_M = (0.3, 4.0)  # mouth and microphone


@dataclass(frozen=True)
class Box:
    """A room with six walls alike, someone who speaks in it, and a microphone.

    Args:
        size: Length, width and height in metres.
        source: Where the speaker is, in metres from one corner.
        microphone: Where the microphone is.
        reflection: Share of the pressure, 0 to 1, that a wall throws back.
    """

    size: tuple[float, float, float]
    source: tuple[float, float, float]
    microphone: tuple[float, float, float]
    reflection: float

    @property
    def volume(self) -> float:
        """In cubic metres."""
        return float(np.prod(self.size))

    @property
    def decay_seconds(self) -> float:
        """The reverberation time RT60 by Eyring's formula (1930)."""
        length, width, height = self.size
        surface = 2 * (length * width + length * height + width * height)
        return _sabine(self.volume, surface) / (-2 * np.log(self.reflection))

    def direct_sample(self, rate: int) -> int:
        """Where the direct path stands in a response; where images meet, a later value may be the largest."""
        return round(float(np.linalg.norm(np.subtract(self.source, self.microphone))) / SPEED_OF_SOUND * rate)


def reflection_for(size: tuple[float, float, float], decay_seconds: float) -> float:
    """The share that walls throw back in a room of this size and reverberation time: Eyring's formula, turned."""
    length, width, height = size
    surface = 2 * (length * width + length * height + width * height)
    return float(np.exp(-_sabine(length * width * height, surface) / (2 * decay_seconds)))


def image_sources(box: Box, farthest: float) -> tuple[np.ndarray, np.ndarray]:
    """Distances (N,) in metres from the microphone and pressures (N,) at 1 m of all images as far as `farthest`.

    Allen and Berkley 1979, equation 9: along each axis an image lies at 2nL + s or 2nL - s, behind |2n| or |2n - 1|
    reflections.
    """
    squares, reflections = [], []
    for length, source, microphone in zip(box.size, box.source, box.microphone, strict=True):
        most = int(np.ceil((farthest + length) / (2 * length)))
        n_K = np.arange(-most, most + 1)
        along_N = np.concatenate([2 * n_K * length + source, 2 * n_K * length - source]) - microphone
        count_N = np.concatenate([np.abs(2 * n_K), np.abs(2 * n_K - 1)])
        near_N = np.abs(along_N) <= farthest
        squares.append(np.square(along_N[near_N]))
        reflections.append(count_N[near_N])
    squared = squares[0][:, None, None] + squares[1][:, None] + squares[2]
    counted = reflections[0][:, None, None] + reflections[1][:, None] + reflections[2]
    near = squared <= farthest**2
    return np.sqrt(squared[near]), box.reflection ** counted[near].astype(np.float64)


def image_response(box: Box, rate: int, seconds: float) -> np.ndarray:
    """What the microphone hears of an impulse in `seconds`, by image sources alone: (seconds * rate,) float64.

    Pressure falls as 1 / distance and is 1 at 1 m. Images arrive between samples: each is a sinc under a Hann window of
    81 samples (Peterson 1986); what such a one has before time zero is left out.
    """
    length = round(seconds * rate)
    distances_N, pressures_N = image_sources(box, seconds * SPEED_OF_SOUND)
    places_N = distances_N * (rate / SPEED_OF_SOUND)
    first_N = np.floor(places_N).astype(np.int64)
    taps_K = np.arange(-_HALF_TAPS, _HALF_TAPS + 1)
    from_centre_NK = taps_K - (places_N - first_N)[:, None]
    window_NK = (
        np.where(np.abs(from_centre_NK) <= _HALF_TAPS, np.cos(from_centre_NK * (np.pi / 2 / _HALF_TAPS)), 0) ** 2
    )
    weights_NK = (pressures_N / distances_N)[:, None] * np.sinc(from_centre_NK) * window_NK
    where_NK = first_N[:, None] + taps_K
    inside_NK = (where_NK >= 0) & (where_NK < length)
    return np.bincount(where_NK[inside_NK], weights_NK[inside_NK], minlength=length)


def box_response(box: Box, rate: int, rng: np.random.Generator) -> np.ndarray:
    """What the microphone hears of an impulse until it has fallen by 60 dB: (S,) float32.

    Image sources for `EARLY_SECONDS`, then Gaussian noise. In a second there arrive 4 pi c^3 t^2 / V images from a
    distance of ct: their power a sample is 4 pi c / (V * rate) at any time but for what the walls take. Below 60 Hz
    there is nothing.
    """
    images_S = image_response(box, rate, EARLY_SECONDS)
    late = np.arange(len(images_S), max(len(images_S), round(box.decay_seconds * rate)))
    level = np.sqrt(4 * np.pi * SPEED_OF_SOUND / (box.volume * rate))
    noise_S = level * 10.0 ** (-3.0 * late / (box.decay_seconds * rate)) * rng.standard_normal(len(late))
    return _highpass(np.concatenate([images_S, noise_S]), rate).astype(np.float32)


def draw_box(rng: np.random.Generator) -> Box:
    """A room of a flat or an office, with a speaker and a microphone 0.3 to 4 m apart."""
    size = tuple(float(rng.uniform(*limits)) for limits in _SIZES_M)
    reflection = reflection_for(size, float(rng.uniform(*_DECAY_SECONDS)))
    inside = np.array([(_FROM_WALLS_M, length - _FROM_WALLS_M) for length in size]).T
    microphone_3 = rng.uniform(*inside)
    away = rng.uniform(*_APART_M)
    room = 0.0
    while room < _APART_M[0]:  # in a corner most directions lead into a wall
        step_3 = rng.standard_normal(3)
        step_3 /= np.linalg.norm(step_3)
        until_3 = np.where(step_3 > 0, inside[1] - microphone_3, microphone_3 - inside[0]) / np.abs(step_3)
        room = float(until_3.min())
    source_3 = microphone_3 + min(away, room) * step_3  # nearer where that would be in the wall or beyond
    return Box(size, tuple(source_3.tolist()), tuple(microphone_3.tolist()), reflection)


def _sabine(volume: float, surface: float) -> float:
    """Sabine's reverberation time of a room whose walls take everything: 24 ln 10 V / (c A)."""
    return 24 * np.log(10) * volume / (SPEED_OF_SOUND * surface)


def _highpass(response_S: np.ndarray, rate: int) -> np.ndarray:
    """Two poles at `_HIGHPASS_HZ`: causal, so that nothing comes before the direct path; 12 dB an octave."""
    size = 1 << (len(response_S) + rate // 4).bit_length()
    hertz = np.fft.rfftfreq(size, 1 / rate) * 1j / _HIGHPASS_HZ
    return np.fft.irfft(np.fft.rfft(response_S, size) * (hertz / (1 + hertz)) ** 2, size)[: len(response_S)]
