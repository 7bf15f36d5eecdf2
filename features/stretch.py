"""Change how long speech takes without changing its pitch: the half of a change of voice that resampling cannot do."""

from __future__ import annotations

import numpy as np

_WINDOW_SECONDS = 0.032  # two to four periods of a voice
_SEARCH_SECONDS = 0.008  # either side; one period of a voice of 62 Hz and above


def time_stretch(samples_S: np.ndarray, rate: int, factor: float) -> np.ndarray:
    """Make S samples `factor` times as long at unchanged pitch and formants, (round(S * factor),) float32.

    WSOLA (Verhelst and Roelands 1993): overlapping windows are taken at the old times and laid down at the new ones,
    each moved by up to 8 ms to where it continues the waveform best (largest normalised cross-correlation).
    """
    samples_S = np.asarray(samples_S, np.float32)
    length = round(len(samples_S) * factor)
    if factor == 1.0 or not length:
        return samples_S[:length]
    hop = max(1, round(_WINDOW_SECONDS * rate / 2))
    reach = max(1, round(_SEARCH_SECONDS * rate))
    window = (0.5 - 0.5 * np.cos(np.pi * (np.arange(2 * hop) + 0.5) / hop)).astype(np.float32)  # halves add up to 1
    count = length // hop + 2
    padded = np.pad(samples_S, (hop + reach, round(hop * count / factor) + 3 * hop + 2 * reach))
    stretched = np.zeros((count + 1) * hop, np.float32)
    position = 0  # where in `padded` the window before this one was taken
    for index in range(count):
        # The window whose centre is put at index * hop of the result is looked for around index * hop / factor.
        low = round(index * hop / factor)
        if index:
            wanted = padded[position + hop : position + 3 * hop]
            region = padded[low : low + 2 * (reach + hop)]
            energy = np.cumsum(np.concatenate(([0.0], np.square(region, dtype=np.float64))))
            norm = np.sqrt(np.maximum(energy[2 * hop :] - energy[: -2 * hop], 1e-8))
            position = low + int(np.argmax(np.correlate(region, wanted, "valid") / norm))
        else:
            position = low + reach
        stretched[index * hop : (index + 2) * hop] += window * padded[position : position + 2 * hop]
    return stretched[hop : hop + length]
