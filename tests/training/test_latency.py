"""The latencies that a training draws: from seed and step alone, over the whole range, in whole steps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from encoders.windows import Latency
from training.latency import Latencies, LatencyConfig, piece_frames

STREAMED = LatencyConfig(chunk_ms=(100, 1600), lookahead_share=(0.25, 1.0), full_context=0.3)


def latencies(config: LatencyConfig = STREAMED, *, subsampling: int = 3, seed: int = 0) -> Latencies:
    return Latencies(config, frame_seconds=0.01, subsampling=subsampling, seed=seed)


def test_without_chunks_every_batch_sees_full_context() -> None:
    drawn = latencies(LatencyConfig())
    assert {drawn.draw(step) for step in range(50)} == {None}
    assert drawn.measured() == (None,)


def test_a_draw_is_of_its_seed_and_step_alone() -> None:
    forwards = [latencies().draw(step) for step in range(40)]
    backwards = [latencies().draw(step) for step in reversed(range(40))]
    assert forwards == backwards[::-1]
    assert forwards != [latencies(seed=1).draw(step) for step in range(40)]


@pytest.mark.parametrize("subsampling", [1, 3, 4])
def test_draws_cover_the_range_in_whole_steps(subsampling: int) -> None:
    drawn = [latencies(subsampling=subsampling).draw(step) for step in range(4000)]
    assert np.mean([latency is None for latency in drawn]) == pytest.approx(0.3, abs=0.03)
    windows = [latency for latency in drawn if latency]
    assert all(frames % subsampling == 0 for latency in windows for frames in latency)
    chunks_ms = 10 * np.array([latency.chunk for latency in windows])
    assert 100 <= chunks_ms.min() < 100 + 20 * subsampling
    assert 1500 < chunks_ms.max() <= 1600 + 10 * subsampling
    # Evenly on a logarithmic scale: half of them lie below the geometric mean, but for rounding up.
    assert np.mean(chunks_ms <= 400 + 10 * subsampling) == pytest.approx(0.53, abs=0.06)
    shares = np.array([latency.lookahead / latency.chunk for latency in windows if latency.chunk > 50])
    assert 0.25 <= shares.min() < 0.35
    assert 0.9 < shares.max() <= 1.0


def test_milliseconds_round_up_to_whole_steps() -> None:
    for chunk_ms, frames in ((300, 30), (301, 33), (1, 3), (29.9999999, 3)):
        drawn = latencies(LatencyConfig((chunk_ms, chunk_ms), (1.0, 1.0), full_context=0.0)).draw(7)
        assert drawn == Latency(frames, frames)


def test_the_development_error_is_of_full_context_and_of_the_middle() -> None:
    assert latencies().measured() == (None, Latency(42, 27))


def test_full_context_that_no_batch_sees_is_not_measured() -> None:
    streams = latencies(replace(STREAMED, full_context=0.0))
    assert None not in {streams.draw(step) for step in range(50)}
    assert streams.measured() == (Latency(42, 27),)


def test_pieces_are_whole_steps() -> None:
    for ms, frames in ((0, None), (1, 3), (30, 3), (30.00000001, 3), (31, 6), (900, 90)):
        assert piece_frames(ms, frame_seconds=0.01, subsampling=3) == frames


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"chunk_ms": (0, 100)}, "chunk_ms"),
        ({"chunk_ms": (200, 100)}, "chunk_ms"),
        ({"chunk_ms": (100, float("inf"))}, "chunk_ms"),
        ({"lookahead_share": (-0.1, 1)}, "lookahead_share"),
        ({"lookahead_share": (1, 0.5)}, "lookahead_share"),
        ({"full_context": 1.5}, "full_context"),
    ],
)
def test_latencies_that_cannot_be_are_refused_by_name(settings: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        LatencyConfig(**settings)
