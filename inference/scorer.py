"""Frames to scores through the exported graph: whole, in windows with carried state, or many streams as a batch.

There is one graph. Full context is a window that holds everything (N_c >= T, N_r = 0); a long file or a live
stream is cut into windows of N_c frames, each seen together with N_r frames of look-ahead
(latency control, Zhang et al. 2016). The forward state carried on is the one after N_c frames.

States go through NumPy. Pinned where ONNX Runtime has them they save some 0.05 ms of a step: `benchmarks.pinned_state`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np

from inference.ctc import Emission
from inference.decoding import Decoding
from inference.onnx_session import open_graph

# A day: beyond it a window is a mistake.
LONGEST_SECONDS = 86_400

# h and c of the forward direction, each (L,B,units); a GRU or RNN has a c of no units. Where the graph begins with
# convolutions, the frames that they see of what was before, (B,3,F), come after these.
State = tuple[np.ndarray, ...]
STATES = ("h", "c", "frames")


class Scored(NamedTuple):
    """Log probabilities (B,T',V), their lengths (B), and the forward state after N_c frames."""

    scores_BTV: np.ndarray
    lengths_B: np.ndarray
    state: State


class Window(NamedTuple):
    """What a stream wants scored next: frames (T,F), N_c, and the forward state at the first of them."""

    frames_TF: np.ndarray
    chunk: int
    state: State


A, B = TypeVar("A"), TypeVar("B")

# What a stream does, up to where it waits: it yields what it finds and, wherever it wants something scored or decoded,
# that, in answer to which the scores or the emissions are sent. Who computes them, and beside what, is not its concern.
Asked: TypeAlias = Window | Decoding
Answer: TypeAlias = Scored | list[Emission] | None
Steps: TypeAlias = Generator[Asked | A, Answer, None]


class Scorer:
    """Runs the graph of a model directory.

    Args:
        graph: Path of `model.onnx`; the weights lie beside it.
        subsampling: Input frames for each output frame.
        threads: Threads for one product; 0 lets ONNX Runtime take every core.
    """

    def __init__(self, graph: Path, *, subsampling: int, threads: int = 1):
        self._session = open_graph(graph, threads=threads)
        inputs = {value.name: value.shape for value in self._session.get_inputs()}
        outputs = {value.name: value.shape for value in self._session.get_outputs()}
        self.features: int = inputs["frames"][2]
        self.labels: int = outputs["scores"][2]
        self.subsampling = subsampling
        self._states = {
            name: inputs[f"state_{name}"] for name in STATES if name != "frames" or "state_frames" in inputs
        }

    @property
    def stream_axes(self) -> tuple[int, ...]:
        """The axis of each part of a state along which streams lie."""
        return tuple(shape.index("batch") for shape in self._states.values())

    def start(self, streams: int = 1) -> State:
        """The state before the first frame: zeros."""
        return tuple(
            np.zeros([streams if size == "batch" else size for size in shape], dtype=np.float32)
            for shape in self._states.values()
        )

    def __call__(self, frames_BTF: np.ndarray, lengths_B: np.ndarray, *, chunk: int, state: State) -> Scored:
        """Score one window of each of B streams.

        Args:
            frames_BTF: Frames, float32; what lies beyond an item's length is ignored.
            lengths_B: Valid frames of each item, at least 1.
            chunk: N_c in input frames, a multiple of the subsampling.
            state: Forward state at the first frame.
        """
        assert chunk > 0, "N_c is positive"
        assert chunk % self.subsampling == 0, "N_c is a multiple of the subsampling"
        scores_BTV, score_lengths_B, *after = self._session.run(
            ("scores", "score_lengths", *(f"next_{name}" for name in self._states)),
            {
                "frames": np.ascontiguousarray(frames_BTF, dtype=np.float32),
                "lengths": np.asarray(lengths_B, dtype=np.int64),
                "chunk": np.array(chunk, dtype=np.int64),
                **{f"state_{name}": part for name, part in zip(self._states, state, strict=True)},
            },
        )
        return Scored(scores_BTV, score_lengths_B, tuple(after))

    def full(self, frames_TF: np.ndarray) -> np.ndarray:
        """Scores (T',V) of one item with full context; no frames give no scores."""
        return self.windowed([frames_TF], chunk=self.round_up(max(len(frames_TF), 1)), lookahead=0)

    def together(self, items: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Scores (T',V) of several items, each (T,F) with T >= 1, with full context, as one padded batch."""
        frames_BTF, lengths_B = self.padded(items)
        chunk = self.round_up(frames_BTF.shape[1])
        scored = self(frames_BTF, lengths_B, chunk=chunk, state=self.start(len(items)))
        # Copies, since a view would hold the whole batch.
        return [scores_TV[:steps].copy() for scores_TV, steps in zip(scored.scores_BTV, scored.lengths_B, strict=True)]

    def padded(self, items: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Frames (T,F) of several items as one batch (B,T,F), zeros behind the shorter ones, and their lengths (B)."""
        lengths_B = np.array([len(frames_TF) for frames_TF in items])
        frames_BTF = np.zeros((len(items), lengths_B.max(), self.features), dtype=np.float32)
        for padded_TF, frames_TF in zip(frames_BTF, items, strict=True):
            padded_TF[: len(frames_TF)] = frames_TF
        return frames_BTF, lengths_B

    def windowed(self, frames: Iterable[np.ndarray], *, chunk: int, lookahead: int) -> np.ndarray:
        """Scores (T',V) of one item that comes in pieces, window by window."""
        stream = ScoreStream(self, chunk=chunk, lookahead=lookahead)
        scores = [np.zeros((0, self.labels), dtype=np.float32)]
        for piece in frames:
            scores.extend(stream.push(piece))
        scores.extend(stream.flush())
        return np.concatenate(scores)

    def steps(self, frames: int) -> int:
        """Frames of scores that the graph makes of so many input frames, found by running it."""
        silence_BTF = np.zeros((1, frames, self.features), dtype=np.float32)
        return int(self(silence_BTF, np.array([frames]), chunk=self.round_up(frames), state=self.start()).lengths_B[0])

    def round_up(self, frames: int) -> int:
        """The least multiple of the subsampling that is no less than `frames`."""
        return -(-frames // self.subsampling) * self.subsampling

    def frames(self, seconds: float, shift_seconds: float) -> int:
        """Input frames that last at least so long: a whole number of steps, and at least one for any time above 0."""
        if not 0 <= seconds <= LONGEST_SECONDS:
            raise ValueError(f"{seconds:g} s is no chunk or look-ahead; give 0 to {LONGEST_SECONDS} s")
        # A millionth of a frame beyond a whole one is a rounding error.
        return self.round_up(math.ceil(seconds / shift_seconds - 1e-6))


class ScoreStream:
    """One stream through the scorer: frames go in as they come, scores come out a window at a time.

    Args:
        scorer: The model.
        chunk: N_c, frames by which each window advances; a multiple of the subsampling.
        lookahead: N_r, frames that a window sees beyond them; a multiple of the subsampling.
    """

    def __init__(self, scorer: Scorer, *, chunk: int, lookahead: int):
        for name, value, least in (("chunk", chunk, 1), ("lookahead", lookahead, 0)):
            if value < least or value % scorer.subsampling:
                raise ValueError(
                    f"{name} is {value} frames; it must be a multiple of {scorer.subsampling} and >= {least}"
                )
        self._scorer = scorer
        self._chunk = chunk
        self._window = chunk + lookahead
        self.reset()

    def reset(self) -> None:
        """Forget everything: what follows is scored as if it came first."""
        self._pieces: list[np.ndarray] = []
        self.left = 0
        """Frames that are held: of the next window, and of those after it."""
        self._state = self._scorer.start()
        self.ahead_TV = np.zeros((0, self._scorer.labels), dtype=np.float32)
        """Scores of the last window's look-ahead: a first guess, which the next window corrects."""

    def push(self, frames_TF: np.ndarray) -> list[np.ndarray]:
        """Scores (N_c / subsampling, V) of every window that these frames complete."""
        return run(self._scorer, self.pushing(frames_TF))

    def pushing(self, frames_TF: np.ndarray) -> Steps[np.ndarray]:
        """The same, window by window, for whoever scores them."""
        self.hold(frames_TF)
        while self.full:
            yield self.take((yield self.window()))

    def flush(self) -> list[np.ndarray]:
        """Scores of what is left, whose look-ahead is cut short by the end; then the stream is fresh again."""
        return run(self._scorer, self.flushing())

    def flushing(self) -> Steps[np.ndarray]:
        """The same, window by window, for whoever scores them."""
        while self.left:
            yield self.take((yield self.window()))
        self.reset()

    def hold(self, frames_TF: np.ndarray) -> None:
        """Keep frames until they are scored."""
        if frames_TF.ndim != 2 or frames_TF.shape[1] != self._scorer.features:
            raise ValueError(
                f"the model was trained on frames of {self._scorer.features} features; "
                f"these have shape {frames_TF.shape}"
            )
        if len(frames_TF):
            # A copy: the caller may fill the same array again before the window is complete.
            self._pieces.append(np.array(frames_TF, dtype=np.float32))
            self.left += len(frames_TF)

    @property
    def full(self) -> bool:
        """Whether the frames of a window are there."""
        return self.left >= self._window

    def window(self) -> Window:
        """The next window, shorter where no more frames are there."""
        # One piece that many windows are cut from is not copied for each of them.
        if len(self._pieces) > 1:
            self._pieces = [np.concatenate(self._pieces)]
        return Window(self._pieces[0][: self._window], self._chunk, self._state)

    def take(self, scored: Scored) -> np.ndarray:
        """What has been scored of :meth:`window`, alone: the scores of its chunk, after which the next one comes."""
        self._state = scored.state
        self._pieces = [self._pieces[0][self._chunk :]]
        self.left = len(self._pieces[0])
        steps = self._chunk // self._scorer.subsampling
        self.ahead_TV = scored.scores_BTV[0, steps:]
        return scored.scores_BTV[0, :steps]


def run(scorer: Scorer, steps: Steps[A]) -> list[A]:
    """All that a stream finds, each of its windows scored and decoded by itself."""
    found: list[A] = []
    answer: Answer = None
    while True:
        try:
            item = steps.send(answer)
        except StopIteration:
            return found
        answer = None
        if isinstance(item, Window):
            lengths = np.array([len(item.frames_TF)])
            answer = scorer(item.frames_TF[None], lengths, chunk=item.chunk, state=item.state)
        elif isinstance(item, Decoding):
            answer = item.alone()
        else:
            found.append(item)


def through(steps: Steps[A], then: Callable[[A], Iterable[B]]) -> Steps[B]:
    """The same things asked for, and of each thing found what becomes of it."""
    answer: Answer = None
    while True:
        try:
            item = steps.send(answer)
        except StopIteration:
            return
        answer = None
        if isinstance(item, Window | Decoding):
            answer = yield item
        else:
            yield from then(item)
