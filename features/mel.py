"""The mel scale, Kaldi's triangular filters and the cosine transform: the fixed matrices of filterbank and cepstra.

Everything here is computed once per configuration in float64 and rounded to float32 at the end. Shape letters: K
frequencies of the FFT, N mel bins, C cepstra.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


def hz_to_mel(hz: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Mel value of a frequency in Hz, ``1127 ln(1 + hz / 700)`` (HTK book, section 5.6; Kaldi uses the same)."""
    return 1127.0 * np.log1p(np.asarray(hz, dtype=np.float64) / 700.0)


def mel_to_hz(mel: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Frequency in Hz of a mel value; the inverse of :func:`hz_to_mel`."""
    return 700.0 * np.expm1(np.asarray(mel, dtype=np.float64) / 1127.0)


def mel_filters(*, rate: int, fft_size: int, bins: int, low_hz: float, high_hz: float) -> npt.NDArray[np.float32]:
    """Triangular filters whose sides are straight on the mel scale, as in Kaldi.

    The N + 2 corner points lie evenly in mel from ``low_hz`` to ``high_hz``; bin n rises from corner n to 1 at corner
    n + 1 and falls to 0 at corner n + 2. (librosa's and HTK's triangles are straight in Hz and differ a little.) As in
    Kaldi the Nyquist frequency carries no weight.

    Args:
        rate: samples per second.
        fft_size: number of points of the FFT, even.
        bins: number of filters N.
        low_hz: lower corner of the first filter, in Hz.
        high_hz: upper corner of the last filter, in Hz, at most half the rate.

    Returns:
        ``filters_KN`` of shape (fft_size / 2 + 1, bins).

    Raises:
        ValueError: a filter is so narrow that no frequency of the FFT falls inside.
    """
    corners = np.linspace(hz_to_mel(low_hz), hz_to_mel(high_hz), bins + 2)
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]
    mel_K1 = hz_to_mel(np.arange(fft_size // 2 + 1) * (rate / fft_size))[:, None]
    rising = (mel_K1 - left) / (centre - left)
    falling = (right - mel_K1) / (right - centre)
    filters_KN = np.maximum(0.0, np.minimum(rising, falling))
    filters_KN[-1] = 0.0
    empty = np.flatnonzero(filters_KN.max(axis=0) == 0.0)
    if empty.size:
        first = int(empty[0])
        start, end = mel_to_hz([left[first], right[first]])
        raise ValueError(
            f"bins={bins} is too many: mel bin {first} ({start:.0f} to {end:.0f} Hz) holds none of the frequencies of "
            f"the {fft_size}-point FFT, {rate / fft_size:.1f} Hz apart; use fewer bins or a longer window"
        )
    return filters_KN.astype(np.float32)


class FilterBand(NamedTuple):
    """Neighbouring mel bins and the part of the spectrum that they read."""

    frequencies: slice
    bins: slice
    filters: npt.NDArray[np.float32]


def filter_bands(filters_KN: npt.NDArray[np.float32], *, width: int = 16) -> list[FilterBand]:
    """Splits the filters into bands of ``width`` bins, each with only the frequencies that it needs.

    A triangle is zero nearly everywhere, so these few small products do about a quarter of the work of the whole one.
    """
    bands = []
    for start in range(0, filters_KN.shape[1], width):
        bins = slice(start, min(start + width, filters_KN.shape[1]))
        used = np.flatnonzero(filters_KN[:, bins].any(axis=1))
        frequencies = slice(int(used[0]), int(used[-1]) + 1)
        bands.append(FilterBand(frequencies, bins, np.ascontiguousarray(filters_KN[frequencies, bins])))
    return bands


def cosine_transform(bins: int, ceps: int) -> npt.NDArray[np.float64]:
    """Orthonormal DCT-II as a matrix ``transform_NC``: ``log_mel_TN @ transform_NC`` gives the cepstra."""
    order = np.arange(ceps)
    phase_NC = np.pi / bins * (np.arange(bins)[:, None] + 0.5) * order
    return np.sqrt(np.where(order == 0, 1.0, 2.0) / bins) * np.cos(phase_NC)


def lifter_weights(ceps: int, lifter: float) -> npt.NDArray[np.float64]:
    """Factors ``1 + lifter / 2 * sin(pi n / lifter)`` of cepstrum n (HTK book, section 5.6); all ones for lifter 0."""
    if lifter == 0.0:
        return np.ones(ceps)
    return 1.0 + 0.5 * lifter * np.sin(np.pi * np.arange(ceps) / lifter)
