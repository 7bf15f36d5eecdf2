"""Change how long speech takes without changing its pitch: the half of a change of voice that resampling cannot do."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

_WINDOW_SECONDS = 0.032  # two to four periods of a voice
_SEARCH_SECONDS = 0.008  # either side; one period of a voice of 62 Hz and above
_SEARCH_RATE = 4000  # in Hz: what a voice repeats from period to period lies below 2 kHz


def time_stretch(samples_S: np.ndarray, rate: int, factor: float) -> np.ndarray:
    """Make S samples `factor` times as long at unchanged pitch and formants, (round(S * factor),) float32.

    WSOLA (Verhelst and Roelands 1993): overlapping windows are taken at the old times and laid down at the new ones,
    each moved by up to 8 ms to where it continues the waveform best (largest normalised cross-correlation).
    """
    samples_S = np.asarray(samples_S, np.float32)
    length = round(len(samples_S) * factor)
    if factor == 1.0 or not length:
        return samples_S[:length]
    step = max(1, rate // _SEARCH_RATE)  # samples that are one in the search
    hop = max(1, round(_WINDOW_SECONDS * rate / 2 / step))  # half a window, in steps
    reach = max(1, round(_SEARCH_SECONDS * rate / step))
    count = length // (hop * step) + 2
    behind = round(hop * count / factor) + 3 * hop + 2 * reach + 1
    padded = np.pad(samples_S, ((hop + reach) * step, behind * step))
    padded = padded[: len(padded) // step * step]
    places = _places(padded.reshape(-1, step).mean(axis=1), step, hop, reach, hop / factor, count)
    hop *= step
    window = (0.5 - 0.5 * np.cos(np.pi * (np.arange(2 * hop) + 0.5) / hop)).astype(np.float32)  # halves add up to 1
    taken = sliding_window_view(padded, 2 * hop)[places] * window
    stretched = np.zeros((count + 1, hop), np.float32)
    stretched[:-1] = taken[:, :hop]
    stretched[1:] += taken[:, hop:]
    return stretched.reshape(-1)[hop : hop + length]


def _places(coarse: np.ndarray, step: int, hop: int, reach: int, apart: float, count: int) -> list[int]:
    """At which samples `count` windows of 2 * hop steps are taken, that lie `apart` steps on average.

    `coarse` holds the mean of each `step` samples; between these a parabola through the correlations finds the place.
    """
    energy = np.cumsum(np.concatenate(([0.0], np.square(coarse, dtype=np.float64))))
    weight = (1.0 / np.sqrt(np.maximum(energy[2 * hop :] - energy[: -2 * hop], 1e-8))).astype(np.float32)
    place, places = reach * step, [reach * step]
    # A window is looked for around its time; a line of Python runs 60 times for each second, so there are few.
    for low in np.rint(np.arange(1, count) * apart).astype(int).tolist():
        at = (place + step // 2) // step
        wanted = coarse[at + hop : at + 3 * hop]
        match = np.correlate(coarse[low : low + 2 * (reach + hop)], wanted, "valid")
        match *= weight[low : low + 2 * reach + 1]
        best = int(match.argmax())
        place += (low + best - at) * step
        if 0 < best < 2 * reach:
            before, peak, after = match[best - 1 : best + 2].tolist()
            bend = before - 2 * peak + after
            if bend < 0:
                place += round(step * (before - after) / (2 * bend))
        places.append(max(0, place))
    return places
