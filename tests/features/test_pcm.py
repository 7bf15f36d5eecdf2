"""Raw samples from a pipe: every type, however the pipe cuts them, as soon as they come."""

from __future__ import annotations

import io
import os
import queue
import random
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from features.audio import AudioError
from features.pcm import TYPES, raw_blocks

RATE = 16000
ALL_TYPES = ["int16", "int32", "float32", "uint8"]


class Pipe(io.RawIOBase):
    """Gives `data` in pieces of the sizes that `sizes` draws, never more than is asked for."""

    def __init__(self, data: bytes, sizes: Iterator[int]):
        self._data = memoryview(data)
        self._sizes = sizes
        self.asked: list[int] = []

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        self.asked.append(len(buffer))
        piece = self._data[: min(len(buffer), next(self._sizes))]
        self._data = self._data[len(piece) :]
        buffer[: len(piece)] = piece
        return len(piece)


def pieces(most: int, *, seed: int = 0) -> Iterator[int]:
    draw = random.Random(seed)
    return iter(lambda: draw.randint(1, most), None)


def raw(count: int, dtype: str, channels: int = 1) -> tuple[bytes, np.ndarray]:
    """Bytes as a program would write them, and the samples (S, channels) that they mean."""
    rng = np.random.default_rng(count)
    if dtype == "float32":
        samples_SC = rng.uniform(-1, 1, (count, channels)).astype("<f4")
        return samples_SC.tobytes(), samples_SC.astype(np.float64)
    bits = np.dtype(dtype).itemsize * 8
    full_scale = 2 ** (bits - 1)
    whole_SC = rng.integers(-full_scale, full_scale, (count, channels))
    whole_SC[:2] = [[-full_scale], [full_scale - 1]]
    offset = full_scale if dtype == "uint8" else 0
    data = b"".join(int(k + offset).to_bytes(bits // 8, "little", signed=not offset) for k in whole_SC.ravel())
    return data, whole_SC / full_scale


def joined(blocks: Iterator[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.float32), *blocks])


# --- types and channels -----------------------------------------------------------------------------------------------


def test_the_types_are_those_that_are_tested() -> None:
    assert sorted(TYPES) == sorted(ALL_TYPES)


@pytest.mark.parametrize("dtype", ALL_TYPES)
@pytest.mark.parametrize("channels", [1, 2, 3, 8])
@pytest.mark.parametrize("most", [1, 7, 5000])
def test_any_pieces_of_a_pipe_give_the_samples(dtype: str, channels: int, most: int) -> None:
    data, expected_SC = raw(1111, dtype, channels)
    pipe = Pipe(data, pieces(most))
    blocks = list(raw_blocks(pipe, rate=RATE, dtype=dtype, channels=channels, block_seconds=0.01))
    assert all(block.dtype == np.float32 and block.ndim == 1 and 0 < len(block) <= 160 for block in blocks)
    np.testing.assert_allclose(joined(blocks), expected_SC.mean(axis=1), atol=2e-7, rtol=0)


@pytest.mark.parametrize("dtype", ALL_TYPES)
def test_mono_is_exact(dtype: str) -> None:
    data, expected_SC = raw(3000, dtype)
    got_S = joined(raw_blocks(io.BytesIO(data), rate=RATE, dtype=dtype))
    np.testing.assert_array_equal(got_S, expected_SC[:, 0].astype(np.float32))


def test_pieces_do_not_show_in_the_samples() -> None:
    data, _ = raw(2000, "float32", 6)
    whole_S = joined(raw_blocks(io.BytesIO(data), rate=RATE, dtype="float32", channels=6))
    for seed in range(20):
        pipe = Pipe(data, pieces(400, seed=seed))
        got_S = joined(raw_blocks(pipe, rate=RATE, dtype="float32", channels=6))
        np.testing.assert_array_equal(got_S, whole_S)


@pytest.mark.parametrize("wrap", [lambda pipe: pipe, io.BufferedReader], ids=["unbuffered", "buffered"])
@pytest.mark.parametrize(("seconds", "longest"), [(0.05, 800), (0.01, 160), (1e-9, 1)])
def test_no_block_is_longer_than_said(wrap, seconds: float, longest: int) -> None:
    data, expected_SC = raw(4000, "int16")
    pipe = wrap(Pipe(data, pieces(10**6)))
    lengths = [len(block) for block in raw_blocks(pipe, rate=RATE, block_seconds=seconds)]
    assert max(lengths) == longest
    assert sum(lengths) == len(expected_SC)


# --- as soon as it comes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("buffering", [0, -1], ids=["unbuffered", "buffered"])
def test_blocks_come_before_the_pipe_is_closed(buffering: int) -> None:
    """Each write is answered by a block although far less than a whole one has come."""
    reader, writer = os.pipe()
    with open(reader, "rb", buffering=buffering) as file:
        come: queue.SimpleQueue[np.ndarray | None] = queue.SimpleQueue()

        def read() -> None:
            for block in raw_blocks(file, rate=RATE):
                come.put(block)
            come.put(None)

        reading = threading.Thread(target=read, daemon=True)
        reading.start()
        try:
            for count in (2, 5, 160):
                data, expected_SC = raw(count, "int16")
                os.write(writer, data)
                np.testing.assert_array_equal(come.get(timeout=20), expected_SC[:, 0])
            os.write(writer, b"\x00\x40\x00")  # half of the second sample is still to come
            assert come.get(timeout=20).tolist() == [0.5]
            os.write(writer, b"\xc0")
            assert come.get(timeout=20).tolist() == [-0.5]
        finally:
            os.close(writer)
        assert come.get(timeout=20) is None
        reading.join()


@pytest.mark.parametrize("channels", [1, 4])
def test_a_pipe_without_anything_has_no_blocks(channels: int) -> None:
    assert list(raw_blocks(io.BytesIO(b""), rate=RATE, channels=channels)) == []


# --- what is wrong with it --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "channels", "left"), [("int16", 1, 1), ("int32", 1, 3), ("float32", 2, 4), ("uint8", 3, 2)]
)
def test_a_pipe_that_ends_within_a_sample(dtype: str, channels: int, left: int) -> None:
    data, expected_SC = raw(10, dtype, channels)
    size = len(data) // 10
    heard = []
    said = rf"^the pipe: ends within a sample \({left} bytes of {size} are left\): .*{dtype} in {channels} channels$"
    with pytest.raises(AudioError, match=said):
        heard.extend(raw_blocks(io.BytesIO(data[: 5 * size + left]), rate=RATE, dtype=dtype, channels=channels))
    np.testing.assert_allclose(joined(heard), expected_SC[:5].mean(axis=1), atol=2e-7)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_a_sample_that_is_no_sound_is_named_with_its_time(value: float) -> None:
    samples_SC = np.zeros((RATE, 2), "<f4")
    samples_SC[12_000, 1] = value
    blocks = raw_blocks(Pipe(samples_SC.tobytes(), pieces(3000)), rate=RATE, dtype="float32", channels=2)
    heard: list[np.ndarray] = []
    with pytest.raises(AudioError, match=r"^the pipe: the sample at 0\.750 s is ") as refused:
        heard.extend(blocks)
    assert "\n" not in str(refused.value)
    assert 12_000 - 800 <= len(joined(heard)) <= 12_000


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"dtype": "s16"}, "samples of type s16 are not known: choose one of int16, int32, float32, uint8"),
        ({"rate": 7999}, "has 7999 samples a second, and 8000 to 192000 can be read"),
        ({"rate": 192_001}, "has 192001 samples a second"),
        ({"rate": 0}, "has 0 samples a second"),
        ({"channels": 0}, "has 0 channels, and 1 to 8 can be read"),
        ({"channels": 9}, "has 9 channels"),
        ({"channels": -1}, "has -1 channels"),
    ],
    ids=str,
)
def test_what_cannot_be_read_is_said_before_anything_is(wrong: dict, said: str) -> None:
    pipe = Pipe(bytes(100), pieces(100))
    with pytest.raises(AudioError, match=f"^the pipe: {said}"):
        raw_blocks(pipe, **{"rate": RATE, **wrong})
    assert pipe.asked == []
