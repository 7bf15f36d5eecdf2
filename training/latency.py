"""Which latency a batch is trained at: drawn anew for each, so that one set of weights serves every latency.

A network that has only seen full context is lost when its backward direction starts in the middle of a word; one that
has only seen one chunk is lost at any other. Shapes: chunk N_c and look-ahead N_r in input frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from encoders.windows import Latency

# Of the seed, apart from the streams of other draws.
STREAM = 0x1A7E


@dataclass
class LatencyConfig:
    """Latencies to train at.

    Args:
        chunk_ms: Shortest and longest chunk in milliseconds, such as [200,1000], drawn evenly on a logarithmic scale;
            none trains with full context alone, for a model that is to hear whole recordings and no streams.
        lookahead_share: Least and greatest look-ahead as a share of the chunk, drawn evenly.
        full_context: Share of the batches that see full context all the same; 0 for streams alone.
    """

    chunk_ms: tuple[float, float] | None = None
    lookahead_share: tuple[float, float] = (0.25, 1.0)
    full_context: float = 0.3

    def __post_init__(self) -> None:
        if self.chunk_ms is not None:
            self.chunk_ms = tuple(self.chunk_ms)
            if not 0 < self.chunk_ms[0] <= self.chunk_ms[1] < math.inf:
                raise ValueError(f"latency.chunk_ms is {list(self.chunk_ms)}; give the shortest and the longest chunk")
        self.lookahead_share = tuple(self.lookahead_share)
        if not 0 <= self.lookahead_share[0] <= self.lookahead_share[1] < math.inf:
            raise ValueError(
                f"latency.lookahead_share is {list(self.lookahead_share)}; give the least and the greatest"
            )
        if not 0 <= self.full_context <= 1:
            raise ValueError(f"latency.full_context is {self.full_context}; it is a share of the batches, 0 to 1")


class Latencies:
    """Draws the latency of a step, the same one whenever and wherever that step is taken.

    Args:
        config: What to draw from.
        frame_seconds: Time between two input frames.
        subsampling: The encoder's total subsampling, of which chunk and look-ahead are multiples.
        seed: What is drawn comes from (seed, step).
    """

    def __init__(self, config: LatencyConfig, *, frame_seconds: float, subsampling: int, seed: int):
        self._config = config
        self._step_ms = 1000 * frame_seconds * subsampling
        self._subsampling = subsampling
        self._seed = seed

    def draw(self, step: int) -> Latency | None:
        """The latency of a training step; none is full context."""
        config = self._config
        if config.chunk_ms is None:
            return None
        rng = np.random.default_rng((self._seed, STREAM, step))
        if rng.random() < config.full_context:
            return None
        shortest, longest = config.chunk_ms
        chunk_ms = math.exp(rng.uniform(math.log(shortest), math.log(longest)))
        return self._frames(chunk_ms, chunk_ms * rng.uniform(*config.lookahead_share))

    def measured(self) -> tuple[Latency | None, ...]:
        """The latencies that the development error is the mean over: full context and the middle of what is drawn.

        Without full context where no batch sees it.
        """
        config = self._config
        if config.chunk_ms is None:
            return (None,)
        chunk_ms = math.sqrt(math.prod(config.chunk_ms))
        middle = self._frames(chunk_ms, chunk_ms * sum(config.lookahead_share) / 2)
        return (None, middle) if config.full_context else (middle,)

    def _frames(self, chunk_ms: float, lookahead_ms: float) -> Latency:
        chunk, lookahead = (whole_steps(ms, self._step_ms) for ms in (chunk_ms, lookahead_ms))
        return Latency(self._subsampling * max(1, chunk), self._subsampling * lookahead)


def whole_steps(ms: float, step_ms: float) -> int:
    """Steps, rounded up; a millionth of a step above a whole one is a rounding error."""
    return math.ceil(ms / step_ms - 1e-6)


def piece_frames(truncate_ms: float, *, frame_seconds: float, subsampling: int) -> int | None:
    """Frames of a piece of truncated backpropagation through time, whole steps; none where nothing is cut."""
    if not truncate_ms:
        return None
    return subsampling * max(1, whole_steps(truncate_ms, 1000 * frame_seconds * subsampling))
